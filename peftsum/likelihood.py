"""How likely a model finds given summaries, for judging them by the model at hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from peftsum.batching import Encoded, collate, token_budget_batches
from peftsum.progress import task

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BATCH_TOKENS = 8192  # no gradients are kept


def token_log_likelihoods(
    model: PreTrainedModel, pad_token_id: int, encoded: Sequence[Encoded], *, title: str = ""
) -> list[float]:
    """Return for each example the mean log-probability of a target token, in nats; dropout off.

    Args:
        model: base or ``PeftModel``.
        pad_token_id: of its tokenizer.
        encoded: dialogues with the summaries to judge as their targets.
        title: shown with a progress bar when given.
    """
    import torch
    from torch.nn.functional import cross_entropy

    device = next(model.parameters()).device
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i].source))
    lengths = [(len(encoded[i].source), len(encoded[i].target)) for i in order]
    found = [0.0] * len(encoded)
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(), task(title, len(encoded), show=bool(title)) as progress:
            for batch in token_budget_batches(lengths, BATCH_TOKENS):
                rows = [order[i] for i in batch]
                tensors = collate([encoded[row] for row in rows], pad_token_id)
                labels = tensors.pop("labels").to(device)  # (batch, target_len), -100 = ignored
                logits = model(**{n: t.to(device) for n, t in tensors.items()}, use_cache=False).logits
                losses = cross_entropy(logits.float().transpose(1, 2), labels, reduction="none")  # 0 where ignored
                means = losses.sum(1) / (labels >= 0).sum(1).clamp_min(1)
                for row, loss in zip(rows, means.tolist(), strict=True):
                    found[row] = -loss
                progress.advance(len(rows))
    finally:
        model.train(was_training)
    return found
