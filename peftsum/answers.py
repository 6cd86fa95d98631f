"""A summary with what a reader needs to judge it: who wrote it, how sure, what is suspect, and where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeVar

from peftsum.confidence import Confidence, confidences
from peftsum.flags import Flag, flags
from peftsum.generate import BASE, Summarizer
from peftsum.long_dialogues import Strategy, Written
from peftsum.metrics.errors.readings import DialogueReading
from peftsum.model import base_revision
from peftsum.prompts import Prompt
from peftsum.recipe import Generation, with_strategy
from peftsum.redaction import Redactor
from peftsum.screening import screened
from peftsum.section import Record
from peftsum.support import Source, sources
from peftsum.targets import Target, weights_identity
from peftsum.version import __version__

Told = TypeVar("Told", bound=Record)


class GeneratedBy(Record):
    """The mark of a text that no person wrote."""

    ai: Literal[True] = True
    tool: str
    adapter: str | None
    """None for the bare base."""
    base: str
    base_revision: str | None
    """Content hash of a local base, or the revision asked of the Hub."""
    weights: str | None
    """Hash of the adapter's weights."""
    mark: str
    """The same for people, in one line."""


class ReadFor(Record):
    """What of the dialogue was read for a summary."""

    strategy: Strategy
    source_tokens: int
    """Of the prompt with the whole dialogue."""
    read_tokens: int
    """Of those, how many were read; fewer only where the end was cut off."""
    parts: int
    """That the dialogue was read in."""
    stages: int
    """Rounds of summaries."""
    cut_turns: int
    """Turns longer than the context, which were cut between sentences."""
    joined: bool
    """The text is the parts' summaries one after the other."""


class Answer(Record):
    """One summary by one adapter."""

    adapter: str | None
    summary: str
    generated_by: GeneratedBy
    confidence: Confidence
    flags: list[Flag]
    """What error detectors suspect; no flag is no proof, and most flags of one kind are wrong (``precision``)."""
    sources: list[Source]
    """For each sentence the turns that support it."""
    read: ReadFor
    redacted: dict[str, int] | None = None
    """Values of the dialogue that placeholders stand for, by kind; None where nothing was to be redacted."""


def answer(
    summarizer: Summarizer,
    dialogues: Sequence[str],
    adapter: str | None = None,
    *,
    prompt: Prompt | None = None,
    generation: Generation | None = None,
    strategy: Strategy | None = None,
    max_source_tokens: int | None = None,
    redactors: Sequence[Redactor] | None = None,
    title: str = "",
) -> list[Answer]:
    """Return a summary for each dialogue, in order, with what a reader needs to judge it.

    Args:
        summarizer: with the adapter loaded.
        dialogues: texts, a turn a line.
        adapter: its name there; None takes the only one, or the bare base when none is loaded.
        prompt: instead of the adapter's own; confidence is then unknown.
        generation: instead of the adapter's own; confidence is then unknown.
        strategy: for dialogues beyond the context, instead of the generation's.
        max_source_tokens: most tokens of a prompt with its dialogue, instead of the adapter's own.
        redactors: that redacted the dialogues, one each; they hide what values the summaries show all the same.
        title: shown with a progress bar when given.
    """
    adapter = summarizer.chosen(adapter)
    target = summarizer.target(adapter)
    prompt = prompt or (target.prompt if target else Prompt())
    generation = with_strategy(generation or (target.generation if target else Generation()), strategy)
    written = summarizer.write(
        dialogues,
        adapter if adapter is not None else BASE,
        prompt=prompt,
        generation=generation,
        max_source_tokens=max_source_tokens,
        title=title,
    )
    sureness = confidences(summarizer, written, adapter, prompt, generation)
    author = generated_by(summarizer.base, adapter, target)
    hiding = redactors if redactors is not None else [None] * len(dialogues)
    rows = zip(dialogues, written, sureness, hiding, strict=True)
    return [explained(dialogue, text, sure, author, redactor) for dialogue, text, sure, redactor in rows]


def restored(answer: Told, redactor: Redactor) -> Told:
    """Return an answer, or a part of one, with the values of its dialogue in place of their placeholders."""
    return type(answer).model_validate(_restored(answer.model_dump(), redactor))


def _restored(value: Any, redactor: Redactor) -> Any:
    if isinstance(value, str):
        return redactor.restore(value)
    if isinstance(value, dict):
        return {key: _restored(inner, redactor) for key, inner in value.items()}
    return [_restored(inner, redactor) for inner in value] if isinstance(value, list) else value


def generated_by(base: str, adapter: str | None, target: Target | None) -> GeneratedBy:
    """Return the mark of an adapter's summaries, or of the base's for None."""
    tool = f"peftsum {__version__}"
    author = f"adapter {adapter} on {base}" if adapter is not None else f"{base}, untuned"
    if adapter is None and target is not None and target.record is not None:
        author = base  # a fully tuned model, or a merged one
    return GeneratedBy(
        tool=tool,
        adapter=adapter,
        base=base,
        base_revision=base_revision(target.model) if target is not None else None,
        weights=weights_identity(target) if target is not None and adapter is not None else None,
        mark=f"AI-generated by {tool} ({author})",
    )


def explained(
    dialogue: str, written: Written, confidence: Confidence, author: GeneratedBy, redactor: Redactor | None = None
) -> Answer:
    """Return a summary with its confidence, what is suspect in it, and where it stands in the dialogue."""
    reading = DialogueReading(dialogue)
    summary, personal = screened(written.text, reading, redactor)
    return Answer(
        adapter=author.adapter,
        summary=summary,
        generated_by=author,
        confidence=confidence,
        flags=[*personal, *flags(summary, reading)],
        sources=sources(summary, reading),
        read=ReadFor(**{name: getattr(written, name) for name in ReadFor.model_fields}),
        redacted=dict(redactor.counts) if redactor is not None else None,
    )
