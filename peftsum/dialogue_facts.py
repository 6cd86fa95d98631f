"""What is known of each dialogue before anybody summarizes it: speakers, length, topic, and reported speech."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from peftsum.dialogue_text import parse_turns
from peftsum.section import Record

Speech = Literal["direct", "indirect", "none"]

# Two words or more inside quotation marks; an apostrophe is no quotation mark.
QUOTED = re.compile(r'"[^"\n]*?\w+\W+\w[^"\n]*"|“[^”\n]*?\w+\W+\w[^”\n]*”|«[^»\n]*?\w+\W+\w[^»\n]*»')
_VERBS = "said|says|told|tells|asked|asks|answered|replied|explained|mentioned|claimed|claims|promised|warned|suggested"
_ABOUT = r"that|me|us|you|him|her|them|if|whether|to|he|she|they|we|i|it(?=['\u2019]s|\s+\w)|not"
REPORTED = re.compile(rf"(?<!\bit )\b(?:{_VERBS})\s+(?:{_ABOUT})\b", re.IGNORECASE)


class DialogueFacts(Record):
    """Facts about n dialogues, a value a dialogue, in the order of the split."""

    ids: list[str]
    speakers: list[int]
    """How many people speak, by the names before the turns; 0 where no turn has a name."""
    words: list[int]
    """Words of the dialogue split at white space, names of speakers among them."""
    topics: list[str | None]
    """The topic that the data name; None where they name none."""
    speech: list[Speech]
    """Whether a turn gives somebody's words, see :func:`speech_of`."""


def dialogue_facts(ids: Sequence[str], dialogues: Sequence[str], topics: Sequence[str | None]) -> DialogueFacts:
    """Return the facts of n dialogues; the three arguments have n entries each."""
    turns = [parse_turns(dialogue) for dialogue in dialogues]
    return DialogueFacts(
        ids=list(ids),
        speakers=[len({turn.speaker for turn in those if turn.speaker}) for those in turns],
        words=[len(dialogue.split()) for dialogue in dialogues],
        topics=list(topics),
        speech=[speech_of([turn.text for turn in those]) for those in turns],
    )


def speech_of(turns: Sequence[str]) -> Speech:
    """Return how the turns give the words of others.

    ``direct``: a turn has two words or more in quotation marks. ``indirect``: none has, but one reports what somebody
    said ("she said that …", "he told me to …", "they asked if …"); what a thing says ("it says here") is no report.
    """
    if any(QUOTED.search(text) for text in turns):
        return "direct"
    return "indirect" if any(REPORTED.search(text) for text in turns) else "none"
