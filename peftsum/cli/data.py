"""``peftsum data``."""

from __future__ import annotations

import click

from peftsum.cli.output import fields_option, json_option, print_json

EPILOG = """
Example:

\b
    peftsum data builtin:dialogues
    peftsum data my-dialogues/ --field dialogue=transcript --field summary=note
"""


@click.command(epilog=EPILOG)
@click.argument("source")
@fields_option
@json_option
def data(source: str, fields: tuple[str, ...], skip_bad_rows: bool, as_json: bool) -> None:
    """Check SOURCE row by row and show what is in it, split by split."""
    from peftsum.data_summary import summarize_source

    summary = summarize_source(source, fields, skip_bad_rows=skip_bad_rows)
    if as_json:
        print_json([split.model_dump(mode="json") for split in summary])
        return
    for split in summary:
        click.echo(
            f"{split.split}: {split.dialogues} dialogues, {split.bad_rows} bad rows, "
            f"{split.repeated_dialogues} repeated; "
            f"{split.turns_median:g} turns and {split.words_median:g} words (median), longest {split.words_max} words; "
            f"summaries {split.summary_words_median:g} words, "
            f"{split.references_max} reference{'s' if split.references_max > 1 else ''}"
        )
