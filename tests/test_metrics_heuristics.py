"""The four heuristics at their thresholds: "more than" and "over" are strict."""

from __future__ import annotations

import numpy as np
import pytest

from peftsum.metrics.heuristics import HEURISTICS, Words, heuristic_statistics

LENGTH, HALLUCINATION = "heuristic_length", "heuristic_hallucination"
MISSING, FOCUS = "heuristic_missing_key_info", "heuristic_focus"


def words(count: int) -> str:
    return " ".join(["word"] * count)


def keys(*numbers: int) -> str:
    return " ".join(f"keyword{number}" for number in numbers)


TABLE = [
    # name, prediction, reference, error
    (LENGTH, words(4), words(4), True),  # fewer than 5 words
    (LENGTH, words(5), words(5), False),
    (LENGTH, words(5), words(50), False),  # short beside the reference is no error of this kind
    (LENGTH, words(10), words(5), False),  # exactly twice
    (LENGTH, words(11), words(5), True),
    (LENGTH, "", words(8), True),
    (LENGTH, words(5), "", True),
    (LENGTH, " a  b\tc\nd e ", words(5), False),  # any white space separates
    (LENGTH, "a-b c.d e,f g", words(5), True),  # punctuation does not
    (HALLUCINATION, words(15), words(10), False),  # exactly 1.5 times
    (HALLUCINATION, words(16), words(10), True),
    (HALLUCINATION, words(4), words(3), False),  # 1.5 times 3 is 4.5
    (HALLUCINATION, words(5), words(3), True),
    (HALLUCINATION, "", "", False),
    (HALLUCINATION, "word", "", True),
    (MISSING, keys(1, 2, 3), keys(1, 2, 3, 4, 5), False),  # exactly 40 % absent
    (MISSING, keys(1, 2), keys(1, 2, 3, 4, 5), True),
    (MISSING, keys(*range(33)), keys(*range(55)), False),  # 22 of 55 is exactly 40 %
    (MISSING, keys(*range(32)), keys(*range(55)), True),
    (MISSING, "", "she met him at noon", False),  # no word longer than 4 characters: nothing to miss
    (MISSING, "", "she met James", True),  # 5 characters are longer than 4
    (MISSING, "", "", False),
    (MISSING, "KEYWORD1 Keyword2", "keyword1 kEYWORD2", False),  # lower-cased on both sides
    (MISSING, keys(1), f"{keys(1)} {keys(2)} {keys(2)} {keys(2)}", True),  # distinct words: 1 of 2 absent
    (MISSING, f"{keys(1, 2)}", f"{keys(1, 1, 1, 2)} Keyword3", False),  # 1 of 3 absent
    (MISSING, "Smith left", "Smith.", True),  # punctuation is not stripped: "smith." is absent
    (FOCUS, keys(1, 2, 3), keys(*range(1, 11)), False),  # exactly 70 % absent
    (FOCUS, keys(1, 2), keys(*range(1, 11)), True),
    (FOCUS, keys(1, 2), keys(1, 2, 3, 4, 5), False),  # 60 %: misses key info, but is on the subject
    (FOCUS, keys(*range(33)), keys(*range(110)), False),  # 77 of 110 is exactly 70 %
    (FOCUS, keys(*range(32)), keys(*range(110)), True),
    (FOCUS, "", "she met him", False),
    (FOCUS, "", keys(1), True),
]


@pytest.mark.parametrize(("name", "prediction", "reference", "error"), TABLE)
def test_threshold(name: str, prediction: str, reference: str, error: bool) -> None:
    assert HEURISTICS[name](Words.of(prediction), Words.of(reference)) is error
    for mode in ("first", "mean", "max"):  # with one reference the modes agree
        assert heuristic_statistics([prediction], [[reference]], mode)[name].tolist() == [float(error)]


def test_every_heuristic_has_rows_of_both_outcomes() -> None:
    assert {(row[0], row[3]) for row in TABLE} == {(name, error) for name in HEURISTICS for error in (True, False)}


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("first", [1.0, 0.0, 1.0]),
        ("mean", [2 / 3, 1 / 2, 1.0]),
        ("max", [0.0, 0.0, 1.0]),  # an error only where every reference says so
    ],
)
def test_modes(mode: str, expected: list[float]) -> None:
    predictions = [words(9), words(9), words(9)]
    references = [[words(3), words(9), words(4)], [words(9), words(2)], [words(3), words(4)]]
    flags = heuristic_statistics(predictions, references, mode)  # type: ignore[arg-type]
    np.testing.assert_array_equal(flags[LENGTH], expected)
