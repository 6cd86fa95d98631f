"""Turns of a dialogue: whose they are, and what only looks like a name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftsum.data import available_splits, load_split
from peftsum.dialogue_text import LABEL_LETTERS, Turn, parse_turns
from peftsum.recipe import Data


def said(dialogue: str) -> list[tuple[str | None, str]]:
    return [(turn.speaker, turn.text) for turn in parse_turns(dialogue)]


@pytest.mark.parametrize(
    "name",
    ["Ann", "ann", "#Person1#", "Dr. Smith", "Mrs. O'Neill", "Jean-Luc", "Ludwig van Beethoven", "A", "Speaker 1",
     "Guest_family", "[Doctor]", "User Interface", "Team leader", "Ann (mum)", "Łukasz", "李雷", "x" * LABEL_LETTERS],
)  # fmt: skip
def test_what_is_written_like_a_name_is_one(name: str) -> None:
    assert said(f"{name}: Hi.\nBob: Hello.") == [(name, "Hi."), ("Bob", "Hello.")]
    assert said(f"  {name} : Hi.\r\nBob:Hello.\r\n") == [(name, "Hi."), ("Bob", "Hello.")]


@pytest.mark.parametrize(
    "line",
    ["we meet at 5:30", "5:30 is fine", "at 5:30: not before", "see http://example.org/a: it is there",
     "https://example.org", "Thanks :)", "ok :D", "what I mean is: no", "Well, you know: it depends", "Really? Yes: I",
     "I have one question. Please: why", "mailto:ann@example.org", "2:1 for us", ":-)", ": no name", "::", "no colon",
     f"{'x' * (LABEL_LETTERS + 1)}: a name of 41 letters"],
)  # fmt: skip
def test_a_line_without_a_name_goes_on_with_the_turn_before(line: str) -> None:
    assert said(f"Ann: Listen.\n{line}\nBob: Yes.") == [("Ann", f"Listen.\n{line}"), ("Bob", "Yes.")]
    assert said(f"{line}\nBob: Yes.") == [(None, line), ("Bob", "Yes.")]


def test_what_stands_before_several_lines_is_a_name_however_it_is_written() -> None:
    dialogue = "customer service: Hello\n7: Hi\ncustomer service:😀\n7:?"
    assert said(dialogue) == [("customer service", "Hello"), ("7", "Hi"), ("customer service", "😀"), ("7", "?")]
    twice = "Ann: When?\nwe meet at 5:30\nwe meet at 5:45\nsee http://a\nsee http://b\nAnn :(\nAnn :("
    assert [speaker for speaker, _ in said(twice)] == ["Ann"]


def test_without_any_name_each_line_is_a_turn_of_nobody_known() -> None:
    assert said("Hi!\n\nHow are you?") == [(None, "Hi!"), (None, "How are you?")]
    assert said(" \n") == []


def test_a_name_on_a_line_of_its_own_has_the_text_below_it() -> None:
    assert said("Ann:\nHi.\nBob:") == [("Ann", "Hi."), ("Bob", "")]


NAMES = st.sampled_from(["Ann", "#Person2#", "Dr. Lee", "bob", "Project Manager"])
TEXTS = st.text(st.characters(blacklist_characters=":\n\r", blacklist_categories=["C", "Z"]), min_size=1, max_size=30)


@given(st.lists(st.tuples(NAMES, TEXTS), min_size=1, max_size=12))
def test_turns_written_one_a_line_are_read_back_in_order(turns: list[tuple[str, str]]) -> None:
    dialogue = "\n".join(f"{name}: {text}" for name, text in turns)
    assert parse_turns(dialogue) == [Turn(name, text, index) for index, (name, text) in enumerate(turns)]


@given(st.text(max_size=200))
def test_any_text_is_read_and_no_word_of_it_is_lost(text: str) -> None:
    turns = parse_turns(text)
    assert [turn.index for turn in turns] == list(range(len(turns)))
    put_back = "".join(f"{turn.speaker or ''}{':' if turn.speaker else ''}{turn.text}" for turn in turns)
    assert "".join(put_back.split()) == "".join(text.split())


def test_every_line_of_the_built_in_dialogues_has_a_speaker() -> None:
    for split in available_splits("builtin:dialogues"):
        for example in load_split(Data(), split).examples:
            turns = parse_turns(example.dialogue)
            assert all(turn.speaker for turn in turns)
            assert len(turns) == len(example.dialogue.splitlines())
