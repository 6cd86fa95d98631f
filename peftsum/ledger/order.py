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
ENERGY = "training energy"
SUMMARIES = "the energy of summaries"
CARBON = "the carbon of training, with the share of making the device,"
SPREAD = {SUMMARIES: " and the spread of the passes", CARBON: " and of the grid"}
SHOWN = 3  # pairs whose order could turn, the nearest first


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


Noise = tuple[float, float]


@dataclass(frozen=True)
class _Figure:
    """A system's cost by uncertain part; several variants where a factor outside it is uncertain, the same in all."""

    system: str
    variants: tuple[tuple[Share, ...], ...]
    """The middle one first."""
    noise: Noise = (1.0, 1.0)

    @property
    def value(self) -> float:
        return _sum(self.variants[0])


def training_order(comparison: Comparison) -> list[Pair]:
    """Return the pairs of tuned systems by training energy, cheapest first; those without energy are left out."""
    found = [(s, shares(s.train, machine_of(s, "trained_on"))) for s in _tuned(comparison)]
    return _pairs([_Figure(s.system, (energy,)) for s, energy in found if energy is not None])


def inference_order(comparison: Comparison) -> list[Pair]:
    """Return the pairs of tuned systems by the energy of their summaries, the spread of the passes included."""
    figures = []
    for system in _tuned(comparison):
        window, energy = cheapest_window(system), summary_energy(system)
        if window is not None and energy is not None:
            figures.append(_Figure(system.system, (energy,), window.energy_noise))
    return _pairs(figures)


def carbon_order(comparison: Comparison) -> list[Pair]:
    """Return the pairs by the carbon of training, embodied share included; empty where none is stated.

    Without that share carbon ranks as energy does, the grid and the PUE being one for all systems. With it the grid
    matters: each pair is compared at its value and at both ends.
    """
    if comparison.cost.embodied_kg is None:
        return []
    rate = grams_per_joule(comparison.cost)
    assert rate.value is not None
    figures = []
    for system in _tuned(comparison):
        energy = shares(system.train, machine_of(system, "trained_on"))
        made = disclose(system.train, comparison.cost).embodied_g.value
        if energy is not None and made is not None:
            device = Share(None, made, made, made)
            variants = tuple((*(e.times(at) for e in energy), device) for at in (rate.value, *rate.ends))
            figures.append(_Figure(system.system, variants))
    return _pairs(figures)


def _tuned(comparison: Comparison) -> list[System]:
    return [system for system in comparison.systems if system.method != "none"]


def grams_per_joule(cost: Cost) -> Quantity:
    """Return the grams of CO2-equivalent of a joule at a place."""
    joule = Quantity(value=1.0, unit="J", source="one joule")
    return disclose_amounts(joule, joule.model_copy(update={"unit": "s"}), cost).carbon_g


def _pairs(figures: Sequence[_Figure]) -> list[Pair]:
    known = sorted((figure for figure in figures if figure.value > 0), key=lambda figure: figure.value)
    return [_pair(*pair) for pair in combinations(known, 2)]


def _pair(less: _Figure, more: _Figure) -> Pair:
    ratios = [
        dear * up / (cheap * down)
        for variant in zip(less.variants, more.variants, strict=True)
        for cheap, dear in scenarios(variant)
        if cheap > 0
        for down in less.noise
        for up in more.noise
    ]
    ours, theirs = less.variants[0], more.variants[0]
    sure = not any(share.factor for share in (*ours, *theirs))
    basis: Basis = "counters" if sure else "one model" if same_factors(ours, theirs) else "several models"
    return Pair(less.system, more.system, more.value / less.value, min(ratios), max(ratios), basis)


def _sum(parts: Sequence[Share]) -> float:
    return sum(part.value for part in parts)


def order_sentences(comparison: Comparison) -> list[str]:
    """Return in words whether the rankings hold: by training energy, by that of summaries, and by carbon."""
    orders: tuple[tuple[str, Callable[[Comparison], list[Pair]]], ...] = (
        (ENERGY, training_order),
        (SUMMARIES, inference_order),
        (CARBON, carbon_order),
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
        shown = sorted(turning, key=lambda pair: pair.ratio)[:SHOWN]
        told = "; ".join(
            f"{p.more} takes {p.ratio:.2f} times that of {p.less}, and within the ranges {p.low:.2f} to {p.high:.2f} "
            f"times{_why(p)}"
            for p in shown
        )
        more = f"; and {len(turning) - SHOWN} more of {len(pairs)} pairs" if len(turning) > SHOWN else ""
        rest = "" if len(turning) == len(pairs) else " The other pairs keep their order."
        return f"The ranking by {name} could turn inside the ranges: {told}{more}.{rest}"
    names = list(dict.fromkeys([pairs[0].less, *(p.more for p in pairs if p.less == pairs[0].less)]))
    order = " < ".join(names)
    if name == ENERGY and all(pair.basis == "counters" for pair in pairs):
        return f"The ranking by {name} ({order}) rests on counters, which have no range; one run each was read."
    if name == ENERGY and all(pair.basis == "one model" for pair in pairs):
        return (
            f"The ranking by {name} ({order}) cannot turn inside the ranges: all are estimates of one model on one "
            "machine, so a wrong wattage would raise or lower all alike, and the order is that of the busy "
            "core-seconds (or GPU-seconds) it counts. One run each was read; another may differ."
        )
    return f"The ranking by {name} ({order}) holds throughout the ranges of the estimates{SPREAD.get(name, '')}."


def _why(pair: Pair) -> str:
    return ", as they were read in different ways or on different machines" if pair.basis == "several models" else ""


def turning_with(pairs: Sequence[Pair], system: System) -> list[str]:
    """Return the systems whose order with one could turn."""
    name = system.system
    return [p.more if p.less == name else p.less for p in pairs if p.turns and name in (p.less, p.more)]
