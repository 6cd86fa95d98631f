"""``peftsum merge``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from peftsum.cli.output import json_option, print_json

if TYPE_CHECKING:
    from peftsum.export import Compute, ExportDrift

EPILOG = """
Example:

\b
    peftsum merge adapters/tiny-summary --out merged/tiny-summary
    peftsum merge adapters/tiny-summary --out ct2/tiny-summary --format ctranslate2 --compute int8
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
@click.option(
    "--format",
    "form",
    type=click.Choice(["transformers", "ctranslate2"]),
    default="transformers",
    show_default=True,
    help="What to write; ctranslate2 needs the extra `export`.",
)
@click.option(
    "--compute",
    type=click.Choice(["int8", "int8_bfloat16", "int8_float32", "int16", "bfloat16", "float32"]),
    help="How CTranslate2 keeps the weights; default int8.",
)
@json_option
def merge(
    adapter: Path,
    out: Path,
    source: str,
    split: str,
    sample: int,
    base: str | None,
    form: str,
    compute: Compute | None,
    as_json: bool,
) -> None:
    """Fold ADAPTER into its full-precision base: a plain folder of transformers or CTranslate2, its drift measured."""
    from peftsum.exceptions import UsageError

    if form == "ctranslate2":
        from peftsum.export import export_ctranslate2

        where = {"data": source, "split": split, "base": base}
        exported = export_ctranslate2(adapter, out, compute=compute or "int8", sample=sample, **where)  # type: ignore[arg-type]
        _print_export(exported, as_json=as_json)
        return
    if compute is not None:
        raise UsageError("--compute goes with --format ctranslate2", hint="leave it out: transformers folders are fp32")
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


def _print_export(drift: ExportDrift, *, as_json: bool) -> None:
    from peftsum.units import format_bytes

    if as_json:
        print_json(drift)
        return
    click.echo(f"exported to {drift.out} (CTranslate2 {drift.compute}, {format_bytes(drift.model_bytes)})")
    click.echo(
        f"drift against the full-precision model on {drift.sample} dialogues of {drift.data}: log-likelihood off by "
        f"{drift.mean_log_likelihood_difference:.2g} nats a token (largest {drift.max_log_likelihood_difference:.2g}), "
        f"{drift.equal_summaries:.0%} of the summaries are equal, ROUGE-L {100 * drift.rouge_l_original:.1f} and "
        f"{100 * drift.rouge_l_exported:.1f}"
    )
