"""Four simple error heuristics, as they go round in the field's notebooks; each compares a summary with a reference.

They look at word counts and words alone: cheap, reproducible, and a weak signal of real errors. Words are what plain
``str.split()`` gives, with no punctuation stripped, as in the notebooks: "Smith." and "Smith" are two words. "More
than" and "over" are strict, and shares are compared as whole numbers so that a threshold met exactly is never passed by
rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from peftsum.metrics.references import ReferenceMode, Statistics, check_mode

MIN_WORDS = 5  # a shorter prediction is too short whatever the reference
LONG_RATIO = 2  # prediction words a reference word, above which the length is an error
HALLUCINATION_HALVES = 3  # 3 halves = 1.5 prediction words a reference word
KEY_WORD_LETTERS = 4  # words longer than this carry the information
MISSING_TENTHS = 4  # 40 % of the key words
FOCUS_TENTHS = 7  # 70 % of the key words


class Words(NamedTuple):
    """What the heuristics read of a text."""

    total: int
    """Words split at white space."""
    distinct: frozenset[str]
    """The distinct words, lower-cased."""
    key: frozenset[str]
    """Those of them longer than 4 characters."""

    @classmethod
    def of(cls, text: str) -> Words:
        """Split a text."""
        distinct = frozenset(text.lower().split())
        return cls(len(text.split()), distinct, frozenset(w for w in distinct if len(w) > KEY_WORD_LETTERS))


def _length(prediction: Words, reference: Words) -> bool:
    """Fewer than 5 words, or more than twice the reference's."""
    return prediction.total < MIN_WORDS or prediction.total > LONG_RATIO * reference.total


def _hallucination(prediction: Words, reference: Words) -> bool:
    """More than 1.5 times the reference's words."""
    return 2 * prediction.total > HALLUCINATION_HALVES * reference.total


def _lacks(prediction: Words, reference: Words, tenths: int) -> bool:
    """Whether over ``tenths`` tenths of the reference's key words are absent; never where it has none."""
    return 10 * len(reference.key - prediction.distinct) > tenths * len(reference.key)


def _missing_key_info(prediction: Words, reference: Words) -> bool:
    """Over 40 % of the reference's key words are absent from the prediction."""
    return _lacks(prediction, reference, MISSING_TENTHS)


def _focus(prediction: Words, reference: Words) -> bool:
    """Over 70 % of the reference's key words are absent: the summary is about something else."""
    return _lacks(prediction, reference, FOCUS_TENTHS)


HEURISTICS: Mapping[str, Callable[[Words, Words], bool]] = {
    "heuristic_length": _length,
    "heuristic_hallucination": _hallucination,
    "heuristic_missing_key_info": _missing_key_info,
    "heuristic_focus": _focus,
}


def _reduce(flags: Sequence[bool], mode: ReferenceMode) -> float:
    if mode == "first":
        return float(flags[0])
    return float(min(flags)) if mode == "max" else sum(flags) / len(flags)


def heuristic_statistics(
    predictions: Sequence[str], references: Sequence[Sequence[str]], mode: ReferenceMode
) -> Statistics:
    """Return each heuristic's flag a dialogue: 1 is an error, 0 none.

    Args:
        predictions: n texts.
        references: n rows of one or more texts.
        mode: ``first`` takes the first reference's flag, ``mean`` the share of references that flag (so a fraction),
            ``max`` the most favourable reference: an error only where every reference flags.
    """
    import numpy as np

    check_mode(mode)
    columns: dict[str, list[float]] = {name: [] for name in HEURISTICS}
    for prediction, row in zip(predictions, references, strict=True):
        predicted, expected = Words.of(prediction), [Words.of(text) for text in row]
        for name, flags in HEURISTICS.items():
            columns[name].append(_reduce([flags(predicted, words) for words in expected], mode))
    return {name: np.asarray(values, dtype=np.float64) for name, values in columns.items()}
