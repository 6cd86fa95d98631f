"""transformers' own ``generate``, for models and settings that the decode loop does not run, and to compare it with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from peftsum.batching import collate_sources, length_sorted_batches
from peftsum.decoding.constraints import eos_ids
from peftsum.decoding.output import Decoded
from peftsum.recipe import Generation

if TYPE_CHECKING:
    from transformers import PreTrainedModel

KNOWN = {
    *("bos_token_id", "decoder_start_token_id", "eos_token_id", "pad_token_id", "use_cache", "transformers_version"),
    *("max_length", "max_new_tokens", "min_new_tokens", "num_beams", "do_sample", "temperature", "top_k", "top_p"),
    *("no_repeat_ngram_size", "repetition_penalty", "length_penalty", "early_stopping", "output_attentions"),
    *("output_hidden_states", "output_scores", "return_dict_in_generate", "_from_model_config"),
}
"""Settings of a model's own ``generation_config`` that the recipe's take the place of, or that change no token."""


def generation_options(generation: Generation) -> dict[str, Any]:
    """Return the arguments of ``generate``; those that only sampling reads are left out when it is off."""
    options: dict[str, Any] = {
        "max_new_tokens": generation.max_new_tokens,
        "min_new_tokens": generation.min_new_tokens or None,
        "num_beams": generation.num_beams,
        "do_sample": generation.do_sample,
        "no_repeat_ngram_size": generation.no_repeat_ngram_size,
        "repetition_penalty": generation.repetition_penalty,
    }
    if generation.num_beams > 1:
        options["length_penalty"] = generation.length_penalty
        options["early_stopping"] = generation.early_stopping
    if generation.do_sample:
        options |= {"temperature": generation.temperature, "top_k": generation.top_k, "top_p": generation.top_p}
    return {key: value for key, value in options.items() if value is not None}


def reason_for(model: Any, generation: Generation) -> str | None:
    """Return why settings need ``generate``, or None where the decode loop has them."""
    if generation.do_sample and generation.num_beams > 1:
        return "beams are sampled"
    own = model.generation_config.to_diff_dict()
    other = sorted(key for key, value in own.items() if key not in KNOWN and value is not None)
    return f"the model's generation_config has {', '.join(other)}" if other else None


def run(
    model: PreTrainedModel,
    sources: Sequence[Sequence[int]],
    generation: Generation,
    batch_tokens: int,
    scored: bool,
    done: Callable[[int], object] = lambda count: None,
) -> list[Decoded]:
    """Return the summary of each source, in order, by length-sorted batches of ``generate``.

    Args:
        model: base or ``PeftModel`` in eval mode.
        sources: token ids of each prompt with its dialogue.
        generation: the recipe's settings.
        batch_tokens: source positions of a batch, padding included, beams counted.
        scored: read each token's log-likelihood off another forward pass.
        done: called with how many more are finished.
    """
    found: dict[int, Decoded] = {}
    pad, eos = model.config.pad_token_id, set(eos_ids(model.generation_config.eos_token_id))
    for batch in length_sorted_batches([len(s) for s in sources], max(1, batch_tokens // generation.num_beams)):
        inputs = collate_sources([sources[i] for i in batch], pad)
        inputs = {name: tensor.to(model.device) for name, tensor in inputs.items()}
        output = model.generate(**inputs, **generation_options(generation))
        likelihoods = _log_likelihoods(model, inputs, output) if scored else None
        for row, i in enumerate(batch):
            ids = output[row, 1:].tolist()
            ids = ids[: _length(ids, eos)]
            found[i] = Decoded(ids, likelihoods[row][: len(ids)] if likelihoods is not None else None)
        done(len(batch))
    return [found[i] for i in range(len(sources))]


def _length(ids: list[int], eos: set[int]) -> int:
    """Return how many tokens come before the padding, the end token counted; without one none is padding."""
    return next((i + 1 for i, token in enumerate(ids) if token in eos), len(ids))


def _log_likelihoods(model: Any, inputs: dict[str, torch.Tensor], output: torch.Tensor) -> list[list[float]]:
    logits = model(**inputs, decoder_input_ids=output[:, :-1], use_cache=False).logits.float()
    chosen: list[list[float]] = torch.log_softmax(logits, -1).gather(2, output[:, 1:, None])[..., 0].tolist()
    return chosen
