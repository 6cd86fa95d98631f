"""``peftsum summarize``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import click

from peftsum.cli.output import json_option, print_json, strategy_option

if TYPE_CHECKING:
    from peftsum.answers import Answer
    from peftsum.flags import Flag

EPILOG = """
Example:

\b
    peftsum summarize dialogue.txt --adapter adapters/tiny-summary
    cat dialogue.txt | peftsum summarize - --adapter adapters/tiny-summary --adapter adapters/tiny-topic
    peftsum summarize meeting.txt --adapter adapters/tiny-summary --strategy staged --explain

A text file holds one dialogue, a turn a line. A .jsonl file holds one a line, under "dialogue".
"""


@click.command(epilog=EPILOG)
@click.argument("file", default="-")
@click.option("--adapter", "adapters", multiple=True, help="Adapter folder; several answer side by side.")
@click.option("--base", help="Base to take instead of the one the adapter names; alone, the untuned base answers.")
@strategy_option
@click.option("--explain", is_flag=True, help="Print confidence, suspected errors and supporting turns too.")
@json_option
def summarize(
    file: str,
    adapters: tuple[str, ...],
    base: str | None,
    strategy: Literal["truncate", "staged"] | None,
    explain: bool,
    as_json: bool,
) -> None:
    """Summarize the dialogue in FILE, or on standard input for -."""
    from peftsum.answers import answer
    from peftsum.dialogue_input import read_dialogues
    from peftsum.generate import Summarizer

    dialogues = read_dialogues(file)
    summarizer = Summarizer(base, adapters)
    names: list[str | None] = [*summarizer.adapters] or [None]
    texts = [d.dialogue for d in dialogues]
    answers = {name or summarizer.base: answer(summarizer, texts, name, strategy=strategy) for name in names}
    if as_json:
        print_json([_row(d.id, {name: row[i] for name, row in answers.items()}) for i, d in enumerate(dialogues)])
        return
    width = max(map(len, answers)) if len(answers) > 1 else 0
    for i, dialogue in enumerate(dialogues):
        if len(dialogues) > 1:
            click.echo(f"{dialogue.id}")
        for name, found in answers.items():
            click.echo(f"{name:{width}}  {found[i].summary}" if width else found[i].summary)
            for line in explanation(found[i]) if explain else ():
                click.echo(f"{'':{width}}  {line}")
    for found in answers.values():
        click.echo(found[0].generated_by.mark)


def _row(identity: str, answers: dict[str, Answer]) -> dict[str, object]:
    """Return what one dialogue has in the document: each summary under its adapter's name, and all with their proof."""
    told = [answer.model_dump(mode="json") for answer in answers.values()]
    named = {name: answer.summary for name, answer in answers.items()}
    return {"id": identity, **named} | {"id": identity, "summaries": told}  # an adapter may be called either


def explanation(answer: Answer) -> Iterator[str]:
    """Yield what a reader needs to judge a summary, a fact a line."""
    confidence, read = answer.confidence, answer.read
    if confidence.value is None:
        yield f"confidence: unknown ({confidence.reason})"
    else:
        yield (
            f"confidence: ROUGE-L {confidence.value:.2f} expected (the mean on validation is "
            f"{confidence.mean_score:.2f}; calibration error {confidence.calibration_error:.2f})"
        )
    if read.parts > 1:
        yield f"read in {read.parts} parts and {read.stages} stages ({read.source_tokens} tokens)"
    elif read.read_tokens < read.source_tokens:
        yield f"read {read.read_tokens} of {read.source_tokens} tokens; the end was cut"
    for flag in answer.flags:
        yield f"{flag.error}? {', '.join(flag.words)} ({_trust(flag)})"
    for source in answer.sources:
        found = "" if source.support is None else f" ({100 * source.support:.0f} % of its content found)"
        yield f'"{source.sentence}"{found}'
        for turn in source.turns:
            yield f"  turn {turn.index}  {turn.speaker + ': ' if turn.speaker else ''}{turn.text}"
        if not source.turns:
            yield "  no turn supports it"


def _trust(flag: Flag) -> str:
    if flag.precision is None:
        return "a rule that nobody has checked"
    low, high = (round(100 * share) for share in (flag.precision[0], flag.precision[-1]))
    return f"{low} to {high} % of such flags are right" if low < high else f"{low} % of such flags are right"
