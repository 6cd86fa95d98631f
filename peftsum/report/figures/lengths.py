"""How long the summaries are: boxes beside that of the references, and each summary against its reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peftsum.comparison import Comparison, System
from peftsum.report.figures.base import (
    COLOURS,
    HATCHES,
    SOFT,
    Picture,
    as_png,
    csv_text,
    hide_unused,
    new_axes,
    short_names,
)
from peftsum.report.figures.examples import dialogue_names

REFERENCES = "references"
WHISKERS = (5, 95)  # per cent of the summaries
BOX_IN = 0.34
PANEL_IN = 1.85
FULL_DOTS = 400  # dialogues up to which dots are drawn dense
NO_LENGTHS = "no system here has the lengths of its summaries recorded"


def draw_boxes(comparison: Comparison) -> Picture:
    """Return a box of words a summary for every system, the references' first."""
    systems = _measured(comparison)
    rows = [(REFERENCES, systems[0].statistics["reference_words"])]
    rows += [(s.system, s.statistics["prediction_words"]) for s in systems]
    boxes = [_box(words) for _, words in rows]
    index_of = {system.system: i for i, system in enumerate(comparison.systems)}
    png = _draw_boxes([REFERENCES, *short_names(systems).values()], boxes, [index_of.get(name, -1) for name, _ in rows])
    told = "; ".join(f"{name} {box['med']:.1f}" for (name, _), box in zip(rows, boxes, strict=True))
    parts = ("whislo", "q1", "med", "q3", "whishi", "mean")
    data = csv_text(
        ("system", "n", "p5", "p25", "median", "p75", "p95", "mean"),
        ((name, len(words), *(box[p] for p in parts)) for (name, words), box in zip(rows, boxes, strict=True)),
    )
    title = "Length of the summaries beside that of the references"
    alt = f"Boxes of words a summary by system; medians: {told}."
    return Picture("lengths.png", png, title, alt, data, "errors", _unmeasured(comparison))


def _draw_boxes(names: Sequence[str], boxes: Sequence[dict[str, Any]], looks: Sequence[int]) -> bytes:
    """Draw a box a row; a look below 0 is that of the references."""
    figure, (axes,) = new_axes(1.0 + BOX_IN * len(names))
    places = list(range(len(names)))
    ink = {"color": "#222222", "linewidth": 1.1}
    style = {"boxprops": {"edgecolor": "#222222"}, "whiskerprops": ink, "capprops": ink}
    style["medianprops"] = {"color": "black", "linewidth": 2}
    drawn = axes.bxp(boxes, places, orientation="horizontal", widths=0.62, patch_artist=True, showfliers=False, **style)
    for patch, look in zip(drawn["boxes"], looks, strict=True):
        patch.set(facecolor="#D8D8D8" if look < 0 else COLOURS[look % len(COLOURS)], alpha=0.55)
        patch.set_hatch(HATCHES[max(look, 0) // len(COLOURS) % len(HATCHES)])
    axes.axvline(boxes[0]["med"], color="#777777", linewidth=1, linestyle=":", zorder=0)
    axes.set_yticks(places, names, fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel(f"Words a summary: box 25 to 75 %, whiskers {WHISKERS[0]} to {WHISKERS[1]} %, line the median")
    axes.grid(visible=False, axis="y")
    return as_png(figure)


def draw_scatter(comparison: Comparison) -> Picture:
    """Return a panel for every system: words of each summary against words of its reference."""
    systems = _measured(comparison)
    columns = len(systems) if len(systems) < 3 else 2 if len(systems) == 4 else 3 if len(systems) <= 6 else 4
    lines = -(-len(systems) // columns)
    height = PANEL_IN * lines if columns > 1 else 3.4
    figure, panels = new_axes(0.6 + height, lines, columns, sharex=True, sharey=True)
    used = hide_unused(panels, len(systems))
    end = 1.05 * max(max(max(_words(s, "reference")), max(_words(s, "prediction"))) for s in systems) or 1.0
    index_of = {system.system: i for i, system in enumerate(comparison.systems)}
    letters = {1: 60, 2: 36, 3: 27}.get(columns, 21)
    short = short_names(systems, letters)
    for axes, system in zip(used, systems, strict=True):
        _draw_panel(axes, system, index_of[system.system], end)
        axes.set_title(short[system.system], fontsize=8.5)
    _label_open_edges(used, columns)
    figure.supxlabel("Words of the reference (on the line: as long as it)", fontsize=9)
    figure.supylabel("Words of the summary", fontsize=9)
    names = dialogue_names(comparison)
    data = csv_text(
        ("system", "dialogue", "reference_words", "prediction_words"),
        (
            (s.system, *row)
            for s in systems
            for row in zip(names, _words(s, "reference"), _words(s, "prediction"), strict=True)
        ),
    )
    told = "; ".join(f"{s.system} {100 * _longer(s):.0f} %" for s in systems)
    title = "Words of each summary against its reference"
    alt = f"Dots of words of each summary against words of its reference; longer than the reference are: {told}."
    return Picture("lengths_scatter.png", as_png(figure), title, alt, data, "errors", _unmeasured(comparison))


def lacks_lengths(comparison: Comparison) -> str | None:
    """Return why lengths cannot be drawn, or None."""
    return None if _measured(comparison) else NO_LENGTHS


def _measured(comparison: Comparison) -> list[System]:
    return [s for s in comparison.systems if {"prediction_words", "reference_words"} <= s.statistics.keys()]


def _unmeasured(comparison: Comparison) -> tuple[str, ...]:
    measured = {system.system for system in _measured(comparison)}
    return tuple(s.system for s in comparison.systems if s.system not in measured)


def _words(system: System, whose: str) -> list[float]:
    return system.statistics[f"{whose}_words"]


def _longer(system: System) -> float:
    pairs = list(zip(_words(system, "prediction"), _words(system, "reference"), strict=True))
    return sum(ours > theirs for ours, theirs in pairs) / len(pairs)


def _box(words: Sequence[float]) -> dict[str, Any]:
    import numpy as np

    low, q1, median, q3, high = np.percentile(words, [WHISKERS[0], 25, 50, 75, WHISKERS[1]]).tolist()
    return {"whislo": low, "q1": q1, "med": median, "q3": q3, "whishi": high, "mean": float(np.mean(words))}


def _draw_panel(axes: Any, system: System, look: int, end: float) -> None:
    reference, words = _words(system, "reference"), _words(system, "prediction")
    alpha = 0.55 if len(words) <= FULL_DOTS else 0.3
    axes.plot([0, end], [0, end], color="#777777", linewidth=1, zorder=1)
    style = {"marker": "o", "markersize": 3, "markeredgewidth": 0, "alpha": alpha, "zorder": 2}
    axes.plot(reference, words, linestyle="none", color=COLOURS[look % len(COLOURS)], **style)
    axes.set(xlim=(0, end), ylim=(0, end))
    axes.tick_params(labelsize=8, labelcolor=SOFT)


def _label_open_edges(used: Sequence[Any], columns: int) -> None:
    """Give the lowest panel of each column its numbers, also where the last row is not full."""
    for axes in used[-columns:]:
        axes.tick_params(labelbottom=True)
