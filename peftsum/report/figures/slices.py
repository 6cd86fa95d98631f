"""ROUGE-L by slice: a panel a dimension, a dot with its interval a system, hollow where a slice is small."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from peftsum.comparison import POINTS, Comparison, System
from peftsum.report.figures.base import (
    Picture,
    as_png,
    csv_text,
    legend_height_in,
    name_systems,
    new_axes,
    point_handle,
    point_look,
    short_name,
)
from peftsum.report.text import in_points, listed
from peftsum.slices import DIMENSIONS, SMALL, Dimension, Slice, Slicing

PANEL_IN = 2.0
GROUP = 0.8  # of the way to the next slice that the dots of one take
LETTERS_A_LINE = 104  # of all labels of a panel together
LABEL_LETTERS = 60


def draw_dialogue_slices(comparison: Comparison, slicing: Slicing) -> Picture:
    """Return ROUGE-L by what the dialogues are like, the same slices for all systems."""
    title = "ROUGE-L by kind of dialogue, with 95 % intervals"
    return _draw(comparison, slicing, _drawn(slicing, by_system=False), "slices_dialogues.png", title)


def draw_summary_slices(comparison: Comparison, slicing: Slicing) -> Picture:
    """Return ROUGE-L by what became of the dialogues, which differs from system to system."""
    title = "ROUGE-L by how much was read and which turns are covered, with 95 % intervals"
    return _draw(comparison, slicing, _drawn(slicing, by_system=True), "slices_summaries.png", title)


def lacks_dialogue_slices(slicing: Slicing) -> str | None:
    """Return why slices of the dialogues cannot be drawn, or None."""
    return None if _drawn(slicing, by_system=False) else _reasons(slicing, by_system=False)


def lacks_summary_slices(slicing: Slicing) -> str | None:
    """Return why slices by what became of the dialogues cannot be drawn, or None."""
    return None if _drawn(slicing, by_system=True) else _reasons(slicing, by_system=True)


def _drawn(slicing: Slicing, *, by_system: bool) -> list[Dimension]:
    """Return the dimensions with something to compare: one slice alone is the whole."""
    chosen = [d for d in DIMENSIONS.values() if d.by_system is by_system]
    return [d for d in chosen if len(slicing.labels(d.name)) > 1]


def _reasons(slicing: Slicing, *, by_system: bool) -> str:
    missing = [m for m in slicing.missing if DIMENSIONS[m.dimension].by_system is by_system]
    return "; ".join(dict.fromkeys(m.reason for m in missing)) or "all dialogues fall into one slice"


def _draw(comparison: Comparison, slicing: Slicing, dimensions: Sequence[Dimension], file: str, title: str) -> Picture:
    found = {d.name: slicing.of(d.name) for d in dimensions}
    names = dict.fromkeys(piece.system for pieces in found.values() for piece in pieces)
    systems = [system for system in comparison.systems if system.system in names]
    figure, panels = new_axes(0.3 + PANEL_IN * len(found) + legend_height_in(systems), rows=len(found), sharey=True)
    for axes, dimension in zip(panels, dimensions, strict=True):
        _draw_panel(axes, comparison, systems, found[dimension.name])
        axes.set_title(dimension.title, fontsize=10, loc="left")
        axes.set_ylabel("ROUGE-L (points)", fontsize=9)
    if any(piece.small for pieces in found.values() for piece in pieces):
        note = f"Hollow: fewer than {SMALL} dialogues; their intervals may be longer than the picture shows"
        figure.suptitle(note, fontsize=9, x=0.99, ha="right")
    panels[0].set_ylim(_limits([piece for pieces in found.values() for piece in pieces]))
    looks = [comparison.systems.index(system) for system in systems]
    name_systems(figure, [point_handle(look) for look in looks], systems)
    told = "; ".join(_told(d, slicing, systems) for d in dimensions)
    data = csv_text(
        ("dimension", "slice", "system", "n", "rougeL_f", "rougeL_low", "rougeL_high"),
        ((s.dimension, s.label, s.system, s.n, *_score(s)) for pieces in found.values() for s in pieces),
    )
    undrawn = tuple(s.system for s in comparison.systems if s.system not in names)
    alt = f"Dots of ROUGE-L in points with intervals by slice and system. {told}."
    return Picture(file, as_png(figure), title, alt, data, "hard", undrawn)


def _score(piece: Slice) -> tuple[float, float, float]:
    score = piece.rouge["rougeL"]
    return score.f, score.low, score.high


def _limits(pieces: Sequence[Slice]) -> tuple[float, float]:
    """Return an axis that holds every dot, and every interval that rests on enough dialogues.

    The interval of a slice of one dialogue is 0 to 100, and would flatten all others.
    """
    ends = [POINTS * value for piece in pieces for value in (_score(piece) if not piece.small else _score(piece)[:1])]
    edge = 0.08 * (max(ends) - min(ends)) or 1.0
    return max(0.0, min(ends) - edge), max(ends) + edge


def _draw_panel(axes: Any, comparison: Comparison, systems: Sequence[System], pieces: Sequence[Slice]) -> None:
    labels = list(dict.fromkeys(piece.label for piece in pieces))
    step = GROUP / len(systems)
    place_of = {system.system: step * (i + 0.5) - GROUP / 2 for i, system in enumerate(systems)}
    index_of = {system.system: i for i, system in enumerate(comparison.systems)}
    size = 6.5 if len(systems) <= 4 else 5 if len(systems) * len(labels) <= 50 else 3.5
    for piece in pieces:
        f, low, high = (POINTS * value for value in _score(piece))
        look = point_look(index_of[piece.system])
        axes.errorbar(
            [labels.index(piece.label) + place_of[piece.system]], [f], yerr=[[max(0.0, f - low)], [max(0.0, high - f)]],
            linestyle="none", markersize=size, elinewidth=1, markerfacecolor="white" if piece.small else look["color"],
            zorder=3, **look,
        )  # fmt: skip
    counts = {label: {piece.n for piece in pieces if piece.label == label} for label in labels}
    width = max(10, LETTERS_A_LINE // len(labels))
    axes.set_xticks(range(len(labels)), [_tick(label, counts[label], width) for label in labels], fontsize=8.5)
    axes.set_xlim(-0.5, len(labels) - 0.5)
    for edge in range(len(labels) - 1):
        axes.axvline(edge + 0.5, color="#CCCCCC", linewidth=0.8, zorder=0)
    axes.grid(visible=False, axis="x")
    axes.tick_params(axis="x", length=0)


def _tick(label: str, counts: set[int], width: int) -> str:
    least, most = min(counts), max(counts)
    n = f"n = {least}" if least == most else f"n = {least} to {most}"
    return f"{textwrap.fill(short_name(label, LABEL_LETTERS), min(width, 26))}\n{n}"


def _told(dimension: Dimension, slicing: Slicing, systems: Sequence[System]) -> str:
    """Return the range over the systems for each slice: numbers of all would be too long to listen to."""
    parts = []
    for label in slicing.labels(dimension.name):
        scores = [s.rouge["rougeL"].f for s in slicing.of(dimension.name) if s.label == label]
        span = in_points(scores[0]) if len(scores) == 1 else f"{in_points(min(scores))} to {in_points(max(scores))}"
        parts.append(f"{label} {span}")
    return f"{dimension.title}: {listed(parts)}"
