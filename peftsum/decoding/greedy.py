"""Greedy search and sampling: a finished summary leaves, and a waiting dialogue takes its place."""

from __future__ import annotations

import torch

from peftsum.decoding.constraints import Constraints, sample
from peftsum.decoding.output import Decoded
from peftsum.decoding.state import DecoderState


class Greedy:
    """Summaries in progress, a row each.

    Args:
        state: the caches.
        constraints: the rules.
        start: the token before the first.
        capacity: most rows at once.
        longest: most tokens of a summary.
        scored: keep each token's log-likelihood.
    """

    def __init__(
        self, state: DecoderState, constraints: Constraints, start: int, capacity: int, longest: int, *, scored: bool
    ) -> None:
        self._state, self._rules, self._longest, self._scored = state, constraints, longest, scored
        self._device = state.device
        self._history = torch.full((capacity, longest + 1), start, device=self._device)
        self._lengths = torch.ones(capacity, dtype=torch.long, device=self._device)
        self._ends = torch.zeros(capacity, dtype=torch.long, device=self._device)
        self._likelihoods = torch.zeros(capacity, longest + 1, device=self._device)
        self._eos = torch.tensor(constraints.eos, device=self._device)
        self._members: list[int] = []
        self._steps: list[int] = []
        """Tokens of each summary so far, the start token counted; what ``_lengths`` holds, known to the host."""

    def admit(self, members: list[int], ends: list[int] | None) -> None:
        """Begin summaries behind those in progress; the state has admitted their sources.

        Args:
            members: what the caller calls them.
            ends: how many tokens each has to have.
        """
        rows = slice(len(self._members), len(self._members) + len(members))
        self._lengths[rows] = 1
        if ends is not None:
            self._ends[rows] = torch.tensor(ends, device=self._device)
        self._members += members
        self._steps += [1] * len(members)

    def step(self) -> list[tuple[int, Decoded]]:
        """Write one more token of each summary and return those that are finished."""
        count = len(self._members)
        history, lengths = self._history[:count], self._lengths[:count]
        at = (lengths - 1)[:, None]
        logits = self._state.step(history.gather(1, at), at, max(self._steps) - 1)[:, 0]
        likelihoods = torch.log_softmax(logits, -1) if self._scored else None
        ends = self._ends[:count] if self._rules.forced else None
        window = history[:, : max(self._steps)]
        scores = logits if self._rules.none else self._rules(logits, window, lengths, ends)
        chosen = sample(scores, self._rules.generation) if self._rules.generation.do_sample else scores.argmax(-1)
        history.scatter_(1, lengths[:, None], chosen[:, None])
        if likelihoods is not None:
            self._likelihoods[:count].scatter_(1, lengths[:, None], likelihoods.gather(1, chosen[:, None]))
        lengths += 1
        self._steps = [step + 1 for step in self._steps]
        ended = torch.isin(chosen, self._eos).tolist()
        return self._finish([i for i in range(count) if ended[i] or self._steps[i] > self._longest])

    def _finish(self, rows: list[int]) -> list[tuple[int, Decoded]]:
        if not rows:
            return []
        finished = []
        for row in rows:
            length = self._steps[row]
            likelihoods = self._likelihoods[row, 1:length].tolist() if self._scored else None
            finished.append((self._members[row], Decoded(self._history[row, 1:length].tolist(), likelihoods)))
        moves = self._state.leave(rows)
        for to, source in moves:
            for tensor in (self._history, self._lengths, self._ends, self._likelihoods):
                tensor[to] = tensor[source]
            self._members[to], self._steps[to] = self._members[source], self._steps[source]
        del self._members[len(self._state) :], self._steps[len(self._state) :]
        return finished
