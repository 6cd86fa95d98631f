"""The report's tables as plain cells, which HTML and markdown lay out each in its way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from peftsum.comparison import (
    COSTS,
    ROUGES,
    Comparison,
    System,
    comparable,
    difference,
    full_tuning,
    gains,
    rouge,
    train_reading,
)
from peftsum.cost.disclosure import disclose
from peftsum.cost.quantity import Quantity
from peftsum.cost.readings import Reading
from peftsum.ledger.axes import AXES, fair, front, placed
from peftsum.report.results import checked_errors, further_names, shown_errors, unranking_errors
from peftsum.report.text import (
    NOT_MEASURED,
    NOT_TRAINED,
    ROUGE_LABELS,
    axis_label,
    cost_label,
    error_label,
    in_points,
    in_unit,
    percent,
    rate,
    reading_origin,
    signed,
    span,
)
from peftsum.units import format_bytes, format_count, format_grams

Form = Callable[[float], str]
SUMMARIZING = ("inference_energy_j", "inference_wall_s")


@dataclass(frozen=True)
class Cell:
    """One cell: its value as text, smaller lines below, and whether it is the best of its column."""

    text: str
    details: tuple[str, ...] = ()
    best: bool = False
    missing: bool = False


@dataclass(frozen=True)
class Row:
    """A system's cells, with what it is in small print."""

    name: str
    kind: str
    cells: list[Cell]


@dataclass(frozen=True)
class Table:
    """A table with a caption; ``headers`` are those of the cells, ``first`` stands over the names of the rows."""

    caption: str
    headers: list[str]
    rows: list[Row]
    first: str = "System"


@dataclass(frozen=True)
class Column:
    """How a column is made; ``rank`` gives the number by which ``better`` marks the best."""

    header: str
    cell: Callable[[System], Cell]
    rank: Callable[[System], float | None] = lambda _: None
    better: Callable[[Sequence[float]], float] = max


def _table(comparison: Comparison, caption: str, columns: Sequence[Column]) -> Table:
    marked = [_marked(column, comparison.systems) for column in columns]
    several_bases = len({s.base for s in comparison.systems}) > 1
    rows = [
        Row(s.system, _kind(s, several_bases), [cells[i] for cells in marked]) for i, s in enumerate(comparison.systems)
    ]
    return Table(caption, [column.header for column in columns], rows)


def _marked(column: Column, systems: list[System]) -> list[Cell]:
    """Return the cells with the best ones marked; where there is no choice, or all are equal, nothing is best."""
    ranks = [column.rank(system) for system in systems]
    known = [rank for rank in ranks if rank is not None]
    best = column.better(known) if len(set(known)) > 1 else None
    cells = [column.cell(system) for system in systems]
    return [replace(c, best=best is not None and rank == best) for c, rank in zip(cells, ranks, strict=True)]


def _kind(system: System, with_base: bool) -> str:
    method = {"none": "untuned base", "full": "all weights"}.get(system.method, system.method)
    parts = [method, system.quantize if system.quantize != "none" else "", system.base if with_base else ""]
    kind = ", ".join(part for part in parts if part)
    return "" if kind == system.system else kind


def quantity_cell(quantity: Quantity, form: Form) -> Cell:
    """Return a figure with its range below it, or the reason why there is none."""
    if quantity.value is None:
        return Cell(NOT_MEASURED, (quantity.reason or "",), missing=True)
    low, high = (form(end) for end in quantity.ends)
    return Cell(form(quantity.value), (span(low, high),) if low != high else ())


def glance_table(comparison: Comparison) -> Table:
    """Return quality beside cost, the table most readers need."""
    gained = gains(comparison)
    full = full_tuning(comparison)

    def gain(system: System) -> Cell:
        if system.system not in gained:
            return Cell("—", missing=True)
        return _gain_cell(gained[system.system]["rougeL"].points, gained[system.system]["rougeL"].percent)

    def against_full(system: System) -> Cell:
        if full is None or system is full:
            return Cell("—", missing=True)
        delta = difference(system, full)
        return Cell(signed(100 * delta.mean), (f"{signed(100 * delta.low)} to {signed(100 * delta.high)}",))

    columns = [_rouge_column("rougeL"), Column("Gain over the untuned base", gain)]
    if full is not None and len(comparison.systems) > 1:
        columns.append(Column("Difference from full fine-tuning", against_full))
    columns += _cost_columns(comparison)
    return _table(comparison, "Quality beside the cost of training", columns)


def scores_table(comparison: Comparison) -> Table:
    """Return all four ROUGE scores with intervals and gains."""
    gained = gains(comparison)

    def column(name: str) -> Column:
        plain = _rouge_column(name)

        def cell(system: System) -> Cell:
            bare = plain.cell(system)
            if system.system not in gained:
                return bare
            gain = _gain_cell(gained[system.system][name].points, gained[system.system][name].percent)
            return replace(bare, details=(*bare.details, " ".join([gain.text, *(f"({d})" for d in gain.details)])))

        return replace(plain, cell=cell)

    caption = "ROUGE with 95 % intervals, and the gain over the untuned base"
    return _table(comparison, caption, [column(name) for name in ROUGES])


def errors_table(comparison: Comparison) -> Table:
    """Return the error rates and the lengths of the summaries; a rate that cannot rank has no best."""
    unranking = unranking_errors(comparison)

    def column(name: str) -> Column:
        def cell(system: System) -> Cell:
            found = system.scores.error_rates.get(name)
            if found is None:
                return Cell(NOT_MEASURED, missing=True)
            return Cell(rate(found.rate), (f"{rate(found.low).removesuffix(' %')} to {rate(found.high)}",))

        def rank(system: System) -> float | None:
            found = system.scores.error_rates.get(name)
            return None if found is None or name in unranking else found.rate

        return Column(_error_header(name), cell, rank, min)

    def words(system: System) -> Cell:
        lengths = system.scores.lengths
        return Cell(f"{lengths.prediction_words_mean:.1f}", (f"references: {lengths.reference_words_mean:.1f}",))

    def distinct(system: System) -> Cell:
        return Cell(percent(system.scores.lengths.distinct_share))

    columns = [column(name) for name in shown_errors(comparison)]
    columns += [Column("Words a summary", words), Column("Distinct summaries", distinct)]
    columns += [_further_column(name) for name in further_names(comparison)]
    return _table(comparison, "Error rates with 95 % intervals, and the length of the summaries", columns)


def _further_column(name: str) -> Column:
    """Return the scores of an added metric; whether more is better is not known, so none is marked as best."""

    def cell(system: System) -> Cell:
        score = system.scores.further.get(name)
        if score is None:
            return Cell(NOT_MEASURED, missing=True)
        return Cell(f"{score.mean:.3g}", () if score.low is None else (f"{score.low:.3g} to {score.high:.3g}",))

    return Column(name.replace("_", " ").capitalize(), cell)


def _error_header(name: str) -> str:
    """Return the error's heading, with how far its detector was right where people checked it."""
    checked = checked_errors(name)
    if checked is None:
        return error_label(name)
    return f"{error_label(name)} (precision {checked.precision.value:.2f}, recall {checked.recall.value:.2f})"


def generation_table(comparison: Comparison) -> Table | None:
    """Return what generating the summaries took, or None where nothing of it was recorded."""
    if all(system.evaluate is None for system in comparison.systems):
        return None

    def column(header: str, name: str) -> Column:
        def reading(system: System) -> Reading | None:
            return None if system.evaluate is None else system.evaluate.by_meter().get(name)

        return Column(header, _reading_cells(comparison, reading, lambda _: NOT_MEASURED))

    def carbon(system: System) -> Cell:
        return quantity_cell(disclose(system.evaluate, comparison.cost).carbon_g, format_grams)

    columns = [column("Time", "wall_s"), column("Peak memory", "peak_memory_bytes"), column("Energy", "energy_j")]
    added = dict.fromkeys(name for s in comparison.systems if s.evaluate for name in s.evaluate.further)
    columns += [column(cost_label(name), name) for name in added]
    written = max((system.generated or comparison.n for system in comparison.systems), default=comparison.n)
    caption = f"Cost of generating the {written} summaries"
    return _table(comparison, caption, [*columns, Column("Carbon in use", carbon)])


def front_table(comparison: Comparison) -> Table:
    """Return for each cost, and each pair the user chose, which systems are on its Pareto front."""

    def column(up: str, across: str) -> Column:
        winners = {point.system for point in front(comparison, up, across)}
        places = {point.system for point in placed(comparison, up, across)}

        def cell(system: System) -> Cell:
            if system.system not in places:
                trained = across in COSTS and system.method == "none"
                return Cell(NOT_TRAINED if trained else NOT_MEASURED, missing=True)
            return Cell("on the front" if system.system in winners else "beaten")

        subject = "" if up == "rougeL" else f"{axis_label(AXES[up])} against "
        return Column(f"{subject}{AXES[across].label}" if subject else f"Against {AXES[across].label}", cell)

    tuned = [s for s in comparison.systems if s.method != "none"]
    costs = [key for key in (*COSTS, *SUMMARIZING) if any(AXES[key].of(s) is not None for s in tuned)]
    # A front across energies read in different ways would compare an estimate with a measurement.
    costs = [key for key in costs if fair([s for s in tuned if AXES[key].of(s) is not None], key)]
    pairs = dict.fromkeys([*(("rougeL", key) for key in costs), *comparison.pairs])
    return _table(comparison, "Who is on the Pareto front", [column(*pair) for pair in pairs])


def _rouge_column(name: str) -> Column:
    def cell(system: System) -> Cell:
        score = rouge(system, name)
        return Cell(in_points(score.f), (f"{in_points(score.low)} to {in_points(score.high)}",))

    return Column(ROUGE_LABELS[name], cell, lambda s: rouge(s, name).f)


def _gain_cell(points: float, in_percent: float | None) -> Cell:
    return Cell(signed(points), (f"{signed(in_percent, 0)} %",) if in_percent is not None else ())


def _reading_cells(
    comparison: Comparison, reading: Callable[[System], Reading | None], otherwise: Callable[[System], str]
) -> Callable[[System], Cell]:
    """Return how a column of readings is written, all in one unit where a unit has to be chosen."""
    known = [r for r in map(reading, comparison.systems) if r is not None and r.value is not None]
    largest = max((end for r in known for end in (r.value, r.high) if end is not None), default=None)

    def cell(system: System) -> Cell:
        found = reading(system)
        if found is None or found.value is None:
            return Cell(otherwise(system), missing=True)
        origin = (reading_origin(found, like=largest),) if found.unit == "J" or found.estimated else ()
        return Cell(in_unit(found.value, found.unit, like=largest), origin)

    return cell


def _cost_columns(comparison: Comparison) -> list[Column]:
    def share(system: System) -> Cell:
        if system.trainable_params is None or not system.total_params:
            return Cell(_no_cost(system), missing=True)
        if system.method == "none":
            return Cell(NOT_TRAINED, missing=True)
        return Cell(percent(system.trainable_params / system.total_params), (format_count(system.trainable_params),))

    def stored(system: System) -> Cell:
        if system.adapter_bytes == 0:
            return Cell("nothing", ("a prompt",))
        if system.adapter_bytes is not None:
            return Cell(format_bytes(system.adapter_bytes), ("adapter",))
        if system.model_bytes is not None:
            return Cell(format_bytes(system.model_bytes), ("whole model",))
        return Cell(_no_cost(system), missing=True)

    tuned = [s for s in comparison.systems if COSTS["train_energy_j"].of(s) is not None]
    energy_rank = COSTS["train_energy_j"].of if comparable(tuned, "train_energy_j") else _unranked

    def trained(name: Literal["wall_s", "peak_memory_bytes", "energy_j"]) -> Callable[[System], Cell]:
        return _reading_cells(comparison, lambda s: train_reading(s, name), _no_cost)

    return [
        Column("Trained weights", share, COSTS["trainable_params"].of, min),
        Column("Stored", stored, COSTS["stored_bytes"].of, min),
        Column("Peak memory", trained("peak_memory_bytes"), COSTS["peak_memory_bytes"].of, min),
        Column("Training time", trained("wall_s"), COSTS["train_wall_s"].of, min),
        Column("Training energy", trained("energy_j"), energy_rank, min),
    ]


def _no_cost(system: System) -> str:
    return NOT_TRAINED if system.method == "none" else NOT_MEASURED


def _unranked(_: System) -> float | None:
    return None
