"""Speakers under labels: names come back whole, whoever writes, in one pass or in stages, redacted or not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import write_jsonl
from hypothesis import given
from hypothesis import strategies as st
from trainings import make_recipe

from peftsum import Summarizer, evaluate, train
from peftsum.artifacts import PREDICTIONS_FILE, read_predictions
from peftsum.batching import encode
from peftsum.data import Example
from peftsum.few_shot import make_prompt
from peftsum.long_dialogues import write_summaries
from peftsum.model import load_tokenizer
from peftsum.prompts import Prompt
from peftsum.recipe import Generation, Model
from peftsum.recipe_file import parse_recipe
from peftsum.redaction import parse_kinds, redact_pair
from peftsum.speakers import LABEL, speaker_view

NORMALISED = Prompt(kind="raw", speakers="normalised")
DIALOGUE = "Ann Lee: Lunch, Ben?\nBen: Ann, yes!\nBank clerk: Next.\nMs. Shaw: Ms. Park and Benny are out."
NAMES = ["Ann", "Ann Lee", "Ben", "Will", "Dr. Lee", "O'Neil", "Zoë", "J. R.", "#Person2#", "Clerk", "[PERSON_1]"]

turns = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from([*NAMES, "yes", "a 2nd #Person1#"])), min_size=1)


def test_names_give_way_to_labels_and_roles_stay() -> None:
    view = speaker_view(DIALOGUE, "normalised")
    assert view.dialogue == (
        "#Person1#: Lunch, #Person2#?\n#Person2#: #Person1#, yes!\nBank clerk: Next.\n"
        "#Person3#: Ms. Park and Benny are out."
    )
    assert view.write("Ann's clerk asks Ms. Shaw.") == "#Person1#'s clerk asks #Person3#."
    assert view.restore("#Person2# meets #Person1#, #Person9# and Ms. Shaw.") == (
        "Ben meets Ann Lee, #Person9# and Ms. Shaw."
    )
    assert speaker_view(DIALOGUE, "as_written").dialogue == DIALOGUE


@given(turns)
def test_every_name_comes_back(said: list[tuple[str, str]]) -> None:
    """A text with names in full is the same after; nothing is left of a name; the view of a view is the view."""
    dialogue = "\n".join(f"{name}: well, {text} it is" for name, text in said)
    view = speaker_view(dialogue, "normalised")
    full = " ".join(view.names.values())
    assert view.restore(view.write(full)) == full
    assert len(set(view.names.values())) == len(view.names)
    assert not set(view.names) & set(LABEL.findall(dialogue))
    assert speaker_view(view.dialogue, "normalised").dialogue == view.dialogue
    assert len(view.dialogue.split("\n")) == len(said)
    if "Ann" not in view.names.values() or "Ann Lee" not in view.names.values():  # else "Ann" is the other's short form
        assert view.restore(view.dialogue).replace("Ann Lee", "Ann") == dialogue.replace("Ann Lee", "Ann")


def test_redacted_names_are_labelled_and_come_back_to_the_value() -> None:
    text = "Ann: Call 202-555-0143, Ben.\nBen: I will, Ann."
    dialogue, (summary,), redactor = redact_pair(text, ["Ben calls 202-555-0143."], parse_kinds("phone,name"))
    view = speaker_view(dialogue, "normalised")
    assert view.dialogue == "#Person1#: Call [PHONE_1], #Person2#.\n#Person2#: I will, #Person1#."
    assert view.write(summary) == "#Person2# calls [PHONE_1]."
    assert redactor.restore(view.restore("#Person2# calls [PHONE_1].")) == "Ben calls 202-555-0143."


def test_training_reads_and_writes_labels(byte_base: Path) -> None:
    tokenizer = load_tokenizer(Model(base=str(byte_base)))
    example = Example("1", "Ann: Hi, Ben.\nBen: Hi.", ("Ann greets Ben.",))
    (one,) = encode([example], tokenizer, NORMALISED, max_source_tokens=128, max_target_tokens=64)
    assert tokenizer.decode(one.source, skip_special_tokens=True) == "#Person1#: Hi, #Person2#.\n#Person2#: Hi."
    assert tokenizer.decode(one.target, skip_special_tokens=True) == "#Person1# greets #Person2#."
    shown = make_prompt([0], 0, train=[example], test=[example], prompt=NORMALISED)
    assert "#Person1# greets #Person2#." in shown
    assert not re.search("Ann|Ben", shown)


@pytest.mark.parametrize("strategy", ["truncate", "staged"])
def test_whoever_decodes_gets_names(strategy: str, byte_base: Path) -> None:
    """Stages keep the labels of the whole dialogue, also in a part whose first speaker is another one."""
    dialogue = "\n".join(f"{name}: word {i} is said here" for i in range(6) for name in ("Ann", "Ben", "Cleo"))
    seen: list[str] = []
    tokenizer = load_tokenizer(Model(base=str(byte_base)))

    def decode(sources: Sequence[list[int]], title: str) -> list[str]:
        seen.extend(tokenizer.decode(ids, skip_special_tokens=True) for ids in sources)
        return ["#Person3# and #Person1#"] * len(sources)

    generation = Generation.model_validate({"strategy": strategy, "joined_tokens": 20})
    (written,) = write_summaries([dialogue], tokenizer, NORMALISED, 150, generation, decode)
    assert set(written.text.split()) == {"Cleo", "and", "Ann"}
    assert set(written.as_written.split()) == {"#Person3#", "and", "#Person1#"}
    assert (len(seen) > 1) == (strategy == "staged")
    assert not any(re.search("Ann|Ben|Cleo", text) for text in seen)


def test_an_adapter_carries_its_labels_wherever_it_answers(
    byte_base: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"id": str(i), "dialogue": f"{a}: Hi, {b}.\n{b}: Hi.", "summary": f"{a} greets {b}."}
        for i, (a, b) in enumerate([("Ann", "Ben"), ("Cleo", "Dan"), ("Eve", "Finn")] * 4)
    ]
    write_jsonl(Path("data/train.jsonl"), rows)
    write_jsonl(Path("data/test.jsonl"), rows[:3])
    prompt = {"kind": "raw", "speakers": "normalised"}
    for name, asked in (("labels", prompt), ("names", {"kind": "raw"})):
        train(make_recipe(byte_base, "data", name, prompt=asked, train={"max_steps": 1, "eval_examples": 2}))
    card = Path("adapters/labels/README.md").read_text(encoding="utf-8")
    assert "The model reads #Person1#" in card
    assert "The model reads #Person1#" not in Path("adapters/names/README.md").read_text(encoding="utf-8")
    both = Summarizer(adapters=["adapters/labels", "adapters/names"])
    monkeypatch.setattr("peftsum.generate.texts_of", lambda _, decoded: ["#Person2# waves"] * len(decoded))
    dialogues = [row["dialogue"] for row in rows[:3]]
    assert both.summarize(dialogues, "labels") == ["Ben waves", "Dan waves", "Finn waves"]
    assert both.summarize(dialogues, ["labels", "names", "labels"]) == ["Ben waves", "#Person2# waves", "Finn waves"]
    evaluate("adapters/labels", "data", out="out")
    assert [p.prediction for p in read_predictions(Path("out") / PREDICTIONS_FILE)] == [
        "Ben waves",
        "Dan waves",
        "Finn waves",
    ]


def test_a_recipe_says_how_speakers_are_read() -> None:
    text = "name: a\nmethod: {kind: lora}\nprompt: {speakers: %s}\n"
    plain, normalised = parse_recipe(text % "as_written"), parse_recipe(text % "normalised")
    assert plain.fingerprint == parse_recipe("name: a\nmethod: {kind: lora}\n").fingerprint != normalised.fingerprint
