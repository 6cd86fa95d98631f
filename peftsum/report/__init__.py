"""The report of a comparison: a page, markdown, a CSV, the record itself, and the figures.

    write_report(comparison, Path("report"))  # report/index.html and its neighbours

Every file is written atomically; ``index.html`` comes last, so that a page that is there has its neighbours.
"""

from __future__ import annotations

from pathlib import Path

from peftsum.comparison import Comparison

__all__ = ["write_report"]


def write_report(comparison: Comparison, out: Path) -> Path:
    """Write ``index.html``, ``report.md``, ``results.csv``, ``differences.csv``, ``comparison.json``, figures.

    Args:
        comparison: what was measured.
        out: the folder, made where it is missing; a former report in it is replaced.

    Returns:
        The path of ``index.html``.

    Raises:
        StorageError: disk full, no permission.
    """
    from peftsum.artifacts import storage_errors, write_bytes, write_record, write_text
    from peftsum.report.figures import FILES, draw_figures
    from peftsum.report.page import render_html, render_markdown
    from peftsum.report.results import results_csv
    from peftsum.report.significance import differences_csv

    pictures = draw_figures(comparison)
    page, markdown = render_html(comparison, pictures), render_markdown(comparison, pictures)
    for picture in pictures:
        write_bytes(out / picture.file, picture.png)
    write_text(out / "results.csv", results_csv(comparison))
    write_text(out / "differences.csv", differences_csv(comparison))
    write_record(out / "comparison.json", comparison)
    write_text(out / "report.md", markdown)
    write_text(out / "index.html", page)
    with storage_errors(out):
        # A figure of a former report that this one cannot draw would be taken for part of it.
        for stale in set(FILES) - {picture.file for picture in pictures}:
            (out / stale).unlink(missing_ok=True)
    return out / "index.html"
