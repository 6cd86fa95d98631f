"""Identity numbers: by country, with the check digit and, where digits alone could be anything, a word that says so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from peftsum.redaction.cues import IDENTITIES, cue_of
from peftsum.redaction.kinds import library
from peftsum.redaction.view import Span, View

_OPEN = r"(?:[A-Z]{0,3}[ -]?|(?:[A-Z][ -]){0,3})\d"  # up to three letters, then a digit
_EDGE, _END = r"(?<![^\W_])(?<![$€£.,-])", r"(?![^\W_]|[.,-]\d)"


@dataclass(frozen=True)
class Identity:
    """One kind of number.

    Args:
        cue: the name of the words that say it, in ``cues.py``.
        shape: how it is written.
        module: of python-stdnum, which checks it; None where there is no check digit.
        free: the shape and the check digit say enough; without, a cue has to stand near.
    """

    cue: str
    shape: re.Pattern[str]
    module: str | None
    free: bool


def _one(cue: str, shape: str, module: str | None, *, free: bool = False) -> Identity:
    return Identity(cue, re.compile(_EDGE + shape + _END, re.I), module, free)


def _spaced(digits: int) -> str:
    return rf"\d(?:[ -]{{0,2}}\d){{{digits - 1}}}"


IDENTITY_NUMBERS = (
    _one("ssn", r"\d{3}-\d{2}-\d{4}", "us.ssn", free=True),
    _one("ssn", r"\d{3} \d{2} \d{4}", "us.ssn", free=True),
    _one("ssn", _spaced(9), "us.ssn"),
    _one("nhs", _spaced(10), "gb.nhs"),
    _one(
        "nino",
        r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][ -]?[A-CEGHJ-NPR-TW-Z](?:[ -]?\d){6}[ -]?[A-D]",
        None,
        free=True,
    ),
    _one("nino", r"[A-Z][ -]?[A-Z](?:[ -]?\d){6}[ -]?[A-D]", None),
    _one("idnr", _spaced(11), "de.idnr"),
    _one("nir", r"[12](?:[ -]{0,2}\d){5}[ -]?[\dAB](?:[ -]{0,2}\d){8}", "fr.nir", free=True),
    _one("dni", r"\d{2}[. ]?\d{3}[. ]?\d{3}[ -]?[A-Z]", "es.dni", free=True),
    _one("dni", r"[XYZ][ -]?\d{7}[ -]?[A-Z]", "es.nie", free=True),
    _one("bsn", r"\d(?:[ .-]{0,2}\d){8}", "nl.bsn"),
    _one("codicefiscale", r"[A-Z](?: ?[A-Z]){5} ?(?:[A-Z\d] ?){9}[A-Z]", "it.codicefiscale", free=True),
    _one("aadhaar", r"[2-9]\d{3}([ -])\d{4}\1\d{4}", "in_.aadhaar", free=True),
    _one("aadhaar", _spaced(12), "in_.aadhaar"),
    _one("pan", r"[A-Z]{5} ?\d{4} ?[A-Z]", "in_.pan", free=True),
    _one("ric", r"\d{6}[ -]?(?:19|20)\d{2}[ -]?\d{4}[ -]?\d{3}[\dX]", "cn.ric", free=True),
    _one("ric", r"\d(?:[ -]{0,2}\d){16}[ -]{0,2}[\dX]", "cn.ric", free=True),
    _one("pesel", _spaced(11), "pl.pesel"),
    _one("sin", _spaced(9), "ca.sin"),
    _one("tfn", r"\d(?:[ -]{0,2}\d){7,8}", "au.tfn"),
    _one("cpf", r"\d{3}\.\d{3}\.\d{3}-\d{2}", "br.cpf", free=True),
    _one("cpf", _spaced(11), "br.cpf"),
    _one("nif", _spaced(9), "pt.nif"),
    _one("personnummer", r"(?:\d{2})?\d{6}[-+]\d{4}", "se.personnummer", free=True),
    _one("personnummer", r"\d{6}[-+A]\d{3}[0-9A-Y]", "fi.hetu", free=True),
    _one("personnummer", r"\d{6} ?\d{5}", "no.fodselsnummer"),
    _one("personnummer", r"\d{6}[ -]?\d{4}", "dk.cpr"),
    _one("nn", r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", "be.nn", free=True),
    _one("pps", r"\d{7}[A-W][A-IW]?", "ie.pps", free=True),
    _one("ahv", r"756[. ]?\d{4}[. ]?\d{4}[. ]?\d{2}", "ch.ssn", free=True),
    _one("svnr", r"\d{2} ?\d{6} ?[A-Z] ?\d{3}", None),
    _one("passport", _OPEN + r"(?:[ -]?[A-Z\d]){4,9}", None),
    _one("licence", _OPEN + r"(?:[ -]?[A-Z\d]){4,17}", None),
    _one("id", _OPEN + r"(?:[ -]?[A-Z\d]){4,17}", None),
)


LEAST = 4  # digits of any of them


def identities(view: View) -> Iterator[Span]:
    """Yield identity numbers.

    One with a cue counts even where its check digit fails: speech recognition mishears digits, and what is said to be
    a social security number is to go.
    """
    for identity in IDENTITY_NUMBERS:
        for match in identity.shape.finditer(view.text):
            start, end = match.span()
            end = _without_words(view.text, start, end)
            if end > start and _counts(identity, view.text, start, end):
                yield view.span(start, end, "identity", re.sub(r"\W", "", view.text[start:end]).upper())


def _counts(identity: Identity, text: str, start: int, end: int) -> bool:
    value = text[start:end]
    if sum(letter.isdigit() for letter in value) < LEAST:
        return False
    valid = identity.module is not None and _is_valid(identity.module, value.upper())
    if identity.free and value.upper() == value and (valid or identity.module is None):  # "in the 1930s" is no PAN
        return True
    cue = cue_of(text, start, end)
    if cue is None or cue not in IDENTITIES:
        return False
    return cue == identity.cue or (valid and cue == "id")


def _is_valid(module: str, value: str) -> bool:
    try:
        return bool(library(f"stdnum.{module}").is_valid(value))
    except KeyError:  # cn.ric, where it knows the province and not the county: nobody has such a number
        return False


def _without_words(text: str, start: int, end: int) -> int:
    """Return the end without trailing words ("AB123456 and you"), which an open shape takes in."""
    while match := re.search(r"[ -]+[A-Za-z]{2,}$|[ -]+[a-z]$", text[start:end]):
        if text[start:end].isupper() and len(match[0].strip(" -")) == 1:
            break
        end = start + match.start()
    return end
