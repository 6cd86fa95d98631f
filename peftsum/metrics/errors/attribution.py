"""Who a clause of a summary should be about: the chance of each person, and of several, from who said its words.

"Anna: I'll lend you my car" speaks for "Anna lends Ben her car" and against "Ben lends Anna his car". The weights of a
conditional logit (McFadden 1974) over every one and every two of the speakers and of those they name, and over all
speakers, were fitted on the subjects in human summaries; see ``fitted.json``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from peftsum.metrics.errors.readings import Clause, DialogueReading

TURN_CLUES = (
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
"""What whole turns say of a speaker for a clause, each from 0 to 1.

The share of the clause's words that the speaker says at all; the largest share that one turn holds of the speaker's own
(with "I"; with "you") or of others' (with "I"; with "you"; a question that the speaker answers; something the speaker
agrees to); the speaker's share of the dialogue; whether the clause names the party as somebody else's object.
"""
WORD_CLUES = (
    "words_own",
    "words_as_i",
    "words_as_we",
    "words_to_you",
    "words_of_name",
    "words_asking",
    "words_bidden",
)
"""The share of the clause's words, rare ones weighing more, that ... (0 to 1).

the speaker says; says with "I" before them; says or is told with "we"; is told with "you"; others say with the party's
name before them; the speaker asks; others tell the speaker without naming a person, as in "Bring the cake".
"""
THIRD_CLUES = ("is_third", "third_beside", "third_pronoun")
"""Of parties who do not speak: 1; the largest share that a turn with the name holds; words with "he" or "it" before."""
SET_CLUES = (
    "together",
    "three_or_more",
    "everybody",
    "beyond_two",
    "with_third",
    "least_said_any",
    "least_share_of_words",
    "gap_of_words_own",
    "most_as_we",
    "most_agreed",
    "most_answered",
    "joint_word",
)
"""Of several parties beyond the mean of what is read of each, all 0 for one.

1 for several; for three and more; for all speakers; how many beyond two; whether one does not speak; the least, largest
or range of the members' clues; whether the clause says "both", "together", "other" or "all".
"""
CLUES = (*TURN_CLUES, *WORD_CLUES, *THIRD_CLUES, *SET_CLUES)
JOINT_WORDS = frozenset(("both", "together", "other", "all"))
PAIRED = 10  # pairs are of the likeliest ten parties: a meeting names hundreds
FLOOR = 1e-6

Parties = frozenset[str]
Table = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Attribution:
    """The chances of each subject for one clause."""

    clause: Clause
    chances: dict[Parties, float]
    """Subject, one party or several, to probability, summing to 1."""
    turns: list[int]
    """Turns that hold most of the clause's words, best first, at most two."""
    support: float
    """Share of the clause's content words in the best of them."""

    @property
    def of_subject(self) -> float:
        """Chance of the clause's own subject; 1 where it has none that is known."""
        return self.chances.get(frozenset(self.clause.subjects), 1.0)

    @cached_property
    def likeliest(self) -> list[str]:
        """Who it should be about, going by the dialogue."""
        return sorted(max(self.chances.items(), key=lambda item: item[1])[0])


def shares(clause: Clause, dialogue: DialogueReading) -> list[float]:
    """Return for each turn the share of the clause's content words that it holds."""
    content = clause.content
    return [sum(word in turn.words for word in content) / max(1, len(content)) for turn in dialogue.turns]


def party_clues(clause: Clause, dialogue: DialogueReading, held: Sequence[float]) -> Table:
    """Return party to clue to value, without :data:`SET_CLUES`.

    Args:
        clause: of the summary.
        dialogue: it is about.
        held: what :func:`shares` gives.
    """
    table = {party: dict.fromkeys((*TURN_CLUES, *WORD_CLUES, *THIRD_CLUES), 0.0) for party in dialogue.parties}
    _read_turns(table, clause, dialogue, held)
    _read_words(table, clause, dialogue)
    for party, row in table.items():
        row["share_of_words"] = dialogue.share_of_words.get(party, 0.0)
        row["is_object"] = float(party in clause.objects)
    for party in dialogue.third_parties:
        table[party]["is_third"] = 1.0
        table[party]["third_beside"] = max((held[i] for i in dialogue.turns_naming[party]), default=0.0)
    return table


def _read_turns(table: Table, clause: Clause, dialogue: DialogueReading, held: Sequence[float]) -> None:
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
    for speaker, words in said.items():
        table[speaker]["said_any"] = len(words) / max(1, len(content))


def _read_words(table: Table, clause: Clause, dialogue: DialogueReading) -> None:
    places = {word: found for word in clause.content if (found := dialogue.sayings.get(word))}
    rarity = {word: 1 / len({saying.turn for saying in found}) for word, found in places.items()}
    total = sum(rarity.values())
    for word, found in places.items():
        best: dict[tuple[str, str], float] = {}
        for saying in found:
            best[saying.speaker, "words_own"] = 1.0
            if saying.asked:
                best[saying.speaker, "words_asking"] = 1.0
            told = dialogue.addressees[saying.turn]
            if saying.person == "i":
                best[saying.speaker, "words_as_i"] = 1.0
            elif saying.person == "we":
                best |= {(party, "words_as_we"): 1.0 for party in (saying.speaker, *told)}
            elif saying.person == "named" and saying.named is not None:
                best[saying.named, "words_of_name"] = 1.0
            elif saying.person == "they":
                best |= {(party, "third_pronoun"): 1.0 for party in dialogue.third_parties}
            elif saying.person == "you" or not saying.asked:
                clue = "words_to_you" if saying.person == "you" else "words_bidden"
                for party in told:
                    best[party, clue] = max(best.get((party, clue), 0.0), 1 / len(told))
        for (party, clue), value in best.items():
            table[party][clue] += value * rarity[word] / total


def set_clues(parties: Parties, table: Table, clause: Clause, dialogue: DialogueReading) -> dict[str, float]:
    """Return the values of :data:`SET_CLUES` for several parties."""
    rows = [table[party] for party in parties]
    own = [row["words_own"] for row in rows]
    return {
        "together": 1.0,
        "three_or_more": float(len(parties) > 2),
        "everybody": float(parties.issuperset(dialogue.speakers)),
        "beyond_two": len(parties) - 2.0,
        "with_third": float(any(row["is_third"] for row in rows)),
        "least_said_any": min(row["said_any"] for row in rows),
        "least_share_of_words": min(row["share_of_words"] for row in rows),
        "gap_of_words_own": max(own) - min(own),
        "most_as_we": max(row["words_as_we"] for row in rows),
        "most_agreed": max(row["agreed"] for row in rows),
        "most_answered": max(row["answered"] for row in rows),
        "joint_word": float(not JOINT_WORDS.isdisjoint(clause.tokens)),
    }


def candidates(clause: Clause, dialogue: DialogueReading, first: Sequence[str]) -> list[Parties]:
    """Return the subjects that a clause could have: each party, every two of ``first``, all speakers, and its own."""
    pairs = combinations(first[:PAIRED], 2)
    found: list[Sequence[str]] = [*((party,) for party in dialogue.parties), *pairs, dialogue.speakers, clause.subjects]
    return list(dict.fromkeys(frozenset(parties) for parties in found if parties))


def attribute(clause: Clause, dialogue: DialogueReading, weights: Mapping[str, float]) -> Attribution | None:
    """Return who the clause should be about, or None where it says nothing or there is no choice of speakers."""
    if not clause.content or len(dialogue.speakers) < 2:
        return None
    held = shares(clause, dialogue)
    table = party_clues(clause, dialogue, held)
    alone = {party: sum(weights[clue] * value for clue, value in row.items()) for party, row in table.items()}
    utilities: dict[Parties, float] = {}
    for parties in candidates(clause, dialogue, sorted(alone, key=lambda party: -alone[party])):
        utility = sum(alone[party] for party in parties) / len(parties)
        if len(parties) > 1:
            more = set_clues(parties, table, clause, dialogue)
            utility += sum(weights[clue] * value for clue, value in more.items())
        utilities[parties] = utility
    top = max(utilities.values())
    odds = {parties: math.exp(value - top) for parties, value in utilities.items()}
    total = sum(odds.values())
    best = sorted((i for i, share in enumerate(held) if share > 0), key=lambda i: -held[i])[:2]
    return Attribution(clause, {p: o / total for p, o in odds.items()}, best, max(held, default=0.0))
