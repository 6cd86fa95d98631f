"""The decode loop: dialogues sorted by length, encoded a few at a time, and written side by side until all are done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peftsum.decoding.beam import Beams
from peftsum.decoding.constraints import Constraints, eos_ids
from peftsum.decoding.encoder import Encoder
from peftsum.decoding.greedy import Greedy
from peftsum.decoding.output import Decoded
from peftsum.decoding.plan import Plan
from peftsum.decoding.state import DecoderState, encode_into
from peftsum.recipe import Generation

if TYPE_CHECKING:
    from peftsum.bank import StackedFactors

BUCKET_RATIO = 0.6  # of the shortest source to the longest of those that share caches, once they fill a batch
ENCODE_TOKENS = 2048  # source positions the encoder takes at once on a CPU: what it computes stays near its caches
REFILL_SHARE = 0.25  # of the rows must be free before more dialogues are encoded, for it takes some at once
MANY_TOKENS = 4096  # source positions from which merging and packing weights pay for themselves


@dataclass(frozen=True)
class Request:
    """What one call decodes."""

    sources: Sequence[Sequence[int]]
    """Token ids of each prompt with its dialogue."""
    generation: Generation
    slots: Sequence[int] | None = None
    """Which of the stacked adapters each has; None where all have the one that is active on the model."""
    ends: Sequence[int] | None = None
    """How many tokens each summary has to have, its end token included: for timing with weights that never end."""
    scored: bool = False
    """Keep the log-likelihood of each token."""


def run(
    plan: Plan,
    request: Request,
    factors: StackedFactors | None,
    batch_tokens: int,
    done: Callable[[int], object] = lambda count: None,
) -> list[Decoded]:
    """Return the summary of each source, in order.

    Args:
        plan: the model's weights.
        request: what to decode.
        factors: the stacked adapters that ``request.slots`` counts, where the plan has them unmerged.
        batch_tokens: source positions side by side, padding included.
        done: called with how many more are finished.
    """
    found: dict[int, Decoded] = {}
    for bucket in length_buckets(request.sources, BUCKET_RATIO, batch_tokens // request.generation.num_beams):
        for member, decoded in _run_bucket(plan, request, factors, batch_tokens, bucket):
            found[member] = decoded
            done(1)
    return [found[i] for i in range(len(request.sources))]


def length_buckets(sources: Sequence[Sequence[int]], ratio: float, budget: int) -> list[list[int]]:
    """Return indices by length, longest first, cut where a length falls under ``ratio`` of its bucket's longest.

    A bucket is not cut before it fills a batch: few rows at once cost more than short ones beside long ones. Equal
    sources stand side by side, so that the encoder meets them at once.

    Args:
        sources: token ids.
        ratio: of the shortest to the longest.
        budget: positions of a batch, padding included.
    """
    buckets: list[list[int]] = []
    for index in sorted(range(len(sources)), key=lambda i: (-len(sources[i]), *sources[i])):
        longest = len(sources[buckets[-1][0]]) if buckets else 0
        if not buckets or (len(sources[index]) < ratio * longest and len(buckets[-1]) * longest >= budget):
            buckets.append([])
        buckets[-1].append(index)
    return buckets


def _run_bucket(
    plan: Plan, request: Request, factors: StackedFactors | None, batch_tokens: int, bucket: list[int]
) -> Iterator[tuple[int, Decoded]]:
    generation, config = request.generation, plan.config
    longest = len(request.sources[bucket[0]])
    capacity = min(len(bucket), max(1, batch_tokens // longest // generation.num_beams))
    adapters = factors.adapters if factors is not None else 0
    state = DecoderState(plan, capacity, generation.num_beams, longest, generation.max_new_tokens, adapters)
    rules = Constraints(generation, eos_ids(config.eos_token_id), forced=request.ends is not None)
    kind = Greedy if generation.num_beams == 1 else Beams
    start = config.decoder_start_token_id
    search = kind(state, rules, start, capacity, generation.max_new_tokens, scored=request.scored)
    encoder = Encoder(plan, longest)
    waiting = iter(bucket)
    left = len(bucket)
    while left or len(state):
        free = capacity - len(state)
        if left and (free >= REFILL_SHARE * capacity or free >= left or not len(state)):
            for members in _encoder_batches(plan, request, [next(waiting) for _ in range(min(free, left))]):
                slots = [request.slots[i] if request.slots is not None else 0 for i in members]
                encode_into(state, encoder, [request.sources[i] for i in members], slots, factors)
                search.admit(members, [request.ends[i] for i in members] if request.ends is not None else None)
                left -= len(members)
        yield from search.step()


def _encoder_batches(plan: Plan, request: Request, members: list[int]) -> Iterator[list[int]]:
    """Cut dialogues, longest first, into batches for the encoder."""
    budget = ENCODE_TOKENS if plan.device.type == "cpu" else 4 * ENCODE_TOKENS
    while members:
        count = max(1, budget // len(request.sources[members[0]]))
        yield members[:count]
        members = members[count:]
