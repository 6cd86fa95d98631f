"""The loop: forward, backward, step, validate, checkpoint; the same for every method, on accelerate."""

from __future__ import annotations

import logging
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftsum.artifacts import append_metrics, trim_metrics
from peftsum.checkpoints import Position, list_checkpoints
from peftsum.cost.meters import Measurement
from peftsum.encoder_cache import EncoderCache, drop_cache, fill_cache, open_cache
from peftsum.engine.allocator import keep_freed_memory
from peftsum.exceptions import TrainingError, TrainingInterrupted
from peftsum.metrics.selection import LOSS, goodness
from peftsum.model import Base, default_device
from peftsum.optimization import build_optimizer, rate_course
from peftsum.prepare import Prepared
from peftsum.progress import Task, task
from peftsum.ranks import Ranks, everywhere, share
from peftsum.sharding import check_sharding, clip, gathered, local, prepare_for, synchronising
from peftsum.storing import Store
from peftsum.teaching import open_teacher
from peftsum.validation import validate

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from peftsum.training_model import TrainingModel

logger = logging.getLogger(__name__)

LOG_EVERY = 10  # optimizer steps between rows of metrics.jsonl


OnValidation = Callable[[int, Mapping[str, float]], None]


def fit(
    model: PreTrainedModel,
    base: Base,
    prepared: Prepared,
    run_dir: Path,
    ranks: Ranks | None = None,
    on_validation: OnValidation | None = None,
    measurement: Measurement | None = None,
) -> Position:
    """Train the model in place and leave the best weights in it, unless it is sharded: those are in the run.

    Args:
        model: the base with its method attached.
        base: for its tokenizer and arithmetic.
        prepared: data and plan.
        run_dir: gets metrics.jsonl, checkpoints and the best weights; a checkpoint found there is gone on from.
        ranks: the processes that share each batch; None is this one alone.
        on_validation: told the step and the figures of each validation; it may raise to end the training.
        measurement: of this training; is told what lies in memory.

    Returns:
        Where it ended.
    """
    from peftsum.training_model import TrainingModel

    recipe, settings = prepared.recipe, prepared.recipe.train
    ranks = ranks or Ranks()
    accelerator = _accelerator(prepared, base, run_dir)
    engine = settings.engine
    if engine.keep_memory:
        keep_freed_memory()
    training = TrainingModel(model, engine, accelerator.device.type, base.tokenizer.pad_token_id)
    optimizer = build_optimizer(model.named_parameters(), settings, recipe.learning_rate)
    schedule = _schedule(optimizer, prepared)
    training_model, optimizer = prepare_for(accelerator, training, optimizer)
    store = Store(run_dir, accelerator, ranks, model, training_model, optimizer, schedule)
    _seed_apart(recipe.train.seed, ranks)
    position = store.load()
    if ranks.is_main:
        trim_metrics(run_dir, position.step)
    started = time.perf_counter() - position.wall_s
    steps = [] if _patience_over(position, settings.patience) else prepared.steps[position.step :]
    cache = _encoder_cache(training, base, prepared, run_dir, ranks) if steps else None
    teacher = open_teacher(recipe, base, str(accelerator.device)) if steps else None
    losses = position.unlogged_losses
    model.train()
    with (
        _trackers_closed(accelerator),
        _stop_on_interrupt() as stop,
        task(f"training {recipe.name}", len(prepared.steps), position.step, show=ranks.is_main) as shown,
    ):
        for step in steps:
            target_tokens = sum(len(prepared.examples[i].target) for batch in step for i in batch)
            loss = 0.0
            for number, batch in enumerate(step, start=1):
                mine, weight = _share(batch, prepared, ranks)
                with synchronising(accelerator, training_model, last=number == len(step)):
                    examples, states = [prepared.examples[i] for i in mine], cache.states(mine) if cache else None
                    inputs = training.batch(examples, accelerator.device, states, teacher)
                    part = training_model(inputs) * (weight / target_tokens)
                    accelerator.backward(part * ranks.count)  # gradients are averaged over the ranks
                loss += part.item()
            loss, stops = ranks.total(loss, float(stop.requested))
            _check_finite(loss, position.step + 1, run_dir)
            norm = clip(accelerator, training_model, settings.max_grad_norm)
            _check_finite(norm, position.step + 1, run_dir, "gradient norm")
            rate = schedule.get_last_lr()[0]
            optimizer.step()
            schedule.step()
            if measurement is not None:
                measurement.count_parts(model, optimizer)
            optimizer.zero_grad()
            position.step += 1
            position.target_tokens += target_tokens
            position.source_tokens += sum(len(prepared.examples[i].source) for batch in step for i in batch)
            position.wall_s = time.perf_counter() - started
            losses.append(loss)
            last = position.step == len(prepared.steps)
            interrupted = stops > 0
            validating = bool(prepared.checks) and (position.step % prepared.eval_every == 0 or last)
            if validating or last or interrupted or position.step % prepared.checkpoint_every == 0:
                _check_weights(model, ranks, position.step, run_dir)  # before anything below keeps them
            if position.step % LOG_EVERY == 0 or last:
                row = {"loss": sum(losses) / len(losses), "learning_rate": rate, "grad_norm": norm}
                _log(accelerator, ranks, run_dir, position, row)
                losses.clear()
            shown.advance(info=f"loss {loss:.3f}")
            if validating:
                figures = _validate(accelerator, ranks, model, base.tokenizer, prepared, store, position, shown)
                if on_validation is not None:
                    ranks.on_main(partial(on_validation, position.step, figures))
            stopping = interrupted or _patience_over(position, settings.patience)
            if position.step % prepared.checkpoint_every == 0 or last or stopping:
                store.save_checkpoint(position, settings.keep_checkpoints)
            if interrupted:
                raise everywhere(
                    TrainingInterrupted(
                        f"interrupted after step {position.step} of {len(prepared.steps)}; nothing is lost",
                        hint=f"go on with: peftsum train RECIPE --run-dir {run_dir} --resume",
                    )
                )
            if stopping:
                worse = f"no better {settings.select_by} in {settings.patience} validations"
                logger.info("stopped early at step %d: %s", position.step, worse)
                break
    store.finish(position, settings.keep_checkpoints)
    if ranks.is_main:
        drop_cache(run_dir)
    return position


def _encoder_cache(
    training: TrainingModel, base: Base, prepared: Prepared, run_dir: Path, ranks: Ranks
) -> EncoderCache | None:
    """Return the encoder's states of the training dialogues, where the method has them made once."""
    if not prepared.recipe.method.caches_encoder():
        return None
    content = f"{prepared.train.fingerprint} {prepared.recipe.fingerprint} {base.revision} {training.encoder_dtype}"

    budget = prepared.recipe.train.batch_tokens
    ranks.on_main(lambda: fill_cache(run_dir, training, prepared.examples, content, budget))
    return open_cache(run_dir, training, prepared.examples)


def _seed_apart(seed: int, ranks: Ranks) -> None:
    """Let each rank draw a dropout of its own; all drew the same first weights."""
    if ranks.index:
        import torch

        torch.manual_seed(seed + ranks.index)


def _share(batch: list[int], prepared: Prepared, ranks: Ranks) -> tuple[list[int], float]:
    """Return this rank's examples of a batch and their weight: 1, or 0 for one that only keeps step with the others."""
    sizes = [len(prepared.examples[i].source) + len(prepared.examples[i].target) for i in batch]
    mine = [batch[i] for i in share(sizes, ranks.count, ranks.index)]
    return (mine, 1.0) if mine else ([batch[sizes.index(min(sizes))]], 0.0)


def _validate(
    accelerator: Accelerator,
    ranks: Ranks,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prepared: Prepared,
    store: Store,
    position: Position,
    shown: Task,
) -> dict[str, float]:
    settings = prepared.recipe.train

    def validated() -> dict[str, float]:
        with accelerator.autocast(), gathered(store.training_model):
            return validate(
                model,
                tokenizer,
                prepared.checks,
                prepared.encoded_checks,
                prepared.recipe.generation,
                settings.batch_tokens,
                prepared.recipe.prompt.speakers,
            )

    # a sharded model computes only where all ranks do; all then take the main one's figures
    figures = ranks.agree(validated()) if store.sharded else ranks.on_main(validated)
    _check_finite(figures["val_loss"], position.step, store.run_dir, "validation loss")
    found = goodness(figures, settings.select_by)
    if position.best_value is None or found > (position.best_value, -position.best_figures["val_loss"]):
        position.best_value, position.best_step, position.best_figures = found[0], position.step, figures
        position.worse_since = 0
        store.save_best(position)
    else:
        position.worse_since += 1
    _log(accelerator, ranks, store.run_dir, position, figures)
    score = "rougeL" if settings.select_by == LOSS else settings.select_by
    shown.advance(0, info=f"validation loss {figures['val_loss']:.3f}, {score} {figures[f'val_{score}']:.3f}")
    return figures


def _accelerator(prepared: Prepared, base: Base, run_dir: Path) -> Accelerator:
    from accelerate import Accelerator, DistributedDataParallelKwargs

    settings = prepared.recipe.train
    accelerator = Accelerator(
        cpu=not default_device().startswith("cuda"),
        mixed_precision="bf16" if base.autocast else "no",
        log_with=settings.trackers or None,
        project_dir=str(run_dir),
        kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True)],
    )
    check_sharding(accelerator, prepared.recipe)
    if settings.trackers:
        accelerator.init_trackers("peftsum", config=_flat(prepared.recipe.model_dump(mode="json")))
    return accelerator


def _schedule(optimizer: Any, prepared: Prepared) -> Any:
    from torch.optim.lr_scheduler import LambdaLR

    return LambdaLR(optimizer, rate_course(prepared.recipe.train, len(prepared.steps)))


def _log(accelerator: Accelerator, ranks: Ranks, run_dir: Path, position: Position, row: dict[str, float]) -> None:
    if ranks.is_main:
        append_metrics(run_dir, {"step": position.step, "wall_s": round(position.wall_s, 3), **row})
        accelerator.log(row, step=position.step)


def _check_finite(value: float, step: int, run_dir: Path, what: str = "loss") -> None:
    """Refuse to go on from a value that all ranks have, if it is not finite."""
    if not math.isfinite(value):
        saved = list_checkpoints(run_dir)
        kept = f"{saved[-1]} is the last good checkpoint" if saved else "there is no checkpoint yet"
        raise everywhere(
            TrainingError(
                f"the {what} is {value} at step {step}; {kept}",
                hint="lower train.learning_rate and train anew with --force",
            )
        )


def _check_weights(model: PreTrainedModel, ranks: Ranks, step: int, run_dir: Path) -> None:
    """Refuse to keep weights that a finite gradient and too high a rate have driven out of range."""
    if ranks.any(not all(local(p).isfinite().all() for p in model.parameters() if p.requires_grad)):
        _check_finite(math.nan, step, run_dir, "largest weight")


def _patience_over(position: Position, patience: int | None) -> bool:
    return patience is not None and position.worse_since >= patience


@contextmanager
def _trackers_closed(accelerator: Accelerator) -> Iterator[None]:
    """Let the trackers write what they hold, also when the training ends by an exception."""
    try:
        yield
    finally:
        for tracker in accelerator.trackers:  # not `end_training`, which would part the ranks, too
            tracker.finish()


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
