"""``peftsum summarize``."""

from __future__ import annotations

import click

from peftsum.cli.output import json_option, print_json

EPILOG = """
Example:

\b
    peftsum summarize dialogue.txt --adapter adapters/tiny-summary
    cat dialogue.txt | peftsum summarize - --adapter adapters/tiny-summary --adapter adapters/tiny-topic

A text file holds one dialogue, a turn a line. A .jsonl file holds one a line, under "dialogue".
"""


@click.command(epilog=EPILOG)
@click.argument("file", default="-")
@click.option("--adapter", "adapters", multiple=True, help="Adapter folder; several answer side by side.")
@click.option("--base", help="Base to take instead of the one the adapter names; alone, the untuned base answers.")
@json_option
def summarize(file: str, adapters: tuple[str, ...], base: str | None, as_json: bool) -> None:
    """Summarize the dialogue in FILE, or on standard input for -."""
    from peftsum.dialogue_input import read_dialogues
    from peftsum.generate import Summarizer

    dialogues = read_dialogues(file)
    summarizer = Summarizer(base, adapters)
    names: list[str | None] = [*summarizer.adapters] or [None]
    texts = [d.dialogue for d in dialogues]
    answers = {name or summarizer.base: summarizer.summarize(texts, adapter=name) for name in names}
    if as_json:
        print_json(
            [{"id": d.id, **{name: texts[i] for name, texts in answers.items()}} for i, d in enumerate(dialogues)]
        )
        return
    width = max(map(len, answers))
    for i, dialogue in enumerate(dialogues):
        if len(dialogues) > 1:
            click.echo(f"{dialogue.id}")
        for name, found in answers.items():
            click.echo(f"{name:{width}}  {found[i]}" if len(answers) > 1 else found[i])
