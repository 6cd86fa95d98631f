"""Payment cards and IBANs: digits whose check sum holds, or that are said to be one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from peftsum.redaction.cues import cue_of
from peftsum.redaction.kinds import library
from peftsum.redaction.view import Span, View

CARD = re.compile(r"(?<![\w.+-])(?<![$€£])\d(?:[ \t-]{0,3}\d){12,18}(?![\w]|[.,-]\d)")
CARD_TAIL = re.compile(r"(?<=\d)[ \t-]+\d+$")
ISSUERS = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11,13}|35\d{14}"
    r"|6(?:011|4[4-9]\d|5\d\d)\d{12}|62\d{14,17}|(?:50|5[6-9]|6\d)\d{10,17}"
)
IBAN = re.compile(r"(?<![^\W_])[A-Z][ -]?[A-Z][ -]?\d[ -]?\d(?:[ -]{0,2}[A-Z0-9]){11,30}(?![^\W_])", re.I)
IBAN_LENGTHS = range(15, 35)
LEAST = 12  # digits of a card


def cards(view: View) -> Iterator[Span]:
    """Yield card numbers: of a known issuer with a good Luhn sum, or 13 to 19 digits behind a word such as "card"."""
    for match in CARD.finditer(view.text):
        start, end = match.span()
        good = next((stop for stop in _stops(view.text, start, end) if _is_card(view.text[start:stop])), None)
        if good is None and cue_of(view.text, start, end) == "card":
            good = end
        if good is not None:
            yield view.span(start, good, "card", _digits(view.text[start:good]))


def _stops(text: str, start: int, end: int) -> Iterator[int]:
    """Yield the end, then the ends without the last groups: the code on the back may follow the number."""
    while len(_digits(text[start:end])) >= LEAST:
        yield end
        tail = CARD_TAIL.search(text[start:end])
        if tail is None:
            return
        end = start + tail.start()


def _is_card(text: str) -> bool:
    digits = _digits(text)
    return bool(ISSUERS.fullmatch(digits)) and bool(library("stdnum.luhn").is_valid(digits))


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def ibans(view: View) -> Iterator[Span]:
    """Yield IBANs: mod 97 holds, or the word IBAN stands before a text of their form."""
    iban = library("stdnum.iban")
    for match in IBAN.finditer(view.text):
        start, end = match.span()
        best = None
        for length, stop in enumerate(_ends(view.text, start, end), start=1):
            if length in IBAN_LENGTHS and iban.is_valid(view.text[start:stop].upper(), check_country=False):
                best = stop
        if best is None and cue_of(view.text, start, end) == "iban" and sum(c.isdigit() for c in match[0]) >= 10:
            best = _word_end(view.text, start, end)
        if best is not None:
            yield view.span(start, best, "iban", re.sub(r"[ -]", "", view.text[start:best]).upper())


def _ends(text: str, start: int, end: int) -> list[int]:
    """Return where each letter or digit of a part ends."""
    return [i + 1 for i in range(start, end) if text[i].isalnum()]


def _word_end(text: str, start: int, end: int) -> int:
    """Return the end without trailing words, which an IBAN's form takes in."""
    tail = re.search(r"(?:[ -]+[A-Za-z]+)+$", text[start:end])
    return start + tail.start() if tail else end
