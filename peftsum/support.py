"""Which turns of a dialogue support each sentence of a summary, by the words they share.

A sentence is covered by few turns: the one that holds most of its content first, then those that add most to it. Words
that few turns have count more (Spärck Jones 1972), turns of a speaker whom the sentence names a little more, and turns
near the first one more than distant ones. How often that finds the right place is in ``docs/reading-a-summary.md``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from peftsum.dialogue_text import Turn
from peftsum.metrics.errors.readings import DialogueReading, TurnWords
from peftsum.metrics.words import carries_content, normalised, sentences, tokens
from peftsum.section import Record

MOST_TURNS = 4  # that one sentence draws on; more show a reader no place to look at
LEAST_GAIN = 0.1  # of the sentence's content that one more turn has to add
NAMED = 1.25  # what a turn counts whose speaker the sentence names
NEAR_TURNS = 8.0  # at this distance from the first turn another one counts half


class SupportingTurn(Record):
    """A turn that a sentence draws on."""

    index: int
    """Its place in the dialogue, from 0."""
    speaker: str | None
    text: str


class Source(Record):
    """What a sentence of a summary rests on."""

    sentence: str
    support: float | None
    """Share of its content, rare words weighing more, that these turns hold; None where it has no content to look for
    but names. Low says that the dialogue does not have the words, which may be said in others."""
    turns: list[SupportingTurn]
    """In the order of the dialogue; none where no turn holds a tenth of it."""


def sources(summary: str, dialogue: str | DialogueReading) -> list[Source]:
    """Return for each sentence of a summary the turns that support it."""
    reading = DialogueReading(dialogue) if isinstance(dialogue, str) else dialogue
    held = Counter(word for turn in reading.turns for word in turn.words)
    return [_source(sentence, reading, held) for sentence in sentences(summary)]


def _source(sentence: str, reading: DialogueReading, held: Counter[str]) -> Source:
    words = tokens(sentence)
    named = {speaker for token in words if (speaker := reading.speaker_of(token))}
    content = {normalised(t) for t in words if carries_content(t) and reading.speaker_of(t) is None}
    count = len(reading.turns)
    weights = {word: math.log1p(count / max(1, held[word])) for word in content}
    total = sum(weights.values())
    if total == 0:
        return Source(sentence=sentence, support=None, turns=[])
    chosen = _cover(weights, total, reading.turns, named)
    covered = set[str]().union(*(reading.turns[i].words for i in chosen)) & content
    return Source(
        sentence=sentence,
        support=sum(weights[word] for word in covered) / total,
        turns=[supporting_turn(reading.turns[i].turn) for i in sorted(chosen)],
    )


def supporting_turn(turn: Turn) -> SupportingTurn:
    """Return a turn as readers get it."""
    return SupportingTurn(index=turn.index, speaker=turn.speaker, text=turn.text)


def _cover(weights: dict[str, float], total: float, turns: Sequence[TurnWords], named: set[str]) -> list[int]:
    """Return places of turns, the best first, each adding a tenth of the content or more."""
    missing = dict(weights)
    chosen: list[int] = []
    while missing and len(chosen) < MOST_TURNS:
        gains = [sum(weight for word, weight in missing.items() if word in turn.words) for turn in turns]
        worth = [
            gain * (NAMED if turn.turn.speaker in named else 1.0) * (_nearness(i, chosen[0]) if chosen else 1.0)
            for i, (gain, turn) in enumerate(zip(gains, turns, strict=True))
        ]
        best = max(range(len(turns)), key=worth.__getitem__)
        if gains[best] < LEAST_GAIN * total:
            break
        chosen.append(best)
        missing = {word: weight for word, weight in missing.items() if word not in turns[best].words}
    return chosen


def _nearness(place: int, first: int) -> float:
    return 1 / (1 + abs(place - first) / NEAR_TURNS)
