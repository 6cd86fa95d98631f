"""Dates of birth: a date, or a year behind "born in", that stands near a word about birth."""

from __future__ import annotations

import re
from collections.abc import Iterator

from peftsum.redaction.view import Span

_MONTHS = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    "|nov(?:ember)?"
    "|dec(?:ember)?"
    "|januar|februar|m[äa]rz|mai|juni|juli|oktober|dezember|janvier|f[ée]vrier|mars|avril|juin|juillet|ao[ûu]t"
    "|septembre|octobre"
    "|novembre|d[ée]cembre|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre"
    "|diciembre|gennaio"
    "|febbraio|aprile|maggio|giugno|luglio|settembre|ottobre|dicembre|januari|februari|maart|mei|augustus"
)
_UNITS = "one|two|three|four|five|six|seven|eight|nine"
_TEENS = "ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen"
_TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
_NTH = (
    "first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|thirteenth|fourteenth|fifteenth"
    "|sixteenth|seventeenth|eighteenth|nineteenth|twentieth|thirtieth"
)
_DAY = (
    rf"(?:\d{{1,2}}(?:st|nd|rd|th|er|\.)?|(?:twenty|thirty)[ -](?:{_NTH}|{_UNITS})|{_NTH}|{_TEENS}"
    rf"|(?:twenty|thirty)(?![ -](?:{_NTH}))|{_UNITS})"
)
_SAID_YEAR = (
    rf"(?:nineteen|twenty)[ -](?:hundred(?: and)?[ -])?(?:oh[ -](?:{_UNITS})|(?:{_TENS})(?:[ -](?:{_UNITS}))?|{_TEENS})"
    rf"|two thousand(?:[ -]and)?(?:[ -](?:{_TEENS}|(?:{_TENS})(?:[ -](?:{_UNITS}))?|{_UNITS}))?"
    rf"|(?:{_TENS})[ -](?:{_UNITS})"
)
_YEAR = rf"(?:(?:19|20)\d\d|['\u2019]\d\d|{_SAID_YEAR}|\d\d(?!\d|:))"
_SEP = r"[-/. ]{1,2}"
DATE = re.compile(
    rf"(?<![\w/.-])(?:(?:19|20)\d\d{_SEP}\d{{1,2}}{_SEP}\d{{1,2}}"
    rf"|\d{{1,2}}{_SEP}\d{{1,2}}{_SEP}(?:(?:19|20)?\d\d)"
    rf"|(?:the )?{_DAY}(?:[ -]?(?:of |de |del )?|-)(?:{_MONTHS})\.?(?:(?:,| of| de| del|-|/)? ?{_YEAR})?"
    rf"|(?:{_MONTHS})\.?[ -](?:the )?{_DAY}(?:(?:,| of|-)? ?{_YEAR})?"
    rf"|(?:{_MONTHS})\.?,? (?:of )?(?:19|20)\d\d"
    rf"|\d{{1,2}}/\d{{1,2}})(?![\w/-]|\.\d|:\d)",
    re.I,
)
CUE = re.compile(
    r"\bborn\b|birth ?-?days?\b|birth ?-?dates?\b|date of birth|\bd\.? ?o\.? ?b\b\.?|\bbday\b|b-day|geboren"
    r"|geburtsdatum"
    r"|geburtstag|n[ée]e? le\b|date de naissance|anniversaire|nacid[oa]|nac[ií] el|fecha de nacimiento"
    r"|cumplea[ñn]os|nat[oa] il"
    r"|data di nascita|compleanno|geboortedatum|verjaardag|jarig",
    re.I,
)
BORN_IN = re.compile(rf"\bborn (?:back )?in (?P<year>(?:19|20)\d\d|{_SAID_YEAR})\b", re.I)
BEFORE, AFTER = 64, 32
ENDED = re.compile(r"[.!;](?:\s|$)")


def births(raw: str) -> Iterator[Span]:
    """Yield the dates of birth of a text; a plain date is none."""
    if CUE.search(raw) is None:
        return
    for match in DATE.finditer(raw):
        start, end = match.span()
        if _is_near(raw, start, end):
            yield Span(start, end, "birth", _key(match[0]))
    for match in BORN_IN.finditer(raw):
        yield Span(*match.span("year"), "birth", _key(match["year"]))


def _is_near(raw: str, start: int, end: int) -> bool:
    """Tell whether a word about birth stands in the same sentence, or in a question just before."""
    before = raw[max(0, start - BEFORE) : start]
    cues = list(CUE.finditer(before))
    if cues and not ENDED.search(before, cues[-1].end()) and before.count("\n", cues[-1].end()) < 2:
        return True
    behind = raw[end : end + AFTER].partition("\n")[0]
    cue = CUE.search(behind)
    return cue is not None and re.search(r"[.!?;]", behind[: cue.start()]) is None


def _key(text: str) -> str:
    return re.sub(r"\W+", " ", text.lower()).strip()
