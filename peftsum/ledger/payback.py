"""After how many summaries a recipe that is dearer to train pays, held against the one that is cheapest to train."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from peftsum.comparison import Comparison, System, train_reading
from peftsum.cost.breakeven import BreakEven, Span, break_even
from peftsum.cost.inference import InferenceCost
from peftsum.cost.ranges import Share, shares
from peftsum.ledger.windows import cheapest_window, machine_of, summary_energy, summary_time, sure

Figure = tuple[Share, ...] | None


@dataclass(frozen=True)
class Payback:
    """A dearer system against the cheapest one, by energy and by time (and so by money a device hour)."""

    system: str
    against: str
    energy: BreakEven
    time: BreakEven


def paybacks(comparison: Comparison) -> list[Payback]:
    """Return for each tuned system but the one of the cheapest training when it pays; empty where there is no other."""
    tuned = [s for s in comparison.systems if s.method != "none" and s.train is not None]
    if len(tuned) < 2:
        return []
    cheapest = min(tuned, key=_training_cost)
    others = [s for s in tuned if s is not cheapest]
    return [
        Payback(
            s.system,
            cheapest.system,
            _break_even(s, cheapest, _training_energy, summary_energy, lambda w: w.energy_noise),
            _break_even(s, cheapest, _training_time, summary_time, lambda w: w.noise),
        )
        for s in others
    ]


def _training_cost(system: System) -> tuple[bool, float]:
    """Return what the cheapest has least of: energy, or time for those without energy, which come last."""
    energy, wall = train_reading(system, "energy_j"), train_reading(system, "wall_s")
    if energy is not None and energy.value is not None:
        return False, energy.value
    return True, wall.value if wall is not None and wall.value is not None else float("inf")


def _training_energy(system: System) -> Figure:
    return shares(system.train, machine_of(system, "trained_on"))


def _training_time(system: System) -> Figure:
    wall = train_reading(system, "wall_s")
    return None if wall is None or wall.value is None else (sure(wall.value),)


def _break_even(
    one: System,
    other: System,
    training: Callable[[System], Figure],
    summary: Callable[[System], Figure],
    noise: Callable[[InferenceCost], Span],
) -> BreakEven:
    held = [cheapest_window(system) for system in (one, other)]
    first, second = (noise(window) if window is not None else (1.0, 1.0) for window in held)
    figures = ((training(one), training(other)), (summary(one), summary(other)))
    return break_even(one.system, other.system, *figures, noise=(first, second))


def single_passes(comparison: Comparison) -> list[str]:
    """Return the systems whose summaries were timed once, so that the noise of the machine is not in their ranges."""
    found = [(system, cheapest_window(system)) for system in comparison.systems]
    return [system.system for system, window in found if window is not None and len(window.pass_s) < 2]
