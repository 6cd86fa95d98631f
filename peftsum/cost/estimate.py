"""The estimate of CPU and RAM energy where no counter can be read: busy cores and resident memory by stated watts."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter

from peftsum.cost.component import Watts
from peftsum.cost.process import children_cpu_s, resident_bytes
from peftsum.cost.readings import Reading, unmeasured
from peftsum.units import GIB

CPU_SCOPE = "CPU, this process and its children"
RAM_SCOPE = "RAM of this process"

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
# Of a core's watts at full load, what it takes idle: 0.74 of 3.5 W in the average AWS server, 0.16 (Skylake, 0.64 of
# 4.05 W) to 0.32 (Haswell, 1.90 of 5.99 W) by make (Cloud Carbon Footprint's coefficients, from SPECpower results).
IDLE_SHARE = Watts(0.21, 0.16, 0.32)


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
        with suppress(Exception):  # the RAM's reading then says so
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


def estimate_cores(begin: ProcessUse, end: ProcessUse, core: Watts, reason: str) -> Reading:
    """Return the joules of the CPU between two moments: CPU seconds x W a busy core.

    An idle core costs nothing here, so the estimate is the process's share, not the machine's draw.

    Args:
        begin: use at the start.
        end: use at the end.
        core: watts of a busy core.
        reason: why this is an estimate and not a counter.
    """
    # A child that ended without being waited for takes its seconds with it: the difference must not go below zero.
    cpu_s = end.own_cpu_s - begin.own_cpu_s + max(0.0, end.children_cpu_s - begin.children_cpu_s)
    if cpu_s <= 0:
        return unmeasured("J", CPU_SCOPE, f"{reason}; and the system reports no use of the CPU")
    return _estimate(cpu_s, core, "busy core", CPU_SCOPE, reason)


def estimate_ram(begin: ProcessUse, end: ProcessUse, reason: str) -> Reading:
    """Return the joules of the memory between two moments: mean resident GiB x W a GiB x seconds.

    Args:
        begin: use at the start.
        end: use at the end.
        reason: why this is an estimate and not a counter.
    """
    seconds = end.clock_s - begin.clock_s
    if begin.ram_bytes is None or end.ram_bytes is None:
        return unmeasured("J", RAM_SCOPE, f"{reason}; and the system does not tell the resident set")
    gib_s = (begin.ram_bytes + end.ram_bytes) / 2 / GIB * seconds
    if gib_s <= 0:
        return unmeasured("J", RAM_SCOPE, f"{reason}; and the system reports no use of RAM")
    return _estimate(gib_s, RAM_GIB_WATTS, "GiB resident", RAM_SCOPE, reason)


def _estimate(amount: float, watts: Watts, what: str, scope: str, reason: str) -> Reading:
    return Reading(
        value=amount * watts.value,
        unit="J",
        scope=scope,
        source=f"estimate: {watts.per(what)}",
        estimated=True,
        low=amount * watts.low,
        high=amount * watts.high,
        reason=reason,
    )
