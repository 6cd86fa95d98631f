"""Redaction: what is found, what is left alone, the same value by the same placeholder, and back."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from peftsum.dialogue_text import parse_turns
from peftsum.exceptions import UsageError
from peftsum.metrics.errors.readings import DialogueReading
from peftsum.redaction import KINDS, Redactor, parse_kinds, redact_pair, restore, screen
from peftsum.redaction import kinds as kinds_module
from peftsum.screening import screened

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from redacting.generate import generate
from redacting.templates import WORKED_WITH
from redaction import check, read_cases, unmarked

UNNAMED = parse_kinds("all")


@pytest.mark.parametrize("marked", read_cases(), ids=lambda text: text[:40].replace("\n", " "))
def test_hand_made_dialogues_lose_their_values_and_nothing_else(marked: str) -> None:
    text, values = unmarked(marked)
    redacted = Redactor(UNNAMED).redact(text)
    assert [(s.kind, text[s.start : s.end]) for s in redacted.spans] == [(k, text[a:b]) for k, a, b in values]
    assert [t.speaker for t in parse_turns(redacted.text)] == [t.speaker for t in parse_turns(text)]


@pytest.mark.parametrize("seed", [1, 2])
def test_generated_dialogues_lose_nearly_all(seed: int) -> None:
    found = check(generate(WORKED_WITH, seed, 12), names=True)
    assert set(found) == set(KINDS)
    for kind, row in found.items():
        assert row["found"] >= 0.8 * row["values"], kind
        assert row["false_alarms"] <= 0.1 * row["replaced"], kind


@given(st.sampled_from(generate(WORKED_WITH, 3, 10)), st.sampled_from(["all", "all,name", "phone,name", "email"]))
@settings(deadline=None, max_examples=60)
def test_what_is_restored_is_the_dialogue(marked: str, kinds: str) -> None:
    text, _ = unmarked(marked)
    redactor = Redactor(parse_kinds(kinds))
    redacted = redactor.redact(text).text
    # a value that stands twice comes back as it was first written; the generated dialogues write each in one way
    assert redactor.restore(redacted) == text
    assert restore(redacted, redactor.values) == text
    assert all(value not in redacted for name, value in redactor.values.items() if name.startswith("[EMAIL"))


@given(st.text(max_size=200) | st.text("0123456789 -+.:/XABid", max_size=60))
@example("11000119900101001X")  # a province without such a county
@settings(deadline=None, max_examples=200)
def test_no_text_breaks_it(text: str) -> None:
    redactor = Redactor(KINDS)
    redacted = redactor.redact(text)
    assert [s.start for s in redacted.spans] == sorted(s.start for s in redacted.spans)
    assert all(a.end <= b.start for a, b in zip(redacted.spans, redacted.spans[1:], strict=False))


@pytest.mark.parametrize(
    "piece", ["-", "_", "GB-1", "X1-", "1 ", "a ", "a-", "1-1", "one ", "1\n", "(1)", "a@", "12 Street "]
)
def test_a_long_row_of_the_like_ends(piece: str) -> None:
    """Where a pattern can read it in several ways, the search takes twice as long for each piece more."""
    for before in ("", "John says: my number is "):
        text = f"{before}{piece * 150}!"
        redactor = Redactor(KINDS)
        assert redactor.restore(redactor.redact(text).text).replace(" ", "")[-1] == "!"


def test_one_value_has_one_placeholder_however_it_is_written() -> None:
    text = "Ann: My number is 202-555-0143.\nBen: (202) 555-0143?\nAnn: Or +1 202 555 0143. My other is 202-555-0178."
    redacted = Redactor(("phone",)).redact(text).text
    assert redacted.count("[PHONE_1]") == 3
    assert redacted.count("[PHONE_2]") == 1


def test_a_summary_shares_the_placeholders_of_its_dialogue() -> None:
    dialogue, others, _ = redact_pair(
        "Anna Smith: My number is 202-555-0143.\nBen: Thanks, Anna.", ["Anna gives Ben 2025550143."], ("phone", "name")
    )
    assert dialogue == "[PERSON_1]: My number is [PHONE_1].\n[PERSON_2]: Thanks, [PERSON_1]."
    assert others == ("[PERSON_1] gives [PERSON_2] [PHONE_1].",)


def test_tags_that_stand_for_names_already_are_kept() -> None:
    text = "#Person1#: Hi, Mr. Brown, #Person2# is here.\n#Person2#: Good."
    assert (
        Redactor(("name",)).redact(text).text == "#Person1#: Hi, Mr. [PERSON_1], #Person2# is here.\n#Person2#: Good."
    )


def test_placeholders_that_a_text_came_with_are_not_given_out_again() -> None:
    redactor = Redactor(("phone",))
    assert (
        redactor.redact("Ann: not [PHONE_1], my number is 202-555-0143.").text
        == "Ann: not [PHONE_1], my number is [PHONE_2]."
    )
    assert (
        redactor.restore("[PHONE_1] [PHONE_2] PHONE_2 [ PHONE_2 ]")
        == "[PHONE_1] 202-555-0143 202-555-0143 202-555-0143"
    )


def test_names_are_left_unless_named() -> None:
    assert "name" not in parse_kinds("all")
    assert Redactor(parse_kinds("all")).redact("Ann: Hi Ben!\nBen: Hi.").text == "Ann: Hi Ben!\nBen: Hi."


def test_a_kind_that_there_is_not_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="fone") as caught:
        parse_kinds("fone")
    assert "phone" in caught.value.hint


def test_a_missing_library_is_an_error_and_not_a_text_without_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stdnum.luhn", None)
    with pytest.raises(UsageError, match="python-stdnum is not installed") as caught:
        kinds_module.library("stdnum.luhn")
    assert "pip install" in caught.value.hint


def test_a_summary_is_screened_for_what_it_passes_on_and_what_it_makes_up() -> None:
    dialogue, _, redactor = redact_pair("Ann: My number is 202-555-0143.\nBen: I'll call.", [], ("phone", "name"))
    text, flags = screened(
        "[PERSON_1] has the number 202-555-0143, or 202-555-0199, [PHONE_9].", DialogueReading(dialogue), redactor
    )
    assert text == "[PERSON_1] has the number [PHONE_1], or [PHONE], [PHONE_9]."
    assert [flag.error for flag in flags] == ["shows_phone", "invents_phone", "invents_placeholder"]
    assert flags[0].turns[0].index == 0

    plain = DialogueReading("Ann: My number is 202-555-0143.\nBen: I'll call.")
    text, flags = screened("Ann's number is 202-555-0143. Ben's number is 202-555-0199.", plain)
    assert text.count("202-555") == 2
    assert [(flag.error, flag.words) for flag in flags] == [
        ("shows_phone", ["202-555-0143"]),
        ("invents_phone", ["202-555-0199"]),
    ]
    assert screen("Call the phone 202-555-0199.", ("phone",)) == "Call the phone [PHONE]."
    assert screen("Call the phone 202-555-0199.", ()) == "Call the phone 202-555-0199."
