"""The training: check, load, fit, save. One path for every method."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftsum.adapters import is_made_by, save_adapter, save_full_model, update_recipe
from peftsum.artifacts import (
    MODEL_CONFIG,
    RUN_FILE,
    AdapterRecord,
    RunRecord,
    is_run,
    read_record,
    set_aside,
    write_record,
)
from peftsum.checkpoints import Position, last_step, list_checkpoints, weights_if_sharded
from peftsum.cost.combine import combine, side_by_side
from peftsum.cost.forecast import Forecast
from peftsum.cost.machine import describe_machine
from peftsum.cost.meters import measure
from peftsum.cost.readings import Readings, unmeasured
from peftsum.exceptions import PeftsumError, RecipeError, TrainingError, TrainingInterrupted, UsageError
from peftsum.fitting import OnValidation, fit
from peftsum.forecast.before import announce, expect, refuse_misfit
from peftsum.imports import quick_imports
from peftsum.model import Base, base_revision, count_parameters, default_device, load_base, local_folder
from peftsum.prepare import Prepared, prepare
from peftsum.ranks import Ranks, fresh_accelerate_state, start_ranks
from peftsum.recipe import Recipe
from peftsum.starting import leans_on, start_adapter
from peftsum.version import __version__

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)


def train(
    recipe: Recipe,
    run_dir: str | Path | None = None,
    adapter_dir: str | Path | None = None,
    *,
    resume: bool | None = False,
    force: bool = False,
    ignore_forecast: bool = False,
    on_validation: OnValidation | None = None,
) -> RunRecord:
    """Train a recipe, save the run and the adapter (full tuning saves its model in the run), and return the record.

    A finished run of the same recipe and data is returned as it is, but for settings that do not touch the weights: its
    records take those of this recipe. A run of another recipe is set aside with its adapter, never deleted.

    Args:
        recipe: what to train.
        run_dir: default ``runs/<name>``.
        adapter_dir: default ``adapters/<name>``.
        resume: go on from the last checkpoint of an unfinished run. None: where there is one, and else train anew.
        force: train anew even if a finished or unfinished run is there; it is set aside.
        ignore_forecast: train even where the forecast says that the memory cannot suffice.
        on_validation: called with the step and the figures of each validation, in the process that writes the run;
            a :class:`PeftsumError` that it raises ends the training, which keeps its checkpoints.

    Raises:
        MisfitError: even the low end of the forecast is more memory than there is. Nothing is written or set aside.
        RecipeError, DataError, ModelError, HubError: before anything is trained.
        UsageError: an unfinished run is there, and neither ``resume`` nor ``force`` is given.
        TrainingError: the loss is not finite, or memory ran out; the last good checkpoint is kept.
        TrainingInterrupted: Ctrl-C, after a checkpoint was written.
        StorageError: disk full or no permission; what was written before stays.
    """
    run_dir = Path(run_dir or Path("runs") / recipe.name)
    adapter_dir = Path(adapter_dir or Path("adapters") / recipe.name) if recipe.method.frozen_base else None
    ranks = start_ranks(cpu=lambda: default_device() == "cpu")
    prepared = ranks.together(lambda: prepare(recipe))
    finished, superseded = ranks.on_main(lambda: _claim(run_dir, adapter_dir, prepared, resume=resume, force=force))
    if finished is not None:
        return finished
    # Torch, transformers and peft take seconds to import: after what may refuse, before any clock runs.
    with quick_imports():
        from peftsum.training_model import checkpoint_gradients

    device = ranks.device or default_device()
    forecast = ranks.on_main(lambda: _forecast(prepared, device, ranks, refuse=not ignore_forecast))
    if superseded is not None:
        ranks.on_main(lambda: _set_run_aside(run_dir, superseded))
    if ranks.count == 1:
        fresh_accelerate_state()
    _seed(recipe.train.seed)
    with measure(recipe.cost, device) as loading:
        base = load_base(recipe.model, frozen=recipe.method.frozen_base, device=device, dropout=recipe.dropout)
        model = recipe.method.attach(base.model)
        start_adapter(model, recipe)
        loading.count_parts(model)
    if recipe.train.gradient_checkpointing:
        checkpoint_gradients(model)
    load = _of_all(loading.readings, ranks)
    earlier, record = ranks.on_main(
        lambda: _open_run(run_dir, adapter_dir, prepared, base, model, load, ranks, forecast)
    )
    try:
        with measure(recipe.cost, device) as measurement, _lack_of_memory_explained(), ranks.watched():
            position = fit(model, base, prepared, run_dir, ranks, on_validation, measurement)
    except PeftsumError as error:
        readings = measurement.readings  # only an error that all ranks have lets them all come here
        costs = _of_all(readings, ranks) if error.everywhere else _of_main(readings, ranks)
        if ranks.is_main:
            _close_unfinished(run_dir, record, error, _with_earlier(earlier, costs))
        raise
    costs = _with_earlier(earlier, _of_all(measurement.readings, ranks))
    record = record.model_copy(update={"status": "done", "train": costs, "finished": _now(), **_outcome(position)})
    ranks.on_main(lambda: _save(run_dir, adapter_dir, record, model, base, weights_if_sharded(run_dir, position)))
    return record


def _save(
    run_dir: Path,
    adapter_dir: Path | None,
    record: RunRecord,
    model: PreTrainedModel,
    base: Base,
    weights: dict[str, torch.Tensor] | None,
) -> None:
    """Write what was trained, then the run's record, which says that it is there."""
    adapter_record = _adapter_record(record)
    if adapter_dir is not None:
        _make_room(adapter_dir, record)
        save_adapter(model, adapter_dir, adapter_record, record.train, weights)
    else:
        save_full_model(base.model, base.tokenizer, run_dir / "model", adapter_record, record.train, weights)
    write_record(run_dir / RUN_FILE, record)


def _close_unfinished(run_dir: Path, record: RunRecord, error: PeftsumError, costs: Readings) -> None:
    """Note in the run how far it came and why it ended."""
    status = "interrupted" if isinstance(error, TrainingInterrupted) else "failed"
    update = {"status": status, "failure": error.message, "train": costs, "steps": last_step(run_dir)}
    write_record(run_dir / RUN_FILE, record.model_copy(update=update))


def _forecast(prepared: Prepared, device: str, ranks: Ranks, *, refuse: bool) -> Forecast | None:
    """Say what the training should take, and refuse what cannot fit; of several processes nothing is known."""
    if ranks.count > 1:
        return None
    expected = expect(prepared, device)
    if expected is None:
        return None
    announce(expected)
    if refuse:
        refuse_misfit(expected, prepared.recipe)
    return expected.forecast


def _claim(
    run_dir: Path, adapter_dir: Path | None, prepared: Prepared, *, resume: bool | None, force: bool
) -> tuple[RunRecord | None, RunRecord | None]:
    """Return the record of a finished run that is up to date, and that of a run which must make way for this one."""
    if not is_run(run_dir):
        if resume:
            logger.warning("nothing to resume in %s; training from the start", run_dir)
        return None, None
    record = read_record(run_dir / RUN_FILE, RunRecord)
    same = is_current(record, prepared.recipe, prepared.train.fingerprint)
    if same and record.status == "done" and not force:
        if has_weights(record, run_dir, adapter_dir):
            return _with_settings_of(prepared.recipe, record, run_dir, adapter_dir), None
        if list_checkpoints(run_dir):  # the last one is of the end: what is missing is made from it without training
            return None, None
    elif same and not force:
        if resume is not False or not list_checkpoints(run_dir):  # without any it begins anew in the same place
            return None, None
        raise UsageError(
            f"{run_dir} holds an unfinished run of this recipe, saved at step {last_step(run_dir)}",
            hint="pass --resume to go on from its last checkpoint, or --force to train anew",
        )
    elif resume and not same:
        raise RecipeError(
            f"{run_dir} holds a run of another recipe, other data or another base; it cannot be resumed",
            hint="take the recipe it was started with, another --run-dir, or leave --resume out",
        )
    return None, record


def is_current(record: RunRecord, recipe: Recipe, data_fingerprint: str) -> bool:
    """Tell whether a run was made from this recipe, these examples and, where it is local, this base."""
    if (record.fingerprint, record.data_fingerprint) != (recipe.fingerprint, data_fingerprint):
        return False
    if record.leans_on != leans_on(recipe):
        return False
    return local_folder(recipe.model.base) is None or base_revision(recipe.model) == record.base_revision


def has_weights(record: RunRecord, run_dir: Path, adapter_dir: Path | None) -> bool:
    """Tell whether what a finished run made is where it belongs."""
    if adapter_dir is None:
        return (run_dir / "model" / MODEL_CONFIG).is_file()
    return is_made_by(adapter_dir, record)


def _with_settings_of(recipe: Recipe, record: RunRecord, run_dir: Path, adapter_dir: Path | None) -> RunRecord:
    """Give a finished run the recipe's present generation settings and the like, which changed no weight."""
    update = {"recipe": recipe, "adapter_dir": str(adapter_dir) if adapter_dir else None}
    updated = record.model_copy(update=update)
    if updated != record:
        update_recipe(adapter_dir or run_dir / "model", recipe)
        write_record(run_dir / RUN_FILE, updated)
    return updated


def _set_run_aside(run_dir: Path, record: RunRecord) -> None:
    """Rename an earlier run and the adapter it made, and note the adapter's new place in it."""
    aside = set_aside(run_dir)
    logger.warning("%s holds an earlier run; it is now %s", run_dir, aside)
    adapter = Path(record.adapter_dir) if record.adapter_dir else None
    if aside is not None and adapter is not None and is_made_by(adapter, record):
        moved = set_aside(adapter)
        logger.warning("its adapter %s is now %s", adapter, moved)
        write_record(aside / RUN_FILE, record.model_copy(update={"adapter_dir": str(moved)}))


def _make_room(adapter_dir: Path, record: RunRecord) -> None:
    """Set aside what lies where the adapter goes, unless this run made it."""
    if adapter_dir.is_dir() and any(adapter_dir.iterdir()) and not is_made_by(adapter_dir, record):
        logger.warning("%s holds another adapter; it is now %s", adapter_dir, set_aside(adapter_dir))


def _open_run(
    run_dir: Path,
    adapter_dir: Path | None,
    prepared: Prepared,
    base: Base,
    model: PreTrainedModel,
    load: Readings,
    ranks: Ranks,
    forecast: Forecast | None,
) -> tuple[Readings | None, RunRecord]:
    """Write the record of a run that begins or goes on; return what earlier sessions cost, and the record."""
    trainable, total = count_parameters(model)
    earlier_load, earlier = _earlier_costs(run_dir)
    record = RunRecord(
        peftsum_version=__version__,
        recipe=prepared.recipe,
        fingerprint=prepared.recipe.fingerprint,
        data_fingerprint=prepared.train.fingerprint,
        training_dialogues=len(prepared.examples),
        redacted=dict(prepared.train.redacted or {}),
        base_revision=base.revision,
        leans_on=leans_on(prepared.recipe),
        status="running",
        trainable_params=trainable,
        total_params=total,
        truncated_sources=sum(e.source_cut for e in prepared.examples),
        truncated_targets=sum(e.target_cut for e in prepared.examples),
        forecast=forecast,
        machine=describe_machine(),
        adapter_dir=str(adapter_dir) if adapter_dir else None,
        created=_now(),
        processes=ranks.count,
        load=_with_earlier(earlier_load, load),
        train=earlier,
    )
    write_record(run_dir / RUN_FILE, record)
    return earlier, record


def _outcome(position: Position) -> dict[str, Any]:
    return {
        "steps": position.step,
        "best_step": position.best_step,
        "validation": position.best_figures,
        "source_tokens": position.source_tokens,
        "target_tokens": position.target_tokens,
    }


def _adapter_record(record: RunRecord) -> AdapterRecord:
    return AdapterRecord(created=_now(), **record.model_dump(include=AdapterRecord.model_fields.keys() - {"created"}))


def _earlier_costs(run_dir: Path) -> tuple[Readings | None, Readings | None]:
    """Return what earlier sessions of a resumed run cost to load and to train; a killed one left no reading to add."""
    if not is_run(run_dir) or not list_checkpoints(run_dir):
        return None, None
    record = read_record(run_dir / RUN_FILE, RunRecord)
    if record.status != "running":
        return record.load, record.train
    reason = "an earlier session of this run was killed before its cost was written"
    killed = Readings(
        wall_s=unmeasured("s", "this process", reason),
        peak_memory_bytes=unmeasured("B", "this process", reason),
        energy_j=unmeasured("J", "this process", reason),
    )
    return record.load, killed


def _of_all(costs: Readings, ranks: Ranks) -> Readings:
    """Put the readings of all processes together; they all have to come here."""
    machine = int(os.environ.get("GROUP_RANK", "0"))  # torchrun's number of it
    return side_by_side(ranks.gather((machine, costs)))


def _of_main(costs: Readings, ranks: Ranks) -> Readings:
    """Say of readings taken in one of several processes what they leave out."""
    if ranks.count == 1:
        return costs
    scope = f"process 1 of {ranks.count}"
    energy = unmeasured("J", "all processes", f"{ranks.count} processes took part, and one was measured")
    peak = costs.peak_memory_bytes.model_copy(update={"scope": f"{costs.peak_memory_bytes.scope}, {scope}"})
    parts = {"energy_parts": (), "idle_energy_j": None, "codecarbon_j": None}
    return costs.model_copy(update={"peak_memory_bytes": peak, "energy_j": energy, **parts})


def _with_earlier(earlier: Readings | None, costs: Readings) -> Readings:
    return combine(earlier, costs) if earlier is not None else costs


@contextmanager
def _lack_of_memory_explained() -> Iterator[None]:
    """Turn torch's ways of saying that memory ran out into one error with a remedy."""
    import torch

    try:
        yield
    except (MemoryError, RuntimeError) as error:
        known = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not known and "allocate memory" not in str(error):  # how the CPU's allocator says it
            raise
        raise TrainingError(
            "not enough memory for this training",
            hint="lower train.batch_tokens (and raise train.accumulate), or set train.gradient_checkpointing: true",
        ) from error


def _seed(seed: int) -> None:
    from accelerate.utils import set_seed

    set_seed(seed)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
