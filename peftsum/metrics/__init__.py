"""Scores of summaries: per-example statistics first, then means with intervals, n and a signature.

    report = score_texts(predictions, references)
    print(report.rouge1.f, report.rouge1.low, report.rouge1.high, report.signature)

A metric is a function from texts to columns of numbers, one a dialogue, and one entry in ``METRICS``. Importing this
package is cheap; numpy and ``rouge_score`` are imported when something is scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from peftsum.metrics.heuristics import heuristic_statistics
from peftsum.metrics.lengths import length_statistics
from peftsum.metrics.references import MetricFunction, ReferenceMode, Statistics, check_texts, resolve_mode
from peftsum.metrics.rouge import rouge_statistics
from peftsum.registry import Registry

if TYPE_CHECKING:
    from peftsum.metrics.scores import ScoreReport

__all__ = ["METRICS", "ReferenceMode", "Statistics", "aggregate", "example_statistics", "score_texts"]

METRICS: Registry[MetricFunction] = Registry(
    "metric",
    {
        "rouge": rouge_statistics,
        "heuristics": heuristic_statistics,
        "lengths": length_statistics,
    },
)


def example_statistics(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    mode: ReferenceMode | None = None,
    *,
    dialogues: Sequence[str] | None = None,
) -> Statistics:
    """Return every metric of every dialogue.

    Args:
        predictions: n texts.
        references: n rows of one or more texts.
        mode: what several references of a dialogue become; None is ``mean`` where any row has several, else ``first``.
        dialogues: n texts, for the error detectors, which are left out without them.

    Returns:
        Column name to float64 array of shape (n,), in the order of the predictions: ``rouge1_p``, ``rouge1_r``,
        ``rouge1_f``, …, ``heuristic_length``, …, ``prediction_words``, …, ``error_any``, …. Slices and paired tests
        work on these.

    Raises:
        DataError: nothing to score, unequal counts, a row without references, or something that is no text.
        UsageError: ``mode`` is unknown.
    """
    check_texts(predictions, references)
    mode = resolve_mode(references, mode)
    columns: Statistics = {}
    for metric in METRICS.values():
        columns.update(metric(predictions, references, mode))
    if dialogues is not None:
        from peftsum.metrics.errors import error_findings, error_statistics

        columns.update(error_statistics(error_findings(predictions, references, mode, dialogues)))
    return columns


def aggregate(
    statistics: Statistics, *, references: ReferenceMode, seed: int = 13, resamples: int = 1000
) -> ScoreReport:
    """Return means and 95 % intervals of per-example statistics, or of a slice of them.

    Args:
        statistics: what :func:`example_statistics` gives; further columns named ``error_…`` get an error rate too.
        references: the mode they were made with, for the record and the signature.
        seed: of the bootstrap over dialogues.
        resamples: of the bootstrap over dialogues.

    Raises:
        DataError: nothing to score.
        UsageError: ``references`` is unknown or ``resamples`` below 1.
    """
    from peftsum.metrics.aggregation import aggregate_statistics

    return aggregate_statistics(statistics, references=references, seed=seed, resamples=resamples)


def score_texts(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    mode: ReferenceMode | None = None,
    seed: int = 13,
    resamples: int = 1000,
) -> ScoreReport:
    """Score predictions against references; the same arguments give the same report, to the last digit.

    Args:
        predictions: n texts.
        references: n rows of one or more texts; the references of one dialogue stand in one row.
        mode: what several references of a dialogue become; None is ``mean`` where any row has several, else ``first``.
        seed: of the bootstrap over dialogues.
        resamples: of the bootstrap over dialogues.

    Raises:
        DataError: nothing to score, unequal counts, a row without references, or something that is no text.
        UsageError: ``mode`` is unknown or ``resamples`` below 1.
    """
    check_texts(predictions, references)
    mode = resolve_mode(references, mode)
    return aggregate(example_statistics(predictions, references, mode), references=mode, seed=seed, resamples=resamples)
