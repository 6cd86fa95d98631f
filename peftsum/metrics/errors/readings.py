"""A dialogue and a summary, read once for all detectors: turns, speakers, clauses and who each clause is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from peftsum.dialogue_text import Turn, parse_turns
from peftsum.metrics.errors.sayings import Saying, addressees, sayings, third_parties
from peftsum.metrics.words import (
    AGREEMENT,
    FIRST_PERSON,
    SECOND_PERSON,
    carries_content,
    is_negation,
    normalised,
    sentences,
    tokens,
    without_genitive,
)

CONJUNCTIONS = frozenset("and but because so while who that which if when as before after".split())
SUBJECT_PRONOUNS = frozenset(("he", "she", "they"))


@dataclass(frozen=True, slots=True)
class TurnWords:
    """A turn as words."""

    turn: Turn
    tokens: list[str]
    words: frozenset[str]
    """Normalised."""
    first_person: bool
    second_person: bool
    negated: bool
    agrees: bool
    """Begins with a word of agreement."""

    @classmethod
    def of(cls, turn: Turn) -> TurnWords:
        """Read a turn."""
        words = tokens(turn.text)
        return cls(
            turn=turn,
            tokens=words,
            words=frozenset(map(normalised, words)),
            first_person=not FIRST_PERSON.isdisjoint(words),
            second_person=not SECOND_PERSON.isdisjoint(words),
            negated=any(map(is_negation, words)),
            agrees=not AGREEMENT.isdisjoint(words[:4]),
        )

    @property
    def asks(self) -> bool:
        """Whether the turn ends with a question mark."""
        return self.turn.text.rstrip().endswith("?")


class DialogueReading:
    """What the detectors read of a dialogue."""

    def __init__(self, dialogue: str) -> None:
        self.turns = [TurnWords.of(turn) for turn in parse_turns(dialogue)]
        self.speakers = list(dict.fromkeys(t.turn.speaker for t in self.turns if t.turn.speaker))
        self.names: dict[str, str] = {}  # a token of a summary -> the speaker it names
        for speaker in self.speakers:
            parts = tokens(speaker)
            if parts:
                self.names.setdefault(parts[0], speaker)
                self.names.setdefault(speaker.lower(), speaker)
        named = third_parties(dialogue, [t.turn for t in self.turns])
        self.third_parties = [name for name in named if name.lower() not in self.names and name not in self.speakers]
        self.parties = [*self.speakers, *self.third_parties]
        self.party_names = {**{name.lower(): name for name in self.third_parties}, **self.names}
        self.stream = [normalised(token) for turn in self.turns for token in turn.tokens]
        self.vocabulary = frozenset(self.stream)

    def speaker_of(self, token: str) -> str | None:
        """Return the speaker that a token of a summary names, or None."""
        return self.names.get(without_genitive(token))

    @cached_property
    def sayings(self) -> dict[str, list[Saying]]:
        """Normalised word to where it is said, by whom and of whom."""
        return sayings([t.turn for t in self.turns], self.party_names)

    @cached_property
    def addressees(self) -> list[tuple[str, ...]]:
        """Speakers that each turn is said to."""
        return addressees([t.turn for t in self.turns], self.party_names, self.speakers)

    @cached_property
    def turns_naming(self) -> dict[str, list[int]]:
        """Turns that name each third party."""
        plain = [set(map(without_genitive, turn.tokens)) for turn in self.turns]
        return {name: [i for i, held in enumerate(plain) if name.lower() in held] for name in self.third_parties}

    @cached_property
    def trigrams(self) -> frozenset[tuple[str, str, str]]:
        """Three normalised words in a row, across turns."""
        return frozenset(zip(self.stream, self.stream[1:], self.stream[2:], strict=False))

    @cached_property
    def share_of_words(self) -> dict[str, float]:
        """How much of the dialogue each speaker says, as a fraction of its words."""
        counts = dict.fromkeys(self.speakers, 0)
        for turn in self.turns:
            if turn.turn.speaker:
                counts[turn.turn.speaker] += len(turn.tokens)
        return {speaker: count / max(1, sum(counts.values())) for speaker, count in counts.items()}


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a sentence with the speakers it is about."""

    subjects: tuple[str, ...]
    """Speakers, or others whom the dialogue names; those of the clause before where only a pronoun or nothing stands
    for them; () where none is known."""
    tokens: list[str]
    objects: frozenset[str]
    """Others named in it."""
    sentence: str

    @property
    def content(self) -> list[str]:
        """The distinct normalised words that carry content, in order."""
        return list(dict.fromkeys(normalised(token) for token in self.tokens if carries_content(token)))

    @property
    def negated(self) -> bool:
        """Whether it holds a negation."""
        return any(map(is_negation, self.tokens))


class SummaryReading:
    """What the detectors read of a summary, beside its dialogue."""

    def __init__(self, summary: str, dialogue: DialogueReading) -> None:
        self.text = summary
        self.tokens = tokens(summary)
        self.normalised = [normalised(token) for token in self.tokens]
        self.sentences = sentences(summary)
        cutter = _Cutter(dialogue)
        for sentence in self.sentences:
            cutter.cut(sentence)
        self.clauses = cutter.clauses
        self.mentions = [speaker for token in self.tokens if (speaker := dialogue.speaker_of(token))]
        self.content = [t for t in self.tokens if carries_content(t) and dialogue.speaker_of(t) is None]


class _Cutter:
    """Cuts sentences where a new subject begins: at their start and after a conjunction."""

    def __init__(self, dialogue: DialogueReading) -> None:
        self.dialogue = dialogue
        self.clauses: list[Clause] = []
        self.before: tuple[str, ...] = ()  # the subjects of the clause before
        self.subjects: tuple[str, ...] = ()
        self.held: list[str] = []
        self.objects: set[str] = set()

    def cut(self, sentence: str) -> None:
        """Add the clauses of a sentence."""
        words = tokens(sentence)
        self.subjects = ()
        position = 0
        while position < len(words):
            starts = not (self.held or self.subjects) or (position > 0 and words[position - 1] in CONJUNCTIONS)
            length = _tokens_of_group(words, position, self.dialogue)
            names = self.dialogue.party_names
            group = [names[w] for w in words[position : position + length] if w in names]
            if group and starts:
                self._close(sentence)
                self.subjects = tuple(dict.fromkeys(group))
            elif group:
                self.objects.update(group)
            else:
                if starts and words[position] in SUBJECT_PRONOUNS:
                    self._close(sentence)
                    self.subjects = self.subjects or self.before
                self.held.append(words[position])
            position += max(1, length)
        self._close(sentence)

    def _close(self, sentence: str) -> None:
        if self.held:
            subjects = self.subjects or self.before
            self.clauses.append(Clause(subjects, self.held, frozenset(self.objects), sentence))
        self.before = self.subjects or self.before
        self.held, self.objects = [], set()


def _tokens_of_group(words: Sequence[str], start: int, dialogue: DialogueReading) -> int:
    """Return how many tokens "Anna, Ben and Cara" takes, from ``start`` on; 0 where nobody is named there."""
    end = start
    while end < len(words):
        if dialogue.party_names.get(words[end]):
            end += 1
        elif (
            end > start
            and words[end] in {"and", "or"}
            and end + 1 < len(words)
            and dialogue.party_names.get(words[end + 1])
        ):
            end += 2
        else:
            break
    return end - start
