"""Postal addresses: a street with a house number, with the flat, town and postcode that follow; a postcode alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

from peftsum.redaction.view import Span
from peftsum.redaction.words import NOT_STREETS, STATES

_CAP = r"[A-ZÀ-ÖØ-Þ][\w'\u2019.-]*"
_TYPE = (
    "street|st|avenue|ave|road|rd|lane|ln|drive|dr|boulevard|blvd|court|ct|place|pl|square|sq|terrace|way|close"
    "|crescent"
    "|gardens|grove|parkway|pkwy|highway|hwy|circle|cir|mews|row|hill|walk|park|green|rise|view"
)
_SURE_TYPE = "street|avenue|ave|road|rd|lane|boulevard|blvd|crescent|terrace"
_SAID = (
    r"(?!and\b)(?:(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen"
    r"|sixteen|seventeen|eighteen"
    r"|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|oh|and)[ -]){1,5}"
)
_NUMBER = rf"(?:\d{{1,5}} ?[A-Za-z]?(?:[-/]\d{{1,4}})? |(?!(?:19|20|18)\d\d)\d{{1,5}}[A-Za-z]?, |{_SAID})"
_FLAT = r"(?i:(?:apartment|apt\.?|flat|suite|ste\.?|unit|room|floor|#) ?#?(?:\d{1,4}[a-z]?|[a-z]\d{0,4})(?!\w))"
_UK = r"[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}"
_US = r"(?:[A-Z]{2},? )?\d{5}(?:-\d{4})?"
_STATE = r"[A-Z]{2}"
_TOWN = rf"{_CAP}(?: (?:upon|on|am|an der|sur|de|la|le) {_CAP}| {_CAP}){{0,2}}"
_AFTER = (
    rf"(?: [NSEW]{{1,2}}(?!\w))?(?:,? {_FLAT})?"
    rf"(?:(?:,| in)? {_TOWN}(?=,? (?:{_UK}|{_US}|{_STATE})(?!\w))(?:,? {_STATE}(?!\w))?)?"
    rf"(?:,? (?:{_UK}|{_US})(?!\w))?"
)
_AFTER_EU = rf"(?:,? (?:[A-Z]{{1,2}}-)?\d{{4,5}}(?: [A-Z]{{2}})?(?: {_CAP}(?: {_CAP})?)?)?"
STREETS = (
    re.compile(  # 12 Elm Street, Flat 3, Leeds LS1 4AB
        rf"(?<![\w$€£.,:/-])(?:{_FLAT},? )?(?:[Nn](?:o\.?|umber) )?{_NUMBER}(?:[NSEW]\.? |(?:North|South|East"
        rf"|West) )?(?:{_CAP} "
        rf"|\d{{1,3}}(?:st|nd|rd|th) ){{1,3}}"
        rf"(?:{'|'.join(w.capitalize() for w in _TYPE.split('|'))})\b\.?{_AFTER}"  # no "1892, Patty Smith Hill"
    ),
    re.compile(  # 221b baker street
        rf"(?<![\w$€£.,:/-])(?:\d{{1,5}}[a-z]?,? "
        rf"|{_SAID})(?P<words>(?:[a-z'\u2019]{{2,}} ){{1,3}})(?:{_SURE_TYPE})\b(?:,? {_FLAT})?"
        rf"(?:(?:,| in)?(?: [a-z]+,?)? (?:{_UK}|[A-Z]{{2}},? \d{{5}})(?!\w))?",
        re.I,
    ),
    re.compile(
        rf"(?<!\w)[A-ZÄÖÜ][\w.äöüß-]*(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse|ring|damm"
        rf"|ufer) \d{{1,4}} ?[a-z]?\b{_AFTER_EU}"
    ),
    re.compile(rf"(?<!\w){_CAP}[ -](?:Stra(?:ß|ss)e|Str\.|Weg|Platz|Allee|Ring) \d{{1,4}} ?[a-z]?\b{_AFTER_EU}"),
    re.compile(
        rf"(?<!\w)\d{{1,4}}(?: ?(?:bis|ter))?,? (?:rue|avenue|av\.|boulevard|bd|place|chemin|impasse|allée|quai"
        rf"|cours|route)"
        rf"(?: (?:de la|des|du|de|la|les|le|d'|l'|[dl]['\u2019]?{_CAP}|{_CAP})(?!\w))+{_AFTER_EU}"
    ),
    re.compile(
        rf"(?<!\w)(?:Calle|C/|Avenida|Avda\.?|Plaza|Paseo|Via|Viale|Piazza|Corso|Largo)(?: (?:de|del|di|della"
        rf"|la|el|los|las|dei|{_CAP}))+"
        rf",? (?:n[ºo°]\.? ?)?\d{{1,4}}\b{_AFTER_EU}"
    ),
    re.compile(
        rf"(?<!\w){_CAP}(?:straat|laan|plein|gracht|kade|dijk|singel|gatan|vägen|gade|vej|veien|gata"
        rf"|katu) \d{{1,4}} ?[a-z]?\b{_AFTER_EU}"
    ),
    re.compile(
        rf"(?<![\w$€£.,:/-])\d{{1,4}}[A-Z]?(?:/\d+)?,? (?:{_CAP} ){{1,2}}(?:Nagar|Marg|Colony|Layout|Chowk|Bagh"
        rf"|Vihar|Enclave)\b"
        rf"(?:, {_CAP})*(?:[ -]+\d{{3}} ?\d{{3}}\b)?"
    ),
    re.compile(rf"(?<!\w)(?:P\.? ?O\.? ?Box|Postfach|Apartado) \d{{2,6}}\b{_AFTER}", re.I),
)
POSTCODES = (
    re.compile(r"(?<![\w-])[A-Z]{1,2}\d[A-Z\d]? \d[ABD-HJLNP-UW-Z]{2}(?![\w-])"),
    re.compile(r"(?<![\w-])(?:[A-Z][\w]+,? )?(?P<state>[A-Z]{2}),? \d{5}(?:-\d{4})?(?![\w-])"),
    re.compile(
        r"(?:zip(?: ?code)?|post ?code|postal code)(?: is|:|'s|\?)?(?:\n[^\n:]{1,30}:)? (?P<code>\d{4,6}"
        r"|[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2})(?!\w)",
        re.I,
    ),
)


def addresses(raw: str) -> Iterator[Span]:
    """Yield the postal addresses of a text; the name of a street or town without a number is none."""
    for pattern in STREETS:
        for match in pattern.finditer(raw):
            words = match.groupdict().get("words")
            if not (words and NOT_STREETS & set(words.lower().split())):
                end = match.start() + len(match[0].rstrip(" .,-"))
                yield Span(match.start(), end, "address", _key(match[0]))
    for pattern in POSTCODES:
        for match in pattern.finditer(raw):
            state = match.groupdict().get("state")
            if state is None or state in STATES:
                group = "code" if "code" in pattern.groupindex else 0
                yield Span(*match.span(group), "address", _key(match[group]))


def _key(text: str) -> str:
    """Return the house number and the street's first word, which shorter ways to write an address keep."""
    words = re.findall(r"\w+", text.lower())
    return " ".join(words[:2]) if len(words) > 1 else words[0]
