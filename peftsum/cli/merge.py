"""``peftsum merge``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from peftsum.cli.output import json_option, print_json

if TYPE_CHECKING:
    from peftsum.arithmetic import Combination
    from peftsum.export import Compute, ExportDrift

EPILOG = """
Example:

\b
    peftsum merge adapters/tiny-summary --out merged/tiny-summary
    peftsum merge adapters/tiny-summary --out ct2/tiny-summary --format ctranslate2 --compute int8
    peftsum merge adapters/seed-13 adapters/seed-14 --weights 0.5 0.5 --out adapters/mean
    peftsum merge adapters/tiny-summary adapters/tiny-topic --weights 1 -0.3 --rank 16 --out adapters/less-topic
    peftsum merge runs/tiny-full --rank 16 --out adapters/of-full
"""
ONE_MODEL = {"source": "--data", "split": "--split", "sample": "--sample", "form": "--format", "compute": "--compute"}


class _NumbersAfterWeights(click.Command):
    """Reads ``--weights 0.5 -0.5`` as ``--weights 0.5 --weights -0.5``; click itself takes a fixed number of words."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        read: list[str] = []
        inside = False
        for i, word in enumerate(args):
            if word == "--weights" and i + 1 < len(args) and _is_number(args[i + 1]):
                inside = True
            elif inside and _is_number(word):
                read += ["--weights", word]
            else:
                inside = word.startswith("--weights=") and _is_number(word.partition("=")[2])
                read.append(word)
        return super().parse_args(ctx, read)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


@click.command(epilog=EPILOG, cls=_NumbersAfterWeights)
@click.argument("adapters", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="ADAPTER...")
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
@click.option(
    "--weights",
    type=float,
    multiple=True,
    metavar="W...",
    help="One an adapter, negative ones too: write the weighted sum as an adapter. Without: the mean of several.",
)
@click.option(
    "--rank",
    type=click.IntRange(1, 1024),
    help="Most rank of the sum; what it leaves out is reported. None keeps the sum exact. Of a full fine-tune's run it "
    "makes an adapter.",
)
@json_option
@click.pass_context
def merge(
    ctx: click.Context,
    adapters: tuple[Path, ...],
    out: Path,
    source: str,
    split: str,
    sample: int,
    base: str | None,
    form: str,
    compute: Compute | None,
    weights: tuple[float, ...],
    rank: int | None,
    as_json: bool,
) -> None:
    """Fold ADAPTER into its full-precision base: a plain folder of transformers or CTranslate2, its drift measured.

    With several, or with --weights or --rank, write their weighted sum as one adapter instead. Each update is added in
    weight space, whatever the ranks and layers; the sum is exact unless --rank is smaller than it needs.
    """
    from peftsum.exceptions import UsageError

    if len(adapters) > 1 or weights or rank is not None:
        _refuse_options_of_one_model(ctx)
        _combine(adapters, out, weights, rank, base, as_json=as_json)
        return
    adapter = adapters[0]
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


def _refuse_options_of_one_model(ctx: click.Context) -> None:
    from click.core import ParameterSource

    from peftsum.exceptions import UsageError

    given = [o for n, o in ONE_MODEL.items() if ctx.get_parameter_source(n) is not ParameterSource.DEFAULT]
    if given:
        raise UsageError(
            f"{given[0]} does not go with several adapters, --weights or --rank, which write an adapter",
            hint="leave it out, and merge the adapter that is written",
        )


def _combine(
    adapters: Sequence[Path], out: Path, weights: Sequence[float], rank: int | None, base: str | None, *, as_json: bool
) -> None:
    from peftsum.arithmetic import combine

    combination = combine(adapters, out, weights=weights or None, rank=rank, base=base)
    if as_json:
        print_json(combination)
    else:
        _print_combination(combination)


def _print_combination(made: Combination) -> None:
    from peftsum.units import format_bytes

    total = " + ".join(f"{part.weight:g} x {part.name}" for part in made.parts).replace("+ -", "- ")
    click.echo(f"{made.out} = {total}")
    click.echo(
        f"an adapter of rank {made.rank} on {made.layers} layers of {made.base}, {format_bytes(made.weight_bytes)}"
    )
    if made.exact:
        click.echo("the sum is exact, to rounding; --rank makes it smaller")
    else:
        click.echo(
            f"the rank leaves out {made.relative_error:.2%} of the sum (Frobenius norm; most in {made.worst_layer}: "
            f"{made.worst_error:.2%})"
        )
    if made.outside is not None:
        click.echo(
            f"not in the adapter: {made.outside:.0%} of a full fine-tune's change (Frobenius norm), which is in "
            "embeddings, norms and output layer"
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
