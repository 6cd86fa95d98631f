"""Detectors against people: flags on dialogues they were not fitted on, and what they are worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from errors.fitting import SIGNALS, Array, fit_logit, matrix
from errors.labelled import LabelledSet
from peftsum.metrics.errors.detectors import THRESHOLD, read, signals, weigh
from peftsum.metrics.errors.fitted import Checked, Share
from peftsum.metrics.heuristics import HEURISTICS, Words

FOLDS = 10
RESAMPLES = 1000
MEASURES = ("precision", "recall", "f1", "balanced_accuracy")


@dataclass(frozen=True)
class Measured:
    """A labelled set with the signals of its summaries."""

    data: LabelledSet
    signals: list[dict[str, float]]
    heuristics: dict[str, Array]
    """Each heuristic's flags."""

    @classmethod
    def of(cls, data: LabelledSet, clues: Mapping[str, float]) -> Measured:
        """Read every summary."""
        found = [signals(read(row.summary, row.dialogue, [row.reference], clues)) for row in data.rows]
        words = [(Words.of(row.summary), Words.of(row.reference)) for row in data.rows]
        flags = {name: np.array([float(rule(*pair)) for pair in words]) for name, rule in HEURISTICS.items()}
        return cls(data, found, flags)


def held_out_flags(sets: Sequence[Measured], error: str, *, references: bool, repeats: int) -> dict[str, Array]:
    """Return for each set that labels the error the flags of its summaries, (repeats, n), by fits on other dialogues.

    The sets are fitted together; a dialogue that is in both is left out of both. Each repeat deals the dialogues anew.
    """
    names = SIGNALS[error][not references]
    truths = {m.data.name: m.data.truth(error) for m in sets}
    known = [m for m in sets if truths[m.data.name] is not None]
    values = np.concatenate([matrix(m.signals, names) for m in known])
    truth = np.concatenate([np.array(truths[m.data.name], dtype=np.float64) for m in known])
    groups = np.array([row.group for m in known for row in m.data.rows])
    found = [row for m in known for row in m.signals]
    flags = np.zeros((repeats, len(truth)))
    for repeat in range(repeats):
        fold = deal(groups, repeat)
        for number in range(FOLDS):
            out = fold == number
            logit = fit_logit(values[~out], truth[~out], names)
            for i in np.flatnonzero(out):
                flags[repeat, i] = weigh(error, logit, found[i]) > THRESHOLD
    ends = np.cumsum([len(m.data.rows) for m in known])[:-1]
    return {m.data.name: part for m, part in zip(known, np.split(flags, ends, axis=1), strict=True)}


def deal(groups: Array, seed: int) -> Array:
    """Return the fold of each row; rows of one dialogue share it."""
    distinct = np.unique(groups)
    order = np.random.default_rng(seed).permutation(len(distinct))
    folds = {group: place % FOLDS for group, place in zip(distinct, order, strict=True)}
    return np.array([folds[group] for group in groups])


def measures(flags: Array, truth: Array) -> Array:
    """Return precision, recall, F1 and balanced accuracy; flags and truth (n,) of weights 0 and 1."""
    hits = (flags * truth).sum()
    precision = hits / max(flags.sum(), 1e-12)
    recall = hits / max(truth.sum(), 1e-12)
    passed = ((1 - flags) * (1 - truth)).sum() / max((1 - truth).sum(), 1e-12)
    return np.array([precision, recall, 2 * hits / max(flags.sum() + truth.sum(), 1e-12), (recall + passed) / 2])


def lead(flags: Array, rival: Array, data: LabelledSet, error: str) -> Share:
    """Return the balanced accuracy of flags, (repeats, n), less that of a rival's, (n,), paired by dialogue."""
    truth = np.array(data.truth(error), dtype=np.float64)

    def of(rows: NDArray[np.intp]) -> float:
        ours = np.mean([measures(repeat[rows], truth[rows])[-1] for repeat in flags])
        return float(ours - measures(rival[rows], truth[rows])[-1])

    drawn = [of(rows) for rows in _resamples(np.array([row.group for row in data.rows]))]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Share(value=round(of(np.arange(len(truth))), 4), low=round(float(low), 4), high=round(float(high), 4))


def _resamples(groups: Array) -> Iterator[NDArray[np.intp]]:
    """Yield the rows of dialogues drawn with replacement."""
    rows_of = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    rng = np.random.default_rng(13)
    for _ in range(RESAMPLES):
        yield np.concatenate([rows_of[i] for i in rng.integers(0, len(rows_of), len(rows_of))])


def check(flags: Array, data: LabelledSet, error: str, chosen: Callable[[str], bool] = lambda _: True) -> Checked:
    """Return the measures with their 95 % intervals over dialogues.

    Args:
        flags: (repeats, n); a measure is the mean over repeats.
        data: the set.
        error: which of ours.
        chosen: systems to look at.
    """
    keep = np.array([chosen(row.system) for row in data.rows])
    truth = np.array(data.truth(error), dtype=np.float64)[keep]
    flags = flags[:, keep]
    groups = np.array([row.group for row in data.rows])[keep]
    drawn = [np.mean([measures(repeat[rows], truth[rows]) for repeat in flags], axis=0) for rows in _resamples(groups)]
    value = np.mean([measures(repeat, truth) for repeat in flags], axis=0)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    shares = {
        name: Share(value=round(float(v), 4), low=round(float(a), 4), high=round(float(b), 4))
        for name, v, a, b in zip(MEASURES, value, low, high, strict=True)
    }
    labels = sorted(data.meaning.get(error, frozenset().union(*data.meaning.values())))
    return Checked(
        labels=labels if error != "error_any" else ["any"], n=len(truth), positives=int(truth.sum()), **shares
    )
