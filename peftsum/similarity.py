"""Which texts are most alike in their words: the cosine of TF-IDF vectors.

Weights are (1 + log tf) * log(N / df), each text's vector scaled to length 1 (Salton and Buckley 1988, "Term-weighting
approaches in automatic text retrieval"). A word that stands in every text weighs nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Words = Sequence[str]


class TextIndex:
    """Texts by the words that stand in them.

    Args:
        texts: each as its words.
    """

    def __init__(self, texts: Sequence[Words]) -> None:
        self._count = len(texts)
        places: dict[str, tuple[list[int], list[float]]] = {}
        for place, words in enumerate(texts):
            for word, times in Counter(words).items():
                rows, weights = places.setdefault(word, ([], []))
                rows.append(place)
                weights.append(1 + math.log(times))
        self._postings = {
            word: (np.asarray(rows, dtype=np.int64), np.asarray(weights) * self._rarity(len(rows)))
            for word, (rows, weights) in places.items()
        }
        squares = np.zeros(self._count)
        for texts_with_it, scaled in self._postings.values():
            squares[texts_with_it] += scaled**2  # a text stands once in the postings of a word
        self._lengths = np.sqrt(squares)

    def _rarity(self, texts: int) -> float:
        return math.log(self._count / texts)

    def similarities(self, words: Words) -> NDArray[np.float64]:
        """Return the cosine, from 0 to 1, of a text with every text of the index; words unknown there do not count."""
        dots, square = np.zeros(self._count), 0.0
        for word, times in Counter(words).items():
            if word not in self._postings:
                continue
            rows, weights = self._postings[word]
            weight = (1 + math.log(times)) * self._rarity(len(rows))
            square += weight**2
            dots[rows] += weight * weights
        scale = self._lengths * math.sqrt(square)
        return np.divide(dots, scale, out=np.zeros_like(dots), where=scale > 0)

    def nearest(self, words: Words) -> list[int]:
        """Return the places of all texts, the most alike first; of equally alike ones the first comes first."""
        order: list[int] = np.argsort(-self.similarities(words), kind="stable").tolist()
        return order
