"""The error detectors: what they read, what they point at, and that they find errors put in on purpose."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftsum.data import load_split
from peftsum.evaluate import score
from peftsum.metrics import aggregate, example_statistics
from peftsum.metrics.errors import FITTED, RULES, Finding, find_errors, fitted
from peftsum.metrics.errors.attribution import CLUES, attribute
from peftsum.metrics.errors.detectors import read, signals
from peftsum.metrics.errors.readings import DialogueReading, SummaryReading
from peftsum.metrics.words import normalised
from peftsum.recipe import Data

CAR = "Anna: I'll lend you my car on Friday, Ben.\nBen: Thanks! I need it for five hours.\nAnna: No problem."


def finding(error: str, summary: str, dialogue: str = CAR, references: tuple[str, ...] = ()) -> Finding:
    return next(f for f in find_errors(summary, dialogue, references) if f.error == error)


def probability(error: str, summary: str, dialogue: str = CAR, references: tuple[str, ...] = ()) -> float:
    found = finding(error, summary, dialogue, references).probability
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("one", "other"),
    [("five", "5"), ("5.30", "5:30"), ("1,000", "1000"), ("meetings", "meeting"), ("anna's", "anna"), ("dozen", "12")],
)
def test_words_that_say_the_same_compare_equal(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


def test_clauses_know_their_subject() -> None:
    dialogue = DialogueReading(CAR)
    summary = SummaryReading(
        "Anna and Ben talk. Anna will lend Ben her car because he needs it and Ben is glad.", dialogue
    )
    assert [(c.subjects, sorted(c.objects)) for c in summary.clauses] == [
        (("Anna", "Ben"), []),
        (("Anna",), ["Ben"]),
        (("Anna",), []),  # "he" stands for whoever came before: a guess, and one the pronoun detector weighs
        (("Ben",), []),
    ]


def test_who_offers_is_told_from_who_takes() -> None:
    dialogue = DialogueReading(CAR)
    clause = SummaryReading("Anna lends the car on Friday.", dialogue).clauses[0]
    found = attribute(clause, dialogue, fitted().clues)
    assert found is not None
    assert found.likeliest == ["Anna"]
    assert found.of_subject > 2 * found.chances[frozenset(["Ben"])]
    assert sum(found.chances.values()) == pytest.approx(1)
    assert found.turns[0] == 0


def likeliest(clause: str, dialogue: str) -> list[str]:
    reading = DialogueReading(dialogue)
    found = attribute(SummaryReading(clause, reading).clauses[0], reading, fitted().clues)
    assert found is not None
    return found.likeliest


@pytest.mark.parametrize(
    ("dialogue", "clause", "expected"),
    [
        ("Ann: Can you bring the cake?\nBob: Sure.", "Ann brings the cake.", ["Bob"]),
        ("Ann: I'll bring the cake.\nBob: Great, and my juice?", "Bob brings the cake.", ["Ann"]),
        ("Ann: Well, Maria sold her boat.\nBob: No way!", "Ann sold her boat.", ["Maria"]),
        (
            "Ann: Shall we meet at the station?\nBob: Yes, we can meet there.",
            "Bob meets at the station.",
            ["Ann", "Bob"],
        ),
        ("Ann: Carl, can you water the plants?\nBob: Not me.\nCarl: Yes.", "Bob waters the plants.", ["Carl"]),
    ],
)
def test_who_a_clause_is_about_is_told_from_who_says_its_words_to_whom(
    dialogue: str, clause: str, expected: list[str]
) -> None:
    assert likeliest(clause, dialogue) == expected


def test_words_are_said_of_the_last_person_named_in_their_sentence() -> None:
    dialogue = DialogueReading("Ann: I sold it. Can you fetch Maria's lamp?\nBob: We bought bread. Bring Maria milk.")
    persons = {word: [(s.person, s.named) for s in found] for word, found in dialogue.sayings.items()}
    assert persons["sold"] == [("i", None)]
    assert persons["fetch"] == [("you", None)]
    assert persons["lamp"] == [("named", "Maria")]
    assert persons["bread"] == [("we", None)]
    assert persons["bring"] == [("none", None)]
    assert dialogue.addressees == [("Bob",), ("Ann",)]
    assert dialogue.third_parties == ["Maria"]


def test_a_reference_with_other_subjects_and_negations_is_seen() -> None:
    reference = ("Anna lends Ben her car on Friday.",)
    agree = signals(read("Anna lends the car on Friday.", CAR, reference))
    differ = signals(read("Ben lends the car on Friday.", CAR, reference))
    denied = signals(read("Anna does not lend the car on Friday.", CAR, reference))
    assert (agree["subjects_agree"], agree["subjects_differ"], agree["denied_differs"]) == (1, 0, 0)
    assert (differ["subjects_agree"], differ["subjects_differ"]) == (0, 1)
    assert denied["denied_differs"] == 1
    joint = signals(read("Anna and Ben lend the car on Friday.", CAR, reference))
    assert joint["subjects_overlap"] == 1


def test_a_swapped_speaker_raises_the_chance_of_an_error_and_is_pointed_at() -> None:
    right, wrong = "Anna will lend Ben her car on Friday.", "Ben will lend Anna his car on Friday."
    assert probability("error_speaker", wrong) > probability("error_speaker", right)
    told = finding("error_speaker", wrong, references=("Anna lends her vehicle.",))
    assert told.flagged
    assert told.words[0] == "Ben"
    assert 0 in told.turns


def test_no_negation_is_wrong_where_nothing_is_denied_however_far_the_reference_is() -> None:
    far = ("Something else entirely is spoken of here.",)
    assert probability("error_negation", "Anna lends Ben her car on Friday.", references=far) == 0
    long = f"{CAR}\n" + "\n".join(f"Ben: Let us talk of the weather in town number {i}." for i in range(20))
    told = finding("error_negation", "Anna does not lend Ben her car on Friday.", long, far)
    assert told.flagged
    assert "not" in told.words
    assert told.turns == [0]


def test_what_is_made_up_is_pointed_at() -> None:
    told = finding(
        "error_hallucination", "Anna sells Ben a boat for 900 dollars.", references=("Anna lends Ben her car.",)
    )
    assert told.flagged
    assert {"boat", "900", "dollars"} <= set(told.words)
    kept = finding("error_hallucination", "Anna lends Ben her car.", references=("Anna lends Ben her car.",))
    assert not kept.flagged
    assert kept.words == []


def test_rules_hold_as_stated() -> None:
    again = "Anna lends Ben her car on Friday. Anna lends Ben her car on Friday."
    assert finding("error_redundancy", again).flagged
    assert not finding("error_redundancy", "Anna lends Ben her car. Ben needs it for five hours.").flagged
    assert finding("error_length", "Anna lends").flagged
    assert finding("error_length", "").flagged
    assert not finding("error_length", "Anna lends Ben her car.").flagged
    reference = ("Anna lends Ben her car on Friday for five hours.",)
    lost = finding("error_missing_key_info", "They are friends and they chat.", references=reference)
    assert lost.flagged
    assert lost.turns == [0, 1]
    assert not finding("error_missing_key_info", reference[0], references=reference).flagged


def test_without_references_the_detectors_that_need_them_are_silent() -> None:
    assert {f.error for f in find_errors("Anna lends Ben her car.", CAR)} == {
        *FITTED,
        *RULES,
    } - {"error_missing_key_info", "error_focus"}


def test_several_references_forgive_what_one_of_them_says() -> None:
    summary = "Anna lends Ben her car on Friday."
    other = "They speak of a vehicle."
    both = probability("error_any", summary, references=(other, summary))
    assert both == probability("error_any", summary, references=(summary, other))
    assert both < probability("error_any", summary, references=(other,))


def _swap(summary: str, dialogue: str, rng: random.Random) -> str:
    speakers = DialogueReading(dialogue).speakers[:2]
    one, other = (s.split()[0] for s in speakers)
    return summary.replace(one, "\0").replace(other, one).replace("\0", other)


def _invent(summary: str, dialogue: str, rng: random.Random) -> str:
    return (
        f"{summary} {rng.choice(['The zebra bought 77 violins', 'An astronaut painted the cathedral'])} in Patagonia."
    )


@pytest.mark.parametrize(
    ("error", "damage", "least"), [("error_speaker", _swap, 0.6), ("error_hallucination", _invent, 0.95)]
)
def test_damage_done_to_human_summaries_of_the_built_in_dialogues_is_seen(
    error: str, damage: Callable[[str, str, random.Random], str], least: float
) -> None:
    rng = random.Random(0)
    better, of = 0, 0
    for example in load_split(Data(source="builtin:dialogues"), "test").examples[:120]:
        good = example.references[0]
        bad = damage(good, example.dialogue, rng)
        if bad == good:
            continue
        of += 1
        others = example.references[1:]
        better += probability(error, bad, example.dialogue, others) > probability(error, good, example.dialogue, others)
    assert of > 50
    assert better / of >= least


texts = st.text(
    alphabet=st.sampled_from("Anna Ben: car.5'\N{RIGHT SINGLE QUOTATION MARK}!?\nünö#Person1#not"), max_size=80
)


@given(summary=texts, dialogue=texts, references=st.lists(texts, max_size=3))
def test_any_text_gets_an_answer(summary: str, dialogue: str, references: list[str]) -> None:
    for found in find_errors(summary, dialogue, references):
        assert found.probability is None or 0 <= found.probability <= 1
        assert found.flagged or not (found.words or found.turns)
        assert all(0 <= turn < len(DialogueReading(dialogue).turns) for turn in found.turns)


def test_the_shipped_weights_fit_the_signals_and_say_where_they_come_from() -> None:
    shipped = fitted()
    assert set(shipped.clues) == set(CLUES)
    assert set(shipped.detectors) == set(FITTED)
    with_references, without = signals(read("A b.", CAR, ["A c."])), signals(read("A b.", CAR))
    for name, fit in shipped.detectors.items():
        assert set(fit.with_references.signals) <= set(with_references), name
        assert set(fit.without_references.signals) <= set(without), name
        assert all(found.balanced_accuracy.low > 0.5 for found in fit.checked.values()), name
        for logit in (fit.with_references, fit.without_references):
            assert len(logit.signals) == len(logit.centre) == len(logit.scale) == len(logit.weights)
    assert "SAMSum" in shipped.sources["clues"]


def test_the_detectors_are_columns_of_the_statistics_and_rates_of_the_report() -> None:
    predictions = ["Ben will lend Anna his car.", "Anna lends Ben her car on Friday."]
    references = [["Anna lends Ben her car on Friday."]] * 2
    plain = example_statistics(predictions, references)
    assert not any(name.startswith("error_") for name in plain)
    found = example_statistics(predictions, references, dialogues=[CAR, CAR])
    assert {*FITTED, *RULES} == {name for name in found if name.startswith("error_")}
    report = aggregate(found, references="first")
    assert report.error_rates["error_any"].rate == found["error_any"].mean()
    assert "|detectors:" in report.signature
    assert "|detectors:" not in aggregate(plain, references="first").signature


@pytest.mark.parametrize("mode", ["first", "mean", "max"])
def test_what_is_written_is_what_is_counted_whatever_references_count(
    tmp_path: Path, mode: Literal["first", "mean", "max"]
) -> None:
    examples = load_split(Data(source="builtin:dialogues"), "test").examples[:40]
    rows = [{"id": e.id, "prediction": e.references[1]} for e in examples]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    scored = score(tmp_path / "p.jsonl", "builtin:dialogues", references=mode, errors=tmp_path / "e.jsonl")
    found = Counter(json.loads(line)["error"] for line in (tmp_path / "e.jsonl").read_text().splitlines())
    rates = {name: rate.rate for name, rate in scored.scores.error_rates.items() if name.startswith("error_")}
    assert {name: found[name] / 40 for name in rates} == pytest.approx(rates)


def test_scoring_writes_what_was_found_with_its_evidence(tmp_path: Path) -> None:
    examples = load_split(Data(source="builtin:dialogues"), "test").examples[:5]
    rows = [{"id": e.id, "prediction": "The zebra bought 77 violins in Patagonia."} for e in examples]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    scored = score(tmp_path / "p.jsonl", "builtin:dialogues", errors=tmp_path / "errors.jsonl")
    found = [json.loads(line) for line in (tmp_path / "errors.jsonl").read_text().splitlines()]
    made_up = [row for row in found if row["error"] == "error_hallucination"]
    assert [row["id"] for row in made_up] == [e.id for e in examples]
    assert all("77" in row["words"] for row in made_up)
    assert scored.scores.error_rates["error_hallucination"].rate == 1
