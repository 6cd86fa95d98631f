"""Loss, ROUGE and error flags on a sample of the validation split, during training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from peftsum.batching import Encoded, collate, token_budget_batches
from peftsum.data import Example
from peftsum.decoding import decode
from peftsum.metrics import example_statistics
from peftsum.metrics.selection import LOSS, selectable_scores, statistic
from peftsum.optimization import summed_loss
from peftsum.prompts import Speakers
from peftsum.recipe import Generation
from peftsum.speakers import speaker_view

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def validate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    encoded: Sequence[Encoded],
    generation: Generation,
    batch_tokens: int,
    speakers: Speakers = "as_written",
) -> dict[str, float]:
    """Return ``val_loss`` in nats a target token, and the mean over dialogues of every other selectable score.

    That is ``val_rouge1``, …, ``val_heuristic_length``, …: see :func:`peftsum.metrics.selection.selectable_scores`.
    """
    written = decode(model, tokenizer, [e.source for e in encoded], generation)
    views = [speaker_view(e.dialogue, speakers) for e in examples]
    predictions = [view.restore(text) for view, text in zip(views, written, strict=True)]
    references, dialogues = [e.references for e in examples], [e.dialogue for e in examples]
    statistics = example_statistics(predictions, references, "mean", dialogues=dialogues)
    scores = [name for name in selectable_scores() if name != LOSS]
    means = {f"val_{name}": float(statistics[statistic(name)].mean()) for name in scores}
    return {f"val_{LOSS}": mean_loss(model, tokenizer.pad_token_id, encoded, batch_tokens), **means}


def mean_loss(model: PreTrainedModel, pad_token_id: int, encoded: Sequence[Encoded], batch_tokens: int) -> float:
    """Return the cross-entropy a real target token, in nats, dropout off."""
    import torch

    device = next(model.parameters()).device
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i].source))
    lengths = [(len(encoded[i].source), len(encoded[i].target)) for i in order]
    total, tokens = 0.0, 0
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for batch in token_budget_batches(lengths, batch_tokens):
                tensors = collate([encoded[order[i]] for i in batch], pad_token_id)
                labels = tensors.pop("labels").to(device)
                logits = model(**{n: t.to(device) for n, t in tensors.items()}, use_cache=False).logits
                total += summed_loss(logits, labels).item()
                tokens += sum(len(encoded[order[i]].target) for i in batch)
    finally:
        model.train(was_training)
    return total / max(1, tokens)
