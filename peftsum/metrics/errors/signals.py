"""The signals: small numbers that a summary, its dialogue and, where there is one, a reference give the detectors.

Each is a plain count or share with a name that says what it is. Which of them a detector weighs, and how, was fitted on
summaries that people labelled; see ``fitted.json`` and ``docs/errors.md``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import mean

from peftsum.metrics.errors.attribution import FLOOR, Attribution, attribute, shares
from peftsum.metrics.errors.readings import Clause, DialogueReading, SummaryReading
from peftsum.metrics.words import (
    PRONOUNS,
    THIRD_SINGULAR,
    carries_content,
    is_negation,
    is_number,
    normalised,
    tokens,
    without_genitive,
)

NEAR_BEST = 0.3  # turns that hold this much of what the best one holds are taken to say the same
NEUTRAL = -1.0  # log chance where no clause has a subject to judge: about that of human summaries


def attributions(summary: SummaryReading, dialogue: DialogueReading, weights: Mapping[str, float]) -> list[Attribution]:
    """Return who each clause should be about, for those where there is something to say."""
    found = (attribute(clause, dialogue, weights) for clause in summary.clauses)
    return [a for a in found if a is not None]


def dialogue_signals(
    summary: SummaryReading, dialogue: DialogueReading, attributed: Sequence[Attribution]
) -> dict[str, float]:
    """Return the signals that need no reference."""
    words = max(1, len(summary.tokens))
    pronouns = sum(token in PRONOUNS for token in summary.tokens)
    trigrams = list(zip(summary.normalised, summary.normalised[1:], summary.normalised[2:], strict=False))
    thirds = sum(token in THIRD_SINGULAR for turn in dialogue.turns for token in turn.tokens)
    return {
        "log_words": math.log(words),
        "log_dialogue_words": math.log(len(dialogue.stream) + 1),
        "log_turns": math.log(len(dialogue.turns) + 1),
        "words_a_dialogue_word": words / max(1, len(dialogue.stream)),
        "sentences": float(len(summary.sentences)),
        "clauses": float(len(summary.clauses)),
        "speakers": float(len(dialogue.speakers)),
        "mentions": float(len(summary.mentions)),
        "speakers_mentioned": float(len(set(summary.mentions))),
        "joint_subjects": float(sum(len(c.subjects) > 1 for c in summary.clauses)),
        "pronouns": float(pronouns),
        "pronoun_share": pronouns / words,
        "third_persons_in_dialogue": thirds / max(1, len(dialogue.stream)),
        "numbers": float(sum(map(is_number, summary.tokens))),
        "new_numbers": float(len(new_numbers(summary, dialogue))),
        "new_content": len(new_content(summary, dialogue)) / max(1, len(summary.content)),
        "new_trigrams": sum(t not in dialogue.trigrams for t in trigrams) / max(1, len(trigrams)),
        **_support_signals(summary, dialogue),
        **_speaker_signals(attributed),
        **_polarity_signals(summary, dialogue, attributed),
    }


def _support_signals(summary: SummaryReading, dialogue: DialogueReading) -> dict[str, float]:
    """Return how much of each clause stands in one turn, and how far apart the turns are that it is made of."""
    held, spread = [], []
    for clause in summary.clauses:
        found = shares(clause, dialogue)
        best = max(found, default=0.0)
        if not clause.content:
            continue
        held.append(best)
        if best > 0:
            near = [i for i, share in enumerate(found) if share > NEAR_BEST * best]
            spread.append((near[-1] - near[0]) / len(found))
    return {
        "support_mean": mean(held) if held else 0.0,
        "support_least": min(held, default=0.0),
        "turn_spread": mean(spread) if spread else 0.0,
    }


def _speaker_signals(attributed: Sequence[Attribution]) -> dict[str, float]:
    """Return how likely the subjects are that the clauses have, by who said their words and of whom."""
    chances = [math.log(max(a.of_subject, FLOOR)) for a in attributed if a.clause.subjects]
    return {
        "subject_chance_least": min(chances, default=NEUTRAL),
        "subject_chance_mean": mean(chances) if chances else NEUTRAL,
        "subject_chance_sum": sum(chances),
        "subjects_doubted": sum(1 - math.exp(chance) for chance in chances),
    }


def _polarity_signals(
    summary: SummaryReading, dialogue: DialogueReading, attributed: Sequence[Attribution]
) -> dict[str, float]:
    flips = [flip(a, dialogue) for a in attributed]
    placed = [a for a in attributed if a.turns]
    return {
        "negations": float(sum(map(is_negation, summary.tokens))),
        "negations_added": float(flips.count(1)),
        "negations_lost": float(flips.count(-1)),
        "denials": float(
            any(c.negated for c in summary.clauses) or any(dialogue.turns[a.turns[0]].negated for a in placed)
        ),
    }


def flip(attributed: Attribution, dialogue: DialogueReading) -> int:
    """Return 1 where the clause denies what the turn it rests on affirms, -1 the other way round, else 0."""
    if not attributed.turns:
        return 0
    return int(attributed.clause.negated) - int(dialogue.turns[attributed.turns[0]].negated)


def new_content(summary: SummaryReading, dialogue: DialogueReading) -> list[str]:
    """Return the content words of the summary that stand nowhere in the dialogue."""
    return [token for token in summary.content if normalised(token) not in dialogue.vocabulary]


def new_numbers(summary: SummaryReading, dialogue: DialogueReading) -> list[str]:
    """Return the numbers of the summary that stand nowhere in the dialogue, in digits or in words."""
    return [t for t in summary.tokens if is_number(t) and normalised(t) not in dialogue.vocabulary]


class ReferenceReading:
    """What the detectors read of a reference."""

    def __init__(self, reference: str, dialogue: DialogueReading) -> None:
        words = tokens(reference)
        self.clauses = [clause for clause in SummaryReading(reference, dialogue).clauses if clause.content]
        self.count = len(words)
        self.normalised = [normalised(word) for word in words]
        self.vocabulary = frozenset(self.normalised)
        self.pairs = frozenset(zip(self.normalised, self.normalised[1:], strict=False))
        self.negations = sum(map(is_negation, words))
        self.content = frozenset(normalised(word) for word in words if carries_content(word))
        self.key = {w for w in map(without_genitive, words) if len(w) > 4}


def reference_signals(
    summary: SummaryReading, dialogue: DialogueReading, references: Sequence[ReferenceReading]
) -> dict[str, float]:
    """Return the signals that need references: for each the most favourable one's value, all by the same reference.

    A summary agrees with the reference it shares most words with; the others are other people's ways to say it.
    """
    rows = [_against(summary, dialogue, reference) for reference in references]
    return max(rows, key=lambda row: row["reference_precision"] + row["reference_recall"])


def _against(summary: SummaryReading, dialogue: DialogueReading, reference: ReferenceReading) -> dict[str, float]:
    distinct = set(summary.normalised)
    pairs = set(zip(summary.normalised, summary.normalised[1:], strict=False))
    plain = set(map(without_genitive, summary.tokens))
    content = [normalised(token) for token in summary.content]
    unknown = [word for word in content if word not in reference.vocabulary]
    negations = sum(map(is_negation, summary.tokens))
    return {
        "reference_precision": len(distinct & reference.vocabulary) / max(1, len(distinct)),
        "reference_recall": len(distinct & reference.vocabulary) / max(1, len(reference.vocabulary)),
        "reference_pair_precision": len(pairs & reference.pairs) / max(1, len(pairs)),
        "reference_pair_recall": len(pairs & reference.pairs) / max(1, len(reference.pairs)),
        "key_words_missing": len(reference.key - plain) / max(1, len(reference.key)),
        "content_beyond_reference": len(unknown) / max(1, len(content)),
        "content_beyond_both": float(sum(word not in dialogue.vocabulary for word in unknown)),
        "negations_beside_reference": float(abs(negations - reference.negations)),
        **_clauses_against(summary.clauses, reference.clauses),
    }


def _clauses_against(clauses: Sequence[Clause], references: Sequence[Clause]) -> dict[str, float]:
    """Return how the clauses agree with those of the reference that say the same, each counting by the words shared."""
    found = dict.fromkeys(("subjects_agree", "subjects_overlap", "subjects_differ", "denied_differs"), 0.0)
    for clause in clauses:
        content = set(clause.content)
        near = max(references, key=lambda other: _jaccard(content, set(other.content)), default=None)
        if near is None or content.isdisjoint(near.content):
            continue
        shared = len(content.intersection(near.content)) / len(content)
        found["denied_differs"] += shared * (clause.negated != near.negated)
        if clause.subjects and near.subjects:
            ours, theirs = set(clause.subjects), set(near.subjects)
            relation = "agree" if ours == theirs else "differ" if ours.isdisjoint(theirs) else "overlap"
            found[f"subjects_{relation}"] += shared
    return found


def _jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / max(1, len(one | other))
