"""Per-example statistics to a report: means, intervals and signature."""

from __future__ import annotations

import functools
from importlib import metadata

import numpy as np

from peftsum.exceptions import DataError
from peftsum.metrics.errors.fitted import detectors_identity
from peftsum.metrics.intervals import LEVEL, bootstrap_intervals, zero_rate_bound
from peftsum.metrics.lengths import LENGTH_COLUMNS
from peftsum.metrics.references import ReferenceMode, Statistics, check_mode
from peftsum.metrics.rouge import ROUGE_TYPES
from peftsum.metrics.scores import ErrorRate, Lengths, MeanScore, RougeScore, ScoreReport
from peftsum.metrics.selection import ERROR_PREFIXES
from peftsum.version import __version__


@functools.cache
def _rouge_version() -> str:
    return metadata.version("rouge_score")


def make_signature(references: ReferenceMode, *, seed: int, resamples: int, detectors: str | None = None) -> str:
    """Return what fixes a score, in the manner of sacrebleu (Post 2018).

    For example ``rouge_score:0.1.2|stem:yes|refs:mean|bootstrap:1000|level:0.95|seed:13|peftsum:0.1.0``; where the
    error detectors were asked, the identity of their weights stands at the end, ``…|detectors:1f3a77c2``.
    """
    last = f"|detectors:{detectors}" if detectors else ""
    return (
        f"rouge_score:{_rouge_version()}|stem:yes|refs:{references}|bootstrap:{resamples}|level:{LEVEL}"
        f"|seed:{seed}|peftsum:{__version__}{last}"
    )


def count_examples(statistics: Statistics) -> int:
    """Return n of the columns.

    Raises:
        DataError: there is nothing, or the columns differ in length.
    """
    counts = {len(column) for column in statistics.values()}
    if len(counts) > 1:
        raise DataError("statistics of unequal length", hint="take the same dialogues from every column")
    n = counts.pop() if counts else 0
    if n == 0:
        raise DataError("nothing to score: no dialogues", hint="give at least one; look for an empty file or split")
    return n


def rouge_scores(statistics: Statistics, *, seed: int, resamples: int) -> dict[str, RougeScore]:
    """Return mean f-measure and interval of each ROUGE type; see :func:`aggregate_statistics`."""
    count_examples(statistics)
    table = np.stack([statistics[f"{kind}_f"] for kind in ROUGE_TYPES], axis=1)  # (n, 4)
    ends = bootstrap_intervals(table, seed=seed, resamples=resamples)
    return {
        kind: RougeScore(f=float(f), low=float(low), high=float(high))
        for kind, f, low, high in zip(ROUGE_TYPES, table.mean(axis=0), *ends, strict=True)
    }


def error_rates(statistics: Statistics, *, seed: int, resamples: int) -> dict[str, ErrorRate]:
    """Return rate and interval of each column that is an error flag; see :func:`aggregate_statistics`."""
    n = count_examples(statistics)
    names = [name for name in statistics if name.startswith(ERROR_PREFIXES)]
    if not names:
        return {}
    table = np.stack([statistics[name] for name in names], axis=1)  # (n, errors)
    rates = {}
    ends = bootstrap_intervals(table, seed=seed, resamples=resamples)
    for name, rate, low, high in zip(names, table.mean(axis=0), *ends, strict=True):
        if rate == 0.0:
            low, high = 0.0, zero_rate_bound(n)
        elif rate == 1.0:
            low, high = 1.0 - zero_rate_bound(n), 1.0
        rates[name] = ErrorRate(rate=float(rate), low=float(low), high=float(high))
    return rates


def further_scores(statistics: Statistics, *, seed: int, resamples: int) -> dict[str, MeanScore]:
    """Return mean and interval of each column that is no ROUGE, no error flag and no length.

    Here stands what a metric gives that was added to ``METRICS``; see :func:`aggregate_statistics`.
    """
    n = count_examples(statistics)
    known = {f"{kind}_{part}" for kind in ROUGE_TYPES for part in "prf"}.union(LENGTH_COLUMNS)
    names = [name for name in statistics if name not in known and not name.startswith(ERROR_PREFIXES)]
    if not names:
        return {}
    table = np.stack([statistics[name] for name in names], axis=1)  # (n, columns)
    means = table.mean(axis=0)
    if n == 1:
        return {name: MeanScore(mean=float(mean), low=None, high=None) for name, mean in zip(names, means, strict=True)}
    ends = bootstrap_intervals(table, seed=seed, resamples=resamples)
    return {
        name: MeanScore(mean=float(mean), low=float(low), high=float(high))
        for name, mean, low, high in zip(names, means, *ends, strict=True)
    }


def summarize_lengths(statistics: Statistics) -> Lengths:
    """Return the means of the length columns."""
    words, reference = statistics["prediction_words"], float(statistics["reference_words"].mean())
    return Lengths(
        prediction_words_mean=float(words.mean()),
        prediction_words_median=float(np.median(words)),
        reference_words_mean=reference,
        ratio=float(words.mean()) / reference if reference else None,
        empty_share=float((words == 0).mean()),
        distinct_share=float((statistics["prediction_repeats"] == 0).mean()),
        distinct_bigrams_share=float(statistics["prediction_distinct_bigrams"].mean()),
    )


def aggregate_statistics(
    statistics: Statistics, *, references: ReferenceMode, seed: int, resamples: int
) -> ScoreReport:
    """Do the work of :func:`peftsum.metrics.aggregate`, which documents it."""
    check_mode(references)
    detected = "error_any" in statistics
    return ScoreReport(
        **rouge_scores(statistics, seed=seed, resamples=resamples),
        references=references,
        n=count_examples(statistics),
        signature=make_signature(
            references, seed=seed, resamples=resamples, detectors=detectors_identity() if detected else None
        ),
        error_rates=error_rates(statistics, seed=seed, resamples=resamples),
        lengths=summarize_lengths(statistics),
        further=further_scores(statistics, seed=seed, resamples=resamples),
    )
