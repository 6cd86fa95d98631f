"""Seeded percentile bootstrap over dialogues.

A dialogue is drawn with all its references and all its statistics, since those of one dialogue are not independent.
The draws depend on seed, n and the number of resamples alone: all metrics of a system, and all systems scored on the
same dialogues, see the same ones. An interval for the difference of two systems is therefore this same function on the
difference of their per-example statistics, with ``bounds=(-1.0, 1.0)``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from peftsum.exceptions import DataError, UsageError

LEVEL = 0.95  # of every interval in a report
RESAMPLES = 1000
SEED = 13
CHUNK_CELLS = 2_000_000  # drawn indices held at once, about 32 MB


def resample_counts(n: int, resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield how often each dialogue is drawn, in chunks of shape (chunk, n); every row sums to n."""
    rng = np.random.default_rng(seed)
    chunk = max(1, CHUNK_CELLS // n)
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        drawn = rng.integers(0, n, size=(rows, n)) + n * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def bootstrap_means(values: ArrayLike, *, seed: int = SEED, resamples: int = RESAMPLES) -> NDArray[np.float64]:
    """Return the mean of each column in each resample.

    Args:
        values: per-example statistics of shape (n, k), one row a dialogue.
        seed: of numpy's default generator.
        resamples: number of resamples of n dialogues with replacement.

    Returns:
        Shape (resamples, k).

    Raises:
        DataError: n is 0.
        UsageError: ``resamples`` is below 1.
    """
    table = np.asarray(values, dtype=np.float64)
    n = table.shape[0]
    if n == 0:
        raise DataError("no interval: nothing was scored", hint="score at least one dialogue")
    if resamples < 1:
        raise UsageError(f"{resamples} resamples", hint="give at least 1; 1000 is the default")
    columns = np.ascontiguousarray(table.T)  # (k, n)
    # One product a column: a matrix product rounds differently with other columns beside it, and an interval must not
    # depend on which metrics were asked for.
    means = [np.stack([counts @ column / n for column in columns]) for counts in resample_counts(n, resamples, seed)]
    return np.concatenate(means, axis=1).T


def bootstrap_intervals(
    values: ArrayLike,
    *,
    seed: int = SEED,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the percentile interval of each column's mean (Efron and Tibshirani 1993, chapter 13).

    Args:
        values: per-example statistics of shape (n, k), one row a dialogue.
        seed: of numpy's default generator.
        resamples: number of resamples.
        level: share of the resampled means inside, for example 0.95.
        bounds: the range that the statistic can have. It is the interval where n is 1: one dialogue says nothing about
            the spread, and an interval of width 0 would claim certainty.

    Returns:
        Lower and upper ends, each of shape (k,).

    Raises:
        DataError: n is 0.
        UsageError: ``resamples`` is below 1.
    """
    table = np.asarray(values, dtype=np.float64)
    means = bootstrap_means(table, seed=seed, resamples=resamples)
    if table.shape[0] == 1:
        return np.full(table.shape[1], bounds[0]), np.full(table.shape[1], bounds[1])
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail], axis=0)
    # Rounding in the last digit (equal scores) or very few resamples can leave the mean itself outside.
    mean = table.mean(axis=0)
    return np.minimum(low, mean), np.maximum(high, mean)


def zero_rate_bound(n: int, *, level: float = LEVEL) -> float:
    """Return the upper end of the interval of a rate when none of n dialogues had the error (a fraction).

    Resampling zeros gives zeros, which would claim that the error cannot happen. This is the exact binomial bound
    (Clopper and Pearson 1934), about 3.7 / n at 95 %; by symmetry 1 minus it is the lower end when all n had the error.
    """
    return float(1.0 - ((1.0 - level) / 2.0) ** (1.0 / n))
