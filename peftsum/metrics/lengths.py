"""Lengths and signs of collapse: empty summaries, the same summary again and again, a summary that loops."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from peftsum.metrics.references import ReferenceMode, Statistics, check_mode

LENGTH_COLUMNS = ("prediction_words", "reference_words", "prediction_repeats", "prediction_distinct_bigrams")


def _distinct_bigrams(words: Sequence[str]) -> float:
    """Return the share of distinct pairs of neighbouring words (Li et al. 2016, distinct-2); 1 where there is none."""
    pairs = list(itertools.pairwise(words))
    return len(set(pairs)) / len(pairs) if pairs else 1.0


def length_statistics(
    predictions: Sequence[str], references: Sequence[Sequence[str]], mode: ReferenceMode
) -> Statistics:
    """Return, for each dialogue, counts of words split at white space and signs of collapse.

    Args:
        predictions: n texts.
        references: n rows of one or more texts.
        mode: ``first`` counts the first reference; ``mean`` and ``max`` the mean over a dialogue's references, since no
            length is the most favourable one.

    Returns:
        ``prediction_words`` and ``reference_words`` (words), ``prediction_repeats`` (1 where an earlier dialogue got
        the same summary), ``prediction_distinct_bigrams`` (fraction; low in a summary that loops).
    """
    import numpy as np

    check_mode(mode)
    seen: set[tuple[str, ...]] = set()
    rows: list[tuple[float, float, float, float]] = []
    for prediction, texts in zip(predictions, references, strict=True):
        words = prediction.split()
        counts = [len(text.split()) for text in (texts[:1] if mode == "first" else texts)]
        rows.append((len(words), sum(counts) / len(counts), tuple(words) in seen, _distinct_bigrams(words)))
        seen.add(tuple(words))
    table = np.asarray(rows, dtype=np.float64).reshape(-1, 4)
    return {name: table[:, column].copy() for column, name in enumerate(LENGTH_COLUMNS)}
