"""All values of a text, each place once."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from peftsum.redaction.address import addresses
from peftsum.redaction.birth import births
from peftsum.redaction.email import emails
from peftsum.redaction.identity import identities
from peftsum.redaction.kinds import MASK, PLACEHOLDER, Kind
from peftsum.redaction.names import People
from peftsum.redaction.numbers import cards, ibans
from peftsum.redaction.phone import phones
from peftsum.redaction.view import Span, View

# In the order of who wins where two find the same digits: the surer check first. Names are looked for in their own way.
DETECTORS: dict[Kind, Callable[[View], Iterator[Span]]] = {
    "email": lambda view: emails(view.raw),
    "iban": ibans,
    "card": cards,
    "identity": identities,
    "birth": lambda view: births(view.raw),
    "phone": phones,
    "address": lambda view: addresses(view.raw),
}


def find(text: str, kinds: Collection[Kind], people: People | None = None, known: Sequence[Span] = ()) -> list[Span]:
    """Return the values of a text in their order, none overlapping another.

    Every detector runs whatever the kinds: a card that is not to be redacted must not go as a telephone number.

    Args:
        text: of a dialogue or summary.
        kinds: to return.
        people: whose names count; None finds no names.
        known: spans of the text that are values in any case.
    """
    for shape in (PLACEHOLDER, MASK):  # they hold no value, and "[EMAIL_1]" is no word about an e-mail
        text = shape.sub(lambda match: "\0" * len(match[0]), text)
    taken = list(known)
    if any(letter.isdigit() for letter in text) or WORTH.search(text):
        view = View(text)
        digits = sum(letter.isdigit() for letter in view.text)
        for kind, detect in DETECTORS.items():
            if digits >= LEAST_DIGITS.get(kind, 0):
                taken += _free(detect(view), taken, text)
    if people is not None and "name" in kinds:
        taken += _free(people.spans(text), taken, text)
    return sorted((span for span in taken if span.kind in kinds), key=lambda span: span.start)


LEAST_DIGITS: dict[Kind, int] = {"iban": 8, "card": 12, "identity": 4, "phone": 7}
# A text without a digit can hold an address of e-mail, or numbers in words.
WORTH = re.compile(
    r"@|\bat\b|zero|one|two|three|four|five|six|seven|eight|nine|born|birth|first|second|third|th\b", re.I
)


def _free(spans: Iterable[Span], taken: Collection[Span], text: str) -> list[Span]:
    """Return what is left of spans, the longest first, where others are taken; an end that sticks out stays hidden."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.start - s.end, s.start)):
        pieces = [(span.start, span.end)]
        for other in (*taken, *kept):
            pieces = [piece for start, end in pieces for piece in _without(start, end, other)]
        for start, end in pieces:
            value = text[start:end]
            stripped = value.strip(" \t\n,;:.-()/")
            if (start, end) == (span.start, span.end):
                kept.append(span)
            elif any(letter.isdigit() for letter in stripped) or span.kind == "name":
                begin = start + value.index(stripped)
                kept.append(Span(begin, begin + len(stripped), span.kind, f"{span.key}|{stripped.lower()}"))
    return kept


def again(text: str, known: Mapping[tuple[Kind, str], str], taken: Collection[Span]) -> list[Span]:
    """Return where known values stand in a text: their digits, however they are set apart, or else their letters.

    Args:
        text: to look in.
        known: kind and key of a value, and the value.
        taken: spans found already.
    """
    found = []
    for (kind, key), value in known.items():
        digits = re.findall(r"\d", value)
        by_digits = kind in {"phone", "card", "identity"} and len(digits) >= LEAST_AGAIN
        signs = digits if by_digits else re.findall(r"\w+", value)
        if sum(map(len, signs)) < LEAST_AGAIN:
            continue
        pattern = (r"[\s().-]{0,3}" if by_digits else r"\W+").join(map(re.escape, signs))
        opening = r"\(?" if by_digits else ""
        for match in re.finditer(rf"(?<!\w){opening}{pattern}(?!\w)", text, re.I):
            found.append(Span(*match.span(), kind, key))
    return [span for span in _free(found, taken, text) if (span.kind, span.key) in known]


LEAST_AGAIN = 6  # letters or digits; less could be anything


def _without(start: int, end: int, other: Span) -> Iterator[tuple[int, int]]:
    if other.end <= start or other.start >= end:
        yield start, end
        return
    if start < other.start:
        yield start, other.start
    if other.end < end:
        yield other.end, end
