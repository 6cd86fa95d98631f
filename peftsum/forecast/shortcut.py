"""A shorter way through torch's fake mode for the operations that a step is full of.

``FakeTensorMode`` looks at every operation from all sides before it runs it: constants, symbolic sizes, devices. On
plain tensors of one device nothing of that can matter. A view is then what its shape function makes of it; anything
else makes the same layouts each time it meets the same layouts, so those are remembered, for later steps too. That
takes less than half of the time; that a step comes out the same, a test holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, in_kernel_invocation_manager

from peftsum.forecast.operations import Like, Operation, describe

ASKS_DEVICE = torch.ops.prim.device.default
UNSAFE_VIEW = torch.ops.aten._unsafe_view.default  # a view that autograd does not know as one
CPU = torch.device("cpu")
MOST_KNOWN = 100_000  # ways of calling that are remembered; a step has some hundred


@dataclass(frozen=True, eq=False)
class Call:
    """One way of calling an operation, by the layouts of its arguments, and what comes of it."""

    operation: Operation
    made: tuple[int | Like, ...] | None
    """The results: the place of an argument that is returned as it is, or a new tensor's layout. None where the fake
    mode has to be asked each time."""
    several: type | None = None
    """Of the result where that is no tensor but a tuple or list of them."""


_known: dict[Any, Call] = {}


class Shortcut:
    """Runs operations on the fake tensors of one mode.

    Args:
        mode: it is on, below the caller.
    """

    def __init__(self, mode: FakeTensorMode) -> None:
        self._mode = mode

    def run(self, func: Any, args: Any, kwargs: Any) -> tuple[Any, Call | None]:
        """Return what an operation makes, and how it was called; None where it is a view, or none of torch's own.

        Args:
            func: an ATEN operator.
            args: its arguments.
            kwargs: its keyword arguments.
        """
        if func.namespace != "aten" and func is not ASKS_DEVICE:
            return func(*args, **kwargs), None
        given = _tensors(args, kwargs)
        plain = all(self._is_plain(tensor) for tensor in given)
        if func.is_view or func is UNSAFE_VIEW:
            return (self._view(func, args, kwargs) if plain and given else func(*args, **kwargs)), None
        key = (func, _key(args), _key(tuple(kwargs.items())))
        known = _known.get(key)
        if known is not None and known.made is not None and plain:
            return self._again(known, given), known
        before = [(tensor.untyped_storage(), _layout(tensor)) for tensor in given]
        out = args[0].fake_device if func is ASKS_DEVICE and plain else func(*args, **kwargs)
        if known is None:
            results = out if isinstance(out, tuple | list) else (out,)
            operation = describe(func, args, kwargs, [x for x in results if isinstance(x, torch.Tensor)])
            several = type(out) if isinstance(out, tuple | list) else None
            known = Call(operation, self._made(results, given, before) if plain else None, several)
            if len(_known) >= MOST_KNOWN:
                _known.clear()
            _known[key] = known
        return out, known

    def _is_plain(self, tensor: torch.Tensor) -> bool:
        """Tell whether a tensor is one of the mode's, on the CPU, and without a value."""
        if not isinstance(tensor, FakeTensor) or tensor.fake_mode is not self._mode:
            return False
        return bool(tensor.fake_device == CPU and tensor.constant is None)

    def _view(self, func: Any, args: Any, kwargs: Any) -> Any:
        with in_kernel_invocation_manager(self._mode):
            out = func(*args, **kwargs)
        if isinstance(out, torch.Tensor):
            return FakeTensor(self._mode, out, CPU)
        return type(out)(FakeTensor(self._mode, tensor, CPU) for tensor in out)

    def _again(self, known: Call, given: list[torch.Tensor]) -> Any:
        assert known.made is not None
        if known.several is None and not known.made:
            return CPU  # it asks where a tensor is
        made = [given[item] if isinstance(item, int) else self._new(item) for item in known.made]
        return made[0] if known.several is None else known.several(made)

    def _new(self, like: Like) -> torch.Tensor:
        with in_kernel_invocation_manager(self._mode):
            empty = torch.empty_strided(like.shape, like.stride, dtype=like.dtype, device="meta")
        return FakeTensor(self._mode, empty, CPU)

    def _made(self, results: Any, given: list[torch.Tensor], before: list[Any]) -> tuple[int | Like, ...] | None:
        """Return how to make the results again; None where that is not to be told by layouts."""
        if isinstance(results[0], torch.device):
            return ()
        made: list[int | Like] = []
        for result in results:
            if not isinstance(result, FakeTensor) or not self._is_plain(result):
                return None
            place = next((i for i, tensor in enumerate(given) if tensor is result), None)
            if place is None:
                if result.storage_offset() or any(result.untyped_storage() is storage for storage, _ in before):
                    return None
                made.append(Like(*_layout(result)))
                if result.untyped_storage().nbytes() != _bytes(made[-1]):
                    return None
            elif (result.untyped_storage(), _layout(result)) != before[place]:
                return None
            else:
                made.append(place)
        return tuple(made)


def _bytes(like: Any) -> int:
    """Return the bytes that a fresh storage for a layout has."""
    last = sum((length - 1) * step for length, step in zip(like.shape, like.stride, strict=True))
    return 0 if 0 in like.shape else int((last + 1) * like.dtype.itemsize)


def _layout(tensor: torch.Tensor) -> tuple[tuple[int, ...], tuple[int, ...], torch.dtype]:
    return tuple(tensor.shape), tensor.stride(), tensor.dtype


def _tensors(args: Any, kwargs: Any) -> list[torch.Tensor]:
    """Return the tensors among the arguments, in order."""
    found = []
    for value in (*args, *kwargs.values()):
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += [item for item in value if isinstance(item, torch.Tensor)]
    return found


def _key(values: Any) -> Any:
    """Return arguments as a key: tensors by layout, numbers apart by type, since that decides on the result's."""
    key: list[Any] = []
    for value in values:
        if isinstance(value, torch.Tensor):
            key.append((value.shape, value.stride(), value.dtype))
        elif isinstance(value, list | tuple):
            key.append(_key(value))
        else:
            key.append((type(value), value))
    return tuple(key)
