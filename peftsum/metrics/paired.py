"""Is one system really better than another on the same dialogues? Two paired tests, and Holm's correction.

    differences = paired_differences(ours, theirs)           # (n, k): a row a dialogue, a column a comparison
    p = randomization_p_values(differences)                  # (k,), two-sided
    adjusted = holm(p)

The unit is the dialogue: its references were already made into one score (``mean``, ``first`` or ``max``), so they
move together. A row a reference would count one dialogue several times and reject far too often.

Both tests are two-sided and seeded. The draws depend on seed, n and the number of resamples alone, so a p-value does
not depend on the comparisons beside it, and swapping the two systems changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from peftsum.exceptions import DataError, UsageError
from peftsum.metrics import intervals
from peftsum.metrics.intervals import SEED, resample_counts

RESAMPLES = 10_000  # the smallest p is 1 / 10001, small enough to survive Holm's correction over hundreds
ROUNDING = 1e-12  # relative; sums that differ by less are equal: flags and exact ties must count as ties


def paired_differences(ours: ArrayLike, theirs: ArrayLike) -> NDArray[np.float64]:
    """Return ``ours`` less ``theirs`` a dialogue, checked.

    Args:
        ours: per-example statistics of one system, shape (n,) or (n, k).
        theirs: those of the other system on the same dialogues in the same order, of the same shape.

    Raises:
        DataError: no dialogues, unequal lengths, or a value that is not finite.
    """
    a, b = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    if a.shape != b.shape:
        raise DataError(
            f"no paired test: {len(a)} dialogues of one system, {len(b)} of the other",
            hint="score both systems on the same dialogues, in the same order",
        )
    return _checked(a - b)


def randomization_p_values(
    differences: ArrayLike, *, seed: int = SEED, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """Return the two-sided p of each column's mean by paired approximate randomization (Noreen 1989, chapter 2).

    If the two systems do not differ, which of a dialogue's two scores belongs to which system is a toss of a coin, so
    the sign of its difference is too. p is the share of sign flips whose mean is at least as far from 0 as the mean
    seen. All flips are counted where that takes no more than ``resamples``: 2^m of them with m differences other than
    0, and p = hits / 2^m. Otherwise p = (hits + 1) / (resamples + 1), which is never 0 and holds the level for any
    number of resamples (Phipson and Smyth 2010). For flags of 0 and 1 this is McNemar's exact test.

    Args:
        differences: shape (n, k) or (n,), a row a dialogue.
        seed: of numpy's default generator.
        resamples: number of random flips.

    Returns:
        Shape (k,), each in (0, 1]. One dialogue, or no difference at all, gives 1.

    Raises:
        DataError: no dialogues, or a value that is not finite.
        UsageError: ``resamples`` is below 1.
    """
    columns = _columns(differences, resamples)
    moving = [column[column != 0.0] for column in columns]
    p = np.ones(len(columns))
    drawn = []
    for i, values in enumerate(moving):
        if 2 ** len(values) <= resamples:
            p[i] = float(_as_far(_all_flips(len(values)), values).mean())
        else:
            drawn.append(i)
    if drawn:
        hits = np.zeros(len(columns))
        for flips in _random_flips(columns.shape[1], resamples, seed):
            for i in drawn:
                hits[i] += _as_far(flips, columns[i]).sum()
        p[drawn] = (hits[drawn] + 1) / (resamples + 1)
    return p


def bootstrap_p_values(differences: ArrayLike, *, seed: int = SEED, resamples: int = RESAMPLES) -> NDArray[np.float64]:
    """Return the two-sided p of each column's mean by the paired bootstrap (Efron and Tibshirani 1993, algorithm 16.2).

    Dialogues are drawn with replacement from the differences shifted to a mean of 0, which is what "no difference"
    says, and p is the share of resamples whose t (mean over its standard error, both of the resample) is at least as
    far from 0 as the t seen: p = (hits + 1) / (resamples + 1). The t is what holds the level. The mean alone, as in
    Riezler and Maxwell (2005), takes the spread seen for the true one: of systems that do not differ it rejects 6 in
    100 at n = 30 and 9 in 100 at n = 10, where this rejects 5 and 4 (``tests/test_metrics_paired.py``).

    Two choices keep small samples modest: a resample without spread counts as a hit, and p is at least 2^(1-n), what a
    sign test says of n dialogues that all agree.

    Args:
        differences: shape (n, k) or (n,), a row a dialogue.
        seed: of numpy's default generator.
        resamples: number of resamples of n dialogues with replacement.

    Returns:
        Shape (k,), each in (0, 1]. One dialogue, or no difference at all, gives 1; differences that are all equal, and
        not 0, give the smallest p there is, as their spread is 0.

    Raises:
        DataError: no dialogues, or a value that is not finite.
        UsageError: ``resamples`` is below 1.
    """
    columns = _columns(differences, resamples)
    n = columns.shape[1]
    means = columns.mean(axis=1)
    shifted = columns - means[:, None]  # (k, n)
    shifted[np.abs(shifted) <= ROUNDING * np.abs(columns).max(axis=1, keepdims=True)] = 0.0
    squares = shifted**2
    variances = squares.mean(axis=1)
    hits = np.zeros(len(columns))
    spread = np.flatnonzero(variances)
    for counts in resample_counts(n, resamples, seed):
        for i in spread:
            mean = counts @ shifted[i] / n
            variance = np.maximum(counts @ squares[i] / n - mean**2, 0.0)
            # t of the resample against the t seen, squared and without a division by a spread that may be 0.
            hits[i] += (mean**2 * variances[i] >= means[i] ** 2 * variance * (1 - ROUNDING)).sum()
    hits[means == 0.0] = resamples
    p: NDArray[np.float64] = np.maximum((hits + 1) / (resamples + 1), 2.0 ** (1 - n))
    return p


def paired_signature(family: int, *, seed: int = SEED, resamples: int = RESAMPLES) -> str:
    """Return what fixes the figures of the two tests, to be put behind the signature of the score they are about.

    For example ``unit:dialogue|tests:randomization+bootstrap-t:10000|test-seed:13|correction:holm:5``.
    """
    return (
        f"unit:dialogue|tests:randomization+bootstrap-t:{resamples}|test-seed:{seed}"
        f"|correction:{f'holm:{family}' if family > 1 else 'none'}"
    )


def holm(p_values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p-values adjusted so that 5 % of families, not of comparisons, have a false rejection (Holm 1979).

    The i-th smallest of m is multiplied by m - i + 1, never falls below a smaller one's, and ends at 1. It needs no
    independence: comparisons that share a system may be put together.

    Args:
        p_values: shape (m,), of one family.

    Returns:
        Shape (m,), in the order given. Of one comparison, the p itself.

    Raises:
        UsageError: a value is not in 0 to 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not bool(np.all((p >= 0.0) & (p <= 1.0))):  # written so that NaN is refused too
        raise UsageError("a p-value is not between 0 and 1", hint="give the p-values as the tests returned them")
    order = np.argsort(p, kind="stable")
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def _checked(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    if differences.shape[0] == 0:
        raise DataError("no paired test: nothing was scored", hint="score at least one dialogue")
    if not np.isfinite(differences).all():
        raise DataError("no paired test: a score is not a finite number", hint="score the predictions again")
    return differences


def _columns(differences: ArrayLike, resamples: int) -> NDArray[np.float64]:
    """Return the differences as shape (k, n), each comparison's contiguous."""
    if resamples < 1:
        raise UsageError(f"{resamples} resamples", hint=f"give at least 1; {RESAMPLES} is the default")
    table = _checked(np.asarray(differences, dtype=np.float64))
    return np.ascontiguousarray(np.atleast_2d(table.T))


def _all_flips(m: int) -> NDArray[np.float64]:
    """Return every way to flip m signs, shape (2^m, m): 1 flips, 0 keeps."""
    return ((np.arange(2**m)[:, None] >> np.arange(m)) & 1).astype(np.float64)


def _random_flips(n: int, resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield random flips of n signs in chunks of shape (chunk, n): 1 flips, 0 keeps."""
    rng = np.random.default_rng(seed)
    chunk = max(1, intervals.CHUNK_CELLS // n)
    for start in range(0, resamples, chunk):
        packed = rng.integers(0, 256, size=(min(chunk, resamples - start), -(-n // 8)), dtype=np.uint8)
        yield np.unpackbits(packed, axis=1, count=n).astype(np.float64)


def _as_far(flips: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return for each row of flips whether the sum is at least as far from 0 as without flips."""
    total = values.sum()
    flipped = total - 2.0 * (flips @ values)
    far: NDArray[np.bool_] = np.abs(flipped) >= abs(total) - ROUNDING * np.abs(values).sum()
    return far
