"""The records of a score: numbers with their interval, their n and their signature."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from peftsum.section import Record


class RougeScore(Record):
    """The mean f-measure over dialogues, a fraction, with its 95 % interval."""

    f: float
    """Mean f-measure, 0 to 1."""
    low: float
    """Lower end of the 95 % bootstrap interval."""
    high: float
    """Upper end of the 95 % bootstrap interval. With one dialogue the interval is 0 to 1: nothing is known of it."""


class ErrorRate(Record):
    """The share of dialogues whose summary has the error, a fraction, with its 95 % interval."""

    rate: float
    """Mean flag, 0 to 1."""
    low: float
    """Lower end of the 95 % bootstrap interval; where every summary has the error, the exact binomial bound."""
    high: float
    """Upper end of the 95 % bootstrap interval; where no summary has the error, the exact binomial bound."""


class MeanScore(Record):
    """The mean of a column of numbers over dialogues, in the unit of its metric, with its 95 % interval."""

    mean: float
    """Mean over dialogues."""
    low: float | None
    """Lower end of the 95 % bootstrap interval; None with one dialogue, which tells nothing of the spread."""
    high: float | None
    """Upper end of the 95 % bootstrap interval; None with one dialogue."""


class Lengths(Record):
    """How long the summaries are, in words split at white space, and signs of collapse as fractions."""

    prediction_words_mean: float
    """Mean words of a prediction."""
    prediction_words_median: float
    """Median words of a prediction."""
    reference_words_mean: float
    """Mean words of the references that were scored (over a dialogue's references first)."""
    ratio: float | None
    """Mean prediction words a mean reference word; None where all references are empty."""
    empty_share: float
    """Share of predictions without a word."""
    distinct_share: float
    """Distinct predictions a prediction; near 0 where a collapsed model writes one summary for all."""
    distinct_bigrams_share: float
    """Mean share of distinct word pairs within a prediction; low where summaries loop."""


class ScoreReport(Record):
    """What ``peftsum score`` gives; ``model_dump(mode="json")`` keeps full precision."""

    rouge1: RougeScore
    rouge2: RougeScore
    rougeL: RougeScore  # noqa: N815  # the metric's own name, and the key of the JSON
    rougeLsum: RougeScore  # noqa: N815
    references: Literal["first", "mean", "max"]
    """What several references of one dialogue became."""
    n: int
    """Dialogues scored; several references of one dialogue count once."""
    signature: str
    """Everything that could change the numbers, for a paper or a bug report."""
    error_rates: dict[str, ErrorRate]
    """By heuristic."""
    lengths: Lengths
    further: dict[str, MeanScore] = Field(default_factory=dict)
    """By column, what the metrics give besides ROUGE, error flags and lengths."""
