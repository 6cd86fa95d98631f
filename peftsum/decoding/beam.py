"""Beam search, group by group: what transformers does to a batch at one length, for groups at lengths of their own.

A group has ``beams`` rows. Each step keeps 2 · beams candidates, of which those that end compete with the finished ones
by log-likelihood / length ** penalty, and the best of the others go on.
"""

from __future__ import annotations

from typing import Any

import torch

from peftsum.decoding.constraints import Constraints
from peftsum.decoding.output import Decoded
from peftsum.decoding.search import Search
from peftsum.decoding.state import DecoderState

IMPOSSIBLE = -1e9  # transformers' score of what must not be chosen; -inf would differ where all are


class Beams(Search):
    """Summaries in progress, a group of beams each."""

    def __init__(
        self, state: DecoderState, constraints: Constraints, start: int, capacity: int, longest: int, *, scored: bool
    ) -> None:
        super().__init__(state, constraints, start, capacity, longest, scored=scored)
        settings = constraints.generation
        self._beams = beams = settings.num_beams
        self._early = settings.early_stopping
        self._candidates = max(2, 1 + len(constraints.eos)) * beams
        options: dict[str, Any] = {"device": self._device}
        self._running = torch.full((capacity, beams, longest + 1), start, **options)
        self._done = self._running.clone()
        self._running_scores = torch.zeros(capacity, beams, **options)
        self._done_scores = torch.zeros(capacity, beams, **options)
        self._done_lengths = torch.zeros(capacity, beams, dtype=torch.long, **options)
        self._is_done = torch.zeros(capacity, beams, dtype=torch.bool, **options)
        self._improvable = torch.ones(capacity, 1, dtype=torch.bool, **options)
        self._running_likelihoods = torch.zeros(capacity, beams, longest + 1, **options)
        self._done_likelihoods = torch.zeros(capacity, beams, longest + 1, **options)
        # by the number of new tokens, in the double precision that transformers computes them in
        powers = [float(max(n, 1)) ** settings.length_penalty for n in range(longest + 2)]
        self._powers = torch.tensor(powers, dtype=torch.float32, **options)

    def admit(self, members: list[int], ends: list[int] | None) -> slice:
        """Begin summaries as :meth:`Search.admit` does."""
        groups = super().admit(members, ends)
        self._running[groups], self._done[groups] = self._start, self._start
        self._running_scores[groups] = IMPOSSIBLE  # all beams hold the same: only the first may be continued
        self._running_scores[groups, 0] = 0
        self._done_scores[groups] = IMPOSSIBLE
        self._is_done[groups], self._improvable[groups] = False, True
        return groups

    def step(self) -> list[tuple[int, Decoded]]:
        """Write one more token of each beam and return the summaries that are finished."""
        count, beams = len(self._members), self._beams
        lengths = self._lengths[:count]
        raw = self._next_log_probabilities(count)
        added = self._constrained(raw.clone() if self._scored else raw, count)
        added = (added.view(count, beams, -1) + self._running_scores[:count, :, None]).view(count, -1)
        top, index = torch.topk(added, self._candidates)  # (groups, candidates)
        vocabulary = added.shape[1] // beams
        parent, token = index // vocabulary, index % vocabulary
        sequences = _gather(self._running[:count], parent)
        sequences.scatter_(2, lengths[:, None, None].expand(-1, self._candidates, 1), token[..., None])
        likelihoods = None
        if self._scored:
            likelihoods = _gather(self._running_likelihoods[:count], parent)
            new = raw.view(count, -1).gather(1, index)[..., None]
            likelihoods.scatter_(2, lengths[:, None, None].expand(-1, self._candidates, 1), new)
        stops = torch.isin(token, self._eos) | (lengths >= self._longest)[:, None]
        chosen = self._go_on(count, top, stops, sequences, likelihoods)
        self._collect(count, top, stops, sequences, likelihoods)
        first = torch.arange(count, device=self._device)[:, None] * beams
        self._state.reorder((parent.gather(1, chosen) + first).flatten())
        lengths += 1
        self._steps = [step + 1 for step in self._steps]
        self._update_hope(count)
        return self._finish()

    def _next_log_probabilities(self, count: int) -> torch.Tensor:
        at = (self._lengths[:count] - 1)[:, None].expand(-1, self._beams)  # (groups, beams)
        tokens = self._running[:count].gather(2, at[..., None]).view(-1, 1)
        return torch.log_softmax(self._state.step(tokens, at.reshape(-1, 1), max(self._steps) - 1)[:, 0], -1)

    def _constrained(self, scores: torch.Tensor, count: int) -> torch.Tensor:
        if self._rules.none:
            return scores
        history = self._running[:count].flatten(0, 1)[:, : max(self._steps)]
        ends = self._ends[:count].repeat_interleave(self._beams) if self._rules.forced else None
        return self._rules(scores, history, self._lengths[:count].repeat_interleave(self._beams), ends)

    def _go_on(
        self,
        count: int,
        top: torch.Tensor,
        stops: torch.Tensor,
        sequences: torch.Tensor,
        likelihoods: torch.Tensor | None,
    ) -> torch.Tensor:
        """Keep the best candidates that do not end, and return which they are, (groups, beams)."""
        open_scores = top + stops.float() * IMPOSSIBLE
        chosen = torch.topk(open_scores, self._beams)[1]
        self._running[:count] = _gather(sequences, chosen)
        self._running_scores[:count] = _gather(open_scores, chosen)
        if likelihoods is not None:
            self._running_likelihoods[:count] = _gather(likelihoods, chosen)
        return chosen

    def _collect(
        self,
        count: int,
        top: torch.Tensor,
        stops: torch.Tensor,
        sequences: torch.Tensor,
        likelihoods: torch.Tensor | None,
    ) -> None:
        """Let the candidates that end compete with the finished ones; only the best ``beams`` of them may."""
        lengths = self._lengths[:count]
        ending = stops.clone()
        ending[:, self._beams :] = False
        scores = top / self._powers[lengths][:, None]
        full = self._is_done[:count].all(1, keepdim=True) & (self._early is True)
        scores = scores + full.float() * IMPOSSIBLE
        scores = scores + (~self._improvable[:count]).float() * IMPOSSIBLE
        scores = scores + (~ending).float() * IMPOSSIBLE
        merged = torch.cat([self._done_scores[:count], scores], 1)
        best = torch.topk(merged, self._beams)[1]
        new_lengths = lengths[:, None].expand(-1, self._candidates)
        self._done[:count] = _gather(torch.cat([self._done[:count], sequences], 1), best)
        self._done_scores[:count] = _gather(merged, best)
        self._done_lengths[:count] = _gather(torch.cat([self._done_lengths[:count], new_lengths], 1), best)
        self._is_done[:count] = _gather(torch.cat([self._is_done[:count], ending], 1), best)
        if likelihoods is not None:
            both = torch.cat([self._done_likelihoods[:count], likelihoods], 1)
            self._done_likelihoods[:count] = _gather(both, best)

    def _update_hope(self, count: int) -> None:
        """Find the groups whose running beams can still beat their worst finished one."""
        penalty = self._rules.generation.length_penalty
        new_tokens = self._lengths[:count] - 1
        if self._early == "never" and penalty > 0:
            new_tokens = torch.full_like(new_tokens, self._longest)
        possible = self._running_scores[:count, :1] / self._powers[new_tokens][:, None]
        worst = self._done_scores[:count].min(1, keepdim=True)[0]
        worst = torch.where(self._is_done[:count], worst, IMPOSSIBLE)
        self._improvable[:count] &= (possible > worst).any(1, keepdim=True)

    def _finish(self) -> list[tuple[int, Decoded]]:
        count = len(self._members)
        over = ~self._improvable[:count, 0]
        if self._early is True:
            over |= self._is_done[:count].all(1)
        hopeless = over.tolist()
        groups = [i for i in range(count) if hopeless[i] or self._steps[i] > self._longest]
        finished = []
        for group in groups:
            length = int(self._done_lengths[group, 0]) + 1
            likelihoods = self._done_likelihoods[group, 0, 1:length].tolist() if self._scored else None
            finished.append((self._members[group], Decoded(self._done[group, 0, 1:length].tolist(), likelihoods)))
        if groups:
            best = (self._running, self._running_scores, self._running_likelihoods, self._improvable)
            done = (self._done, self._done_scores, self._done_likelihoods, self._done_lengths, self._is_done)
            self._leave(groups, (*best, *done))
        return finished


def _gather(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Return (groups, chosen, …) from (groups, candidates, …)."""
    while index.dim() < values.dim():
        index = index.unsqueeze(-1)
    return torch.take_along_dim(values, index, 1)
