"""The two fits: a logistic regression a detector, and the weights of the clues to a clause's speaker."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from peftsum.metrics.errors.attribution import CLUES, clues, shares
from peftsum.metrics.errors.fitted import Logit
from peftsum.metrics.errors.readings import DialogueReading, SummaryReading

Array = NDArray[np.float64]

RIDGE_OF_ONE = 4000.0  # penalty on the squared weights of scaled signals, shared by the errors found: 50 carry little
CLUE_RIDGE = 1e-3  # a clause, of thousands
NEWTON_STEPS = 30
CLIMB_STEPS = 600
DIGITS = 4

REFERENCE = ("key_words_missing", "reference_recall", "reference_pair_recall")
SIGNALS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # error: (with references, without)
    "error_any": (
        (*REFERENCE, "reference_pair_precision", "log_dialogue_words", "log_words", "words_a_dialogue_word",
         "subject_chance_least", "subject_chance_mean", "pronouns", "third_persons_in_dialogue", "support_least",
         "content_beyond_both", "speakers", "mentions", "turn_spread"),
        ("log_dialogue_words", "log_turns", "log_words", "words_a_dialogue_word", "subject_chance_least",
         "subject_chance_mean", "pronouns", "third_persons_in_dialogue", "support_least", "speakers", "mentions",
         "turn_spread", "clauses", "joint_subjects", "new_trigrams"),
    ),
    "error_speaker": (
        ("mentions", "key_words_missing", "reference_recall", "subject_chance_least", "subject_chance_mean",
         "joint_chance_least", "speakers"),
        ("mentions", "speakers_mentioned", "subject_chance_least", "subject_chance_mean", "joint_chance_least",
         "speakers", "joint_subjects", "log_dialogue_words"),
    ),
    "error_pronoun": (
        ("pronouns", "pronoun_share", "third_persons_in_dialogue", "clauses", "speakers_mentioned", "new_trigrams"),
        ("pronouns", "pronoun_share", "third_persons_in_dialogue", "clauses", "speakers_mentioned", "new_trigrams"),
    ),
    "error_negation": (
        ("reference_recall", "reference_pair_recall", "reference_pair_precision", "negations_beside_reference",
         "negations_added", "negations_lost", "log_dialogue_words", "subject_chance_sum"),
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


def fit_clues(path: Path, limit: int, seed: int) -> tuple[dict[str, float], int]:
    """Return the weights by which human summaries choose a clause's subject, and the number of clauses.

    A conditional logit over the speakers of each dialogue, by gradient ascent.

    Args:
        path: rows with ``dialogue`` and ``summary``.
        limit: rows drawn.
        seed: of the draw.
    """
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    random.Random(seed).shuffle(rows)
    choices = [choice for row in rows[:limit] for choice in _choices(row["dialogue"], row["summary"])]
    scale = np.concatenate([table for table, _ in choices]).std(0) + 1e-9
    weights = np.zeros(len(CLUES))
    for step in range(CLIMB_STEPS):
        slope = np.zeros_like(weights)
        part = choices[step % 6 :: 6]
        for table, chosen in part:
            utility = table / scale @ weights
            chance = np.exp(utility - utility.max())
            slope += (table[chosen] - chance / chance.sum() @ table) / scale
        weights += (0.2 if step < CLIMB_STEPS * 3 / 4 else 0.05) * (slope / len(part) - CLUE_RIDGE * weights)
    return {clue: round(float(w), DIGITS) for clue, w in zip(CLUES, weights / scale, strict=True)}, len(choices)


def share_of_subjects_found(path: Path, weights: Mapping[str, float]) -> tuple[float, int]:
    """Return how often the likeliest of two speakers is the one a human summary names, and for how many clauses."""
    order = np.array([weights[clue] for clue in CLUES])
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    choices = [c for row in rows for c in _choices(row["dialogue"], row["summary"]) if len(c[0]) == 2]
    return float(np.mean([(table @ order).argmax() == chosen for table, chosen in choices])), len(choices)


def _choices(dialogue: str, summary: str) -> list[tuple[Array, int]]:
    """Return for each clause with one subject the clues of every speaker, and which of them it is."""
    reading = DialogueReading(dialogue)
    if len(reading.speakers) < 2:
        return []
    found = []
    for clause in SummaryReading(summary, reading).clauses:
        if len(clause.subjects) == 1 and clause.content:
            table = clues(clause, reading, shares(clause, reading))
            values = np.array([[table[s][clue] for clue in CLUES] for s in reading.speakers])
            found.append((values, reading.speakers.index(clause.subjects[0])))
    return found
