"""ROUGE of Google's ``rouge_score`` with its Porter stemmer, equal to it to the last digit and several times as fast.

Tokens, stems, the f-measure and the summary-level LCS of texts with several lines come from ``rouge_score`` itself. Two
things are done here because they take nearly all of its time and have one exact answer: a word is stemmed once (the
stem depends on the word alone), and the LCS length, from which ROUGE-L follows, is counted on the bits of an integer.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from peftsum.metrics.references import ReferenceMode, Statistics, check_mode
from peftsum.processes import run_apart

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROUGE_TYPES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
PARTS = ("p", "r", "f")  # precision, recall, f-measure: the last axis of every table below
PAIRS_A_PROCESS = 25_000  # several seconds of work; a process takes one or two to start
STEM_CACHE_WORDS = 200_000  # about 30 MB when full; a news-size vocabulary fits


class CachedTokenizer:
    """The default tokenizer of ``rouge_score`` with stemming, each word stemmed once a process.

    It can be handed to ``RougeScorer(tokenizer=...)``.
    """

    def __init__(self) -> None:
        from rouge_score import tokenize, tokenizers

        stemmer = tokenizers.porter.PorterStemmer()  # nltk's, by the door that rouge_score itself uses
        self._tokenize = tokenize.tokenize
        self.stem: Callable[[str], str] = functools.lru_cache(maxsize=STEM_CACHE_WORDS)(stemmer.stem)

    def tokenize(self, text: str) -> list[str]:
        """Return the lower-case alphanumeric words of ``text``, those longer than 3 letters stemmed."""
        # rouge_score asks its stemmer for .stem alone, so this object stands in for it.
        tokens: list[str] = self._tokenize(text, self)
        return tokens


@functools.cache
def _tools() -> tuple[CachedTokenizer, Any, Callable[[float, float], float]]:
    """Return tokenizer, the scorer for texts of several lines, and the f-measure: imported late, made once."""
    from rouge_score import rouge_scorer, scoring

    tokenizer = CachedTokenizer()
    return tokenizer, rouge_scorer.RougeScorer(["rougeLsum"], tokenizer=tokenizer), scoring.fmeasure


def lcs_length(left: Sequence[str], right: Sequence[str]) -> int:
    """Return the length of the longest common subsequence, one row of the table an integer operation.

    Source: Hyyro, "Bit-parallel LCS-length computation revisited" (2004), the variant of Crochemore et al. (2001).
    """
    positions: dict[str, int] = {}  # token -> bit i set where left[i] is that token
    for index, token in enumerate(left):
        positions[token] = positions.get(token, 0) | 1 << index
    full = (1 << len(left)) - 1
    row = full  # zero bits are the steps of the LCS table's current row
    for token in right:
        match = row & positions.get(token, 0)
        row = ((row + match) | (row - match)) & full
    return len(left) - row.bit_count()


def _bigrams(tokens: Sequence[str]) -> Counter[tuple[str, str]]:
    return Counter(itertools.pairwise(tokens))


def _one_line(text: str) -> bool:
    # rougeLsum drops empty lines, so newlines at the ends make no second sentence.
    return "\n" not in text.strip("\n")


def score_references(prediction: str, references: Sequence[str]) -> NDArray[np.float64]:
    """Return precision, recall and f-measure of one prediction against each of its references.

    Equal to ``RougeScorer(ROUGE_TYPES, use_stemmer=True).score(reference, prediction)`` to the last digit. rougeLsum
    takes the lines of a text as its sentences; on texts of one line it is rougeL.

    Returns:
        Fractions of shape (n_references, 4, 3), in the order of ``ROUGE_TYPES`` and ``PARTS``.
    """
    import numpy as np

    tokenizer, lsum_scorer, fmeasure = _tools()
    words = tokenizer.tokenize(prediction)
    unigrams, bigrams = Counter(words), _bigrams(words)
    table = np.zeros((len(references), len(ROUGE_TYPES), len(PARTS)))

    def fill(row: int, column: int, hits: int, predicted: int, expected: int) -> None:
        precision, recall = hits / max(predicted, 1), hits / max(expected, 1)
        table[row, column] = precision, recall, fmeasure(precision, recall)

    for row, reference in enumerate(references):
        expected = tokenizer.tokenize(reference)
        fill(row, 0, (unigrams & Counter(expected)).total(), len(words), len(expected))
        hits = (bigrams & _bigrams(expected)).total()
        fill(row, 1, hits, max(len(words) - 1, 0), max(len(expected) - 1, 0))
        fill(row, 2, lcs_length(expected, words), len(words), len(expected))
        if _one_line(prediction) and _one_line(reference):
            table[row, 3] = table[row, 2]
        else:
            table[row, 3] = lsum_scorer.score(reference, prediction)["rougeLsum"]
    return table


def reduce_references(table: NDArray[np.float64], mode: ReferenceMode) -> NDArray[np.float64]:
    """Return one dialogue's table (n_references, 4, 3) as (4, 3).

    ``first`` takes the first reference, ``mean`` the mean over them, and ``max``, as ``RougeScorer.score_multi`` does,
    for each ROUGE type the reference with the best f-measure (the first of equals) with its precision and recall.
    """
    import numpy as np

    if mode == "first":
        return np.asarray(table[0])
    if mode == "mean":
        return np.asarray(table.mean(axis=0))
    best = table[:, :, PARTS.index("f")].argmax(axis=0)  # (4,)
    return np.asarray(table[best, np.arange(len(ROUGE_TYPES))])


def _tables(
    predictions: Sequence[str], references: Sequence[Sequence[str]], mode: ReferenceMode
) -> NDArray[np.float64]:
    """Return the reduced tables of all dialogues, (n, 4, 3)."""
    import numpy as np

    tables = [
        reduce_references(score_references(prediction, row), mode)
        for prediction, row in zip(predictions, references, strict=True)
    ]
    return np.stack(tables) if tables else np.zeros((0, len(ROUGE_TYPES), len(PARTS)))


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone tells which of the cores are this process's
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _parts(
    predictions: Sequence[str], references: Sequence[Sequence[str]]
) -> list[tuple[Sequence[str], Sequence[Sequence[str]]]]:
    """Return the dialogues cut for as many processes as pay, in order; one part where one process is faster."""
    pairs = sum(len(row) for row in references)
    count = max(1, min(_cores(), pairs // PAIRS_A_PROCESS, len(predictions)))
    ends = [len(predictions) * i // count for i in range(count + 1)]
    return [(predictions[a:b], references[a:b]) for a, b in itertools.pairwise(ends)]


def rouge_statistics(
    predictions: Sequence[str], references: Sequence[Sequence[str]], mode: ReferenceMode
) -> Statistics:
    """Return ROUGE of each dialogue, as fractions, under ``rouge1_p``, ``rouge1_r``, ``rouge1_f``, ``rouge2_p``, ….

    Args:
        predictions: n texts.
        references: n rows of one or more texts.
        mode: what several references become, see :func:`reduce_references`.
    """
    import numpy as np

    check_mode(mode)
    parts = _parts(predictions, references)
    if len(parts) == 1:
        stacked = _tables(predictions, references, mode)
    else:
        with ThreadPoolExecutor(len(parts)) as waiting:  # each thread waits for a process of its own
            stacked = np.concatenate(list(waiting.map(lambda part: run_apart("scoring", _tables, *part, mode), parts)))
    return {
        f"{kind}_{part}": stacked[:, i, j].copy() for i, kind in enumerate(ROUGE_TYPES) for j, part in enumerate(PARTS)
    }
