"""``peftsum calibrate``."""

from __future__ import annotations

import click

from peftsum.cli.output import fields_option, json_option, print_json, redact_option

EPILOG = """
Example:

\b
    peftsum calibrate adapters/tiny-summary
    peftsum calibrate runs/lora --data my-dialogues/ --split validation --json
"""


@click.command(epilog=EPILOG)
@click.argument("target")
@click.option("--data", "source", help="Dialogues with summaries; default: those it was validated on in training.")
@click.option("--split", default="validation", show_default=True, help="Split of the data.")
@click.option("--limit", type=click.IntRange(min=1), help="The first dialogues only.")
@fields_option
@redact_option
@click.option("--base", help="Base to take instead of the one the adapter names.")
@json_option
def calibrate(
    target: str,
    source: str | None,
    split: str,
    limit: int | None,
    fields: tuple[str, ...],
    skip_bad_rows: bool,
    redact: str | None,
    base: str | None,
    as_json: bool,
) -> None:
    """Fit how much the likelihood of TARGET's summaries says of their ROUGE-L, and keep it in confidence.json there."""
    from peftsum.confidence import calibrate as calibrate_target
    from peftsum.data import data_section

    data = data_section(source, fields, skip_bad_rows=skip_bad_rows, redact=redact) if source is not None else None
    record = calibrate_target(target, data, split, limit=limit, base=base)
    if as_json:
        print_json(record)
        return
    fit = record.calibration
    click.echo(f"calibrated on {fit.n} dialogues of {record.data} ({record.split}); {record.left_out} were left out")
    click.echo(f"{'':10}{'expected':>10}{'observed':>10}   mean ROUGE-L of {fit.bins[0].n} summaries, out of fold")
    for row in fit.bins:
        click.echo(f"{'':10}{100 * row.expected:>10.1f}{100 * row.observed:>10.1f}")
    rank = "none" if fit.rank_correlation is None else f"{fit.rank_correlation:.2f}"
    click.echo(
        f"calibration error {100 * fit.calibration_error:.1f} points; of one summary {100 * fit.absolute_error:.1f}, "
        f"where the mean for all would be off by {100 * fit.absolute_error_of_mean:.1f}; rank correlation {rank}"
    )
