"""``peftsum merge``."""

from __future__ import annotations

from pathlib import Path

import click

from peftsum.cli.output import json_option, print_json

EPILOG = """
Example:

\b
    peftsum merge adapters/tiny-summary --out merged/tiny-summary
"""


@click.command(epilog=EPILOG)
@click.argument("adapter", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write; it must not exist yet.")
@click.option(
    "--data", "source", default="builtin:dialogues", show_default=True, help="Dialogues the drift is measured on."
)
@click.option("--split", default="test", show_default=True, help="Split of the data.")
@click.option("--sample", type=click.IntRange(min=1), default=32, show_default=True, help="How many dialogues.")
@click.option("--base", help="Base to take instead of the one the adapter names.")
@json_option
def merge(adapter: Path, out: Path, source: str, split: str, sample: int, base: str | None, as_json: bool) -> None:
    """Fold ADAPTER into its full-precision base: a plain transformers folder, with the measured drift."""
    from peftsum.merge import merge as merge_adapter

    drift = merge_adapter(adapter, out, data=source, split=split, sample=sample, base=base)
    if as_json:
        print_json(drift)
        return
    click.echo(f"merged into {drift.out} (fp32)")
    click.echo(
        f"drift against the unmerged model ({drift.unmerged}) on {drift.sample} dialogues of {drift.data}: "
        f"largest logit difference {drift.max_logit_difference:.2g} (largest logit {drift.max_logit:.3g}), "
        f"{drift.equal_summaries:.0%} of the summaries are equal"
    )
