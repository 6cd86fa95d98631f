"""Near-equal texts among many: MinHash and banding find candidates, and the exact Jaccard of n-grams decides.

MinHash (Broder 1997): under a random order of all n-grams, two sets have the same smallest one with a probability that
is their Jaccard similarity. Banding (Leskovec, Rajaraman and Ullman 2014, section 3.4): of ``BANDS`` groups of ``ROWS``
such minima, one agrees with probability 1 - (1 - J^ROWS)^BANDS. Whatever agrees is then compared n-gram by n-gram.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NGRAM = 4  # words; unrelated dialogues share a few word pairs, and next to no four words in a row
BANDS = 64
ROWS = 3  # a pair of similarity 0.5 is missed once in 5000; one of 0.05 is compared for nothing in 1 of 125 cases
SEED = 13
WORD_BYTES = 8

Words = Sequence[str]


def near_pairs(queries: Sequence[Words], corpus: Sequence[Words], threshold: float) -> list[tuple[int, int, float]]:
    """Return the pairs of a query and a text of the corpus that are at least this similar.

    Args:
        queries: texts as words.
        corpus: texts as words; equal ones are best given once.
        threshold: Jaccard similarity of the sets of n-grams, above 0. Below about 0.3 banding begins to miss pairs.

    Returns:
        (index into ``queries``, index into ``corpus``, exact Jaccard similarity), in order. No pair below the threshold
        is among them.
    """
    if not queries or not corpus:
        return []
    sets: dict[int, frozenset[Words]] = {}
    pairs = []
    for query, group in groupby(_candidates(minima(queries), minima(corpus)).tolist(), key=itemgetter(0)):
        ours = ngrams(queries[query])
        for _, text in group:
            if text not in sets:
                sets[text] = ngrams(corpus[text])
            similarity = jaccard(ours, sets[text])
            if similarity >= threshold:
                pairs.append((query, text, similarity))
    return pairs


def ngrams(words: Words) -> frozenset[Words]:
    """Return the distinct n-grams of a text; a shorter text is the only one of its own."""
    return frozenset(tuple(words[i : i + NGRAM]) for i in range(max(1, len(words) - NGRAM + 1)))


def jaccard(ours: frozenset[Words], theirs: frozenset[Words]) -> float:
    """Return the shared n-grams as a fraction of all of both texts."""
    shared = len(ours & theirs)
    return shared / (len(ours) + len(theirs) - shared)


def minima(texts: Sequence[Words]) -> NDArray[np.uint64]:
    """Return the smallest n-gram of each text under ``BANDS * ROWS`` random orders.

    The share of columns in which two rows agree estimates the Jaccard similarity of their n-grams; a row depends on its
    text alone.

    Returns:
        Shape (texts, BANDS * ROWS).
    """
    import numpy as np

    hashes, starts = _hashed_ngrams(texts)
    orders = np.random.default_rng(SEED).integers(1, 2**63, size=(BANDS * ROWS, 2), dtype=np.uint64)
    smallest = np.empty((len(orders), len(texts)), dtype=np.uint64)
    for row, (factor, shift) in enumerate(orders):
        # an odd factor permutes the 64-bit numbers; the n-grams' own hashes are spread evenly already
        smallest[row] = np.minimum.reduceat(hashes * (factor | np.uint64(1)) + shift, starts)
    return smallest.T


def _hashed_ngrams(texts: Sequence[Words]) -> tuple[NDArray[np.uint64], NDArray[np.intp]]:
    """Return a 64-bit hash of every n-gram, text after text, and where each text's begin."""
    import numpy as np

    padded = [[*text, *[""] * (NGRAM - len(text))] for text in texts]
    known = {word: _word_hash(word) for word in set().union(*padded)}
    words = np.array([known[word] for text in padded for word in text], dtype=np.uint64)
    lengths = np.array([len(text) for text in padded])
    begins, counts = np.cumsum(lengths) - lengths, lengths - NGRAM + 1
    starts = np.cumsum(counts) - counts
    places = np.arange(counts.sum()) + np.repeat(begins - starts, counts)  # of the first word of each n-gram
    mixed = np.zeros(len(places), dtype=np.uint64)
    for offset in range(NGRAM):
        mixed = _mix(mixed + words[places + offset])
    return mixed, starts


def _word_hash(word: str) -> int:
    """Return a hash that is the same in every process, unlike Python's own."""
    digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=WORD_BYTES).digest()
    return int.from_bytes(digest, "little")


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread 64-bit numbers evenly, one to one (the finalizer of splitmix64, Steele, Lea and Flood 2014)."""
    import numpy as np

    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    return values ^ (values >> np.uint64(31))


def _candidates(queries: NDArray[np.uint64], corpus: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the pairs that agree in a band, each once and sorted, as ``query * len(corpus) + text``."""
    import numpy as np

    found = [np.empty(0, dtype=np.int64)]
    for band in range(0, BANDS * ROWS, ROWS):
        ours, theirs = (_band_keys(side[:, band : band + ROWS]) for side in (queries, corpus))
        order = np.argsort(theirs, kind="stable")
        ranked = theirs[order]
        first, last = np.searchsorted(ranked, ours, "left"), np.searchsorted(ranked, ours, "right")
        counts = last - first
        query = np.repeat(np.arange(len(ours)), counts)
        place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
        found.append(np.unique(query * len(corpus) + order[place]))
    pairs = np.unique(np.concatenate(found))
    return np.stack(np.divmod(pairs, len(corpus)), axis=1)


def _band_keys(columns: NDArray[np.uint64]) -> NDArray[np.uint64]:
    import numpy as np

    keys = np.zeros(len(columns), dtype=np.uint64)
    for column in columns.T:
        keys = _mix(keys + column)
    return keys
