"""ROUGE-L of single dialogues, for a sample of them: whether a system is better throughout or only on some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peftsum.comparison import POINTS, Comparison, System, rouge_l
from peftsum.report.figures.base import (
    COLOURS,
    SOFT,
    Picture,
    as_png,
    csv_text,
    hide_unused,
    legend_height_in,
    name_systems,
    new_axes,
    point_handle,
    point_look,
    short_name,
    short_names,
)

SAMPLE = 30
TOGETHER = 4  # systems whose dots can be told apart in one panel; more get a panel each
COLUMNS = 3
PANEL_IN = 1.75
ID_LETTERS = 12


def draw_examples(comparison: Comparison) -> Picture:
    """Return the scores of 30 dialogues, from the one the yardstick does worst on to the one it does best on."""
    systems = _scored(comparison)
    yardstick = _yardstick(systems)
    rows = sample(_scores(yardstick))
    draw = _draw_together if len(systems) <= TOGETHER else _draw_apart
    names = dialogue_names(comparison)
    png = draw(comparison, systems, yardstick, rows)
    score_rows = ((names[row], s.system, _scores(s)[row]) for row in rows for s in systems)
    undrawn = tuple(s.system for s in comparison.systems if s not in systems)
    title = f"ROUGE-L of {len(rows)} dialogues, sorted by that of {yardstick.system}"
    spreads = "; ".join(_told(s, rows) for s in systems)
    alt = f"Dots of ROUGE-L in points of {len(rows)} dialogues, evenly spread over the ranking by {yardstick.system}: "
    data = csv_text(("dialogue", "system", "rougeL_f"), score_rows)
    return Picture("rouge_by_example.png", png, title, f"{alt}{spreads}.", data, "scores", undrawn)


def lacks_examples(comparison: Comparison) -> str | None:
    """Return why single dialogues cannot be drawn, or None."""
    return None if _scored(comparison) else "no system here has its scores of each dialogue recorded"


def sample(scores: Sequence[float], count: int = SAMPLE) -> list[int]:
    """Return positions evenly spread over the ranking by score, lowest first, the lowest and the highest among them."""
    ranked = sorted(range(len(scores)), key=lambda row: scores[row])
    if len(ranked) <= count:
        return ranked
    return [ranked[round(step * (len(ranked) - 1) / (count - 1))] for step in range(count)]


def dialogue_names(comparison: Comparison) -> list[str]:
    """Return the id of each dialogue, or its number where ids are not known."""
    if comparison.facts is not None:
        return comparison.facts.ids
    return [str(number) for number in range(1, comparison.n + 1)]


def _scored(comparison: Comparison) -> list[System]:
    return [system for system in comparison.systems if system.rouge_l_per_example is not None]


def _scores(system: System) -> list[float]:
    return system.rouge_l_per_example or []


def _yardstick(systems: Sequence[System]) -> System:
    full = [system for system in systems if system.method == "full"]
    return max(full or systems, key=rouge_l)


def _told(system: System, rows: Sequence[int]) -> str:
    scores = [POINTS * _scores(system)[row] for row in rows]
    return f"{system.system} from {min(scores):.1f} to {max(scores):.1f}"


def _draw_together(comparison: Comparison, systems: Sequence[System], yardstick: System, rows: Sequence[int]) -> bytes:
    figure, (axes,) = new_axes(4.2 + legend_height_in(systems))
    names = dialogue_names(comparison)
    values = [[POINTS * _scores(system)[row] for row in rows] for system in systems]
    places = range(len(rows))
    axes.vlines(
        places, [min(v) for v in zip(*values, strict=True)], [max(v) for v in zip(*values, strict=True)], "#BBBBBB"
    )
    index_of = {system.system: i for i, system in enumerate(comparison.systems)}
    looks = [index_of[system.system] for system in systems]
    for look, scores in zip(looks, values, strict=True):
        axes.plot(places, scores, linestyle="none", markersize=5.5, alpha=0.9, zorder=3, **point_look(look))
    axes.set_xticks(places, [short_name(names[row], ID_LETTERS) for row in rows], rotation=90, fontsize=7.5)
    axes.set_xlim(-0.7, len(rows) - 0.3)
    axes.set_xlabel(f"Dialogue, from the hardest to the easiest for {short_name(yardstick.system)}")
    axes.set_ylabel("ROUGE-L (points)")
    axes.grid(visible=False, axis="x")
    name_systems(figure, [point_handle(look) for look in looks], systems)
    return as_png(figure)


def _draw_apart(comparison: Comparison, systems: Sequence[System], yardstick: System, rows: Sequence[int]) -> bytes:
    lines = -(-len(systems) // COLUMNS)
    figure, panels = new_axes(0.5 + PANEL_IN * lines, lines, COLUMNS, sharex=True, sharey=True)
    line = [POINTS * _scores(yardstick)[row] for row in rows]
    index_of = {system.system: i for i, system in enumerate(comparison.systems)}
    short = short_names(systems, 27)
    for axes, system in zip(hide_unused(panels, len(systems)), systems, strict=True):
        _draw_panel(axes, [POINTS * _scores(system)[row] for row in rows], line, index_of[system.system])
        axes.set_title(short[system.system], fontsize=8.5)
    figure.supxlabel(
        f"Dialogues, from the hardest to the easiest for {short_name(yardstick.system)} (line)", fontsize=9
    )
    figure.supylabel("ROUGE-L (points)", fontsize=9)
    return as_png(figure)


def _draw_panel(axes: Any, scores: Sequence[float], line: Sequence[float], look: int) -> None:
    places = range(len(scores))
    axes.plot(places, line, color="#999999", linewidth=1.2, zorder=1)
    axes.plot(
        places, scores, linestyle="none", marker="o", markersize=3.2, color=COLOURS[look % len(COLOURS)], zorder=3
    )
    axes.set_xticks([])
    axes.tick_params(labelsize=8, labelcolor=SOFT)
