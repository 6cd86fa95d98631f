"""``peftsum sweep``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from peftsum.cli.output import ignore_forecast_option, json_option, print_json, set_option

EPILOG = """
Example:

\b
    peftsum sweep recipes/sweeps/arrangements.yaml
    peftsum sweep recipes/sweeps/arrangements.yaml --set train.epochs=0.25 --limit 50
    peftsum sweep my-search.yaml --storage postgresql://user:password@host/sweeps

Run the same command again, on this machine or another one, for one more worker on the same trials.
"""


@click.command(epilog=EPILOG)
@click.argument("file")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of trials and results; default runs/NAME-sweep.")
@click.option("--storage", help="Optuna's storage, such as postgresql://…; default is an SQLite file in --out.")
@click.option("--split", default="validation", show_default=True, help="Split that trials are scored on.")
@click.option("--limit", type=click.IntRange(min=1), help="Its first dialogues only.")
@click.option(
    "--stale-after",
    type=click.IntRange(min=3),
    default=120,
    show_default=True,
    help="Seconds without a sign of life after which a killed worker's trial is taken up.",
)
@ignore_forecast_option
@set_option
@json_option
def sweep(
    file: str,
    out: Path | None,
    storage: str | None,
    split: str,
    limit: int | None,
    stale_after: int,
    ignore_forecast: bool,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Train and score the arrangements, or points of the ranges, that FILE names, and say how sure their order is.

    Several workers share the trials: each takes the next one that is free, and what a killed one left.
    """
    from peftsum.report.sweep import order_sentences, render_table, write_sweep
    from peftsum.sweep import sweep as run_sweep

    result = run_sweep(
        file,
        out,
        storage=storage,
        overrides=overrides,
        split=split,
        limit=limit,
        stale_after_s=stale_after,
        ignore_forecast=ignore_forecast,
    )
    page = write_sweep(result, Path(result.folder))
    if as_json:
        print_json({"order": order_sentences(result), "page": str(page), **result.model_dump(mode="json")})
        return
    from rich.console import Console

    from peftsum.report.console import WIDTH

    Console(width=None if sys.stdout.isatty() else WIDTH).print(render_table(result, WIDTH))
    for sentence in order_sentences(result):
        click.echo(sentence)
    click.echo(f"result: {page}")
