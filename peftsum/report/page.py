"""Puts tables, figures, examples and notes into the page: one self-contained HTML file, and the same in markdown."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from peftsum.comparison import Comparison, verdict, verdict_basis
from peftsum.report.figures import Picture, missing_figures
from peftsum.report.hard import hard_section
from peftsum.report.ledger import ledger_section
from peftsum.report.notes import cost_sources, error_cautions, error_notes, facts, scope_note
from peftsum.report.results import empty_cells
from peftsum.report.significance import significance
from peftsum.report.tables import errors_table, front_table, generation_table, glance_table, scores_table
from peftsum.report.text import listed
from peftsum.slices import SMALL, Slicing, slice_comparison

if TYPE_CHECKING:
    from jinja2 import Environment

MARKDOWN_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&!])")
LINE_START = re.compile(r"^([-+](?=\s)|=+$|\d+[.)](?=\s))")


class Markdown(str):
    """Text that is markdown already, and is not escaped again."""


def render_html(comparison: Comparison, pictures: Sequence[Picture], slicing: Slicing | None = None) -> str:
    """Return the page; everything from outside is escaped, figures are embedded, nothing is fetched."""
    embedded = [
        {"src": f"data:image/png;base64,{base64.b64encode(picture.png).decode()}", "data_file": picture.data_file}
        | asdict(picture)
        for picture in pictures
    ]
    from markupsafe import Markup

    # A style element holds raw text, in which escaping would break the quotes; the sheet is ours.
    sheet = Markup(files("peftsum.report").joinpath("page.css").read_text("utf-8"))
    context = _context(comparison, slicing) | {"pictures": embedded, "css": sheet}
    return _environment().get_template("page.html.jinja").render(context)


def render_markdown(comparison: Comparison, pictures: Sequence[Picture], slicing: Slicing | None = None) -> str:
    """Return ``report.md``; the figures are files beside it."""
    context = _context(comparison, slicing) | {"pictures": pictures}
    text = _environment(markdown=True).get_template("report.md.jinja").render(context)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def escape_markdown(text: str) -> Markdown:
    """Return text that markdown shows as it is, on one line, also inside a table."""
    line = " ".join(text.split())
    return Markdown(LINE_START.sub(r"\\\1", MARKDOWN_SPECIAL.sub(r"\\\1", line)))


def quote_markdown(text: str) -> Markdown:
    """Return a text of several lines as a block quote with its line breaks kept."""
    return Markdown("\n".join(f"> {escape_markdown(line)}  " for line in text.splitlines()) or "> ")


def fence_markdown(text: str) -> Markdown:
    """Return a code block whose fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markdown(f"{fence}\n{text}\n{fence}")


def _finalize_markdown(value: Any) -> Any:
    return value if isinstance(value, Markdown) or not isinstance(value, str) else escape_markdown(value)


@cache
def _environment(*, markdown: bool = False) -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("peftsum.report", "."),
        undefined=StrictUndefined,
        autoescape=not markdown,
        finalize=_finalize_markdown if markdown else None,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "quote": quote_markdown,
        "fence": fence_markdown,
        "listed": listed,
        "as_is": Markdown,  # for what is markdown already: a table, a file's or a column's name
    }
    return environment


def _context(comparison: Comparison, slicing: Slicing | None) -> dict[str, Any]:
    slicing = slicing or slice_comparison(comparison)
    return {
        "comparison": comparison,
        "verdict": verdict(comparison),
        "basis": verdict_basis(comparison),
        "scope": scope_note(comparison),
        "glance": glance_table(comparison),
        "scores": scores_table(comparison),
        "significance": significance(comparison),
        "errors": errors_table(comparison),
        "generation": generation_table(comparison),
        "front": front_table(comparison),
        "hard": hard_section(comparison, slicing),
        "ledger": ledger_section(comparison),
        "missing_figures": missing_figures(comparison, slicing),
        "small": SMALL,
        "error_notes": error_notes(comparison),
        "error_cautions": error_cautions(comparison),
        "facts": facts(comparison),
        "cost_sources": cost_sources(comparison),
        "empty": empty_cells(comparison),
        "notes": [(s.system, s.note) for s in comparison.systems if s.note],
    }
