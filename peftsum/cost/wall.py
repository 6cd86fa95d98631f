"""The wall clock."""

from __future__ import annotations

from time import perf_counter

from peftsum.cost.meter import Meter
from peftsum.cost.readings import Reading


class WallMeter(Meter):
    """Seconds between start and stop."""

    unit = "s"

    def start(self) -> None:
        """Note the time."""
        self._begin_s = perf_counter()

    def stop(self) -> None:
        """Note the time again."""
        self._wall_s = perf_counter() - self._begin_s

    def reading(self) -> Reading:
        """Return the seconds in between."""
        return Reading(value=self._wall_s, unit="s", scope="this process", source="perf_counter")
