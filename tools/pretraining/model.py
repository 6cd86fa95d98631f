"""The shape of the built-in base, its first weights, a fast training pass, and its saved form."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from transformers import T5Config, T5ForConditionalGeneration
from transformers.activations import NewGELUActivation
from transformers.models.t5 import modeling_t5

from peftsum.engine.attention import shared_bias_attention
from pretraining.batches import KINDS, Batch
from pretraining.tokenizer import VOCAB_SIZE

SHAPE = {
    "vocab_size": VOCAB_SIZE, "d_model": 256, "d_kv": 32, "d_ff": 512, "num_layers": 4, "num_decoder_layers": 3,
    "num_heads": 8,
}  # fmt: skip


def build(seed: int, shape: Mapping[str, int] = SHAPE) -> T5ForConditionalGeneration:
    """A new model, T5 v1.1 with an untied head, no dropout while it is pretrained, in fp32.

    `T5Config(tie_word_embeddings=False)` ties in transformers 5, so the head is given its own weight here.
    """
    torch.manual_seed(seed)
    config = T5Config(
        **shape, feed_forward_proj="gated-gelu", tie_word_embeddings=False, dropout_rate=0.0,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    config._attn_implementation = "eager"
    model = T5ForConditionalGeneration(config)
    # The head starts as the embedding, scaled by 1/sqrt(d_model) as the decoder's output is not (unit weights would
    # start at a loss near 100). So copying a piece is one map that all pieces share, instead of 8 192 rows learned one
    # by one; from the first step on the two are free to part.
    model.lm_head.weight = nn.Parameter(model.shared.weight.detach() * config.d_model**-0.5)
    return model


def _rms_norm(self: modeling_t5.T5LayerNorm, hidden_states: torch.Tensor) -> torch.Tensor:
    return functional.rms_norm(hidden_states, (hidden_states.shape[-1],), self.weight, self.variance_epsilon)


def _gelu(self: nn.Module, input: torch.Tensor) -> torch.Tensor:
    return functional.gelu(input, approximate="tanh")


@contextlib.contextmanager
def fused() -> Iterator[None]:
    """The same arithmetic in fewer passes over memory: norm, GELU and attention scores."""
    before = modeling_t5.T5LayerNorm.forward, NewGELUActivation.forward, modeling_t5.eager_attention_forward
    modeling_t5.T5LayerNorm.forward, NewGELUActivation.forward = _rms_norm, _gelu
    modeling_t5.eager_attention_forward = shared_bias_attention
    try:
        yield
    finally:
        modeling_t5.T5LayerNorm.forward, NewGELUActivation.forward, modeling_t5.eager_attention_forward = before


def losses(model: T5ForConditionalGeneration, batch: Batch) -> tuple[torch.Tensor, dict[str, tuple[float, int]]]:
    """Mean loss of the batch in nats a target token, and (sum, count) by objective.

    Logits are computed only where there is a label: a third of the padded target has none.
    """
    mask = None if bool(batch.mask.all()) else batch.mask
    encoded = model.encoder(input_ids=batch.source, attention_mask=mask).last_hidden_state
    decoded = model.decoder(
        input_ids=batch.decoder, encoder_hidden_states=encoded, encoder_attention_mask=mask, use_cache=False
    ).last_hidden_state
    real = batch.labels >= 0  # (batch, target_len)
    logits = model.lm_head(decoded[real])  # (real, vocab)
    each = functional.cross_entropy(logits.float(), batch.labels[real], reduction="none")
    kinds = batch.kind[:, None].expand_as(batch.labels)[real]
    sums = torch.zeros(len(KINDS)).index_add_(0, kinds, each.detach())
    counts = torch.bincount(kinds, minlength=len(KINDS))
    return each.mean(), {k: (float(sums[i]), int(counts[i])) for i, k in enumerate(KINDS) if counts[i]}


def save_model(model: T5ForConditionalGeneration, folder: Path, dropout: float = 0.1) -> None:
    """Write bf16 weights and the config of a Flan-T5 checkpoint, whose `lm_head` is in the file and so stays untied.

    The config says float32, as the Hub's Flan-T5 is: whoever loads it chooses the precision, and fp32 is the default.
    """
    config = copy.deepcopy(model.config)
    config.dropout_rate = dropout
    kept = model.config
    state = {name: tensor.detach().to(torch.bfloat16).contiguous() for name, tensor in model.state_dict().items()}
    for alias in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight"):
        state.pop(alias, None)
    model.config = config
    try:
        model.save_pretrained(folder, state_dict=state)
    finally:
        model.config = kept
