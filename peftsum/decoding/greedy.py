"""Greedy search and sampling: a finished summary leaves, and a waiting dialogue takes its place."""

from __future__ import annotations

import torch

from peftsum.decoding.constraints import Constraints, sample
from peftsum.decoding.output import Decoded
from peftsum.decoding.search import Search
from peftsum.decoding.state import DecoderState


class Greedy(Search):
    """Summaries in progress, a row each."""

    def __init__(
        self, state: DecoderState, constraints: Constraints, start: int, capacity: int, longest: int, *, scored: bool
    ) -> None:
        super().__init__(state, constraints, start, capacity, longest, scored=scored)
        self._history = torch.full((capacity, longest + 1), start, device=self._device)
        self._likelihoods = torch.zeros(capacity, longest + 1, device=self._device)

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
        self._leave(rows, (self._history, self._likelihoods))
        return finished
