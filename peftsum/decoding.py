"""Token ids in, summaries out: length-sorted batches, answers in the order of the questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from peftsum.batching import collate_sources, length_sorted_batches
from peftsum.progress import task
from peftsum.recipe import Generation

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DECODE_TOKENS = 8192  # source positions a batch; decoding keeps no gradients, so four times a training batch is safe


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
    if generation.do_sample:
        options |= {"temperature": generation.temperature, "top_k": generation.top_k, "top_p": generation.top_p}
    return {key: value for key, value in options.items() if value is not None}


def decode(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sources: Sequence[Sequence[int]],
    generation: Generation,
    *,
    title: str = "",
    batch_tokens: int = DECODE_TOKENS,
) -> list[str]:
    """Return a summary for each source, in order.

    Args:
        model: base or ``PeftModel``; set to eval mode for the call.
        tokenizer: of the base.
        sources: token ids of each prompt with its dialogue.
        generation: the recipe's settings.
        title: shown with a progress bar when given.
        batch_tokens: source positions of a batch, padding included, beams counted.
    """
    import torch

    device = next(model.parameters()).device
    texts = [""] * len(sources)
    was_training = model.training
    model.eval()
    budget = max(1, batch_tokens // generation.num_beams)
    try:
        with torch.inference_mode(), _seeded(generation, device), task(title, len(sources), show=bool(title)) as shown:
            for batch in length_sorted_batches([len(s) for s in sources], budget):
                inputs = collate_sources([sources[i] for i in batch], tokenizer.pad_token_id)
                inputs = {name: tensor.to(device) for name, tensor in inputs.items()}
                output = model.generate(**inputs, **generation_options(generation))
                for i, text in zip(batch, tokenizer.batch_decode(output, skip_special_tokens=True), strict=True):
                    texts[i] = text.strip()
                shown.advance(len(batch))
    finally:
        model.train(was_training)
    return texts


@contextmanager
def _seeded(generation: Generation, device: torch.device) -> Iterator[None]:
    """Seed the sampling, and give the caller's random state back: a training that validates draws on from its own."""
    import torch

    if not generation.do_sample:
        yield
        return
    gpus = [torch.cuda.current_device() if device.index is None else device.index] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(generation.seed)
        yield
