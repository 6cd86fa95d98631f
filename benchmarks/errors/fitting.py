"""The two fits: a logistic regression a detector, and the weights of the clues to a clause's speaker."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from peftsum.metrics.errors.attribution import CLUES, SET_CLUES, attribute, candidates, party_clues, set_clues, shares
from peftsum.metrics.errors.fitted import Logit
from peftsum.metrics.errors.readings import DialogueReading, SummaryReading

Array = NDArray[np.float64]

RIDGE_OF_ONE = 4000.0  # penalty on the squared weights of scaled signals, shared by the errors found: 50 carry little
CLUE_RIDGE = 1e-3  # a clause, of thousands
NEWTON_STEPS = 30
DIGITS = 4

REFERENCE = ("key_words_missing", "reference_recall", "reference_pair_recall")
SUBJECTS = ("subjects_agree", "subjects_overlap", "subjects_differ")
SIGNALS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # error: (with references, without)
    "error_any": (
        (*REFERENCE, *SUBJECTS, "reference_pair_precision", "denied_differs", "log_dialogue_words", "log_words",
         "words_a_dialogue_word", "subject_chance_least", "subject_chance_mean", "pronouns",
         "third_persons_in_dialogue", "support_least", "content_beyond_both", "speakers", "mentions", "turn_spread"),
        ("log_dialogue_words", "log_turns", "log_words", "words_a_dialogue_word", "subject_chance_least",
         "subject_chance_mean", "pronouns", "third_persons_in_dialogue", "support_least", "speakers", "mentions",
         "turn_spread", "clauses", "joint_subjects", "new_trigrams"),
    ),
    "error_speaker": (
        ("mentions", "speakers", "subject_chance_least", "subject_chance_mean", *SUBJECTS, "key_words_missing"),
        ("mentions", "speakers", "subject_chance_least", "subject_chance_mean"),
    ),
    "error_pronoun": (
        ("pronouns", "pronoun_share", "third_persons_in_dialogue", "clauses", "speakers_mentioned", "new_trigrams"),
        ("pronouns", "pronoun_share", "third_persons_in_dialogue", "clauses", "speakers_mentioned", "new_trigrams"),
    ),
    "error_negation": (
        ("reference_recall", "reference_pair_recall", "negations_beside_reference", "denied_differs",
         "log_dialogue_words"),
        ("negations", "negations_added", "negations_lost", "log_dialogue_words", "subject_chance_sum"),
    ),
    "error_circumstance": (
        (*REFERENCE, "log_turns", "log_dialogue_words", "turn_spread", "numbers", "log_words"),
        ("log_turns", "log_dialogue_words", "turn_spread", "numbers", "new_numbers", "words_a_dialogue_word",
         "log_words"),
    ),
    "error_hallucination": (
        ("content_beyond_both", "reference_precision", "support_least"),
        ("support_least", "support_mean", "new_content", "new_trigrams", "new_numbers"),
    ),
    "error_predicate": (("subjects_doubted", "log_words"), ("subjects_doubted", "log_words")),
}  # fmt: skip


def matrix(rows: Sequence[Mapping[str, float]], names: Sequence[str]) -> Array:
    """Return (rows, names)."""
    return np.array([[row[name] for name in names] for row in rows], dtype=np.float64)


def fit_logit(values: Array, truth: Array, names: Sequence[str]) -> Logit:
    """Return the penalised logistic regression of ``truth`` on ``values``, both classes weighing the same.

    Newton's method (iteratively reweighted least squares; Hastie, Tibshirani and Friedman 2009, section 4.4.1).

    Args:
        values: (n, signals).
        truth: (n,), 0 or 1.
        names: of the signals.
    """
    centre, scale = values.mean(0), values.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    design = np.column_stack([np.ones(len(values)), (values - centre) / scale])
    importance = np.where(truth == 1, 0.5 / max(truth.mean(), 1e-9), 0.5 / max(1 - truth.mean(), 1e-9))
    penalty = np.diag([0.0, *[RIDGE_OF_ONE / max(1.0, truth.sum())] * values.shape[1]])
    weights = np.zeros(design.shape[1])
    for _ in range(NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ weights, -50, 50)))
        slope = design.T @ (importance * (truth - chance)) - penalty @ weights
        curve = (design * (importance * chance * (1 - chance))[:, None]).T @ design + penalty
        step = np.linalg.solve(curve, slope)
        weights += step
        if np.abs(step).max() < 1e-9:
            break
    intercept, *rest = (round(float(w), DIGITS) for w in weights)
    return Logit(
        signals=list(names),
        centre=[round(float(c), DIGITS) for c in centre],
        scale=[round(float(s), DIGITS + 2) for s in scale],
        weights=rest,
        intercept=intercept,
    )


def fit_clues(path: Path) -> tuple[dict[str, float], int]:
    """Return the weights by which human summaries choose a clause's subject, and the number of clauses.

    A conditional logit over the subjects that each clause could have, by Newton's method.

    Args:
        path: rows with ``dialogue`` and ``summary``.
    """
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    choices = [choice for row in rows for choice in _choices(row["dialogue"], row["summary"])]
    table = np.concatenate([values for values, _ in choices])  # (candidates of all clauses, clues)
    starts = np.cumsum([0, *(len(values) for values, _ in choices)])[:-1]
    lengths = np.diff([*starts, len(table)])
    scale = table.std(0) + 1e-9
    table /= scale
    chosen = table[starts + [index for _, index in choices]].sum(0)
    weights = np.zeros(len(CLUES))
    for _ in range(NEWTON_STEPS):
        utility = table @ weights
        odds = np.exp(utility - np.repeat(np.maximum.reduceat(utility, starts), lengths))
        chance = odds / np.repeat(np.add.reduceat(odds, starts), lengths)
        means = np.add.reduceat(table * chance[:, None], starts)  # (clauses, clues)
        slope = (chosen - means.sum(0)) / len(choices) - CLUE_RIDGE * weights
        curve = (table.T @ (table * chance[:, None]) - means.T @ means) / len(choices)
        step = np.linalg.solve(curve + CLUE_RIDGE * np.eye(len(CLUES)), slope)
        weights += step
        if np.abs(step).max() < 1e-9:
            break
    return {clue: round(float(w), DIGITS) for clue, w in zip(CLUES, weights / scale, strict=True)}, len(choices)


def share_of_subjects_found(path: Path, weights: Mapping[str, float]) -> tuple[float, int]:
    """Return how often the likelier of two speakers is the one a human summary names, and for how many clauses."""
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    found = []
    for row in rows:
        reading = DialogueReading(row["dialogue"])
        if len(reading.speakers) != 2:
            continue
        for clause in SummaryReading(row["summary"], reading).clauses:
            if len(clause.subjects) == 1 and clause.subjects[0] in reading.speakers:
                attributed = attribute(clause, reading, weights)
                if attributed is not None:
                    likelier = max(reading.speakers, key=lambda s: attributed.chances[frozenset([s])])
                    found.append(likelier == clause.subjects[0])
    return float(np.mean(found)), len(found)


def _choices(dialogue: str, summary: str) -> list[tuple[Array, int]]:
    """Return for each clause with a subject the clues of every subject it could have, and which of them it has."""
    reading = DialogueReading(dialogue)
    if len(reading.speakers) < 2:
        return []
    found = []
    for clause in SummaryReading(summary, reading).clauses:
        if clause.subjects and clause.content:
            table = party_clues(clause, reading, shares(clause, reading))
            first = sorted(table, key=lambda party: -table[party]["said_any"] - table[party]["third_beside"])
            sets = candidates(clause, reading, first)
            values = np.zeros((len(sets), len(CLUES)))
            for row, parties in zip(values, sets, strict=True):
                row[: -len(SET_CLUES)] = np.mean([list(table[party].values()) for party in parties], axis=0)
                if len(parties) > 1:
                    row[-len(SET_CLUES) :] = list(set_clues(parties, table, clause, reading).values())
            found.append((values, sets.index(frozenset(clause.subjects))))
    return found
