"""``peftsum summarize``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from peftsum.cli.output import json_option, print_json, redact_option, strategy_option
from peftsum.exceptions import UsageError

if TYPE_CHECKING:
    from peftsum.answers import Answer
    from peftsum.dialogue_input import Dialogue
    from peftsum.flags import Flag
    from peftsum.redaction import Redactor

EPILOG = """
Example:

\b
    peftsum summarize dialogue.txt --adapter adapters/tiny-summary
    cat dialogue.txt | peftsum summarize - --adapter adapters/tiny-summary --adapter adapters/tiny-topic
    peftsum summarize meeting.txt --adapter adapters/tiny-summary --strategy staged --explain
    peftsum summarize call.txt --adapter adapters/tiny-summary --redact all,name --restore

A text file holds one dialogue, a turn a line. A .jsonl file holds one a line, under "dialogue".
"""


@click.command(epilog=EPILOG)
@click.argument("file", default="-")
@click.option("--adapter", "adapters", multiple=True, help="Adapter folder; several answer side by side.")
@click.option("--base", help="Base to take instead of the one the adapter names; alone, the untuned base answers.")
@strategy_option
@redact_option
@click.option("--restore", is_flag=True, help="Put the redacted values back into the summaries.")
@click.option(
    "--mapping",
    type=click.Path(path_type=Path),
    help="Write the redacted values to this file, which you alone can read (mode 0600).",
)
@click.option("--explain", is_flag=True, help="Print confidence, suspected errors and supporting turns too.")
@json_option
def summarize(
    file: str,
    adapters: tuple[str, ...],
    base: str | None,
    strategy: Literal["truncate", "staged"] | None,
    redact: str | None,
    restore: bool,
    mapping: Path | None,
    explain: bool,
    as_json: bool,
) -> None:
    """Summarize the dialogue in FILE, or on standard input for -."""
    if redact is None and (restore or mapping is not None):
        raise UsageError("nothing is redacted that could be restored", hint="pass --redact KINDS, too")
    from peftsum.answers import answer
    from peftsum.dialogue_input import read_dialogues
    from peftsum.generate import Summarizer
    from peftsum.redaction import parse_kinds
    from peftsum.targets import warn_unredacted

    kinds = parse_kinds(redact) if redact is not None else ()
    dialogues = read_dialogues(file, kinds)
    redactors = [d.redactor for d in dialogues if d.redactor is not None]
    if mapping is not None:
        _write_mapping(mapping, dialogues)
    summarizer = Summarizer(base, adapters)
    names: list[str | None] = [*summarizer.adapters] or [None]
    texts = [d.dialogue for d in dialogues]
    for name in names:
        if (target := summarizer.target(name)) is not None:
            warn_unredacted(target, kinds)
    hiding = redactors or None
    answers = {
        name or summarizer.base: answer(summarizer, texts, name, strategy=strategy, redactors=hiding) for name in names
    }
    if restore:
        answers = {name: _restored(found, redactors) for name, found in answers.items()}
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


def _write_mapping(path: Path, dialogues: Sequence[Dialogue]) -> None:
    from peftsum.artifacts import write_private_text

    values = {d.id: dict(d.redactor.values) for d in dialogues if d.redactor is not None}
    write_private_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def _restored(answers: Sequence[Answer], redactors: Sequence[Redactor]) -> list[Answer]:
    from peftsum.answers import restored

    return [restored(answer, redactor) for answer, redactor in zip(answers, redactors, strict=True)]


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
