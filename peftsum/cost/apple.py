"""Apple's chips by zeus-apple-silicon. Written from the library's manual; it was never run on such a chip."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

from peftsum.cost.component import WHOLE
from peftsum.cost.counters import CounterSet, Domain

MICROJOULES_PER_MILLIJOULE = 1000
POLL_INTERVAL_S = 60.0  # the counters do not wrap; a look now and then finds one that fails


def apple_counters() -> CounterSet:
    """Return the energy counters of an Apple chip."""
    caveat = "Apple models it from load, clock and voltage, and states no error"
    return CounterSet("Apple IOReport by zeus-apple-silicon", find_domains, POLL_INTERVAL_S, caveat)


def is_apple_chip() -> bool:
    """Tell whether this is macOS on Apple's own processor."""
    return (platform.system(), platform.machine()) == ("Darwin", "arm64")


def find_domains(monitor: Callable[[], Any] | None = None) -> list[Domain]:
    """Return CPU and RAM of the chip; its GPU, display and neural engine are not what a training on the CPU uses.

    Args:
        monitor: makes the library's ``AppleEnergyMonitor``, or what acts like it.

    Raises:
        ImportError: the library is not installed.
        OSError: the chip gives no figure for the CPU.
    """
    if monitor is None:
        try:
            from zeus_apple_silicon import AppleEnergyMonitor  # type: ignore[import-not-found]  # macOS only
        except ImportError as error:
            raise ImportError("zeus-apple-silicon is not installed; `pip install zeus-apple-silicon`") from error
        monitor = AppleEnergyMonitor
    energy = monitor()
    now = energy.get_cumulative_energy()
    if now.cpu_total_mj is None:
        raise OSError("Apple's IOReport gives no energy of the CPU on this chip")

    def reader(field: str) -> Callable[[], int]:
        return lambda: int(getattr(energy.get_cumulative_energy(), field)) * MICROJOULES_PER_MILLIJOULE

    domains = [Domain("cpu", f"CPU ({WHOLE})", reader("cpu_total_mj"), None)]
    if now.dram_mj is not None:
        domains.append(Domain("ram", f"RAM ({WHOLE})", reader("dram_mj"), None))
    return domains
