"""Recipes and runs side by side: train what is missing or stale, evaluate, and gather one comparison."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from peftsum.artifacts import PREDICTIONS_FILE, RUN_FILE, RunRecord, is_run, read_predictions, read_record
from peftsum.card_scores import complete_card
from peftsum.comparison import Comparison, Example, System
from peftsum.cost.machine import Machine, describe_machine
from peftsum.cost.section import Cost
from peftsum.data import Example as DataExample
from peftsum.data import Split, load_split, load_training_splits
from peftsum.dialogue_facts import dialogue_facts
from peftsum.engine.allocator import forget_earlier_work
from peftsum.evaluate import EVALUATION_FILE, Evaluation, evaluate, judged_anew
from peftsum.exceptions import DataError, UsageError
from peftsum.inference import Asked, inference_costs
from peftsum.ledger.axes import parse_pair
from peftsum.metrics import aggregate
from peftsum.metrics.coverage import turn_coverage
from peftsum.processes import run_apart
from peftsum.recipe import Data, Recipe
from peftsum.recipe_file import load_recipe, parse_recipe
from peftsum.redaction import Kind, parse_kinds
from peftsum.run_systems import run_system
from peftsum.seen import Seen, Trained, describe_seen, find_seen, leaked_ids
from peftsum.targets import resolve_target, weights_identity
from peftsum.train import has_weights, is_current, train
from peftsum.units import format_bytes

logger = logging.getLogger(__name__)

EXAMPLES = 6  # dialogues shown side by side
UNTUNED = "untuned"

T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """One thing to compare: a run, and the recipe that makes it where the user named a recipe."""

    name: str
    recipe: Recipe
    run_dir: Path
    adapter_dir: Path | None
    trainable: bool
    """False for a finished run that the user named: it is taken as it is."""


def compare(
    targets: Sequence[str | Path],
    *,
    runs_dir: str | Path = "runs",
    adapters_dir: str | Path = "adapters",
    data: str | None = None,
    split: str = "test",
    limit: int | None = None,
    overrides: Sequence[str] = (),
    leave_out_leaked: bool = False,
    inference_sample: int | None = None,
    pairs: Sequence[str] = (),
    untuned: bool = True,
    ignore_forecast: bool = False,
    redact: Sequence[Kind] = (),
) -> Comparison:
    """Train what is missing or stale, evaluate every system and the untuned base, and return the comparison.

    Each system is trained and evaluated in a process of its own, so that its memory is its own. What is up to date is
    not made again; what an earlier call left unfinished goes on from its last checkpoint.

    Args:
        targets: recipe files, or folders of finished runs.
        runs_dir: where runs of recipes lie, ``<runs_dir>/<name>``.
        adapters_dir: where their adapters lie.
        data: what to evaluate on; None takes the recipes' own source, which must then be the same.
        split: which split of it.
        limit: its first dialogues only.
        overrides: ``a.b=c`` settings for every recipe.
        leave_out_leaked: score every system without the dialogues that stand, exactly or nearly, in the training data
            of any. Summaries are made of all of them, so that the evaluations kept in the runs stay whole.
        inference_sample: measure what summaries cost in each arrangement (adapter beside its base, merged, in 8 bits)
            on this many of the dialogues; None does not.
        pairs: axes to show against each other besides the main ones, each as ``rougeL,train_wall_s``.
        redact: kinds of personal values that are redacted from what is evaluated on, beside those of the recipes.
        untuned: False leaves the untuned bases out, for a caller that has them already.
        ignore_forecast: train even where the forecast says that the memory cannot suffice.

    Raises:
        UsageError: nothing to compare, names that clash, recipes of different data, or nothing left to score.
        Everything that :func:`peftsum.train` and :func:`peftsum.evaluate` raise.
    """
    chosen_pairs = [parse_pair(pair) for pair in pairs]
    entries = [_entry(Path(t), Path(runs_dir), Path(adapters_dir), overrides) for t in targets]
    section = _common_data(entries, data)
    section = section.model_copy(update={"redact": [*parse_kinds([*section.redact, *redact])]})
    whole = limited(load_split(section, split), limit)  # fails here, before anything is trained
    seen = _seen(entries, whole, leave_out=leave_out_leaked)
    cost = _common_cost(entries, overrides)
    left_out = leaked_ids(seen) if leave_out_leaked else set()
    kept = [index for index, example in enumerate(whole.examples) if example.id not in left_out]
    examples = [whole.examples[index] for index in kept]
    bases = _bases(entries) if untuned else []
    systems = [_untuned(entries[0], base, Path(runs_dir), section, split, limit) for base in bases]
    for number, entry in enumerate(entries, start=1):
        found = _found(entry, section, split, limit)
        logger.info("[%d/%d] %s%s", number, len(entries), entry.name, " is up to date" if found else "")
        systems.append(found or run_apart(entry.name, _work, entry, section, split, limit, ignore_forecast))
    predictions = {system.system: _texts(folder) for system, folder in systems}
    if inference_sample is not None:
        chosen = tuple(e.dialogue for e in spread(whole.examples, inference_sample))
        systems = [(_with_inference(s, folder, entries, chosen), folder) for s, folder in systems]
    scored = [_restricted(system, kept) if left_out else system for system, _ in systems]
    system_records = [_with_coverage(system, examples, predictions[system.system]) for system in scored]
    dialogues = [e.dialogue for e in examples]
    machine = describe_machine()
    comparison = Comparison(
        title=f"{section.source}, {split} split"
        + (f", without {len(whole.examples) - len(kept)} dialogues seen in training" if left_out else ""),
        data=section.source,
        split=split,
        n=len(examples),
        seen=seen,
        left_out=len(whole.examples) - len(kept),
        machine=machine_lines(machine),
        cost=cost,
        pairs=chosen_pairs,
        facts=dialogue_facts([e.id for e in examples], dialogues, [e.topic for e in examples]),
        reference_coverage=turn_coverage(dialogues, [e.references for e in examples]),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        systems=system_records,
        examples=[
            Example(
                id=e.id,
                dialogue=e.dialogue,
                references=list(e.references),
                predictions={name: texts[e.id] for name, texts in predictions.items()},
            )
            for e in spread(examples, EXAMPLES)
        ],
        commands=[shlex.join(["peftsum", *sys.argv[1:]])] if Path(sys.argv[0]).stem in {"peftsum", "__main__"} else [],
    )
    if limit is None:
        _complete_cards(entries, comparison)
    return comparison


def _complete_cards(entries: Sequence[Entry], comparison: Comparison) -> None:
    """Write the scores into the cards of the adapters, which say until then what the training knew."""
    systems = {system.system: system for system in comparison.systems}
    for entry in entries:
        if entry.adapter_dir is not None:
            complete_card(entry.adapter_dir, comparison, systems[entry.name])


def _entry(target: Path, runs_dir: Path, adapters_dir: Path, overrides: Sequence[str]) -> Entry:
    if is_run(target):
        record = read_record(target / RUN_FILE, RunRecord)
        if record.status != "done":
            raise UsageError(f"{target} is not finished (it is {record.status})", hint="resume it, or name its recipe")
        return Entry(
            target.name,
            record.recipe,
            target,
            Path(record.adapter_dir) if record.adapter_dir else None,
            trainable=False,
        )
    if target.is_dir():
        raise UsageError(
            f"{target} is neither a recipe nor a finished run", hint="name .yaml files, or folders that hold a run.json"
        )
    recipe = load_recipe(target, overrides)
    adapter = adapters_dir / recipe.name if recipe.method.frozen_base else None
    return Entry(recipe.name, recipe, runs_dir / recipe.name, adapter, trainable=True)


def _common_data(entries: Sequence[Entry], data: str | None) -> Data:
    if not entries:
        raise UsageError("nothing to compare", hint="name recipes or runs, for example recipes/tiny/*.yaml")
    names = [entry.name for entry in entries]
    for name in names:
        if names.count(name) > 1 or name.startswith(UNTUNED):
            raise UsageError(
                f"the name {name!r} stands twice or is taken", hint="give each recipe a `name:` of its own"
            )
    first = entries[0].recipe.data
    if data is not None:
        return first.model_copy(update={"source": data})
    for entry in entries[1:]:
        if _read_alike(entry.recipe.data) != _read_alike(first):
            raise UsageError(
                f"{entries[0].name} and {entry.name} are about different data",
                hint="pass --data to evaluate both on one",
            )
    return first


def _read_alike(data: Data) -> tuple[object, ...]:
    return data.source, data.fields, data.redact


def limited(split: Split, limit: int | None) -> Split:
    """Return the first dialogues of a split."""
    return replace(split, examples=split.examples[:limit])


def _seen(entries: Sequence[Entry], evaluated: Split, *, leave_out: bool) -> list[Seen]:
    """Return, and warn of, the dialogues that stand in the systems' training data."""
    seen = find_seen([_trained(entry) for entry in entries], evaluated)
    for line in describe_seen(seen, len(evaluated.examples), left_out=leave_out):
        logger.warning("%s, %s split: %s", evaluated.source, evaluated.name, line)
    if leave_out and leaked_ids(seen).issuperset(e.id for e in evaluated.examples):
        raise UsageError(
            f"every dialogue of {evaluated.source}, {evaluated.name} split, stands in the training data",
            hint="name another split with --split, or other data with --data",
        )
    return seen


def _trained(entry: Entry) -> Trained:
    record = None if entry.trainable else read_record(entry.run_dir / RUN_FILE, RunRecord)
    return Trained(entry.name, entry.recipe, record.data_fingerprint if record else None)


def _common_cost(entries: Sequence[Entry], overrides: Sequence[str]) -> Cost:
    """Return the place, prices and device that every system is counted by: those of the first, as overridden.

    One set for all: two systems at two places would differ by the places.
    """
    ours = [override for override in overrides if override.startswith("cost.")]
    costs = [parse_recipe(e.recipe.model_dump_json(), name=e.name, overrides=ours).cost for e in entries]
    read = {"energy", "cpu_watts_per_core"}  # what was read is in the readings
    if len({cost.model_dump_json(exclude=read) for cost in costs}) > 1:
        logger.warning(
            "the recipes state different places, prices or devices; all are counted by those of %s", entries[0].name
        )
    return costs[0]


def _with_inference(system: System, folder: Path, entries: Sequence[Entry], dialogues: tuple[str, ...]) -> System:
    """Return a system with what summaries cost in each arrangement, measured where that is not known yet."""
    entry = next((e for e in entries if e.name == system.system), None)
    recipe = (entry or entries[0]).recipe
    asked = Asked(
        target=str(entry.run_dir) if entry is not None else system.base,
        dialogues=dialogues,
        prompt=recipe.prompt,
        generation=recipe.generation,
        max_source_tokens=recipe.data.max_source_tokens,
        cost=recipe.cost,
    )
    return system.model_copy(update={"inference": inference_costs(asked, folder)})


def _bases(entries: Sequence[Entry]) -> list[str]:
    return list(dict.fromkeys(entry.recipe.model.base for entry in entries))


def _untuned(entry: Entry, base: str, runs_dir: Path, data: Data, split: str, limit: int | None) -> tuple[System, Path]:
    """Return the untuned base as a system, asked with the prompt and settings of the first recipe."""
    folder = runs_dir / f"{UNTUNED}-{base.replace(':', '-').replace('/', '-')}"
    evaluation = _found_evaluation(base, folder, entry.recipe, data, split, limit)
    if evaluation is None:
        evaluation = run_apart(f"{UNTUNED} {base}", _evaluate, base, folder, entry.recipe, data, split, limit)
    return (
        System(
            system=f"{UNTUNED} {base}",
            method="none",
            quantize="none",
            base=base,
            scores=evaluation.scores,
            total_params=evaluation.total_params,
            trainable_params=None,
            evaluate=evaluation.evaluate,
            generated=evaluation.scores.n,
            evaluated_on=evaluation.machine.label if evaluation.machine else None,
            statistics=evaluation.statistics,
        ),
        folder,
    )


def _found(entry: Entry, data: Data, split: str, limit: int | None) -> tuple[System, Path] | None:
    """Return a system that is up to date, weights and evaluation, or None. Loads no weights, and so no torch."""
    if entry.trainable:
        if not is_run(entry.run_dir):
            return None
        record = read_record(entry.run_dir / RUN_FILE, RunRecord)
        if record.status != "done" or record.recipe != entry.recipe:
            return None
        examples, _ = load_training_splits(entry.recipe.data, entry.recipe.train.seed)
        if not is_current(record, entry.recipe, examples.fingerprint):
            return None
        if not has_weights(record, entry.run_dir, entry.adapter_dir):
            return None
    found = _found_evaluation(str(entry.run_dir), entry.run_dir, entry.recipe, data, split, limit)
    return _system(entry, found) if found is not None else None


def _work(entry: Entry, data: Data, split: str, limit: int | None, ignore_forecast: bool) -> tuple[System, Path]:
    """Train where needed, evaluate where needed. Runs in a process of its own."""
    if entry.trainable:
        train(entry.recipe, entry.run_dir, entry.adapter_dir, resume=None, ignore_forecast=ignore_forecast)
        forget_earlier_work()
    asked = (str(entry.run_dir), entry.run_dir, entry.recipe, data, split, limit)
    return _system(entry, _found_evaluation(*asked) or _evaluate(*asked))


def _system(entry: Entry, evaluation: Evaluation) -> tuple[System, Path]:
    record = read_record(entry.run_dir / RUN_FILE, RunRecord)
    return run_system(entry.name, entry.run_dir, record, evaluation), entry.run_dir


def _found_evaluation(
    target: str, folder: Path, recipe: Recipe, data: Data, split: str, limit: int | None
) -> Evaluation | None:
    """Return the evaluation in the folder where it is of these weights, dialogues and settings."""
    if not ((folder / EVALUATION_FILE).is_file() and (folder / PREDICTIONS_FILE).is_file()):
        return None
    try:
        found = read_record(folder / EVALUATION_FILE, Evaluation)
    except DataError as error:
        logger.warning("%s; evaluating again", error)
        return None
    wanted = limited(load_split(data, split), limit)
    resolved = resolve_target(target)
    tokens = resolved.max_source_tokens if resolved.record else data.max_source_tokens
    same_inputs = (found.data_fingerprint, found.weights) == (wanted.fingerprint, weights_identity(resolved))
    settings = (recipe.prompt, recipe.generation, tokens)
    same_settings = (found.prompt, found.generation, found.max_source_tokens) == settings
    return judged_anew(found, wanted, folder) if same_inputs and same_settings else None


def _evaluate(target: str, folder: Path, recipe: Recipe, data: Data, split: str, limit: int | None) -> Evaluation:
    return evaluate(target, data, split, limit=limit, out=folder, prompt=recipe.prompt, generation=recipe.generation)


def _texts(folder: Path) -> dict[str, str]:
    return {p.id: p.prediction for p in read_predictions(folder / PREDICTIONS_FILE)}


def _restricted(system: System, kept: Sequence[int]) -> System:
    """Return a system as scored on some of its dialogues only."""
    import numpy as np

    columns = {name: np.asarray(values)[kept] for name, values in system.statistics.items()}
    scores = aggregate(columns, references=system.scores.references)
    further = {name: score for name, score in scores.further.items() if name in system.scores.further}
    scores = scores.model_copy(update={"further": further})  # what was read of a dialogue is a column, and no score
    statistics = {name: column.tolist() for name, column in columns.items()}
    return system.model_copy(update={"scores": scores, "statistics": statistics})


def _with_coverage(system: System, examples: Sequence[DataExample], texts: dict[str, str]) -> System:
    coverage = turn_coverage([e.dialogue for e in examples], [(texts[e.id],) for e in examples])
    return system.model_copy(update={"coverage": coverage})


def spread(examples: Sequence[T], count: int) -> list[T]:
    """Return examples evenly spread over the split, so that what is shown is not chosen by hand."""
    stride = max(1, len(examples) // count)
    return list(examples[::stride][:count])


def machine_lines(machine: Machine) -> dict[str, str]:
    """Return the machine as label and text, for the report."""
    lines = {
        "processor": f"{machine.cpu or 'unknown'}, {machine.usable_cores or '?'} cores",
        "memory": format_bytes(machine.ram_bytes) if machine.ram_bytes else "unknown",
        "bf16 arithmetic": ", ".join(machine.cpu_bf16 or ()) or "no",
        "GPU": ", ".join(f"{gpu.name} ({format_bytes(gpu.memory_bytes)})" for gpu in machine.gpus) or "none",
        "system": machine.os,
        "Python": machine.python,
    }
    return lines | machine.packages
