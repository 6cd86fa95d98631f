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
from peftsum.engine.loss import Soft, blocked_cross_entropy, blocked_distillation
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
        teacher: Teacher | None = None,
    ) -> Packed | dict[str, Any]:
        """Return examples as the batch that :meth:`forward` reads, on the device.

        Args:
            examples: dialogues with their summaries.
            device: where the model is.
            encoded: the encoder's states of each dialogue, (source tokens, d_model), where they are known.
            teacher: whose expectations the loss reads, where there is one.
        """
        if self.packs:
            packed = pack([e.source for e in examples], [e.target for e in examples], self.pad_token_id)
            packed = replace(packed, encoded=torch.cat(list(encoded)).unsqueeze(0) if encoded else None).to(device)
            return replace(packed, soft=teacher.soften(examples, device)) if teacher else packed
        tensors = collate(examples, self.pad_token_id)
        if encoded:
            tensors["encoded"] = pad_sequence(list(encoded), batch_first=True)
        batch = {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}
        return {**batch, "soft": teacher.soften(examples, device)} if teacher else batch

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

    def forward(self, batch: Packed | dict[str, Any]) -> torch.Tensor:
        """Return the loss summed over the batch's real target positions, in nats: with a teacher's share, if any."""
        soft = batch.soft if isinstance(batch, Packed) else batch.get("soft")
        if not isinstance(batch, Packed) and not self.engine.real_targets and soft is None:
            encoded = batch.get("encoded")
            inputs = {name: tensor for name, tensor in batch.items() if name not in {"labels", "encoded"}}
            known = (encoded,) if encoded is not None else None
            logits = self.model(**inputs, encoder_outputs=known, use_cache=False).logits
            return summed_loss(logits, batch["labels"])
        states, labels = self.states(batch)
        if soft is not None:
            return blocked_distillation(states, self.head, labels, soft)
        return self._loss(states, labels)

    @property
    def head(self) -> nn.Module:
        """From the states that :meth:`states` returns to logits."""
        head: nn.Module = t5_of(self.model).lm_head
        return head

    def states(self, batch: Packed | dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the head reads at the real targets, (positions, d_model), and the targets, (positions,)."""
        base = t5_of(self.model)
        if isinstance(batch, Packed):
            cheap = self.engine.cheap_dropout
            encoded = batch.encoded
            if encoded is None:
                encoded = _run(base.encoder, batch.source, Layout(batch.encoder, cheap_dropout=cheap))
            layout = Layout(batch.decoder, batch.cross, cheap)
            return _scaled(base, _run(base.decoder, batch.decoder_input, layout, encoded).squeeze(0)), batch.labels
        labels = batch["labels"]  # (batch, target_len), -100 = ignored
        encoded, mask = batch.get("encoded"), batch["attention_mask"]
        if encoded is None:
            encoded = base.encoder(batch["input_ids"], attention_mask=mask).last_hidden_state
        states = base.decoder(
            batch["decoder_input_ids"],
            encoder_hidden_states=encoded,
            encoder_attention_mask=mask,
            use_cache=False,
        ).last_hidden_state
        real = labels != IGNORED
        return _scaled(base, states[real]), labels[real]

    def _loss(self, states: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the summed cross-entropy of (positions, d_model) against (positions,)."""
        head: Any = self.head
        blocked = self.engine.real_targets and type(head) is nn.Linear and head.weight.dtype == states.dtype
        if blocked and not torch.is_autocast_enabled(states.device.type):
            return blocked_cross_entropy(states, head.weight, labels)
        return summed_loss(head(states).unsqueeze(0), labels.unsqueeze(0))


class Teacher:
    """A frozen model that says what it expects where a student is trained.

    Args:
        model: its weights stay as they are.
        engine: which of the engine's parts to use.
        device: where it computes.
        pad_token_id: of the base.
        weight: of its expectations in the loss.
        temperature: of its distributions.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        engine: Engine,
        device: str,
        pad_token_id: int,
        weight: float,
        temperature: float,
    ) -> None:
        self._training = TrainingModel(model.eval().requires_grad_(False), engine, device, pad_token_id)
        self._weight, self._temperature = weight, temperature

    @torch.no_grad()
    def soften(self, examples: Sequence[Encoded], device: torch.device | str) -> Soft:
        """Return what the teacher expects at the targets of these examples."""
        states, _ = self._training.states(self._training.batch(examples, device))
        return Soft(states, self._training.head, self._weight, self._temperature)


def checkpoint_gradients(model: PreTrainedModel) -> None:
    """Let a model compute each block's activations anew in the backward pass."""
    model.enable_input_require_grads()  # a frozen embedding would cut the graph before the first checkpoint
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # transformers 5.23 renames what 5.15, the oldest taken, has
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


def t5_of(model: PreTrainedModel) -> Any:
    """Return the T5 itself, without peft's wrapping."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _scaled(base: Any, states: torch.Tensor) -> torch.Tensor:
    """Return the decoder's states as the head reads them."""
    if getattr(base.config, "scale_decoder_outputs", base.config.tie_word_embeddings):
        scaled: torch.Tensor = states * base.model_dim**-0.5
        return scaled
    return states


def _run(stack: Any, ids: torch.Tensor, layout: Layout, encoded: torch.Tensor | None = None) -> torch.Tensor:
    """Return the last states of an encoder or decoder over packed rows, (1, tokens, d_model).

    As ``T5Stack.forward``, without the masks it would build over the whole row.
    """
    states = stack.dropout(stack.embed_tokens(ids))
    bias = None
    for block in stack.block:
        states, bias, _ = block(states, None, bias, encoded, layout=layout)
    return stack.dropout(stack.final_layer_norm(states))  # type: ignore[no-any-return]
