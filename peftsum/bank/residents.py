"""``AdapterBank``: the factors of many adapters in one stack a layer; least recently used ones leave under a budget."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from peftsum.bank.factors import LayerFactors
from peftsum.bank.rows import StackedFactors
from peftsum.exceptions import UsageError

if TYPE_CHECKING:
    import torch

SPARE = 8  # one slot in so many is allocated ahead: amortised growth for at most 1/8 more memory


class AdapterBank:
    """Resident adapters of one base.

    Two stacks a layer hold the factors of all residents, padded with zeros to the largest rank and to zero where an
    adapter leaves the layer alone: (slots, in, rank), in which order a few rows are multiplied fastest, and
    (slots, rank, out). Choosing an adapter is choosing a slot.

    Args:
        device: where the factors lie.
        max_bytes: most bytes of all stacks; None sets no limit. Adding one more lets the least recently used leave.

    Example:
        >>> bank = AdapterBank(torch.device("cpu"), max_bytes=1 << 30)
        >>> bank.add("news", read_factors(config, tensors, net))
        []
        >>> bank.stacked(["news", None])[1]
        [0, 1]
    """

    def __init__(self, device: torch.device, max_bytes: int | None = None) -> None:
        self._device = device
        self.max_bytes = max_bytes
        self._slots: OrderedDict[str, int] = OrderedDict()
        """Name to slot, least recently used first."""
        self._free: list[int] = []
        self._capacity = 0
        self._layers: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        self._shapes: dict[str, dict[str, tuple[int, int, int]]] = {}
        """Name of a resident to the (rank, in, out) of its layers."""

    def __contains__(self, name: object) -> bool:
        return name in self._slots

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def names(self) -> list[str]:
        """The residents, least recently used first."""
        return list(self._slots)

    @property
    def nbytes(self) -> int:
        """Bytes of all stacks, padding and spare slots included."""
        return sum(t.nbytes for pair in self._layers.values() for t in pair)

    def slot(self, name: str) -> int:
        """Return where an adapter lies, and count it as used now."""
        self._slots.move_to_end(name)
        return self._slots[name]

    def add(self, name: str, factors: Mapping[str, LayerFactors], keep: Sequence[str] = ()) -> list[str]:
        """Take in an adapter and return the names of those that left for it.

        Args:
            name: of the adapter; one of the same name is replaced.
            factors: its layers.
            keep: residents that must not leave.

        Raises:
            UsageError: it does not fit into ``max_bytes`` beside those that must stay; the bank is as it was.
        """
        shapes = {layer: (f.rank, f.down.shape[1], f.up.shape[1]) for layer, f in factors.items()}
        width = max((f.down.element_size() for f in factors.values()), default=4)
        left = self._leavers(name, shapes, width, keep) if self.max_bytes is not None else []
        freed = {layer for other in [name, *left] if other in self._slots for layer in self._vacate(other)}
        self._make_room(shapes, factors)
        slot = self._free.pop()
        self._slots[name], self._shapes[name] = slot, shapes
        for layer, f in factors.items():
            down, up = self._layers[layer]
            down[slot, :, : f.rank] = f.down.t()
            up[slot, : f.rank] = f.up
        self._shrink(freed)
        return left

    def remove(self, name: str) -> None:
        """Let an adapter leave; spare slots beyond one in eight and ranks that no other has give their memory back."""
        if name in self._slots:
            self._shrink(self._vacate(name))

    def _vacate(self, name: str) -> list[str]:
        """Empty an adapter's slot and return the layers it had."""
        slot = self._slots.pop(name)
        layers = list(self._shapes.pop(name))
        for layer in layers:
            for stack in self._layers[layer]:
                stack[slot].zero_()
        self._free.append(slot)
        return layers

    def stacked(self, names: Sequence[str | None]) -> tuple[StackedFactors, list[int]]:
        """Return the factors of the adapters named, each once, and for each name its place among them.

        Where they lie side by side, as one alone does, they are views into the bank's stacks; else a layer's are copied
        when they are asked for.

        Args:
            names: of residents, perhaps many times each; None is the bare base.
        """
        import torch

        chosen = sorted({self.slot(name) for name in names if name is not None})
        place = {slot: i for i, slot in enumerate(chosen)}
        rows = [place[self._slots[name]] if name is not None else len(chosen) for name in names]
        bare = None in names
        used = {layer for name in set(names) if name is not None for layer in self._shapes[name]}
        run = range(chosen[0], chosen[-1] + 1) if chosen else range(0)

        def taken(stack: torch.Tensor) -> torch.Tensor:
            if not bare and chosen == list(run):
                return stack[run.start : run.stop]
            some = stack[torch.tensor(chosen, device=self._device, dtype=torch.long)]
            return torch.cat([some, stack.new_zeros(1, *stack.shape[1:])]) if bare else some

        return StackedFactors(_Taken(self._layers, used, taken), len(chosen) + bare), rows

    def layers_of(self, name: str, *, used: bool = True) -> dict[str, LayerFactors]:
        """Return the factors of one adapter, views into the stacks, and count it as used now unless told not to."""
        slot = self.slot(name) if used else self._slots[name]
        found = {}
        for layer, (rank, _, _) in self._shapes[name].items():
            down, up = self._layers[layer]
            found[layer] = LayerFactors(down[slot, :, :rank].t(), up[slot, :rank])
        return found

    def _leavers(
        self, new: str, shapes: Mapping[str, tuple[int, int, int]], width: int, keep: Sequence[str]
    ) -> list[str]:
        """Return which residents must leave so that one more fits, least recently used first."""
        assert self.max_bytes is not None, "only a bank with a budget asks"
        candidates = [name for name in self._slots if name not in keep and name != new]
        left: list[str] = []
        while True:
            staying = [name for name in self._slots if name not in left and name != new]
            needed = _stack_bytes([*(self._shapes[name] for name in staying), shapes], len(staying) + 1, width)
            if needed <= self.max_bytes:
                return left
            if not candidates:
                raise UsageError(
                    f"an adapter needs {needed:,} bytes in the bank, which may have {self.max_bytes:,}",
                    hint="raise the byte budget, or load adapters of lower rank",
                )
            left.append(candidates.pop(0))

    def _make_room(self, shapes: Mapping[str, tuple[int, int, int]], factors: Mapping[str, LayerFactors]) -> None:
        """See to a free slot and to stacks wide enough for new layers."""
        if not self._free:
            residents = len(self._slots) + 1
            spare = residents // SPARE if self.max_bytes is None else 0
            self._free = list(range(self._capacity, residents + spare))[::-1]
            self._capacity = residents + spare
        for layer, pair in list(self._layers.items()):
            self._resize(layer, pair[1].shape[1])
        for layer, (rank, _, _) in shapes.items():
            if layer not in self._layers:
                f = factors[layer]
                self._layers[layer] = (
                    f.down.new_zeros(self._capacity, f.down.shape[1], rank, device=self._device),
                    f.up.new_zeros(self._capacity, rank, f.up.shape[1], device=self._device),
                )
            self._resize(layer, max(rank, self._layers[layer][1].shape[1]))

    def _shrink(self, freed: Iterable[str]) -> None:
        """Move the last residents into free slots where too many are free, and drop what no resident needs."""
        if not self._slots:
            self._layers, self._capacity, self._free = {}, 0, []
            return
        for layer in freed:
            ranks = [shapes[layer][0] for shapes in self._shapes.values() if layer in shapes]
            if not ranks:
                self._layers.pop(layer, None)
            elif max(ranks) < self._layers[layer][1].shape[1]:
                self._resize(layer, max(ranks))
        if len(self._free) <= max(1, len(self._slots) // SPARE) and self.max_bytes is None:
            return
        wanted = len(self._slots)
        holes = sorted(slot for slot in self._free if slot < wanted)
        for name, slot in list(self._slots.items()):
            if slot >= wanted:
                hole = holes.pop()
                for down, up in self._layers.values():
                    down[hole], up[hole] = down[slot], up[slot]
                self._slots[name] = hole
        self._capacity, self._free = wanted, []
        for layer, pair in list(self._layers.items()):
            self._resize(layer, pair[1].shape[1])

    def _resize(self, layer: str, rank: int) -> None:
        """Give a layer's stacks the bank's slots and a rank; what lies in both shapes stays."""
        down, up = self._layers[layer]
        if up.shape[:2] == (self._capacity, rank):
            return
        slots, ranks = min(self._capacity, len(up)), min(rank, up.shape[1])
        new_down = down.new_zeros(self._capacity, down.shape[1], rank)
        new_down[:slots, :, :ranks] = down[:slots, :, :ranks]
        new_up = up.new_zeros(self._capacity, rank, up.shape[2])
        new_up[:slots, :ranks] = up[:slots, :ranks]
        self._layers[layer] = (new_down, new_up)


class _Taken(Mapping[str, "tuple[torch.Tensor, torch.Tensor]"]):
    """The layers of some adapters, each taken out of its stacks when it is asked for."""

    def __init__(
        self,
        stacks: Mapping[str, tuple[torch.Tensor, torch.Tensor]],
        used: set[str],
        taken: Callable[[torch.Tensor], torch.Tensor],
    ) -> None:
        self._stacks, self._used, self._taken = stacks, used, taken

    def __getitem__(self, layer: str) -> tuple[torch.Tensor, torch.Tensor]:
        if layer not in self._used:
            raise KeyError(layer)
        down, up = self._stacks[layer]
        return self._taken(down), self._taken(up)

    def __iter__(self) -> Iterator[str]:
        return iter(self._used)

    def __len__(self) -> int:
        return len(self._used)


def _stack_bytes(residents: Sequence[Mapping[str, tuple[int, int, int]]], slots: int, width: int) -> int:
    """Return the bytes of the stacks of some residents, each layer padded to its largest rank."""
    largest: dict[str, tuple[int, int]] = {}
    for shapes in residents:
        for layer, (rank, inputs, outputs) in shapes.items():
            largest[layer] = (max(rank, largest.get(layer, (0, 0))[0]), inputs + outputs)
    return sum(rank * both for rank, both in largest.values()) * slots * width
