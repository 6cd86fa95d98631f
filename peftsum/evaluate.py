"""From a target or a predictions file to scores; both meet at predictions.jsonl."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from peftsum.artifacts import (
    ERRORS_FILE,
    PREDICTIONS_FILE,
    Prediction,
    check_folder,
    is_run,
    read_predictions,
    write_findings,
    write_predictions,
    write_record,
)
from peftsum.cost.machine import Machine, describe_machine
from peftsum.cost.meters import measure
from peftsum.cost.readings import Readings
from peftsum.cost.section import Cost
from peftsum.data import Example, Split, load_split
from peftsum.exceptions import DataError
from peftsum.generate import Summarizer
from peftsum.judges import Judge
from peftsum.long_dialogues import Strategy, Written
from peftsum.metrics import aggregate, example_statistics
from peftsum.metrics.errors import Finding, error_findings, error_statistics
from peftsum.metrics.errors.fitted import detectors_identity
from peftsum.metrics.references import resolve_mode
from peftsum.metrics.scores import ScoreReport
from peftsum.model import count_parameters, default_device
from peftsum.prompts import Prompt
from peftsum.recipe import Data, Generation, with_strategy
from peftsum.redaction import screen
from peftsum.section import Record
from peftsum.targets import resolve_target, warn_unredacted, weights_identity

logger = logging.getLogger(__name__)

EVALUATION_FILE = "evaluation.json"

ReferenceMode = Literal["first", "mean", "max"]


class Scored(Record):
    """Scores of a predictions file, with the statistics of each dialogue, for slices and paired comparisons."""

    data: str
    split: str
    data_fingerprint: str
    scores: ScoreReport
    statistics: dict[str, list[float]]
    """Column name to a value a dialogue, in the order of the split."""


class Evaluation(Scored):
    """Scores of a target, with what it took to generate the summaries."""

    target: str
    adapter: str | None
    base: str
    weights: str
    """Identity of the weights: a hash of the adapter's or model's files, or the base's revision."""
    total_params: int
    prompt: Prompt
    generation: Generation
    max_source_tokens: int
    evaluate: Readings
    machine: Machine | None = None
    """Where the summaries were written; None in evaluations of an older version."""


def evaluate(
    target: str | Path,
    data: str | Data,
    split: str = "test",
    *,
    limit: int | None = None,
    references: ReferenceMode | None = None,
    out: str | Path | None = None,
    base: str | None = None,
    prompt: Prompt | None = None,
    generation: Generation | None = None,
    strategy: Strategy | None = None,
) -> Evaluation:
    """Generate summaries of a split and score them.

    Args:
        target: adapter, model folder, Hub id, ``builtin:tiny`` or run.
        data: a data source, or a recipe's section for columns and bad rows.
        split: which split of it.
        limit: the first dialogues only.
        references: how several references count; None is ``mean`` where there are several.
        out: folder for predictions.jsonl, errors.jsonl and evaluation.json; None takes the run where the target is one.
        base: instead of the base that the adapter names.
        prompt: instead of the target's own.
        generation: instead of the target's own.
        strategy: for dialogues beyond the context, instead of the generation's.

    Raises:
        AdapterError, ModelError, DataError, HubError, StorageError.
    """
    if out is not None:
        check_folder(Path(out))
    section = data if isinstance(data, Data) else Data(source=data)
    examples = load_split(section, split)
    if limit is not None:
        examples = Split(examples.source, examples.name, examples.examples[:limit], examples.skipped)
    resolved = resolve_target(target, base)
    warn_unredacted(resolved, section.redact)
    if resolved.adapter is not None:
        summarizer = Summarizer(resolved.model.base, [resolved.adapter])
    else:
        summarizer = Summarizer(resolved.model.base)
    prompt, generation = prompt or resolved.prompt, with_strategy(generation or resolved.generation, strategy)
    source_tokens = resolved.max_source_tokens if resolved.record else section.max_source_tokens
    cost = resolved.record.recipe.cost if resolved.record else Cost()
    device = default_device()
    with measure(cost, device) as measurement:
        measurement.count_parts(summarizer.model)
        written = summarizer.write(
            [e.dialogue for e in examples.examples],
            prompt=prompt,
            generation=generation,
            max_source_tokens=source_tokens,
            title=f"summaries by {resolved.name}",
        )
    texts = [screen(w.text, section.redact) for w in written]
    name = resolved.name if resolved.adapter is not None else None
    predictions = [
        Prediction(id=e.id, prediction=text, adapter=name) for e, text in zip(examples.examples, texts, strict=True)
    ]
    findings, mode = _find(examples.examples, texts, references)
    scored = _scored(examples, examples.examples, texts, mode, findings).model_dump()
    scored["statistics"] |= _source_statistics(written)
    evaluation = Evaluation(
        **scored,
        target=str(target),
        adapter=name,
        base=resolved.model.base,
        weights=weights_identity(resolved),
        total_params=count_parameters(summarizer.model)[1],
        prompt=prompt,
        generation=generation,
        max_source_tokens=source_tokens,
        evaluate=measurement.readings,
        machine=describe_machine(),
    )
    folder = Path(out) if out is not None else Path(target) if is_run(Path(target)) else None
    if folder is not None:
        write_predictions(folder / PREDICTIONS_FILE, predictions)
        write_findings(folder / ERRORS_FILE, _flagged(examples.examples, findings))
        write_record(folder / EVALUATION_FILE, evaluation)
    return evaluation


def judged_anew(evaluation: Evaluation, split: Split, folder: Path) -> Evaluation:
    """Return an evaluation by the detectors there are now, also in its folder, where it was made by others.

    Rates of two versions of a detector must not be compared: the difference would be that of the versions.

    Args:
        evaluation: of the folder; as it is where its detectors are those there are.
        split: the dialogues it is of.
        folder: with its predictions.
    """
    if f"|detectors:{detectors_identity()}" in evaluation.scores.signature:
        return evaluation
    logger.info("%s: judging its summaries again, as the error detectors have changed", folder)
    by_id = {row.id: row.prediction for row in read_predictions(folder / PREDICTIONS_FILE)}
    texts = [by_id[example.id] for example in split.examples]
    findings, mode = _find(split.examples, texts, evaluation.scores.references)
    scored = _scored(split, split.examples, texts, mode, findings)
    statistics = evaluation.statistics | scored.statistics  # what was read of the sources stays
    anew = evaluation.model_copy(update={"scores": scored.scores, "statistics": statistics})
    write_findings(folder / ERRORS_FILE, _flagged(split.examples, findings))
    write_record(folder / EVALUATION_FILE, anew)
    return anew


def score(
    predictions: str | Path,
    data: str | Data,
    split: str = "test",
    *,
    references: ReferenceMode | None = None,
    errors: str | Path | None = None,
    judges: Sequence[Judge] = (),
) -> Scored:
    """Score a predictions file made by anything; needs no model, save those of the judges.

    Args:
        predictions: rows with ``id`` and ``prediction``. They may cover a part of the split, which is warned of.
        data: a data source, or a recipe's section.
        split: which split of it.
        references: how several references count; None is ``mean`` where there are several.
        errors: file for what the error detectors point at, a row for each error found.
        judges: detectors that run a model, asked besides.

    Raises:
        DataError: a file is missing or unreadable, an id is unknown or stands twice.
    """
    rows = read_predictions(Path(predictions))
    section = data if isinstance(data, Data) else Data(source=data)
    examples = load_split(section, split)
    by_id: dict[str, str] = {}
    for row in rows:
        if row.id in by_id:
            raise DataError(
                f"{predictions}: id {row.id!r} stands twice", hint="keep one row a dialogue (and one adapter a file)"
            )
        by_id[row.id] = row.prediction
    known = {e.id for e in examples.examples}
    unknown = [i for i in by_id if i not in known]
    if unknown:
        raise DataError(
            f"{predictions}: {len(unknown)} of {len(by_id)} ids are not in {section.source} ({split}), "
            f"for example {unknown[0]!r}",
            hint="check --data and --split",
        )
    chosen = [e for e in examples.examples if e.id in by_id]
    if len(chosen) < len(examples.examples):
        logger.warning(
            "%d of %d dialogues have a prediction; the others are left out", len(chosen), len(examples.examples)
        )
    texts = [by_id[e.id] for e in chosen]
    judged = [judge.judge([e.dialogue for e in chosen], texts) for judge in judges]
    findings, mode = _find(chosen, texts, references)
    findings = [[*row, *others] for row, *others in zip(findings, *judged, strict=True)]
    if errors is not None:
        write_findings(Path(errors), _flagged(chosen, findings))
    return _scored(examples, chosen, texts, mode, findings)


def score_texts(
    split: Split,
    texts: list[str],
    *,
    references: ReferenceMode | None = None,
    errors: str | Path | None = None,
) -> Scored:
    """Score a summary for each dialogue of a split, in its order; see :func:`score`."""
    findings, mode = _find(split.examples, texts, references)
    if errors is not None:
        write_findings(Path(errors), _flagged(split.examples, findings))
    return _scored(split, split.examples, texts, mode, findings)


def _find(
    examples: list[Example], texts: list[str], references: ReferenceMode | None
) -> tuple[list[list[Finding]], ReferenceMode]:
    """Return what the detectors say of each text, and how several references count."""
    rows = [e.references for e in examples]
    mode = resolve_mode(rows, references)
    return error_findings(texts, rows, mode, [e.dialogue for e in examples]), mode


def _flagged(examples: list[Example], findings: list[list[Finding]]) -> Iterator[tuple[str, Finding]]:
    for example, row in zip(examples, findings, strict=True):
        yield from ((example.id, finding) for finding in row if finding.flagged)


def _scored(
    split: Split, examples: list[Example], texts: list[str], mode: ReferenceMode, findings: list[list[Finding]]
) -> Scored:
    statistics = example_statistics(texts, [e.references for e in examples], mode) | error_statistics(findings)
    return Scored(
        data=split.source,
        split=split.name,
        data_fingerprint=split.fingerprint,
        scores=aggregate(statistics, references=mode),
        statistics={name: [float(value) for value in column] for name, column in statistics.items()},
    )


def _source_statistics(written: Sequence[Written]) -> dict[str, list[float]]:
    """Return what was read of each dialogue.

    ``source_tokens`` are those of the prompt with the whole dialogue, ``source_cut`` is 1 where its end was cut off,
    ``source_parts`` counts the parts that it was read in.
    """
    return {
        "source_tokens": [float(w.source_tokens) for w in written],
        "source_cut": [float(w.read_tokens < w.source_tokens) for w in written],
        "source_parts": [float(w.parts) for w in written],
    }
