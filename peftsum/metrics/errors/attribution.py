"""Who a clause of a summary should be about: each speaker's chance, from who said its words and to whom.

"Anna: I'll lend you my car" speaks for "Anna lends Ben her car" and against "Ben lends Anna his car". The weights of a
conditional logit over the speakers (McFadden 1974) were fitted on human summaries; see ``fitted.json``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from peftsum.metrics.errors.readings import Clause, DialogueReading

CLUES = (
    "said_any",
    "said_as_i",
    "said_as_you",
    "others_as_i",
    "others_as_you",
    "answered",
    "agreed",
    "share_of_words",
    "is_object",
)
"""What is read of a speaker for a clause, each from 0 to 1.

The share of the clause's words that the speaker says at all; the largest share that one turn holds of the speaker's own
(with "I"; with "you") or of others' (with "I"; with "you"; a question that the speaker answers; something the speaker
agrees to); the speaker's share of the dialogue; whether the clause names the speaker as somebody else's object.
"""
FLOOR = 1e-6


@dataclass(frozen=True)
class Attribution:
    """The chances of each speaker for one clause."""

    clause: Clause
    chances: dict[str, float]
    """Speaker to probability, summing to 1."""
    turns: list[int]
    """Turns that hold most of the clause's words, best first, at most two."""
    support: float
    """Share of the clause's content words in the best of them."""

    @property
    def of_subject(self) -> float:
        """Chance of the clause's subject; of several, of the least likely, times the number of speakers."""
        chances = [self.chances[s] for s in self.clause.subjects if s in self.chances]
        if not chances:
            return 1.0
        return chances[0] if len(chances) == 1 else min(1.0, min(chances) * len(self.chances))

    @property
    def margin(self) -> float:
        """Log odds of the one subject against the likeliest other speaker; 0 where it has not one subject."""
        if len(self.clause.subjects) != 1 or self.clause.subjects[0] not in self.chances:
            return 0.0
        others = [c for speaker, c in self.chances.items() if speaker != self.clause.subjects[0]]
        return math.log(max(self.of_subject, FLOOR) / max(*others, FLOOR)) if others else 0.0


def shares(clause: Clause, dialogue: DialogueReading) -> list[float]:
    """Return for each turn the share of the clause's content words that it holds."""
    content = clause.content
    return [sum(word in turn.words for word in content) / max(1, len(content)) for turn in dialogue.turns]


def clues(clause: Clause, dialogue: DialogueReading, held: Sequence[float]) -> dict[str, dict[str, float]]:
    """Return speaker to clue to value.

    Args:
        clause: of the summary.
        dialogue: it is about.
        held: what :func:`shares` gives.
    """
    table = {speaker: dict.fromkeys(CLUES, 0.0) for speaker in dialogue.speakers}
    said: dict[str, set[str]] = {speaker: set() for speaker in dialogue.speakers}
    content = set(clause.content)

    def raise_to(speaker: str, clue: str, value: float) -> None:
        table[speaker][clue] = max(table[speaker][clue], value)

    for index, (turn, share) in enumerate(zip(dialogue.turns, held, strict=True)):
        speaker = turn.turn.speaker
        if speaker is None or share == 0:
            continue
        said[speaker] |= content & turn.words
        for other in dialogue.speakers:
            if turn.first_person:
                raise_to(other, "said_as_i" if other == speaker else "others_as_i", share)
            if turn.second_person:
                raise_to(other, "said_as_you" if other == speaker else "others_as_you", share)
        following = dialogue.turns[index + 1] if index + 1 < len(dialogue.turns) else None
        if following is not None and following.turn.speaker not in (speaker, None):
            if turn.asks:
                raise_to(str(following.turn.speaker), "answered", share)
            if following.agrees:
                raise_to(str(following.turn.speaker), "agreed", share)
    for speaker, row in table.items():
        row["said_any"] = len(said[speaker]) / max(1, len(content))
        row["share_of_words"] = dialogue.share_of_words[speaker]
        row["is_object"] = float(speaker in clause.objects)
    return table


def attribute(clause: Clause, dialogue: DialogueReading, weights: Mapping[str, float]) -> Attribution | None:
    """Return who the clause should be about, or None where it says nothing or there is no choice of speakers."""
    if not clause.content or len(dialogue.speakers) < 2:
        return None
    held = shares(clause, dialogue)
    utilities = {
        speaker: sum(weights[clue] * value for clue, value in row.items())
        for speaker, row in clues(clause, dialogue, held).items()
    }
    top = max(utilities.values())
    odds = {speaker: math.exp(value - top) for speaker, value in utilities.items()}
    best = sorted((i for i, share in enumerate(held) if share > 0), key=lambda i: -held[i])[:2]
    total = sum(odds.values())
    return Attribution(clause, {s: o / total for s, o in odds.items()}, best, max(held, default=0.0))
