"""What a training needs to go on: trainable weights, optimizer, schedule, random state, position, best so far."""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftsum.artifacts import clear_leftovers, delete_folder, write_folder
from peftsum.exceptions import TrainingError
from peftsum.ranks import Ranks

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

CHECKPOINTS = "checkpoints"
BEST = "best"
WEIGHTS = "weights.safetensors"
STATE = "state.pt"
SHARDS = "shards"
SUMS = "sums.json"  # length and CRC-32 of each file: torch and safetensors take a flipped bit for a weight
BLOCK = 1 << 24


@dataclass
class Position:
    """How far a training has come."""

    step: int = 0
    source_tokens: int = 0
    target_tokens: int = 0
    best_value: float | None = None
    """Of the score that weights are selected by; larger is better."""
    best_step: int | None = None
    best_figures: dict[str, float] = field(default_factory=dict)
    worse_since: int = 0
    """Validations since the best one."""
    unlogged_losses: list[float] = field(default_factory=list)
    """Of the steps since the last row of metrics.jsonl."""
    wall_s: float = 0.0
    """Training time up to here, over all sessions."""


def trainable_weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the trainable parameters by name, on the CPU."""
    return {n: p.detach().cpu().contiguous() for n, p in model.named_parameters() if p.requires_grad}


def load_weights(model: torch.nn.Module, path: Path) -> None:
    """Copy saved trainable weights into the model.

    Raises:
        TrainingError: the file is damaged or of another recipe.
    """
    _take_weights(model, read_weights(path), path)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return saved trainable weights by name.

    Raises:
        TrainingError: the file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights: dict[str, torch.Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise TrainingError(f"{path} is damaged ({error})", hint="train anew with --force") from error
    return weights


def _take_weights(model: torch.nn.Module, saved: dict[str, torch.Tensor], path: Path) -> None:
    import torch

    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    if saved.keys() != parameters.keys():
        raise TrainingError(f"{path} is of another recipe", hint="train anew with --force")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(saved[name])


def best_weights(run_dir: Path, step: int) -> Path:
    """Return the file of the best weights, which a step's validation found to be so."""
    return run_dir / BEST / step_name(step) / WEIGHTS


def step_name(step: int) -> str:
    """Return the folder name of what was saved at a step; names sort as steps do."""
    return f"step-{step:07d}"


def step_of(path: Path) -> int:
    """Return the step of a folder named by :func:`step_name`."""
    return int(path.name.removeprefix("step-"))


def save_best(run_dir: Path, weights: dict[str, torch.Tensor], step: int) -> None:
    """Keep trainable weights as the best so far, beside earlier ones.

    The last checkpoint still speaks of an earlier best: a run killed before the next one goes on from there.
    :func:`save_checkpoint` deletes what is no longer spoken of.
    """
    _write(run_dir / BEST / step_name(step), weights, {})


def save_checkpoint(
    run_dir: Path,
    weights: dict[str, torch.Tensor],
    state: dict[str, Any],
    position: Position,
    keep: int,
    shards: Path | None = None,
) -> None:
    """Write ``checkpoints/step-N`` atomically, then delete what it supersedes.

    Args:
        run_dir: of the run.
        weights: the trainable ones, whole.
        state: from :func:`training_state`.
        position: how far it has come.
        keep: how many checkpoints stay.
        shards: a folder that the ranks of a sharded model have written; it is moved into the checkpoint.
    """
    path = run_dir / CHECKPOINTS / step_name(position.step)
    _write(path, weights, {**state, "position": asdict(position)}, shards)
    delete_superseded(run_dir, position, keep)


def delete_superseded(run_dir: Path, position: Position, keep: int) -> None:
    """Delete all checkpoints but the newest ``keep`` up to a position, and all weights but the best.

    What is newer than the position goes too: a run that went back beyond a damaged checkpoint leaves it there.
    """
    kept = [p for p in list_checkpoints(run_dir) if step_of(p) <= position.step][-keep:]
    for old in (run_dir / CHECKPOINTS).glob("step-*"):
        if old not in kept:
            delete_folder(old)
    for old in (run_dir / BEST).glob("step-*"):
        if position.best_step is None or old.name != step_name(position.best_step):
            delete_folder(old)


def training_state(optimizer: Any, schedule: Any, ranks: Ranks, *, sharded: bool = False) -> dict[str, Any]:
    """Return what a checkpoint holds beside weights and position; all ranks call it together.

    A sharded optimizer is not in it: accelerate writes each rank's part.
    """
    return {
        "optimizer": None if sharded else optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "random": ranks.gather(_random_state()),
    }


def _random_state() -> dict[str, torch.Tensor]:
    """Return the state of torch's generators in this process; nothing else draws in a training."""
    import torch

    state = {"cpu": torch.get_rng_state()}
    return state | {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else state


def _take_random_state(states: list[dict[str, torch.Tensor]], ranks: Ranks) -> None:
    """Go on drawing where this rank stopped; one that was not there keeps the seed it was started with."""
    import torch

    if ranks.index >= len(states):
        return
    torch.set_rng_state(states[ranks.index]["cpu"])
    if "cuda" in states[ranks.index] and torch.cuda.is_available():
        torch.cuda.set_rng_state(states[ranks.index]["cuda"])


def _write(path: Path, weights: dict[str, torch.Tensor], state: dict[str, Any], shards: Path | None = None) -> None:
    import torch
    from safetensors.torch import save_file

    def fill(folder: Path) -> None:
        save_file(weights, folder / WEIGHTS)
        if state:
            torch.save(state, folder / STATE)
        if shards is not None:
            shards.rename(folder / SHARDS)
        sums = {str(file.relative_to(folder)): _sum(file) for file in sorted(folder.rglob("*")) if file.is_file()}
        (folder / SUMS).write_text(json.dumps(sums) + "\n", encoding="utf-8")

    write_folder(path, fill)


def _sum(path: Path) -> list[int]:
    """Return a file's length and CRC-32."""
    length, crc = 0, 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            length, crc = length + len(block), zlib.crc32(block, crc)
    return [length, crc]


def _check_sums(folder: Path) -> None:
    sums = json.loads((folder / SUMS).read_text(encoding="utf-8"))
    for name, wanted in sums.items():
        if _sum(folder / name) != wanted:
            raise TrainingError(f"{name} has changed since it was written", hint="train anew with --force")


def list_checkpoints(run_dir: Path) -> list[Path]:
    """Return the complete checkpoints, oldest first; a half-written one has a temporary name and is not among them."""
    folder = run_dir / CHECKPOINTS
    return sorted(p for p in folder.glob("step-*") if all((p / name).is_file() for name in (STATE, WEIGHTS, SUMS)))


def last_step(run_dir: Path) -> int:
    """Return the step of the newest complete checkpoint, 0 without one."""
    saved = list_checkpoints(run_dir)
    return step_of(saved[-1]) if saved else 0


def find_checkpoint(run_dir: Path) -> Path | None:
    """Return the newest checkpoint that is as it was written; a damaged one is named in a warning and passed over."""
    for folder in (run_dir, run_dir / CHECKPOINTS, run_dir / BEST):
        clear_leftovers(folder)
    for path in reversed(list_checkpoints(run_dir)):
        try:
            _check_sums(path)
        except (TrainingError, OSError, ValueError) as error:
            logger.warning("%s is damaged (%s); taking the one before", path, str(error).partition("\n")[0])
            continue
        return path
    return None


def load_checkpoint(
    run_dir: Path,
    path: Path,
    model: torch.nn.Module,
    optimizer: Any,
    schedule: Any,
    ranks: Ranks,
    load_shards: Callable[[str], None] | None = None,
) -> Position:
    """Restore a checkpoint in place and return its position.

    Args:
        run_dir: of the run.
        path: from :func:`find_checkpoint`.
        model: gets the weights.
        optimizer: gets its state.
        schedule: gets its state.
        ranks: each goes on drawing random numbers where it stopped.
        load_shards: loads model and optimizer from a folder, where they are sharded.

    Raises:
        TrainingError: it was saved sharded and is to be loaded whole, or the other way round.
    """
    import torch

    if (path / SHARDS).is_dir() != (load_shards is not None):
        raise TrainingError(
            f"{path} was saved {'with' if load_shards is None else 'without'} FSDP or DeepSpeed",
            hint="resume with the accelerate configuration it was started with, or train anew with --force",
        )

    # on the CPU: a run may go on on a machine without the GPU it began on, and the optimizer moves its state
    state = torch.load(path / STATE, map_location="cpu", weights_only=True)
    if load_shards is not None:
        load_shards(str(path / SHARDS))
    else:
        load_weights(model, path / WEIGHTS)
        optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    _take_random_state(state["random"], ranks)
    return _with_best_there(run_dir, Position(**state["position"]))


def weights_if_sharded(run_dir: Path, position: Position) -> dict[str, torch.Tensor] | None:
    """Return the weights to keep of a finished training whose model is in no one process; None where it is."""
    last = run_dir / CHECKPOINTS / step_name(position.step)
    if not (last / SHARDS).is_dir():
        return None
    return read_weights(last / WEIGHTS if position.best_step is None else best_weights(run_dir, position.best_step))


def _with_best_there(run_dir: Path, position: Position) -> Position:
    """Forget a best whose weights are gone or damaged, so that the next validation finds another."""
    if position.best_step is None:
        return position
    folder = best_weights(run_dir, position.best_step).parent
    try:
        _check_sums(folder)
    except (TrainingError, OSError, ValueError):
        logger.warning("the best weights of step %d are gone from %s", position.best_step, folder)
        return replace(position, best_value=None, best_step=None, best_figures={}, worse_since=0)
    return position
