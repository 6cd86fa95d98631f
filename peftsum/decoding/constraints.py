"""What a recipe's generation settings do to the scores of the next token, for rows at unlike positions.

The same rules, in the same order, as transformers applies to a batch whose rows are all equally long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from peftsum.recipe import Generation

BANNED = float("-inf")


@dataclass(frozen=True)
class Constraints:
    """The rules of one call."""

    generation: Generation
    eos: tuple[int, ...]
    """Token ids that end a summary."""
    forced: bool = False
    """Rows have a length at which they must end, and before which they must not."""

    @property
    def none(self) -> bool:
        """Tell whether scores stay as they are, sampling aside."""
        g = self.generation
        return not (self.forced or g.min_new_tokens or g.no_repeat_ngram_size or g.repetition_penalty != 1.0)

    def __call__(
        self, scores: torch.Tensor, history: torch.Tensor, lengths: torch.Tensor, ends: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the scores (rows, vocabulary), changed in place or not.

        Args:
            scores: logits or log-probabilities.
            history: (rows, at least the longest length), what each summary holds, its start token first.
            lengths: (rows,), tokens of the summary so far, the start token counted.
            ends: (rows,), how many tokens each has to have without the start token, where that is forced.
        """
        g = self.generation
        if g.repetition_penalty != 1.0:
            scores = self._penalised(scores, history, lengths)
        if g.no_repeat_ngram_size:
            scores = self._without_repeats(scores, history, lengths)
        if g.min_new_tokens:
            early = (lengths - 1 < g.min_new_tokens)[:, None]
            scores[:, list(self.eos)] = scores[:, list(self.eos)].masked_fill(early, BANNED)
        if ends is not None:
            last = (lengths == ends)[:, None]
            scores = scores.masked_fill(last, BANNED)
            scores[:, list(self.eos)] = torch.where(last, 0.0, BANNED).expand(-1, len(self.eos))
        return scores

    def _penalised(self, scores: torch.Tensor, history: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Divide what speaks for a token that was written, and multiply what speaks against it (Keskar et al. 2019)."""
        written = self._one_more(scores)
        positions = torch.arange(history.shape[1], device=scores.device)
        real = history.masked_fill(positions >= lengths[:, None], scores.shape[1])
        written.scatter_(1, real, True)
        penalty = self.generation.repetition_penalty
        penalised = torch.where(scores < 0, scores * penalty, scores / penalty)
        return torch.where(written[:, :-1], penalised, scores)

    def _without_repeats(self, scores: torch.Tensor, history: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Ban what would complete an n-gram that stands in the summary already."""
        size, longest = self.generation.no_repeat_ngram_size, history.shape[1]
        if longest < size:
            return scores
        starts = lengths[:, None] + torch.arange(1 - size, 0, device=scores.device)  # where the last n - 1 tokens stand
        prefix = history.gather(1, starts.clamp_min(0))  # (rows, n - 1)
        windows = history.unfold(1, size, 1)  # (rows, windows, n)
        ends = torch.arange(size - 1, longest, device=scores.device)
        known = (ends < lengths[:, None]) & (lengths >= size)[:, None]
        matches = (windows[..., :-1] == prefix[:, None]).all(-1) & known
        banned = self._one_more(scores)
        banned.scatter_(1, torch.where(matches, windows[..., -1], scores.shape[1]), True)
        return scores.masked_fill(banned[:, :-1], BANNED)

    @staticmethod
    def _one_more(scores: torch.Tensor) -> torch.Tensor:
        """Return (rows, vocabulary + 1) of False; the last column takes what concerns no token."""
        return torch.zeros(scores.shape[0], scores.shape[1] + 1, dtype=torch.bool, device=scores.device)


def sample(scores: torch.Tensor, generation: Generation) -> torch.Tensor:
    """Return a token a row, (rows,), drawn by the recipe's temperature, top_k and top_p.

    Args:
        scores: (rows, vocabulary), constrained logits.
        generation: the settings.
    """
    if generation.temperature != 1.0:
        scores = scores / generation.temperature
    if generation.top_k:
        least = torch.topk(scores, min(generation.top_k, scores.shape[-1]))[0][:, -1:]
        scores = scores.masked_fill(scores < least, BANNED)
    if generation.top_p < 1.0:
        ordered, order = torch.sort(scores)
        unlikely = ordered.softmax(-1).cumsum(-1) <= 1 - generation.top_p
        unlikely[:, -1:] = False  # the likeliest always stays
        scores = scores.masked_fill(unlikely.scatter(1, order, unlikely), BANNED)
    return torch.multinomial(scores.softmax(-1), 1).squeeze(1)


def eos_ids(eos: int | Sequence[int] | None) -> tuple[int, ...]:
    """Return the ids that end a summary, however a configuration has them."""
    if eos is None:
        return ()
    return (eos,) if isinstance(eos, int) else tuple(eos)
