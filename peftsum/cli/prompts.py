"""``peftsum prompts``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from peftsum.cli.output import (
    ignore_forecast_option,
    json_option,
    print_json,
    redact_option,
    set_option,
    with_redaction,
)
from peftsum.wordings import PROMPTS

if TYPE_CHECKING:
    from peftsum.few_shot import FewShot

KINDS = (*PROMPTS, "few-shot")

EPILOG = """
Example:

\b
    peftsum prompts recipes/tiny/lora.yaml --limit 50
    peftsum prompts recipes/tiny/lora.yaml --prompt few-shot --choose similar --shots 1 --shots 2
    peftsum prompts recipes/tiny/lora.yaml --example 3 --example 17 --adapter adapters/tiny-summary
    peftsum prompts recipes/tiny/lora.yaml --vary num_beams=1,4 --vary max_new_tokens=40,80 --design grid
    peftsum prompts recipes/tiny/lora.yaml --vary standard --beside recipes/tiny/lora.yaml
"""


@click.command(epilog=EPILOG)
@click.argument("recipe")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the results; default runs/NAME-prompts.")
@click.option(
    "--prompt", "kinds", multiple=True, type=click.Choice(KINDS), help="Way to ask; default is all four. Repeatable."
)
@click.option(
    "--choose",
    multiple=True,
    type=click.Choice(["random", "similar"]),
    help="How solved examples are chosen; default is both ways. Repeatable.",
)
@click.option(
    "--example",
    "indices",
    multiple=True,
    type=click.IntRange(min=0),
    help="Place in the training split, from 0, of an example for every dialogue. Repeatable, in order.",
)
@click.option(
    "--shots",
    multiple=True,
    type=click.IntRange(min=1),
    help="Most examples; default is as many as the context holds. Repeatable, an arm each.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the random choice of examples.")
@click.option(
    "--vary",
    multiple=True,
    metavar="SETTING=V,…",
    help="Generation setting and the values to try, or `standard` for a usual set of them. Repeatable.",
)
@click.option(
    "--design",
    type=click.Choice(["one-at-a-time", "grid"]),
    default="one-at-a-time",
    show_default=True,
    help="Change one thing of the recipe at a time, or cross all prompts and values.",
)
@click.option(
    "--adapter", "adapters", multiple=True, help="Adapter or run on the same base to ask in the same ways. Repeatable."
)
@click.option(
    "--beside",
    multiple=True,
    help="Recipe or run to stand in the same report; a recipe is trained where it is not yet. Repeatable.",
)
@click.option("--data", "source", help="What to evaluate on; default is the recipe's data.")
@click.option("--split", default="test", show_default=True, help="Split of the data.")
@click.option("--limit", type=click.IntRange(min=1), help="The first dialogues only.")
@ignore_forecast_option
@redact_option
@set_option
@json_option
def prompts(
    recipe: str,
    out: Path | None,
    kinds: tuple[str, ...],
    choose: tuple[Literal["random", "similar"], ...],
    indices: tuple[int, ...],
    shots: tuple[int, ...],
    seed: int | None,
    vary: tuple[str, ...],
    design: Literal["one-at-a-time", "grid"],
    adapters: tuple[str, ...],
    beside: tuple[str, ...],
    source: str | None,
    split: str,
    limit: int | None,
    ignore_forecast: bool,
    redact: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Ask the untuned base of RECIPE with several prompts and generation settings, and score the answers.

    Solved examples come from the training split, never repeat the dialogue, and go in whole as far as the context
    (data.max_source_tokens) holds them. Arms that are finished are not asked again.
    """
    from peftsum.artifacts import check_folder
    from peftsum.prompt_arms import parse_variations
    from peftsum.prompt_study import study_prompts
    from peftsum.recipe_file import load_recipe
    from peftsum.report import write_report
    from peftsum.report.console import WIDTH
    from peftsum.report.prompts import prompt_verdicts, render_table, write_prompts

    overrides = with_redaction(overrides, redact)
    loaded = load_recipe(recipe, overrides)
    folder = out or Path("runs") / f"{loaded.name}-prompts"
    check_folder(folder)
    study = study_prompts(
        loaded,
        folder,
        kinds=[kind for kind in kinds or KINDS if kind != "few-shot"],
        few_shots=_few_shots(choose, indices, shots, seed, wanted="few-shot" in (kinds or KINDS)),
        vary=parse_variations(vary),
        design=design,
        adapters=adapters,
        beside=beside,
        data=source,
        split=split,
        limit=limit,
        overrides=overrides,
        ignore_forecast=ignore_forecast,
    )
    page = write_report(study.comparison, folder)
    told = write_prompts(study, folder)
    if as_json:
        verdicts = {"verdicts": prompt_verdicts(study), "report": str(page), "prompts": str(told)}
        print_json({**verdicts, **study.model_dump(mode="json")})
        return
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else WIDTH).print(render_table(study))
    for verdict in prompt_verdicts(study):
        click.echo(verdict)
    if beside:
        from peftsum.comparison import verdict as tuning_verdict

        click.echo(tuning_verdict(study.comparison))
    click.echo(f"report: {page}; prompts as sent: {told}")


def _few_shots(
    choose: tuple[Literal["random", "similar"], ...],
    indices: tuple[int, ...],
    shots: tuple[int, ...],
    seed: int | None,
    *,
    wanted: bool,
) -> list[FewShot]:
    """Return the choices of examples; naming a way or an example asks for few-shot prompts of that kind alone."""
    from peftsum.exceptions import UsageError
    from peftsum.few_shot import FewShot

    if not wanted:
        if choose or indices or shots or seed is not None:
            raise UsageError(
                "--choose, --example, --shots and --seed are about few-shot prompts, and none is asked for",
                hint="add --prompt few-shot",
            )
        return []
    if len(set(indices)) < len(indices):
        raise UsageError("an --example is named twice", hint="name each training dialogue once")
    ways = choose or (() if indices else ("random", "similar"))
    found = [FewShot(choose=way, shots=most) for way in ways for most in shots or (None,)]
    if seed is not None:
        found = [few.model_copy(update={"seed": seed}) for few in found]
    return [*found, *([FewShot(choose="index", indices=indices)] if indices else [])]
