"""Scores by slice: what is cut, what adds up to the whole, and what is said where something is missing."""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Sequence
from typing import Any

import pytest
from comparisons import comparison, full, lora, many, measured, untuned
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from peftsum.comparison import ROUGES, Comparison
from peftsum.dialogue_facts import DialogueFacts
from peftsum.report.hard import hard_section, slices_csv
from peftsum.slices import DIMENSIONS, SMALL, hardest, mean_over, slice_comparison


def with_facts(made: Comparison, **columns: Sequence[Any]) -> Comparison:
    assert made.facts is not None
    return made.model_copy(update={"facts": made.facts.model_copy(update=columns)})


@pytest.fixture(scope="module")
def made() -> Comparison:
    return measured(comparison())


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_slices_share_nothing_and_leave_nothing_out(made: Comparison, dimension: str) -> None:
    slicing = slice_comparison(made)
    for system in made.systems:
        pieces = [piece for piece in slicing.of(dimension) if piece.system == system.system]
        assert sum(piece.n for piece in pieces) == made.n
        for name in ROUGES:
            whole = sum(system.statistics[f"{name}_f"]) / made.n
            weighted = sum(piece.n * piece.rouge[name].f for piece in pieces) / made.n
            assert math.isclose(weighted, whole, abs_tol=1e-12)
        for name in system.scores.error_rates:
            weighted = sum(piece.n * piece.errors[name].rate for piece in pieces) / made.n
            assert math.isclose(weighted, sum(system.statistics[name]) / made.n, abs_tol=1e-12)
        assert all(s.low <= s.f <= s.high for piece in pieces for s in piece.rouge.values())


def test_a_slice_is_small_below_30(made: Comparison) -> None:
    for count, small in ((SMALL, False), (SMALL - 1, True)):
        cut = with_facts(made, speakers=[2] * count + [3] * (made.n - count))
        pieces = slice_comparison(cut).of("speakers")
        assert {piece.small for piece in pieces if piece.label == "2 speakers"} == {small}
        assert (
            "2 speakers (n = 29: fewer than 30 dialogues)" in str(hard_section(cut, slice_comparison(cut)))
        ) is small


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=60))
def test_thirds_by_length_keep_equal_lengths_together_and_say_their_limits(words: list[int]) -> None:
    from peftsum.slices import _length

    n = len(words)
    facts = DialogueFacts(ids=["x"] * n, speakers=[2] * n, words=words, topics=[None] * n, speech=["none"] * n)
    groups = _length(facts)
    assert sorted(row for _, rows in groups for row in rows) == list(range(n))
    spans = [(min(words[row] for row in rows), max(words[row] for row in rows)) for _, rows in groups]
    assert all(before[1] < after[0] for before, after in itertools.pairwise(spans))
    for (label, _), (low, high) in zip(groups, spans, strict=True):
        limits = [int(part) for part in label.split() if part.isdigit()]
        if label.startswith("short"):
            assert high <= limits[0]
        elif label.startswith("long"):
            assert low > limits[0]
        else:
            assert limits[0] <= low <= high <= limits[-1]
    if len(set(words)) == n and n >= 6:
        assert max(len(rows) for _, rows in groups) - min(len(rows) for _, rows in groups) <= 2


def test_topics_are_counted_whatever_their_case_and_rare_ones_stand_together(made: Comparison) -> None:
    topics = ["Food"] * 20 + ["food"] * 20 + [f"topic {i}" for i in range(made.n - 45)] + [None] * 5
    slicing = slice_comparison(with_facts(made, topics=topics))
    counts = {piece.label: piece.n for piece in slicing.of("topic")}
    assert counts == {"Food": 40, "all other topics": made.n - 45, "no topic named": 5}
    for rare, reason in (
        ([None] * made.n, "the data name no topic"),
        ([str(i) for i in range(made.n)], "no topic has 5"),
    ):
        slicing = slice_comparison(with_facts(made, topics=rare))
        assert not slicing.of("topic")
        (found,) = (m for m in slicing.missing if m.dimension == "topic")
        assert found.reason.startswith(reason)
        assert len(found.systems) == len(made.systems)


def test_what_is_missing_is_said_for_the_systems_that_miss_it() -> None:
    whole = measured(comparison(untuned(), full(), lora()))
    old = whole.systems[0].model_copy(update={"statistics": {"rougeL_f": whole.systems[0].statistics["rougeL_f"]}})
    cut = dict(whole.systems[1].statistics)
    del cut["source_cut"]
    mixed = whole.model_copy(
        update={"systems": [old, whole.systems[1].model_copy(update={"statistics": cut}), whole.systems[2]]}
    )
    slicing = slice_comparison(mixed)
    assert {piece.system for piece in slicing.of("speakers")} == {"full", "LoRA r16"}
    assert {piece.system for piece in slicing.of("truncated")} == {"LoRA r16"}
    told = hard_section(mixed, slicing).missing
    assert ("Number of speakers", "untuned base: its scores of each dialogue were not recorded") in told
    assert ("Truncation", "full: it was evaluated before peftsum recorded this; evaluate it again") in told


def test_a_comparison_without_dialogues_has_reasons_and_no_slices() -> None:
    bare = comparison()
    slicing = slice_comparison(bare)
    assert slicing.slices == []
    assert {m.dimension for m in slicing.missing} == set(DIMENSIONS)
    section = hard_section(bare, slicing)
    assert (section.cuts, section.evenness, section.gaps, section.sentence) == ([], None, "", "")
    assert len(section.missing) == len(DIMENSIONS)


def test_the_hardest_kind_of_dialogue_is_one_beyond_the_noise(made: Comparison) -> None:
    best = max(made.systems, key=lambda s: s.scores.rougeL.f)
    score = best.scores.rougeL.f
    even = {f"{name}_f": [score] * made.n for name in ROUGES}
    flat = best.model_copy(update={"statistics": {**best.statistics, **even}})
    calm = made.model_copy(update={"systems": [flat]})
    assert hardest(calm, slice_comparison(calm)) is None

    speakers = [3 if i < 40 else 2 for i in range(made.n)]
    low = {**even, "rougeL_f": [score - 0.1 if count == 3 else score for count in speakers]}
    worse = with_facts(calm, speakers=speakers).model_copy(
        update={"systems": [best.model_copy(update={"statistics": {**best.statistics, **low}})]}
    )
    found = hardest(worse, slice_comparison(worse))
    assert found is not None
    assert (found[1].label, found[1].n) == ("3 speakers", 40)
    assert "number of speakers, 3 speakers" in hard_section(worse, slice_comparison(worse)).sentence


def test_the_gap_between_speakers_is_told_beside_that_of_people(made: Comparison) -> None:
    section = hard_section(made, slice_comparison(made))
    assert section.evenness is not None
    assert [row.name for row in section.evenness.rows] == ["the references", *(s.system for s in made.systems)]
    for system in made.systems:
        coverage = system.coverage
        assert coverage is not None
        gaps = [a - b for a, b in zip(coverage.most, coverage.least, strict=True) if a is not None and b is not None]
        assert len(gaps) == made.n - 2  # one dialogue has one speaker, one no content word
        assert f"{system.system} {100 * sum(gaps) / len(gaps):.0f} (" in section.gaps
    assert "The references, which people wrote: " in section.gaps


def test_slices_csv_has_a_row_a_slice_and_system_to_the_last_digit(made: Comparison) -> None:
    slicing = slice_comparison(made)
    rows = list(csv.DictReader(io.StringIO(slices_csv(made, slicing))))
    assert len(rows) == len(slicing.slices)
    for row, piece in zip(rows, slicing.slices, strict=True):
        assert (row["dimension"], row["slice"], row["system"]) == (piece.dimension, piece.label, piece.system)
        assert row["note"] == ("fewer than 30 dialogues" if piece.small else "")
        assert float(row["rouge2_low"]) == piece.rouge["rouge2"].low
        assert float(row["heuristic_focus_high"]) == piece.errors["heuristic_focus"].high


def test_a_mean_over_nothing_is_none() -> None:
    assert mean_over([None, None]) is None
    found = mean_over([None, 0.25, 0.75])
    assert found is not None
    assert (found.value, found.n) == (0.5, 2)


def test_a_comparison_takes_one_value_a_dialogue(made: Comparison) -> None:
    assert made.facts is not None
    short = made.facts.model_copy(update={"words": made.facts.words[1:]})
    with pytest.raises(ValidationError, match="DialogueFacts: 199 words for 200 dialogues"):
        Comparison.model_validate({**dict(made), "facts": short})


def test_the_record_reads_back_equal() -> None:
    made = many(3)
    assert Comparison.model_validate_json(made.model_dump_json()) == made
