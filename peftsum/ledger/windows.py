"""The windows in which summaries were written: the evaluation's, and those measured for each arrangement."""

from __future__ import annotations

from typing import get_args

from peftsum.comparison import System
from peftsum.cost.inference import Arrangement, InferenceCost
from peftsum.cost.ranges import Share, shares

THOUSAND = 1000


def evaluated_as(system: System) -> Arrangement:
    """Return how a system was held when its summaries were written for scoring."""
    if system.method in ("none", "full"):
        return "plain_int8" if system.quantize == "int8" else "plain"
    return {"int8": "unmerged_int8", "nf4": "unmerged_nf4"}.get(system.quantize, "unmerged")  # type: ignore[return-value]


def evaluation_window(system: System) -> InferenceCost | None:
    """Return the writing of the scored summaries as a window; None where it was not recorded."""
    if system.evaluate is None or system.generated is None:
        return None
    return InferenceCost(arrangement=evaluated_as(system), summaries=system.generated, readings=system.evaluate)


def windows(system: System) -> list[InferenceCost]:
    """Return a window an arrangement: a measured one stands before the evaluation's, which had no second pass."""
    found = {window.arrangement: window for window in system.inference}
    scored = evaluation_window(system)
    if scored is not None and (scored.arrangement not in found or found[scored.arrangement].readings is None):
        found[scored.arrangement] = scored
    return [found[name] for name in get_args(Arrangement) if name in found]


def cheapest_window(system: System) -> InferenceCost | None:
    """Return the arrangement whose summaries take the least energy, or time where energy is not known of all."""
    known = [w for w in windows(system) if w.readings is not None and w.summaries and w.wall_s.value is not None]
    if not known:
        return None
    by_energy = all(w.energy_j.value is not None for w in known)
    return min(known, key=lambda w: (w.energy_j if by_energy else w.wall_s).value or 0.0)


def summary_energy(system: System) -> tuple[Share, ...] | None:
    """Return the joules of one summary in the cheapest arrangement, by uncertain factor; None where not known."""
    window = cheapest_window(system)
    if window is None:
        return None
    parts = shares(window.readings, machine_of(system, "evaluated_on"))
    return None if parts is None else tuple(part.times(1 / window.summaries) for part in parts)


def summary_time(system: System) -> tuple[Share, ...] | None:
    """Return the seconds of one summary in the cheapest arrangement; None where not known."""
    window = cheapest_window(system)
    seconds = window.wall_s.value if window is not None else None
    return None if seconds is None else (sure(seconds / THOUSAND),)


def sure(value: float) -> Share:
    """Return a figure without a range."""
    return Share(None, value, value, value)


def machine_of(system: System, phase: str) -> str:
    """Return what tells a phase's machine apart; an unknown one is like no other."""
    return getattr(system, phase) or f"the unknown machine of {system.system}"
