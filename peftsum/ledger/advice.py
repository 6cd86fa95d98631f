"""What to choose: for a memory, for the least energy, for the best quality. No winner is named inside the noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from peftsum.comparison import (
    COSTS,
    POINTS,
    Comparison,
    Contrast,
    System,
    comparable,
    contrasts,
    rouge_l,
    train_reading,
    untuned_base,
)
from peftsum.ledger.order import training_order, turning_with
from peftsum.units import GIB, format_bytes, format_joules, format_seconds

BUDGETS_GIB = (4, 8, 16, 24)  # of the cards that a small budget buys; one sentence where the answer is the same


@dataclass(frozen=True)
class Choice:
    """One system among some, and those that the dialogues do not tell from the best of them."""

    best: System
    """By ROUGE-L."""
    equal: list[System]
    """Those not shown to be worse than it, itself among them."""
    pick: System
    """The cheapest of those, where their costs can be compared and cannot turn; else the best."""
    by: str | None
    """The cost (a key of ``COSTS``) that picks; None where there is nothing to pick between, or no sure cost."""


def advice(comparison: Comparison) -> list[str]:
    """Return the sentences: for each memory, the least energy, the best quality; empty where nothing is tuned."""
    tuned = [s for s in comparison.systems if s.method != "none"]
    if not tuned:
        return []
    tests = {(t.system, t.against): t for t in contrasts(comparison)}
    gaining = [s for s in tuned if _gains(comparison, s, tests)]
    if not gaining:
        return [
            "No recipe here is shown to be better than its untuned base, so none is worth its cost on this evidence."
        ]
    return [
        *_for_memory(comparison, gaining, tests),
        _for_energy(comparison, gaining, tests),
        _for_quality(comparison, gaining, tests),
    ]


def _gains(comparison: Comparison, system: System, tests: dict[tuple[str, str], Contrast]) -> bool:
    """Return whether a system may be recommended: it is shown to beat its untuned base, or there is none here."""
    base = untuned_base(comparison, system)
    return base is None or _outcome(tests, system, base) == "better"


def _outcome(tests: dict[tuple[str, str], Contrast], system: System, other: System) -> str:
    """Return better, worse or unclear, whichever way round the pair was tested; an untested pair is unclear."""
    if (found := tests.get((system.system, other.system))) is not None:
        return found.outcome
    if (found := tests.get((other.system, system.system))) is not None:
        return {"better": "worse", "worse": "better"}.get(found.outcome, found.outcome)
    return "unclear"


def choose(comparison: Comparison, systems: Sequence[System], tests: dict[tuple[str, str], Contrast]) -> Choice:
    """Return the choice among some systems: of those as good as the best as far as was shown, the cheapest."""
    best = max(systems, key=rouge_l)
    equal = [s for s in systems if s is best or _outcome(tests, s, best) != "worse"]
    for cost in ("train_energy_j", "train_wall_s"):
        if len(equal) > 1 and comparable(equal, cost):
            pick = min(equal, key=lambda s: COSTS[cost].of(s) or 0.0)
            turning = turning_with(training_order(comparison), pick) if cost == "train_energy_j" else []
            if not {s.system for s in equal}.intersection(turning):
                return Choice(best, equal, pick, cost)
    return Choice(best, equal, best, None)


def _for_memory(comparison: Comparison, systems: Sequence[System], tests: dict[tuple[str, str], Contrast]) -> list[str]:
    measured = [s for s in systems if COSTS["peak_memory_bytes"].of(s) is not None]
    if not measured:
        return []
    answers: dict[str, list[int]] = {}
    for budget in BUDGETS_GIB:
        fitting = [s for s in measured if (COSTS["peak_memory_bytes"].of(s) or 0) <= budget * GIB]
        answers.setdefault(_memory_answer(comparison, measured, fitting, tests), []).append(budget)
    return [f"For {_listed([str(b) for b in budgets], 'or')} GB {answer}" for answer, budgets in answers.items()]


def _memory_answer(
    comparison: Comparison,
    measured: Sequence[System],
    fitting: Sequence[System],
    tests: dict[tuple[str, str], Contrast],
) -> str:
    peaks = sorted(COSTS["peak_memory_bytes"].of(s) or 0 for s in measured)
    if not fitting:
        return f"none of these recipes fits: the least peak read in training was {format_bytes(peaks[0])}."
    found = choose(comparison, fitting, tests)
    if len(fitting) == len(measured):
        room = f"all recipes fit (peaks read in training: {format_bytes(peaks[0])} to {format_bytes(peaks[-1])})"
        room = room if len(measured) > 1 else f"it fits (peak read in training: {format_bytes(peaks[0])})"
    else:
        room = f"{_listed([s.system for s in fitting])} fit{'s' if len(fitting) == 1 else ''}"
    return f"choose {found.pick.system}: {room}{_because(found)}."


def _because(choice: Choice) -> str:
    """Return why this one, as a clause; empty where it was the only one."""
    others = [s for s in choice.equal if s is not choice.pick]
    score = f"{POINTS * rouge_l(choice.pick):.1f}"
    if choice.by is not None:
        return (
            f", and of {_listed([s.system for s in choice.equal])}, which these dialogues do not tell apart, it is the "
            f"cheapest by {COSTS[choice.by].label}"
        )
    if others:
        return (
            f", and it has the highest ROUGE-L ({score}); {_listed([s.system for s in others])} "
            f"{'is' if len(others) == 1 else 'are'} not shown to be worse, nor which is cheaper"
        )
    return f", and it scores best of those that do (ROUGE-L {score}), by more than the noise"


def _for_energy(comparison: Comparison, systems: Sequence[System], tests: dict[tuple[str, str], Contrast]) -> str:
    known = [s for s in systems if COSTS["train_energy_j"].of(s) is not None]
    if not known or not comparable(known, "train_energy_j"):
        return (
            "Which recipe takes the least energy is not known: energy was not read, or not in one way, for all of them."
        )
    least = min(known, key=lambda s: COSTS["train_energy_j"].of(s) or 0.0)
    reading = train_reading(least, "energy_j")
    assert reading is not None
    assert reading.value is not None
    wall = COSTS["train_wall_s"].of(least)
    time = f" in {format_seconds(wall)}" if wall is not None else ""
    amount = f"{format_joules(reading.value)}{time}{', an estimate' if reading.estimated else ''}"
    near = [name for name in turning_with(training_order(comparison), least) if name in {s.system for s in known}]
    if near:
        return (
            f"For the least training energy choose {_listed([least.system, *near], 'or')}: {least.system} reads lowest "
            f"({amount}), but within the ranges the order could turn."
        )
    return f"For the least training energy choose {least.system} ({amount}){_given_up(least, systems, tests)}."


def _given_up(system: System, systems: Sequence[System], tests: dict[tuple[str, str], Contrast]) -> str:
    best = max(systems, key=rouge_l)
    if best is system:
        return ", which also has the highest ROUGE-L" if len(systems) > 1 else ""
    missed = POINTS * (rouge_l(best) - rouge_l(system))
    if _outcome(tests, system, best) == "worse":
        return f": it gives up {missed:.1f} points of ROUGE-L to {best.system}, more than the noise"
    return f": it is not shown to be worse than {best.system} ({missed:.1f} points of ROUGE-L apart, within the noise)"


def _for_quality(comparison: Comparison, systems: Sequence[System], tests: dict[tuple[str, str], Contrast]) -> str:
    found = choose(comparison, systems, tests)
    score = f"ROUGE-L {POINTS * rouge_l(found.best):.1f}"
    if len(found.equal) == 1:
        why = "all others are shown to be worse" if len(systems) > 1 else "there is no other"
        return f"For the best quality choose {found.best.system} ({score}): {why}."
    told = f"{_listed([s.system for s in found.equal], 'or')}: these dialogues do not tell them apart"
    cheap = f", and {found.pick.system} is the cheapest by {COSTS[found.by].label}" if found.by is not None else ""
    return f"For the best quality choose {told} ({found.best.system} has the highest {score}){cheap}."


def _listed(items: Sequence[str], word: str = "and") -> str:
    return f" {word} ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
