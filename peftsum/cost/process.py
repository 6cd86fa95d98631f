"""What the system says of this process: resident memory, its lifetime peak, and the CPU time of its children."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from peftsum.units import KIB

STATM = Path("/proc/self/statm")


def _psutil() -> Any:
    import psutil  # type: ignore[import-untyped]  # it ships no types

    return psutil


def resident_bytes() -> int:
    """Return the resident set of this process now, in bytes."""
    with suppress(OSError, IndexError, ValueError):  # not Linux
        return int(STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")  # a third of what psutil takes
    return int(_psutil().Process().memory_info().rss)


def life_peak_bytes() -> int | None:
    """Return the peak resident set of this process since it started, in bytes; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * KIB  # getrusage(2): bytes on macOS, KiB on Linux


def children_cpu_s() -> float:
    """Return the CPU seconds, user and system, of the children: those that ended and were waited for, and the living.

    Without psutil the living are left out.
    """
    spent = os.times()
    total_s = spent.children_user + spent.children_system
    with suppress(Exception):
        psutil = _psutil()
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):  # it ended between the listing and the look
                times = child.cpu_times()
                # Not every system counts the grandchildren that a child waited for.
                total_s += times.user + times.system
                total_s += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return float(total_s)


def machine_ram_bytes() -> int:
    """Return the memory of the machine, in bytes."""
    return int(_psutil().virtual_memory().total)
