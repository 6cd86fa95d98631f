"""What a training keeps in its run as it goes: checkpoints and the best weights, written once for all processes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftsum.checkpoints import (
    CHECKPOINTS,
    Position,
    best_weights,
    delete_superseded,
    find_checkpoint,
    load_checkpoint,
    load_weights,
    save_best,
    save_checkpoint,
    trainable_weights,
    training_state,
)
from peftsum.ranks import Ranks
from peftsum.sharding import is_sharded, whole_weights

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator


@dataclass(frozen=True)
class Store:
    """Where a training is kept. All ranks call its methods together."""

    run_dir: Path
    accelerator: Accelerator
    ranks: Ranks
    model: torch.nn.Module
    """With its method attached, as it was before accelerate wrapped it."""
    training_model: Any
    """As accelerate wrapped it."""
    optimizer: Any
    schedule: Any

    @property
    def sharded(self) -> bool:
        """True where no process holds the whole model."""
        return is_sharded(self.accelerator)

    def load(self) -> Position:
        """Restore the newest checkpoint that is whole, in place, and return its position; a fresh one without any."""
        path = self.ranks.on_main(lambda: find_checkpoint(self.run_dir))
        if path is None:
            return Position()
        return load_checkpoint(
            self.run_dir, path, self.model, self.optimizer, self.schedule, self.ranks, self._sharded_state()
        )

    def save_checkpoint(self, position: Position, keep: int) -> None:
        """Write a checkpoint and delete older ones."""
        state = training_state(self.optimizer, self.schedule, self.ranks, sharded=self.sharded)
        weights, parts = self._weights(), None
        if self.sharded:
            parts = self.run_dir / CHECKPOINTS / ".shards.0.tmp"  # named as what a killed write leaves
            self.ranks.on_main(lambda: shutil.rmtree(parts, ignore_errors=True))
            self.accelerator.save_state(str(parts))
            self.ranks.wait()
        self.ranks.on_main(lambda: save_checkpoint(self.run_dir, weights, state, position, keep, parts))

    def save_best(self, position: Position) -> None:
        """Keep the weights as the best so far."""
        weights, step = self._weights(), position.step
        self.ranks.on_main(lambda: save_best(self.run_dir, weights, step))

    def finish(self, position: Position, keep: int) -> None:
        """Put the best weights into the model; a sharded one keeps its last, and the best are read from the run.

        What a session killed after its last checkpoint had yet to delete is deleted, since no other will be written.
        """
        self.ranks.on_main(lambda: delete_superseded(self.run_dir, position, keep))
        if position.best_step is not None and not self.sharded:
            load_weights(self.model, best_weights(self.run_dir, position.best_step))

    def _weights(self) -> dict[str, torch.Tensor]:
        if not self.sharded:
            return trainable_weights(self.model) if self.ranks.is_main else {}
        names = [name for name, parameter in self.model.named_parameters() if parameter.requires_grad]
        return whole_weights(self.accelerator, self.training_model, names)

    def _sharded_state(self) -> Any:
        return self.accelerator.load_state if self.sharded else None
