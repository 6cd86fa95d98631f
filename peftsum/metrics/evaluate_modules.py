"""Modules for the ``evaluate`` library; they need no network.

    from peftsum.metrics.evaluate_modules import PeftsumRouge
    PeftsumRouge().compute(predictions=["..."], references=[["...", "..."]])

``evaluate.load`` takes one module a file: ``evaluate.load("…/peftsum/metrics/peftsum_rouge.py")`` and
``evaluate.load("…/peftsum/metrics/peftsum_error_heuristics.py")`` give the same two classes, also offline.

Results are flat dictionaries of fractions, so that ``evaluate.combine`` and trackers can take them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate

from peftsum.metrics import METRICS
from peftsum.metrics.aggregation import error_rates, make_signature, rouge_scores
from peftsum.metrics.intervals import RESAMPLES, SEED
from peftsum.metrics.references import ReferenceMode, check_texts, resolve_mode
from peftsum.metrics.rouge import ROUGE_TYPES

_INPUTS = """
Args:
    predictions: texts.
    references: a text, or a list of one or more texts, a prediction.
    mode: "first", "mean" or "max" over a row's references; by default "mean" where any row has several, else "first".
    use_aggregator: True gives means with 95 % intervals, False a list of one value a prediction.
    seed, resamples: of the bootstrap over rows.
"""


def _row(references: str | Sequence[str]) -> list[str]:
    return [references] if isinstance(references, str) else list(references)


class _PeftsumMetric(evaluate.Metric):  # type: ignore[misc]  # evaluate ships no types
    """Accepts a bare text wherever a list of references may stand.

    ``evaluate`` chooses between declared formats by the first row alone and would read a bare text further down as a
    list of letters, without a word. So there is one format, and every row is brought to it here.
    """

    summary = ""

    def _info(self) -> Any:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description=self.summary,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": text, "references": datasets.List(text)}),
        )

    def add_batch(self, *, predictions: Any = None, references: Any = None, **kwargs: Any) -> None:
        """Add predictions and their references (a text or a list of texts a row)."""
        references = None if references is None else [_row(row) for row in references]
        super().add_batch(predictions=predictions, references=references, **kwargs)

    def add(self, *, prediction: Any = None, reference: Any = None, **kwargs: Any) -> None:
        """Add one prediction and its references (a text or a list of texts)."""
        super().add(prediction=prediction, references=_row(kwargs.pop("references", reference)), **kwargs)


class PeftsumRouge(_PeftsumMetric):
    """ROUGE f-measures as ``rouge_score`` gives them with its stemmer, with seeded intervals over dialogues."""

    summary = "ROUGE-1, -2, -L and -Lsum f-measures (rouge_score, stemmed) with 95 % bootstrap intervals."

    def _compute(
        self,
        predictions: Sequence[str],
        references: Sequence[Sequence[str]],
        mode: ReferenceMode | None = None,
        use_aggregator: bool = True,
        seed: int = SEED,
        resamples: int = RESAMPLES,
    ) -> dict[str, Any]:
        """Return ``rouge1``, ``rouge1_low``, ``rouge1_high``, …, ``signature``; without aggregator lists by type."""
        check_texts(predictions, references)
        mode = resolve_mode(references, mode)
        statistics = METRICS["rouge"](predictions, references, mode)
        if not use_aggregator:
            return {kind: statistics[f"{kind}_f"].tolist() for kind in ROUGE_TYPES}
        result: dict[str, Any] = {}
        for kind, score in rouge_scores(statistics, seed=seed, resamples=resamples).items():
            result |= {kind: score.f, f"{kind}_low": score.low, f"{kind}_high": score.high}
        return result | {"signature": make_signature(mode, seed=seed, resamples=resamples)}


class PeftsumErrorHeuristics(_PeftsumMetric):
    """Rates of the four simple error heuristics of ``peftsum.metrics.heuristics``."""

    summary = "Rates of four simple error heuristics (length, hallucination, missing key info, focus)."

    def _compute(
        self,
        predictions: Sequence[str],
        references: Sequence[Sequence[str]],
        mode: ReferenceMode | None = None,
        use_aggregator: bool = True,
        seed: int = SEED,
        resamples: int = RESAMPLES,
    ) -> dict[str, Any]:
        """Return ``heuristic_length``, ``heuristic_length_low``, …; without aggregator lists by heuristic."""
        check_texts(predictions, references)
        statistics = METRICS["heuristics"](predictions, references, resolve_mode(references, mode))
        if not use_aggregator:
            return {name: flags.tolist() for name, flags in statistics.items()}
        result: dict[str, Any] = {}
        for name, rate in error_rates(statistics, seed=seed, resamples=resamples).items():
            result |= {name: rate.rate, f"{name}_low": rate.low, f"{name}_high": rate.high}
        return result
