"""Two axes of a comparison held against each other, with the Pareto front: quality against cost, or any chosen pair."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from peftsum.comparison import POINTS, Comparison, Point, System, pareto_front, train_reading
from peftsum.ledger.axes import AXES, Axis, fair, placed
from peftsum.ledger.windows import cheapest_window
from peftsum.report.figures.base import COLOURS, Picture, as_png, csv_text, new_axes, point_look, short_names
from peftsum.report.labels import Box, place_labels
from peftsum.report.text import axis_label, in_axis
from peftsum.units import GIB, MEGABYTE, watt_hours

LOG_FROM = 30.0  # largest over smallest cost from which a linear axis would press most points together
MAIN = {  # cost: the file of quality against it
    "train_energy_j": "quality_vs_energy.png",
    "train_wall_s": "quality_vs_time.png",
    "peak_memory_bytes": "quality_vs_memory.png",
    "stored_bytes": "quality_vs_size.png",
    "inference_energy_j": "quality_vs_inference_energy.png",
    "inference_wall_s": "quality_vs_inference_time.png",
}
COST_FILES = tuple(MAIN.values())
CHOSEN = "pareto_"  # what the files of chosen pairs begin with
TITLES = {
    "peak_memory_bytes": "Peak memory in training",
    "stored_bytes": "Stored on disk: adapter or whole model",
}


def draw_costs(comparison: Comparison) -> list[Picture]:
    """Return a figure for each main cost that two tuned systems have, and each chosen pair that two systems have."""
    main = [_draw_pair(comparison, AXES["rougeL"], AXES[cost], MAIN[cost]) for cost in _drawn_costs(comparison)]
    chosen = [(AXES[up], AXES[across]) for up, across in dict.fromkeys(comparison.pairs)]
    return main + [
        _draw_pair(comparison, up, across, pair_file(up.key, across.key))
        for up, across in chosen
        if len(placed(comparison, up.key, across.key)) > 1
    ]


def pair_file(up: str, across: str) -> str:
    """Return the name of the figure of a chosen pair."""
    return f"{CHOSEN}{up}_{across}.png"


def _drawn_costs(comparison: Comparison) -> list[str]:
    tuned = [s for s in comparison.systems if s.method != "none"]

    def drawable(cost: str) -> bool:
        return sum(AXES[cost].of(s) is not None for s in tuned) > 1

    def first(*costs: str) -> list[str]:
        """Return the first cost that can be read across all of them: energy, or else time."""
        return next(([c] for c in costs if drawable(c) and (c == costs[-1] or fair(tuned, c))), [])

    training = first("train_energy_j", "train_wall_s")
    sizes = [cost for cost in ("peak_memory_bytes", "stored_bytes") if drawable(cost)]
    return [*training, *sizes, *first("inference_energy_j", "inference_wall_s")]


@dataclass(frozen=True)
class _Scale:
    """How an axis is drawn: what stands beside it, and what its values are multiplied by."""

    label: str
    factor: float


def _scale(comparison: Comparison, axis: Axis, largest: float) -> _Scale:
    name = TITLES.get(axis.key) or axis_label(axis)
    if axis.unit == "points":
        return _Scale(f"{name} (points)", POINTS)
    if axis.unit == "share":
        return _Scale(f"{name} (%)", 100.0)
    if axis.unit == "J":
        estimate = ", an estimate" if _estimated(comparison, axis) else ""
        unit, factor = ("Wh", watt_hours(1.0)) if largest >= 3600 else ("J", 1.0)
        return _Scale(f"{name} ({unit}{estimate})", factor)
    if axis.unit == "s":
        unit, seconds = next(
            (u, n) for u, n in (("hours", 3600), ("minutes", 60), ("s", 1)) if largest >= 2 * n or n == 1
        )
        return _Scale(f"{name} ({unit})", 1 / seconds)
    if axis.unit == "count":
        return _Scale(name, 1.0)
    unit, factor = ("GB", 1 / (1000 * MEGABYTE)) if largest >= GIB else ("MB", 1 / MEGABYTE)
    return _Scale(f"{name} ({unit})", factor)


def _estimated(comparison: Comparison, axis: Axis) -> bool:
    """Return whether any energy on the axis is an estimate."""
    if axis.key == "train_energy_j":
        readings = [train_reading(system, "energy_j") for system in comparison.systems]
    else:
        found = [cheapest_window(system) for system in comparison.systems]
        readings = [window.readings.energy_j if window and window.readings else None for window in found]
    return any(reading is not None and reading.estimated for reading in readings)


@dataclass(frozen=True)
class _Mark:
    """A system as it is drawn, in the units of the axes."""

    index: int
    system: System
    point: Point
    x: float
    y: float
    across: tuple[float, float]
    """Ends of the range of x."""
    up: tuple[float, float]


def _marks(comparison: Comparison, up: Axis, across: Axis, scales: tuple[_Scale, _Scale]) -> list[_Mark]:
    points = {point.system: point for point in placed(comparison, up.key, across.key)}
    found = []
    for index, system in enumerate(comparison.systems):
        if system.system in points:
            (y, *y_ends), (x, *x_ends) = up.of(system) or (0.0,), across.of(system) or (0.0,)
            x_low, x_high = (scales[1].factor * (x if end is None else end) for end in x_ends)
            y_low, y_high = (scales[0].factor * (y if end is None else end) for end in y_ends)
            place = (scales[1].factor * x, scales[0].factor * y)
            found.append(_Mark(index, system, points[system.system], *place, (x_low, x_high), (y_low, y_high)))
    return found


def _draw_pair(comparison: Comparison, up: Axis, across: Axis, file: str) -> Picture:
    points = placed(comparison, up.key, across.key)
    costs = [p.cost for p in points if p.cost is not None]
    largest_up = max((axis[0] for s in comparison.systems if (axis := up.of(s)) is not None), default=0.0)
    scales = _scale(comparison, up, largest_up), _scale(comparison, across, max(costs))
    marks = _marks(comparison, up, across, scales)
    on_front = pareto_front(points)
    front = sorted((m for m in marks if m.point in on_front), key=lambda mark: mark.x)
    figure, (axes,) = new_axes(4.4)
    for mark in marks:
        _draw_mark(axes, mark, filled=mark.point in on_front, interval=up.unit in ("points", "share"))
    if min(costs) > 0 and max(costs) / min(costs) > LOG_FROM:
        _log_axis(axes)
    axes.margins(x=0.14, y=0.14)
    axes.autoscale_view()
    if not any(mark.system.method == "none" for mark in marks):
        _draw_untuned(axes, comparison, up, scales[0], [(mark.x, mark.y) for mark in marks])
    if not up.more_is_better:
        axes.invert_yaxis()
    _draw_front(axes, front, better_down=not up.more_is_better)
    axes.set_xlabel(scales[1].label)
    axes.set_ylabel(scales[0].label)
    _write_names(figure, axes, marks, front)
    places = [f"{m.system.system} {in_axis(up, m.system)} at {in_axis(across, m.system)}" for m in marks]
    told = "; ".join(f"{p}{', on the front' * (m.point in on_front)}" for p, m in zip(places, marks, strict=True))
    undrawn = [s.system for s in comparison.systems if s.method != "none" and s not in [m.system for m in marks]]
    title = f"{'Quality' if up.key == 'rougeL' else axis_label(up)} against {across.label}"
    alt = f"{scales[0].label} against {across.label}: {told}."
    return Picture(file, as_png(figure), title, alt, _data(marks, up, across), undrawn=tuple(undrawn))


def _data(marks: Sequence[_Mark], up: Axis, across: Axis) -> str:
    """Return what is drawn: values with the range of each, empty where there is none."""
    on_front = pareto_front([mark.point for mark in marks])
    rows = [
        (
            m.system.system,
            *(up.of(m.system) or ()),
            *(across.of(m.system) or ()),
            "yes" if m.point in on_front else "no",
        )
        for m in marks
    ]
    value = f"{up.key}_f" if up.unit == "points" else up.key
    columns = (value, f"{up.key}_low", f"{up.key}_high", across.key, f"{across.key}_low", f"{across.key}_high")
    return csv_text(("system", *columns, "on_front"), rows)


def _draw_mark(axes: Any, mark: _Mark, *, filled: bool, interval: bool) -> None:
    look = point_look(mark.index)
    bars = {"elinewidth": 1.1, "capsize": 3, "markersize": 9, "markeredgewidth": 1.8, "zorder": 3}
    pale = {"fmt": "none", "ecolor": look["color"], "alpha": 0.35, "capsize": 3, "zorder": 1.5}
    face = look["color"] if filled else "white"
    spread = _whisker(mark.y, mark.up) if interval else None
    axes.errorbar([mark.x], [mark.y], yerr=spread, linestyle="none", markerfacecolor=face, **look, **bars)
    # pale: the range of a model, or of the passes, and wide
    if mark.across[0] < mark.across[1]:
        axes.errorbar([mark.x], [mark.y], xerr=_whisker(mark.x, mark.across), **pale)
    if not interval and mark.up[0] < mark.up[1]:
        axes.errorbar([mark.x], [mark.y], yerr=_whisker(mark.y, mark.up), **pale)


def _whisker(value: float, ends: tuple[float, float]) -> list[list[float]]:
    return [[max(0.0, value - ends[0])], [max(0.0, ends[1] - value)]]


def _log_axis(axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _draw_untuned(
    axes: Any, comparison: Comparison, up: Axis, scale: _Scale, marks: Sequence[tuple[float, float]]
) -> None:
    """Draw the untuned base as a line, or say where it lies when the line would flatten the rest of the figure."""
    places = [place for s in comparison.systems if s.method == "none" and (place := up.place(s)) is not None]
    if not places:
        return
    level = scale.factor * abs(max(places))
    low, high = axes.get_ylim()
    text = f"untuned base: {level:.1f}"
    style = {"fontsize": 9, "color": "#555555", "xycoords": ("axes fraction", "data"), "va": "bottom"}
    if low - 1.0 * (high - low) <= level <= high + (high - low):
        axes.axhline(level, color="#777777", linewidth=1.2, linestyle=":", zorder=1)
        axes.set_ylim(min(low, level - 0.06 * (high - low)), max(high, level + 0.1 * (high - low)))
        x, side = (0.99, "right") if _in_the_way(axes, marks, level) else (0.01, "left")
        axes.annotate(text, (x, level), (0, 1), textcoords="offset points", ha=side, **style)
    else:
        where = "below" if (level < low) == up.more_is_better else "above"
        axes.annotate(f"{text}, {where} this axis", (0.01, 0.015), **{**style, "xycoords": "axes fraction"})


def _in_the_way(axes: Any, marks: Sequence[tuple[float, float]], level: float) -> bool:
    """Return whether a mark lies where a text on the left end of the line would."""
    places = axes.transAxes.inverted().transform(axes.transData.transform([*marks, (0.0, level)]))
    height = places[-1][1]
    return any(x < 0.25 and -0.08 < y - height < 0.12 for x, y in places[:-1])


def _draw_front(axes: Any, front: Sequence[_Mark], *, better_down: bool) -> None:
    """Draw the staircase of the best that is to be had for each cost."""
    xs, ys = [mark.x for mark in front], [mark.y for mark in front]
    right = axes.get_xlim()[1]
    axes.plot(
        [*xs, right], [*ys, ys[-1]], drawstyle="steps-post", color="#888888", linewidth=1.4, linestyle="--", zorder=2
    )
    axes.set_xlim(right=right)
    note = "Filled, on the dashed line: the Pareto front (nothing here is both better and cheaper)"
    if better_down:
        note = "Filled, on the dashed line: the Pareto front. Upwards is less, and less is better"
    axes.set_title(note, fontsize=9, color="#555555", loc="left")


def _front_boxes(axes: Any, front: Sequence[_Mark]) -> list[Box]:
    """Return the area, in pixels, around each step of the staircase."""
    corners = [axes.transData.transform((mark.x, mark.y)) for mark in front]
    right = axes.get_window_extent().x1
    boxes = []
    for i, (x, y) in enumerate(corners):
        next_x, next_y = corners[i + 1] if i + 1 < len(corners) else (right, y)
        boxes += [Box(x, y - 3, next_x, y + 3), Box(next_x - 3, min(y, next_y), next_x + 3, max(y, next_y))]
    return boxes


def _write_names(figure: Any, axes: Any, marks: Sequence[_Mark], front: Sequence[_Mark]) -> None:
    figure.draw_without_rendering()  # settles the layout, so that data turn into pixels as they will be drawn
    renderer = figure.canvas.get_renderer()
    anchors, texts, solid, light = [], [], [], []
    for mark in marks:
        px, py = axes.transData.transform((mark.x, mark.y))
        ends = sorted(y for _, y in axes.transData.transform([(mark.x, end) for end in mark.up]))
        anchors.append((px, py))
        solid.append(Box(px - 11, py - 11, px + 11, py + 11))
        light.append(Box(px - 4, ends[0], px + 4, ends[1]))
    light += _front_boxes(axes, front)
    short = short_names([mark.system for mark in marks])
    for mark in marks:
        texts.append(axes.text(0, 0, short[mark.system.system], fontsize=9.5, zorder=5))
    extents = [text.get_window_extent(renderer) for text in texts]
    notes = [Box(*t.get_window_extent(renderer).extents) for t in axes.texts if t not in texts]
    inside = Box(*axes.get_window_extent(renderer).extents)
    sizes = [(e.width + 6, e.height + 4) for e in extents]
    boxes = place_labels(anchors, sizes, solid=[*solid, *notes], light=light, bounds=inside)
    for text, box, (px, py), mark in zip(texts, boxes, anchors, marks, strict=True):
        colour = COLOURS[mark.index % len(COLOURS)]
        x, y = axes.transData.inverted().transform((box.x0 + 3, box.y0 + 2))
        text.set(position=(x, y), va="bottom", color=colour)
        text.set_bbox({"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1})
        nearest = (min(max(px, box.x0), box.x1), min(max(py, box.y0), box.y1))
        if math.dist(nearest, (px, py)) > 20:
            _draw_leader(axes, nearest, (px, py), colour)


def _draw_leader(axes: Any, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    """Draw a thin line between two places in pixels: a name that had to go far off, and its mark."""
    ends = [axes.transData.inverted().transform(place) for place in (start, end)]
    xs, ys = zip(*ends, strict=True)
    axes.plot(xs, ys, color=colour, linewidth=0.8, zorder=2.5, scalex=False, scaley=False)
