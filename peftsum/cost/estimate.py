"""The estimate of CPU energy where no counter can be read: busy cores and resident memory times stated watts."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter

from peftsum.cost.process import children_cpu_s, resident_bytes
from peftsum.cost.readings import Reading, unmeasured
from peftsum.units import GIB

SCOPE = "this process and its children, CPU and RAM"


@dataclass(frozen=True)
class Watts:
    """A power with its range, in watts (a core, or a GiB)."""

    value: float
    low: float
    high: float

    def per(self, what: str) -> str:
        """Return the power as text, for example ``8 W a busy core (range 3.5 to 15)``."""
        return f"{self.value:g} W a {what} (range {self.low:g} to {self.high:g})"


# Default: TDP per core of server chips (Xeon Gold 6148 and 6248: 7.5 W) and of desktop chips (Core i7-10700, Ryzen 7
# 3700X: 8.1 W). High end: an unlocked eight-core desktop chip (Core i7-10700K: 15.6 W). All from the table of Green
# Algorithms (Lannelongue et al. 2021, data/latest/TDP_cpu.csv), whose own guess for any chip is 12 W. Low end: a vCPU,
# which is one of two hyperthreads, at full load in the average cloud server (Cloud Carbon Footprint, AWS: 3.5 W).
CPU_CORE_WATTS = Watts(8.0, 3.5, 15.0)
# Against a wall meter CodeCarbon's models were up to 40 % off (arXiv 2509.22092); a TDP by hand is no better.
GIVEN_WATTS_ERROR = 0.4
# Default: 3 W per 8 GB (Crucial; CodeCarbon 2; Green Algorithms 2021: 0.3725). Low: 0.08 W (Karyakin and Salem 2017,
# measured on a DDR4 server). High: 5 W a module (CodeCarbon 3) of 8 GB. Memory sizes are binary, so a GB is a GiB.
RAM_GIB_WATTS = Watts(0.375, 0.08, 0.625)


@dataclass(frozen=True)
class ProcessUse:
    """What the process had used at one moment."""

    clock_s: float
    own_cpu_s: float
    """CPU seconds of this process, user and system, all threads."""
    children_cpu_s: float
    """CPU seconds of its children, dead (those waited for) and alive."""
    ram_bytes: int | None
    """Resident set now; None where it cannot be read."""

    @classmethod
    def now(cls) -> ProcessUse:
        """Return the use up to now."""
        ram_bytes = None
        with suppress(Exception):  # the estimate then says that RAM is not in it
            ram_bytes = resident_bytes()
        return cls(perf_counter(), time.process_time(), children_cpu_s(), ram_bytes)


def core_watts(given: float | None) -> Watts:
    """Return the watts of a busy core: the recipe's with its range, or the default.

    Args:
        given: watts from the recipe, or None.
    """
    if given is None:
        return CPU_CORE_WATTS
    return Watts(given, given * (1 - GIVEN_WATTS_ERROR), given * (1 + GIVEN_WATTS_ERROR))


def estimate_cpu_energy(begin: ProcessUse, end: ProcessUse, core: Watts, reason: str) -> Reading:
    """Return the joules between two moments: CPU seconds x W a core + mean resident GiB x W a GiB x seconds.

    An idle core costs nothing here, so the estimate is the process's share, not the machine's draw.

    Args:
        begin: use at the start.
        end: use at the end.
        core: watts of a busy core.
        reason: why this is an estimate and not a counter.
    """
    # A child that ended without being waited for takes its seconds with it: the difference must not go below zero.
    cpu_s = end.own_cpu_s - begin.own_cpu_s + max(0.0, end.children_cpu_s - begin.children_cpu_s)
    source = f"estimate: {core.per('busy core')}"
    gib_s = 0.0
    if begin.ram_bytes is None or end.ram_bytes is None:
        source += ", RAM not counted"
    else:
        gib_s = (begin.ram_bytes + end.ram_bytes) / 2 / GIB * (end.clock_s - begin.clock_s)
        source += f", {RAM_GIB_WATTS.per('GiB resident')}"
    energy_j = cpu_s * core.value + gib_s * RAM_GIB_WATTS.value
    if energy_j <= 0:
        return unmeasured("J", SCOPE, f"{reason}; and the system reports no use of CPU or RAM")
    return Reading(
        value=energy_j,
        unit="J",
        scope=SCOPE,
        source=source,
        estimated=True,
        low=cpu_s * core.low + gib_s * RAM_GIB_WATTS.low,
        high=cpu_s * core.high + gib_s * RAM_GIB_WATTS.high,
        reason=reason,
    )
