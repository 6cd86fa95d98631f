"""CPU package energy by RAPL, from the powercap files of Linux."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from peftsum.cost.meter import Poller

POWERCAP = Path("/sys/class/powercap")
MICROJOULES_PER_JOULE = 1e6
# A counter wraps at 2**32 of its units: 65 to 262 kJ, so in under four minutes at 300 W. Two wraps between two looks
# cannot be told from none, so the counters are looked at more often than that.
POLL_INTERVAL_S = 30.0
# Top-level zones only. A subzone (intel-rapl:0:0, "core" or "uncore") is part of its package; "dram" and "psys" are not
# packages; intel-rapl-mmio:0 is the same package by another way. AMD's zones carry Intel's name.
ZONE = re.compile(r"intel-rapl:\d+")


@dataclass
class Package:
    """One CPU package and how far its counter was read."""

    folder: Path
    name: str
    range_uj: int
    last_uj: int

    def advance_uj(self) -> int:
        """Return the microjoules since the last call, across one wrap of the counter."""
        now_uj = _read_int(self.folder / "energy_uj")
        moved_uj = now_uj - self.last_uj
        self.last_uj = now_uj
        return moved_uj if moved_uj >= 0 else moved_uj + self.range_uj


def _read_int(path: Path) -> int:
    return int(path.read_text())


def find_packages(root: Path) -> list[Package]:
    """Return the CPU packages under a powercap folder, their counters read once.

    Raises:
        OSError: there are none, or one cannot be read (the counters are root's since CVE-2020-8694).
    """
    zones = sorted(path for path in root.glob("intel-rapl:*") if ZONE.fullmatch(path.name))
    named = [(zone, (zone / "name").read_text().strip()) for zone in zones]
    packages = [
        Package(zone, name, _read_int(zone / "max_energy_range_uj"), _read_int(zone / "energy_uj"))
        for zone, name in named
        if name.startswith("package")
    ]
    if not packages:
        raise FileNotFoundError("no RAPL package counter on this machine")
    return packages


class RaplCounter:
    """Joules of all CPU packages between start and stop; whatever ran on them counts, DRAM does not.

    Args:
        root: the powercap folder.
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        self._root = root
        self._energy_uj = 0
        self._poller = Poller(self._advance, POLL_INTERVAL_S)

    def start(self) -> None:
        """Read the counters for the first time.

        Raises:
            OSError: no package counter can be read.
        """
        self._packages = find_packages(self._root)
        self.scope = f"CPU {', '.join(package.name for package in self._packages)} (all processes, no DRAM)"
        self._poller.start()

    def stop(self) -> float:
        """Return the joules since start.

        Raises:
            OSError: a counter can no longer be read, or none moved (virtual machines show such counters).
        """
        self._poller.stop()
        if self._energy_uj == 0:
            raise OSError("the RAPL counters did not move")
        return self._energy_uj / MICROJOULES_PER_JOULE

    def _advance(self) -> None:
        self._energy_uj += sum(package.advance_uj() for package in self._packages)
