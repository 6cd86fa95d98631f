"""Long dialogues made of short ones: several conversations of one kind, one after the other, with all they refer to."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Protocol, TypeVar

PER_DIALOGUE = 10  # of the built-in ones: 2 300 tokens in the middle, three times the context of the adapters


class Short(Protocol):
    """A dialogue to join."""

    @property
    def topic(self) -> str | None:
        """What it is about."""


S = TypeVar("S", bound=Short)


def grouped(examples: Sequence[S], *, seed: int, per_dialogue: int = PER_DIALOGUE) -> list[list[S]]:
    """Return examples in groups of one topic, each example once, the same for the same seed.

    Args:
        examples: of one split.
        seed: of the order within a topic.
        per_dialogue: about how many a group has; those of a topic are shared out evenly.
    """
    topics: dict[str | None, list[S]] = {}
    for example in examples:
        topics.setdefault(example.topic, []).append(example)
    groups = []
    for topic, members in sorted(topics.items(), key=lambda item: item[0] or ""):
        random.Random(f"{seed}-{topic}").shuffle(members)
        count = max(1, round(len(members) / per_dialogue))
        sizes = [len(members) // count + (i < len(members) % count) for i in range(count)]
        groups += [members[start:stop] for start, stop in pairwise(accumulate(sizes, initial=0))]
    return groups


def joined_references(rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return references of the whole: the first ones of every dialogue joined, and so on.

    There are as many as the dialogue with most has; one that has fewer gives them in turn again.
    """
    return tuple(" ".join(row[i % len(row)] for row in rows) for i in range(max(map(len, rows))))
