"""Token ids in, summaries out, answers in the order of the questions.

| what | module |
|---|---|
| the loop over dialogues: buckets of like lengths, finished ones leave, waiting ones join | ``loop`` |
| greedy search and sampling; beam search; what both keep | ``greedy``, ``beam``, ``search`` |
| generation settings on the scores of rows at unlike positions | ``constraints`` |
| the model's layers in groups, merged and packed where that pays | ``plan``, ``linear`` |
| encoder; decoder with static caches | ``encoder``, ``state`` |
| a step recorded as a CUDA graph and replayed | ``graphs`` |
| what comes out | ``output`` |
| rows that join and leave for as long as a server runs | ``joining`` |
| transformers' own ``generate`` for what the loop cannot run | ``by_transformers`` |
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from peftsum.decoding.output import Decoded, texts_of
from peftsum.progress import task
from peftsum.recipe import Generation

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from peftsum.bank import StackedFactors
    from peftsum.decoding.plan import Plan

__all__ = ["DECODE_TOKENS", "Decoded", "decode", "decode_ids", "texts_of", "why_not"]

logger = logging.getLogger(__name__)

DECODE_TOKENS = 8192  # source positions a batch; decoding keeps no gradients, so four times a training batch is safe
MIXED_TOKENS = 16_384  # of several adapters: their factors are read in every step, of many rows as of few
MIXED_BYTES = 512 << 20  # of the sources' keys and values: a mix gets more than DECODE_TOKENS only up to that


def decode(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sources: Sequence[Sequence[int]],
    generation: Generation,
) -> list[str]:
    """Return a summary for each source, in order; arguments as in :func:`decode_ids`."""
    return texts_of(tokenizer, decode_ids(model, sources, generation))


def decode_ids(
    model: PreTrainedModel,
    sources: Sequence[Sequence[int]],
    generation: Generation,
    *,
    title: str = "",
    batch_tokens: int | None = None,
    factors: StackedFactors | None = None,
    slots: Sequence[int] | None = None,
    ends: Sequence[int] | None = None,
    scored: bool = False,
) -> list[Decoded]:
    """Return the token ids of a summary for each source, in order.

    Args:
        model: base or ``PeftModel``; set to eval mode for the call.
        sources: token ids of each prompt with its dialogue.
        generation: the recipe's settings.
        title: shown with a progress bar when given.
        batch_tokens: source positions side by side, padding included, beams counted; None is :data:`DECODE_TOKENS`,
            and up to :data:`MIXED_TOKENS` where several adapters are mixed.
        factors: adapters from a bank; None takes what is active on the model.
        slots: which of the stacked adapters each source has.
        ends: how many tokens each summary has to have, its end token included; for timing.
        scored: return each token's log-likelihood too, in nats, by the model alone.
    """
    import torch

    from peftsum.decoding import by_transformers
    from peftsum.decoding.loop import MANY_TOKENS, Request, run
    from peftsum.decoding.plan import Plan

    if not sources:
        return []
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    reason = why_not(model, generation)
    try:
        with torch.inference_mode(), _seeded(generation, device), task(title, len(sources), show=bool(title)) as shown:
            if reason is not None:
                if factors is not None:
                    raise NotImplementedError(f"stacked adapters need the decode loop: {reason}")
                logger.debug("decoding by transformers' generate: %s", reason)
                by_generate = batch_tokens or DECODE_TOKENS
                return by_transformers.run(model, sources, generation, by_generate, scored, shown.advance)
            plan = Plan(model, factors, many=sum(map(len, sources)) >= MANY_TOKENS)
            stacked = factors if factors is not None and not plan.merged else None
            request = Request(sources, generation, slots, ends, scored)
            budget = batch_tokens or _budget(plan, stacked)
            return run(plan, request, stacked, budget, shown.advance)
    finally:
        model.train(was_training)


def why_not(model: PreTrainedModel, generation: Generation | None = None) -> str | None:
    """Return why the decode loop cannot run a model, or these settings, so that ``generate`` has to; None if it can."""
    from peftsum.decoding import by_transformers, plan

    return plan.why_not(model) or (by_transformers.reason_for(model, generation) if generation is not None else None)


def _budget(plan: Plan, stacked: StackedFactors | None) -> int:
    """Return how many source positions go side by side where the caller does not say."""
    if stacked is None or stacked.adapters == 1:
        return DECODE_TOKENS
    return max(DECODE_TOKENS, min(MIXED_TOKENS, MIXED_BYTES // plan.position_bytes))


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
