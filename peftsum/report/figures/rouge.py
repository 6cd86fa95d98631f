"""ROUGE by system: four groups of bars with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peftsum.comparison import POINTS, ROUGES, Comparison, System, rouge
from peftsum.metrics.scores import ErrorRate, RougeScore
from peftsum.report.figures.base import Picture, as_png, bar_look, csv_text, legend_height_in, name_systems, new_axes
from peftsum.report.text import ROUGE_LABELS, in_points

GROUP = 0.84  # of the way to the next group that the bars of one take
NUMBERS_UP_TO = 4  # systems, above which numbers over the bars would touch

Bar = tuple[float, float, float]
"""Height and interval, in the unit of the axis."""


def draw_rouge(comparison: Comparison) -> Picture:
    """Return the figure that every report has."""
    systems = comparison.systems
    figure, (axes,) = new_axes(3.4 + legend_height_in(systems))
    heights = [[_bar(rouge(system, name)) for name in ROUGES] for system in systems]
    handles = grouped_bars(axes, heights)
    axes.set_xticks(range(len(ROUGES)), [ROUGE_LABELS[name] for name in ROUGES])
    axes.set_ylabel("F-measure (points)")
    name_systems(figure, handles, systems)
    told = "; ".join(f"{s.system} {', '.join(in_points(rouge(s, name).f) for name in ROUGES)}" for s in systems)
    alt = f"Bars of ROUGE-1, ROUGE-2, ROUGE-L and ROUGE-Lsum in points by system: {told}."
    return Picture("rouge.png", as_png(figure), "ROUGE by system, with 95 % intervals", alt, _data(systems))


def _bar(score: RougeScore) -> Bar:
    return POINTS * score.f, POINTS * score.low, POINTS * score.high


def _data(systems: Sequence[System]) -> str:
    scores = ((system.system, name, rouge(system, name)) for system in systems for name in ROUGES)
    return csv_text(("system", "score", "f", "low", "high"), ((s, n, r.f, r.low, r.high) for s, n, r in scores))


def rate_bar(found: ErrorRate | None) -> Bar:
    """Return an error rate in per cent; one that was not measured has no bar."""
    if found is None:
        return float("nan"), float("nan"), float("nan")
    return 100 * found.rate, 100 * found.low, 100 * found.high


def grouped_bars(axes: Any, heights: Sequence[Sequence[Bar]]) -> list[Any]:
    """Draw a bar with its interval for each system and group, and return the bars of each system, for the legend.

    Args:
        axes: where to.
        heights: systems, and within each the groups from left to right.
    """
    width = GROUP / len(heights)
    handles = []
    for i, bars in enumerate(heights):
        places = [group - GROUP / 2 + width * (i + 0.5) for group in range(len(bars))]
        tops = [value for value, _, _ in bars]
        errors = [[max(0.0, v - low) for v, low, _ in bars], [max(0.0, high - v) for v, _, high in bars]]
        drawn = axes.bar(places, tops, 0.92 * width, edgecolor="white", linewidth=0.5, **bar_look(i))
        style = {"ecolor": "#444444", "elinewidth": 1, "capsize": min(3, 30 * width)}
        axes.errorbar(places, tops, yerr=errors, fmt="none", **style)
        handles.append(drawn)
        if len(heights) <= NUMBERS_UP_TO:
            _write_numbers(axes, places, bars)
    axes.set_ylim(bottom=0)
    axes.grid(visible=False, axis="x")
    return handles


def _write_numbers(axes: Any, places: Sequence[float], bars: Sequence[Bar]) -> None:
    style = {"textcoords": "offset points", "ha": "center", "fontsize": 8}
    for place, (value, _, high) in zip(places, bars, strict=True):
        if value == value:  # not where nothing was measured
            axes.annotate(f"{value:.1f}", (place, max(value, high)), (0, 2), **style)
