"""Which turns support a sentence, and which suspicions are worth a reader's time."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peftsum.data import load_split
from peftsum.flags import flags, trusted_detectors
from peftsum.joined import grouped
from peftsum.metrics.errors import FITTED, RULES, find_errors, fitted
from peftsum.metrics.errors.detectors import NEED_REFERENCES
from peftsum.recipe import Data
from peftsum.support import MOST_TURNS, sources

TALK = """Ann: Lunch at one tomorrow?
Bob: I can't, I have to take my cat to the vet at noon.
Ann: Oh no, what's wrong with her?
Bob: She has not eaten for two days.
Ann: Friday then, at Joe's?
Bob: Friday is fine. I'll book a table for two."""


def turns_of(summary: str, talk: str = TALK) -> list[list[int]]:
    return [[turn.index for turn in source.turns] for source in sources(summary, talk)]


def test_each_sentence_has_the_turns_that_say_it() -> None:
    summary = (
        "Bob has to take his cat to the vet. The cat has not eaten for two days. They will eat at Joe's on Friday."
    )
    first, second, third = turns_of(summary)
    assert first == [1]
    assert 3 in second
    assert 4 in third


def test_turns_come_with_their_speaker_and_words() -> None:
    (source,) = sources("Bob will book a table for two.", TALK)
    (turn,) = source.turns
    assert (turn.index, turn.speaker, turn.text) == (5, "Bob", "Friday is fine. I'll book a table for two.")
    assert source.support == 1.0


def test_what_the_dialogue_does_not_say_has_little_support_and_no_turns() -> None:
    told, made_up = sources("Bob takes his cat to the vet. Cleo sells an old motorcycle.", TALK)
    assert told.support is not None
    assert made_up.support is not None
    assert told.support > 0.5
    assert (made_up.support, made_up.turns) == (0.0, [])


def test_a_sentence_of_names_and_small_words_has_nothing_to_look_for() -> None:
    (source,) = sources("Ann and Bob.", TALK)
    assert (source.support, source.turns) == (None, [])
    assert sources("", TALK) == []


def test_the_named_speaker_s_turn_is_taken_of_two_alike() -> None:
    talk = "Ann: I love hiking.\nBob: I love hiking.\nCleo: Nice."
    assert turns_of("Ann loves hiking.", talk) == [[0]]
    assert turns_of("Bob loves hiking.", talk) == [[1]]


def test_a_dialogue_without_names_has_lines_for_turns() -> None:
    assert turns_of("The train leaves at noon.", "we should pack\nthe train leaves at noon\nright") == [[1]]


@given(st.lists(st.sampled_from(TALK.split()), min_size=1, max_size=20).map(" ".join))
@settings(max_examples=60, deadline=None)
def test_whatever_the_summary_says_turns_are_real_and_few(summary: str) -> None:
    lines = TALK.split("\n")
    for source in sources(summary, TALK):
        assert len(source.turns) <= MOST_TURNS
        assert source.support is None or 0 <= source.support <= 1
        assert [turn.index for turn in source.turns] == sorted({turn.index for turn in source.turns})
        for turn in source.turns:
            assert lines[turn.index] == f"{turn.speaker}: {turn.text}"


def test_in_joined_dialogues_sentences_find_the_one_they_are_about() -> None:
    """Of ten conversations of one situation each sentence of a summary belongs to one: chance finds a tenth."""
    short = load_split(Data(fields={"topic": "situation"}), "test").examples
    right = found = 0
    for group in grouped(short, seed=3, per_dialogue=10)[:6]:
        talk = "\n".join(example.dialogue for example in group)
        ends = [sum(len(e.dialogue.split("\n")) for e in group[: i + 1]) for i in range(len(group))]
        for place, example in enumerate(group):
            for source in sources(example.references[0], talk):
                owners = [sum(turn.index >= end for end in ends) for turn in source.turns]
                if owners:
                    found += 1
                    right += max(set(owners), key=owners.count) == place
    assert found > 60
    assert right / found > 0.7


def test_trusted_are_those_that_beat_chance_on_every_set_without_a_reference() -> None:
    trusted = trusted_detectors()
    assert "error_pronoun" in trusted
    assert "error_hallucination" not in trusted  # docs/errors.md: little better than chance without a reference
    for name in FITTED:
        lows = [check.balanced_accuracy.low for check in fitted().detectors[name].checked_without_references.values()]
        assert (name in trusted) == (bool(lows) and min(lows) > 0.5)
        assert all(0 < share < 1 for share in trusted.get(name, []))


@pytest.mark.parametrize("seed", range(4))
def test_flags_are_the_findings_that_can_be_trusted_and_point_at_something(seed: int) -> None:
    rng = random.Random(seed)
    words = (TALK + " He she they 17 Monday never Cleo bought him cars").replace("\n", " ").split()
    summary = " ".join(rng.sample(words, 14)) + "."
    kept = {*trusted_detectors(), *RULES} - NEED_REFERENCES
    expected = [f for f in find_errors(summary, TALK) if f.flagged and f.error in kept and (f.words or f.turns)]
    found = flags(summary, TALK)
    assert [flag.error for flag in found] == [finding.error for finding in expected]
    for flag, finding in zip(found, expected, strict=True):
        assert flag.checked == (flag.error in FITTED) == (flag.precision is not None)
        assert [turn.index for turn in flag.turns] == finding.turns
        assert flag.words == finding.words


def test_an_empty_summary_is_flagged_as_too_short() -> None:
    assert [flag.error for flag in flags("", TALK)] == ["error_length"]
