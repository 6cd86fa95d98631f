"""``peftsum data``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from peftsum.cli.output import fields_option, json_option, print_json, redact_option

if TYPE_CHECKING:
    from peftsum.data_summary import DataSummary, SplitSummary, TokenLengths
    from peftsum.leakage import Leak, Leakage

SHOWN = 3  # pairs; --json and --leaks have all

EPILOG = """
Example:

\b
    peftsum data builtin:dialogues
    peftsum data my-dialogues/ --recipe recipes/lora.yaml --leaks leaks.jsonl
    peftsum data my-dialogues/ --redact all,name
    peftsum data my-dialogues/ --field dialogue=transcript --field summary=note

Two dialogues are exact duplicates where the same words are said, whatever the case, punctuation and names of speakers;
near ones where the Jaccard similarity of their word 4-grams is at least 0.5.
"""


@click.command(epilog=EPILOG)
@click.argument("source", required=False)
@click.option("--recipe", "recipe_file", type=click.Path(), help="Recipe for source, columns, prompt, limits and base.")
@click.option("--base", help="Base whose tokenizer counts the tokens; default is the recipe's, or builtin:tiny.")
@click.option(
    "--leaks", type=click.Path(path_type=Path), help="Write each repeated or leaked dialogue to this file, one a line."
)
@fields_option
@redact_option
@json_option
def data(
    source: str | None,
    recipe_file: str | None,
    base: str | None,
    leaks: Path | None,
    fields: tuple[str, ...],
    skip_bad_rows: bool,
    redact: str | None,
    as_json: bool,
) -> None:
    """Check SOURCE row by row; show what is in it, what is cut, and which dialogues stand in two splits."""
    from peftsum.artifacts import write_text
    from peftsum.data_summary import leak_lines, summarize_source
    from peftsum.recipe_file import load_recipe

    recipe = load_recipe(recipe_file) if recipe_file else None
    summary = summarize_source(source, fields, skip_bad_rows=skip_bad_rows, recipe=recipe, base=base, redact=redact)
    if leaks is not None:
        write_text(leaks, leak_lines(summary))
    if as_json:
        print_json(summary)
        return
    for line in _text(summary):
        click.echo(line)


def _text(summary: DataSummary) -> list[str]:
    lines = [line for split in summary.splits for line in _split_text(split)]
    if summary.leakage:
        lines.append("stands in two splits:")
        lines += [f"  {_leakage_text(leakage)}" for leakage in summary.leakage]
    return [*lines, f"tokens are those of {summary.tokenizer}, with the prompt {summary.prompt.text!r}"]


def _split_text(split: SplitSummary) -> list[str]:
    references = f"{split.references_max} reference{'s' if split.references_max > 1 else ''}"
    return [
        f"{split.split}: {split.dialogues} dialogues, {split.bad_rows} bad rows, "
        f"{split.repeated_dialogues} repeated{_examples(split.repeats)}",
        f"  {split.turns_median:g} turns (median; most {split.turns_max}); speakers: {_speakers(split)}",
        f"  {split.words_median:g} words (median; most {split.words_max}); "
        f"summaries {split.summary_words_median:g} words, {references}",
        f"  dialogue in its prompt: {_tokens(split.source_tokens, split.dialogues)}",
        f"  summary: {_tokens(split.target_tokens, split.dialogues)}",
        *([f"  personal values: {_redacted(split)}"] if split.redacted else []),
    ]


def _redacted(split: SplitSummary) -> str:
    return ", ".join(f"{kind} {number}" for kind, number in split.redacted.items())


def _leakage_text(leakage: Leakage) -> str:
    leaked = leakage.exact + leakage.near
    of = f"{leakage.split} in {leakage.other}: {leaked} of {leakage.dialogues} dialogues"
    return of + (f" ({leakage.exact} exactly, {leakage.near} nearly){_examples(leakage.pairs)}" if leaked else "")


def _examples(leaks: Sequence[Leak]) -> str:
    if not leaks:
        return ""
    shown = ", ".join(f"{leak.id} {'=' if leak.kind == 'exact' else '≈'} {leak.other_id}" for leak in leaks[:SHOWN])
    return f": {shown}{', …' if len(leaks) > SHOWN else ''}"


def _speakers(split: SplitSummary) -> str:
    groups = {"unnamed": 0, "1": 0, "2": 0, "3 or more": 0}
    for speakers, dialogues in split.speakers.items():
        groups[list(groups)[min(speakers, 3)]] += dialogues
    return ", ".join(f"{name} in {count / split.dialogues:.1%}" for name, count in groups.items() if count)


def _tokens(lengths: TokenLengths, dialogues: int) -> str:
    return (
        f"{lengths.median:g} tokens (median; 95 % have at most {lengths.p95}, most {lengths.max}); "
        f"{lengths.cut} ({lengths.cut / dialogues:.1%}) cut at {lengths.limit}"
    )
