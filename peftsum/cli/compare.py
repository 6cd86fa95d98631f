"""``peftsum compare``."""

from __future__ import annotations

from pathlib import Path

import click

from peftsum.cli.output import (
    ignore_forecast_option,
    json_option,
    print_json,
    redact_option,
    set_option,
    with_redaction,
)

EPILOG = """
Example:

\b
    peftsum compare recipes/tiny/full.yaml recipes/tiny/lora.yaml --out report
    peftsum compare runs/full runs/lora --data my-dialogues/ --out report
    peftsum compare runs/full runs/lora --out report --inference-cost --pareto rouge2,train_wall_s --set cost.region=DE
"""


@click.command(epilog=EPILOG)
@click.argument("targets", nargs=-1, required=True, metavar="RECIPE_OR_RUN...")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder for index.html, report.md, results.csv."
)
@click.option(
    "--runs-dir",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Where runs of recipes lie.",
)
@click.option(
    "--adapters-dir",
    type=click.Path(path_type=Path),
    default=Path("adapters"),
    show_default=True,
    help="Where their adapters lie.",
)
@click.option("--data", "source", help="What to evaluate on; default is the recipes' own data.")
@click.option("--split", default="test", show_default=True, help="Split of the data.")
@click.option("--limit", type=click.IntRange(min=1), help="The first dialogues only.")
@click.option(
    "--leave-out-leaked",
    is_flag=True,
    help="Score without the dialogues that stand, exactly or nearly, in the training data of a system.",
)
@click.option(
    "--pareto",
    "pairs",
    multiple=True,
    metavar="UP,COST",
    help="Show one more pair of axes with its Pareto front, for example rouge2,train_wall_s; may be given again.",
)
@click.option(
    "--inference-cost",
    is_flag=True,
    help="Measure what summaries cost with each adapter beside its base, merged, and in 8 bits.",
)
@click.option(
    "--inference-sample",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="Dialogues of a pass of that measurement.",
)
@ignore_forecast_option
@redact_option
@set_option
@json_option
def compare(
    targets: tuple[str, ...],
    out: Path,
    runs_dir: Path,
    adapters_dir: Path,
    source: str | None,
    split: str,
    limit: int | None,
    leave_out_leaked: bool,
    pairs: tuple[str, ...],
    inference_cost: bool,
    inference_sample: int,
    ignore_forecast: bool,
    redact: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Train what is missing or stale, evaluate it and the untuned base, and write the report."""
    from peftsum.artifacts import check_folder
    from peftsum.compare import compare as compare_targets
    from peftsum.redaction.kinds import parse_kinds
    from peftsum.report import write_report
    from peftsum.report.console import cost_lines, render_table

    check_folder(out)
    comparison = compare_targets(
        targets,
        runs_dir=runs_dir,
        adapters_dir=adapters_dir,
        data=source,
        split=split,
        limit=limit,
        overrides=with_redaction(overrides, redact),
        redact=parse_kinds(redact) if redact is not None else (),
        leave_out_leaked=leave_out_leaked,
        inference_sample=inference_sample if inference_cost else None,
        pairs=pairs,
        ignore_forecast=ignore_forecast,
    )
    page = write_report(comparison, out)
    if as_json:
        print_json(comparison)
        return
    from rich.console import Console

    from peftsum.comparison import verdict, verdict_basis

    Console().print(render_table(comparison))
    click.echo(verdict(comparison))
    click.echo(verdict_basis(comparison))
    for line in cost_lines(comparison):
        click.echo(line)
    click.echo(f"report: {page}")
