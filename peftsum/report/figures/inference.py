"""What a thousand summaries take, by system and by how it is held in memory: a bar each, with its range."""

from __future__ import annotations

from typing import Any

from peftsum.comparison import Comparison, System
from peftsum.cost.inference import ARRANGEMENTS, InferenceCost
from peftsum.ledger.windows import windows
from peftsum.report.figures.base import COLOURS, INK, Picture, as_png, csv_text, new_axes, short_names
from peftsum.report.text import in_unit
from peftsum.units import format_count

BAR = 0.72  # of the way to the next bar
ROW_IN = 0.27
Rows = list[tuple[System, InferenceCost]]


def lacks_inference(comparison: Comparison) -> str | None:
    """Return why the figure cannot be drawn, or None."""
    if any(system.inference for system in comparison.systems):
        return None
    return "what summaries cost was not measured by how a model is held (peftsum compare --inference-cost does)"


def draw_inference(comparison: Comparison) -> Picture:
    """Return seconds a thousand summaries as bars from left to right, grouped by system."""
    rows = [(s, w) for s in comparison.systems for w in windows(s) if w.wall_s.value is not None]
    systems = list(dict.fromkeys(system.system for system, _ in rows))
    figure, (axes,) = new_axes(1.2 + ROW_IN * (len(rows) + 1.6 * len(systems)))
    names = short_names([s for s in comparison.systems if s.system in systems])
    ticks, labels, place = [], [], 0.0
    for i, name in enumerate(systems):
        place += 0.8 * (i > 0)
        axes.text(0, place, names[name], fontsize=9.5, fontweight="bold", va="center", ha="left")
        place += 0.9
        for window in [w for s, w in rows if s.system == name]:
            _draw_bar(axes, place, window, COLOURS[comparison_index(comparison, name) % len(COLOURS)])
            ticks.append(place)
            labels.append(ARRANGEMENTS[window.arrangement])
            place += 1.0
    axes.set_yticks(ticks, labels)
    axes.set_ylim(place, -0.8)
    axes.set_xlabel("Seconds a thousand summaries (whiskers: fastest and slowest pass)")
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    axes.grid(visible=False, axis="y")
    told = "; ".join(f"{s.system}, {ARRANGEMENTS[w.arrangement]}: {in_unit(w.wall_s.value or 0, 's')}" for s, w in rows)
    undrawn = tuple(s.system for s in comparison.systems if s.system not in systems)
    alt = f"Bars of the time of a thousand summaries by system and arrangement: {told}."
    title = "Time of a thousand summaries, by how the model is held"
    return Picture("inference_time.png", as_png(figure), title, alt, _data(rows), part="inference", undrawn=undrawn)


def comparison_index(comparison: Comparison, name: str) -> int:
    """Return the place of a system, by which it has its colour in all figures."""
    return [system.system for system in comparison.systems].index(name)


def _draw_bar(axes: Any, place: float, window: InferenceCost, colour: str) -> None:
    value = window.wall_s.value or 0.0
    low, high = window.wall_s.ends
    eight_bits = window.arrangement.endswith(("int8", "nf4"))
    axes.barh(place, value, BAR, color=colour, alpha=0.45 if eight_bits else 0.9, edgecolor="white", linewidth=0.5)
    if low < high:
        axes.errorbar([value], [place], xerr=[[value - low], [high - value]], fmt="none", ecolor=INK, capsize=2.5)
    text = f"{value:.3g}" if value < 999.5 else format_count(round(value))
    text = f"{text}{' (short window)' if window.short else ''}"
    axes.annotate(text, (max(value, high), place), (4, 0), textcoords="offset points", va="center", fontsize=8)


def _data(rows: Rows) -> str:
    table = [(s.system, w.arrangement, w.wall_s.value, *w.wall_s.ends, w.summaries) for s, w in rows]
    return csv_text(("system", "arrangement", "wall_s_per_1000", "low", "high", "summaries"), table)
