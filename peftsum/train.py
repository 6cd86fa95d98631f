"""The training: check, load, fit, save. One flat loop for every method, on accelerate."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftsum.adapters import save_adapter, save_full_model
from peftsum.artifacts import (
    RUN_FILE,
    AdapterRecord,
    RunRecord,
    append_metrics,
    is_run,
    read_record,
    set_aside,
    trim_metrics,
    write_record,
)
from peftsum.batching import Encoded, collate, encode
from peftsum.checkpoints import (
    BEST,
    WEIGHTS,
    Position,
    list_checkpoints,
    load_checkpoint,
    load_weights,
    save_best,
    save_checkpoint,
)
from peftsum.cost.combine import combine
from peftsum.cost.machine import describe_machine
from peftsum.cost.meters import measure
from peftsum.cost.readings import Readings
from peftsum.data import Example, Split, load_training_splits
from peftsum.exceptions import PeftsumError, RecipeError, TrainingError, TrainingInterrupted, UsageError
from peftsum.model import Base, count_parameters, default_device, load_base, load_tokenizer
from peftsum.optimization import build_optimizer, plan_steps, rate_course, summed_loss
from peftsum.progress import Task, task
from peftsum.recipe import Recipe
from peftsum.validation import validate
from peftsum.version import __version__

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

VALIDATIONS = 4  # in a run, where the recipe does not say
LOG_EVERY = 10  # optimizer steps between rows of metrics.jsonl


@dataclass(frozen=True)
class Prepared:
    """A recipe whose data is read, checked and tokenized; no weights are loaded yet."""

    recipe: Recipe
    train: Split
    examples: list[Encoded]
    """Training examples as tokens."""
    checks: list[Example]
    """Validation sample, for loss and ROUGE during training."""
    encoded_checks: list[Encoded]
    steps: list[list[list[int]]]
    """The plan: optimizer steps, their batches, indices into ``examples``."""

    @property
    def eval_every(self) -> int:
        """Optimizer steps between validations."""
        return self.recipe.train.eval_every or max(1, -(-len(self.steps) // VALIDATIONS))

    @property
    def checkpoint_every(self) -> int:
        """Optimizer steps between checkpoints."""
        return self.recipe.train.checkpoint_every or self.eval_every


def train(
    recipe: Recipe,
    run_dir: str | Path | None = None,
    adapter_dir: str | Path | None = None,
    *,
    resume: bool = False,
    force: bool = False,
) -> RunRecord:
    """Train a recipe, save the run and the adapter (full tuning saves its model in the run), and return the record.

    A finished run of the same recipe and data is returned as it is. One of another recipe is set aside, never deleted.

    Args:
        recipe: what to train.
        run_dir: default ``runs/<name>``.
        adapter_dir: default ``adapters/<name>``.
        resume: go on from the last checkpoint of an unfinished run.
        force: train anew even if a finished or unfinished run is there; it is set aside.

    Raises:
        RecipeError, DataError, ModelError, HubError: before anything is trained.
        UsageError: an unfinished run is there, and neither ``resume`` nor ``force`` is given.
        TrainingError: the loss is not finite; the last good checkpoint is kept.
        TrainingInterrupted: Ctrl-C, after a checkpoint was written.
        StorageError: disk full or no permission; what was written before stays.
    """
    run_dir = Path(run_dir or Path("runs") / recipe.name)
    adapter_dir = Path(adapter_dir or Path("adapters") / recipe.name) if recipe.method.frozen_base else None
    prepared = prepare(recipe)
    finished = _claim(run_dir, adapter_dir, prepared, resume=resume, force=force)
    if finished is not None:
        return finished
    device = default_device()
    _fresh_accelerate_state()
    _seed(recipe.train.seed)
    base = load_base(recipe.model, frozen=recipe.method.frozen_base, device=device, dropout=_dropout(recipe))
    model = recipe.method.attach(base.model)
    if recipe.train.gradient_checkpointing:
        _checkpoint_gradients(model)
    record = _open_run(run_dir, adapter_dir, prepared, base, model)
    earlier = _earlier_costs(run_dir)
    write_record(run_dir / RUN_FILE, record)
    try:
        with measure(recipe.cost, device) as measurement:
            position = fit(model, base, prepared, run_dir)
    except PeftsumError as error:
        interrupted = isinstance(error, TrainingInterrupted)
        costs = _with_earlier(earlier, measurement.readings)
        update = {"status": "interrupted" if interrupted else "failed", "failure": error.message, "train": costs}
        write_record(run_dir / RUN_FILE, record.model_copy(update=update))
        raise
    costs = _with_earlier(earlier, measurement.readings)
    record = record.model_copy(update={"status": "done", "train": costs, "finished": _now(), **_outcome(position)})
    adapter_record = _adapter_record(record)
    if adapter_dir is not None:
        save_adapter(model, adapter_dir, adapter_record, costs)
    else:
        save_full_model(base.model, base.tokenizer, run_dir / "model", adapter_record, costs)
    write_record(run_dir / RUN_FILE, record)
    return record


def prepare(recipe: Recipe) -> Prepared:
    """Read, check and tokenize a recipe's data, and plan the steps; what cannot work fails here."""
    _check_trackers(recipe.train.trackers)
    tokenizer = load_tokenizer(recipe.model)
    train_split, validation = load_training_splits(recipe.data, recipe.train.seed)
    checks = (
        validation.sample(recipe.train.eval_examples, recipe.train.seed).examples if recipe.train.eval_examples else []
    )
    limits = {
        "max_source_tokens": recipe.data.max_source_tokens,
        "max_target_tokens": recipe.data.max_target_tokens,
    }
    examples = encode(train_split.examples, tokenizer, recipe.prompt, **limits)
    steps = plan_steps(examples, recipe.train)
    encoded_checks = encode(checks, tokenizer, recipe.prompt, **limits)
    return Prepared(recipe, train_split, examples, checks, encoded_checks, steps)


def describe_plan(prepared: Prepared) -> dict[str, str | int | float]:
    """Return what a training would do, for `--dry-run`."""
    recipe = prepared.recipe
    batches = [batch for step in prepared.steps for batch in step]
    return {
        "recipe": recipe.name,
        "base": recipe.model.base,
        "quantize": recipe.model.quantize,
        "method": recipe.method.label(),
        "training_dialogues": len(prepared.examples),
        "validation_dialogues": len(prepared.checks),
        "optimizer_steps": len(prepared.steps),
        "dialogues_a_batch": round(sum(map(len, batches)) / len(batches), 1),
        "longest_source_tokens": max(len(e.source) for e in prepared.examples),
        "truncated_dialogues": sum(e.source_cut for e in prepared.examples),
        "truncated_summaries": sum(e.target_cut for e in prepared.examples),
        "learning_rate": recipe.learning_rate,
        "fingerprint": recipe.fingerprint,
    }


def fit(model: PreTrainedModel, base: Base, prepared: Prepared, run_dir: Path) -> Position:
    """Train the model in place and leave the best weights in it.

    Args:
        model: the base with its method attached.
        base: for its tokenizer and arithmetic.
        prepared: data and plan.
        run_dir: gets metrics.jsonl, checkpoints and the best weights; a checkpoint found there is gone on from.

    Returns:
        Where it ended.
    """
    recipe, settings = prepared.recipe, prepared.recipe.train
    accelerator = _accelerator(prepared, base, run_dir)
    optimizer = build_optimizer(model.parameters(), settings, recipe.learning_rate)
    schedule = _schedule(optimizer, prepared)
    model, optimizer = accelerator.prepare(model, optimizer)
    position = load_checkpoint(run_dir, model, optimizer, schedule)
    trim_metrics(run_dir, position.step)
    started = time.perf_counter() - position.wall_s
    parameters = [p for p in model.parameters() if p.requires_grad]
    losses: list[float] = []
    model.train()
    with _stop_on_interrupt() as stop, task(f"training {recipe.name}", len(prepared.steps), position.step) as shown:
        for step in prepared.steps[position.step :]:
            target_tokens = sum(len(prepared.examples[i].target) for batch in step for i in batch)
            loss = 0.0
            for batch in step:
                tensors = _to(
                    accelerator.device, collate([prepared.examples[i] for i in batch], base.tokenizer.pad_token_id)
                )
                labels = tensors.pop("labels")
                part = summed_loss(model(**tensors, use_cache=False).logits, labels) / target_tokens
                accelerator.backward(part)
                loss += part.item()
            _check_finite(loss, position.step + 1, run_dir)
            norm = accelerator.clip_grad_norm_(parameters, settings.max_grad_norm or float("inf"))
            _check_finite(float(norm), position.step + 1, run_dir, "gradient norm")
            rate = schedule.get_last_lr()[0]
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            position.step += 1
            position.target_tokens += target_tokens
            position.source_tokens += sum(len(prepared.examples[i].source) for batch in step for i in batch)
            position.wall_s = time.perf_counter() - started
            losses.append(loss)
            last = position.step == len(prepared.steps)
            if position.step % LOG_EVERY == 0 or last:
                row = {"loss": sum(losses) / len(losses), "learning_rate": rate, "grad_norm": float(norm)}
                _log(accelerator, run_dir, position, row)
                losses.clear()
            shown.advance(info=f"loss {loss:.3f}")
            if prepared.checks and (position.step % prepared.eval_every == 0 or last):
                _validate(accelerator, model, base.tokenizer, prepared, run_dir, position, shown)
            stopping = stop.requested or _patience_over(position, settings.patience)
            if position.step % prepared.checkpoint_every == 0 or last or stopping:
                save_checkpoint(run_dir, model, optimizer, schedule, position, settings.keep_checkpoints)
            if stop.requested:
                raise TrainingInterrupted(
                    f"interrupted after step {position.step} of {len(prepared.steps)}; nothing is lost",
                    hint=f"go on with: peftsum train RECIPE --run-dir {run_dir} --resume",
                )
            if stopping:
                logger.info("stopped early at step %d: no better validation %d times", position.step, settings.patience)
                break
    accelerator.end_training()
    if position.best_step is not None:
        load_weights(model, run_dir / BEST / WEIGHTS)
    return position


def _validate(
    accelerator: Accelerator,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prepared: Prepared,
    run_dir: Path,
    position: Position,
    shown: Task,
) -> None:
    settings = prepared.recipe.train
    with accelerator.autocast():
        figures = validate(
            model,
            tokenizer,
            prepared.checks,
            prepared.encoded_checks,
            prepared.recipe.generation,
            settings.batch_tokens,
        )
    value = -figures["val_loss"] if settings.best_by == "loss" else figures["val_rougeL"]
    if position.best_value is None or value > position.best_value:
        position.best_value, position.best_step, position.best_figures = value, position.step, figures
        position.worse_since = 0
        save_best(run_dir, model)
    else:
        position.worse_since += 1
    _log(accelerator, run_dir, position, figures)
    shown.advance(0, info=f"validation loss {figures['val_loss']:.3f}, ROUGE-L {100 * figures['val_rougeL']:.1f}")


def _claim(
    run_dir: Path, adapter_dir: Path | None, prepared: Prepared, *, resume: bool, force: bool
) -> RunRecord | None:
    """Make the run folder ours, or return the record of a finished run that is up to date."""
    if not is_run(run_dir):
        if resume:
            logger.warning("nothing to resume in %s; training from the start", run_dir)
        return None
    record = read_record(run_dir / RUN_FILE, RunRecord)
    same = is_current(record, prepared.recipe, prepared.train.fingerprint)
    if same and record.status == "done" and not force:
        if adapter_dir is None or adapter_dir.exists():
            return record
    elif same and list_checkpoints(run_dir) and record.status != "done" and not force:
        if resume:
            return None
        raise UsageError(
            f"{run_dir} holds an unfinished run of this recipe ({record.steps or 'some'} steps saved)",
            hint="pass --resume to go on from its last checkpoint, or --force to train anew",
        )
    elif resume and not same:
        raise RecipeError(
            f"{run_dir} holds a run of another recipe or other data; it cannot be resumed",
            hint="take the recipe it was started with, another --run-dir, or leave --resume out",
        )
    logger.warning("%s holds an earlier run; it is now %s", run_dir, set_aside(run_dir))
    return None


def is_current(record: RunRecord, recipe: Recipe, data_fingerprint: str) -> bool:
    """Tell whether a run was made from this recipe and these examples."""
    return record.fingerprint == recipe.fingerprint and record.data_fingerprint == data_fingerprint


def _open_run(
    run_dir: Path, adapter_dir: Path | None, prepared: Prepared, base: Base, model: PreTrainedModel
) -> RunRecord:
    trainable, total = count_parameters(model)
    return RunRecord(
        peftsum_version=__version__,
        recipe=prepared.recipe,
        fingerprint=prepared.recipe.fingerprint,
        data_fingerprint=prepared.train.fingerprint,
        base_revision=base.revision,
        status="running",
        trainable_params=trainable,
        total_params=total,
        truncated_sources=sum(e.source_cut for e in prepared.examples),
        truncated_targets=sum(e.target_cut for e in prepared.examples),
        machine=describe_machine(),
        adapter_dir=str(adapter_dir) if adapter_dir else None,
        created=_now(),
    )


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


def _earlier_costs(run_dir: Path) -> Readings | None:
    """Return what earlier sessions of a resumed run cost."""
    if not is_run(run_dir) or not list_checkpoints(run_dir):
        return None
    return read_record(run_dir / RUN_FILE, RunRecord).train


def _with_earlier(earlier: Readings | None, costs: Readings) -> Readings:
    return combine(earlier, costs) if earlier is not None else costs


def _dropout(recipe: Recipe) -> float | None:
    if recipe.train.dropout is None and recipe.method.frozen_base:
        return 0.0
    return recipe.train.dropout


def _checkpoint_gradients(model: PreTrainedModel) -> None:
    model.enable_input_require_grads()  # a frozen embedding would cut the graph before the first checkpoint
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


def _accelerator(prepared: Prepared, base: Base, run_dir: Path) -> Accelerator:
    from accelerate import Accelerator

    settings = prepared.recipe.train
    accelerator = Accelerator(
        cpu=not default_device().startswith("cuda"),
        mixed_precision="bf16" if base.autocast else "no",
        log_with=settings.trackers or None,
        project_dir=str(run_dir),
    )
    if accelerator.num_processes != 1:
        raise TrainingError(
            f"started as {accelerator.num_processes} processes; training on several is not built yet",
            hint="start it as one process: peftsum train RECIPE",
        )
    if settings.trackers:
        accelerator.init_trackers("peftsum", config=_flat(prepared.recipe.model_dump(mode="json")))
    return accelerator


def _schedule(optimizer: Any, prepared: Prepared) -> Any:
    from torch.optim.lr_scheduler import LambdaLR

    return LambdaLR(optimizer, rate_course(prepared.recipe.train, len(prepared.steps)))


def _log(accelerator: Accelerator, run_dir: Path, position: Position, row: dict[str, float]) -> None:
    append_metrics(run_dir, {"step": position.step, "wall_s": round(position.wall_s, 3), **row})
    accelerator.log(row, step=position.step)


def _check_finite(value: float, step: int, run_dir: Path, what: str = "loss") -> None:
    if value != value or value in (float("inf"), float("-inf")):
        saved = list_checkpoints(run_dir)
        kept = f"{saved[-1]} is the last good checkpoint" if saved else "there is no checkpoint yet"
        raise TrainingError(
            f"the {what} is {value} at step {step}; {kept}",
            hint="lower train.learning_rate and train anew with --force",
        )


def _patience_over(position: Position, patience: int | None) -> bool:
    return patience is not None and position.worse_since >= patience


@dataclass
class _Stop:
    requested: bool = False


@contextmanager
def _stop_on_interrupt() -> Iterator[_Stop]:
    """Let the first Ctrl-C finish the step, so that what is saved is whole; a second one stops at once."""
    stop = _Stop()

    def on_signal(number: int, frame: object) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.requested = True

    try:
        before = signal.signal(signal.SIGINT, on_signal)
    except ValueError:  # not in the main thread, where signals arrive
        yield stop
        return
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def _check_trackers(names: Sequence[str]) -> None:
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            raise RecipeError(
                f"train.trackers: no tracker named {name!r}", hint=f"known: {', '.join(sorted(LOGGER_TYPE_TO_CLASS))}"
            )
        if name not in [str(n) for n in get_available_trackers()]:
            raise RecipeError(f"train.trackers: {name} is not installed", hint=f"pip install {name}")


def _fresh_accelerate_state() -> None:
    """Forget the precision of an earlier training in this process; accelerate keeps it for the process's life."""
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def _seed(seed: int) -> None:
    from accelerate.utils import set_seed

    set_seed(seed)


def _to(device: Any, tensors: dict[str, Any]) -> dict[str, Any]:
    return {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as ``a.b: c``, the form that every tracker takes."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": str(value)}
    return flat


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
