"""Systems by scores as two heat maps: what tuning added to the untuned base, and the scores themselves."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from peftsum.comparison import POINTS, ROUGES, Comparison, System, rouge, untuned_base
from peftsum.report.figures.base import Picture, as_png, csv_text, new_axes, short_names
from peftsum.report.results import shown_errors
from peftsum.report.text import ROUGE_LABELS, error_label, in_points, listed, signed

ROW_IN = 0.27
NAME_LETTERS = 28
WIDE = 14  # letters of a score's name, above which names are written upright
CROWDED = 9  # scores, above which cells are narrow
DARK = 0.2  # relative luminance of a cell below which its number is white


@dataclass(frozen=True)
class _Map:
    """One block of cells: a row a system, a column a score; None is drawn as an empty cell."""

    title: str
    columns: list[str]
    values: list[list[float | None]]


def draw_improvement(comparison: Comparison) -> Picture:
    """Return the gain of every tuned system over its untuned base; more is better in every cell, errors too."""
    pairs = [(s, base) for s, base in _with_base(comparison) if base is not None and base is not s]
    systems, names = [s for s, _ in pairs], shown_errors(comparison)
    gained = [[POINTS * (rouge(s, n).f - rouge(base, n).f) for n in ROUGES] for s, base in pairs]
    fewer = [[_less(base, s, n) for n in names] for s, base in pairs]
    maps = [_Map("ROUGE gained (points)", _rouge_labels(), list(map(list, gained)))]
    maps += [_Map("Errors avoided (percentage points)", [error_label(n) for n in names], fewer)] if names else []
    png = _draw(systems, maps, diverging=True)
    told = "; ".join(f"{s.system} {', '.join(signed(v) for v in row)}" for s, row in zip(systems, gained, strict=True))
    alt = f"Heat map of points gained over the untuned base in {listed(_rouge_labels())}: {told}."
    title = "Improvement over the untuned base: blue is better, red is worse"
    data = _data(systems, [*ROUGES, *names], [[*a, *b] for a, b in zip(gained, fewer, strict=True)], "gain_points")
    undrawn = tuple(s.system for s, base in _with_base(comparison) if base is None)
    why = "their untuned base is not in this comparison"
    return Picture("improvement.png", png, title, alt, data, "scores", undrawn, why)


def lacks_improvement(comparison: Comparison) -> str | None:
    """Return why improvement cannot be drawn, or None."""
    if any(base is not None and base is not system for system, base in _with_base(comparison)):
        return None
    return "no tuned system has its untuned base beside it in this comparison"


def draw_absolute(comparison: Comparison) -> Picture:
    """Return the scores and error rates of every system as they are."""
    systems, names = comparison.systems, shown_errors(comparison)
    scores = [[POINTS * rouge(s, n).f for n in ROUGES] for s in systems]
    rates = [[_rate(s, n) for n in names] for s in systems]
    maps = [_Map("ROUGE (points): darker is better", _rouge_labels(), list(map(list, scores)))]
    maps += [_Map("Errors (%): darker is worse", [error_label(n) for n in names], rates)] if names else []
    told = "; ".join(f"{s.system} {', '.join(in_points(rouge(s, n).f) for n in ROUGES)}" for s in systems)
    alt = f"Heat map of {listed(_rouge_labels())} in points: {told}."
    values = [[*a, *b] for a, b in zip(scores, rates, strict=True)]
    data = _data(systems, [*ROUGES, *names], values, "points")
    title = "Scores and error rates of every system"
    return Picture("scores.png", _draw(systems, maps, diverging=False), title, alt, data, "scores")


def _with_base(comparison: Comparison) -> list[tuple[System, System | None]]:
    tuned = [system for system in comparison.systems if system.method != "none"]
    return [(system, untuned_base(comparison, system)) for system in tuned]


def _rouge_labels() -> list[str]:
    return [ROUGE_LABELS[name] for name in ROUGES]


def _rate(system: System, name: str) -> float | None:
    found = system.scores.error_rates.get(name)
    return None if found is None else 100 * found.rate


def _less(base: System, system: System, name: str) -> float | None:
    before, after = _rate(base, name), _rate(system, name)
    return None if before is None or after is None else before - after


def _data(systems: Sequence[System], names: Sequence[str], values: Sequence[Sequence[float | None]], unit: str) -> str:
    columns = ["system", *(f"{name}_{unit}" for name in names)]
    return csv_text(columns, ((s.system, *row) for s, row in zip(systems, values, strict=True)))


def _draw(systems: Sequence[System], maps: Sequence[_Map], *, diverging: bool) -> bytes:
    widths = {"width_ratios": [len(each.columns) for each in maps]}
    figure, panels = new_axes(max(3.0, 1.5 + ROW_IN * len(systems)), columns=len(maps), sharey=True, gridspec_kw=widths)
    columns = [column for each in maps for column in each.columns]
    crowded = len(columns) > CROWDED
    angle, letters = (90, 26 if crowded else 17) if crowded or max(map(len, columns)) > WIDE else (0, WIDE)
    short = short_names(systems, NAME_LETTERS)
    for number, (axes, each) in enumerate(zip(panels, maps, strict=True)):
        palette = "RdBu" if diverging else ("Blues", "Oranges")[number]
        _draw_map(axes, each, palette, 6.5 if crowded else 8.5, diverging=diverging)
        labels = [textwrap.fill(column, letters) for column in each.columns]
        axes.set_xticks(range(len(labels)), labels, fontsize=8, rotation=angle)
        axes.tick_params(length=0)
        if number == 0:
            axes.set_yticks(range(len(systems)), list(short.values()), fontsize=9)
    return as_png(figure)


def _draw_map(axes: Any, each: _Map, palette: str, size: float, *, diverging: bool) -> None:
    import numpy as np
    from matplotlib import colormaps

    table = np.asarray([[np.nan if v is None else v for v in row] for row in each.values], dtype=np.float64)
    known = table[np.isfinite(table)]
    end = max(0.1, float(np.abs(known).max(initial=0.0)))
    colours = colormaps[palette].with_extremes(bad="#F2F2F2")
    # Numbers have to be read on the darkest cell, and 0 has to be white in a map of gains.
    limits = (-1.25 * end, 1.25 * end) if diverging else (0.0, 1.25 * end)
    image = axes.imshow(table, cmap=colours, vmin=limits[0], vmax=limits[1], aspect="auto")
    for (row, column), value in np.ndenumerate(table):
        ink = "white" if np.isfinite(value) and _luminance(image.to_rgba(value)) < DARK else "#1A1A1A"
        axes.text(column, row, _number(value, diverging), ha="center", va="center", fontsize=size, color=ink)
    axes.set_title(each.title, fontsize=9)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(0.5, len(each.columns) - 1), minor=True)
    axes.set_yticks(np.arange(0.5, len(table) - 1), minor=True)
    axes.grid(which="minor", color="white", linewidth=1.2)
    axes.tick_params(which="minor", length=0)


def _number(value: float, signs: bool) -> str:
    if value != value:
        return "–"  # noqa: RUF001  # not measured
    return signed(value) if signs else f"{value:.1f}"


def _luminance(colour: Sequence[float]) -> float:
    """Return relative luminance of an sRGB colour (WCAG 2.2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
