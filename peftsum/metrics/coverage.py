"""Which turns of a dialogue a summary takes up, whose they are, and where the others lie.

A turn is covered when the summary has at least a third of its content words. Words are compared by their Porter stems;
function words, negations, words of one or two letters and the names of the speakers are no content words, and a turn
without any ("Yes, sure.") is neither covered nor missed. It is a count of shared words: saying the same in other words
counts as missed, and a turn may be covered that the summary gets wrong.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from peftsum.dialogue_text import parse_turns
from peftsum.metrics.words import carries_content, is_number, normalised, tokens
from peftsum.section import Record

COVERED_PARTS = 3  # one of three parts of a turn's content words: a third
MIN_LETTERS = 3


class Coverage(Record):
    """How each summary covers its dialogue, a value a dialogue; None where there is nothing to measure."""

    turns: list[float | None]
    """Share of the turns that are covered; None where no turn has a content word."""
    most: list[float | None]
    """Share of the turns of the speaker covered best; None where no two named speakers have one."""
    least: list[float | None]
    """Share of the turns of the speaker covered least; None where no two named speakers have one."""
    missed_at: list[float | None]
    """Mean place of the missed turns, 0 at the start of the dialogue and 1 at its end; None where none is missed."""


def turn_coverage(dialogues: Sequence[str], summaries: Sequence[Sequence[str]]) -> Coverage:
    """Return how summaries cover the turns of their dialogues.

    Args:
        dialogues: n texts, a turn a line.
        summaries: n rows of one or more summaries; a dialogue's value is the mean over those that have one.
    """
    rows = [_mean_row(_turn_words(d), texts) for d, texts in zip(dialogues, summaries, strict=True)]
    columns = zip(*rows, strict=True) if rows else [[] for _ in Coverage.model_fields]
    return Coverage(**dict(zip(Coverage.model_fields, map(list, columns), strict=True)))


@dataclass(frozen=True, slots=True)
class _Told:
    """The content words of a turn, whose it is, and its place from 0 to 1."""

    speaker: str | None
    place: float
    words: frozenset[str]


_Row = tuple[float | None, float | None, float | None, float | None]


def _mean_row(turns: Sequence[_Told], summaries: Sequence[str]) -> list[float | None]:
    rows = [_row(turns, content_words(text)) for text in summaries]
    return [_mean(value for value in column if value is not None) for column in zip(*rows, strict=True)]


def _row(turns: Sequence[_Told], summary: frozenset[str]) -> _Row:
    if not turns:
        return None, None, None, None
    covered = [COVERED_PARTS * len(turn.words & summary) >= len(turn.words) for turn in turns]
    by_speaker: dict[str, list[bool]] = {}
    for turn, hit in zip(turns, covered, strict=True):
        if turn.speaker is None:
            continue  # nobody known could be overlooked
        by_speaker.setdefault(turn.speaker, []).append(hit)
    shares = [sum(hits) / len(hits) for hits in by_speaker.values()]
    missed_at = _mean(turn.place for turn, hit in zip(turns, covered, strict=True) if not hit)
    both = (max(shares), min(shares)) if len(shares) > 1 else (None, None)
    return sum(covered) / len(covered), *both, missed_at


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return sum(known) / len(known) if known else None


@functools.lru_cache(maxsize=4096)  # every system of a comparison is held against the same dialogues
def _turn_words(dialogue: str) -> tuple[_Told, ...]:
    turns = parse_turns(dialogue)
    names = frozenset(word for turn in turns for word in content_words(turn.speaker or ""))
    last = max(1, len(turns) - 1)
    told = [_Told(turn.speaker, turn.index / last, content_words(turn.text) - names) for turn in turns]
    return tuple(turn for turn in told if turn.words)


def content_words(text: str) -> frozenset[str]:
    """Return the stems of the words that say what a text is about, and its numbers in digits."""
    words = filter(carries_content, tokens(text))
    return frozenset(normalised(word) for word in words if is_number(word) or len(word) >= MIN_LETTERS)
