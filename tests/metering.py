"""What the tests of the meters share."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from peftsum.cost.meters import measure
from peftsum.cost.readings import Reading, Readings
from peftsum.cost.section import Cost


def spin(seconds: float) -> None:
    """Keep one core busy for CPU seconds."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        math.sqrt(2.0)


def read(phase: Callable[[], object], cost: Cost | None = None) -> Readings:
    """Return what a phase cost on the CPU."""
    with measure(cost or Cost(), "cpu") as measurement:
        phase()
    return measurement.readings


def value(reading: Reading | None) -> float:
    """Return the value of a reading that must be there and have one."""
    assert reading is not None
    assert reading.value is not None, reading.reason
    return reading.value
