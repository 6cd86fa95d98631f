"""What a training can select its weights by: the loss, a ROUGE, or an error flag."""

from __future__ import annotations

from collections.abc import Mapping

from peftsum.metrics.errors import FITTED, RULES
from peftsum.metrics.heuristics import HEURISTICS
from peftsum.metrics.rouge import ROUGE_TYPES

LOSS = "loss"
ERROR_PREFIXES = ("heuristic_", "error_")  # a column so named is an error flag, and gets a rate in the report


def selectable_scores() -> tuple[str, ...]:
    """Return every score that ``train.select_by`` takes. A metric that gives error flags adds their columns here."""
    return (LOSS, *ROUGE_TYPES, *HEURISTICS, *FITTED, *RULES)


def statistic(score: str) -> str:
    """Return the column of :func:`peftsum.metrics.example_statistics` whose mean a score is; not for the loss."""
    return f"{score}_f" if score in ROUGE_TYPES else score


def goodness(figures: Mapping[str, float], score: str) -> tuple[float, float]:
    """Return what is larger for the better of two validations: by the score, and by the loss where they are equal.

    Args:
        figures: ``val_<score>`` for the score, and ``val_loss``.
        score: one of :func:`selectable_scores`. Of the loss and of error flags less is better.
    """
    value, loss = figures[f"val_{score}"], figures[f"val_{LOSS}"]
    lower_is_better = score == LOSS or score.startswith(ERROR_PREFIXES)
    return (-value if lower_is_better else value, -loss)
