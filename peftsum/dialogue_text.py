"""A dialogue's text as turns: who speaks, and what is said."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

LABEL_LETTERS = 40  # the longest name of a speaker
LABEL_WORDS = 5
LABEL = re.compile(rf"([^:]{{1,{LABEL_LETTERS}}}?)(?P<gap>\s*):(?P<space>\s+|$)?")
NO_SPEECH = re.compile(r"//|(?<=\d:)\d")  # behind a colon: a URL, and a time or a ratio
WORD = re.compile(r"[^\W\d_]{2}|[\"“¿¡]")
PARTICLES = {"a", "an", "and", "da", "de", "del", "der", "di", "du", "la", "le", "of", "the", "van", "von", "y"}
SENTENCE = re.compile(r"[?!;…,]|\w{5,}\.\s")  # "Well, you know: …" is no name; "Mrs. Lee" is one


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker says before the next one does."""

    speaker: str | None
    """As the dialogue has it, without the colon ("Ann", "#Person1#"); None where no name stands before the text."""
    text: str
    """Without the name; a turn of several lines keeps them apart."""
    index: int
    """Its place in the dialogue, from 0."""


def parse_turns(dialogue: str) -> list[Turn]:
    """Return the turns of a dialogue written as ``Name: text``, a turn a line.

    A line without a name goes on with the turn before it; where no line has one, each line is a turn of nobody known.
    What stands before a colon is a name where it is written like one (a word, two of which the first has a capital, or
    words with capitals, at most 40 letters), or where it stands before several lines. So "we meet at 5:30", "see
    http://…" and "what I mean is: no" hold no name, and "customer service: Hello" does once that service speaks again.
    """
    lines = [line.strip() for line in dialogue.split("\n") if line.strip()]
    matches = [LABEL.match(line) for line in lines]
    often = Counter(match[1] for match in matches if match)
    parts: list[tuple[str | None, list[str]]] = []
    for line, match in zip(lines, matches, strict=True):
        if match and _is_name(match, often[match[1]]):
            parts.append((match[1], [line[match.end() :]]))
        elif parts:
            parts[-1][1].append(line)
        else:
            parts.append((None, [line]))
    if all(speaker is None for speaker, _ in parts):
        parts = [(None, [line]) for line in lines]
    return [Turn(speaker, "\n".join(texts).strip(), index) for index, (speaker, texts) in enumerate(parts)]


def _is_name(match: re.Match[str], count: int) -> bool:
    label, rest = match[1], match.string[match.end() :]
    if match["space"] is None:
        if match["gap"] or NO_SPEECH.match(match.string, match.end()):  # "Thanks :)"
            return False
        if count == 1 and (label[0].islower() or not WORD.match(rest)):  # mailto:ann, not Ann:Hi
            return False
    words = label.split()
    if count == 1 and not any(letter.isalpha() for letter in label):
        return False  # a number is a name where it speaks again
    small = [word for word in words if word[0].islower() and word not in PARTICLES]
    written_like_one = not small or len(words) == 1 or (len(words) == 2 and words[0] not in small)  # Team leader
    return count > 1 or (written_like_one and len(words) <= LABEL_WORDS and not SENTENCE.search(label))
