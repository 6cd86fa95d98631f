"""How often each kind of error occurs, by system."""

from __future__ import annotations

import textwrap

from peftsum.comparison import Comparison
from peftsum.report.figures.base import Picture, as_png, csv_text, legend_height_in, name_systems, new_axes
from peftsum.report.figures.rouge import grouped_bars, rate_bar
from peftsum.report.results import shown_errors
from peftsum.report.text import error_label, rate

PER_ROW = 4  # kinds of error side by side; more go into further rows
LABEL_LETTERS = 18


def draw_errors(comparison: Comparison) -> Picture:
    """Return bars of the error rates, with intervals."""
    systems, names = comparison.systems, shown_errors(comparison)
    rows = [names[i : i + PER_ROW] for i in range(0, len(names), PER_ROW)]
    figure, panels = new_axes(0.6 + 2.7 * len(rows) + legend_height_in(systems), rows=len(rows), sharey=True)
    for axes, row in zip(panels, rows, strict=True):
        handles = grouped_bars(axes, [[rate_bar(s.scores.error_rates.get(name)) for name in row] for s in systems])
        axes.set_xticks(range(len(row)), [textwrap.fill(error_label(name), LABEL_LETTERS) for name in row], fontsize=9)
        axes.set_xlim(-0.5, min(PER_ROW, len(names)) - 0.5)
        axes.set_ylabel("Summaries flagged (%)")
    name_systems(figure, handles, systems)
    rates = {s.system: s.scores.error_rates for s in systems}
    told = "; ".join(
        f"{system} {', '.join(f'{error_label(n)} {rate(found[n].rate)}' for n in names if n in found)}"
        for system, found in rates.items()
    )
    data = csv_text(
        ("system", "error", "rate", "low", "high"),
        ((s, n, found[n].rate, found[n].low, found[n].high) for s, found in rates.items() for n in names if n in found),
    )
    title, alt = "Error rates by kind of error, with 95 % intervals", f"Bars of the error rates by system: {told}."
    undrawn = tuple(s.system for s in systems if not s.scores.error_rates)
    return Picture("errors.png", as_png(figure), title, alt, data, "errors", undrawn)


def lacks_errors(comparison: Comparison) -> str | None:
    """Return why error rates cannot be drawn, or None."""
    return None if shown_errors(comparison) else "no system here has an error rate"
