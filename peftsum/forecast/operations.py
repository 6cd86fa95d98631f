"""The operations of a step, by shape: what each computes and moves, and how long it takes when run here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch.utils.flop_counter import flop_registry

LONG_S, REPEATS = 0.02, 6  # of timing one operation
# Matrix products that torch's own register lacks or has under another signature: which argument is the left factor
INNER: dict[Any, int] = {torch.ops.aten.addmm_: 1, torch.ops.aten.baddbmm: 1, torch.ops.aten.addmm: 1}


@dataclass(frozen=True)
class Like:
    """A tensor by its layout."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    @property
    def size_bytes(self) -> int:
        """Bytes of its elements; one that is expanded is read as often as it is wide."""
        count = 1
        for length, step in zip(self.shape, self.stride, strict=True):
            count *= length if step else 1
        return count * self.dtype.itemsize

    def make(self, device: str) -> torch.Tensor:
        """Return a real tensor of this layout: small numbers, or the index 0."""
        made = torch.empty_strided(self.shape, self.stride, dtype=self.dtype, device=device)
        return made.fill_(0.01 if self.dtype.is_floating_point else 0)


@dataclass(frozen=True)
class Operation:
    """One operation on tensors of certain layouts."""

    call: Callable[..., Any]
    """An ATen operator, or a function of this project that stands for several."""
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]
    made: tuple[Like, ...]

    @cached_property
    def flops(self) -> int:
        """Floating-point operations of a matrix product; 0 for everything else."""
        inner = INNER.get(getattr(self.call, "_overloadpacket", None))
        if inner is not None:
            return 2 * math.prod(self.made[0].shape) * int(self.args[inner].shape[-1])
        formula = flop_registry.get(getattr(self.call, "_overloadpacket", None))
        if formula is None:
            return 0
        return int(formula(*_meta(self.args), **dict(_meta(self.kwargs)), out_val=_meta(self.made[0])))

    @cached_property
    def moved_bytes(self) -> int:
        """Bytes read and written."""
        read = [x for x in _leaves((self.args, self.kwargs)) if isinstance(x, Like)]
        return sum(like.size_bytes for like in (*read, *self.made))

    @property
    def dtype(self) -> torch.dtype:
        """Precision of what it makes."""
        return self.made[0].dtype if self.made else torch.float32

    def time_on(self, device: str) -> float:
        """Return the seconds that it takes on a device of this machine, the best of some runs; a long one is run once.

        The least of several, and of one thread its CPU time, since another process that gets in between would count as
        often as the operation does: the seconds are those of a machine that does nothing else.
        """
        args, kwargs = _real(self.args, device), dict(_real(self.kwargs, device))
        clock = time.thread_time if device == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
        best = math.inf
        for _ in range(REPEATS):
            started = clock()
            self.call(*args, **kwargs)
            if device != "cpu":
                torch.cuda.synchronize()
            seconds = clock() - started
            best = min(best, seconds)
            if seconds > LONG_S:
                break
        return best


Work = Mapping[Operation, int]
"""Operations and how often."""


def describe(call: Any, args: Any, kwargs: Any, made: Iterable[torch.Tensor]) -> Operation:
    """Return a call as an :class:`Operation`."""
    return Operation(call, _spec(tuple(args)), _spec(tuple(kwargs.items())), tuple(map(_like, made)))


def _like(tensor: torch.Tensor) -> Like:
    return Like(tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype)


def _spec(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return _like(value)
    if isinstance(value, list | tuple):
        return tuple(_spec(x) for x in value)
    return value


def _replaced(value: Any, replace: Callable[[Like], Any]) -> Any:
    if isinstance(value, Like):
        return replace(value)
    return tuple(_replaced(x, replace) for x in value) if isinstance(value, tuple) else value


def _real(value: Any, device: str) -> Any:
    return _replaced(value, lambda like: like.make(device))


def _meta(value: Any) -> Any:
    return _replaced(value, lambda like: torch.empty(like.shape, dtype=like.dtype, device="meta"))


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple):
        for x in value:
            yield from _leaves(x)
    else:
        yield value
