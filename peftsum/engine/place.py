"""The kind of device that the engine computes for: the tensors' own, or the one that a forecast stands in for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

_ASSUMED: ContextVar[str | None] = ContextVar("assumed device kind", default=None)


def kind_of(tensor: torch.Tensor) -> str:
    """Return "cpu", "cuda", …: where the tensor is, or is taken to be."""
    return _ASSUMED.get() or tensor.device.type


@contextmanager
def assumed(kind: str) -> Iterator[None]:
    """Let the engine take its way for a device that this machine need not have; for tensors without data.

    A torch without CUDA cannot differentiate even fake tensors on a GPU, so a forecast keeps them on the CPU.
    """
    token = _ASSUMED.set(kind)
    try:
        yield
    finally:
        _ASSUMED.reset(token)
