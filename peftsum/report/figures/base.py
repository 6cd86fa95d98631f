"""What all figures share: colours, sizes, the picture with its data, names that fit, and a canvas without a display."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal

from peftsum.comparison import System

# Okabe and Ito (2008), told apart with any common colour blindness; yellow is left out, too pale on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
HATCHES = ("", "///", "...", "xxx")
INK, SOFT = "#333333", "#555555"
WIDTH_IN, DPI = 7.4, 150
NAME_LENGTH = 30
LEGEND_LETTERS = 40  # two names side by side
HEADS = (2 / 3, 1 / 2, 1 / 3, 0.0)  # shares of a cut name that stand before the cut, the first that keeps names apart
STYLE = {
    "font.family": "DejaVu Sans",  # shipped with matplotlib: the same picture on every machine
    "font.size": 10,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#E3E3E3",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
}

Part = Literal["glance", "scores", "errors", "hard", "inference"]
"""The part of the page that a figure stands in."""


@dataclass(frozen=True)
class Picture:
    """A figure as written next to the page and into it, with its data."""

    file: str
    png: bytes
    title: str
    alt: str
    csv: str
    """What is drawn, as a table; fractions and base units, to the last digit."""
    part: Part = "glance"
    undrawn: tuple[str, ...] = ()
    """Systems that are not in it."""
    why_undrawn: str = "this was not measured"

    @property
    def data_file(self) -> str:
        """Name of the file of ``csv``, which lies beside the picture."""
        return data_file(self.file)


def data_file(file: str) -> str:
    """Return the name of the CSV beside a picture."""
    return PurePath(file).with_suffix(".csv").name


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as CSV; None is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def short_name(name: str, length: int = NAME_LENGTH, head: float = HEADS[0]) -> str:
    """Return a name fit for a figure: one line, cut in the middle where it is longer than ``length`` letters."""
    line = " ".join(name.split()) or "?"
    first = round(head * (length - 1))
    return line if len(line) <= length else f"{line[:first]}…{line[len(line) - (length - 1 - first) :]}"


def short_names(systems: Sequence[System], length: int = NAME_LENGTH) -> dict[str, str]:
    """Return a short name for each system, all different: two recipes often differ in the middle of their names."""
    names = [system.system for system in systems]
    for head in HEADS:
        short = [short_name(name, length, head) for name in names]
        if len(set(short)) == len(names):
            return dict(zip(names, short, strict=True))
    return {name: f"{i}: {short_name(name, length - 4)}" for i, name in enumerate(names, start=1)}


def new_axes(height_in: float, rows: int = 1, columns: int = 1, **grid: Any) -> tuple[Any, list[Any]]:
    """Return a figure of the report's width and its axes, row by row."""
    # Figure without pyplot: no global state, no display, nothing to close.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, height_in), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(rows, columns, squeeze=False, **grid).flat)


def as_png(figure: Any) -> bytes:
    """Return the figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def point_look(index: int) -> dict[str, Any]:
    """Return colour and marker of a system by its place in the comparison; they repeat after 63."""
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}


def bar_look(index: int) -> dict[str, Any]:
    """Return colour and hatch of a system's bars; they repeat after 28."""
    return {"color": COLOURS[index % len(COLOURS)], "hatch": HATCHES[index // len(COLOURS) % len(HATCHES)]}


def name_systems(figure: Any, handles: Sequence[Any], systems: Sequence[System]) -> None:
    """Write the systems' names below the figure, each beside its mark."""
    # Names are set afterwards: a legend drops labels that begin with an underscore.
    labels = [f"system {i}" for i in range(len(handles))]
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    short = short_names(systems, LEGEND_LETTERS)
    for text, system in zip(legend.get_texts(), systems, strict=True):
        text.set_text(short[system.system])


def legend_height_in(systems: Sequence[System]) -> float:
    """Return the height that :func:`name_systems` takes."""
    return 0.22 * -(-len(systems) // 2)


def point_handle(index: int) -> Any:
    """Return a mark for the legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="none", markersize=6, **point_look(index))


def hide_unused(axes: Sequence[Any], used: int) -> list[Any]:
    """Take the axes without a panel out of the figure and return the others."""
    for empty in axes[used:]:
        empty.remove()
    return list(axes[:used])
