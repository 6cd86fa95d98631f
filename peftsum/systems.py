"""Systems side by side: the records of a comparison, gains, paired differences, costs and the Pareto front.

Pure functions of what was measured. Scores are fractions (0.412); gains are points (41.2). :mod:`peftsum.significance`
tests the differences; :mod:`peftsum.comparison` is the door to all of it and adds the verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, model_validator

from peftsum.cost.forecast import Forecast
from peftsum.cost.inference import InferenceCost
from peftsum.cost.readings import Reading, Readings
from peftsum.cost.section import Cost as CostSection
from peftsum.dialogue_facts import DialogueFacts
from peftsum.metrics.coverage import Coverage
from peftsum.metrics.scores import RougeScore, ScoreReport
from peftsum.registry import Registry
from peftsum.section import Record
from peftsum.seen import Seen

ROUGES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
POINTS = 100.0  # papers quote ROUGE fractions times 100 and call the unit a point


class System(Record):
    """One tuned (or untuned) model: what it scores, and what it cost to get there."""

    system: str
    """Display name, unique in a comparison."""
    method: str
    """"none" for the untuned base, "full", "lora", "dora", "rslora", "ia3", …"""
    quantize: str
    """How the base's weights are kept: "none", "int8", "nf4"."""
    base: str
    """The pretrained model below: a Hub id, a folder or `builtin:tiny`."""
    scores: ScoreReport
    trainable_params: int | None = None
    total_params: int | None = None
    adapter_bytes: int | None = None
    """Size of the adapter's weights file; None where there is no adapter, 0 where a prompt stands in its place."""
    model_bytes: int | None = None
    """Size of the saved model of a full fine-tune."""
    train: Readings | None = None
    """None for the untuned base."""
    evaluate: Readings | None = None
    generated: int | None = None
    """Summaries that ``evaluate`` is the cost of: more than are scored where dialogues were left out."""
    forecast: Forecast | None = None
    """What the training was expected to take; None where nothing was forecast."""
    inference: list[InferenceCost] = Field(default_factory=list)
    """What summaries cost in each arrangement, where that was measured."""
    trained_on: str | None = None
    """The machine of ``train``; None where it is not known."""
    evaluated_on: str | None = None
    """The machine of ``evaluate``."""
    statistics: dict[str, list[float]] = Field(default_factory=dict)
    """Scores of each dialogue by column (``rougeL_f``, …), in the same order in every system; empty where unknown."""
    coverage: Coverage | None = None
    """Which turns of each dialogue the summaries take up; None where the texts are not known."""
    note: str | None = None

    @property
    def rouge_l_per_example(self) -> list[float] | None:
        """ROUGE-L F of each dialogue, a fraction; None where only the mean is known."""
        return self.statistics.get("rougeL_f")


class Example(Record):
    """One dialogue with what each system made of it."""

    id: str
    dialogue: str
    references: list[str]
    predictions: dict[str, str]
    """Summary by system name."""


class Comparison(Record):
    """Everything a report is made of."""

    title: str
    data: str
    split: str
    n: int = Field(gt=0)
    """Dialogues scored."""
    left_out: int = 0
    """Dialogues that were not scored, since they stand in the training data of a system."""
    seen: list[Seen] = Field(default_factory=list)
    """Which dialogues, scored or left out, stand in the systems' training data."""
    machine: dict[str, str] = Field(default_factory=dict)
    """Label to text: processor, GPU, versions."""
    cost: CostSection = Field(default_factory=CostSection)
    """Place, prices and device by which every system's joules and hours are turned into carbon and money."""
    facts: DialogueFacts | None = None
    """What is known of each dialogue; None where the dialogues are not known."""
    reference_coverage: Coverage | None = None
    """Which turns the references take up, the mean over those of a dialogue."""
    pairs: list[tuple[str, str]] = Field(default_factory=list)
    """Axes that the user chose to see against each other, besides the main ones: upwards, and the cost across."""
    created: str
    """ISO time."""
    systems: list[System] = Field(min_length=1)
    examples: list[Example] = Field(default_factory=list)
    commands: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _systems_fit_together(self) -> Self:
        names = [system.system for system in self.systems]
        if len(set(names)) != len(names):
            raise ValueError(f"system names are not unique: {', '.join(sorted(names))}")
        for system in self.systems:
            for column, values in system.statistics.items():
                if len(values) != self.n:
                    raise ValueError(f"{system.system}: {len(values)} values of {column} for {self.n} dialogues")
        tables = [self.facts, self.reference_coverage, *(system.coverage for system in self.systems)]
        for table in tables:
            for column, values in table or ():
                if len(values) != self.n:
                    raise ValueError(f"{type(table).__name__}: {len(values)} {column} for {self.n} dialogues")
        return self


class Gain(Record):
    """What tuning added to one ROUGE of the untuned base."""

    points: float
    percent: float | None
    """None where the untuned base scores 0."""


class Difference(Record):
    """A score of one system less that of another (fractions), with its interval.

    Whether it is more than noise is for :mod:`peftsum.significance` to say, which tests it among its family.
    """

    mean: float
    low: float
    high: float
    paired: bool
    """True: bootstrap over dialogues of the paired differences. False: the ends of the two separate intervals."""


def rouge(system: System, name: str) -> RougeScore:
    """Return one of the four ROUGE scores (``rouge1``, ``rouge2``, ``rougeL``, ``rougeLsum``)."""
    score: RougeScore = getattr(system.scores, name)
    return score


def rouge_l(system: System) -> float:
    """Return the ROUGE-L F (fraction) that systems are ranked by."""
    return system.scores.rougeL.f


def untuned_base(comparison: Comparison, system: System) -> System | None:
    """Return the untuned system on the same base, unquantized where there is a choice, or None."""
    same = [s for s in comparison.systems if s.method == "none" and s.base == system.base]
    return min(same, key=lambda s: s.quantize != "none", default=None)


def full_tuning(comparison: Comparison) -> System | None:
    """Return the full fine-tune everything else is held against: the one of the highest ROUGE-L."""
    return max((s for s in comparison.systems if s.method == "full"), key=rouge_l, default=None)


def gains(comparison: Comparison) -> dict[str, dict[str, Gain]]:
    """Return system → ROUGE → gain over the untuned base; a system without an untuned base is left out."""
    table: dict[str, dict[str, Gain]] = {}
    for system in comparison.systems:
        base = untuned_base(comparison, system)
        if base is None or base is system:
            continue
        table[system.system] = {name: _gain(rouge(system, name).f, rouge(base, name).f) for name in ROUGES}
    return table


def _gain(tuned: float, untuned: float) -> Gain:
    gain = tuned - untuned
    return Gain(points=POINTS * gain, percent=100 * gain / untuned if untuned > 0 else None)


def column(score: str) -> str:
    """Return the column of :attr:`System.statistics` that holds a score a dialogue: of a ROUGE, or an error rate."""
    return f"{score}_f" if score in ROUGES else score


def difference(system: System, other: System, score: str = "rougeL") -> Difference:
    """Return a score of ``system`` less ``other``: paired where both have it a dialogue, else (ROUGE) by intervals.

    The paired interval is the bootstrap over dialogues of :mod:`peftsum.metrics.intervals`, so it is seeded. Without
    scores a dialogue the ends are ``low - high`` and ``high - low`` of the two intervals: they hold 0 exactly where
    the intervals overlap.
    """
    ours, theirs = system.statistics.get(column(score)), other.statistics.get(column(score))
    if ours is not None and theirs is not None and len(ours) == len(theirs):
        mean, low, high = _paired(ours, theirs)
        return Difference(mean=mean, low=low, high=high, paired=True)
    a, b = rouge(system, score), rouge(other, score)
    return Difference(mean=a.f - b.f, low=a.low - b.high, high=a.high - b.low, paired=False)


def _paired(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    import numpy as np

    from peftsum.metrics.intervals import bootstrap_intervals

    deltas = np.asarray(ours) - np.asarray(theirs)  # (n,)
    low, high = bootstrap_intervals(deltas[:, None], bounds=(-1.0, 1.0))
    return float(deltas.mean()), float(low[0]), float(high[0])


def train_reading(system: System, name: Literal["wall_s", "peak_memory_bytes", "energy_j"]) -> Reading | None:
    """Return one reading of the training, or None where nothing was trained or recorded."""
    reading: Reading | None = getattr(system.train, name, None)
    return reading


def _train_value(name: Literal["wall_s", "peak_memory_bytes", "energy_j"]) -> Callable[[System], float | None]:
    def value(system: System) -> float | None:
        reading = train_reading(system, name)
        return reading.value if reading is not None else None

    return value


@dataclass(frozen=True)
class Cost:
    """A cost that quality is held against: how it is called, and how to read it off a system."""

    label: str
    of: Callable[[System], float | None]


def _trained_weights(system: System) -> int | None:
    """Return the trained weights; a prompt has none, which is known, and an untuned base says nothing of them."""
    return system.trainable_params if system.method != "none" or system.trainable_params == 0 else None


COSTS: Registry[Cost] = Registry(
    "cost",
    {
        "train_energy_j": Cost("training energy", _train_value("energy_j")),
        "train_wall_s": Cost("training time", _train_value("wall_s")),
        "peak_memory_bytes": Cost("peak memory", _train_value("peak_memory_bytes")),
        # What has to be kept: the adapter, or the whole model of a full fine-tune.
        "stored_bytes": Cost("stored size", lambda s: s.model_bytes if s.adapter_bytes is None else s.adapter_bytes),
        "trainable_params": Cost("trained weights", _trained_weights),
    },
)


@dataclass(frozen=True)
class Point:
    """A system on the plane of quality (more is better) and one cost (less is better)."""

    system: str
    quality: float
    cost: float | None


def points(comparison: Comparison, cost: str) -> list[Point]:
    """Return ROUGE-L (fraction) against one of :data:`COSTS`, a point a system."""
    return [Point(s.system, rouge_l(s), COSTS[cost].of(s)) for s in comparison.systems]


def pareto_front(points: Iterable[Point]) -> list[Point]:
    """Return the points no other one beats, cheapest first; those without a cost are left out.

    One point beats another when it is at least as good and at least as cheap, and better in one of the two; equal
    points therefore stay together.
    """
    front: list[Point] = []
    ranked = sorted((p for p in points if p.cost is not None), key=lambda p: (p.cost, -p.quality))
    for point in ranked:
        if not front or point.quality > front[-1].quality or (point.quality, point.cost) == _place(front[-1]):
            front.append(point)
    return front


def _place(point: Point) -> tuple[float, float | None]:
    return point.quality, point.cost


def comparable(systems: Iterable[System], cost: str) -> bool:
    """Return whether every system has this cost, read the same way: an estimate says nothing beside a measurement."""
    group = list(systems)
    if any(COSTS[cost].of(system) is None for system in group):
        return False
    if cost != "train_energy_j":
        return True
    readings = [train_reading(system, "energy_j") for system in group]
    return len({(r.source, r.estimated) for r in readings if r is not None}) <= 1
