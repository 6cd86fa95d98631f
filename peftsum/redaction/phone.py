"""Telephone numbers: international ones, national ones of common shapes, and what is said to be one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from peftsum.redaction.cues import cue_of
from peftsum.redaction.kinds import library
from peftsum.redaction.view import Span, View

REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "IN", "CN", "AU", "CA", "IE", "BE", "CH", "AT", "SE", "PL", "BR")
CANDIDATE = re.compile(
    r"(?<![\w.,/=$€£¥#@-])(?<!\w[:])(?P<plus>\+ ?|\bplus[ ,]+)?\(?\d(?:(?:[ \t]{0,2}(?:[-./]|\(0\)|\)[-/.]|[()]{1,2}"
    r"| - )?[ \t(]{0,2}|, ?)\d){6,17}"
    r"(?P<extension>(?:,? ?(?:ext(?:ension)?\.?|x) ?\d{1,5})?)(?![\w%€£$]|[.,]\d|-\d)"
)
DATE_LIKE = re.compile(
    r"(?:19|20)\d\d[-./ ]\d\d?[-./ ]\d\d?|\d\d?[-./ ]\d\d?[-./ ](?:19|20)\d\d|(?:(?:19|20)\d\d[-/, ]+)+(?:19|20)\d\d"
    r"|\d{1,2}\.\d\d ?- ?\d{1,2}\.\d\d|\d{1,3}(?:[,. ]\d{3})+(?:[.,]\d\d)?|\d{1,3}(?:\.\d{1,3}){3}|\d+\.\d+|\d+/\d+"
)
PRICE = re.compile(r"(?:[$€£¥]|\b(?:usd|eur|gbp|rs)\.?) ?$", re.I)
UNIT = re.compile(
    r" ?(?:[$€£¥%]|dollars?|euros?|pounds?|bucks|people|times|years?|miles|km|kg|votes|views|copies)\b", re.I
)
LEAST, MOST = 7, 15  # digits (E.164 allows 15)
# Groups of digits that national numbers without a leading 0 are written in, where no word says what they are.
SHAPES = {
    "US": re.compile(r"(?:1[- .]?)?(?:\(\d{3}\) ?|\d{3}[- .])\d{3}[- .]?\d{4}|1?\d{10}"),
    "ES": re.compile(r"[6789]\d{2} \d{3} \d{3}|[6789]\d{2} \d{2} \d{2} \d{2}|[67]\d{8}"),
    "IN": re.compile(r"[6-9]\d{4}[ -]\d{5}|[6-9]\d{9}"),
    "CN": re.compile(r"1[3-9]\d[ -]\d{4}[ -]\d{4}|1[3-9]\d{9}"),
    "IT": re.compile(r"3\d{2}[ -]\d{3}[ -]?\d{4}|3\d{9}"),
}


def phones(view: View) -> Iterator[Span]:
    """Yield the telephone numbers of a text."""
    for match in CANDIDATE.finditer(view.text):
        start, end = match.span()
        if view.text[start] == "(" and ")" not in match[0]:
            start += 1
        cue = cue_of(view.text, start, end)
        spoken = view.is_spoken(start, end)
        if is_phone(view.text[start:end], cue, spoken=spoken) and not _is_amount(view.text, start, end):
            yield view.span(start, end, "phone", phone_key(match[0]))


def is_phone(text: str, cue: str | None, *, spoken: bool) -> bool:
    """Decide on digits with what stands between them, given what the words around say."""
    number = re.sub(r"^plus[ ,]+", "+", text, flags=re.I)
    digits = re.sub(r"\D", "", re.sub(r",? ?(?:ext|x).*", "", number, flags=re.I))
    if not LEAST <= len(digits) <= MOST or (DATE_LIKE.fullmatch(number) and not spoken):
        return False
    if number.startswith(("+", "00")):
        return valid_in("+" + digits.removeprefix("00"), None) or (
            cue in {"phone", "number", None} and len(digits) >= 9
        )
    if cue == "phone" or (cue == "number" and (spoken or len(digits) >= LEAST)):
        return True
    if cue is not None:
        return False
    if digits.startswith("0"):
        return len(digits) >= 9 and any(valid_in(digits, region) for region in REGIONS)
    return any((shape.fullmatch(number) or spoken) and valid_in(digits, region) for region, shape in SHAPES.items())


@lru_cache(maxsize=4096)
def valid_in(number: str, region: str | None) -> bool:
    """Tell whether the numbering plan of a region has the number; None for one with its country code."""
    numbers = library("phonenumbers")
    try:
        return bool(numbers.is_valid_number(numbers.parse(number, region)))
    except numbers.NumberParseException:
        return False


@lru_cache(maxsize=4096)
def phone_key(text: str) -> str:
    """Return the last nine digits, which a number has with and without its country code."""
    digits = re.sub(r"\D", "", re.sub(r",? ?(?:ext|x).*", "", text.replace("(0)", ""), flags=re.I))
    return digits.removeprefix("00").lstrip("0")[-9:]


def _is_amount(text: str, start: int, end: int) -> bool:
    return bool(PRICE.search(text[max(0, start - 5) : start]) or UNIT.match(text, end))
