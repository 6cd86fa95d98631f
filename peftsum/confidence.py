"""How good a summary can be expected to be, from its likelihood; and ``confidence.json``, which says so for an adapter.

The file stands beside the weights it was fitted for, and goes with their folder. It speaks for dialogues that are read
whole, in the prompt and with the generation settings it was fitted with; for others confidence is None, with a reason.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from peftsum.artifacts import read_record, write_record
from peftsum.calibration import Calibration, fit_calibration
from peftsum.data import Split, load_split, load_training_splits
from peftsum.exceptions import DataError, UsageError
from peftsum.generate import BASE, Summarizer
from peftsum.long_dialogues import Written
from peftsum.metrics import example_statistics
from peftsum.model import BUILTIN, local_folder
from peftsum.prompts import Prompt
from peftsum.recipe import Data, Generation
from peftsum.section import Record
from peftsum.seen import Trained, find_seen, leaked_ids
from peftsum.targets import Target, resolve_target, weights_identity
from peftsum.version import __version__

logger = logging.getLogger(__name__)

CONFIDENCE_FILE = "confidence.json"
SCORE = "rougeL"
FOR_LONG = {"strategy", "overlap_turns", "joined_tokens"}  # they change nothing for a dialogue that is read whole


class CalibrationRecord(Record):
    """``confidence.json``: a calibration, and what it holds for."""

    peftsum_version: str
    score: str
    """Whose value is expected: ROUGE-L F, a fraction, several references counting by their mean."""
    weights: str
    """Identity of the weights it was fitted for."""
    prompt: Prompt
    generation: Generation
    max_source_tokens: int
    data: str
    split: str
    data_fingerprint: str
    left_out: int
    """Dialogues of the split that were not taken, since they stand in the training data or are longer than the
    context."""
    calibration: Calibration
    created: str


class Confidence(Record):
    """How good a summary can be expected to be."""

    value: float | None
    """Expected ROUGE-L F, 0 to 1, against what a person would have written; None where it is not known."""
    score: str = SCORE
    log_likelihood: float
    """Mean log-probability of a token of the summary, nats, under the model that wrote it."""
    calibration_error: float | None
    """How far such expectations are off in the mean of like ones."""
    absolute_error: float | None
    """How far the expectation of one summary is off in the mean."""
    mean_score: float | None
    """Of the summaries it was calibrated on, to hold the value against."""
    reason: str | None
    """Why there is no value."""


def calibrate(
    target: str | Path,
    data: str | Data | None = None,
    split: str = "validation",
    *,
    limit: int | None = None,
    base: str | None = None,
) -> CalibrationRecord:
    """Fit the confidence of an adapter or fully tuned model, and write it beside its weights.

    Args:
        target: adapter, model folder or run.
        data: dialogues with summaries; None takes those that it was validated on in training.
        split: which split of them.
        limit: the first dialogues only.
        base: instead of the base that an adapter names.

    Raises:
        UsageError: the target has no folder to write to, or does not say what it was trained on.
        DataError: too few dialogues are left to fit it on.
    """
    resolved = resolve_target(target, base)
    folder = _folder(resolved)
    if folder is None:
        raise UsageError(
            f"{target} is no folder here to keep {CONFIDENCE_FILE} in",
            hint="name an adapter or a run; `peftsum adapters` lists what is there",
        )
    examples = _examples(resolved, data, split, limit)
    unseen = _unseen(resolved, examples)
    summarizer = Summarizer(resolved.model.base, [resolved.adapter] if resolved.adapter is not None else [])
    written = summarizer.write(
        [e.dialogue for e in unseen.examples],
        prompt=resolved.prompt,
        generation=resolved.generation,
        max_source_tokens=resolved.max_source_tokens,
        title=f"summaries by {resolved.name}",
    )
    whole = [(w, e) for w, e in zip(written, unseen.examples, strict=True) if w.whole]
    likelihoods = summarizer.log_likelihoods([w for w, _ in whole])
    texts, references = [w.text for w, _ in whole], [e.references for _, e in whole]
    scores = example_statistics(texts, references, "mean")[f"{SCORE}_f"].tolist() if whole else []
    record = CalibrationRecord(
        peftsum_version=__version__,
        score=SCORE,
        weights=weights_identity(resolved),
        prompt=resolved.prompt,
        generation=resolved.generation,
        max_source_tokens=resolved.max_source_tokens,
        data=examples.source,
        split=examples.name,
        data_fingerprint=examples.fingerprint,
        left_out=len(examples.examples) - len(whole),
        calibration=fit_calibration(likelihoods, scores),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_record(folder / CONFIDENCE_FILE, record)
    return record


def confidences(
    summarizer: Summarizer,
    written: Sequence[Written],
    adapter: str | None,
    prompt: Prompt,
    generation: Generation,
) -> list[Confidence]:
    """Return the confidence of summaries that an adapter, or the base for None, wrote with these settings."""
    if not written:
        return []
    record, reason = calibration_for(summarizer.target(adapter), prompt, generation)
    likelihoods = summarizer.log_likelihoods(written, adapter if adapter is not None else BASE)
    return [confidence_of(w, value, record, reason) for w, value in zip(written, likelihoods, strict=True)]


def confidence_of(
    written: Written, log_likelihood: float, record: CalibrationRecord | None, reason: str | None
) -> Confidence:
    """Return the confidence of one summary.

    Args:
        written: it.
        log_likelihood: mean log-probability of its tokens, nats.
        record: the calibration that holds for its settings, by :func:`calibration_for`.
        reason: why there is none.
    """
    reason = reason or _why_not(written)
    calibration = record.calibration if record is not None and reason is None else None
    return Confidence(
        value=calibration.expected(log_likelihood) if calibration else None,
        log_likelihood=log_likelihood,
        calibration_error=calibration.calibration_error if calibration else None,
        absolute_error=calibration.absolute_error if calibration else None,
        mean_score=calibration.mean_score if calibration else None,
        reason=reason,
    )


def _why_not(written: Written) -> str | None:
    if not written.text:
        return "the summary is empty"
    if written.parts > 1:
        return f"read in {written.parts} parts, and calibrated on dialogues that are read at once"
    if not written.whole:
        share = 100 * (1 - written.read_tokens / written.source_tokens)
        return f"the end of the dialogue was cut off ({share:.0f} %), and it was calibrated on whole ones"
    return None


def calibration_for(
    target: Target | None, prompt: Prompt, generation: Generation
) -> tuple[CalibrationRecord | None, str | None]:
    """Return the calibration that holds for these settings, or None and why there is none."""
    folder = _folder(target) if target is not None else None
    if target is None or folder is None:
        return None, "not calibrated: an untuned base has no validation dialogues of its own"
    if not (folder / CONFIDENCE_FILE).is_file():
        return None, f"not calibrated: `peftsum calibrate {target.adapter or target.model.base}` does it"
    try:
        record = read_record(folder / CONFIDENCE_FILE, CalibrationRecord)
    except DataError as error:  # a summary is worth having without it
        return None, f"{error.message}: calibrate again"
    if record.weights != weights_identity(target):
        return None, f"{CONFIDENCE_FILE} is of other weights: calibrate again"
    if record.prompt != prompt or _settings(record.generation) != _settings(generation):
        return None, f"{CONFIDENCE_FILE} is of another prompt or other generation settings: calibrate again"
    return record, None


def _settings(generation: Generation) -> dict[str, object]:
    return generation.model_dump(exclude=FOR_LONG)


def _folder(target: Target) -> Path | None:
    if target.adapter is not None:
        return target.adapter
    return None if target.model.base in BUILTIN else local_folder(target.model.base)


def _examples(target: Target, data: str | Data | None, split: str, limit: int | None) -> Split:
    if data is not None:
        examples = load_split(data if isinstance(data, Data) else Data(source=data), split)
    elif target.record is None:
        raise UsageError(
            f"{target.name} does not say what it was trained on", hint="pass --data with validation dialogues"
        )
    elif split == "validation":  # a set without such a split gave up a part of its training rows for it
        examples = load_training_splits(target.record.recipe.data, target.record.recipe.train.seed)[1]
    else:
        examples = load_split(target.record.recipe.data, split)
    return Split(examples.source, examples.name, examples.examples[:limit], examples.skipped)


def _unseen(target: Target, examples: Split) -> Split:
    """Leave out what the weights were trained on: of such dialogues a model is surer than it is right."""
    if target.record is None:
        return examples
    trained = Trained(target.name, target.record.recipe, target.record.data_fingerprint)
    seen = leaked_ids(find_seen([trained], examples))
    if seen:
        logger.warning(
            "%d of %d dialogues stand in the training data too; they are left out", len(seen), len(examples.examples)
        )
    return Split(examples.source, examples.name, [e for e in examples.examples if e.id not in seen], examples.skipped)
