r"""Speakers as #Person1#, #Person2#, … while a model reads and writes; their own names are put back behind it.

A name is several tokens, and another one in each dialogue, which the model has to copy and to keep apart from others; a
label is the same in all dialogues. A role ("Clerk") says what a name does not, and stays.

    view = speaker_view("Ann: Lunch, Ben?\nBen: Yes.", "normalised")
    view.dialogue                              # '#Person1#: Lunch, #Person2#?\n#Person2#: Yes.'
    view.restore("#Person2# joins #Person1#.")  # 'Ben joins Ann.'
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count

from peftsum.dialogue_text import parse_turns
from peftsum.prompts import Speakers
from peftsum.redaction.words import ROLES, TITLES

LABEL = re.compile(r"#Person\d+#")


@dataclass(frozen=True)
class SpeakerView:
    """A dialogue as a model reads it."""

    dialogue: str
    labels: Mapping[str, str] = field(default_factory=dict)
    """From a name, in full or its first word, to the label that stands for it."""
    names: Mapping[str, str] = field(default_factory=dict)
    """From a label to the name that the dialogue has."""

    def write(self, text: str) -> str:
        """Return a text that belongs to the dialogue, such as its summary, with labels for names."""
        return _exchange(text, self.labels)

    def restore(self, text: str) -> str:
        """Return what a model wrote with the names of the dialogue for its labels; a label of nobody stays."""
        return _exchange(text, self.names)


def speaker_view(dialogue: str, speakers: Speakers) -> SpeakerView:
    """Return a dialogue with its speakers as a prompt's ``speakers`` has them.

    A label that the dialogue has already stays, and is given to no one else.
    """
    if speakers == "as_written":
        return SpeakerView(dialogue)
    people = dict.fromkeys(t.speaker for t in parse_turns(dialogue) if t.speaker and _is_name(t.speaker))
    free = _free_labels(dialogue)
    names = {next(free): name for name in people}
    labels = {first: label for label, name in names.items() if (first := _first(name))}
    labels |= {name: label for label, name in names.items()}  # two of one first name: the name in full decides
    return SpeakerView(_exchange(dialogue, labels), labels, names)


def _is_name(speaker: str) -> bool:
    return not LABEL.fullmatch(speaker) and ROLES.isdisjoint(speaker.lower().split())


def _first(name: str) -> str | None:
    """Return the word that stands for a name of two; "Ms. Shaw" has none."""
    words = name.split()
    return words[0] if len(words) == 2 and words[0].lower().strip(".") not in TITLES else None


def _free_labels(dialogue: str) -> Iterator[str]:
    taken = set(LABEL.findall(dialogue))
    return (label for number in count(1) if (label := f"#Person{number}#") not in taken)


def _exchange(text: str, instead: Mapping[str, str]) -> str:
    """Replace whole names, all at once, the longest first."""
    if not instead:
        return text
    longest = sorted(map(re.escape, instead), key=len, reverse=True)
    return re.sub(rf"(?<![\w#])(?:{'|'.join(longest)})(?![\w#])", lambda match: instead[match[0]], text)
