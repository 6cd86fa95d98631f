"""A dialogue longer than the context, cut at its turns into parts that fit, which overlap and keep the speakers.

Nothing is left out: every word of the dialogue stands in a part. A turn that is longer than the context is cut between
its sentences, a sentence between its words, and a word where it must be; each piece begins with the speaker's name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from peftsum.dialogue_text import Turn, parse_turns
from peftsum.exceptions import RecipeError

OVERLAP_SHARE = 0.25  # of a part that may repeat the one before; more would double the work where turns are long
LEAST_ROOM = 8  # tokens; in less no turn with its speaker says anything
CAP_STEPS = 12  # halvings of the search for even parts: to a thousandth of the context

SENTENCE_GAP = re.compile(r"(?<=[.!?…])\s+|(?<=[\u3002\uff01\uff1f])|\n+")
WORD_GAP = re.compile(r"\s+")


class Counter(Protocol):
    """Counts tokens as the model will read them."""

    def in_prompt(self, text: str) -> int:
        """Return the tokens of the prompt with this text as its dialogue, special tokens included."""

    def alone(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text by itself, without special tokens."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some turns in a row."""

    text: str
    """A turn a line, each with its speaker."""
    turns: tuple[int, ...]
    """Places in the dialogue, from 0; those of the overlap stand in the part before, too."""
    cut_turns: tuple[int, ...] = ()
    """Turns of which only some sentences are in this part."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A turn, or some sentences of one that is too long."""

    turn: int
    text: str
    size: int
    whole: bool


def split_dialogue(dialogue: str, counter: Counter, limit: int, overlap_turns: int) -> list[Part]:
    """Return the fewest parts that fit into the context, of near-equal length; the dialogue itself where it fits.

    Args:
        dialogue: a turn a line.
        counter: of the tokens.
        limit: most tokens of a part in its prompt.
        overlap_turns: how many turns of a part the next one repeats, as long as they are a quarter of it at most.

    Raises:
        RecipeError: the prompt leaves no room for a dialogue.
    """
    if counter.in_prompt(dialogue) <= limit:
        return [Part(dialogue, tuple(turn.index for turn in parse_turns(dialogue)))]
    turns = parse_turns(dialogue)
    sizes = counter.alone([_written(turn.speaker, turn.text) for turn in turns])
    room = limit - counter.in_prompt("")
    while room >= LEAST_ROOM:
        pieces = [p for turn, size in zip(turns, sizes, strict=True) for p in _pieces(turn, size + 1, counter, room)]
        parts = _parts(pieces, room, overlap_turns)
        excess = max(counter.in_prompt(part.text) for part in parts) - limit
        if excess <= 0:
            return parts
        room -= excess  # joints may tokenize differently, and a long name takes room from its turn
    raise RecipeError(
        f"the prompt leaves no room for a turn in {limit} tokens",
        hint="shorten prompt.template or raise data.max_source_tokens",
    )


def _written(speaker: str | None, text: str) -> str:
    return f"{speaker}: {text}" if speaker is not None else text


def _pieces(turn: Turn, size: int, counter: Counter, room: int) -> list[_Piece]:
    """Return a turn whole, or in pieces no larger than the room where it is larger."""
    if size <= room:
        return [_Piece(turn.index, _written(turn.speaker, turn.text), size, whole=True)]
    label = counter.alone([_written(turn.speaker, "")])[0] + 1
    texts = [_written(turn.speaker, text) for text in _cut(turn.text, counter, max(1, room - label))]
    sizes = counter.alone(texts)
    return [_Piece(turn.index, text, size + 1, whole=False) for text, size in zip(texts, sizes, strict=True)]


def _halves(text: str) -> list[str]:
    return [text[: len(text) // 2], text[len(text) // 2 :]] if len(text) > 1 else [text]


CUTS: tuple[tuple[Callable[[str], list[str]], str], ...] = (
    (SENTENCE_GAP.split, " "),
    (WORD_GAP.split, " "),
    (_halves, ""),
)
"""How a text is cut where it is too long, gentlest first, and what stands between two of its units in one piece."""


def _cut(text: str, counter: Counter, room: int, level: int = 0) -> list[str]:
    """Return a text in pieces of at most ``room`` tokens: sentences, else words, else letters."""
    cut, gap = CUTS[level]
    units = [unit for unit in cut(text) if unit.strip()]
    sizes = counter.alone(units)
    pieces: list[str] = []
    left = 0
    for unit, size in zip(units, sizes, strict=True):
        if size > room and len(unit) > 1:
            pieces += _cut(unit, counter, room, min(level + 1, len(CUTS) - 1))
            left = 0
        elif pieces and size <= left:
            pieces[-1] += gap + unit
            left -= size
        else:
            pieces.append(unit)
            left = room - size
    return pieces


def _parts(pieces: Sequence[_Piece], room: int, overlap: int) -> list[Part]:
    """Return pieces in the fewest parts of at most ``room`` tokens, made as even as their number allows."""
    sizes = [piece.size for piece in pieces]
    spans = _spans(sizes, room, overlap)
    low, high = 0, room
    for _ in range(CAP_STEPS):
        cap = (low + high) // 2
        evener = _spans(sizes, cap, overlap) if cap >= max(sizes) else []
        if evener and len(evener) <= len(spans):
            spans, high = evener, cap
        else:
            low = cap
    return [_part(pieces[start:stop]) for start, stop in spans]


def _spans(sizes: Sequence[int], cap: int, overlap: int) -> list[tuple[int, int]]:
    """Return (start, stop) of parts filled in order, none over ``cap``, each going back over the end of the last."""
    spans: list[tuple[int, int]] = []
    start = stop = 0
    while stop < len(sizes):
        first = stop
        total = sum(sizes[start:stop])
        while stop < len(sizes) and (stop == first or total + sizes[stop] <= cap):
            total += sizes[stop]
            stop += 1
        spans.append((start, stop))
        if stop < len(sizes):
            start = _start_with_overlap(sizes, start, stop, cap, overlap)
    return spans


def _start_with_overlap(sizes: Sequence[int], start: int, stop: int, cap: int, overlap: int) -> int:
    """Return where the part begins that goes on at ``stop``; its first new piece has to fit behind the overlap."""
    most = min(OVERLAP_SHARE * cap, cap - sizes[stop])
    begin, total = stop, 0
    while begin > start + 1 and stop - begin < overlap and total + sizes[begin - 1] <= most:
        begin -= 1
        total += sizes[begin]
    return begin


def _part(pieces: Sequence[_Piece]) -> Part:
    return Part(
        text="\n".join(piece.text for piece in pieces),
        turns=tuple(dict.fromkeys(piece.turn for piece in pieces)),
        cut_turns=tuple(dict.fromkeys(piece.turn for piece in pieces if not piece.whole)),
    )
