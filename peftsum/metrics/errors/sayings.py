"""Who says each word of a dialogue, of whom, and to whom: what "I", "you" and names mean once it is told who speaks.

"Anna: Ben, can you bring the cake?" says "bring" and "cake" of "you", who is Ben; "Anna: I'll bring it" of Anna.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from peftsum.dialogue_text import Turn
from peftsum.metrics.words import CIRCUMSTANCES, FUNCTION_WORDS, normalised, sentences, tokens, without_genitive

Person = Literal["i", "we", "you", "they", "named", "none"]

PERSONS: Mapping[str, Person] = {
    **dict.fromkeys("i i'm i'll i'd i've im ive ill my mine".split(), "i"),
    **dict.fromkeys("we we're we'll we've us our let's lets".split(), "we"),
    **dict.fromkeys("you u ya you're you'll you've you'd your ur".split(), "you"),
    **dict.fromkeys("he she they it he's she's they're it's he'll she'll".split(), "they"),
}
POSSESSIVES = frozenset("my mine your ur".split())  # whose it is, unless it was said before who does it
INNER_CAPITAL = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]{2,}\b")
LOWER = re.compile(r"\b[a-z]+\b")


@dataclass(frozen=True, slots=True)
class Saying:
    """A word in a turn."""

    turn: int
    speaker: str
    person: Person
    """The last pronoun or name before it in its sentence; "none" where there is none, as in "Bring the cake"."""
    named: str | None
    """Whose name that was."""
    asked: bool
    """Whether its sentence is a question."""


def third_parties(dialogue: str, turns: Sequence[Turn]) -> list[str]:
    """Return who or what is named in a dialogue without speaking in it.

    A name is a word that has a capital within a sentence, and never goes without one.
    """
    small = set(LOWER.findall(dialogue))
    found = (name for turn in turns for name in INNER_CAPITAL.findall(turn.text))
    return [
        name
        for name in dict.fromkeys(found)
        if not (name.lower() in small or name.lower() in CIRCUMSTANCES or name.lower() in FUNCTION_WORDS)
    ]


def sayings(turns: Sequence[Turn], names: Mapping[str, str]) -> dict[str, list[Saying]]:
    """Return normalised word to where it is said.

    Args:
        turns: of the dialogue; those of nobody known say nothing of anybody.
        names: a token to the party that it names.
    """
    found: dict[str, list[Saying]] = {}
    for turn in turns:
        if turn.speaker is None:
            continue
        for sentence in sentences(turn.text):
            person: Person = "none"
            named: str | None = None
            asked = sentence.rstrip().endswith("?")
            for token in tokens(sentence):
                party = names.get(without_genitive(token))
                if token in PERSONS:
                    if token not in POSSESSIVES or person == "none":
                        person, named = PERSONS[token], None
                elif party is not None and party != turn.speaker:
                    person, named = "named", party
                else:
                    saying = Saying(turn.index, turn.speaker, person, named, asked)
                    found.setdefault(normalised(token), []).append(saying)
    return found


def addressees(turns: Sequence[Turn], names: Mapping[str, str], speakers: Sequence[str]) -> list[tuple[str, ...]]:
    """Return for each turn who is spoken to: the speakers it names, else whoever speaks next before and after it."""
    found = []
    for turn in turns:
        parties = {names.get(without_genitive(token)) for token in tokens(turn.text)}
        called = [speaker for speaker in speakers if speaker in parties and speaker != turn.speaker]
        near = [_other(reversed(turns[: turn.index]), turn), _other(turns[turn.index + 1 :], turn)]
        found.append(tuple(dict.fromkeys(called or [speaker for speaker in near if speaker is not None])))
    return found


def _other(turns: Iterable[Turn], turn: Turn) -> str | None:
    return next((t.speaker for t in turns if t.speaker not in (turn.speaker, None)), None)
