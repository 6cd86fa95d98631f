"""Whether the ranking by a cost could turn within the ranges of its estimates.

Two estimates of one model on one machine are uncertain by the same wattage, which cancels in their ratio: their order
is that of the busy core-seconds. So each pair is compared with every factor at one level in both
(:mod:`peftsum.cost.ranges`), and not by whether two wide ranges overlap, which they nearly always do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from peftsum.comparison import Comparison, System
from peftsum.cost.disclosure import disclose, disclose_amounts
from peftsum.cost.quantity import Quantity
from peftsum.cost.ranges import Share, same_factors, scenarios, shares
from peftsum.cost.section import Cost
from peftsum.ledger.windows import cheapest_window, machine_of, summary_energy

Basis = Literal["counters", "one model", "several models"]
ROUNDING = 1e-9


@dataclass(frozen=True)
class Pair:
    """Two systems by one cost: how many times that of ``less`` the cost of ``more`` is."""

    less: str
    more: str
    ratio: float
    low: float
    """The smallest ratio within the ranges; below 1 the order has turned."""
    high: float
    basis: Basis
    """``counters`` have no range; ``one model`` is uncertain by the same factors on both sides; else ``several``."""

    @property
    def turns(self) -> bool:
        """Whether the order could be the other way within the ranges."""
        return self.low < 1 - ROUNDING


def training_order(comparison: Comparison) -> list[Pair]:
    """Return the pairs of tuned systems by training energy, cheapest first; those without energy are left out."""
    tuned = [s for s in comparison.systems if s.method != "none"]
    return _pairs([(s.system, shares(s.train, machine_of(s, "trained_on")), (1.0, 1.0)) for s in tuned])


def inference_order(comparison: Comparison) -> list[Pair]:
    """Return the pairs of tuned systems by the energy of their summaries, the spread of the passes included."""
    figures = []
    for system in (s for s in comparison.systems if s.method != "none"):
        window = cheapest_window(system)
        figures.append((system.system, summary_energy(system), window.noise if window is not None else (1.0, 1.0)))
    return _pairs(figures)


def carbon_order(comparison: Comparison) -> list[Pair]:
    """Return the pairs by the carbon of training, embodied share included; empty where none is stated.

    Without that share carbon ranks as energy does, the grid and the PUE being one for all systems.
    """
    if comparison.cost.embodied_kg is None:
        return []
    return [
        max(pairs, key=lambda pair: (pair.turns, -pair.low))
        for pairs in zip(*(_carbon_at(comparison, end) for end in (0, 1)), strict=False)
    ]


def _carbon_at(comparison: Comparison, end: Literal[0, 1]) -> list[Pair]:
    figures = []
    for system in (s for s in comparison.systems if s.method != "none"):
        energy = shares(system.train, machine_of(system, "trained_on"))
        found = disclose(system.train, comparison.cost)
        made = found.embodied_g.value
        if energy is None or made is None:
            continue
        rate = grams_per_joule(comparison.cost).ends[end]
        figures.append((system.system, (*(e.times(rate) for e in energy), Share(None, made, made, made)), (1.0, 1.0)))
    return _pairs(figures)


def grams_per_joule(cost: Cost) -> Quantity:
    """Return the grams of CO2-equivalent of a joule at a place."""
    joule = Quantity(value=1.0, unit="J", source="one joule")
    return disclose_amounts(joule, joule.model_copy(update={"unit": "s"}), cost).carbon_g


def _pairs(figures: Sequence[tuple[str, tuple[Share, ...] | None, tuple[float, float]]]) -> list[Pair]:
    known = [(name, parts, noise) for name, parts, noise in figures if parts is not None and _sum(parts) > 0]
    known.sort(key=lambda figure: _sum(figure[1]))
    return [_pair(*pair) for pair in combinations(known, 2)]


Figure = tuple[str, tuple[Share, ...], tuple[float, float]]


def _pair(less: Figure, more: Figure) -> Pair:
    (one, ours, our_noise), (other, theirs, their_noise) = less, more
    ratios = [
        dear * up / (cheap * down)
        for cheap, dear in scenarios([ours, theirs])
        if cheap > 0
        for down in our_noise
        for up in their_noise
    ]
    sure = not any(share.factor for share in (*ours, *theirs))
    basis: Basis = "counters" if sure else "one model" if same_factors(ours, theirs) else "several models"
    return Pair(one, other, _sum(theirs) / _sum(ours), min(ratios), max(ratios), basis)


def _sum(parts: Sequence[Share]) -> float:
    return sum(part.value for part in parts)


def order_sentences(comparison: Comparison) -> list[str]:
    """Return in words whether the rankings hold: by training energy, by that of summaries, and by carbon."""
    orders: tuple[tuple[str, Callable[[Comparison], list[Pair]]], ...] = (
        ("training energy", training_order),
        ("the energy of summaries", inference_order),
        ("the carbon of training, with the share of making the device,", carbon_order),
    )
    found = [_sentence(name, pairs) for name, order in orders if (pairs := order(comparison))]
    if found and comparison.cost.embodied_kg is None:
        found.append(
            "Carbon and the cost of electricity rank as energy does: PUE, grid and tariff are the same for all systems."
        )
    return found


def _sentence(name: str, pairs: Sequence[Pair]) -> str:
    turning = [pair for pair in pairs if pair.turns]
    if turning:
        told = "; ".join(
            f"{p.more} takes {p.ratio:.2f} times that of {p.less}, and within the ranges {p.low:.2f} to {p.high:.2f} "
            f"times{_why(p)}"
            for p in turning
        )
        rest = "" if len(turning) == len(pairs) else " The other pairs keep their order."
        return f"The ranking by {name} could turn inside the ranges: {told}.{rest}"
    names = list(dict.fromkeys([pairs[0].less, *(p.more for p in pairs if p.less == pairs[0].less)]))
    order = " < ".join(names)
    if all(pair.basis == "counters" for pair in pairs):
        return f"The ranking by {name} ({order}) rests on counters, which have no range; one run each was read."
    if all(pair.basis == "one model" for pair in pairs):
        return (
            f"The ranking by {name} ({order}) cannot turn inside the ranges: all are estimates of one model on one "
            "machine, so a wrong wattage would raise or lower all alike, and the order is that of the busy "
            "core-seconds. One run each was read; another may differ."
        )
    return f"The ranking by {name} ({order}) holds throughout the ranges of the estimates."


def _why(pair: Pair) -> str:
    return ", as they were read in different ways or on different machines" if pair.basis == "several models" else ""


def turning_with(pairs: Sequence[Pair], system: System) -> list[str]:
    """Return the systems whose order with one could turn."""
    name = system.system
    return [p.more if p.less == name else p.less for p in pairs if p.turns and name in (p.less, p.more)]
