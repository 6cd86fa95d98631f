"""Decoding for a server: rows of any adapter join and leave between steps, and no call ends the batch.

The weights are laid out once for as long as the server runs. Adapters in use have a seat: a place in stacks that are
written in place when another adapter comes, so that a new one costs a copy of its own factors and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from peftsum.bank import LayerFactors, StackedFactors
from peftsum.decoding.beam import Beams
from peftsum.decoding.constraints import Constraints, eos_ids
from peftsum.decoding.encoder import Encoder
from peftsum.decoding.greedy import Greedy
from peftsum.decoding.linear import Projection
from peftsum.decoding.output import Decoded
from peftsum.decoding.plan import Plan
from peftsum.decoding.state import DecoderState
from peftsum.recipe import Generation

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BARE = 0
"""The seat of the bare base: always zeros."""


class LastingPlan(Plan):
    """A base's weights, laid out once, whose stacked adapters can be exchanged.

    Args:
        model: the base.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.named: list[tuple[Projection, list[str]]] = []
        """Each projection with the names of its layers."""
        super().__init__(model, StackedFactors({}, 2), many=True)  # of two, so that none is merged into the weights
        self.named.append((self.head, ["lm_head"]))

    def _group(self, owner: Any, path: str, *names: str) -> Projection:
        projection = super()._group(owner, path, *names)
        self.named.append((projection, [f"{path}.{name}" for name in names]))
        return projection


class Seats:
    """The adapters of the rows in progress, and of those before them for as long as nobody needs their seat.

    Args:
        plan: whose projections hold the stacks; None where no row will ever need a seat.
        count: most seats, that of the bare base included; they are made as they are needed.
    """

    def __init__(self, plan: LastingPlan | None, count: int) -> None:
        self._plan, self.count = plan, count
        self._named = plan.named if plan is not None else []
        self._made = 1
        self._at: dict[str, int] = {}
        """Adapter to seat, the least recently taken first."""
        self._rows: Counter[str] = Counter()
        self._shapes: dict[str, tuple[int, int, int]] = {}
        """Layer to the largest rank seen, in and out."""

    @property
    def nbytes(self) -> int:
        """Bytes of the stacks."""
        updates = [projection.update for projection, _ in self._named if projection.update is not None]
        return sum(update.down.nbytes + sum(up.nbytes for up in update.ups) for update in updates)

    def take(self, name: str | None, factors: Callable[[], Mapping[str, LayerFactors]]) -> int | None:
        """Return the seat for one more row of an adapter; None where rows in progress have them all.

        Args:
            name: of the adapter; None is the bare base.
            factors: reads its layers, where it has no seat yet.
        """
        if name is None:
            return BARE
        seat = self._at.pop(name, None)
        if seat is None:
            seat = self._free_seat()
            if seat is None:
                return None
            self._write(seat, factors())
        self._at[name] = seat
        self._rows[name] += 1
        return seat

    def leave(self, name: str | None) -> None:
        """Let one row of an adapter go; it keeps its seat until another needs it."""
        if name is not None:
            self._rows[name] -= 1

    def forget(self, name: str) -> None:
        """Free the seat of an adapter that no row has; without any adapter the stacks' memory goes back."""
        self._at.pop(name, None)
        self._rows.pop(name, None)
        if not self._at:
            self._shapes, self._made = {}, 1
            self._exchange([[None] * len(names) for _, names in self._named])

    def _free_seat(self) -> int | None:
        taken = set(self._at.values())
        free = next((seat for seat in range(1, self.count) if seat not in taken), None)
        if free is not None:
            self._make(free + 1)
            return free
        idle = next((name for name in self._at if not self._rows[name]), None)
        return self._at.pop(idle) if idle is not None else None

    def _make(self, seats: int) -> None:
        """See to so many seats; their number doubles, so that few copies are made on the way."""
        if seats > self._made:
            self._made = min(self.count, max(seats, 2 * self._made))
            self._restack(self._shapes)

    def _write(self, seat: int, factors: Mapping[str, LayerFactors]) -> None:
        self._widen(factors)
        for projection, names in self._named:
            update = projection.update
            if update is None:
                continue
            update.down[seat].zero_()
            starts = dict(zip(update.which, _starts(update.ranks), strict=True))
            for which, up in zip(update.which, update.ups, strict=True):
                up[seat].zero_()
                found = factors.get(names[which])
                if found is not None:
                    update.down[seat, :, starts[which] : starts[which] + found.rank] = found.down.t()
                    up[seat, : found.rank] = found.up

    def _widen(self, factors: Mapping[str, LayerFactors]) -> None:
        """See to stacks for all layers of an adapter, of its rank at least; what is seated is copied over."""
        wanted = dict(self._shapes)
        for layer, f in factors.items():
            rank = max(f.rank, wanted[layer][0] if layer in wanted else 0)
            wanted[layer] = (rank, f.down.shape[1], f.up.shape[1])
        if wanted != self._shapes:
            self._restack(wanted)

    def _restack(self, wanted: Mapping[str, tuple[int, int, int]]) -> None:
        """Make stacks of these shapes and of the seats there are, and copy over what is seated."""
        stacks = []
        for projection, names in self._named:
            before = _layers_of(projection)
            stacks.append(
                [self._stack(wanted[name], before.get(i)) if name in wanted else None for i, name in enumerate(names)]
            )
        self._exchange(stacks)
        self._shapes = dict(wanted)

    def _exchange(self, stacks: Sequence[Sequence[tuple[torch.Tensor, torch.Tensor] | None]]) -> None:
        """Give each projection other stacks, and let those who know where the old ones lie notice."""
        for (projection, _), of in zip(self._named, stacks, strict=True):
            projection.stack(of)
        if self._plan is not None:
            self._plan.stacks += 1

    def _stack(
        self, shape: tuple[int, int, int], before: tuple[torch.Tensor, torch.Tensor] | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        assert self._plan is not None, "rows have seats"
        rank, inputs, outputs = shape
        options: dict[str, Any] = {"dtype": self._plan.dtype, "device": self._plan.device}
        down = torch.zeros(self._made, inputs, rank, **options)
        up = torch.zeros(self._made, rank, outputs, **options)
        if before is not None:
            seats, ranks = before[1].shape[:2]
            down[:seats, :, :ranks], up[:seats, :ranks] = before
        return down, up


def _layers_of(projection: Projection) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
    """Return the stacks of a projection by the place of their layer in it."""
    update = projection.update
    if update is None:
        return {}
    parts = torch.split(update.down, update.ranks, dim=2)
    return {which: (down, up) for which, down, up in zip(update.which, parts, update.ups, strict=True)}


def _starts(ranks: Sequence[int]) -> list[int]:
    return [sum(ranks[:i]) for i in range(len(ranks))]


@dataclass(frozen=True)
class Newcomer:
    """A row that joins."""

    member: int
    """What the caller calls it."""
    source: Sequence[int]
    seat: int
    most: int
    """Most tokens of its summary."""


class _SeatedState(DecoderState):
    """Caches whose rows name seats; where all rows are of the bare base they have none."""

    def has_updates(self, slots: Sequence[int]) -> bool:
        return any(slots)


class _OwnLengths(Greedy):
    """Greedy search whose rows have longest lengths of their own."""

    most: dict[int, int]

    def step(self) -> list[tuple[int, Decoded]]:
        found = super().step()
        return found + self._finish([i for i, m in enumerate(self._members) if self._steps[i] > self.most[m]])

    def drop(self, members: set[int]) -> list[int]:
        """Let rows go, and return those that are gone at once: all of them."""
        return [m for m, _ in self._finish([i for i, member in enumerate(self._members) if member in members])]


class _DroppableBeams(Beams):
    def drop(self, members: set[int]) -> list[int]:
        """Let groups have no hope of a better summary, so that they leave at the next step; none is gone at once."""
        for i, member in enumerate(self._members):
            if member in members:
                self._improvable[i] = False
        return []


class Lane:
    """Rows in progress under the same settings: others join between steps.

    Args:
        plan: the weights.
        seats: the adapters' seats.
        generation: the settings; in greedy search a row may have a shorter longest length.
        capacity: most summaries at once.
        longest_source: tokens of the longest source to come.
        longest_output: tokens of the longest summary to come.
    """

    def __init__(
        self,
        plan: LastingPlan,
        seats: Seats,
        generation: Generation,
        capacity: int,
        longest_source: int,
        longest_output: int,
    ) -> None:
        self._plan = plan
        beams = generation.num_beams
        self.capacity = max(1, capacity // beams)
        self._state = _SeatedState(plan, self.capacity, beams, longest_source, longest_output, seats.count)
        self._encoder = Encoder(plan, longest_source, self._state.groups_of)
        rules = Constraints(generation, eos_ids(plan.config.eos_token_id))
        kind = _OwnLengths if beams == 1 else _DroppableBeams
        start = plan.config.decoder_start_token_id
        self._search = kind(self._state, rules, start, self.capacity, longest_output, scored=True)
        self._most: dict[int, int] = {}
        self._dropped: set[int] = set()
        if isinstance(self._search, _OwnLengths):
            self._search.most = self._most

    def __len__(self) -> int:
        return len(self._state)

    @property
    def free(self) -> int:
        """How many more rows may join."""
        return self.capacity - len(self._state)

    def admit(self, rows: Sequence[Newcomer]) -> None:
        """Encode the sources of rows and let them join behind those in progress."""
        seats = [row.seat for row in rows]
        self._state.admit(self._encoder([row.source for row in rows], seats), seats)
        self._most.update((row.member, row.most) for row in rows)
        self._search.admit([row.member for row in rows], None)

    def step(self) -> list[tuple[int, Decoded]]:
        """Write one more token of each summary and return those that are finished."""
        found = []
        for member, decoded in self._search.step():
            del self._most[member]
            if member in self._dropped:
                self._dropped.remove(member)
            else:
                found.append((member, decoded))
        return found

    def drop(self, members: set[int]) -> None:
        """Let rows go without their summaries."""
        for member in self._search.drop(members):
            del self._most[member]
        self._dropped |= members & self._most.keys()


def likelihood(plan: LastingPlan, seats: Seats, source: Sequence[int], target: Sequence[int], seat: int) -> float:
    """Return the mean log-probability of a given summary's tokens behind its source, in nats.

    Args:
        plan: the weights.
        seats: the adapters' seats.
        source: token ids of the prompt with its dialogue.
        target: token ids of the summary, the end token included.
        seat: of the adapter.
    """
    state = _SeatedState(plan, 1, 1, len(source), len(target), seats.count)
    state.admit(Encoder(plan, len(source), state.groups_of)([source], [seat]), [seat])
    device = plan.device
    before = torch.tensor([[plan.config.decoder_start_token_id, *target[:-1]]], device=device)
    positions = torch.arange(len(target), device=device)[None]
    logits = state.step(before, positions, len(target) - 1)[0]  # (tokens, vocabulary)
    chosen = torch.log_softmax(logits, -1).gather(1, torch.tensor(target, device=device)[:, None])
    return float(chosen.mean())
