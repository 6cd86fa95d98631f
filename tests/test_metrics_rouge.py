"""ROUGE equals ``rouge_score`` to the last digit, whatever the texts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer

from peftsum.exceptions import UsageError
from peftsum.metrics import rouge
from peftsum.metrics.rouge import (
    PARTS,
    ROUGE_TYPES,
    CachedTokenizer,
    lcs_length,
    reduce_references,
    rouge_statistics,
    score_references,
)

GOLD = rouge_scorer.RougeScorer(list(ROUGE_TYPES), use_stemmer=True)

# Few words, so that texts overlap, repeat themselves and differ by stem, case and punctuation; and newlines, which
# split sentences for rougeLsum.
WORDS = st.sampled_from(
    [
        "run",
        "running",
        "Runs,",
        "the",
        "the",
        "dog",
        "dogs",
        "happily",
        "#Person1#",
        "2:30",
        "—",
        "naïve",
        "日本",
        "\n",
        "\n\n",
    ]
)
WORDY = st.lists(WORDS, max_size=25).map(" ".join)
FEW = st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=4).map(" ".join)
LINES = st.lists(FEW, min_size=1, max_size=3).map("\n".join)  # sentences in another order: rougeLsum is not rougeL
TEXTS = st.one_of(WORDY, LINES, st.text(max_size=30), st.text(alphabet="ab \n.A", max_size=40))


def gold_table(prediction: str, references: list[str]) -> np.ndarray:
    scores = [GOLD.score(reference, prediction) for reference in references]
    return np.array([[tuple(score[kind]) for kind in ROUGE_TYPES] for score in scores])


@settings(max_examples=300, deadline=None, database=None)
@given(prediction=TEXTS, reference=TEXTS)
@example(prediction="", reference="")
@example(prediction="word", reference="")
@example(prediction="word", reference="Words")
@example(prediction="a b a b a", reference="a a a")
@example(prediction="\nthe dog runs\n", reference="a dog\nruns the race")
@example(prediction="the dog\nruns home", reference="runs home\nthe dog")
@example(prediction="c d a b", reference="a b\nc d")
@example(prediction="a b\nc d", reference="c d a b")
@example(prediction="...\n...", reference="dog\n!")
@example(prediction="İstanbul ǅ ß", reference="i̇stanbul ss")
def test_equals_rouge_score_to_the_last_digit(prediction: str, reference: str) -> None:
    np.testing.assert_array_equal(score_references(prediction, [reference]), gold_table(prediction, [reference]))


@settings(max_examples=150, deadline=None, database=None)
@given(prediction=TEXTS, references=st.lists(TEXTS, min_size=1, max_size=4))
def test_modes_follow_rouge_score(prediction: str, references: list[str]) -> None:
    table = score_references(prediction, references)
    gold = gold_table(prediction, references)
    best = GOLD.score_multi(references, prediction)
    np.testing.assert_array_equal(reduce_references(table, "first"), gold[0])
    np.testing.assert_array_equal(reduce_references(table, "max"), [tuple(best[kind]) for kind in ROUGE_TYPES])
    np.testing.assert_allclose(reduce_references(table, "mean"), gold.sum(axis=0) / len(references), rtol=1e-14)


def test_max_takes_the_first_of_equals_with_its_own_precision_and_recall() -> None:
    # f is 2/3 for both; precision and recall are swapped.
    prediction, references = "cat mat", ["cat", "cat mat hat bat"]
    table = score_references(prediction, references)
    assert table[0, 0, 2] == table[1, 0, 2]
    np.testing.assert_array_equal(reduce_references(table, "max")[0], table[0, 0])
    np.testing.assert_array_equal(reduce_references(table[::-1], "max")[0], table[1, 0])


def test_statistics_keep_the_order_of_the_dialogues_and_all_parts() -> None:
    statistics = rouge_statistics(["the cat", "dog", ""], [["the cat"], ["cats sat", "dogs sat down"], ["x"]], "mean")
    assert set(statistics) == {f"{kind}_{part}" for kind in ROUGE_TYPES for part in PARTS}
    assert all(column.shape == (3,) and column.dtype == np.float64 for column in statistics.values())
    np.testing.assert_array_equal(statistics["rouge1_f"], [1.0, 0.25, 0.0])
    np.testing.assert_array_equal(statistics["rouge1_p"], [1.0, 0.5, 0.0])
    np.testing.assert_allclose(statistics["rouge1_r"], [1.0, 1 / 6, 0.0], rtol=1e-15)


def test_work_spread_over_processes_gives_the_same_in_the_same_order(monkeypatch: pytest.MonkeyPatch) -> None:
    predictions = [f"the dog number {i} runs" for i in range(9)]
    references = [[f"dog {i} ran", f"a happy dog {i + 1}"][: 1 + i % 2] for i in range(9)]
    alone = rouge_statistics(predictions, references, "mean")
    monkeypatch.setattr(rouge, "PAIRS_A_PROCESS", 5)
    monkeypatch.setattr(rouge, "_cores", lambda: 3)
    assert len(rouge._parts(predictions, references)) == 2
    spread = rouge_statistics(predictions, references, "mean")
    assert {name: column.tolist() for name, column in spread.items()} == {n: c.tolist() for n, c in alone.items()}


def test_long_texts_of_repeated_words_equal_rouge_score() -> None:
    rng = np.random.default_rng(5)
    words = np.array(["run", "running", "dog", "the", "a", "naïve", "2:30", "happily"])
    long, other = (" ".join(rng.choice(words, size=2000)) for _ in range(2))
    found = score_references(long, [other])[0]
    gold = GOLD.score(other, long)
    assert [tuple(found[i]) for i in range(4)] == [tuple(gold[kind]) for kind in ROUGE_TYPES]


def test_rouge_l_sum_reads_lines_as_sentences() -> None:
    swapped, reference = "runs home\nthe dog", "the dog\nruns home"
    scores = dict(zip(ROUGE_TYPES, score_references(swapped, [reference])[0, :, 2], strict=True))
    assert scores["rougeLsum"] == 1.0
    assert scores["rougeL"] == 0.5


def test_unknown_mode_is_refused() -> None:
    with pytest.raises(UsageError, match="best"):
        rouge_statistics(["a"], [["a"]], "best")  # type: ignore[arg-type]


def textbook_lcs(left: list[int], right: list[int]) -> int:
    row = [0] * (len(right) + 1)
    for a in left:
        above = row[:]
        for j, b in enumerate(right, start=1):
            row[j] = above[j - 1] + 1 if a == b else max(above[j], row[j - 1])
    return row[-1]


@settings(max_examples=200, deadline=None, database=None)
@given(left=st.lists(st.integers(0, 4), max_size=90), right=st.lists(st.integers(0, 4), max_size=90))
def test_lcs_length_equals_the_textbook_table(left: list[int], right: list[int]) -> None:
    assert lcs_length(list(map(str, left)), list(map(str, right))) == textbook_lcs(left, right)


def test_cached_tokenizer_serves_rouge_score_itself() -> None:
    cached = rouge_scorer.RougeScorer(list(ROUGE_TYPES), tokenizer=CachedTokenizer())
    prediction, reference = "Persons were RUNNING happily\nto the dogs", "The person runs,\nhappily: dogs"
    assert cached.score(reference, prediction) == GOLD.score(reference, prediction)
