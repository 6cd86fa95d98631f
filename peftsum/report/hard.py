"""The section "Where it is hard": scores by slice, how evenly the speakers are treated, and ``slices.csv``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from peftsum.comparison import POINTS, ROUGES, Comparison, rouge_l
from peftsum.metrics.coverage import Coverage
from peftsum.metrics.scores import ErrorRate, RougeScore
from peftsum.report.figures.base import csv_text
from peftsum.report.results import error_names, shown_errors
from peftsum.report.tables import Cell, Row, Table
from peftsum.report.text import NOT_MEASURED, ROUGE_LABELS, error_label, in_points, listed, rate
from peftsum.slices import DIMENSIONS, SMALL, Dimension, Mean, Slice, Slicing, hardest, mean_over, speaker_gaps

SMALL_NOTE = f"fewer than {SMALL} dialogues"
REFERENCES = "the references"


@dataclass(frozen=True)
class Cut:
    """One dimension as the page shows it."""

    title: str
    meaning: str
    table: Table
    """ROUGE-L, a row a system."""
    every: Table
    """Every score, a row a system and slice."""


@dataclass(frozen=True)
class Hard:
    """What the section says."""

    sentence: str
    """The hardest kind of dialogue."""
    cuts: list[Cut]
    evenness: Table | None
    """How the turns and the speakers are covered; None where no text is known."""
    gaps: str
    """The gap between the speakers in words."""
    missing: list[tuple[str, str]]
    """Title of a dimension, and why some or all systems have no slices of it."""


def hard_section(comparison: Comparison, slicing: Slicing) -> Hard:
    """Return the section, from slices that were made before."""
    cuts = [_cut(comparison, slicing, d) for d in DIMENSIONS.values() if slicing.of(d.name)]
    return Hard(
        _sentence(comparison, slicing),
        cuts,
        _evenness(comparison),
        _gaps(_coverages(comparison)),
        _missing(slicing, comparison),
    )


def slices_csv(comparison: Comparison, slicing: Slicing) -> str:
    """Return ``slices.csv``: a row a slice and system, every score with its interval, as fractions."""
    names = error_names(comparison)
    columns = [f"{name}_{part}" for name in ROUGES for part in ("f", "low", "high")]
    columns += [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
    rows = []
    for piece in slicing.slices:
        scores = [value for name in ROUGES for value in _rouge_cells(piece.rouge[name])]
        rates = [value for name in names for value in _rate_cells(piece.errors.get(name))]
        note = SMALL_NOTE if piece.small else ""
        rows.append((piece.dimension, piece.label, piece.system, piece.n, note, *scores, *rates))
    return csv_text(("dimension", "slice", "system", "n", "note", *columns), rows)


def _rouge_cells(score: RougeScore) -> tuple[float, float, float]:
    return score.f, score.low, score.high


def _rate_cells(found: ErrorRate | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if found is None else (found.rate, found.low, found.high)


def _sentence(comparison: Comparison, slicing: Slicing) -> str:
    if not slicing.slices:
        return ""
    found = hardest(comparison, slicing)
    if found is None:
        best = max(comparison.systems, key=rouge_l)
        return (
            f"No kind of dialogue with {SMALL} dialogues or more is harder for {best.system}, the best system here, by "
            "more than the noise."
        )
    system, piece = found
    return (
        f"The best system here, {system.system}, has most trouble with: {DIMENSIONS[piece.dimension].title.lower()}, "
        f"{piece.label}. Its ROUGE-L is {in_points(piece.rouge['rougeL'].f)} on those {piece.n} dialogues and "
        f"{in_points(rouge_l(system))} on all {comparison.n}."
    )


def _cut(comparison: Comparison, slicing: Slicing, dimension: Dimension) -> Cut:
    pieces, labels = slicing.of(dimension.name), slicing.labels(dimension.name)
    counts = {label: {piece.n for piece in pieces if piece.label == label} for label in labels}
    headers = [_header(label, counts[label]) for label in labels]
    several = {label for label in labels if len(counts[label]) > 1}
    rows = []
    for system in comparison.systems:
        own = {piece.label: piece for piece in pieces if piece.system == system.system}
        cells = [_cell(own.get(label), with_n=label in several) for label in labels]
        if own:
            rows.append(Row(system.system, "", cells))
    table = Table(f"ROUGE-L by slice: {dimension.title}", headers, rows)
    return Cut(dimension.title, dimension.meaning, table, _every(comparison, dimension, pieces))


def _header(label: str, counts: set[int]) -> str:
    if len(counts) > 1:
        return label
    (n,) = counts
    return f"{label} (n = {n}{f': {SMALL_NOTE}' if n < SMALL else ''})"


def _cell(piece: Slice | None, *, with_n: bool) -> Cell:
    if piece is None:
        return Cell("no dialogue", missing=True)
    score = piece.rouge["rougeL"]
    details = [f"{in_points(score.low)} to {in_points(score.high)}"]
    if with_n:
        details.append(f"n = {piece.n}")
        details += [SMALL_NOTE] if piece.small else []
    return Cell(in_points(score.f), tuple(details))


def _every(comparison: Comparison, dimension: Dimension, pieces: Sequence[Slice]) -> Table:
    names = shown_errors(comparison)
    rows = []
    for piece in pieces:
        n = Cell(str(piece.n), (SMALL_NOTE,) if piece.small else ())
        scores = [
            Cell(in_points(score.f), (f"{in_points(score.low)} to {in_points(score.high)}",))
            for score in (piece.rouge[name] for name in ROUGES)
        ]
        rates = [_rate_cell(piece.errors.get(name)) for name in names]
        rows.append(Row(piece.system, piece.label, [n, *scores, *rates]))
    headers = ["Dialogues", *(ROUGE_LABELS[name] for name in ROUGES), *map(error_label, names)]
    return Table(f"Every score by slice: {dimension.title}", headers, rows)


def _rate_cell(found: ErrorRate | None) -> Cell:
    if found is None:
        return Cell(NOT_MEASURED, missing=True)
    return Cell(rate(found.rate), (f"{rate(found.low).removesuffix(' %')} to {rate(found.high)}",))


def _coverages(comparison: Comparison) -> list[tuple[str, Coverage]]:
    """Return the coverage of the references and of every system that has one."""
    found = [(REFERENCES, comparison.reference_coverage), *((s.system, s.coverage) for s in comparison.systems)]
    return [(name, coverage) for name, coverage in found if coverage is not None]


def _evenness(comparison: Comparison) -> Table | None:
    rows = []
    for name, found in _coverages(comparison):
        shares = [_share(mean_over(values)) for values in (found.turns, found.most, found.least, speaker_gaps(found))]
        rows.append(Row(name, "written by people" if name == REFERENCES else "", [*shares, _place(found)]))
    headers = [
        "Turns covered",
        "Speaker covered best",
        "Speaker covered least",
        "Gap between the two",
        "Place of the missed turns",
    ]
    return Table("Which turns the summaries cover, and how evenly the speakers", headers, rows) if rows else None


def _share(mean: Mean | None) -> Cell:
    if mean is None:
        return Cell("—", missing=True)
    low, high = 100 * mean.low, 100 * mean.high
    return Cell(f"{100 * mean.value:.0f} %", (f"{low:.0f} to {high:.0f} %",))


def _place(coverage: Coverage) -> Cell:
    mean = mean_over(coverage.missed_at)
    if mean is None:
        return Cell("none missed", missing=True)
    return Cell(f"{mean.value:.2f}", (f"{mean.low:.2f} to {mean.high:.2f}",))


def _gaps(coverages: Sequence[tuple[str, Coverage]]) -> str:
    """Return in words how unevenly each system covers the speakers; empty where no dialogue has two of them."""
    told = {name: text for name, found in coverages if (text := _gap(found))}
    people = told.pop(REFERENCES, None)
    if not told:
        return ""
    each = listed([f"{name} {text}" for name, text in told.items()])
    yardstick = f" The references, which people wrote: {people}." if people else ""
    return (
        "A fair summary tells of what every speaker says. In each dialogue, take the speaker whose turns are covered "
        f"best and the one whose turns are covered least. The gap between the two, in percentage points: {each}."
        f"{yardstick} Some gap is normal, since one speaker may have more to tell. Read it beside the two shares: a "
        "summary that covers few turns has a narrow gap, and may still leave somebody out altogether."
    )


def _gap(coverage: Coverage) -> str:
    gap, most, least = (mean_over(values) for values in (speaker_gaps(coverage), coverage.most, coverage.least))
    if gap is None or most is None or least is None:
        return ""
    return f"{POINTS * gap.value:.0f} ({100 * most.value:.0f} % against {100 * least.value:.0f} %)"


def _missing(slicing: Slicing, comparison: Comparison) -> list[tuple[str, str]]:
    told = []
    for found in slicing.missing:
        everyone = len(found.systems) == len(comparison.systems)
        who = "" if everyone else f"{listed(found.systems)}: "
        told.append((DIMENSIONS[found.dimension].title, f"{who}{found.reason}"))
    return told
