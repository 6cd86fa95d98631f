"""The rows in progress: one lane for each kind of settings, rows of all adapters side by side in it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING

from peftsum.decoding import Decoded
from peftsum.decoding.joining import Lane, LastingPlan, Newcomer, Seats, likelihood
from peftsum.exceptions import PeftsumError
from peftsum.recipe import Generation
from peftsum.server.limits import MOST_NEW_TOKENS
from peftsum.server.work import Row

if TYPE_CHECKING:
    from peftsum.resident import ResidentAdapters

SEATS = 17  # adapters in progress at once, and the bare base: more rows than this rarely have adapters of their own
LANES = 4  # kinds of settings in progress at once: each has caches of its own
ENCODE_TOKENS = 2048  # source positions between two steps: what the encoder computes stays near its caches
LEAST_SOURCE = 512  # tokens that a lane's caches have room for, at least

IN_GREEDY = {"num_beams", "min_new_tokens", "no_repeat_ngram_size", "repetition_penalty"}
IN_BEAMS = {*IN_GREEDY, "max_new_tokens", "length_penalty", "early_stopping"}


class Lanes:
    """All lanes, and the rows that wait for a place in one.

    Args:
        resident: the adapters.
        plan: the weights; None where the decode loop cannot run the base, so that no row ever comes.
        batch: most rows a lane, beams counted.
    """

    def __init__(self, resident: ResidentAdapters, plan: LastingPlan | None, batch: int) -> None:
        self._resident, self._plan, self._batch = resident, plan, batch
        self.seats = Seats(plan, SEATS)
        self._lanes: dict[Generation, tuple[Lane, int, int]] = {}
        """Settings to a lane with the tokens that its sources and summaries may have."""
        self._rows: dict[int, tuple[Row, Lane]] = {}
        self._numbers = count()
        self.waiting: deque[Row] = deque()
        self.longest_source = LEAST_SOURCE

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def running(self) -> Iterator[Row]:
        """The rows in progress."""
        return (row for row, _ in self._rows.values())

    def admit(self, fail: Callable[[Row, PeftsumError], object]) -> list[Row]:
        """Let waiting rows join, the longest waiting first, as far as there is room; return those that did.

        A row that finds no lane or no seat holds up those behind it, for else it might wait for ever.

        Args:
            fail: called with a row whose adapter cannot be read any more, and why.
        """
        chosen: dict[Lane, list[Row]] = {}
        tokens = 0
        passed: list[Row] = []
        while self.waiting and tokens < ENCODE_TOKENS:
            row = self.waiting.popleft()
            lane = self._lane_for(row, chosen)
            if lane is not None and lane.free <= len(chosen.get(lane, ())):
                passed.append(row)
                continue
            try:
                seat = self._seat(row) if lane is not None else None
            except PeftsumError as error:
                fail(row, error)
                continue
            if lane is None or seat is None:
                passed.append(row)
                break
            row.seat = seat
            row.number = next(self._numbers)
            self._rows[row.number] = (row, lane)
            chosen.setdefault(lane, []).append(row)
            tokens += len(row.source)
        self.waiting.extendleft(reversed(passed))
        for lane, rows in chosen.items():
            for some in _like_lengths(rows):
                lane.admit([Newcomer(r.number, r.source, r.seat, r.generation.max_new_tokens) for r in some])
        return [row for rows in chosen.values() for row in rows]

    def step(self) -> list[tuple[Row, Decoded]]:
        """Write one more token of every row and return those that are finished; their seats are still theirs."""
        found = []
        for lane, _, _ in list(self._lanes.values()):
            if len(lane):
                found += [(self._rows.pop(number)[0], decoded) for number, decoded in lane.step()]
        return found

    def drop(self, rows: Iterable[Row]) -> None:
        """Let rows go without their summaries, waiting or in progress."""
        gone = {id(row) for row in rows}
        self.waiting = deque(row for row in self.waiting if id(row) not in gone)
        for number, (row, lane) in list(self._rows.items()):
            if id(row) in gone:
                lane.drop({number})
                del self._rows[number]
                self.release(row)

    def release(self, row: Row) -> None:
        """Let a finished row's seat go."""
        self.seats.leave(row.work.ask.adapter)

    def likelihood(self, row: Row, source: list[int], target: list[int]) -> float:
        """Return the mean log-probability, nats a token, of a text by a finished row's adapter, whose seat it has."""
        return likelihood(self._weights, self.seats, source, target, row.seat)

    def clear(self) -> None:
        """Forget all rows and caches, after a fault that may have left them in no order."""
        for row in self.running:
            self.release(row)
        self._lanes, self._rows = {}, {}
        self.waiting.clear()

    @property
    def _weights(self) -> LastingPlan:
        assert self._plan is not None, "rows come where the decode loop runs the base"
        return self._plan

    def _seat(self, row: Row) -> int | None:
        name = row.work.ask.adapter
        return self.seats.take(name, lambda: self._resident.factors(name or ""))

    def _lane_for(self, row: Row, chosen: Mapping[Lane, list[Row]]) -> Lane | None:
        """Return the lane for a row's settings, made if need be; None where one has to drain before.

        Args:
            row: that waits.
            chosen: lanes that rows are about to join: no more idle, though they are still empty.
        """
        key = _settings(row.generation)
        source, output = max(self.longest_source, len(row.source)), row.generation.max_new_tokens
        if row.generation.num_beams == 1:
            output = max(MOST_NEW_TOKENS, output)
        lane, sources, outputs = self._lanes.get(key, (None, 0, 0))
        if lane is not None and len(row.source) <= sources and row.generation.max_new_tokens <= outputs:
            return lane
        if lane is None and len(self._lanes) >= LANES:
            key_of_idle = next(
                (other for other, (each, _, _) in self._lanes.items() if not len(each) and each not in chosen), None
            )
            if key_of_idle is None:
                return None
            del self._lanes[key_of_idle]
        elif lane is not None and (len(lane) or lane in chosen):
            return None
        settings = row.generation.model_copy(update={"max_new_tokens": output})
        made = Lane(self._weights, self.seats, settings, self._batch, source, output)
        self._lanes[key] = (made, source, output)
        return made


def _settings(generation: Generation) -> Generation:
    """Return what rows of a lane must have in common; greedy ones may end at lengths of their own."""
    kept = IN_GREEDY if generation.num_beams == 1 else IN_BEAMS
    return Generation().model_copy(update=generation.model_dump(include=kept))


def _like_lengths(rows: list[Row]) -> Iterator[list[Row]]:
    """Cut rows into batches for the encoder, longest first, padding counted."""
    ordered = sorted(rows, key=lambda row: -len(row.source))
    while ordered:
        most = max(1, ENCODE_TOKENS // len(ordered[0].source))
        yield ordered[:most]
        ordered = ordered[most:]
