r"""Errors in summaries, found without a model: who did what, pronouns, negation, circumstances, made-up content.

    findings = find_errors("Ben lends Anna his car.", "Anna: I'll lend you my car, Ben.\nBen: Thanks!")

How far each detector can be trusted is told in ``docs/errors.md`` and held in ``fitted().detectors[…].checked``.
"""

from __future__ import annotations

from collections.abc import Sequence

from peftsum.metrics.errors.detectors import FITTED, RULES, Finding, find_errors
from peftsum.metrics.errors.fitted import fitted
from peftsum.metrics.references import ReferenceMode, Statistics

__all__ = ["FITTED", "RULES", "Finding", "error_findings", "error_statistics", "find_errors", "fitted"]


def error_findings(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    mode: ReferenceMode,
    dialogues: Sequence[str],
) -> list[list[Finding]]:
    """Return what each detector says of each dialogue's summary.

    Args:
        predictions: n texts.
        references: n rows of texts. The detectors take the one that a summary is nearest to; mode ``first`` the first.
        mode: what several references become.
        dialogues: n texts.
    """
    return [
        find_errors(prediction, dialogue, row[:1] if mode == "first" else row)
        for prediction, row, dialogue in zip(predictions, references, dialogues, strict=True)
    ]


def error_statistics(findings: Sequence[Sequence[Finding]]) -> Statistics:
    """Return each detector's flag a dialogue, 1 an error and 0 none, under ``error_any``, ``error_speaker``, …."""
    import numpy as np

    columns: dict[str, list[float]] = {}
    for row in findings:
        for finding in row:
            columns.setdefault(finding.error, []).append(float(finding.flagged))
    return {name: np.asarray(values, dtype=np.float64) for name, values in columns.items()}
