"""A text as the detectors read it: spoken digits written out, odd dashes and spaces made plain, each with its place."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from peftsum.redaction.kinds import Kind

UNITS = ("zero", "oh", "o", "nought", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DIGITS = dict(zip(UNITS, "0000123456789", strict=True))
TEENS = {
    **{"ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16},
    **{"seventeen": 17, "eighteen": 18, "nineteen": 19},
}
TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
_UNIT = "|".join(DIGITS)
NUMBER = re.compile(
    rf"(?<![\w'])(?:(?P<digits>\d+)|(?P<times>double|triple)[ -](?P<repeated>{_UNIT}|\d)"
    rf"|(?P<tens>{'|'.join(TENS)})(?:[ -](?P<unit>one|two|three|four|five|six|seven|eight|nine))?"
    rf"|(?P<teen>{'|'.join(TEENS)})|(?P<one>{_UNIT})|(?P<hundred>hundred))(?![\w'])",
    re.I,
)
GAP = re.compile(r"[ \t]*(?:\.\.\.|[-,./()])?[ \t]*|[ \t]+(?:dash|hyphen|and then|then)[ \t]+", re.I)
LEAST_SPOKEN = 5  # digits of a run that is written out; fewer are ages, prices and times
PLUS = re.compile(r"\bplus[ ,-]+(?=\d)", re.I)
DASHES = "\u2010\u2011\u2012\u2013\u2014\u2212"
SPACES = "\u00a0\u2007\u2009\u202f"


@dataclass(frozen=True, slots=True)
class Span:
    """A value in a text."""

    start: int
    end: int
    kind: Kind
    key: str
    """The same for every way to write the value."""


class View:
    """A text with what was said digit by digit written as digits.

    Args:
        raw: as it is.

    Attributes:
        text: as the detectors read it.
    """

    def __init__(self, raw: str) -> None:
        self.raw = raw
        plain = "".join(map(_plain, raw))
        pieces: list[str] = []
        self._starts: list[int] = []
        self._ends: list[int] = []
        place = 0
        for run in _spoken_runs(plain):
            self._copy(plain, place, run[0].start(), pieces)
            for token in run:
                digits = _as_digits(token)
                pieces.append(digits)
                self._starts += [token.start()] * len(digits)
                self._ends += [token.end()] * len(digits)
            place = run[-1].end()
        self._copy(plain, place, len(plain), pieces)
        self.text = "".join(pieces)

    def _copy(self, plain: str, start: int, end: int, pieces: list[str]) -> None:
        pieces.append(plain[start:end])
        self._starts += range(start, end)
        self._ends += range(start + 1, end + 1)

    def span(self, start: int, end: int, kind: Kind, key: str) -> Span:
        """Return the place in the raw text of ``text[start:end]``."""
        return Span(self._starts[start], self._ends[end - 1], kind, key)

    def is_spoken(self, start: int, end: int) -> bool:
        """Tell whether a part of ``text`` was written in words."""
        return self._ends[end - 1] - self._starts[start] > end - start


def _plain(letter: str) -> str:
    """Return an ASCII digit, dash or space for any other; one letter for one, so that places stay."""
    if letter < "\x7f":
        return letter
    if letter in DASHES:
        return "-"
    if letter in SPACES:
        return " "
    value = unicodedata.digit(letter, None) if letter.isdigit() else None
    return letter if value is None else str(value)


def _spoken_runs(text: str) -> list[list[re.Match[str]]]:
    """Return runs of numbers one after the other in which some are words, with digits enough for more than a count."""
    runs: list[list[re.Match[str]]] = []
    for match in NUMBER.finditer(text):
        if runs and GAP.fullmatch(text, runs[-1][-1].end(), match.start()):
            runs[-1].append(match)
        else:
            runs.append([match])
    return [
        run
        for run in map(_without_stray_ends, runs)
        if sum(token["digits"] is None for token in run) >= 2
        and sum(len(_as_digits(token)) for token in run) >= LEAST_SPOKEN
    ]


def _without_stray_ends(run: list[re.Match[str]]) -> list[re.Match[str]]:
    """Drop an "oh" or "o" before the run, which is an exclamation, unless a digit follows at once."""
    while run and run[0][0].lower() in {"oh", "o"} and run[0].string[run[0].end() : run[0].end() + 1] == ",":
        run = run[1:]
    return run


def _as_digits(token: re.Match[str]) -> str:
    if token["digits"]:
        return token["digits"]
    if token["times"]:
        said = token["repeated"].lower()
        return DIGITS.get(said, said) * (2 if token["times"].lower() == "double" else 3)
    if token["tens"]:
        unit = int(DIGITS[token["unit"].lower()]) if token["unit"] else 0
        return str(TENS[token["tens"].lower()] + unit)
    if token["teen"]:
        return str(TEENS[token["teen"].lower()])
    return "00" if token["hundred"] else DIGITS[token["one"].lower()]
