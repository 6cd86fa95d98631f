"""The part of a training step that has gradients: from a batch of examples to its loss."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from peftsum.batching import IGNORED, Encoded, collate
from peftsum.engine.attention import Layout
from peftsum.engine.layers import exchange_layers, reads_packed
from peftsum.engine.loss import blocked_cross_entropy
from peftsum.engine.packing import Packed, pack
from peftsum.engine.settings import Engine
from peftsum.optimization import summed_loss

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class TrainingModel(nn.Module):
    """A model with its method attached, as a function from a batch to its summed loss.

    Args:
        model: a T5, or a ``PeftModel`` around one.
        engine: which of the engine's parts to use.
        device: where it trains.
        pad_token_id: of the base.
    """

    def __init__(self, model: PreTrainedModel, engine: Engine, device: str, pad_token_id: int) -> None:
        super().__init__()
        self.model = model
        self.engine = engine
        self.pad_token_id = pad_token_id
        exchange_layers(model, engine, device)
        self.packs = engine.packs(device) and reads_packed(model)

    def batch(
        self,
        examples: Sequence[Encoded],
        device: torch.device | str,
        encoded: Sequence[torch.Tensor] | None = None,
    ) -> Packed | dict[str, torch.Tensor]:
        """Return examples as the batch that :meth:`forward` reads, on the device.

        Args:
            examples: dialogues with their summaries.
            device: where the model is.
            encoded: the encoder's states of each dialogue, (source tokens, d_model), where they are known.
        """
        if self.packs:
            packed = pack([e.source for e in examples], [e.target for e in examples], self.pad_token_id)
            return replace(packed, encoded=torch.cat(list(encoded)).unsqueeze(0) if encoded else None).to(device)
        tensors = collate(examples, self.pad_token_id)
        if encoded:
            tensors["encoded"] = pad_sequence(list(encoded), batch_first=True)
        return {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}

    @property
    def encoder_width(self) -> int:
        """Width of the encoder's states, d_model."""
        return int(t5_of(self.model).config.d_model)

    @property
    def encoder_dtype(self) -> torch.dtype:
        """Precision of the encoder's states."""
        norm: torch.Tensor = t5_of(self.model).encoder.final_layer_norm.weight
        return norm.dtype

    def encode(self, examples: Sequence[Encoded]) -> list[torch.Tensor]:
        """Return the encoder's states of dialogues, each (source tokens, d_model); dropout is off."""
        encoder = t5_of(self.model).encoder
        device = next(encoder.parameters()).device
        was_training = encoder.training
        encoder.eval()
        try:
            batch = self.batch(examples, device)
            if isinstance(batch, Packed):
                states = _run(encoder, batch.source, Layout(batch.encoder)).squeeze(0)
                return list(torch.split(states, list(batch.source_lengths)))
            states = encoder(batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
            return [row[: len(e.source)] for row, e in zip(states, examples, strict=True)]
        finally:
            encoder.train(was_training)

    def forward(self, batch: Packed | dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the cross-entropy summed over the batch's real target positions, in nats."""
        base = t5_of(self.model)
        if isinstance(batch, Packed):
            cheap = self.engine.cheap_dropout
            encoded = batch.encoded
            if encoded is None:
                encoded = _run(base.encoder, batch.source, Layout(batch.encoder, cheap_dropout=cheap))
            layout = Layout(batch.decoder, batch.cross, cheap)
            states = _run(base.decoder, batch.decoder_input, layout, encoded).squeeze(0)
            return self._loss(base, states, batch.labels)
        labels = batch["labels"]  # (batch, target_len), -100 = ignored
        encoded = batch.get("encoded")
        inputs = {name: tensor for name, tensor in batch.items() if name not in {"labels", "encoded"}}
        if not self.engine.real_targets:
            known = (encoded,) if encoded is not None else None
            return summed_loss(self.model(**inputs, encoder_outputs=known, use_cache=False).logits, labels)
        real = labels != IGNORED
        if encoded is None:
            encoded = base.encoder(inputs["input_ids"], attention_mask=inputs["attention_mask"]).last_hidden_state
        states = base.decoder(
            inputs["decoder_input_ids"],
            encoder_hidden_states=encoded,
            encoder_attention_mask=inputs["attention_mask"],
            use_cache=False,
        ).last_hidden_state
        return self._loss(base, states[real], labels[real])

    def _loss(self, base: Any, states: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the summed loss of (positions, d_model) against (positions,)."""
        head = base.lm_head
        if getattr(base.config, "scale_decoder_outputs", base.config.tie_word_embeddings):
            states = states * base.model_dim**-0.5
        blocked = self.engine.real_targets and type(head) is nn.Linear and head.weight.dtype == states.dtype
        if blocked and not torch.is_autocast_enabled(states.device.type):
            return blocked_cross_entropy(states, head.weight, labels)
        return summed_loss(head(states).unsqueeze(0), labels.unsqueeze(0))


def checkpoint_gradients(model: PreTrainedModel) -> None:
    """Let a model compute each block's activations anew in the backward pass."""
    model.enable_input_require_grads()  # a frozen embedding would cut the graph before the first checkpoint
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # transformers 5.23 renames what 5.15, the oldest taken, has
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


def t5_of(model: PreTrainedModel) -> Any:
    """Return the T5 itself, without peft's wrapping."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _run(stack: Any, ids: torch.Tensor, layout: Layout, encoded: torch.Tensor | None = None) -> torch.Tensor:
    """Return the last states of an encoder or decoder over packed rows, (1, tokens, d_model).

    As ``T5Stack.forward``, without the masks it would build over the whole row.
    """
    states = stack.dropout(stack.embed_tokens(ids))
    bias = None
    for block in stack.block:
        states, bias, _ = block(states, None, bias, encoded, layout=layout)
    return stack.dropout(stack.final_layer_norm(states))  # type: ignore[no-any-return]
