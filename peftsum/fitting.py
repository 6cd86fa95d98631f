"""The loop: forward, backward, step, validate, checkpoint; the same for every method, on accelerate."""

from __future__ import annotations

import logging
import math
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftsum.artifacts import append_metrics, trim_metrics
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
from peftsum.engine.allocator import keep_freed_memory
from peftsum.exceptions import TrainingError, TrainingInterrupted
from peftsum.model import Base, default_device
from peftsum.optimization import build_optimizer, rate_course
from peftsum.prepare import Prepared
from peftsum.progress import Task, task
from peftsum.training_model import TrainingModel
from peftsum.validation import validate

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

LOG_EVERY = 10  # optimizer steps between rows of metrics.jsonl


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
    engine = settings.engine
    if engine.keep_memory:
        keep_freed_memory()
    training = TrainingModel(model, engine, accelerator.device.type, base.tokenizer.pad_token_id)
    optimizer = build_optimizer(model.parameters(), settings, recipe.learning_rate)
    schedule = _schedule(optimizer, prepared)
    wrapped, optimizer = accelerator.prepare(training, optimizer)
    position = load_checkpoint(run_dir, model, optimizer, schedule)
    trim_metrics(run_dir, position.step)
    started = time.perf_counter() - position.wall_s
    parameters = [p for p in model.parameters() if p.requires_grad]
    steps = [] if _patience_over(position, settings.patience) else prepared.steps[position.step :]
    losses: list[float] = []
    model.train()
    with (
        _trackers_closed(accelerator),
        _stop_on_interrupt() as stop,
        task(f"training {recipe.name}", len(prepared.steps), position.step) as shown,
    ):
        for step in steps:
            target_tokens = sum(len(prepared.examples[i].target) for batch in step for i in batch)
            loss = 0.0
            for batch in step:
                part = (
                    wrapped(training.batch([prepared.examples[i] for i in batch], accelerator.device)) / target_tokens
                )
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
            interrupted = stop.requested
            validating = bool(prepared.checks) and (position.step % prepared.eval_every == 0 or last)
            if validating or last or interrupted or position.step % prepared.checkpoint_every == 0:
                _check_weights(parameters, position.step, run_dir)  # before anything below keeps them
            if position.step % LOG_EVERY == 0 or last:
                row = {"loss": sum(losses) / len(losses), "learning_rate": rate, "grad_norm": float(norm)}
                _log(accelerator, run_dir, position, row)
                losses.clear()
            shown.advance(info=f"loss {loss:.3f}")
            if validating:
                _validate(accelerator, model, base.tokenizer, prepared, run_dir, position, shown)
            stopping = interrupted or _patience_over(position, settings.patience)
            if position.step % prepared.checkpoint_every == 0 or last or stopping:
                save_checkpoint(run_dir, model, optimizer, schedule, position, settings.keep_checkpoints)
            if interrupted:
                raise TrainingInterrupted(
                    f"interrupted after step {position.step} of {len(prepared.steps)}; nothing is lost",
                    hint=f"go on with: peftsum train RECIPE --run-dir {run_dir} --resume",
                )
            if stopping:
                logger.info("stopped early at step %d: no better validation %d times", position.step, settings.patience)
                break
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
    _check_finite(figures["val_loss"], position.step, run_dir, "validation loss")
    value = -figures["val_loss"] if settings.best_by == "loss" else figures["val_rougeL"]
    if position.best_value is None or value > position.best_value:
        position.best_value, position.best_step, position.best_figures = value, position.step, figures
        position.worse_since = 0
        save_best(run_dir, model)
    else:
        position.worse_since += 1
    _log(accelerator, run_dir, position, figures)
    shown.advance(0, info=f"validation loss {figures['val_loss']:.3f}, ROUGE-L {100 * figures['val_rougeL']:.1f}")


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
    if not math.isfinite(value):
        saved = list_checkpoints(run_dir)
        kept = f"{saved[-1]} is the last good checkpoint" if saved else "there is no checkpoint yet"
        raise TrainingError(
            f"the {what} is {value} at step {step}; {kept}",
            hint="lower train.learning_rate and train anew with --force",
        )


def _check_weights(parameters: Sequence[torch.nn.Parameter], step: int, run_dir: Path) -> None:
    """Refuse to keep weights that a finite gradient and too high a rate have driven out of range."""
    if not all(p.isfinite().all() for p in parameters):
        _check_finite(math.nan, step, run_dir, "largest weight")


def _patience_over(position: Position, patience: int | None) -> bool:
    return patience is not None and position.worse_since >= patience


@contextmanager
def _trackers_closed(accelerator: Accelerator) -> Iterator[None]:
    """Let the trackers write what they hold, also when the training ends by an exception."""
    try:
        yield
    finally:
        accelerator.end_training()


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
        logger.warning("stopping after this step; Ctrl-C again stops at once")

    try:
        before = signal.signal(signal.SIGINT, on_signal)
    except ValueError:  # not in the main thread, where signals arrive
        yield stop
        return
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as ``a.b: c``, the form that every tracker takes."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": str(value)}
    return flat
