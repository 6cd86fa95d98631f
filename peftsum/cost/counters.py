"""Energy counters of the CPU side: cumulative microjoules by domain, some of which wrap."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from peftsum.cost.meter import Poller

MICROJOULES_PER_JOULE = 1e6
BASELINE_S = 0.1  # once a process; RAPL moves every millisecond, so it is read to a hundredth


@dataclass
class Domain:
    """One counter and how far it was read."""

    kind: Literal["cpu", "ram"]
    scope: str
    read_uj: Callable[[], int]
    range_uj: int | None
    """Where the counter starts again from zero; None for one that does not."""
    last_uj: int = 0
    moved_uj: int = 0
    """Since :meth:`CounterSet.start`."""

    def advance(self) -> None:
        """Add what the counter moved since the last call, across one wrap.

        Raises:
            OSError: it cannot be read, or went backwards and is none that wraps.
        """
        now_uj = self.read_uj()
        moved_uj = now_uj - self.last_uj
        if moved_uj < 0:
            if self.range_uj is None or now_uj < 0 or self.last_uj > self.range_uj:
                raise OSError(f"the counter of {self.scope} went backwards")
            moved_uj += self.range_uj
        self.last_uj = now_uj
        self.moved_uj += moved_uj


class CounterSet:
    """The counters of one machine, read together.

    Args:
        name: for the source of a reading: "RAPL counter".
        find: returns the domains; raises OSError, ImportError or RuntimeError where there are none to read.
        interval_s: seconds between looks, short enough that no counter wraps twice in between.
        caveat: what to say of figures that the vendor works out and does not measure.
    """

    def __init__(
        self, name: str, find: Callable[[], list[Domain]], interval_s: float, caveat: str | None = None
    ) -> None:
        self.name = name
        self.caveat = caveat
        self._find = find
        self._interval_s = interval_s
        self.domains: list[Domain] = []

    def open(self) -> None:
        """Find the counters.

        Raises:
            Exception: there are none, or they cannot be read; the message says what would help.
        """
        self.domains = self._find()

    def resting_w(self) -> dict[str, float]:
        """Return the watts of each domain, by scope, over a tenth of a second in which this process sleeps."""
        self._reset()
        began_s = time.perf_counter()
        time.sleep(BASELINE_S)
        self._advance()
        seconds = time.perf_counter() - began_s
        return {d.scope: d.moved_uj / MICROJOULES_PER_JOULE / seconds for d in self.domains if d.moved_uj}

    def start(self) -> None:
        """Begin the window."""
        self._reset()
        self._poller = Poller(self._advance, self._interval_s)
        self._poller.start()

    def stop(self) -> None:
        """End the window.

        Raises:
            OSError: a counter could not be read, or went backwards.
        """
        self._poller.stop()

    def _reset(self) -> None:
        for domain in self.domains:
            domain.last_uj = domain.read_uj()
            domain.moved_uj = 0

    def _advance(self) -> None:
        for domain in self.domains:
            domain.advance()
