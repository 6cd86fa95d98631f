"""Which storages are alive at any moment of a computation, what each is for, and what the operations cost.

Works on real and on fake tensors alike: a dispatch mode sees every operation, and a weak reference on a storage says
when it goes. What a kernel takes for itself and gives back before it returns is not seen.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from peftsum.cost.forecast import Part
from peftsum.forecast.operations import Operation, describe
from peftsum.forecast.shortcut import Call, Shortcut

Label = Callable[[tuple[int, ...], Part], Part]
"""From a new tensor's shape and the phase's part to its own part."""


@dataclass
class Snapshot:
    """What was alive at one moment."""

    total_bytes: int = 0
    parts: dict[Part, int] = field(default_factory=dict)


class LiveStorages(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the storages made while it is on, and those it is told of.

    Args:
        label: the part that a new tensor belongs to; None leaves it to the phase.
        granule: bytes that a storage is rounded up to, as the device's allocator does.
        mode: the fake mode below, through which plain operations take a shortcut; None runs each as it comes.
    """

    def __init__(self, label: Label | None = None, granule: int = 1, mode: FakeTensorMode | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._label = label
        self._granule = granule
        self._shortcut = None if mode is None else Shortcut(mode)
        self._known: dict[int, tuple[Any, int, Part]] = {}
        self._phase: Part = "workspace"
        self.now: Counter[Part] = Counter()
        self.total_bytes = 0
        self.peak = Snapshot()
        self._work: Counter[Operation] = Counter()
        self._calls: Counter[Call | None] = Counter()
        self.calls = 0

    @property
    def work(self) -> Counter[Operation]:
        """Operations since the last restart, and how often; views and what computes nothing left out."""
        work = Counter(self._work)
        for call, count in self._calls.items():
            if call is not None and call.operation.call not in FREE:
                work[call.operation] += count
        return work

    def add_work(self, operation: Operation) -> None:
        """Count one that did not go through the dispatcher."""
        self._work[operation] += 1

    @contextmanager
    def phase(self, part: Part) -> Iterator[None]:
        """Count what the block makes as ``part``, where the label does not say otherwise."""
        before, self._phase = self._phase, part
        try:
            yield
        finally:
            self._phase = before

    def enter_phase(self, part: Part) -> None:
        """Count what is made from here on as ``part``."""
        self._phase = part

    def restart(self) -> None:
        """Forget the peak and the work so far; what is alive stays."""
        self.peak = Snapshot(self.total_bytes, dict(self.now))
        self.restart_work()

    def restart_work(self) -> None:
        """Forget the work so far."""
        self._work, self._calls, self.calls = Counter(), Counter(), 0

    def hold(self, tensors: Iterable[torch.Tensor], part: Part) -> None:
        """Count tensors that were there before, or move those already counted to another part."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            known = self._known.get(id(storage))
            if known is None:
                self._add(storage, part)
            elif known[2] != part:
                self.now[known[2]] -= known[1]
                self.now[part] += known[1]
                self._known[id(storage)] = (known[0], known[1], part)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation and look at what came of it."""
        kwargs = kwargs or {}
        if func is torch.ops.aten._local_scalar_dense.default:
            return 1  # a value asked of a fake tensor, by Adafactor of a norm: any will do
        args = _counted_index(func, args)
        call: Call | None = None
        if self._shortcut is None:
            out = func(*args, **kwargs)
        else:
            out, call = self._shortcut.run(func, args, kwargs)
        self._calls[call] += 1
        made = [t for t in (out if isinstance(out, tuple | list) else (out,)) if isinstance(t, torch.Tensor)]
        for tensor in made:
            storage = tensor.untyped_storage()
            if id(storage) not in self._known:
                part = self._phase
                if self._label is not None:
                    part = self._label(tuple(tensor.shape), part)
                self._add(storage, part)
        self.calls += func is not ASKS_FOR_DEVICE
        if call is None and not func.is_view and func not in FREE:
            self._work[describe(func, args, kwargs, made)] += 1
        return out

    def _add(self, storage: torch.UntypedStorage, part: Part) -> None:
        key, size = id(storage), -(-storage.nbytes() // self._granule) * self._granule
        self._known[key] = (weakref.ref(storage, lambda _: self._drop(key)), size, part)
        self.now[part] += size
        self.total_bytes += size
        if self.total_bytes > self.peak.total_bytes:
            self.peak = Snapshot(self.total_bytes, dict(self.now))

    def _drop(self, key: int) -> None:
        _, size, part = self._known.pop(key)
        self.now[part] -= size
        self.total_bytes -= size


def _counted_index(func: Any, args: Any) -> Any:
    """Replace a mask used as an index by the indices of as many places as are known to be true.

    Fake tensors have no values, so the count is one that the maker of the batch has put on the mask's shape: see
    :data:`TRUE_PLACES`.
    """
    if func not in {torch.ops.aten.index.Tensor, torch.ops.aten.index_put.default}:
        return args
    indices: list[Any] = []
    for index in args[1]:
        if isinstance(index, FakeTensor) and index.dtype == torch.bool:
            count = TRUE_PLACES[tuple(index.shape)]
            indices += [index.new_empty((count,), dtype=torch.long) for _ in index.shape]
        else:
            indices.append(index)
    return (args[0], indices, *args[2:])


# Asked of a tensor of this mode for its device, more often than all that computes; of a real one it is no call.
ASKS_FOR_DEVICE = torch.ops.prim.device.default
FREE = {
    torch.ops.aten.empty.memory_format,
    torch.ops.aten.empty_strided.default,
    torch.ops.aten.empty_like.default,
    ASKS_FOR_DEVICE,
}
"""Operations that compute nothing."""

TRUE_PLACES: dict[tuple[int, ...], int] = {}
"""Shape of a mask to its true places, for the batch at hand."""
