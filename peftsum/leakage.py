"""Dialogues that stand in two splits, word for word or nearly: a score on them says how well a model remembers.

Two dialogues are exact duplicates where the same words are said in the same order: case, punctuation, line breaks and
the names before the turns do not count, since copies differ in those. They are near duplicates where the Jaccard
similarity of their word 4-grams is at least 0.5: of all runs of four words in the two, half stand in both. A changed
word breaks four of them, so a copy may have a word in ten changed; runs of two or three words are shared by dialogues
that merely order the same dish.

Of DialogSum's 500 validation dialogues 43 are exact and 57 near duplicates of training dialogues; 364 share less than
a tenth of their 4-grams with any. Between those a line has to be drawn: 65 at 0.4 and 49 at 0.6; 64 with 3-grams and
52 with 5-grams.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Literal

from peftsum.data import Example, Split
from peftsum.dialogue_text import parse_turns
from peftsum.minhash import near_pairs
from peftsum.section import Record

NEAR = 0.5
WORD = re.compile(r"[\w']+")

Said = tuple[str, ...]


class Leak(Record):
    """A dialogue and one of another split (or of the same) that it repeats."""

    id: str
    other_id: str
    kind: Literal["exact", "near"]
    similarity: float
    """Jaccard similarity of the word 4-grams; 1 for an exact duplicate."""


class Leakage(Record):
    """The dialogues of one split that stand in another."""

    split: str
    other: str
    """The split that they stand in: what a model is trained on, where it is `train`."""
    dialogues: int
    """In the split."""
    exact: int
    """Dialogues of the split that stand in the other word for word."""
    near: int
    """Dialogues that stand there nearly, and not word for word."""
    pairs: list[Leak]
    """Every pair; a dialogue can stand there more than once."""

    @property
    def ids(self) -> list[str]:
        """The dialogues of the split that leak, each once."""
        return list(dict.fromkeys(leak.id for leak in self.pairs))


def words_said(dialogue: str) -> Said:
    """Return the words of a dialogue in lower case, without the names of the speakers.

    A dialogue without any is its own only word, so that two of them are equal only if they are so to the letter.
    """
    text = "\n".join(turn.text for turn in parse_turns(dialogue))
    return tuple(WORD.findall(text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))) or (dialogue,)


def find_leakage(split: Split, other: Split) -> Leakage:
    """Return which dialogues of a split stand in another one, exactly or nearly."""
    theirs = _by_words(other.examples)
    ours = _by_words(split.examples)
    texts, others = list(ours), list(theirs)
    pairs = [(said, said, 1.0) for said in texts if said in theirs]
    found = near_pairs(texts, others, NEAR)
    pairs += [(texts[i], others[j], similarity) for i, j, similarity in found if texts[i] != others[j]]
    leaks = [
        Leak(id=id, other_id=other_id, kind="exact" if said == twin else "near", similarity=similarity)
        for said, twin, similarity in pairs
        for id in ours[said]
        for other_id in theirs[twin]
    ]
    place = {example.id: index for index, example in enumerate(split.examples)}
    leaks.sort(key=lambda leak: (place[leak.id], -leak.similarity, leak.kind, leak.other_id))
    exact = {leak.id for leak in leaks if leak.kind == "exact"}
    near = {leak.id for leak in leaks} - exact
    return Leakage(
        split=split.name,
        other=other.name,
        dialogues=len(split.examples),
        exact=len(exact),
        near=len(near),
        pairs=leaks,
    )


def find_all_leakage(splits: Sequence[Split]) -> list[Leakage]:
    """Return the leakage of each later split into each earlier one; splits come as train, validation, test."""
    return [find_leakage(split, other) for other, split in combinations(splits, 2)]


def find_repeats(split: Split) -> list[Leak]:
    """Return each dialogue of a split that says, word for word, what one before it does, with the first such one."""
    return [
        Leak(id=later, other_id=ids[0], kind="exact", similarity=1.0)
        for ids in _by_words(split.examples).values()
        for later in ids[1:]
    ]


def _by_words(examples: Iterable[Example]) -> dict[Said, list[str]]:
    """Return the ids of the dialogues by what is said in them."""
    ids: dict[Said, list[str]] = {}
    for example in examples:
        ids.setdefault(words_said(example.dialogue), []).append(example.id)
    return ids
