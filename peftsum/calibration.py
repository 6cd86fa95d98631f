"""From how likely a model finds its summary to the ROUGE-L it can be expected to have, and how far that is off.

A fractional logit (Papke and Wooldridge 1996) of the score on the length-normalised log-likelihood: two numbers, so
that a hundred dialogues are enough. Errors are out of fold: each dialogue is judged by a map fitted without it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from peftsum.exceptions import DataError
from peftsum.section import Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LEAST_EXAMPLES = 20
FOLDS = 10
BINS = 10
SEED = 13
NEWTON_STEPS = 50
LARGEST_STEP = 2.0  # of the logit: a full step from afar can leave the range of floats
RIDGE = 1e-3  # on the slope of standardised likelihoods, in examples: enough to keep a separable sample finite


class Bin(Record):
    """Summaries of like expectation: a tenth of the sample."""

    n: int
    expected: float
    """Mean score that was expected of them, out of fold."""
    observed: float
    """Mean score that they have."""


class Calibration(Record):
    """A map from log-likelihood to expected score, with what it is worth."""

    intercept: float
    slope: float = Field(ge=0)
    """Of the logit of the score, a nat a token; 0 where likelier summaries were no better."""
    n: int
    """Summaries it was fitted on."""
    mean_score: float
    """Of those summaries."""
    calibration_error: float
    """Mean distance between expected and observed score over ten bins of like expectation, out of fold: expected
    calibration error. About 0.02 to 0.03 is left by chance alone with 16 summaries a bin."""
    absolute_error: float
    """Mean distance between the expected score of a summary and its own, out of fold."""
    absolute_error_of_mean: float
    """The same distance where every summary is expected to be as good as the mean: what likelihood has to beat."""
    rank_correlation: float | None
    """Spearman's, of likelihood and score; None where one of the two does not vary."""
    bins: list[Bin]

    def expected(self, log_likelihood: float) -> float:
        """Return the expected score of a summary, 0 to 1, from its mean log-probability a token, nats."""
        return _sigmoid(self.intercept + self.slope * log_likelihood)


def fit_calibration(log_likelihoods: Sequence[float], scores: Sequence[float]) -> Calibration:
    """Return the map from log-likelihoods (nats a token) to scores (fractions), both of n summaries.

    Raises:
        DataError: there are fewer than 20.
    """
    import numpy as np

    count = len(scores)
    if count < LEAST_EXAMPLES:
        raise DataError(
            f"{count} dialogues are too few to calibrate on", hint=f"give at least {LEAST_EXAMPLES}, better a hundred"
        )
    x, y = np.asarray(log_likelihoods, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    order = list(range(count))
    random.Random(SEED).shuffle(order)
    expected, means = np.empty(count), np.empty(count)
    for fold in range(FOLDS):
        held = np.asarray(order[fold::FOLDS])
        kept = np.setdiff1d(np.arange(count), held)
        intercept, slope = _fit(x[kept], y[kept])
        expected[held] = 1 / (1 + np.exp(-(intercept + slope * x[held])))
        means[held] = y[kept].mean()
    intercept, slope = _fit(x, y)
    bins = _bins(expected, y)
    return Calibration(
        intercept=intercept,
        slope=slope,
        n=count,
        mean_score=float(y.mean()),
        calibration_error=calibration_error(bins),
        absolute_error=float(np.abs(expected - y).mean()),
        absolute_error_of_mean=float(np.abs(means - y).mean()),
        rank_correlation=spearman(x, y),
        bins=bins,
    )


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return the expected calibration error (Naeini et al. 2015), here of a score instead of a hit."""
    return sum(b.n * abs(b.expected - b.observed) for b in bins) / sum(b.n for b in bins)


def _fit(x: Floats, y: Floats) -> tuple[float, float]:
    """Return intercept and slope, the slope 0 or more, by Newton's method on the quasi-likelihood."""
    import numpy as np

    mean, spread = float(x.mean()), float(x.std())
    level = _logit(float(y.mean()))
    if spread == 0 or y.std() == 0:
        return level, 0.0
    table = np.stack([np.ones_like(x), (x - mean) / spread], axis=1)  # (n, 2)
    weights = np.asarray([level, 0.0])
    for _ in range(NEWTON_STEPS):
        fitted = 1 / (1 + np.exp(-table @ weights))
        penalty = np.asarray([0.0, RIDGE])
        gradient = table.T @ (y - fitted) - penalty * weights
        curvature = (table * (fitted * (1 - fitted))[:, None]).T @ table + np.diag(penalty)
        step = np.clip(np.linalg.solve(curvature, gradient), -LARGEST_STEP, LARGEST_STEP)
        weights = weights + step
        if np.abs(step).max() < 1e-10:
            break
    slope = float(weights[1]) / spread
    return (float(weights[0]) - slope * mean, slope) if slope > 0 else (level, 0.0)


def _bins(expected: Floats, observed: Floats) -> list[Bin]:
    import numpy as np

    parts = np.array_split(np.argsort(expected, kind="stable"), BINS)
    return [
        Bin(n=len(part), expected=float(expected[part].mean()), observed=float(observed[part].mean()))
        for part in parts
        if len(part)
    ]


def spearman(x: Floats, y: Floats) -> float | None:
    """Return the rank correlation of two columns; None where one of them does not vary."""
    import numpy as np

    a, b = _ranks(x), _ranks(y)
    if a.std() == 0 or b.std() == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _ranks(values: Floats) -> Floats:
    """Return the rank of each value, ties sharing their mean."""
    import numpy as np

    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - (counts - 1) / 2)[inverse].astype(np.float64)
    return ranks


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, value))))


def _logit(share: float) -> float:
    bounded = min(1 - 1e-6, max(1e-6, share))
    return math.log(bounded / (1 - bounded))
