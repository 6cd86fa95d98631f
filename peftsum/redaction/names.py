"""Names of people: the speakers', and those that somebody is introduced, greeted or titled by."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from peftsum.dialogue_text import parse_turns
from peftsum.redaction.view import Span
from peftsum.redaction.words import ALSO_WORDS, NOT_NAMES, ROLES, TITLES

_CAP = r"[A-ZÀ-ÖØ-Þ]\w*(?:['\u2019-]\w+)*"  # one way to read each: no backtracking
_NAME = rf"(?P<name>{_CAP}(?: {_CAP}){{0,2}})"
_TITLE = r"(?:[Mm]r|[Mm]rs|[Mm]s|[Mm]iss|[Dd]r|[Pp]rof|[Mm]adam|[Ss]ir|[Ff]rau|[Hh]err|[Mm]me|[Ss]ra?)\.?"
INTRODUCED = (
    re.compile(
        rf"(?:[Mm]y|[Hh]is|[Hh]er|[Tt]he) (?:(?:full|first|last|middle|family|sur)[ -]?)?name(?: is|'s|\u2019s"
        rf"|:) {_NAME}"
    ),
    re.compile(
        rf"\b(?:I'm|I\u2019m|I am|[Tt]his is|[Cc]all me|[Nn]amed|[Mm]eet|[Ii]t's"
        rf"|[Ii]t\u2019s) {_NAME}(?=[\s]*(?:[.,!?;\n]|$|from|speaking|here|calling|and))"
    ),
    re.compile(
        rf"\b(?:[Hh]i|[Hh]ello|[Hh]ey|[Dd]ear|[Tt]hanks|[Tt]hank you|[Bb]ye|[Gg]oodbye|[Ss]orry"
        rf"|[Cc]ongratulations|[Mm]orning),? {_NAME}(?=\s*(?:[.,!?;:\n]|$))"
    ),
    re.compile(rf"\b{_TITLE} {_NAME}"),
    re.compile(
        rf"\b(?:(?:[Tt]alk|[Tt]alked|[Ss]peak|[Ss]poke|[Ww]rite|[Ww]rote) (?:to|with)|[Mm]et|[Tt]old"
        rf"|[Aa]sk(?:ed)?|[Mm]arried) {_NAME}"
        r"(?=\s*(?:[.,!?;\n]|$|yesterday|today|about|that|to|if|for|and|on|at|in|last|this))"
    ),
    re.compile(rf"\b(?:[Ii]s|[Ww]as) {_NAME} (?=coming|there|here|in|back|okay|ok|still|your|his|her)"),
    re.compile(rf", (?P<name>{_CAP})(?=[.!?](?:\s|$))"),
)
TAG = re.compile(r"#\w+#|\[.*\]")  # #Person1# of DialogSum stands for a name already


@dataclass
class People:
    """The people of one dialogue: the parts of their names, and who each part means.

    Kept for all the texts that belong to the dialogue, so that its summary names the same people by the same number.
    """

    known: dict[str, str] = field(default_factory=dict)
    """Full name as written, lower-cased, to the key of the person."""
    parts: dict[str, str | None] = field(default_factory=dict)
    """One word of a name, lower-cased, to the person; None where it could be two people."""

    def add(self, name: str) -> None:
        """Take in a name: a whole one, or a part of one that is known."""
        words = [word for word in name.split() if word.lower().strip(".") not in TITLES]
        key = " ".join(words).lower()
        if not words or key in self.known:
            return
        person = self.parts.get(key) if len(words) == 1 else None
        if person is None and len(words) > 1 and self.parts.get(words[0].lower()) == words[0].lower():
            person = words[0].lower()  # "Anna" of before is this Anna Smith
        self.known[key] = person or key
        for word in words:
            part = word.lower()
            if len(part) > 1:
                other = self.parts.get(part, self.known[key])
                self.parts[part] = self.known[key] if other == self.known[key] else None

    def learn(self, text: str) -> None:
        """Take in the speakers of a dialogue and the people introduced in it."""
        for turn in parse_turns(text):
            if turn.speaker and is_name(turn.speaker):
                self.add(turn.speaker)
        for pattern in INTRODUCED:
            for match in pattern.finditer(text):
                name = _trimmed(match["name"])
                if name and not re.search(rf"(?<!\w){re.escape(name.lower())}(?!\w)", text):  # "the Hotel", "a hotel"
                    self.add(name)

    def spans(self, text: str) -> Iterator[Span]:
        """Yield every place where a known name, or a part of one, stands."""
        for name, person in self.known.items():
            yield from self._places(text, name, person)
        for part, owner in self.parts.items():
            if part not in self.known:
                yield from self._places(text, part, owner or part)

    @staticmethod
    def _places(text: str, name: str, person: str) -> Iterator[Span]:
        """Yield the places of a name; one that is also a word counts with its capital alone."""
        pattern = r"\s+".join(map(re.escape, name.split()))
        for match in re.finditer(rf"(?<![\w#\[]){pattern}(?!\w)(?!_\d|\])", text, re.I):
            if (name in ALSO_WORDS or len(name) < 3) and not match[0][0].isupper():
                continue
            yield Span(*match.span(), "name", person)


def is_name(label: str) -> bool:
    """Tell whether a speaker's label is a name: not a tag (#Person1#), a role (Agent), a letter or a number."""
    words = [word.strip(".").lower() for word in re.split(r"[\s_]+", label) if word.strip(".")]
    if TAG.fullmatch(label) or not words or not any(c.isalpha() for c in label):
        return False
    plain = [re.sub(r"\d+$", "", word) for word in words]
    return not all(len(word) < 2 or word in ROLES or word in TITLES or word in {"the", "a"} for word in plain)


def _trimmed(name: str) -> str | None:
    """Return the words up to the first that is no name."""
    words = name.split()
    kept: list[str] = []
    for word in words:
        plain = re.sub(r"['\u2019]s$", "", word)
        contracted = re.search(r"['\u2019]", plain) and not re.match(
            r"[OD]['\u2019]", plain
        )  # I'm, didn't; but O'Brien
        if plain.lower() in NOT_NAMES or len(plain) < 2 or contracted or (plain.isupper() and len(plain) > 2):
            break
        kept.append(plain)
    return " ".join(kept) or None
