"""A summary with two of its speakers exchanged: what it would say had it confused them."""

from __future__ import annotations

import re
from itertools import combinations

from peftsum.metrics.errors.readings import DialogueReading
from peftsum.metrics.words import tokens


def exchanged(summary: str, dialogue: DialogueReading) -> list[tuple[tuple[str, str], str]]:
    """Return each pair of speakers, at least one of them named in the summary, with the summary they are exchanged in.

    Args:
        summary: a text that names speakers by their first names or in full.
        dialogue: the reading of the dialogue.
    """
    named = {speaker for token in tokens(summary) if (speaker := dialogue.speaker_of(token))}
    pairs = [pair for pair in combinations(dialogue.speakers, 2) if not named.isdisjoint(pair)]
    return [(pair, text) for pair in pairs if (text := _exchange(summary, *pair)) != summary]


def _exchange(summary: str, one: str, other: str) -> str:
    """Put each name in the other's place, in full where it stood in full."""
    forms: dict[str, str] = {}
    for name, replacement in ((one, other), (other, one)):
        first, last = name.split()[0], replacement.split()[0]
        forms |= {name.lower(): replacement, first.lower(): last}  # a name of one word takes the short form
    longest_first = sorted(map(re.escape, forms), key=len, reverse=True)
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(longest_first)})(?!\w)", re.IGNORECASE)
    return pattern.sub(lambda match: forms[match[0].lower()], summary)
