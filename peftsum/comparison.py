"""The verdict of a comparison in one sentence, and the door to its records, gains and Pareto front.

"Within the noise" is decided by the tests of :mod:`peftsum.significance`, "cheapest" by :func:`judge`; :func:`verdict`
puts it in words a newcomer understands, and :func:`verdict_basis` says how it was decided. Nothing here trains,
generates or draws.
"""

from __future__ import annotations

from dataclasses import dataclass

from peftsum.significance import ALPHA, Contrast, Outcome, contrasts, error_contrasts, reference_system
from peftsum.systems import (
    COSTS,
    POINTS,
    ROUGES,
    Comparison,
    Difference,
    Example,
    Gain,
    Point,
    System,
    comparable,
    difference,
    full_tuning,
    gains,
    pareto_front,
    points,
    rouge,
    rouge_l,
    train_reading,
    untuned_base,
)
from peftsum.units import format_bytes, format_joules, format_probability, format_seconds, signed

__all__ = [
    "ALPHA",
    "COSTS",
    "POINTS",
    "ROUGES",
    "Comparison",
    "Contrast",
    "Difference",
    "Example",
    "Gain",
    "Judgement",
    "Point",
    "System",
    "comparable",
    "contrasts",
    "difference",
    "error_contrasts",
    "full_tuning",
    "gains",
    "judge",
    "pareto_front",
    "points",
    "reference_system",
    "rouge",
    "rouge_l",
    "train_reading",
    "untuned_base",
    "verdict",
    "verdict_basis",
]

SAME = 0.015  # ratios nearer to 1 than this are called "about the same"


@dataclass(frozen=True)
class Judgement:
    """What the verdict rests on."""

    reference: System
    """What "as good as" is held against: full tuning, else the best tuned system."""
    good: list[System]
    """Tuned systems not shown to be worse than the reference, itself among them, cheapest first."""
    winner: System
    """The cheapest of those; the best by ROUGE-L where no cost is known for all of them."""
    by: str | None
    """The cost (a key of ``COSTS``) that makes it the cheapest; None where none is known for all."""
    others: list[System]
    """The tuned systems that are not good enough, best first."""
    untuned: System | None
    """The untuned base of the winner."""
    tests: dict[tuple[str, str], Contrast]
    """The tests of ROUGE-L that decided it, by the names of the two systems."""

    @property
    def has_full(self) -> bool:
        """Whether there is a full fine-tune to be held against."""
        return self.reference.method == "full"

    def outcome(self, system: System, other: System) -> Outcome:
        """Return whether a tuned system is better or worse than the reference or its untuned base, or neither."""
        return self.tests[system.system, other.system].outcome


def judge(comparison: Comparison) -> Judgement | None:
    """Return the cheapest system within the noise of full tuning and why it is; None where nothing is tuned."""
    tuned = [s for s in comparison.systems if s.method != "none"]
    if not tuned:
        return None
    reference = reference_system(comparison)
    tests = {(test.system, test.against): test for test in contrasts(comparison)}
    good = [s for s in tuned if s is reference or tests[s.system, reference.system].outcome != "worse"]
    by = next((c for c in ("train_energy_j", "train_wall_s", "trainable_params") if comparable(good, c)), None)
    good.sort(key=rouge_l, reverse=True)
    if by is not None:
        good.sort(key=lambda s: COSTS[by].of(s) or 0.0)
    elif len(good) > 1 and reference.method == "full":
        # With no cost in common nothing is cheapest: full tuning goes last, so that the best alternative is named.
        good = [*(s for s in good if s is not reference), reference]
    others = sorted((s for s in tuned if s not in good), key=rouge_l, reverse=True)
    return Judgement(reference, good, good[0], by, others, untuned_base(comparison, good[0]), tests)


def verdict(comparison: Comparison) -> str:
    """Return one sentence: what the cheapest recipe within the noise of full tuning costs beside full tuning."""
    if len(comparison.systems) == 1:
        return _only_one(comparison, comparison.systems[0])
    judgement = judge(comparison)
    if judgement is None:
        best = max(comparison.systems, key=rouge_l)
        return (
            f"Nothing tuned is in this comparison; of its {len(comparison.systems)} untuned systems {best.system} "
            f"scores best, with ROUGE-L {_points(best)} on {_dialogues(comparison)}."
        )
    best = max((s for s in comparison.systems if s.method != "none"), key=rouge_l)
    untuned = untuned_base(comparison, best)
    if untuned is not None and (outcome := judgement.outcome(best, untuned)) != "better":
        return _no_gain(comparison, best, untuned, outcome)
    if not judgement.has_full:
        return _without_full(comparison, judgement)
    if len(judgement.good) + len(judgement.others) == 1:
        return _full_alone(comparison, judgement)
    if len(judgement.good) == 1:
        return _only_full_reaches(comparison, judgement)
    if judgement.winner is judgement.reference:
        return _full_cheapest(comparison, judgement)
    return _cheaper_than_full(comparison, judgement)


def _only_one(comparison: Comparison, system: System) -> str:
    score = system.scores.rougeL
    missing = {
        "none": "add a recipe to see what tuning gains",
        "full": "add an adapter recipe to see what a cheaper one would give up",
    }.get(system.method, "add full fine-tuning to see what it gives up")
    return (
        f"Only one system is in this comparison: {_named(system)} scores ROUGE-L {_points(system)} "
        f"(95 % interval {POINTS * score.low:.1f} to {POINTS * score.high:.1f}) on {_dialogues(comparison)}"
        f"{_spent(system)}; {missing}."
    )


def _no_gain(comparison: Comparison, best: System, untuned: System, outcome: Outcome) -> str:
    scores = f"ROUGE-L {_points(best)} against {_points(untuned)} for the untuned {untuned.base}"
    if outcome == "worse":
        return (
            f"Tuning made the summaries worse, by more than the noise of {_dialogues(comparison)}: the best tuned "
            f"recipe, {best.system}, scores {scores}."
        )
    return (
        f"No gain from tuning can be seen on {_dialogues(comparison)}: the best tuned recipe, {best.system}, scores "
        f"{scores}, a difference within the noise."
    )


def _without_full(comparison: Comparison, judgement: Judgement) -> str:
    winner, untuned = judgement.winner, judgement.untuned
    if untuned is None:
        missing = "neither full fine-tuning nor the untuned base is here to compare with"
        gain = f"scores ROUGE-L {_points(winner)} on {_dialogues(comparison)}"
    else:
        missing = "there is no full fine-tuning here to compare with"
        delta = POINTS * (rouge_l(winner) - rouge_l(untuned))
        verb = "gains" if delta >= 0 else "loses"
        gain = (
            f"{verb} {abs(delta):.1f} points of ROUGE-L over the untuned base on {_dialogues(comparison)} "
            f"({_points(winner)} against {_points(untuned)})"
        )
    cheapest = f", and is {_cheapest(judgement)}" if len(judgement.good) > 1 and judgement.by else ""
    return f"{_named(winner)} {gain}{_spent(winner)}{cheapest}; {missing}."


def _full_alone(comparison: Comparison, judgement: Judgement) -> str:
    full, untuned = judgement.reference, judgement.untuned
    against = f" against {_points(untuned)} for the untuned base" if untuned is not None else ""
    return (
        f"Full fine-tuning of {full.base} is the only tuned recipe here: it scores ROUGE-L {_points(full)}{against} on "
        f"{_dialogues(comparison)}{_spent(full)}; add an adapter recipe to see what a cheaper one would give up."
    )


def _only_full_reaches(comparison: Comparison, judgement: Judgement) -> str:
    full, nearest = judgement.reference, judgement.others[0]
    missed = POINTS * (rouge_l(full) - rouge_l(nearest))
    trade = _trade(nearest, full)
    return (
        f"Only {_full_name(comparison, full, full.base)} reaches ROUGE-L {_points(full)} on {_dialogues(comparison)}: "
        f"the nearest other recipe, {nearest.system} ({_points(nearest)}), misses it by {missed:.1f} points, more than "
        f"the noise{_unpaired(judgement, nearest)}{f'; it {trade}' if trade else ''}."
    )


def _full_cheapest(comparison: Comparison, judgement: Judgement) -> str:
    full, runner_up = judgement.reference, judgement.good[1]
    trade = _trade(runner_up, full)
    return (
        f"{_full_name(comparison, full, full.base, start='F')} (ROUGE-L {_points(full)}) is itself "
        f"{_cheapest(judgement)} as far as {_dialogues(comparison)} can show; the next "
        f"is {runner_up.system} ({_points(runner_up)}){f', which {trade}' if trade else ''}."
    )


def _cheaper_than_full(comparison: Comparison, judgement: Judgement) -> str:
    full, winner = judgement.reference, judgement.winner
    scores = f"ROUGE-L {_points(winner)} against {_points(full)}"
    full_name = _full_name(comparison, full, None if winner.base == full.base else full.base)
    shown = f"({scores}{_unpaired(judgement, winner)})"
    if judgement.outcome(winner, full) == "better":
        claim = f"is better than {full_name}, by more than the noise of {_dialogues(comparison)} {shown}"
    else:
        claim = f"is as good as {full_name} as far as {_dialogues(comparison)} can show {shown}"
    trade = _trade(winner, full)
    costs = f", and {trade}" if trade else ""
    if len(judgement.good) > 2 and judgement.by:
        costs += f", which makes it {_cheapest(judgement)}" if trade else f", and is {_cheapest(judgement)}"
    doubt = ""
    if judgement.untuned is not None and judgement.outcome(winner, judgement.untuned) != "better":
        doubt = ", though it is not shown to beat the untuned base either"
    return f"{_named(winner)} {claim}{costs}{doubt}{_unmeasured(winner, full)}."


def _named(system: System) -> str:
    if system.method == "none":
        return f"the untuned {system.base}"
    return system.system if system.base in system.system else f"{system.system} on {system.base}"


def _full_name(comparison: Comparison, full: System, base: str | None, start: str = "f") -> str:
    several = sum(s.method == "full" for s in comparison.systems) > 1
    return f"{start}ull fine-tuning{f' of {base}' if base else ''}{f' ({full.system})' if several else ''}"


def _points(system: System) -> str:
    return f"{POINTS * rouge_l(system):.1f}"


def _dialogues(comparison: Comparison) -> str:
    return f"these {comparison.n} dialogues" if comparison.n > 1 else "this one dialogue"


def _cheapest(judgement: Judgement) -> str:
    many = len(judgement.good)
    which = "the cheaper" if many == 2 else "the cheapest"
    recipes = "two recipes" if many == 2 else f"{many} recipes"
    return f"{which} by {_cost_name(judgement)} of the {recipes} that are equally good"


def _cost_name(judgement: Judgement) -> str:
    assert judgement.by is not None
    name = COSTS[judgement.by].label
    reading = train_reading(judgement.winner, "energy_j") if judgement.by == "train_energy_j" else None
    return f"{name} (an estimate)" if reading is not None and reading.estimated else name


def _trade(system: System, other: System) -> str:
    """Return what ``system`` takes relative to ``other``, as "takes …, and stores …"; empty when nothing is known."""
    pieces = []
    nouns = {"train_energy_j": "energy", "train_wall_s": "time", "peak_memory_bytes": "memory"}
    for cost, noun in nouns.items():
        ours, theirs = COSTS[cost].of(system), COSTS[cost].of(other)
        if ours and theirs and comparable([system, other], cost):
            reading = train_reading(system, "energy_j")
            estimate = " (an estimate)" if noun == "energy" and reading is not None and reading.estimated else ""
            pieces.append(_relative(ours / theirs, noun) + estimate)
    takes = f"takes {_listed(pieces)}" if pieces else ""
    if system.adapter_bytes is None:
        return takes
    instead = f" instead of a model of {format_bytes(other.model_bytes)}" if other.model_bytes is not None else ""
    return f"{takes}{', and ' if takes else ''}stores an adapter of {format_bytes(system.adapter_bytes)}{instead}"


def _relative(ratio: float, noun: str) -> str:
    if abs(ratio - 1) < SAME:
        return f"about the same {noun}"
    if ratio >= 2:
        return f"{ratio:.1f} times the {noun}"
    if ratio < 0.1:  # "99.6 % less" hides how much is left
        return f"{100 * ratio:.2g} % of the {noun}"
    return f"{100 * abs(ratio - 1):.0f} % {'more' if ratio > 1 else 'less'} {noun}"


def _listed(items: list[str]) -> str:
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def _spent(system: System) -> str:
    """Return ", for …" with what one system took, saying so where that was not measured."""
    if system.method == "none":
        return ""
    pieces = []
    wall, energy = train_reading(system, "wall_s"), train_reading(system, "energy_j")
    if wall is not None and wall.value is not None:
        pieces.append(f"{format_seconds(wall.value)} of training")
    if energy is not None and energy.value is not None:
        pieces.append(f"{format_joules(energy.value)} of energy{' (an estimate)' if energy.estimated else ''}")
    if not pieces:
        pieces.append("a training cost that was not measured")
    stored = COSTS["stored_bytes"].of(system)
    if stored is not None:
        pieces.append(f"{'a saved model' if system.adapter_bytes is None else 'an adapter'} of {format_bytes(stored)}")
    return f", for {_listed(pieces)}"


def _unmeasured(system: System, other: System) -> str:
    """Return "; what training took was not measured for …" where neither time nor energy can be compared."""
    lacking = [s.system for s in (system, other) if not any(COSTS[c].of(s) for c in ("train_wall_s", "train_energy_j"))]
    return f"; what training took was not measured for {_listed(lacking)}" if lacking else ""


def _unpaired(judgement: Judgement, system: System) -> str:
    test = judgement.tests[system.system, judgement.reference.system]
    return "" if test.paired else ", judged by whether their intervals overlap"


def verdict_basis(comparison: Comparison) -> str:
    """Return how the verdict was decided: the test with its difference, and what "cheapest" means; or ""."""
    judgement = judge(comparison)
    if judgement is None or len(comparison.systems) == 1:
        return ""
    reference = judgement.reference
    rivals = [s for s in (judgement.winner, *judgement.good, *judgement.others) if s is not reference]
    sentences = [_difference_basis(judgement, rivals[0])] if rivals else []
    if len(judgement.good) > 1:
        sentences.append(_cheapest_basis(judgement))
    return " ".join(sentences)


def _difference_basis(judgement: Judgement, rival: System) -> str:
    reference, test = judgement.reference, judgement.tests[rival.system, judgement.reference.system]
    target = "full fine-tuning" if reference.method == "full" else f"the best recipe, {reference.system},"
    if not test.paired:
        return (
            f"A recipe counts as being as good as {target} unless its 95 % interval of ROUGE-L lies wholly below "
            f"that of {reference.system}: scores a dialogue, which would allow the sharper paired test, are missing."
        )
    assert test.p_holm is not None
    low, high = POINTS * test.low, POINTS * test.high
    corrected = f", corrected by Holm's method for {test.family} pairs of systems" if test.family > 1 else ""
    return (
        f"A recipe counts as being as good as {target} unless it is shown to be worse in ROUGE-L, which takes a p of "
        f"at most {ALPHA} by paired approximate randomization over {_dialogues_plainly(test.n)}{corrected}. "
        f"{rival.system} less {reference.system}: {signed(POINTS * test.mean)} points, interval {signed(low)} to "
        f"{signed(high)}, p {_equals(test.p_holm)}."
    )


def _dialogues_plainly(n: int) -> str:
    return f"{n} dialogues" if n > 1 else "one dialogue"


def _equals(p: float) -> str:
    shown = format_probability(p)
    return shown if shown.startswith("<") else f"= {shown}"


def _cheapest_basis(judgement: Judgement) -> str:
    named = f"{judgement.winner.system} is the cheapest of the {len(judgement.good)} that are good enough"
    if judgement.by is None:
        return (
            f"Which of the {len(judgement.good)} good enough is the cheapest is not known: they have no cost in common."
        )
    if judgement.by == "train_energy_j":
        reading = train_reading(judgement.winner, "energy_j")
        return f"{named} by {_cost_name(judgement)}; source: {reading.source if reading else 'unknown'}."
    lacking = "energy" if judgement.by == "train_wall_s" else "energy or time"
    return (
        f"{named} by {_cost_name(judgement)}; training {lacking} was not measured, or not in the same way, for all of "
        f"them."
    )
