"""``peftsum train``."""

from __future__ import annotations

from pathlib import Path

import click

from peftsum.cli.output import json_option, print_json, set_option

EPILOG = """
Example:

\b
    peftsum train recipes/tiny/lora.yaml
    peftsum train recipes/lora.yaml --set train.epochs=1 --set data.source=my-dialogues/
"""


def _reference(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from peftsum.recipe_file import recipe_reference

        click.echo(recipe_reference())
        context.exit()


@click.command(epilog=EPILOG)
@click.argument("recipe", type=click.Path(path_type=Path))
@set_option
@click.option("--run-dir", type=click.Path(path_type=Path), help="Run folder; default runs/NAME.")
@click.option("--adapter-dir", type=click.Path(path_type=Path), help="Adapter folder; default adapters/NAME.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint of an unfinished run.")
@click.option("--force", is_flag=True, help="Train anew; an earlier run is set aside.")
@click.option("--dry-run", is_flag=True, help="Check recipe and data, show the plan, and stop before weights load.")
@click.option(
    "--help-recipe", is_flag=True, is_eager=True, expose_value=False, callback=_reference, help="List every recipe key."
)
@json_option
def train(
    recipe: Path,
    overrides: tuple[str, ...],
    run_dir: Path | None,
    adapter_dir: Path | None,
    resume: bool,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train RECIPE and save the run and its adapter (full tuning saves its model in the run)."""
    from peftsum.prepare import describe_plan, prepare
    from peftsum.recipe_file import load_recipe
    from peftsum.train import train as train_recipe

    loaded = load_recipe(recipe, overrides)
    if dry_run:
        plan = describe_plan(prepare(loaded))
        if as_json:
            print_json(plan)
        else:
            for name, value in plan.items():
                click.echo(f"{name.replace('_', ' '):28}{value}")
        return
    record = train_recipe(loaded, run_dir, adapter_dir, resume=resume, force=force)
    if as_json:
        print_json(record)
        return
    from peftsum.units import format_bytes, format_count, format_joules, format_seconds

    share = record.trainable_params / record.total_params
    click.echo(
        f"{loaded.name}: {format_count(record.trainable_params)} weights trained ({share:.2%}), {record.steps} steps"
    )
    costs = record.train
    if costs is not None:
        shown = [
            f"{show(reading.value)}{' (estimate)' if reading.estimated else ''}"
            for reading, show in (
                (costs.wall_s, format_seconds),
                (costs.peak_memory_bytes, format_bytes),
                (costs.energy_j, format_joules),
            )
            if reading.value is not None
        ]
        click.echo(f"cost: {', '.join(shown)}")
    if "val_rougeL" in record.validation:
        click.echo(
            f"validation sample: loss {record.validation['val_loss']:.3f}, "
            f"ROUGE-L {100 * record.validation['val_rougeL']:.1f}"
        )
    where = record.adapter_dir or str(Path(run_dir or Path("runs") / loaded.name) / "model")
    click.echo(f"saved: {where}")
