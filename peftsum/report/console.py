"""The comparison as a table for a terminal of 100 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peftsum.comparison import Comparison
from peftsum.cost.disclosure import disclose
from peftsum.report.ledger import ledger_section
from peftsum.report.tables import Cell, glance_table, scores_table
from peftsum.units import format_grams

if TYPE_CHECKING:
    from rich.table import Table

WIDTH = 100


def render_table(comparison: Comparison) -> Table:
    """Return quality beside cost, one row a system, the best of each column in bold; at most 100 columns wide."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    def text(cell: Cell) -> Text:
        style = "bold green" if cell.best else "dim" if cell.missing else ""
        return Text("–" if cell.missing else cell.text, style=style)  # noqa: RUF001  # the report has the reason

    glance, scores = glance_table(comparison), scores_table(comparison)
    cost_from = glance.headers.index("Trained weights")
    title = Text(f"{comparison.title}: {comparison.data} {comparison.split}, {comparison.n} dialogues")
    caption = Text(_caption(comparison), style="dim")
    table = Table(
        title=title,
        title_justify="left",
        caption=caption,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        width=WIDTH,
    )
    table.add_column("System", ratio=1, overflow="fold")
    for header in ("R-1", "R-2", "R-L", "95 %", "Gain", "Trained", "Stored", "Memory", "Time", "Energy"):
        table.add_column(header, justify="right", no_wrap=header not in ("Time", "Energy"))
    for row, score_row in zip(glance.rows, scores.rows, strict=True):
        rouge_1, rouge_2, rouge_l = score_row.cells[:3]
        half = Cell(rouge_l.details[0].replace(" to ", "\N{EN DASH}"))
        cells = [rouge_1, rouge_2, rouge_l, half, row.cells[1], *row.cells[cost_from:]]
        table.add_row(Text(row.name), *(text(cell) for cell in cells))
    return table


def cost_lines(comparison: Comparison) -> list[str]:
    """Return the cost side in lines: what to choose, whether the ranking could turn, forecasts, carbon."""
    section = ledger_section(comparison)
    forecast = [f"Forecasts: {section.forecast_note}"] if section.forecasts is not None else []
    return [*(f"- {sentence}" for sentence in section.advice), *section.order, *forecast, *_carbon(comparison)]


def _carbon(comparison: Comparison) -> list[str]:
    """Return the carbon of each training in one line; the page has ranges, money and the lines for model cards."""
    trained = [s for s in comparison.systems if s.train is not None]
    found = {s.system: disclose(s.train, comparison.cost).total_carbon_g.value for s in trained}
    told = [f"{name} {format_grams(grams)}" for name, grams in found.items() if grams is not None]
    place = comparison.cost.region or "an unstated place (cost.region)"
    return [f"CO2-equivalent of training at {place}: {', '.join(told)}; ranges are in the report."] if told else []


def _caption(comparison: Comparison) -> str:
    bases = ", ".join(dict.fromkeys(system.base for system in comparison.systems))
    estimated = any(s.train is not None and s.train.energy_j.estimated for s in comparison.systems)
    energy = " Energy is an estimate." if estimated else ""
    return f"ROUGE F in points on {bases}; gain in ROUGE-L over the untuned base; – none, or not measured.{energy}"  # noqa: RUF001
