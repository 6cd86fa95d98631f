"""``peftsum train``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from peftsum.cli.output import (
    ignore_forecast_option,
    json_option,
    print_json,
    redact_option,
    set_option,
    with_redaction,
)

if TYPE_CHECKING:
    from peftsum.recipe import Recipe

EPILOG = """
Example:

\b
    peftsum train recipes/tiny/lora.yaml
    peftsum train recipes/lora.yaml --set train.epochs=1 --set data.source=my-dialogues/
    peftsum train recipes/tiny/lora.yaml --set data.source=calls/ --redact all,name
"""


def _reference(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from peftsum.recipe_file import recipe_reference

        click.echo(recipe_reference())
        context.exit()


def _options(overrides: tuple[str, ...], **values: Path | bool | None) -> list[str]:
    """Return options as a command line has them, for the processes that share the training."""
    options = [word for override in overrides for word in ("--set", override)]
    for name, value in values.items():
        if value is not None and value is not False:
            options += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return [*options, *(["--debug"] if "--debug" in sys.argv else [])]


def _dry_run(recipe: Recipe, *, as_json: bool) -> None:
    """Print what a training would do and take."""
    from peftsum.forecast.before import expect
    from peftsum.forecast.text import peak_text, time_and_energy_text
    from peftsum.forecast.verdict import judge
    from peftsum.model import default_device
    from peftsum.prepare import describe_plan, prepare

    prepared = prepare(recipe)
    plan: dict[str, object] = dict(describe_plan(prepared))
    expected = expect(prepared, default_device())
    if as_json:
        plan["forecast"] = expected.forecast.model_dump(mode="json") if expected else None
        print_json(plan)
        return
    if expected is not None:
        verdict = judge(expected.forecast.peak_memory_bytes, expected.target.memory_bytes)
        plan["peak memory"] = f"{peak_text(expected.forecast)} by forecast; {verdict}"
        plan["time and energy"] = time_and_energy_text(expected.forecast)
    for name, value in plan.items():
        click.echo(f"{name.replace('_', ' '):28}{value}")


@click.command(epilog=EPILOG)
@click.argument("recipe", type=click.Path(path_type=Path))
@redact_option
@set_option
@click.option("--run-dir", type=click.Path(path_type=Path), help="Run folder; default runs/NAME.")
@click.option("--adapter-dir", type=click.Path(path_type=Path), help="Adapter folder; default adapters/NAME.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint of an unfinished run.")
@click.option("--force", is_flag=True, help="Train anew; an earlier run is set aside.")
@ignore_forecast_option
@click.option(
    "--nproc",
    type=click.IntRange(min=1),
    help="Share each batch among N processes of this machine, a GPU each where there are GPUs; the result is the same.",
)
@click.option("--dry-run", is_flag=True, help="Check recipe and data, show the plan, and stop before weights load.")
@click.option(
    "--help-recipe", is_flag=True, is_eager=True, expose_value=False, callback=_reference, help="List every recipe key."
)
@json_option
def train(
    recipe: Path,
    redact: str | None,
    overrides: tuple[str, ...],
    run_dir: Path | None,
    adapter_dir: Path | None,
    resume: bool,
    force: bool,
    ignore_forecast: bool,
    nproc: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train RECIPE and save the run and its adapter (full tuning saves its model in the run)."""
    from peftsum.launch import end_with_the_launcher, launch
    from peftsum.ranks import WANTED, is_main, launched
    from peftsum.recipe_file import load_recipe
    from peftsum.train import train as train_recipe

    overrides = with_redaction(overrides, redact)
    loaded = load_recipe(recipe, overrides)
    if dry_run:
        _dry_run(loaded, as_json=as_json)
        return
    if nproc is not None and nproc > 1 and not launched():
        options = _options(
            overrides,
            run_dir=run_dir,
            adapter_dir=adapter_dir,
            resume=resume,
            force=force,
            ignore_forecast=ignore_forecast,
            json=as_json,
        )
        sys.exit(launch(["train", str(recipe), *options], nproc))
    if nproc is not None:
        os.environ[WANTED] = str(nproc)
    end_with_the_launcher()
    record = train_recipe(loaded, run_dir, adapter_dir, resume=resume, force=force, ignore_forecast=ignore_forecast)
    if not is_main():
        return
    if as_json:
        print_json(record)
        return
    from peftsum.units import format_count, format_reading

    share = record.trainable_params / record.total_params
    click.echo(
        f"{loaded.name}: {format_count(record.trainable_params)} weights trained ({share:.2%}), {record.steps} steps"
    )
    costs = record.train
    if costs is not None:
        further = [f"{name} " if name in costs.further else "" for name in costs.by_meter()]
        shown = [
            f"{name}{format_reading(reading.value, reading.unit)}{' (estimate)' if reading.estimated else ''}"
            for name, reading in zip(further, costs.by_meter().values(), strict=True)
            if reading.value is not None
        ]
        click.echo(f"cost: {', '.join(shown)}")
    if "val_rougeL" in record.validation:
        click.echo(
            f"validation sample: loss {record.validation['val_loss']:.3f}, "
            f"ROUGE-L {100 * record.validation['val_rougeL']:.1f}; selected by {loaded.train.select_by}"
        )
    where = record.adapter_dir or str(Path(run_dir or Path("runs") / loaded.name) / "model")
    click.echo(f"saved: {where}")
