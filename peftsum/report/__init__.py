"""The report of a comparison: a page, markdown, a CSV, the record itself, and the figures.

    write_report(comparison, Path("report"))  # report/index.html and its neighbours

Every file is written atomically; ``index.html`` comes last, so that a page that is there has its neighbours.
"""

from __future__ import annotations

from pathlib import Path

from peftsum.comparison import Comparison

__all__ = ["write_report"]


def write_report(comparison: Comparison, out: Path) -> Path:
    """Write ``index.html``, ``report.md``, the CSVs, ``comparison.json`` and the figures.

    A figure is a PNG with its data as a CSV of the same name.

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
    from peftsum.report.figures.costs import CHOSEN
    from peftsum.report.hard import slices_csv
    from peftsum.report.inference import inference_csv
    from peftsum.report.page import render_html, render_markdown
    from peftsum.report.results import results_csv
    from peftsum.report.significance import differences_csv
    from peftsum.slices import slice_comparison

    slicing = slice_comparison(comparison)
    pictures = draw_figures(comparison, slicing)
    page, markdown = render_html(comparison, pictures, slicing), render_markdown(comparison, pictures, slicing)
    for picture in pictures:
        write_bytes(out / picture.file, picture.png)
        write_text(out / picture.data_file, picture.csv)
    write_text(out / "slices.csv", slices_csv(comparison, slicing))
    write_text(out / "results.csv", results_csv(comparison))
    write_text(out / "inference.csv", inference_csv(comparison))
    write_text(out / "differences.csv", differences_csv(comparison))
    write_record(out / "comparison.json", comparison)
    write_text(out / "report.md", markdown)
    write_text(out / "index.html", page)
    with storage_errors(out):
        # A figure of a former report that this one cannot draw would be taken for part of it.
        chosen = {path.name for kind in ("png", "csv") for path in out.glob(f"{CHOSEN}*.{kind}")}
        for stale in (set(FILES) | chosen) - {
            name for picture in pictures for name in (picture.file, picture.data_file)
        }:
            (out / stale).unlink(missing_ok=True)
    return out / "index.html"
