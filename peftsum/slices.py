"""Every score by slice: where summaries are hard to get right, and how evenly they treat the speakers.

A dimension cuts the dialogues into slices that share nothing and leave nothing out, so that their means, weighted by
the number of dialogues, are the score of the whole. Pure functions of a comparison; nothing here draws or writes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peftsum.dialogue_facts import DialogueFacts
from peftsum.metrics.coverage import Coverage
from peftsum.metrics.scores import ErrorRate, RougeScore
from peftsum.systems import ROUGES, Comparison, System, rouge_l

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SMALL = 30  # fewer dialogues say little: the slice is marked
TOPICS = 5  # the most frequent ones are shown, the rest together
TOPIC_LEAST = 5  # dialogues of a topic that is shown
MIDDLE = (0.45, 0.55)  # mean places of missed turns that count as evenly spread
EVEN_GAP, WIDE_GAP = 0.25, 0.50  # between the shares of the speakers covered best and least

NO_SCORES = "its scores of each dialogue were not recorded"
NO_FACTS = "the dialogues themselves are not part of this comparison"

Groups = list[tuple[str, list[int]]]
"""Name of each slice, and the positions of its dialogues."""


@dataclass(frozen=True)
class Unknown:
    """Why a comparison cannot be cut along a dimension."""

    reason: str


@dataclass(frozen=True)
class Dimension:
    """One way to cut the dialogues."""

    name: str
    title: str
    """What a newcomer reads above it."""
    meaning: str
    """How a dialogue gets into its slice."""
    groups: Callable[[Comparison, System], Groups | Unknown]
    by_system: bool = False
    """Whether the slices depend on the system: its summaries, or how much its recipe reads."""


@dataclass(frozen=True)
class Slice:
    """The scores of one system on one slice; fractions with 95 % intervals."""

    dimension: str
    label: str
    system: str
    n: int
    rouge: dict[str, RougeScore]
    errors: dict[str, ErrorRate]

    @property
    def small(self) -> bool:
        """Whether it has too few dialogues to lean on."""
        return self.n < SMALL


@dataclass(frozen=True)
class Unsliced:
    """A dimension that some systems have no slices of."""

    dimension: str
    systems: list[str]
    reason: str


@dataclass(frozen=True)
class Slicing:
    """All slices of a comparison, by dimension, then slice, then system; and what is missing."""

    slices: list[Slice]
    missing: list[Unsliced]

    def of(self, dimension: str) -> list[Slice]:
        """Return the slices of one dimension."""
        return [found for found in self.slices if found.dimension == dimension]

    def labels(self, dimension: str) -> list[str]:
        """Return the names of the slices of one dimension, in their order."""
        return list(dict.fromkeys(found.label for found in self.of(dimension)))


def slice_comparison(comparison: Comparison) -> Slicing:
    """Return the scores of every system on every slice, with bootstrap intervals over the slice's dialogues."""
    tables = {system.system: _table(system) for system in comparison.systems}
    slices, missing = [], []
    for dimension in DIMENSIONS.values():
        found, reasons = _cut(comparison, dimension, tables)
        order = _order(found)
        slices += sorted(found, key=lambda piece: order.index(piece.label))  # stable: systems keep their order
        missing += [Unsliced(dimension.name, systems, reason) for reason, systems in reasons.items()]
    return Slicing(slices, missing)


def hardest(comparison: Comparison, slicing: Slicing) -> tuple[System, Slice] | None:
    """Return the best system and the kind of dialogue it does worst on, by ROUGE-L and by more than the noise.

    Only slices that are the same for all systems, with 30 dialogues or more and with an interval wholly below the
    system's mean over all dialogues; None where there is none.
    """
    best = max(comparison.systems, key=rouge_l)
    pieces = [s for s in slicing.slices if s.system == best.system and not s.small]
    pieces = [s for s in pieces if not DIMENSIONS[s.dimension].by_system and s.rouge["rougeL"].high < rouge_l(best)]
    worst = min(pieces, key=lambda s: s.rouge["rougeL"].f, default=None)
    return (best, worst) if worst is not None else None


_Table = dict[str, "NDArray[np.float64]"]


def _table(system: System) -> _Table | None:
    """Return the columns that slices are scored by, or None where a ROUGE of each dialogue is missing."""
    import numpy as np

    from peftsum.metrics.selection import ERROR_PREFIXES

    wanted = [f"{name}_f" for name in ROUGES]
    if any(name not in system.statistics for name in wanted):
        return None
    flags = [name for name in system.statistics if name.startswith(ERROR_PREFIXES)]
    return {name: np.asarray(system.statistics[name], dtype=np.float64) for name in (*wanted, *flags)}


def _cut(
    comparison: Comparison, dimension: Dimension, tables: dict[str, _Table | None]
) -> tuple[list[Slice], dict[str, list[str]]]:
    """Return the slices of every system, and for each reason the systems without."""
    slices: list[Slice] = []
    missing: dict[str, list[str]] = {}
    for system in comparison.systems:
        table, groups = tables[system.system], dimension.groups(comparison, system)
        if table is None:
            groups = Unknown(NO_SCORES)
        if isinstance(groups, Unknown):
            missing.setdefault(groups.reason, []).append(system.system)
            continue
        slices += [_scored(dimension.name, label, system, table or {}, rows) for label, rows in groups]
    return slices, missing


def _scored(dimension: str, label: str, system: System, table: _Table, rows: list[int]) -> Slice:
    from peftsum.metrics.aggregation import error_rates, rouge_scores
    from peftsum.metrics.intervals import RESAMPLES, SEED

    part = {name: column[rows] for name, column in table.items()}
    return Slice(
        dimension,
        label,
        system.system,
        len(rows),
        rouge_scores(part, seed=SEED, resamples=RESAMPLES),
        error_rates(part, seed=SEED, resamples=RESAMPLES),
    )


def _order(slices: Sequence[Slice]) -> list[str]:
    """Return all labels in an order that agrees with that of every system, each of which may lack some."""
    order: list[str] = []
    for system in dict.fromkeys(piece.system for piece in slices):
        place = 0
        for label in (piece.label for piece in slices if piece.system == system):
            if label not in order:
                order.insert(place, label)
            place = order.index(label) + 1
    return order


# The dimensions ------------------------------------------------------------------------------------------------------


def _grouped(keys: Sequence[Hashable], names: Mapping[Any, str]) -> Groups:
    """Return the slices in the order of ``names``, those without a dialogue left out."""
    rows: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    return [(name, rows[key]) for key, name in names.items() if key in rows]


def _of_facts(make: Callable[[DialogueFacts], Groups | Unknown]) -> Callable[[Comparison, System], Groups | Unknown]:
    def groups(comparison: Comparison, _: System) -> Groups | Unknown:
        return Unknown(NO_FACTS) if comparison.facts is None else make(comparison.facts)

    return groups


def _speakers(facts: DialogueFacts) -> Groups:
    names = {0: "no names before the turns", 1: "1 speaker", 2: "2 speakers", 3: "3 speakers", 4: "more than 3"}
    return _grouped([min(count, 4) for count in facts.speakers], names)


def _length(facts: DialogueFacts) -> Groups:
    """Cut into thirds at values, so that dialogues of equal length stay together."""
    ranked = sorted(facts.words)
    low, high = ranked[(len(ranked) - 1) // 3], ranked[2 * (len(ranked) - 1) // 3]
    middle = f"{low + 1} to {high} words" if high > low + 1 else f"{high} words"
    names = {0: f"short: up to {low} words", 1: f"medium: {middle}", 2: f"long: over {high} words"}
    return _grouped([(words > low) + (words > high) for words in facts.words], names)


def _topic(facts: DialogueFacts) -> Groups | Unknown:
    if not any(facts.topics):
        return Unknown("the data name no topic")
    keys = [topic.casefold() if topic else None for topic in facts.topics]
    shown: dict[str, str] = {}
    for key, topic in zip(keys, facts.topics, strict=True):
        if key is not None and topic is not None:
            shown.setdefault(key, topic)
    often = Counter(key for key in keys if key is not None).most_common(TOPICS)
    names = {key: shown[key] for key, count in often if count >= TOPIC_LEAST}
    if not names:
        return Unknown(f"no topic has {TOPIC_LEAST} dialogues or more")
    others = "all other topics"
    keyed = [key if key is None or key in names else others for key in keys]
    return _grouped(keyed, {**names, others: others, None: "no topic named"})


def _speech(facts: DialogueFacts) -> Groups:
    names = {"direct": "quotes somebody (direct speech)", "indirect": "reports what somebody said (indirect speech)"}
    return _grouped(facts.speech, {**names, "none": "neither"})


def _truncated(_: Comparison, system: System) -> Groups | Unknown:
    cut = system.statistics.get("source_cut")
    if cut is None:
        return Unknown("it was evaluated before peftsum recorded this; evaluate it again")
    return _grouped(cut, {0.0: "read whole", 1.0: "end cut off"})


def _of_coverage(
    make: Callable[[Coverage], list[float | None]], edges: Sequence[float], names: Sequence[str], none: str
) -> Callable[[Comparison, System], Groups | Unknown]:
    """Return slices by a number from coverage: below the first edge, from each edge on, and where it is None."""

    def groups(_: Comparison, system: System) -> Groups | Unknown:
        if system.coverage is None:
            return Unknown("its summaries are not part of this comparison")
        keys = [None if value is None else sum(value >= edge for edge in edges) for value in make(system.coverage)]
        return _grouped(keys, {**dict(enumerate(names)), None: none})

    return groups


def speaker_gaps(coverage: Coverage) -> list[float | None]:
    """Return the share of turns covered of the speaker covered best less that of the one covered least."""
    pairs = zip(coverage.most, coverage.least, strict=True)
    return [None if most is None or least is None else most - least for most, least in pairs]


_ROUNDING = 1e-9  # a gap of exactly a quarter is no more than a quarter

DIMENSIONS: dict[str, Dimension] = {
    dimension.name: dimension
    for dimension in (
        Dimension(
            "speakers",
            "Number of speakers",
            "by the different names before the turns",
            _of_facts(_speakers),
        ),
        Dimension(
            "length",
            "Length of the dialogue",
            "by words, in three parts of about the same number of dialogues",
            _of_facts(_length),
        ),
        Dimension(
            "truncated",
            "Truncation",
            "by whether the dialogue in its prompt is longer than the recipe's max_source_tokens, and so loses its end",
            _truncated,
            by_system=True,
        ),
        Dimension(
            "topic",
            "Topic",
            f"by the topic that the data name: the {TOPICS} most frequent with at least {TOPIC_LEAST} dialogues each",
            _of_facts(_topic),
        ),
        Dimension(
            "speech",
            "Direct or indirect speech",
            "by whether a turn has two words or more in quotation marks (direct), or else reports that somebody "
            "said, told or asked something (indirect)",
            _of_facts(_speech),
        ),
        Dimension(
            "turns_covered",
            "Turns that the summary covers",
            "by the share; a turn is covered when the summary has at least a third of its content words",
            _of_coverage(
                lambda c: c.turns,
                (1 / 3, 0.5),
                ("less than a third", "a third to a half", "half or more"),
                "no turn has a content word",
            ),
            by_system=True,
        ),
        Dimension(
            "speaker_gap",
            "How evenly the speakers are covered",
            "by the share of turns covered of the speaker covered best, less that of the one covered least",
            _of_coverage(
                speaker_gaps,
                (EVEN_GAP + _ROUNDING, WIDE_GAP + _ROUNDING),
                (
                    f"even: a gap of up to {100 * EVEN_GAP:.0f} points",
                    f"uneven: up to {100 * WIDE_GAP:.0f} points",
                    f"one-sided: over {100 * WIDE_GAP:.0f} points",
                ),
                "fewer than two speakers",
            ),
            by_system=True,
        ),
        Dimension(
            "missed_at",
            "Where the missed turns lie",
            f"by their mean place in the dialogue, 0 its start and 1 its end: early below {MIDDLE[0]}, late from "
            f"{MIDDLE[1]}",
            _of_coverage(
                lambda c: c.missed_at, MIDDLE, ("rather early", "all over", "rather late"), "no turn is missed"
            ),
            by_system=True,
        ),
    )
}


# How evenly summaries treat the speakers -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Mean:
    """A mean over dialogues, a fraction, with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int
    """Dialogues that have a value."""


def mean_over(values: Sequence[float | None]) -> Mean | None:
    """Return the mean of the values that are there, with its bootstrap interval; None where there is none."""
    import numpy as np

    from peftsum.metrics.intervals import bootstrap_intervals

    known = np.asarray([value for value in values if value is not None], dtype=np.float64)
    if not len(known):
        return None
    low, high = bootstrap_intervals(known[:, None])
    return Mean(float(known.mean()), float(low[0]), float(high[0]), len(known))
