"""One summary's way through the server: asked, written in one or several rows, explained, answered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from peftsum.cost.estimate import ProcessUse, core_watts, estimate_cores, estimate_ram
from peftsum.cost.process import resident_bytes
from peftsum.cost.readings import Reading, unmeasured
from peftsum.decoding import Decoded
from peftsum.long_dialogues import Writing
from peftsum.recipe import Generation
from peftsum.redaction import Redactor
from peftsum.server.schemas import Summary

SCOPE = "this request's share of the server's process"


@dataclass(frozen=True)
class Ask:
    """One summary that is wanted."""

    identity: str
    adapter: str | None
    """None is the bare base."""
    dialogue: str
    settings: dict[str, Any]
    """Generation settings instead of the adapter's own."""
    explain: bool
    redactor: Redactor | None = None
    """That redacted the dialogue."""


@dataclass(frozen=True)
class Outcome:
    """What a request gets."""

    summaries: list[Summary]
    energy: Reading


class Ticket:
    """An accepted request.

    Args:
        asks: the summaries it wants.
        timeout_s: until it is given up.
    """

    def __init__(self, asks: Sequence[Ask], timeout_s: float) -> None:
        self.future: Future[Outcome] = Future()
        self.deadline = time.monotonic() + timeout_s
        self.asked_at = time.monotonic()
        self.summaries: list[Summary | None] = [None] * len(asks)
        self.share = Share()

    @property
    def over(self) -> bool:
        """Whether nobody waits any more: answered, failed, given up, or past its time."""
        return self.future.done() or time.monotonic() > self.deadline

    def fail(self, error: BaseException) -> None:
        """Answer with an error, unless it is answered."""
        with suppress(InvalidStateError):  # given up in this moment
            self.future.set_exception(error)

    def tell(self, index: int, summary: Summary, device: str) -> bool:
        """Take in one summary; the last one answers the request, of which is told."""
        self.summaries[index] = summary
        found = [each for each in self.summaries if each is not None]
        if len(found) < len(self.summaries):
            return False
        with suppress(InvalidStateError):  # given up in this moment
            self.future.set_result(Outcome(found, self.share.energy(device)))
        return True


@dataclass
class Share:
    """What a request has used so far of the process, others beside it taken off."""

    wall_s: float = 0.0
    cpu_s: float = 0.0

    def energy(self, device: str) -> Reading:
        """Return the joules of the share: an estimate on a CPU, for no counter tells requests apart.

        Args:
            device: where the model is, "cpu" or "cuda…".
        """
        if device != "cpu":
            return unmeasured("J", SCOPE, f"{device} has no counter that tells requests side by side apart")
        ram = None
        with suppress(Exception):  # the RAM's reading then says so
            ram = resident_bytes()
        begin, end = ProcessUse(0.0, 0.0, 0.0, ram), ProcessUse(self.wall_s, self.cpu_s, 0.0, ram)
        reason = "no counter tells requests side by side apart"
        parts = [estimate_cores(begin, end, core_watts(None), reason), estimate_ram(begin, end, reason)]
        lost = next((part for part in parts if part.value is None), None)
        if lost is not None:
            return unmeasured("J", SCOPE, lost.reason or reason)
        return Reading(
            value=sum(part.value or 0.0 for part in parts),
            unit="J",
            scope=SCOPE,
            source=" + ".join(part.source for part in parts),
            estimated=True,
            low=sum(part.low or 0.0 for part in parts),
            high=sum(part.high or 0.0 for part in parts),
            reason=reason,
        )


@dataclass
class Work:
    """One summary on its way."""

    ticket: Ticket
    index: int
    """Its place in the request."""
    ask: Ask
    generation: Generation = field(default_factory=Generation)
    steps: Writing | None = None
    """Asks for rows and is sent their texts."""
    written: list[Decoded | None] = field(default_factory=list)
    """Of the rows it waits for."""
    joined: bool = False
    """Whether a row of it was ever in progress."""


@dataclass(eq=False)
class Row:
    """A source to be decoded, for a work."""

    work: Work
    index: int
    """Its place among the rows that the work waits for."""
    source: list[int]
    generation: Generation
    seat: int = -1
    """Where its adapter's factors are, once it is in progress."""
    number: int = -1
    """That its lane knows it by."""
