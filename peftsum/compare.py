"""Recipes and runs side by side: train what is missing or stale, evaluate, and gather one comparison."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from peftsum.adapters import ADAPTER_WEIGHTS
from peftsum.artifacts import PREDICTIONS_FILE, RUN_FILE, RunRecord, folder_bytes, is_run, read_predictions, read_record
from peftsum.comparison import Comparison, Example, System
from peftsum.cost.machine import Machine, describe_machine
from peftsum.data import Example as DataExample
from peftsum.data import Split, load_split
from peftsum.evaluate import EVALUATION_FILE, Evaluation, evaluate, weights_identity
from peftsum.exceptions import DataError, UsageError
from peftsum.recipe import Data, Recipe
from peftsum.recipe_file import load_recipe
from peftsum.targets import resolve_target
from peftsum.train import train
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
) -> Comparison:
    """Train what is missing or stale, evaluate every system and the untuned base, and return the comparison.

    Each system is trained and evaluated in a process of its own, so that its memory is its own. A script that calls
    this needs the usual ``if __name__ == "__main__":`` guard.

    Args:
        targets: recipe files, or folders of finished runs.
        runs_dir: where runs of recipes lie, ``<runs_dir>/<name>``.
        adapters_dir: where their adapters lie.
        data: what to evaluate on; None takes the recipes' own source, which must then be the same.
        split: which split of it.
        limit: its first dialogues only.
        overrides: ``a.b=c`` settings for every recipe.

    Raises:
        UsageError: nothing to compare, names that clash, or recipes of different data.
        Everything that :func:`peftsum.train` and :func:`peftsum.evaluate` raise.
    """
    entries = [_entry(Path(t), Path(runs_dir), Path(adapters_dir), overrides) for t in targets]
    section = _common_data(entries, data)
    examples = load_split(section, split).examples[:limit]  # fails here, before anything is trained
    systems = [_untuned(entries[0], base, Path(runs_dir), section, split, limit) for base in _bases(entries)]
    for number, entry in enumerate(entries, start=1):
        logger.info("[%d/%d] %s", number, len(entries), entry.name)
        systems.append(_in_own_process(_work, entry, section, split, limit))
    system_records = [system for system, _ in systems]
    predictions = {system.system: _texts(folder) for system, folder in systems}
    machine = describe_machine()
    return Comparison(
        title=f"{section.source}, {split} split",
        data=section.source,
        split=split,
        n=len(examples),
        machine=_machine_lines(machine),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        systems=system_records,
        examples=[
            Example(
                id=e.id,
                dialogue=e.dialogue,
                references=list(e.references),
                predictions={name: texts[e.id] for name, texts in predictions.items()},
            )
            for e in _spread(examples, EXAMPLES)
        ],
        commands=[shlex.join(["peftsum", *sys.argv[1:]])] if Path(sys.argv[0]).stem in {"peftsum", "__main__"} else [],
    )


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
        if (entry.recipe.data.source, entry.recipe.data.fields) != (first.source, first.fields):
            raise UsageError(
                f"{entries[0].name} and {entry.name} are about different data",
                hint="pass --data to evaluate both on one",
            )
    return first


def _bases(entries: Sequence[Entry]) -> list[str]:
    return list(dict.fromkeys(entry.recipe.model.base for entry in entries))


def _untuned(entry: Entry, base: str, runs_dir: Path, data: Data, split: str, limit: int | None) -> tuple[System, Path]:
    """Return the untuned base as a system, asked with the prompt and settings of the first recipe."""
    folder = runs_dir / f"{UNTUNED}-{base.replace(':', '-').replace('/', '-')}"
    return _in_own_process(_work_untuned, entry.recipe, base, folder, data, split, limit)


def _work_untuned(
    recipe: Recipe, base: str, folder: Path, data: Data, split: str, limit: int | None
) -> tuple[System, Path]:
    evaluation = _evaluated(base, folder, recipe, data, split, limit)
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
            rouge_l_per_example=evaluation.rouge_l_per_example,
        ),
        folder,
    )


def _work(entry: Entry, data: Data, split: str, limit: int | None) -> tuple[System, Path]:
    """Train where needed, evaluate where needed. Runs in a process of its own."""
    if entry.trainable:
        train(entry.recipe, entry.run_dir, entry.adapter_dir, resume=True)
    record = read_record(entry.run_dir / RUN_FILE, RunRecord)
    evaluation = _evaluated(str(entry.run_dir), entry.run_dir, record.recipe, data, split, limit)
    weights = Path(record.adapter_dir) if record.adapter_dir else None
    return (
        System(
            system=entry.name,
            method=record.recipe.method.kind,
            quantize=record.recipe.model.quantize,
            base=record.recipe.model.base,
            scores=evaluation.scores,
            trainable_params=record.trainable_params,
            total_params=record.total_params,
            adapter_bytes=(weights / ADAPTER_WEIGHTS).stat().st_size if weights else None,
            model_bytes=None if weights else folder_bytes(entry.run_dir / "model"),
            train=record.train,
            evaluate=evaluation.evaluate,
            rouge_l_per_example=evaluation.rouge_l_per_example,
        ),
        entry.run_dir,
    )


def _evaluated(target: str, folder: Path, recipe: Recipe, data: Data, split: str, limit: int | None) -> Evaluation:
    """Return the evaluation in the folder where it is of these weights, dialogues and settings; else make it."""
    if (folder / EVALUATION_FILE).is_file() and (folder / PREDICTIONS_FILE).is_file():
        try:
            found = read_record(folder / EVALUATION_FILE, Evaluation)
        except DataError as error:
            logger.warning("%s; evaluating again", error)
        else:
            wanted = load_split(data, split)
            wanted = Split(wanted.source, wanted.name, wanted.examples[:limit])
            same = (found.data_fingerprint, found.weights) == (
                wanted.fingerprint,
                weights_identity(resolve_target(target)),
            )
            if same and (found.prompt, found.generation) == (recipe.prompt, recipe.generation):
                return found
    return evaluate(target, data, split, limit=limit, out=folder, prompt=recipe.prompt, generation=recipe.generation)


def _in_own_process(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function in a fresh process, so that its peak memory holds nothing of another system's."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_quiet_child) as pool:
        return pool.submit(function, *arguments).result()


def _quiet_child() -> None:
    logging.basicConfig(level=logging.getLogger("peftsum").getEffectiveLevel() or logging.WARNING, format="%(message)s")


def _texts(folder: Path) -> dict[str, str]:
    return {p.id: p.prediction for p in read_predictions(folder / PREDICTIONS_FILE)}


def _spread(examples: Sequence[DataExample], count: int) -> list[DataExample]:
    """Return examples evenly spread over the split, so that what is shown is not chosen by hand."""
    stride = max(1, len(examples) // count)
    return list(examples[::stride][:count])


def _machine_lines(machine: Machine) -> dict[str, str]:
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
