"""What the decoder remembers of the summaries in progress: static self- and cross-caches, filled and left row by row.

A group is one dialogue with its beams (one in greedy search); its rows stand side by side. The cross-cache has one
entry a group, since beams read the same source. A group that leaves is replaced by the last one, so that the groups in
progress are always the first ones and a step looks at plain slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from peftsum.bank import EachRow, RowGroups
from peftsum.decoding.encoder import by_adapter
from peftsum.decoding.graphs import RecordedSteps, StepShape, recorder
from peftsum.decoding.plan import DecoderLayer, Plan

HIDDEN = float("-inf")
SAME_BITS = 3  # leading bits of the number of groups that a step tells apart: 1 to 8, 10, 12, 14, 16, 20, …


class DecoderState:
    """Caches of the groups in progress.

    Args:
        plan: the model.
        groups: most groups at once.
        beams: rows a group.
        longest_source: tokens of the longest source to come.
        longest_output: tokens of the longest summary, those of a draft included.
        adapters: how many are stacked; 0 where no row has one of its own.
    """

    def __init__(
        self, plan: Plan, groups: int, beams: int, longest_source: int, longest_output: int, adapters: int = 0
    ) -> None:
        self._plan, self._beams, self._adapters, self._longest_output = plan, beams, adapters, longest_output
        self._allocate(groups, longest_source)
        self.lengths: list[int] = []
        """Tokens of each group's source."""
        self._slots: list[int] = []
        self._by_position = _bias_by_position(plan, longest_output)
        self._rows: RowGroups | None = None

    def _allocate(self, groups: int, longest_source: int) -> None:
        heads, width = self._plan.heads
        layers = len(self._plan.decoder)
        options: dict[str, Any] = {"dtype": self._plan.dtype, "device": self._plan.device}
        self._own = torch.zeros(2, layers, groups * self._beams, heads, self._longest_output, width, **options)
        self._cross = torch.zeros(2, layers, groups, heads, longest_source, width, **options)
        self._hidden = torch.zeros(groups, longest_source, **options)  # -inf beyond a source's end
        self._recorded = self._new_recorded()

    def _new_recorded(self) -> RecordedSteps | None:
        """Return recordings of steps on the caches and stacked adapters as they now lie, where any are made."""
        self._stacks = self._plan.stacks
        record = recorder(self._plan.device) if self._plan.recordable else None
        return RecordedSteps(record, self.groups * self._beams, self._plan.device) if record is not None else None

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def groups(self) -> int:
        """Most groups at once."""
        return self._hidden.shape[0]

    @property
    def longest_source(self) -> int:
        """Most tokens of a source."""
        return self._hidden.shape[1]

    @property
    def device(self) -> torch.device:
        """Where the caches lie."""
        return self._plan.device

    def admit(self, states: Sequence[torch.Tensor], slots: Sequence[int]) -> None:
        """Take in groups behind those in progress.

        Args:
            states: the encoder's, (tokens, d_model) a group.
            slots: which stacked adapter each has.
        """
        first, lengths = len(self), [len(each) for each in states]
        for members in by_adapter(slots) if self._plan.flat else [list(range(len(states)))]:
            together = [states[i] for i in members]
            x = torch.cat(together)[None] if self._plan.flat else pad_sequence(together, batch_first=True)
            rows = self.groups_of([slots[i] for i in (members[:1] if self._plan.flat else members)])
            self._remember(x, rows, [first + i for i in members], [lengths[i] for i in members])
        positions = torch.arange(self._hidden.shape[1], device=self._plan.device)
        beyond = positions >= torch.tensor(lengths, device=self._plan.device)[:, None]
        hidden = self._hidden[first : first + len(states)]
        hidden.copy_(torch.zeros_like(hidden).masked_fill_(beyond, HIDDEN))
        self.lengths += lengths
        self._slots += slots
        self._rows = None

    def _remember(self, x: torch.Tensor, rows: RowGroups | None, groups: list[int], lengths: list[int]) -> None:
        """Write the keys and values of sources into the cross-cache.

        Args:
            x: the encoder's states: source behind source, (1, tokens, d_model), or padded, (groups, longest, d_model).
            rows: their adapters.
            groups: where they go.
            lengths: tokens of each.
        """
        for i, layer in enumerate(self._plan.decoder):
            assert layer.cross.memory is not None, "cross-attention reads the encoder"
            for cache, part in zip(self._cross[:, i], layer.cross.memory(x, rows), strict=True):
                part = part.view(*part.shape[:2], *self._plan.heads)
                each = torch.split(part[0], lengths) if self._plan.flat else part
                for group, length, own in zip(groups, lengths, each, strict=True):
                    cache[group, :, :length] = own[:length].transpose(0, 1)

    def reshape(self, groups: int, longest_source: int) -> None:
        """Make room for more groups of shorter sources; those in progress stay.

        Args:
            groups: most groups at once, no fewer than are in progress.
            longest_source: no less than the sources in progress have.
        """
        count, rows, longest = len(self), len(self) * self._beams, max(self.lengths, default=0)
        own, cross, hidden = self._own, self._cross, self._hidden
        self._allocate(groups, longest_source)
        self._own[:, :, :rows] = own[:, :, :rows]
        self._cross[:, :, :count, :, :longest] = cross[:, :, :count, :, :longest]
        self._hidden[:count] = hidden[:count, :longest_source]

    def leave(self, groups: Sequence[int]) -> list[tuple[int, int]]:
        """Let groups go and return the moves (to, from) that closed the gaps; what is kept beside must move alike."""
        gone = set(groups)
        staying = len(self) - len(gone)
        movers = [i for i in range(staying, len(self)) if i not in gone]
        moves = list(zip(sorted(g for g in gone if g < staying), movers, strict=True))
        if moves:
            to, source = ([move[side] for move in moves] for side in (0, 1))
            longest = max(self.lengths[i] for i in source)
            self._cross[:, :, to, :, :longest] = self._cross[:, :, source, :, :longest]
            self._hidden[to] = self._hidden[source]
            own = self._own.view(*self._own.shape[:2], -1, self._beams, *self._own.shape[3:])
            own[:, :, to] = own[:, :, source]
        for values in (self.lengths, self._slots):
            for to_, from_ in moves:
                values[to_] = values[from_]
            del values[staying:]
        self._rows = None
        return moves

    def reorder(self, parents: torch.Tensor) -> None:
        """Give each row the past of another row of its group.

        Args:
            parents: (rows,), the row whose past each takes.
        """
        changed = (parents != torch.arange(len(parents), device=parents.device)).nonzero().squeeze(1)
        if len(changed):
            self._own[:, :, changed] = self._own[:, :, parents[changed]]

    def step(self, tokens: torch.Tensor, positions: torch.Tensor, longest: int) -> torch.Tensor:
        """Return the logits after each token, (rows, tokens a row, vocabulary), in fp32; keys and values are kept.

        Args:
            tokens: (rows, tokens a row), the newest of each summary.
            positions: the same shape: where each stands in its summary.
            longest: the largest position, known to the caller without asking the device.
        """
        if self._stacks != self._plan.stacks:
            self._recorded = self._new_recorded()
        count, groups = len(tokens), self._computed()
        shape = StepShape(groups, longest + 1, max(self.lengths), masked=min(self.lengths) < max(self.lengths))
        if self._recorded is not None and tokens.shape[1] == 1:
            shape = shape.rounded(self._longest_output, self.longest_source)
            slots = self._slots_of(groups, 1)
            updates = self.has_updates(slots)
            return self._recorded.step(self._logits, tokens, positions, shape, slots, updates=updates)[:count, None]
        beyond = groups * self._beams - count
        if beyond:
            tokens, positions = (functional.pad(each, (0, 0, 0, beyond)) for each in (tokens, positions))
        logits = self._logits(tokens, positions, shape, self._row_groups(groups, tokens.shape[1]))
        return logits.view(*tokens.shape, -1)[:count]

    def _logits(
        self, tokens: torch.Tensor, positions: torch.Tensor, shape: StepShape, rows: RowGroups | EachRow | None
    ) -> torch.Tensor:
        """Return (rows · tokens, vocabulary); tokens and positions are (rows, tokens)."""
        plan = self._plan
        states = plan.embed(tokens.flatten())  # (rows · tokens, d_model)
        bias = self._by_position[positions][..., : shape.keys]  # (rows, tokens, heads, keys)
        bias = bias.transpose(1, 2)
        for i, layer in enumerate(plan.decoder):
            states = self._own_attention(layer, i, states, positions, bias, rows)
            states = self._cross_attention(layer, i, states, rows, shape)
            states = layer.feed_forward(states, rows)
        return plan.logits(states, rows)

    def _computed(self) -> int:
        """Return how many groups a step computes: few different counts, what is behind the last ignored.

        For each new count oneDNN makes its kernels anew: five products of T5 took 2.5 to 3.2 ms in place of 0.7 to 1.4;
        and a recorded step has one count.
        """
        count = len(self)
        if self._plan.device.type != "cpu" and self._recorded is None:
            return count
        each = 1 << max(0, count.bit_length() - SAME_BITS)
        return min(self.groups, -(-count // each) * each)

    def _own_attention(
        self, layer: DecoderLayer, i: int, states: torch.Tensor, positions: torch.Tensor, bias: torch.Tensor, rows: Any
    ) -> torch.Tensor:
        count, tokens = positions.shape
        heads, width = self._plan.heads
        q, k, v = (part.view(count, tokens, heads, width) for part in layer.own.queries(layer.own.norm(states), rows))
        index = torch.arange(count, device=positions.device)[:, None]
        for cache, new in zip(self._own[:, i], (k, v), strict=True):
            cache[index, :, positions] = new
        keys, values = (cache[:count, :, : bias.shape[-1]] for cache in self._own[:, i])
        scores = torch.matmul(q.transpose(1, 2), keys.transpose(2, 3))  # (rows, heads, tokens, keys)
        mixed = torch.matmul(torch.softmax(scores + bias, dim=-1), values)
        mixed = mixed.transpose(1, 2).reshape(count * tokens, heads * width)
        return layer.own.output.plus(states, mixed, rows)

    def _cross_attention(
        self, layer: DecoderLayer, i: int, states: torch.Tensor, rows: Any, shape: StepShape
    ) -> torch.Tensor:
        heads, width = self._plan.heads
        groups, longest = shape.groups, shape.source
        (q,) = layer.cross.queries(layer.cross.norm(states), rows)
        q = q.view(groups, -1, heads, width).transpose(1, 2)  # beams and their tokens are queries of one source
        keys, values = (cache[:groups, :, :longest] for cache in self._cross[:, i])
        scores = torch.matmul(q, keys.transpose(2, 3))  # (groups, heads, rows a group, source)
        if shape.masked:
            scores += self._hidden[:groups, None, None, :longest]
        mixed = torch.matmul(torch.softmax(scores, dim=-1), values)
        mixed = mixed.transpose(1, 2).reshape(-1, heads * width)
        return layer.cross.output.plus(states, mixed, rows)

    def groups_of(self, slots: Sequence[int]) -> RowGroups | None:
        """Return which rows go with which stacked adapters, None where no row has one of its own."""
        return RowGroups(slots, self._adapters, self._plan.device) if self.has_updates(slots) else None

    def has_updates(self, slots: Sequence[int]) -> bool:
        """Tell whether rows of these stacked adapters have updates beside the weights."""
        return self._adapters > 0

    def _row_groups(self, groups: int, tokens: int) -> RowGroups | None:
        if not self._adapters:
            return None
        if self._rows is None or len(self._rows.slots) != groups * self._beams * tokens:
            self._rows = self.groups_of(self._slots_of(groups, tokens))
        return self._rows

    def _slots_of(self, groups: int, tokens: int) -> list[int]:
        """Return the adapter of each row of a step."""
        slots = self._slots + self._slots[-1:] * (groups - len(self))
        return [slot for slot in slots for _ in range(self._beams * tokens)]


def _bias_by_position(plan: Plan, longest: int) -> torch.Tensor:
    """Return (queries, heads, keys): T5's bias, -inf for keys that come after the query."""
    bias = plan.decoder_bias.compute_bias(longest, longest)[0].detach().to(plan.dtype)  # (heads, queries, keys)
    later = torch.ones(longest, longest, dtype=torch.bool, device=bias.device).triu(1)
    masked: torch.Tensor = bias.masked_fill(later, HIDDEN).transpose(0, 1).contiguous()
    return masked
