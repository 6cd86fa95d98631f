"""The paired tests: symmetric, seeded, and checked on null data, where at the 5 % level 5 in 100 may be rejected."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from random import Random
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peftsum.exceptions import DataError, UsageError
from peftsum.metrics import example_statistics, intervals
from peftsum.metrics.intervals import bootstrap_intervals, resample_counts
from peftsum.metrics.paired import (
    bootstrap_p_values,
    holm,
    paired_differences,
    randomization_p_values,
)

Test = Callable[..., np.ndarray]

SIMULATED = 3000
# Four standard errors of a rate of 0.05 in as many experiments; the seeds are fixed, so that this guards the code
# against change and not against bad luck.
SLACK = 4 * math.sqrt(0.05 * 0.95 / SIMULATED)
BOTH = pytest.mark.parametrize("p_values", [bootstrap_p_values, randomization_p_values])
scores = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def rouge_like(n: int, k: int, seed: int, ours: float = 12, theirs: float = 12, gain: float = 0.0) -> np.ndarray:
    """Differences (n, k) of two systems, equal in the mean save for a ``gain`` of ours.

    Scores lie in 0 to 1, are skewed and correlated: a dialogue has a difficulty that both systems share, and the larger
    its concentration, the nearer a system keeps to it.
    """
    rng = np.random.default_rng(seed)
    difficulty = rng.beta(2, 4, size=(n, k))
    easier = gain + (1 - gain) * difficulty
    drawn = [rng.beta(c * mean, c * (1 - mean)) for c, mean in ((ours, easier), (theirs, difficulty))]
    return drawn[0] - drawn[1]


def flags(n: int, k: int, seed: int, rate: float = 0.3) -> np.ndarray:
    """Differences (n, k) of two systems that make an error in the same share of dialogues, often the same ones."""
    rng = np.random.default_rng(seed)
    shared, cut = rng.normal(size=(n, k)), NormalDist().inv_cdf(rate)
    drawn = [np.sqrt(0.5) * (shared + rng.normal(size=(n, k))) < cut for _ in range(2)]
    return drawn[0].astype(float) - drawn[1]


def rejected(p_values: np.ndarray) -> float:
    return float((p_values <= 0.05).mean())


# Null data -----------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("n", [30, 100, 500])
@pytest.mark.parametrize("concentrations", [(12, 12), (30, 3)])
def test_systems_that_do_not_differ_are_told_apart_5_times_in_100(
    p_values: Test, n: int, concentrations: tuple[float, float]
) -> None:
    k = SIMULATED if n < 500 else SIMULATED // 3
    rate = rejected(p_values(rouge_like(n, k, n, *concentrations), resamples=499))
    assert rate == pytest.approx(0.05, abs=SLACK * math.sqrt(SIMULATED / k))


@BOTH
@pytest.mark.parametrize("n", [3, 10])
def test_few_dialogues_never_make_for_more_rejections(p_values: Test, n: int) -> None:
    assert rejected(p_values(rouge_like(n, SIMULATED, n), resamples=999)) <= 0.05 + SLACK


@BOTH
@pytest.mark.parametrize(("n", "rate"), [(30, 0.3), (100, 0.05), (100, 0.3), (500, 0.3)])
def test_flags_that_do_not_differ_are_told_apart_at_most_5_times_in_100(p_values: Test, n: int, rate: float) -> None:
    k = SIMULATED if n < 500 else SIMULATED // 3
    found = rejected(p_values(flags(n, k, n, rate), resamples=499))
    # Sums of flags take few values, so that a test can only stay below the level, the more so the fewer errors.
    assert found <= 0.05 + SLACK * math.sqrt(SIMULATED / k)
    if n * rate >= 30:
        assert found >= 0.02


def test_the_mean_alone_would_not_hold_the_level_in_the_bootstrap() -> None:
    columns = np.ascontiguousarray(rouge_like(10, SIMULATED, 10).T)
    means = columns.mean(axis=1)
    hits = np.zeros(SIMULATED)
    for counts in resample_counts(10, 999, 13):
        hits += (np.abs(counts @ (columns - means[:, None]).T / 10) >= np.abs(means)).sum(axis=0)
    assert rejected((hits + 1) / 1000) > 0.08


def test_a_row_a_reference_would_reject_far_too_often() -> None:
    """References of one dialogue judge the same summary, so their differences are alike: they are one observation."""
    n, k, references = 60, 1000, 3
    rng = np.random.default_rng(5)
    rows = rouge_like(n, k, 5)[:, None, :] + rng.normal(0, 0.05, size=(n, references, k))
    assert rejected(randomization_p_values(rows.mean(axis=1), resamples=499)) == pytest.approx(0.05, abs=0.028)
    assert rejected(randomization_p_values(rows.reshape(-1, k), resamples=499)) > 0.15


def test_the_statistics_have_one_value_a_dialogue_however_many_references() -> None:
    references = [["They meet at ten.", "A meeting at ten."], ["Anna is told.", "He tells Anna.", "Anna knows."]]
    columns = example_statistics(["They meet.", "Anna is told."], references)
    assert {len(column) for column in columns.values()} == {2}


def test_a_reference_chosen_by_its_score_needs_the_pairs_it_was_chosen_from() -> None:
    """Four systems that do not differ, each of the others held against the best of them: luck is no skill."""
    n, families, k = 60, 2000, 4
    rng = np.random.default_rng(7)
    difficulty = rng.beta(2, 4, size=(n, families, 1))
    drawn = rng.beta(12 * difficulty, 12 * (1 - difficulty), size=(n, families, k))
    pairs = list(itertools.combinations(range(k), 2))
    differences = np.stack([drawn[..., a] - drawn[..., b] for a, b in pairs], axis=2)
    p = randomization_p_values(differences.reshape(n, -1), resamples=999).reshape(families, len(pairs))
    best = drawn.mean(axis=0).argmax(axis=1)
    chosen = np.array([[b in pair for pair in pairs] for b in best])  # (families, pairs)
    alone = [(holm(row[asked]) <= 0.05).any() for row, asked in zip(p, chosen, strict=True)]
    among = [(holm(row)[asked] <= 0.05).any() for row, asked in zip(p, chosen, strict=True)]
    slack = 3 * math.sqrt(0.05 * 0.95 / families)
    assert np.mean(alone) > 0.05 + slack
    assert np.mean(among) <= 0.05 + slack


# Power ---------------------------------------------------------------------------------------------------------------


@BOTH
def test_a_real_difference_is_found(p_values: Test) -> None:
    found = {n: rejected(p_values(rouge_like(n, 300, 3, gain=0.05), resamples=499)) for n in (30, 100, 500)}
    assert found[30] < found[100] < found[500]
    assert found[500] > 0.95


def test_both_tests_agree_with_the_t_test_on_many_dialogues() -> None:
    differences = rouge_like(800, 40, 8)
    t = differences.mean(axis=0) / (differences.std(axis=0, ddof=1) / math.sqrt(800))
    expected = [2 * NormalDist().cdf(-abs(value)) for value in t]
    np.testing.assert_allclose(bootstrap_p_values(differences), expected, atol=0.025)
    np.testing.assert_allclose(randomization_p_values(differences), expected, atol=0.025)


# What a p-value is ---------------------------------------------------------------------------------------------------


@BOTH
@settings(max_examples=60, deadline=None, database=None)
@given(ours=scores, seed=st.integers(0, 3), shift=st.sampled_from([0.0, 0.1, 0.5]))
def test_swapping_the_systems_changes_nothing(p_values: Test, ours: list[float], seed: int, shift: float) -> None:
    theirs = np.random.default_rng(seed).random(len(ours)) + shift
    there, back = (paired_differences(*pair) for pair in ((ours, theirs), (theirs, ours)))
    (p,) = p_values(there, seed=seed, resamples=200)
    assert 0 < p <= 1
    assert p_values(back, seed=seed, resamples=200) == [p]
    if len(ours) == 1:
        assert p == 1


@BOTH
def test_the_order_of_the_dialogues_matters_no_more_than_the_seed(p_values: Test) -> None:
    differences = rouge_like(60, 1, 2, gain=0.02)
    first = p_values(differences)[0]
    for seed in range(5):
        shuffled = np.random.default_rng(seed).permutation(differences)
        assert p_values(shuffled)[0] == pytest.approx(first, abs=0.025)  # each has a standard error of at most 0.005
        assert p_values(differences, seed=seed)[0] == pytest.approx(first, abs=0.025)


@BOTH
def test_a_p_value_does_not_depend_on_the_comparisons_beside_it_nor_on_the_unit(p_values: Test) -> None:
    differences = rouge_like(41, 5, 4)
    together = p_values(differences, resamples=300)
    for i in range(5):
        np.testing.assert_array_equal(p_values(differences[:, i], resamples=300), together[[i]])
    np.testing.assert_array_equal(p_values(1024 * differences, resamples=300), together)


@BOTH
def test_chunks_change_nothing_but_memory(p_values: Test, monkeypatch: pytest.MonkeyPatch) -> None:
    differences = rouge_like(50, 2, 3)
    whole = p_values(differences, resamples=2000)
    monkeypatch.setattr(intervals, "CHUNK_CELLS", 50 * 7)  # 7 resamples at a time: 2000 is no multiple of it
    np.testing.assert_allclose(p_values(differences, resamples=2000), whole, atol=0.06)


@settings(max_examples=40, deadline=None, database=None)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=8))
def test_few_dialogues_are_counted_out(values: list[int]) -> None:
    flipped = [sum(s * v for s, v in zip(signs, values, strict=True)) for signs in flips(len(values))]
    share = sum(abs(total) >= abs(sum(values)) for total in flipped) / len(flipped)
    assert randomization_p_values([value / 10 for value in values])[0] == pytest.approx(share)


def flips(n: int) -> list[tuple[int, ...]]:
    return list(itertools.product((1, -1), repeat=n))


@pytest.mark.parametrize(("ours", "theirs"), [(9, 1), (5, 5), (7, 3), (0, 6)])
def test_flags_give_the_exact_test_of_mcnemar(ours: int, theirs: int) -> None:
    discordant = [1.0] * ours + [-1.0] * theirs
    tail = sum(math.comb(ours + theirs, i) for i in range(min(ours, theirs) + 1)) / 2 ** (ours + theirs)
    (p,) = randomization_p_values([*discordant, *[0.0] * 300])  # dialogues on which both agree say nothing
    assert p == pytest.approx(min(1.0, 2 * tail))


# Edges ---------------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("n", [1, 2, 500])
def test_no_difference_anywhere_has_a_p_of_1(p_values: Test, n: int) -> None:
    assert p_values(np.zeros((n, 2)), resamples=50).tolist() == [1.0, 1.0]


@BOTH
def test_differences_that_are_all_equal_are_as_sure_as_their_number(p_values: Test) -> None:
    assert [p_values([0.1] * n)[0] for n in (1, 2, 5)] == [1.0, 0.5, 2**-4]
    assert p_values(np.full(300, 0.1))[0] == pytest.approx(1 / 10_001)
    assert p_values(np.full(300, 0.3) - np.full(300, 0.2))[0] == pytest.approx(1 / 10_001)


@BOTH
def test_what_cannot_be_tested_is_an_error_with_a_remedy(p_values: Test) -> None:
    for bad in (np.zeros((0, 2)), [0.1, math.nan], [math.inf]):
        with pytest.raises(DataError, match="no paired test") as caught:
            p_values(bad)
        assert caught.value.hint
    with pytest.raises(UsageError, match="0 resamples"):
        p_values([0.1, 0.2], resamples=0)


def test_systems_on_different_dialogues_are_not_compared() -> None:
    with pytest.raises(DataError, match="3 dialogues of one system, 2 of the other") as caught:
        paired_differences([0.1, 0.2, 0.3], [0.1, 0.2])
    assert "same dialogues" in caught.value.hint


def test_the_interval_and_the_p_of_one_comparison_mostly_say_the_same() -> None:
    differences = rouge_like(200, 400, 6, gain=0.02)
    low, high = bootstrap_intervals(differences, bounds=(-1.0, 1.0))
    outside = (low > 0) | (high < 0)
    assert 0.2 < outside.mean() < 0.8
    for p in (bootstrap_p_values(differences, resamples=999), randomization_p_values(differences, resamples=999)):
        assert ((p <= 0.05) == outside).mean() > 0.95


# Holm ----------------------------------------------------------------------------------------------------------------

probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_the_example_of_the_textbooks() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])


@given(probabilities)
def test_holm_keeps_the_order_and_only_ever_raises(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(p[i] <= adjusted[i] <= 1 for i in range(len(p)))
    assert all(adjusted[i] <= adjusted[j] for i in range(len(p)) for j in range(len(p)) if p[i] <= p[j])
    assert (adjusted <= np.minimum(1, len(p) * np.asarray(p))).all()  # never harsher than Bonferroni
    if len(p) == 1:
        assert adjusted.tolist() == p


@given(probabilities, st.randoms())
def test_holm_does_not_depend_on_the_order_given(p: list[float], rng: Random) -> None:
    order = list(range(len(p)))
    rng.shuffle(order)
    assert holm([p[i] for i in order]).tolist() == holm(p)[order].tolist()


@pytest.mark.parametrize("bad", [math.nan, -0.1, 1.1])
def test_holm_refuses_what_is_no_probability(bad: float) -> None:
    with pytest.raises(UsageError, match="not between 0 and 1"):
        holm([0.5, bad])


def test_holm_of_nothing_is_nothing() -> None:
    assert holm([]).tolist() == []
