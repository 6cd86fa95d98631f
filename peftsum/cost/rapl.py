"""RAPL, the energy counters of Intel's and AMD's CPUs, from the powercap files of Linux."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Literal

from peftsum.cost.component import WHOLE
from peftsum.cost.counters import CounterSet, Domain

POWERCAP = Path("/sys/class/powercap")
# A counter wraps at 2**32 of its units: 65 to 262 kJ, so in under four minutes at 300 W. Two wraps between two looks
# cannot be told from none, so the counters are looked at more often than that.
POLL_INTERVAL_S = 30.0
# Top-level zones only. A subzone such as intel-rapl:0:0 ("core" or "uncore") is part of its package, but for "dram",
# which stands beside it. intel-rapl-mmio:0 is the same package by another way. AMD's zones carry Intel's name.
ZONE = re.compile(r"intel-rapl:\d+")
SUBZONE = re.compile(r"intel-rapl:\d+:\d+")
REMEDY = "the counters are root's since CVE-2020-8694; `sudo chmod a+r {}` opens them until the next start"


def rapl_counters(root: Path = POWERCAP) -> CounterSet:
    """Return the RAPL counters of this machine.

    Args:
        root: the powercap folder.
    """
    return CounterSet("RAPL counter", lambda: find_domains(root), POLL_INTERVAL_S)


def find_domains(root: Path) -> list[Domain]:
    """Return the domains under a powercap folder: each CPU package, and its memory where the chip counts it.

    ``psys``, the whole board, holds the packages and is taken only where no package is there.

    Raises:
        FileNotFoundError: there are none.
        PermissionError: they are there and closed to this user.
        OSError: one cannot be read.
    """
    zones = {path: _read_name(path) for path in sorted(root.glob("intel-rapl:*"))}
    top = {path: name for path, name in zones.items() if ZONE.fullmatch(path.name)}
    packages = {path: name for path, name in top.items() if name.startswith("package")}
    boards = {path: name for path, name in top.items() if name == "psys"}
    found = [_domain(path, "cpu", f"CPU {name} ({WHOLE})") for path, name in (packages or boards).items()]
    if not found:
        raise FileNotFoundError("no RAPL package counter on this machine")
    for path, name in zones.items() if packages else ():
        if name == "dram" and SUBZONE.fullmatch(path.name):
            package = packages.get(path.with_name(path.name.rpartition(":")[0]))
            if package is not None:
                found.append(_domain(path, "ram", f"RAM of {package} ({WHOLE})"))
    return found


def _domain(zone: Path, kind: Literal["cpu", "ram"], scope: str) -> Domain:
    counter = zone / "energy_uj"
    try:
        range_uj = _read_int(zone / "max_energy_range_uj")
        _read_int(counter)
    except PermissionError as error:
        raise PermissionError(f"{counter} is closed to this user: {REMEDY.format(_pattern(zone))}") from error
    return Domain(kind, scope, partial(_read_int, counter), range_uj)


def _pattern(zone: Path) -> str:
    return f"{zone.parent}/intel-rapl:*/energy_uj"


def _read_int(path: Path) -> int:
    return int(path.read_text())


def _read_name(zone: Path) -> str:
    try:
        return (zone / "name").read_text().strip()
    except OSError:
        return ""
