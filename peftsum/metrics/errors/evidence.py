"""What each detector points at: the words of the summary and the turns of the dialogue that it speaks of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from peftsum.metrics.errors.attribution import Attribution
from peftsum.metrics.errors.readings import DialogueReading, SummaryReading
from peftsum.metrics.errors.signals import ReferenceReading, flip, new_content, new_numbers
from peftsum.metrics.words import CIRCUMSTANCES, PRONOUNS, carries_content, is_negation, is_number, normalised

FEW_WORDS = 5  # a shorter summary says next to nothing
LONG_SHARE = 0.5  # a summary longer than half its dialogue summarises nothing
LONG_RATIO = 2.0  # words a word of the longest reference
MISSING_SHARE = 0.6  # of a reference's content words; in the dialogue too, and in no other form in the summary
FOCUS_SHARE = 0.8
REPEATED_SHARE = 0.8  # of a sentence's content words that another sentence of the summary has


@dataclass(frozen=True)
class Read:
    """A summary with all that was read of it."""

    summary: SummaryReading
    dialogue: DialogueReading
    attributed: list[Attribution]
    references: Sequence[ReferenceReading] = ()


@dataclass(frozen=True)
class Evidence:
    """Words of the summary and the turns (places in the dialogue, from 0) that they stand against."""

    words: list[str] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)


def _turns_with(read: Read, words: Sequence[str]) -> list[int]:
    return _turns_holding(read, frozenset(map(normalised, words)))


def _doubted(read: Read) -> Attribution | None:
    judged = [a for a in read.attributed if a.clause.subjects]
    return min(judged, key=lambda a: a.of_subject, default=None)


def speaker(read: Read) -> Evidence:
    """Return the clause whose subject is least likely, with the turns that hold its words."""
    doubted = _doubted(read)
    if doubted is None:
        return Evidence()
    return Evidence([*doubted.clause.subjects, *filter(carries_content, doubted.clause.tokens)], sorted(doubted.turns))


def predicate(read: Read) -> Evidence:
    """Return what the clause tells whose subject is least likely, with the turns that hold its words."""
    doubted = _doubted(read)
    return (
        Evidence(list(filter(carries_content, doubted.clause.tokens)), sorted(doubted.turns)) if doubted else Evidence()
    )


def pronoun(read: Read) -> Evidence:
    """Return the pronouns, with the turns of the clauses they stand in."""
    words = [token for token in read.summary.tokens if token in PRONOUNS]
    turns = {a.turns[0] for a in read.attributed if a.turns and not PRONOUNS.isdisjoint(a.clause.tokens)}
    return Evidence(words, sorted(turns))


def negation(read: Read) -> Evidence:
    """Return the clauses that deny what their turn affirms, or the other way round; else those that deny at all."""
    flipped = [a for a in read.attributed if flip(a, read.dialogue)]
    flipped = flipped or [a for a in read.attributed if a.turns and a.clause.negated]
    words = [t for a in flipped for t in a.clause.tokens if is_negation(t) or carries_content(t)]
    return Evidence(words, sorted({a.turns[0] for a in flipped}))


def circumstance(read: Read) -> Evidence:
    """Return times, dates, amounts and numbers, those that stand nowhere in the dialogue first."""
    new = new_numbers(read.summary, read.dialogue)
    told = [t for t in read.summary.tokens if t not in new and (is_number(t) or t in CIRCUMSTANCES)]
    return Evidence([*new, *told], _turns_with(read, told))


def hallucination(read: Read) -> Evidence:
    """Return content words and numbers that stand neither in the dialogue nor in a reference."""
    known = {word for reference in read.references for word in reference.vocabulary}
    new = [*new_content(read.summary, read.dialogue), *new_numbers(read.summary, read.dialogue)]
    words = list(dict.fromkeys(token for token in new if normalised(token) not in known))
    attributed = [a for a in read.attributed if a.turns and not set(words).isdisjoint(a.clause.tokens)]
    return Evidence(words, sorted({a.turns[0] for a in attributed}))


def any_error(read: Read) -> Evidence:
    """Return what speaks loudest: new words and numbers, else the doubted speaker."""
    found = hallucination(read)
    return found if found.words else speaker(read)


def redundancy(read: Read) -> Evidence:
    """Return the words of a sentence that another one of the summary has said, or of three words said twice."""
    seen: list[set[str]] = []
    for sentence in read.summary.sentences:
        reading = SummaryReading(sentence, read.dialogue)
        content = set(map(normalised, reading.content))
        if len(content) > 1 and any(len(content & other) >= REPEATED_SHARE * len(content) for other in seen):
            return Evidence(reading.content)
        seen.append(content)
    words = read.summary.normalised
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    again = next((i for i, t in enumerate(trigrams) if t in trigrams[:i] and len(set(t)) > 1), None)
    return Evidence(read.summary.tokens[again : again + 3] if again is not None else [])


def length(read: Read) -> Evidence:
    """Return all words of a summary under 5 words, over half its dialogue, or over twice its longest reference."""
    count, dialogue = len(read.summary.tokens), len(read.dialogue.stream)
    longest = max((r.count for r in read.references), default=None)
    long = count > LONG_RATIO * longest if longest is not None else count > max(LONG_SHARE * dialogue, FEW_WORDS)
    return Evidence(list(read.summary.tokens) if count < FEW_WORDS or long else [])


def _missing(read: Read, share: float) -> Evidence:
    """Return the turns of what references say and the summary does not, where it is more than ``share`` of each."""
    said = set(read.summary.normalised)
    lost: frozenset[str] = frozenset()
    for reference in read.references:
        key = reference.content & read.dialogue.vocabulary
        if len(key - said) <= share * len(key):
            return Evidence()
        lost |= key - said
    return Evidence([], _turns_holding(read, lost))


def _turns_holding(read: Read, words: frozenset[str]) -> list[int]:
    return [i for i, turn in enumerate(read.dialogue.turns) if not words.isdisjoint(turn.words)]


def missing_key_info(read: Read) -> Evidence:
    """Return the turns that hold what the references say and the summary leaves out."""
    return _missing(read, MISSING_SHARE)


def focus(read: Read) -> Evidence:
    """Return the turns that the references speak of, where the summary speaks of something else."""
    return _missing(read, FOCUS_SHARE)
