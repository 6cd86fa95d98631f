"""Quality against each cost of training, with the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from peftsum.comparison import (
    COSTS,
    POINTS,
    Comparison,
    Point,
    System,
    comparable,
    pareto_front,
    points,
    rouge_l,
    train_reading,
)
from peftsum.report.figures.base import COLOURS, Picture, as_png, csv_text, new_axes, point_look, short_names
from peftsum.report.labels import Box, place_labels
from peftsum.report.text import in_points, in_unit
from peftsum.units import GIB, MEGABYTE, watt_hours

LOG_FROM = 30.0  # largest over smallest cost from which a linear axis would press most points together
COST_FILES = ("quality_vs_energy.png", "quality_vs_time.png", "quality_vs_memory.png", "quality_vs_size.png")


def draw_costs(comparison: Comparison) -> list[Picture]:
    """Return a figure for each cost that two tuned systems have."""
    return [_draw_quality_against(comparison, cost) for cost in _drawn_costs(comparison)]


def _drawn_costs(comparison: Comparison) -> list[str]:
    tuned = [s for s in comparison.systems if s.method != "none"]

    def drawable(cost: str) -> bool:
        return sum(COSTS[cost].of(s) is not None for s in tuned) > 1

    energy = drawable("train_energy_j") and comparable(tuned, "train_energy_j")
    first = "train_energy_j" if energy else "train_wall_s"
    return [cost for cost in (first, "peak_memory_bytes", "stored_bytes") if drawable(cost)]


@dataclass(frozen=True)
class _Axis:
    """A cost's axis: what it is called, the file's name, and how values are scaled to its unit."""

    label: str
    file: str
    unit: str
    scale: float


def _axis(comparison: Comparison, cost: str, largest: float) -> _Axis:
    if cost == "train_energy_j":
        readings = [train_reading(system, "energy_j") for system in comparison.systems]
        estimate = ", an estimate" if any(r is not None and r.estimated for r in readings) else ""
        unit, scale = ("Wh", watt_hours(1.0)) if largest >= 3600 else ("J", 1.0)
        return _Axis(f"Training energy ({unit}{estimate})", "quality_vs_energy.png", "J", scale)
    if cost == "train_wall_s":
        unit, seconds = next(
            (u, n) for u, n in (("hours", 3600), ("minutes", 60), ("s", 1)) if largest >= 2 * n or n == 1
        )
        return _Axis(f"Training time ({unit})", "quality_vs_time.png", "s", 1 / seconds)
    unit, scale = ("GB", 1 / (1000 * MEGABYTE)) if largest >= GIB else ("MB", 1 / MEGABYTE)
    if cost == "peak_memory_bytes":
        return _Axis(f"Peak memory in training ({unit})", "quality_vs_memory.png", "B", scale)
    return _Axis(f"Stored on disk: adapter or whole model ({unit})", "quality_vs_size.png", "B", scale)


def _draw_quality_against(comparison: Comparison, cost: str) -> Picture:
    placed = [p for p in points(comparison, cost) if p.cost is not None]
    by_name = {system.system: (i, system) for i, system in enumerate(comparison.systems)}
    front = pareto_front(placed)
    costs = [p.cost for p in placed if p.cost is not None]
    axis = _axis(comparison, cost, max(costs))
    figure, (axes,) = new_axes(4.4)
    for point in placed:
        index, system = by_name[point.system]
        _draw_point(axes, system, index, point, axis, cost, on_front=point in front)
    if min(costs) > 0 and max(costs) / min(costs) > LOG_FROM:
        _log_axis(axes)
    axes.margins(x=0.14, y=0.14)
    axes.autoscale_view()
    _draw_untuned(axes, comparison, [((p.cost or 0.0) * axis.scale, POINTS * p.quality) for p in placed])
    _draw_front(axes, front, axis)
    axes.set_xlabel(axis.label)
    axes.set_ylabel("ROUGE-L (points)")
    _write_names(figure, axes, placed, axis, by_name)
    title = f"Quality against {COSTS[cost].label}"
    places = [f"{p.system} {in_points(p.quality)} at {in_unit(p.cost or 0.0, axis.unit)}" for p in placed]
    told = "; ".join(f"{place}{', on the front' * (p in front)}" for place, p in zip(places, placed, strict=True))
    undrawn = [s.system for s in comparison.systems if s.method != "none" and COSTS[cost].of(s) is None]
    alt = f"ROUGE-L in points against {COSTS[cost].label}: {told}."
    return Picture(axis.file, as_png(figure), title, alt, _data(comparison, cost, front), undrawn=tuple(undrawn))


def _data(comparison: Comparison, cost: str, front: Sequence[Point]) -> str:
    """Return what is drawn: energies with the range of their model, None where a cost was not measured."""
    chosen = [s for s in comparison.systems if COSTS[cost].of(s) is not None]
    on_front = {point.system for point in front}
    rows = []
    for system in chosen:
        score = system.scores.rougeL
        reading = train_reading(system, "energy_j") if cost == "train_energy_j" else None
        ends = (reading.low, reading.high) if reading is not None else (None, None)
        place = "yes" if system.system in on_front else "no"
        rows.append((system.system, score.f, score.low, score.high, COSTS[cost].of(system), *ends, place))
    columns = ("system", "rougeL_f", "rougeL_low", "rougeL_high", cost, f"{cost}_low", f"{cost}_high", "on_front")
    return csv_text(columns, rows)


def _draw_point(axes: Any, system: System, index: int, point: Point, axis: _Axis, cost: str, *, on_front: bool) -> None:
    score = system.scores.rougeL
    x, y = (point.cost or 0.0) * axis.scale, POINTS * point.quality
    spread = [[POINTS * max(0.0, score.f - score.low)], [POINTS * max(0.0, score.high - score.f)]]
    reading = train_reading(system, "energy_j") if cost == "train_energy_j" else None
    sideways = None
    if reading is not None and reading.low is not None and reading.high is not None and reading.value is not None:
        sideways = [
            [axis.scale * max(0.0, reading.value - reading.low)],
            [axis.scale * max(0.0, reading.high - reading.value)],
        ]
    look = point_look(index)
    filled = look["color"] if on_front else "white"
    bars = {"elinewidth": 1.1, "capsize": 3, "markersize": 9, "markeredgewidth": 1.8, "zorder": 3}
    axes.errorbar([x], [y], yerr=spread, linestyle="none", markerfacecolor=filled, **look, **bars)
    if sideways is not None:  # pale: it is the range of a model, and wide
        axes.errorbar([x], [y], xerr=sideways, fmt="none", ecolor=look["color"], alpha=0.35, capsize=3, zorder=1.5)


def _log_axis(axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _draw_untuned(axes: Any, comparison: Comparison, marks: Sequence[tuple[float, float]]) -> None:
    """Draw the untuned base as a line, or say where it lies when the line would flatten the rest of the figure."""
    untuned = [s for s in comparison.systems if s.method == "none"]
    if not untuned:
        return
    best = max(untuned, key=rouge_l)
    level = POINTS * rouge_l(best)
    low, high = axes.get_ylim()
    text = f"untuned base: {level:.1f}"
    style = {"fontsize": 9, "color": "#555555", "xycoords": ("axes fraction", "data"), "va": "bottom"}
    if low - 1.0 * (high - low) <= level <= high + (high - low):
        axes.axhline(level, color="#777777", linewidth=1.2, linestyle=":", zorder=1)
        axes.set_ylim(min(low, level - 0.06 * (high - low)), max(high, level + 0.1 * (high - low)))
        x, side = (0.99, "right") if _in_the_way(axes, marks, level) else (0.01, "left")
        axes.annotate(text, (x, level), (0, 1), textcoords="offset points", ha=side, **style)
    else:
        where = "below" if level < low else "above"
        axes.annotate(f"{text}, {where} this axis", (0.01, 0.015), **{**style, "xycoords": "axes fraction"})


def _in_the_way(axes: Any, marks: Sequence[tuple[float, float]], level: float) -> bool:
    """Return whether a mark lies where a text on the left end of the line would."""
    places = axes.transAxes.inverted().transform(axes.transData.transform([*marks, (0.0, level)]))
    height = places[-1][1]
    return any(x < 0.25 and -0.08 < y - height < 0.12 for x, y in places[:-1])


def _draw_front(axes: Any, front: Sequence[Point], axis: _Axis) -> None:
    """Draw the staircase of the best quality to be had for each cost."""
    xs = [(p.cost or 0.0) * axis.scale for p in front]
    ys = [POINTS * p.quality for p in front]
    right = axes.get_xlim()[1]
    axes.plot(
        [*xs, right], [*ys, ys[-1]], drawstyle="steps-post", color="#888888", linewidth=1.4, linestyle="--", zorder=2
    )
    axes.set_xlim(right=right)
    note = "Filled, on the dashed line: the Pareto front (nothing here is both better and cheaper)"
    axes.set_title(note, fontsize=9, color="#555555", loc="left")


def _front_boxes(axes: Any, front: Sequence[Point], axis: _Axis) -> list[Box]:
    """Return the area, in pixels, around each step of the staircase."""
    corners = [axes.transData.transform(((p.cost or 0.0) * axis.scale, POINTS * p.quality)) for p in front]
    right = axes.get_window_extent().x1
    boxes = []
    for i, (x, y) in enumerate(corners):
        next_x, next_y = corners[i + 1] if i + 1 < len(corners) else (right, y)
        boxes += [Box(x, y - 3, next_x, y + 3), Box(next_x - 3, min(y, next_y), next_x + 3, max(y, next_y))]
    return boxes


def _write_names(
    figure: Any, axes: Any, placed: Sequence[Point], axis: _Axis, by_name: dict[str, tuple[int, System]]
) -> None:
    figure.draw_without_rendering()  # settles the layout, so that data turn into pixels as they will be drawn
    renderer = figure.canvas.get_renderer()
    anchors, texts, solid, light = [], [], [], []
    for point in placed:
        score = by_name[point.system][1].scores.rougeL
        x = (point.cost or 0.0) * axis.scale
        px, py = axes.transData.transform((x, POINTS * point.quality))
        (_, low), (_, high) = axes.transData.transform([(x, POINTS * score.low), (x, POINTS * score.high)])
        anchors.append((px, py))
        solid.append(Box(px - 11, py - 11, px + 11, py + 11))
        light.append(Box(px - 4, low, px + 4, high))
    light += _front_boxes(axes, pareto_front(placed), axis)
    short = short_names([by_name[point.system][1] for point in placed])
    for point in placed:
        texts.append(axes.text(0, 0, short[point.system], fontsize=9.5, zorder=5))
    extents = [text.get_window_extent(renderer) for text in texts]
    notes = [Box(*t.get_window_extent(renderer).extents) for t in axes.texts if t not in texts]
    inside = Box(*axes.get_window_extent(renderer).extents)
    sizes = [(e.width + 6, e.height + 4) for e in extents]
    boxes = place_labels(anchors, sizes, solid=[*solid, *notes], light=light, bounds=inside)
    for text, box, (px, py), point in zip(texts, boxes, anchors, placed, strict=True):
        colour = COLOURS[by_name[point.system][0] % len(COLOURS)]
        x, y = axes.transData.inverted().transform((box.x0 + 3, box.y0 + 2))
        text.set(position=(x, y), va="bottom", color=colour)
        text.set_bbox({"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1})
        nearest = (min(max(px, box.x0), box.x1), min(max(py, box.y0), box.y1))
        if math.dist(nearest, (px, py)) > 20:
            start = axes.transData.inverted().transform(nearest)
            end = axes.transData.inverted().transform((px, py))
            axes.plot(
                [start[0], end[0]],
                [start[1], end[1]],
                color=colour,
                linewidth=0.8,
                zorder=2.5,
                scalex=False,
                scaley=False,
            )
