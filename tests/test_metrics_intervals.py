"""The bootstrap: seeded, over dialogues, the same draws for every metric, and about right in its coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peftsum.exceptions import DataError, UsageError
from peftsum.metrics import intervals
from peftsum.metrics.intervals import bootstrap_intervals, bootstrap_means, zero_rate_bound


def sample(n: int, k: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).beta(2, 3, size=(n, k))


def width(values: np.ndarray, **options: int) -> float:
    low, high = bootstrap_intervals(values, **options)
    return float(high[0] - low[0])


def test_same_seed_same_interval_and_another_seed_another() -> None:
    values = sample(60, 3)
    first, again, other = (bootstrap_intervals(values, seed=seed) for seed in (13, 13, 14))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_an_interval_does_not_depend_on_the_columns_beside_it() -> None:
    values = sample(333, 5)
    together = np.array(bootstrap_intervals(values))
    for column in range(5):
        np.testing.assert_array_equal(together[:, [column]], bootstrap_intervals(values[:, [column]]))


def test_all_columns_share_the_drawn_dialogues() -> None:
    values = sample(40)
    means = bootstrap_means(np.hstack([values, 1 - values]), resamples=200)
    np.testing.assert_allclose(means[:, 0] + means[:, 1], 1.0, rtol=1e-12)
    assert means[:, 0].std() > 0


def test_resamples_are_of_n_dialogues_with_replacement() -> None:
    n = 8
    counts = bootstrap_means(np.eye(n), resamples=4000) * n  # column i: how often dialogue i was drawn
    np.testing.assert_allclose(counts.sum(axis=1), n)
    np.testing.assert_allclose(counts, counts.round(), atol=1e-9)
    # Each count is binomial(n, 1/n): mean 1, variance 1 - 1/n; 4000 draws put the standard error near 0.015.
    np.testing.assert_allclose(counts.mean(axis=0), 1.0, atol=0.08)
    np.testing.assert_allclose(counts.var(axis=0), 1 - 1 / n, atol=0.15)


def test_chunks_change_nothing_but_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    values = sample(50, 2)
    monkeypatch.setattr(intervals, "CHUNK_CELLS", 50 * 7)  # 7 resamples at a time: 100 is no multiple of it
    means = bootstrap_means(values, resamples=100)
    assert means.shape == (100, 2)
    assert len(np.unique(means[:, 0])) == 100


@settings(max_examples=60, deadline=None, database=None)
@given(
    values=st.lists(st.floats(0, 1), min_size=2, max_size=40),
    seed=st.integers(0, 5),
    resamples=st.sampled_from([1, 2, 50]),
)
def test_contains_the_mean_and_stays_in_the_range(values: list[float], seed: int, resamples: int) -> None:
    table = np.array(values)[:, None]
    low, high = bootstrap_intervals(table, seed=seed, resamples=resamples)
    assert low[0] <= table.mean() <= high[0]
    assert min(values) - 1e-12 <= low[0]
    assert high[0] <= max(values) + 1e-12


def test_width_shrinks_with_the_root_of_n() -> None:
    widths = [width(sample(n, seed=3), resamples=2000) for n in (100, 400, 1600)]
    assert widths[0] / widths[1] == pytest.approx(2.0, rel=0.2)
    assert widths[1] / widths[2] == pytest.approx(2.0, rel=0.2)


def test_width_is_that_of_the_normal_approximation() -> None:
    values = sample(500, seed=5)
    expected = 2 * 1.96 * values.std(ddof=1) / np.sqrt(500)
    assert width(values, resamples=4000) == pytest.approx(expected, rel=0.08)


def test_covers_the_truth_about_95_times_in_100() -> None:
    truth = 2 / 5  # mean of beta(2, 3)
    samples = sample(80, 400, seed=11)  # 400 experiments of 80 dialogues, one a column
    low, high = bootstrap_intervals(samples, resamples=500)
    covered = float(((low <= truth) & (truth <= high)).mean())
    assert 0.90 <= covered <= 0.985  # the standard error of 400 experiments is 0.011


def test_a_lower_level_is_narrower() -> None:
    values = sample(100)
    low, high = bootstrap_intervals(values, level=0.5)
    assert 0 < high[0] - low[0] < 0.5 * width(values)


def test_one_dialogue_tells_nothing_of_the_spread() -> None:
    low, high = bootstrap_intervals([[0.4, 0.9]])
    assert low.tolist() == [0.0, 0.0]
    assert high.tolist() == [1.0, 1.0]
    low, high = bootstrap_intervals([[0.1]], bounds=(-1.0, 1.0))
    assert (low[0], high[0]) == (-1.0, 1.0)


def test_no_dialogue_is_an_error_with_a_remedy() -> None:
    with pytest.raises(DataError, match="nothing was scored") as caught:
        bootstrap_intervals(np.zeros((0, 3)))
    assert caught.value.hint


def test_no_resample_is_an_error() -> None:
    with pytest.raises(UsageError, match="0 resamples"):
        bootstrap_intervals([[0.1], [0.2]], resamples=0)


@pytest.mark.parametrize(("n", "bound"), [(1, 0.975), (10, 0.308), (100, 0.0362)])  # Clopper-Pearson tables, 0 of n
def test_zero_rate_bound(n: int, bound: float) -> None:
    assert zero_rate_bound(n) == pytest.approx(bound, abs=5e-4)
