"""The scores of a model card: written into the card of an adapter once it is evaluated.

Training writes the card with what it knows (``model_card.py``); this fills in the part between two marks, and the Hub's
``model-index``, from an evaluation of the whole split of the data that the adapter was trained on.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peftsum.adapters import is_adapter, read_adapter_record
from peftsum.artifacts import PREDICTIONS_FILE, AdapterRecord, is_run, read_predictions, write_text
from peftsum.data import Split, load_split
from peftsum.dialogue_facts import dialogue_facts
from peftsum.evaluate import Evaluation, evaluate
from peftsum.exceptions import DataError, StorageError
from peftsum.metrics.coverage import turn_coverage
from peftsum.metrics.errors.fitted import fitted
from peftsum.model_card import SCORES_BEGIN, SCORES_END, shown_place
from peftsum.recipe import Data
from peftsum.run_systems import evaluated_system
from peftsum.seen import Trained, describe_seen, find_seen
from peftsum.slices import DIMENSIONS, mean_over, slice_comparison, speaker_gaps
from peftsum.systems import Comparison, System
from peftsum.targets import resolve_target

logger = logging.getLogger(__name__)

CARD = "README.md"
ROUGE_LABELS = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L", "rougeLsum": "ROUGE-Lsum"}
SLICED_BY = ("speakers", "length", "topic", "speech", "speaker_gap")


def evaluate_with_card(target: str | Path, data: Data, split: str = "test", **options: Any) -> Evaluation:
    """Evaluate a target, and complete the card of its adapter where the evaluation is of the data it is meant for.

    Args:
        target: as :func:`peftsum.evaluate` takes it.
        data: a recipe's section.
        split: which split of it.
        options: of :func:`peftsum.evaluate`.
    """
    out = options.pop("out", None) or (target if is_run(Path(target)) else None)
    with tempfile.TemporaryDirectory(prefix="peftsum-") as aside:
        folder = Path(out) if out is not None else Path(aside)
        evaluation = evaluate(target, data, split, out=folder, **options)
        adapter = resolve_target(target, options.get("base")).adapter
        if adapter is not None and not options.get("limit"):
            texts = [row.prediction for row in read_predictions(folder / PREDICTIONS_FILE)]
            _complete_one(adapter, evaluation, data, load_split(data, split), texts)
    return evaluation


def _complete_one(adapter: Path, evaluation: Evaluation, data: Data, split: Split, texts: Sequence[str]) -> None:
    record = read_adapter_record(adapter)
    if record is None or (data.fields, data.redact) != (record.recipe.data.fields, record.recipe.data.redact):
        return
    if not _meant_for(record, evaluation.data, evaluation.split):
        return
    dialogues, ids = [e.dialogue for e in split.examples], [e.id for e in split.examples]
    coverage = turn_coverage(dialogues, [(text,) for text in texts])
    system = evaluated_system(adapter.name, record.recipe, evaluation, coverage=coverage)
    complete_card(
        adapter,
        Comparison(
            title="",
            data=evaluation.data,
            split=evaluation.split,
            n=len(ids),
            facts=dialogue_facts(ids, dialogues, [e.topic for e in split.examples]),
            reference_coverage=turn_coverage(dialogues, [e.references for e in split.examples]),
            seen=find_seen([Trained(adapter.name, record.recipe, record.data_fingerprint)], split),
            created="",
            systems=[system],
        ),
        system,
    )


def _meant_for(record: AdapterRecord, data: str, split: str) -> bool:
    """Tell whether scores belong into the card: of the data trained on, and not of the dialogues trained on."""
    return data == record.recipe.data.source and split != "train"


def complete_card(adapter: Path, comparison: Comparison, system: System) -> None:
    """Write the scores of a system into the card of its adapter; what stood there of an earlier evaluation goes.

    A card without the marks, such as one that somebody wrote by hand, stays as it is.

    Args:
        adapter: its folder.
        comparison: that the system is part of.
        system: with its statistics.
    """
    path = adapter / CARD
    record = read_adapter_record(adapter) if is_adapter(adapter) else None
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return
    if record is None or not _meant_for(record, comparison.data, comparison.split) or SCORES_BEGIN not in text:
        return
    before, _, rest = text.partition(SCORES_BEGIN)
    _, _, after = rest.partition(SCORES_END)
    lines = [
        *_scores(comparison, system),
        *_errors(system),
        *_slices(comparison, system),
        *_fairness(comparison, system),
    ]
    body = "\n".join([SCORES_BEGIN, *lines, SCORES_END])
    try:
        write_text(path, _with_index(before + body + after, adapter.name, comparison, system))
    except (StorageError, DataError) as error:
        logger.warning("%s: its card could not be completed: %s", adapter, error)


def _with_index(text: str, name: str, comparison: Comparison, system: System) -> str:
    """Return a card whose front matter holds the scores as the Hub reads them."""
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

    card = ModelCard(text, ignore_metadata_errors=True)
    data = card.data
    assert isinstance(data, ModelCardData)
    data.model_name = name
    data.eval_results = [
        EvalResult(
            task_type="summarization",
            dataset_type=shown_place(comparison.data).replace(":", "-"),
            dataset_name=shown_place(comparison.data),
            dataset_split=comparison.split,
            metric_type=metric.lower(),
            metric_name=label,
            metric_value=round(100 * getattr(system.scores, metric).f, 2),
        )
        for metric, label in ROUGE_LABELS.items()
    ]
    return str(card.content)


def _scores(comparison: Comparison, system: System) -> list[str]:
    scores = system.scores
    seen = describe_seen(comparison.seen, comparison.n + comparison.left_out, left_out=comparison.left_out > 0)
    return [
        "",
        f"On `{shown_place(comparison.data)}`, {comparison.split} split: {scores.n} dialogues, references: "
        f"{scores.references}. "
        f"Signature: `{scores.signature}`.",
        "",
        f"Dialogues seen in training: "
        f"{'; '.join(seen) if seen else 'none of them was found, word for word or nearly'}.",
        "",
        "| score | value | 95 % interval |",
        "|---|---|---|",
        *(
            f"| {label} | {100 * value.f:.2f} | {100 * value.low:.2f} to {100 * value.high:.2f} |"
            for label, value in ((label, getattr(scores, metric)) for metric, label in ROUGE_LABELS.items())
        ),
        "",
    ]


def _errors(system: System) -> list[str]:
    """Return the error rates with how far each can be trusted, where people's labels say so."""
    rows = []
    for name, rate in system.scores.error_rates.items():
        if name not in fitted().detectors:
            continue  # rules and heuristics that nobody has checked
        checked = fitted().detectors[name].checked.values()
        right = _range([100 * check.precision.value for check in checked], "{:.0f}")
        accuracy = _range([check.balanced_accuracy.value for check in checked], "{:.2f}")
        found = f"{100 * rate.rate:.1f} % | {100 * rate.low:.1f} to {100 * rate.high:.1f}"
        rows.append(f"| `{name}` | {found} | {right} % | {accuracy} |")
    return [
        "### Error rates, and how far to trust them",
        "",
        "| error | flagged | 95 % interval | flags that people agreed with | balanced accuracy |",
        "|---|---|---|---|---|",
        *rows,
        "",
        "A rate compares systems on the same dialogues; it is no share of wrong summaries, as most flags of one "
        "kind are wrong. "
        "The two columns to the right are of labelled summaries of other systems, and a coin has an accuracy of 0.5.",
        "",
    ]


def _range(values: Sequence[float], form: str) -> str:
    ends = dict.fromkeys(form.format(value) for value in (min(values), max(values)))
    return " to ".join(ends)


def _slices(comparison: Comparison, system: System) -> list[str]:
    pieces = [s for s in slice_comparison(comparison).slices if s.system == system.system and s.dimension in SLICED_BY]
    lines = ["### By kind of dialogue", "", "| slice | dialogues | ROUGE-L | 95 % interval |", "|---|---|---|---|"]
    for piece in pieces:
        score = piece.rouge["rougeL"]
        title = f"{DIMENSIONS[piece.dimension].title}: {piece.label}"
        found = f"{100 * score.f:.1f} | {100 * score.low:.1f} to {100 * score.high:.1f}"
        lines.append(f"| {title} | {piece.n}{' (few)' if piece.small else ''} | {found} |")
    return [*lines, ""]


def _fairness(comparison: Comparison, system: System) -> list[str]:
    lines = ["### How evenly it treats the speakers", ""]
    for whose, coverage in (("Its summaries", system.coverage), ("People's summaries", comparison.reference_coverage)):
        gap = mean_over(speaker_gaps(coverage)) if coverage is not None else None
        if gap is not None:
            lines.append(
                f"- {whose}: a gap of {100 * gap.value:.1f} points (95 % interval {100 * gap.low:.1f} to "
                f"{100 * gap.high:.1f}; "
                f"{gap.n} dialogues) between the shares of turns covered of the speaker covered best and least."
            )
    lines += [
        "- By gender, age, origin, dialect or any other trait of the speakers: not measured. The data do not name "
        "them.",
        "",
    ]
    return lines
