"""A batch as one row a side: dialogues end to end, no padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

from peftsum.engine.segments import Segments

if TYPE_CHECKING:
    import torch

    from peftsum.engine.loss import Soft


@dataclass(frozen=True)
class Packed:
    """Dialogues end to end; what the encoder, the decoder and the loss read."""

    source: torch.Tensor
    """(1, source tokens)"""
    decoder_input: torch.Tensor
    """(1, target tokens): each summary one step late, with the pad token first, as T5 has it."""
    labels: torch.Tensor
    """(target tokens,), every one real."""
    source_lengths: tuple[int, ...]
    target_lengths: tuple[int, ...]
    encoded: torch.Tensor | None = None
    """(1, source tokens, d_model): the encoder's states where they are known, and it need not run."""
    soft: Soft | None = None
    """What a teacher expects, where there is one."""

    @property
    def encoder(self) -> Segments:
        """Self-attention of the encoder."""
        return Segments(self.source_lengths, self.source_lengths)

    @property
    def decoder(self) -> Segments:
        """Self-attention of the decoder."""
        return Segments(self.target_lengths, self.target_lengths, causal=True)

    @property
    def cross(self) -> Segments:
        """Attention of each summary to its own dialogue."""
        return Segments(self.target_lengths, self.source_lengths)

    def to(self, device: torch.device | str) -> Packed:
        """Return the batch on a device."""
        return replace(
            self,
            source=self.source.to(device, non_blocking=True),
            decoder_input=self.decoder_input.to(device, non_blocking=True),
            labels=self.labels.to(device, non_blocking=True),
            encoded=self.encoded.to(device, non_blocking=True) if self.encoded is not None else None,
        )


def pack(sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], pad_token_id: int) -> Packed:
    """Return dialogues and their summaries, as token ids, as one packed batch."""
    import torch

    def row(parts: Sequence[Sequence[int]]) -> torch.Tensor:
        return torch.tensor(list(chain.from_iterable(parts)), dtype=torch.long)

    return Packed(
        row(sources).unsqueeze(0),
        row([[pad_token_id, *target[:-1]] for target in targets]).unsqueeze(0),
        row(targets),
        tuple(map(len, sources)),
        tuple(map(len, targets)),
    )
