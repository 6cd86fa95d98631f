"""A plan: what a recipe takes on one or more devices, whether it fits, and what would make it fit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from peftsum.artifacts import write_text
from peftsum.cost.forecast import Amount, Forecast
from peftsum.exceptions import HubError, ModelError, UsageError
from peftsum.forecast.changes import Change, changes_that_fit
from peftsum.forecast.choose import LONGEST_S, Choice
from peftsum.forecast.choose import choose as choose_recipe
from peftsum.forecast.core import forecast, peak_memory
from peftsum.forecast.devices import find_target
from peftsum.forecast.moves import with_settings
from peftsum.forecast.speed import BUDGET_S
from peftsum.forecast.target import Target
from peftsum.forecast.verdict import Verdict, judge
from peftsum.forecast.workload import STAND_IN, Workload, from_prepared, full_workload
from peftsum.forecast.writing import chosen_text
from peftsum.prepare import Prepared, prepare
from peftsum.recipe import Model, Recipe
from peftsum.section import Record

logger = logging.getLogger(__name__)


class DevicePlan(Record):
    """What a recipe takes on one device."""

    target: Target
    forecast: Forecast
    verdict: Verdict
    changes: tuple[Change, ...] = ()
    """That would make it fit, the cheapest first; empty where it fits, and where nothing would."""
    notes: tuple[str, ...] = ()
    """What a reader should know of this recipe on this device."""


class Plan(Record):
    """What a recipe takes, device by device."""

    recipe: Recipe
    workload: str
    """Where the lengths of dialogues and the number of steps come from."""
    devices: tuple[DevicePlan, ...]

    @property
    def misfit(self) -> bool:
        """True where the recipe does not fit any of the devices."""
        return all(device.verdict == "does not fit" for device in self.devices)


def plan(recipe: Recipe, gpu: str | Sequence[str] | None = None) -> Plan:
    """Forecast a training's memory, time and energy, and say what would make it fit where it does not.

    No weights are read and nothing is trained. Where the recipe's data cannot be read, every batch is taken to be full.

    Args:
        recipe: what to train.
        gpu: a device as ``peftsum plan --gpu`` takes it ("t4", "8GB", "cpu"), or several; None is this machine.

    Raises:
        UsageError: there is no such device.
        ModelError, HubError: nothing is known of the base.
        DataError: the recipe's data is there and cannot be read.
    """
    names = [gpu] if gpu is None or isinstance(gpu, str) else list(gpu)
    targets = [find_target(name) for name in names]
    prepared, source = _data(recipe)
    planned = tuple(_planned(recipe, target, prepared, source) for target in targets)
    return Plan(recipe=recipe, workload=source, devices=planned)


def choose(recipe: Recipe, gpu: str | None = None, longest_s: float = LONGEST_S) -> tuple[Target, Choice]:
    """Return the best training that surely fits a device, whatever the lengths of the dialogues.

    Args:
        recipe: gives data, prompt, adapter, epochs and the tokens of a step; the rest is searched.
        gpu: as for :func:`plan`.
        longest_s: most seconds that the training may take, where the device's speed is known.

    Raises:
        UsageError: there is no such device, or nothing fits.
    """
    target = find_target(gpu)
    prepared, _ = _data(recipe)
    dialogues = len(prepared.examples) if prepared else None
    forecasts = Forecasts(target, lambda candidate: full_workload(candidate, dialogues))
    return target, choose_recipe(recipe, target, forecasts, longest_s, forecasts.peak)


def choose_into(recipe: Recipe, gpu: str | None, source: str, out: Path, longest_s: float = LONGEST_S) -> Recipe:
    """Choose as :func:`choose` does, write the recipe with its forecast at the head, and return it.

    Args:
        recipe: as for :func:`choose`.
        gpu: as for :func:`choose`.
        source: the recipe's file, as the user named it.
        out: the file to write; its name without the ending becomes the recipe's.
        longest_s: as for :func:`choose`.

    Raises:
        UsageError: the file is there, its name is no recipe's, or nothing fits.
        StorageError: it cannot be written.
    """
    if out.exists():
        raise UsageError(f"{out} is there already", hint="name another file, or remove it first")
    named = with_settings(recipe, {"name": out.stem})
    if named is None:
        raise UsageError(
            f"{out.stem!r} is no name for a recipe",
            hint="name the file with letters, digits, dots, dashes, underscores",
        )
    target, choice = choose(named, gpu, longest_s)
    write_text(out, chosen_text(choice, target, source, out.as_posix()))
    return choice.recipe


def _planned(recipe: Recipe, target: Target, prepared: Prepared | None, source: str) -> DevicePlan:
    forecast_of = forecaster(target, prepared, source)
    expected = forecast_of(recipe)
    verdict = judge(expected.peak_memory_bytes, target.memory_bytes)
    tight = verdict in {"does not fit", "too close to call"}
    if tight:
        logger.info("looking for changes with which it would fit %s", target.name)
    return DevicePlan(
        target=target,
        forecast=expected,
        verdict=verdict,
        changes=changes_that_fit(recipe, target, forecast_of, peak_of=forecast_of.peak) if tight else (),
        notes=_notes(target),
    )


class Forecasts:
    """Forecasts recipes on one device, each once.

    Args:
        target: the device.
        workload_of: the batches of a recipe.
        timing_s: most seconds a forecast to spend on timing operations, where the device is this machine.
    """

    def __init__(self, target: Target, workload_of: Callable[[Recipe], Workload], timing_s: float = BUDGET_S) -> None:
        self._target = target
        self._workload_of = workload_of
        self._timing_s = timing_s
        self._whole: dict[str, Forecast] = {}
        self._peaks: dict[str, Amount] = {}

    def __call__(self, recipe: Recipe) -> Forecast:
        """Return the whole forecast."""
        if recipe.fingerprint not in self._whole:
            made = forecast(recipe, self._target, self._workload_of(recipe), timing_s=self._timing_s)
            self._whole[recipe.fingerprint] = made
        return self._whole[recipe.fingerprint]

    def peak(self, recipe: Recipe) -> Amount:
        """Return its peak of memory alone, which takes no timing of operations."""
        if recipe.fingerprint in self._whole:
            return self._whole[recipe.fingerprint].peak_memory_bytes
        if recipe.fingerprint not in self._peaks:
            self._peaks[recipe.fingerprint] = peak_memory(recipe, self._target, self._workload_of(recipe))
        return self._peaks[recipe.fingerprint]


def forecaster(target: Target, prepared: Prepared | None, source: str, *, timing_s: float = BUDGET_S) -> Forecasts:
    """Return what forecasts recipes of the same data on one device, each once.

    Args:
        target: the device.
        prepared: the data; None where it cannot be read, and batches are taken to be full.
        source: where the lengths come from, for a reader.
        timing_s: most seconds a forecast to spend on timing operations, where the device is this machine.
    """
    known: dict[str, Workload] = {}

    def workload_of(recipe: Recipe) -> Workload:
        if prepared is None:
            return full_workload(recipe)
        batching = recipe.train.model_dump_json(exclude={"gradient_checkpointing", "optimizer", "learning_rate"})
        if batching not in known:  # to pack all dialogues of an epoch takes as long as to count a step
            known[batching] = from_prepared(replace(prepared, recipe=recipe), target.kind, source=source)
        return known[batching]

    return Forecasts(target, workload_of, timing_s)


def _data(recipe: Recipe) -> tuple[Prepared | None, str]:
    """Return the recipe's data, tokenized as well as can be had, and how it was come by.

    Raises:
        DataError: it is there and wrong.
    """
    try:
        return prepare(recipe), "the recipe's data"
    except (HubError, ModelError):
        stand_in = recipe.model_copy(update={"model": Model(base=STAND_IN)})
    try:
        return prepare(stand_in), f"the recipe's data, counted with the tokenizer of {STAND_IN}"
    except HubError as error:
        reason = error.message.split(" (")[0]
        return None, f"every dialogue taken to be as long as the recipe allows: {reason}"


def _notes(target: Target) -> tuple[str, ...]:
    """Say what a reader should know of the device."""
    if target.kind != "cuda" or target.bf16:
        return ()
    return (
        f"{target.title}, has no bf16: precision auto is fp32 there, which doubles weights and activations; "
        "precision bf16 saves that memory, and is emulated and so slower",
    )
