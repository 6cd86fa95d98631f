"""Facts of dialogues and coverage by summaries: who speaks, what is reported, and what a summary takes up of it."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftsum.dialogue_facts import dialogue_facts, speech_of
from peftsum.dialogue_text import parse_turns
from peftsum.metrics.coverage import Coverage, content_words, turn_coverage

LUNCH = """Ann: Hello, Bob! Shall we have lunch at the Copper Pot?
Bob: Yes, sure.
Ann: One o'clock?
Bob: I have a dentist's appointment until two.
Ann: Then the Copper Pot at 2:30."""


def test_the_built_in_dialogues_have_the_speakers_that_begin_their_lines() -> None:
    rows = (files("peftsum.builtin") / "dialogues" / "test.jsonl").read_text("utf-8").splitlines()
    for row in map(json.loads, rows):
        lines = row["dialogue"].splitlines()
        assert [turn.speaker for turn in parse_turns(row["dialogue"])] == [line.partition(":")[0] for line in lines]


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        (['He said "come at two", so I did.'], "direct"),
        (["She wrote “not before nine” on the door."], "direct"),
        (["My son told me that Berlin is fine."], "indirect"),
        (["They asked if it rains.", "No."], "indirect"),
        (["It says here that it is closed."], "none"),  # a notice, not a person
        (["You said it."], "none"),
        (['The "Grill" is nice.', "It's 5'10\" tall."], "none"),  # a name, and inches
        ([], "none"),
    ],
)
def test_reported_words_are_told_from_plain_speech(turns: list[str], expected: str) -> None:
    assert speech_of(turns) == expected


def test_facts_have_a_value_a_dialogue() -> None:
    facts = dialogue_facts(["a", "b"], [LUNCH, "no names"], ["lunch", None])
    assert (facts.speakers, facts.topics, facts.speech) == ([2, 0], ["lunch", None], ["none", "none"])
    assert facts.words == [len(LUNCH.split()), 2]


def test_content_words_are_stems_and_whole_numbers() -> None:
    assert content_words("They moved the meetings to 7:30, for $1,080.") == {"move", "meet", "7:30", "1080"}
    assert content_words("seven o'clock") == content_words("7 o'clock")
    assert content_words("Yes, sure. I didn't!") == set()


def test_a_turn_is_covered_by_a_third_of_its_content_words_and_names_are_none() -> None:
    found = turn_coverage([LUNCH], [["Ann and Bob meet at the Copper Pot."]])
    # Ann's turns: lunch copper pot · clock · copper pot 2:30; Bob's: "Yes, sure." has none · dentist appointment two.
    assert found.turns == [2 / 4]
    assert (found.most, found.least) == ([2 / 3], [0.0])
    assert found.missed_at == [(2 / 4 + 3 / 4) / 2]


def test_what_cannot_be_measured_is_none_and_never_0() -> None:
    dialogues = ["Ann: Yes.\nBob: No.", "Ann: A dentist's appointment.", LUNCH]
    found = turn_coverage(dialogues, [["Nothing."], ["A dentist."], [LUNCH]])
    assert found == Coverage(
        turns=[None, 1.0, 1.0], most=[None, None, 1.0], least=[None, None, 1.0], missed_at=[None, None, None]
    )
    assert turn_coverage([], []) == Coverage(turns=[], most=[], least=[], missed_at=[])


def test_words_of_nobody_known_are_covered_but_no_speaker_is_overlooked() -> None:
    found = turn_coverage(["A dentist.\nAnn: A parcel.", "a dentist\na parcel"], [["Dentist."], ["Parcel."]])
    assert (found.turns, found.most) == ([0.5, 0.5], [None, None])


def test_several_references_count_alike() -> None:
    one, other = turn_coverage([LUNCH], [["A dentist."]]), turn_coverage([LUNCH], [["The Copper Pot."]])
    both = turn_coverage([LUNCH], [["A dentist.", "The Copper Pot."]])
    assert both.turns == [((one.turns[0] or 0) + (other.turns[0] or 0)) / 2]


@given(st.lists(st.sampled_from(["Ann: milk", "Bob: bread", "Cleo: eggs", "Ann: yes"]), min_size=1, max_size=8))
def test_shares_are_fractions_and_the_whole_lies_between_the_speakers(lines: list[str]) -> None:
    found = turn_coverage(["\n".join(lines)], [["Milk and eggs."]])
    turns, most, least = found.turns[0], found.most[0], found.least[0]
    if most is not None and least is not None and turns is not None:
        assert 0 <= least <= turns <= most <= 1
    if found.missed_at[0] is not None:
        assert 0 <= found.missed_at[0] <= 1
