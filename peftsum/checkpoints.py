"""What a training needs to go on: trainable weights, optimizer, schedule, random state, position, best so far."""

from __future__ import annotations

import logging
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftsum.artifacts import clear_leftovers, write_folder
from peftsum.exceptions import TrainingError

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

CHECKPOINTS = "checkpoints"
BEST = "best"
WEIGHTS = "weights.safetensors"
STATE = "state.pt"


@dataclass
class Position:
    """How far a training has come."""

    step: int = 0
    source_tokens: int = 0
    target_tokens: int = 0
    best_value: float | None = None
    best_step: int | None = None
    best_figures: dict[str, float] = field(default_factory=dict)
    worse_since: int = 0
    """Validations since the best one."""
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
    _take_weights(model, _read_weights(path), path)


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
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


def save_best(run_dir: Path, model: torch.nn.Module) -> None:
    """Keep the model's trainable weights as the best so far."""
    _write(run_dir / BEST, model, {})


def save_checkpoint(
    run_dir: Path,
    model: torch.nn.Module,
    optimizer: Any,
    schedule: Any,
    position: Position,
    keep: int,
) -> None:
    """Write ``checkpoints/step-N`` atomically, then delete all but the newest ``keep``."""
    import torch

    state = {
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "random": torch.get_rng_state(),
        "cuda_random": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "position": asdict(position),
    }
    folder = run_dir / CHECKPOINTS
    _write(folder / f"step-{position.step:07d}", model, state)
    for old in list_checkpoints(run_dir)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)


def _write(path: Path, model: torch.nn.Module, state: dict[str, Any]) -> None:
    import torch
    from safetensors.torch import save_file

    def fill(folder: Path) -> None:
        save_file(trainable_weights(model), folder / WEIGHTS)
        if state:
            torch.save(state, folder / STATE)

    write_folder(path, fill)


def list_checkpoints(run_dir: Path) -> list[Path]:
    """Return the complete checkpoints, oldest first; a half-written one has a temporary name and is not among them."""
    folder = run_dir / CHECKPOINTS
    return sorted(p for p in folder.glob("step-*") if (p / STATE).is_file() and (p / WEIGHTS).is_file())


def last_step(run_dir: Path) -> int:
    """Return the step of the newest complete checkpoint, 0 without one."""
    saved = list_checkpoints(run_dir)
    return int(saved[-1].name.removeprefix("step-")) if saved else 0


def load_checkpoint(run_dir: Path, model: torch.nn.Module, optimizer: Any, schedule: Any) -> Position:
    """Restore the newest readable checkpoint in place and return its position; a fresh one when there is none."""
    import torch

    clear_leftovers(run_dir)
    clear_leftovers(run_dir / CHECKPOINTS)
    for path in reversed(list_checkpoints(run_dir)):
        try:
            # on the CPU: a run may go on on a machine without the GPU it began on, and the optimizer moves its state
            state = torch.load(path / STATE, map_location="cpu", weights_only=True)
            weights = _read_weights(path / WEIGHTS)
        except Exception as error:  # torch raises many types on a damaged file
            logger.warning("%s is damaged (%s); taking the one before", path, str(error).partition("\n")[0])
            continue
        _take_weights(model, weights, path / WEIGHTS)
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"])
        if state["cuda_random"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["cuda_random"])
        return _with_best_there(run_dir, Position(**state["position"]))
    return Position()


def _with_best_there(run_dir: Path, position: Position) -> Position:
    """Forget a best whose weights are gone, so that the next validation finds another."""
    if position.best_step is None or (run_dir / BEST / WEIGHTS).is_file():
        return position
    logger.warning("the best weights of step %d are gone from %s", position.best_step, run_dir / BEST)
    return replace(position, best_value=None, best_step=None, best_figures={}, worse_since=0)
