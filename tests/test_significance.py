"""Which pairs are tested, what the tests come to, and that table, file and verdict say the same."""

from __future__ import annotations

import csv
import io
import random

import pytest
from comparisons import comparison, full, ia3, lora, noisy, spread, system, untuned
from hypothesis import given, settings
from hypothesis import strategies as st

from peftsum.comparison import (
    Comparison,
    System,
    contrasts,
    difference,
    error_contrasts,
    judge,
    reference_system,
    rouge_l,
    untuned_base,
    verdict,
    verdict_basis,
)
from peftsum.metrics.paired import holm
from peftsum.metrics.scores import ErrorRate
from peftsum.report.page import render_html, render_markdown
from peftsum.report.results import unranking_errors
from peftsum.report.significance import differences_csv, significance
from peftsum.report.tables import errors_table
from peftsum.significance import ALPHA, Contrast

NOTHING = "no difference that this test set can show"


def pairs(*systems: System) -> list[tuple[str, str, bool]]:
    return [(test.system, test.against, test.shown) for test in contrasts(comparison(*systems))]


def by_pair(made: Comparison) -> dict[tuple[str, str], Contrast]:
    return {(test.system, test.against): test for test in contrasts(made)}


# Pairs ---------------------------------------------------------------------------------------------------------------


def test_every_system_is_held_against_full_tuning_and_against_its_untuned_base() -> None:
    assert pairs(untuned(), full(), lora(), ia3()) == [
        ("LoRA r16", "full", True),
        ("IA³", "full", True),
        ("full", "untuned base", True),
        ("LoRA r16", "untuned base", True),
        ("IA³", "untuned base", True),
    ]


def test_an_untuned_system_that_is_no_ones_base_is_held_against_the_reference() -> None:
    other = untuned(0.2, system="large, untuned", base="google/flan-t5-large")
    assert ("large, untuned", "full", True) in pairs(untuned(), other, full())
    assert ("untuned base", "full", True) not in pairs(untuned(), other, full())


def test_a_reference_chosen_by_its_score_brings_the_pairs_it_was_chosen_from() -> None:
    found = pairs(lora(), ia3(), lora(0.2, system="LoRA r4"))
    assert [pair for pair in found if pair[2]] == [("IA³", "LoRA r16", True), ("LoRA r4", "LoRA r16", True)]
    assert [set(pair[:2]) for pair in found if not pair[2]] == [{"IA³", "LoRA r4"}]
    several = pairs(full(), full(0.2, system="full, 1 epoch"), lora())
    assert ("LoRA r16", "full, 1 epoch", False) in several


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["none", "full", "lora"]), st.booleans()), min_size=1, max_size=6))
def test_no_pair_stands_twice_and_no_system_is_its_own_rival(parts: list[tuple[str, bool]]) -> None:
    systems = [
        system(f"S{i}", method, 0.2 + i / 100, base="a" if first else "b") for i, (method, first) in enumerate(parts)
    ]
    found = pairs(*systems)
    assert len({frozenset(pair[:2]) for pair in found}) == len(found)
    assert all(ours != theirs for ours, theirs, _ in found)
    reference = reference_system(comparison(*systems)).system
    assert all(any({s.system, reference} == set(pair[:2]) for pair in found) for s in systems if s.system != reference)


# Tests ---------------------------------------------------------------------------------------------------------------


def test_a_contrast_carries_the_difference_its_family_and_its_signature() -> None:
    made = comparison()
    found = by_pair(made)
    delta = difference(lora(), full())
    test = found["LoRA r16", "full"]
    assert (test.mean, test.low, test.high) == (delta.mean, delta.low, delta.high)
    assert (test.n, test.family, test.score) == (200, 5, "rougeL")
    added = "|unit:dialogue|tests:randomization+bootstrap-t:10000|test-seed:13|correction:holm:5"
    assert test.signature == lora().scores.signature + added
    assert [t.p_holm for t in found.values()] == holm([t.p_randomization or 0 for t in found.values()]).tolist()
    assert found["LoRA r16", "full"].outcome == "unclear"
    assert found["IA³", "full"].outcome == "worse"
    assert found["full", "untuned base"].outcome == "better"


def test_each_score_is_a_family_of_its_own() -> None:
    scaled = lora(statistics={"rougeL_f": noisy(0.216, 2), "rouge2_f": noisy(0.3, 2)})
    other = full(statistics={"rougeL_f": noisy(0.219, 5), "rouge2_f": noisy(0.2, 5)})
    made = comparison(scaled, other)
    assert [contrasts(made, score)[0].outcome for score in ("rougeL", "rouge2")] == ["unclear", "better"]
    assert contrasts(made, "rouge1")[0].p_holm is None  # no scores a dialogue
    assert contrasts(made, "rouge2")[0].family == 1


def test_one_difference_is_shown_alone_and_is_lost_among_many() -> None:
    """The correction is for all pairs: what passes by itself need not pass beside nineteen others."""
    rivals = [lora(0.219, system=f"LoRA {i}", rouge_l_per_example=noisy(0.219, 10 + i)) for i in range(19)]
    slightly = lora(0.210, rouge_l_per_example=noisy(0.210, 2))
    alone, among = comparison(full(), slightly), comparison(full(), slightly, *rivals)
    assert by_pair(alone)["LoRA r16", "full"].outcome == "worse"
    assert by_pair(among)["LoRA r16", "full"].outcome == "unclear"
    assert verdict(alone).startswith("Only full fine-tuning")
    assert "is as good as" in verdict(among) or "is itself the cheapest" in verdict(among)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["none", "full", "lora"]), st.sampled_from([0.19, 0.2, 0.21, 0.23]), st.booleans()),
        min_size=2,
        max_size=5,
    )
)
def test_the_verdict_never_says_other_than_the_table(parts: list[tuple[str, float, bool]]) -> None:
    made = comparison(
        *(
            system(f"S{i}", method, f, rouge_l_per_example=noisy(f, 20 + i) if each else None)
            for i, (method, f, each) in enumerate(parts)
        )
    )
    judgement = judge(made)
    if judgement is None:
        return
    found = by_pair(made)
    for rival in (*judgement.good, *judgement.others):
        if rival is not judgement.reference:
            worse = found[rival.system, judgement.reference.system].outcome == "worse"
            assert worse == (rival in judgement.others)
    said, winner, reference = verdict(made), judgement.winner, judgement.reference
    best = max((s for s in made.systems if s.method != "none"), key=rouge_l)
    for words, pair, outcome in [
        ("No gain from tuning can be seen", (best, untuned_base(made, best)), "unclear"),
        ("Tuning made the summaries worse", (best, untuned_base(made, best)), "worse"),
        ("is better than full", (winner, reference), "better"),
        ("is as good as full", (winner, reference), "unclear"),
        ("misses it by", (judgement.others[0] if judgement.others else winner, reference), "worse"),
    ]:
        if words in said:
            assert found[pair[0].system, pair[1].system].outcome == outcome  # type: ignore[union-attr]


def test_the_basis_names_the_rule_that_decides() -> None:
    test = by_pair(comparison())["LoRA r16", "full"]
    assert f"p of at most {ALPHA} by paired approximate randomization over 200 dialogues" in verdict_basis(comparison())
    assert f"p = {test.p_holm:.3g}" in verdict_basis(comparison())
    assert "Holm" not in verdict_basis(comparison(full(), lora()))


# Report --------------------------------------------------------------------------------------------------------------


def test_the_table_puts_every_pair_in_words() -> None:
    section = significance(comparison())
    assert section is not None
    rows = {row.name: row.cells for row in section.main.rows}
    assert rows["LoRA r16 against full"][-1].text == NOTHING
    assert rows["IA³ against full"][-1].text == "worse"
    assert rows["full against untuned base"][-1].text == "better"
    assert [cell.text for cell in rows["IA³ against full"][:2]] == ["ROUGE-L", "\N{MINUS SIGN}4.8"]
    assert [cell.text for cell in rows["IA³ against full"][2:5]] == ["< 0.001"] * 3
    assert [row.cells[0].text for row in section.others.rows] == [
        score for score in ("ROUGE-1", "ROUGE-2", "ROUGE-Lsum") for _ in range(5)
    ]
    assert any("for the 5 pairs" in note for note in section.notes)


def test_the_page_and_the_markdown_have_the_section() -> None:
    for text in (render_html(comparison(), []), render_markdown(comparison(), [])):
        assert "Which differences are real" in text
        assert NOTHING in text
        assert "correction:holm:5" in text
    assert significance(comparison(lora())) is None
    assert "Which differences" not in render_html(comparison(lora()), [])


def test_what_was_not_tested_says_so() -> None:
    section = significance(comparison(full(rouge_l_per_example=None), lora()))
    assert section is not None
    cells = section.main.rows[0].cells
    assert [(cell.text, cell.missing) for cell in cells[2:5]] == [("not tested", True)] * 3
    assert cells[-1].text == NOTHING
    assert any(note.startswith("Not tested:") for note in section.notes)


def test_pairs_that_only_count_in_the_correction_are_told_of() -> None:
    made = comparison(lora(), ia3(), lora(0.2, system="LoRA r4"))
    section = significance(made)
    assert section is not None
    assert len(section.main.rows) == 2
    assert any(
        "LoRA r16 is what the others are held against" in note and "one pair more" in note for note in section.notes
    )
    assert sum(row["shown"] == "no" for row in csv.DictReader(io.StringIO(differences_csv(made)))) == 4


def test_the_file_has_what_the_table_has() -> None:
    made = comparison()
    rows = list(csv.DictReader(io.StringIO(differences_csv(made))))
    assert [row["score"] for row in rows] == [s for s in ("rougeL", "rouge1", "rouge2", "rougeLsum") for _ in range(5)]
    for row, test in zip(rows, contrasts(made), strict=False):
        assert (row["system"], row["against"]) == (test.system, test.against)
        assert float(row["difference_f"]) == test.mean
        assert (float(row["p_holm"]), float(row["p_bootstrap"])) == (test.p_holm, test.p_bootstrap)
        assert row["signature"] == test.signature
    assert {row["outcome"] for row in rows} == {"better", "worse", NOTHING}
    untested = comparison(full(rouge_l_per_example=None), lora())
    assert next(csv.DictReader(io.StringIO(differences_csv(untested))))["p_holm"] == ""
    assert len(differences_csv(comparison(lora())).splitlines()) == 1


@pytest.mark.parametrize(("n", "words"), [(1, "judged by one dialogue"), (2, "judged by 2 dialogues")])
def test_few_dialogues_are_counted_in_words(n: int, words: str) -> None:
    made = comparison(full(0.9, rouge_l_per_example=[0.9] * n), lora(0.1, rouge_l_per_example=[0.1] * n), n=n)
    section = significance(made)
    assert section is not None
    assert words in " ".join(section.notes)
    assert section.main.rows[0].cells[-1].text == NOTHING


# Error rates ---------------------------------------------------------------------------------------------------------


def flagged(made: System, **flags: list[float]) -> System:
    """Return the system with error flags a dialogue, and no other error rate."""
    rates = {name: ErrorRate(rate=sum(v) / len(v), low=0, high=1) for name, v in flags.items()}
    scores = made.scores.model_copy(update={"error_rates": rates})
    return made.model_copy(update={"scores": scores, "statistics": {**made.statistics, **flags}})


def flags(rng: random.Random, rate: float, n: int = 200) -> list[float]:
    return [float(rng.random() < rate) for _ in range(n)]


def test_fewer_errors_are_better_and_all_rates_are_one_family() -> None:
    rng = random.Random(3)
    worse = flagged(lora(), error_any=flags(rng, 0.6), error_speaker=flags(rng, 0.3))
    better = flagged(full(), error_any=flags(rng, 0.2), error_speaker=flags(rng, 0.3))
    found = error_contrasts(comparison(better, worse), ["error_any", "error_speaker"])
    assert [(t.score, t.system, t.against) for t in found] == [
        ("error_any", "LoRA r16", "full"),
        ("error_speaker", "LoRA r16", "full"),
    ]
    assert [t.outcome for t in found] == ["worse", "unclear"]
    assert {t.family for t in found} == {2}
    assert [t.p_holm for t in found] == holm([t.p_randomization or 0 for t in found]).tolist()
    assert found[0].mean == pytest.approx(
        sum(worse.statistics["error_any"]) / 200 - better.scores.error_rates["error_any"].rate
    )


def test_error_rates_without_a_difference_are_told_apart_in_one_comparison_of_twenty() -> None:
    """Null data: dialogues of unequal difficulty, flags of both systems drawn alike. A family errs in 5 % of cases."""
    rng = random.Random(11)
    errors = ["error_any", "error_speaker", "error_negation"]
    trials, false = 100, 0
    for _ in range(trials):
        difficulty = {name: [rng.betavariate(1, 3) for _ in range(60)] for name in errors}
        made = [
            flagged(
                base(rouge_l_per_example=spread(0.2, 60)),
                **{name: [float(rng.random() < p) for p in hard] for name, hard in difficulty.items()},
            )
            for base in (full, lora, ia3)
        ]
        false += any(t.outcome != "unclear" for t in error_contrasts(comparison(*made, n=60), errors))
    assert false / trials <= 0.05 + 2 * (0.05 * 0.95 / trials) ** 0.5


def test_a_system_without_flags_is_left_out() -> None:
    rng = random.Random(5)
    made = comparison(flagged(full(), error_any=flags(rng, 0.2)), flagged(lora(), error_negation=flags(rng, 0.2)))
    assert error_contrasts(made, ["error_any"]) == []
    assert error_contrasts(comparison(full(), lora()), ["heuristic_length"]) == []  # rates alone, as published


def test_rates_of_two_versions_of_the_detectors_are_not_compared() -> None:
    rng = random.Random(5)
    old, new = (flagged(made, error_any=flags(rng, 0.2)) for made in (full(), lora()))
    signed = {v: old.scores.signature + f"|detectors:{v}" for v in ("1f3a77c2", "0fb283c8")}
    old, same, other = (
        made.model_copy(update={"scores": made.scores.model_copy(update={"signature": signed[v]})})
        for made, v in ((old, "1f3a77c2"), (new, "1f3a77c2"), (new, "0fb283c8"))
    )
    assert len(error_contrasts(comparison(old, same), ["error_any"])) == 1
    assert error_contrasts(comparison(old, other), ["error_any"]) == []


def test_the_report_shows_the_error_rates_that_differ_and_counts_the_others() -> None:
    rng = random.Random(3)
    worse = flagged(lora(), error_any=flags(rng, 0.6), error_speaker=flags(rng, 0.3))
    better = flagged(full(), error_any=flags(rng, 0.2), error_speaker=flags(rng, 0.3))
    made = comparison(better, worse)
    section = significance(made)
    assert section is not None
    assert section.errors is not None
    assert [row.cells[0].text for row in section.errors.rows] == ["Any error"]
    for text in (render_html(made, []), render_markdown(made, [])):
        assert "Error rates that differ" in text
        assert "2 differences were tested in the same way: 1 of them is real" in text
    rows = [row for row in csv.DictReader(io.StringIO(differences_csv(made))) if row["score"].startswith("error_")]
    assert [(row["score"], row["outcome"]) for row in rows] == [("error_any", "worse"), ("error_speaker", NOTHING)]


def test_a_rate_that_is_near_0_or_1_in_every_system_is_said_to_rank_nothing() -> None:
    rare, sure = [1.0] * 4 + [0.0] * 196, [1.0] * 195 + [0.0] * 5
    made = comparison(
        flagged(full(), error_pronoun=rare, error_any=sure), flagged(lora(), error_pronoun=rare, error_any=rare)
    )
    assert unranking_errors(made) == ["error_pronoun"]
    table = errors_table(made)
    best = {header.split(" (")[0]: [row.cells[i].best for row in table.rows] for i, header in enumerate(table.headers)}
    assert best["Unclear pronoun"] == [False, False]
    assert best["Any error"] == [False, True]
    for text in (render_html(made, []), render_markdown(made, [])):
        assert "Unclear pronoun: the rate is near 0 % in every system" in text
    assert unranking_errors(comparison(flagged(full(), error_pronoun=rare))) == []  # nothing to rank
