"""``peftsum plan``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from peftsum.cli.output import json_option, print_json, set_option

EPILOG = """
Example:

\b
    peftsum plan recipes/lora.yaml
    peftsum plan recipes/lora.yaml --gpu 8GB
    peftsum plan recipes/full.yaml --gpu rtx4060 --gpu t4 --gpu a100
    peftsum plan recipes/lora.yaml --gpu 8GB --choose mine.yaml

Exit codes: 0 it fits, or is too close to call, 3 it does not fit any device named.
"""


@click.command(epilog=EPILOG)
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--gpu",
    "gpus",
    multiple=True,
    metavar="NAME",
    help="Device: 8GB (as on the box), 7.5GiB (exactly), t4, l4, a10g, a100, h100, h200, rtx4060, …, or cpu. "
    "Repeatable; default is this machine.",
)
@click.option(
    "--choose",
    "out",
    type=click.Path(path_type=Path),
    help="Search base, method, quantization and batches for the best that fits, and write that recipe to this file.",
)
@click.option(
    "--max-hours",
    type=click.FloatRange(min=0, min_open=True),
    default=24.0,
    show_default=True,
    help="With --choose: pass over what takes longer, where the device's speed is known.",
)
@set_option
@json_option
def plan(
    recipe: Path,
    gpus: tuple[str, ...],
    out: Path | None,
    max_hours: float,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Forecast memory, time and energy of RECIPE; say whether it fits, and what would make it fit."""
    from peftsum.exceptions import EXIT_MISFIT, UsageError
    from peftsum.forecast.plan import choose_into
    from peftsum.forecast.plan import plan as plan_recipe
    from peftsum.recipe_file import load_recipe

    loaded = load_recipe(recipe, overrides)
    if out is not None:
        if len(gpus) > 1:
            raise UsageError("--choose is for one device", hint="name one --gpu, and run it again for the next")
        loaded = choose_into(loaded, gpus[0] if gpus else None, str(recipe), out, 3600 * max_hours)
        click.echo(f"wrote {out}", err=True)
    made = plan_recipe(loaded, gpus or None)
    if as_json:
        print_json(made)
    else:
        from rich.console import Console

        from peftsum.report.plan import WIDTH, render_plan

        Console(width=None if sys.stdout.isatty() else WIDTH).print(render_plan(made), soft_wrap=True)
    if made.misfit:
        click.get_current_context().exit(EXIT_MISFIT)
