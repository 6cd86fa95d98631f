"""The decode loop: dialogues sorted by length, encoded a few at a time, and written side by side until all are done."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peftsum.decoding.ahead import EncodedAhead
from peftsum.decoding.beam import Beams
from peftsum.decoding.constraints import Constraints, eos_ids
from peftsum.decoding.encoder import Encoder
from peftsum.decoding.greedy import Greedy
from peftsum.decoding.output import Decoded
from peftsum.decoding.plan import Plan
from peftsum.decoding.state import DecoderState
from peftsum.recipe import Generation

if TYPE_CHECKING:
    from peftsum.bank import StackedFactors

RESHAPE_RATIO = 0.75  # of the longest source in progress or next to what the caches are made for: below, more rows fit
MOST_ROWS = 256  # side by side: the caches of the summaries themselves grow with them
REFILL_SHARE = 0.25  # of the rows must be free before more dialogues are encoded, for it takes some at once
MANY_TOKENS = 4096  # source positions from which packing weights, and merging large ones, pays


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
    for member, decoded in _Loop(plan, request, factors, batch_tokens).summaries():
        found[member] = decoded
        done(1)
    return [found[i] for i in range(len(request.sources))]


class _Loop:
    """Summaries in progress and dialogues that wait, longest first; what is left is shorter, and makes more rows."""

    def __init__(self, plan: Plan, request: Request, factors: StackedFactors | None, batch_tokens: int) -> None:
        generation, config = request.generation, plan.config
        self._request = request
        self._budget = batch_tokens // generation.num_beams
        sources = request.sources
        # equal sources stand side by side, so that the encoder meets them at once
        self._waiting = deque(sorted(range(len(sources)), key=lambda i: (-len(sources[i]), *sources[i])))
        longest = len(sources[self._waiting[0]])
        self._slots = request.slots if request.slots is not None else [0] * len(sources)
        adapters = factors.adapters if factors is not None else 0
        rows, most = self._rows_for(longest), self._rows_for(len(sources[self._waiting[-1]]))
        self._state = DecoderState(plan, rows, generation.num_beams, longest, generation.max_new_tokens, adapters)
        alike = factors is None or not factors.touches("encoder.")
        encoder = Encoder(plan, longest) if alike else Encoder(plan, longest, self._state.groups_of)
        self._encoded = EncodedAhead(encoder, sources, self._waiting, self._slots, alike=alike)
        rules = Constraints(generation, eos_ids(config.eos_token_id), forced=request.ends is not None)
        kind = Greedy if generation.num_beams == 1 else Beams
        start = config.decoder_start_token_id
        self._search = kind(self._state, rules, start, most, generation.max_new_tokens, scored=request.scored)

    def summaries(self) -> Iterator[tuple[int, Decoded]]:
        """Run to the end; each summary comes when it is finished."""
        state = self._state
        while self._waiting or len(state):
            self._reshape()
            free, left = state.groups - len(state), len(self._waiting)
            if left and (free >= REFILL_SHARE * state.groups or free >= left or not len(state)):
                self._admit([self._waiting.popleft() for _ in range(min(free, left))])
            yield from self._search.step()

    def _rows_for(self, longest: int) -> int:
        """Return how many summaries go side by side."""
        return min(len(self._request.sources), MOST_ROWS, max(1, self._budget // longest))

    def _reshape(self) -> None:
        """Give caches that have become too long for what is in them, and what comes, the shape for it."""
        if not self._waiting:
            return
        longest = max([len(self._request.sources[self._waiting[0]]), *self._state.lengths])
        rows = self._rows_for(longest)
        if longest < RESHAPE_RATIO * self._state.longest_source and rows > self._state.groups:
            self._state.reshape(rows, longest)

    def _admit(self, members: list[int]) -> None:
        ends = self._request.ends
        self._state.admit(self._encoded.take(members), [self._slots[i] for i in members])
        self._search.admit(members, [ends[i] for i in members] if ends is not None else None)
