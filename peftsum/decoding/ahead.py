"""Encoder states of dialogues that join the decoder later: encoded in full batches, of one adapter each on a CPU.

Of a mix of many adapters few dialogues of each join at a time. Encoded only then, every batch would be small, and each
adapter would be merged into the weights again and again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from peftsum.decoding.encoder import Encoder

ENCODE_TOKENS = 2048  # source positions the encoder takes at once on a CPU: what it computes stays near its caches
AHEAD_TOKENS = 32_768  # most positions that wait: 100 MB in fp32 on Flan-T5-base


class EncodedAhead:
    """Gives the encoder's states of dialogues, and encodes others of the same adapter beside one that has to be.

    Args:
        encoder: of the plan.
        sources: token ids of every dialogue.
        order: the dialogues in the order in which they will be asked for.
        slots: which stacked adapter each dialogue has.
        alike: the adapters leave the encoder alone, so that equal sources have equal states.
    """

    def __init__(
        self,
        encoder: Encoder,
        sources: Sequence[Sequence[int]],
        order: Sequence[int],
        slots: Sequence[int],
        *,
        alike: bool,
    ) -> None:
        self._encoder, self._sources, self._slots, self._alike = encoder, sources, slots, alike
        self._budget = ENCODE_TOKENS if encoder.flat else 4 * ENCODE_TOKENS
        self._queue_of = slots if encoder.flat and not alike else [0] * len(slots)
        self._queues: dict[int, list[int]] = {}  # by adapter, the next one last
        for member in reversed(order):
            self._queues.setdefault(self._queue_of[member], []).append(member)
        self._ready: dict[int, torch.Tensor] = {}
        self.waiting = 0
        """Source positions that are encoded and not asked for yet."""

    def take(self, members: Sequence[int]) -> list[torch.Tensor]:
        """Return the states of dialogues, (tokens, d_model) each.

        Args:
            members: the next dialogues in the order given.
        """
        for member in members:
            if member not in self._ready:
                self._encode(self._queues[self._queue_of[member]])
        self.waiting -= sum(len(self._sources[member]) for member in members)
        return [self._ready.pop(member) for member in members]

    def _encode(self, queue: list[int]) -> None:
        """Encode the next dialogues of a queue, as many as go into a batch and may wait; equal ones once."""
        room = min(self._budget, AHEAD_TOKENS - self.waiting)
        some: list[int] = []
        while queue and (not some or len(self._sources[queue[-1]]) <= room):
            some.append(queue.pop())
            room -= len(self._sources[some[-1]])
            self.waiting += len(self._sources[some[-1]])
        keys = [(0 if self._alike else self._slots[member], tuple(self._sources[member])) for member in some]
        distinct = list(dict.fromkeys(keys))
        states = dict(zip(distinct, self._encoder([k[1] for k in distinct], [k[0] for k in distinct]), strict=True))
        self._ready.update((member, states[key]) for member, key in zip(some, keys, strict=True))
