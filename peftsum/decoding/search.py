"""What greedy and beam search keep in common: which summaries are in progress, and how far each is."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from peftsum.decoding.constraints import Constraints
from peftsum.decoding.output import Decoded
from peftsum.decoding.state import DecoderState


class Search:
    """Summaries in progress: a finished one leaves, and a waiting dialogue takes its place.

    Args:
        state: the caches.
        constraints: the rules.
        start: the token before the first.
        capacity: most summaries at once.
        longest: most tokens of a summary.
        scored: keep each token's log-likelihood.
    """

    def __init__(
        self, state: DecoderState, constraints: Constraints, start: int, capacity: int, longest: int, *, scored: bool
    ) -> None:
        self._state, self._rules, self._longest, self._scored = state, constraints, longest, scored
        self._start, self._device = start, state.device
        self._lengths = torch.ones(capacity, dtype=torch.long, device=self._device)
        self._ends = torch.zeros(capacity, dtype=torch.long, device=self._device)
        self._eos = torch.tensor(constraints.eos, device=self._device)
        self._members: list[int] = []
        self._steps: list[int] = []
        """Tokens of each summary so far, the start token counted; what ``_lengths`` holds, known to the host."""

    def admit(self, members: list[int], ends: list[int] | None) -> slice:
        """Begin summaries behind those in progress, and return where; the state has admitted their sources.

        Args:
            members: what the caller calls them.
            ends: how many tokens each has to have.
        """
        places = slice(len(self._members), len(self._members) + len(members))
        self._lengths[places] = 1
        if ends is not None:
            self._ends[places] = torch.tensor(ends, device=self._device)
        self._members += members
        self._steps += [1] * len(members)
        return places

    def step(self) -> list[tuple[int, Decoded]]:
        """Write one more token of each summary and return those that are finished."""
        raise NotImplementedError  # abstract: both searches override it

    def _leave(self, places: Sequence[int], tensors: Sequence[torch.Tensor]) -> None:
        """Let finished summaries go; those from the end move into their places, in these tensors too."""
        for to, source in self._state.leave(list(places)):
            for tensor in (self._lengths, self._ends, *tensors):
                tensor[to] = tensor[source]
            self._members[to], self._steps[to] = self._members[source], self._steps[source]
        del self._members[len(self._state) :], self._steps[len(self._state) :]
