"""A stand-in for CUDA graphs on a CPU: the operations of some work, recorded, and done again on the same memory.

As with a CUDA graph, Python is not run again, numbers that Python computed are those of the recording, every operation
reads and writes the memory that it read and wrote then, and what must ask the device (or reads a list) is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

REFUSED = ("_local_scalar_dense", "nonzero", "lift_fresh", "masked_select", "equal", "_unique2")


class Operations(TorchDispatchMode):
    """What was recorded."""

    def __init__(self) -> None:
        super().__init__()
        self._done: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[torch.Tensor]]] = []
        self.replays = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do an operation and note it."""
        if func.overloadpacket.__name__ in REFUSED:
            raise RuntimeError(f"operation not permitted when stream is capturing: {func}")
        result = func(*args, **(kwargs or {}))
        self._done.append((func, args, kwargs or {}, _tensors(result)))
        return result

    def replay(self) -> None:
        """Do all operations again; what they make lies where it lay."""
        self.replays += 1
        for func, args, kwargs, outs in self._done:
            for old, new in zip(outs, _tensors(func(*args, **kwargs)), strict=True):
                if new.data_ptr() != old.data_ptr():
                    old.copy_(new)


def record(work: Callable[[], None]) -> Operations:
    """Record on a CPU what :class:`peftsum.decoding.graphs.CudaRecorder` records on a GPU."""
    work()
    operations = Operations()
    with operations:
        work()
    return operations


def _tensors(found: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_flatten(found)[0] if isinstance(leaf, torch.Tensor)]
