"""Dialogues beyond the context: nothing is lost in parts, stages end, and a cut is announced with counts."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import dialogue_rows, write_jsonl
from hypothesis import given, settings
from hypothesis import strategies as st
from trainings import make_recipe

from peftsum import Summarizer, evaluate, train
from peftsum.data import load_split
from peftsum.dialogue_text import parse_turns
from peftsum.exceptions import RecipeError
from peftsum.joined import grouped, joined_references
from peftsum.long_dialogues import PromptCounter, write_summaries
from peftsum.prompts import Prompt
from peftsum.recipe import Data, Generation
from peftsum.splitting import Part, split_dialogue

PROMPT_WORDS = 3
STAGED = Generation(strategy="staged", max_new_tokens=8, joined_tokens=0)


class Words:
    """A word is a token, and a prompt has three of its own."""

    def in_prompt(self, text: str) -> int:
        """Return the words of text and prompt."""
        return PROMPT_WORDS + len(text.split())

    def alone(self, texts: Sequence[str]) -> list[int]:
        """Return the words of each text."""
        return [len(text.split()) for text in texts]


def said(speaker: str, count: int, first: int) -> str:
    """Return a turn of ``count`` words that stand nowhere else, a full stop behind every fourth."""
    words = [f"w{first + i}" + ("." if i % 4 == 3 else "") for i in range(count)]
    return f"{speaker}: {' '.join(words)}"


@st.composite
def talks(draw: st.DrawFn) -> str:
    lengths = draw(st.lists(st.integers(1, 40), min_size=1, max_size=30))
    names = draw(st.lists(st.sampled_from(["Ann", "Bob", "Dr. Lee"]), min_size=len(lengths), max_size=len(lengths)))
    first = [sum(lengths[:i]) for i in range(len(lengths))]
    return "\n".join(said(n, length, f) for n, length, f in zip(names, lengths, first, strict=True))


def spoken(text: str) -> list[str]:
    return [word for word in text.split() if word.startswith("w")]


@given(talks(), st.integers(16, 80), st.integers(0, 4))
@settings(max_examples=150, deadline=None)
def test_every_word_is_in_a_part_that_fits_and_has_its_speaker(talk: str, limit: int, overlap: int) -> None:
    counter = Words()
    parts = split_dialogue(talk, counter, limit, overlap)
    assert all(counter.in_prompt(part.text) <= limit for part in parts)
    read = [word for part in parts for word in spoken(part.text)]
    assert list(dict.fromkeys(read)) == spoken(talk)
    speakers = {word: turn.speaker for turn in parse_turns(talk) for word in turn.text.split()}
    for part in parts:
        for line in part.text.split("\n"):
            name, _, text = line.partition(": ")
            assert {speakers[word] for word in text.split()} == {name}
    assert sorted({i for part in parts for i in part.turns}) == [turn.index for turn in parse_turns(talk)]


@given(talks(), st.integers(45, 80))
@settings(max_examples=80, deadline=None)
def test_parts_are_as_few_as_can_be_and_even(talk: str, limit: int) -> None:
    parts = split_dialogue(talk, Words(), limit, 0)
    sizes = [len(part.text.split()) + len(part.text.split("\n")) for part in parts]  # a line break is a token
    pieces = [len(line.split()) + 1 for part in parts for line in part.text.split("\n")]
    room = limit - PROMPT_WORDS
    filled, fewest = 0, 1
    for piece in pieces:
        if filled + piece > room:
            filled, fewest = 0, fewest + 1
        filled += piece
    if len(parts) > 1:
        assert len(parts) == fewest
        # no smaller bound on a part would do with as many parts
        bound, needed, filled = max(sizes) - 1, 1, 0
        for piece in pieces:
            if filled + piece > bound:
                filled, needed = 0, needed + 1
            filled += piece
        assert needed > len(parts) or max(pieces) > bound


def test_parts_repeat_the_last_turns_of_the_one_before() -> None:
    talk = "\n".join(said("Ann" if i % 2 else "Bob", 4, 4 * i) for i in range(40))
    parts = split_dialogue(talk, Words(), 63, 2)
    assert len(parts) > 2
    for before, after in pairwise(parts):
        assert after.turns[:2] == before.turns[-2:]
    plain = split_dialogue(talk, Words(), 63, 0)
    assert Counter(i for part in plain for i in part.turns).most_common(1)[0][1] == 1


def test_a_turn_beyond_the_context_is_cut_between_sentences() -> None:
    talk = f"{said('Bob', 4, 0)}\n{said('Dr. Lee', 60, 4)}\n{said('Bob', 4, 64)}"
    parts = split_dialogue(talk, Words(), 30, 0)
    assert {i for part in parts for i in part.cut_turns} == {1}
    pieces = [line for part in parts for line in part.text.split("\n") if line.startswith("Dr. Lee: ")]
    assert len(pieces) > 2
    assert all(line.endswith(".") for line in pieces)


def test_a_sentence_and_a_word_beyond_the_context_are_cut_too() -> None:
    class Letters(Words):
        def in_prompt(self, text: str) -> int:
            return PROMPT_WORDS + len(text)

        def alone(self, texts: Sequence[str]) -> list[int]:
            return [len(text) for text in texts]

    talk = "Ann: " + "x" * 100 + " and then, without any stop, so much more and more of it\nBob: Yes."
    parts = split_dialogue(talk, Letters(), 40, 2)
    assert all(PROMPT_WORDS + len(part.text) <= 40 for part in parts)
    text = "".join(line.removeprefix("Ann: ") for part in parts for line in part.text.split("\n"))
    assert text.replace(" ", "").count("x") == 100
    assert "stop," in text
    assert text.endswith("Yes.")


def test_a_dialogue_that_fits_is_one_part_to_the_letter() -> None:
    talk = "Ann :  Hi!\n\nBob: Yes."
    assert split_dialogue(talk, Words(), 20, 2) == [Part(talk, (0, 1))]


def test_a_prompt_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(RecipeError, match="no room") as caught:
        split_dialogue(said("Ann", 60, 0), Words(), PROMPT_WORDS + 4, 2)
    assert "max_source_tokens" in caught.value.hint


@pytest.fixture(scope="module")
def small(byte_base: Path, dialogues: Path, tmp_path_factory: pytest.TempPathFactory) -> Summarizer:
    folder = tmp_path_factory.mktemp("small")
    course = {"learning_rate": 5e-2, "max_steps": 8, "eval_examples": 0}
    recipe = make_recipe(byte_base, dialogues, train=course, generation={"max_new_tokens": 12})
    train(recipe, folder / "run", folder / "small")
    return Summarizer(adapters=[folder / "small"])


LONG = ["\n".join(f"{'Ann' if j % 2 else 'Bob'}: Lunch at {i + j}, or not?" for j in range(n)) for i, n in
        enumerate((2, 30, 3, 70))]  # fmt: skip


def test_staged_reads_the_long_ones_in_parts_and_the_others_as_ever(
    small: Summarizer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    staged = small.write(LONG, generation=STAGED)
    assert [written.parts > 1 for written in staged] == [False, True, False, True]
    assert [written.stages > 1 for written in staged] == [False, True, False, True]
    assert all(written.read_tokens == written.source_tokens for written in staged)
    assert all(len(written.source) <= 192 for written in staged)
    short = [LONG[0], LONG[2]]
    assert small.summarize(short, generation=STAGED) == small.summarize(short, generation=Generation(max_new_tokens=8))
    assert "2 of 4 dialogues are longer than 192 tokens; read whole" in caplog.text
    assert "cut" not in caplog.text


def test_together_they_get_what_each_gets_alone(small: Summarizer) -> None:
    together = small.write(LONG, generation=STAGED)
    assert together == [small.write([dialogue], generation=STAGED)[0] for dialogue in LONG]
    assert len({written.text for written in together}) > 1


def test_a_cut_is_announced_with_counts(small: Summarizer, caplog: pytest.LogCaptureFixture) -> None:
    cut = small.write(LONG)
    counter = PromptCounter(small.tokenizer, Prompt())
    assert [written.source_tokens for written in cut] == [counter.in_prompt(dialogue) for dialogue in LONG]
    lost = sum(written.source_tokens - written.read_tokens for written in cut)
    assert lost == sum(written.source_tokens - len(written.source) for written in cut) > 0
    total = sum(written.source_tokens for written in cut)
    assert f"2 of 4 dialogues are longer than 192 tokens; their end was cut: {lost} of {total} tokens" in caplog.text
    assert [written.whole for written in cut] == [True, False, True, False]


def staged_by(small: Summarizer, answer: str, generation: Generation, text: str) -> tuple[str, int, bool, int]:
    """Return what stages give where every part has the same summary, and how many parts were read in all."""
    read = 0

    def decode(sources: Sequence[list[int]], title: str) -> list[str]:
        nonlocal read
        read += len(sources)
        return [answer] * len(sources)

    (written,) = write_summaries([text], small.tokenizer, Prompt(), 192, generation, decode)
    return written.text, written.stages, written.joined, read


def test_stages_go_on_until_one_summary_is_left(small: Summarizer) -> None:
    text, stages, joined, read = staged_by(small, "They eat.", STAGED, LONG[3] * 9)
    assert (text, joined) == ("They eat.", False)
    assert stages >= 3  # what the first stage gives is too long, too
    assert read > stages


def test_summaries_that_shorten_nothing_are_kept_whole(small: Summarizer, caplog: pytest.LogCaptureFixture) -> None:
    endless = "They eat and eat, and then they talk of lunch again. " * 4
    text, stages, joined, read = staged_by(small, endless, STAGED, LONG[1])
    assert joined
    assert text == " ".join([endless.strip()] * read)
    assert stages == 1
    assert "no shorter than what they summarise" in caplog.text


def test_summaries_stand_one_after_the_other_once_they_are_short_enough(small: Summarizer) -> None:
    tokens = len("They eat.")  # a byte is a token here
    _, _, _, parts = staged_by(small, "They eat.", STAGED.model_copy(update={"joined_tokens": 9999}), LONG[3])
    assert parts > 3
    just = STAGED.model_copy(update={"joined_tokens": parts * tokens})
    assert staged_by(small, "They eat.", just, LONG[3]) == (" ".join(["They eat."] * parts), 1, True, parts)
    under = STAGED.model_copy(update={"joined_tokens": parts * tokens - 1})
    text, stages, joined, read = staged_by(small, "They eat.", under, LONG[3])
    assert stages > 1
    assert read > parts
    assert text == " ".join(["They eat."] * (1 if not joined else (read - parts)))


def test_empty_summaries_of_all_parts_are_an_empty_summary(small: Summarizer) -> None:
    text, stages, joined, _ = staged_by(small, "", STAGED, LONG[1])
    assert (text, stages, joined) == ("", 1, True)


def test_evaluate_takes_a_strategy_and_records_what_was_read(
    small: Summarizer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{"id": f"l{i}", "dialogue": text, "summary": "They plan lunch."} for i, text in enumerate(LONG)]
    data = write_jsonl(tmp_path / "long.jsonl", rows)
    adapter = small.target("small")
    assert adapter is not None
    assert adapter.adapter is not None
    cut = evaluate(adapter.adapter, str(data))
    staged = evaluate(adapter.adapter, str(data), strategy="staged", out=tmp_path / "out")
    assert (cut.generation.strategy, staged.generation.strategy) == ("truncate", "staged")
    assert cut.statistics["source_cut"] == [0, 1, 0, 1]
    assert staged.statistics["source_cut"] == [0, 0, 0, 0]
    assert staged.statistics["source_tokens"] == cut.statistics["source_tokens"]
    assert [parts > 1 for parts in staged.statistics["source_parts"]] == [False, True, False, True]
    assert cut.statistics["source_parts"] == [1, 1, 1, 1]
    written = (tmp_path / "out" / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["prediction"] for line in written]
    assert texts == small.summarize(LONG, generation=staged.generation)


def test_the_built_in_long_dialogues_hold_each_short_one_once() -> None:
    short = load_split(Data(), "test")
    long = load_split(Data(source="builtin:long-dialogues"), "test")
    assert long.fingerprint == load_split(Data(source="builtin:long-dialogues"), "test").fingerprint
    assert len(long.examples) == 20
    text = "\n".join(example.dialogue for example in long.examples)
    assert Counter(text.split("\n")) == Counter("\n".join(e.dialogue for e in short.examples).split("\n"))
    for example in long.examples:
        assert len(example.references) == 3
        parts = [e for e in short.examples if e.dialogue in example.dialogue]
        assert all(all(r in whole for r, whole in zip(e.references, example.references, strict=True)) for e in parts)
        assert len(parts) == 10


def test_groups_are_of_one_topic_even_and_seeded() -> None:
    class Row:
        def __init__(self, number: int) -> None:
            self.number = number
            self.topic = str(number % 3)

    rows = [Row(i) for i in range(50)]
    groups = grouped(rows, seed=1, per_dialogue=5)
    assert sorted(row.number for group in groups for row in group) == list(range(50))
    assert all(len({row.topic for row in group}) == 1 for group in groups)
    assert {len(group) for group in groups} <= {5, 6}
    assert groups == grouped(rows, seed=1, per_dialogue=5)
    assert groups != grouped(rows, seed=2, per_dialogue=5)


def test_references_are_joined_in_turn() -> None:
    assert joined_references([("a1", "a2", "a3"), ("b1",), ("c1", "c2")]) == ("a1 b1 c1", "a2 b1 c2", "a3 b1 c1")


def test_short_dialogues_of_the_fixtures_are_no_long_ones(small: Summarizer) -> None:
    rows = [row["dialogue"] for row in dialogue_rows(5)]
    assert all(written.whole and written.parts == 1 for written in small.write(rows, generation=STAGED))
