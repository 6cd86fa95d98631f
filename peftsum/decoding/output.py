"""What comes out of decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass
class Decoded:
    """One summary as token ids."""

    ids: list[int]
    """Without the start token; the end token, where it came, is the last."""
    log_likelihoods: list[float] | None = None
    """Of each token in nats, by the model alone: before settings forbid or weight anything. None where not asked."""


def texts_of(tokenizer: PreTrainedTokenizerBase, decoded: Sequence[Decoded]) -> list[str]:
    """Return summaries as texts, without the tokens that only the model reads."""
    if not decoded:
        return []  # the tokenizer takes an empty list for one empty text
    texts = tokenizer.batch_decode([d.ids for d in decoded], skip_special_tokens=True)
    return [text.strip() for text in texts]
