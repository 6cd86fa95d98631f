"""Words near a number that say what it is: "my number is …", "order number …", "social security …"."""

from __future__ import annotations

import re

BEFORE = 90  # letters; a question in the turn before is within them
AFTER = 36

_CUES = {
    "ssn": r"social security(?: (?:number|no\.?))?|\bssn\b|\b(?:my|your|full|the) social\b",
    "nhs": r"\bnhs(?: (?:number|no\.?))?\b",
    "nino": r"national insurance(?: (?:number|no\.?))?|\bnino\b|\bni number\b",
    "idnr": r"steuer-?id\w*|\bidnr\b|steuerident\w*|german tax id\w*",
    "nir": r"\bnir\b|num[ée]ro de s[ée]curit[ée] sociale|s[ée]curit[ée] sociale|french social",
    "dni": r"\bdni\b|\bnie\b",
    "bsn": r"\bbsn\b|burgerservicenummer|citizen service(?: number)?|sofinummer",
    "codicefiscale": r"codice fiscale|fiscal code",
    "aadhaar": r"a+dh?a+r(?: (?:number|card|no\.?))*",
    "pan": r"\bpan (?:number|card|no\.?)",
    "ric": r"resident identity|\bric number|身份证",
    "pesel": r"\bpesel\b",
    "sin": r"social insurance(?: (?:number|no\.?))?|\bsin (?:number|is)\b",
    "tfn": r"tax file number|\btfn\b",
    "cpf": r"\bcpf\b",
    "nif": r"\bnif\b|contribuinte",
    "personnummer": r"personnummer|f[øo]dselsnummer|\bcpr\b|henkil[öo]tunnus|\bhetu\b",
    "nn": r"rijksregisternummer|num[ée]ro national|national register number",
    "pps": r"\bpps(?:n)?\b",
    "ahv": r"\bahv\b|\bavs\b",
    "svnr": r"sozialversicherungsnummer|\bsvnr\b",
    "passport": r"passport(?: (?:number|no\.?))?|reisepass\w*|passeport|pasaporte|passaporto",
    "licence": r"driv\w+['\u2019]?s? licen[cs]e(?: (?:number|no\.?))?|licen[cs]e number|f[üu]hrerschein\w*",
    "id": (
        r"(?:national|personal|citizen|identity|identification)(?: id)?(?: card)? (?:number|no\.?|code)"
        r"|\bid (?:card )?number"
        r"|\bid card|identity card|tax (?:id\w*|number|payer\w*)|\bnational id\b|ausweis\w*|insurance number"
    ),
    "card": (
        r"(?:credit|debit|bank|gift|visa|master) ?card(?:'s)?(?: (?:number|no\.?|details))?|\bcard (?:number"
        r"|no\.?|details)"
        r"|\bcard\b|\bvisa\b|mastercard|\bamex\b|american express|kreditkarte\w*|carte (?:bancaire|bleue|de cr[ée]dit)"
        r"|tarjeta|carta di credito|creditcard\w*"
    ),
    "iban": r"\biban\b|bank account|kontonummer|compte bancaire|cuenta bancaria",
    "other": (
        r"\b(?:order|meeting|conference|session|invoice|tracking|confirmation|booking|reservation|reference|ref"
        r"|ticket|flight|case|model"
        r"|serial|part"
        r"|product|item|isbn|policy|claim|version|parcel|package|shipment|transaction|receipt|catalog\w*|sku|bus|train"
        r"|account|membership|member|customer|student|employee|patient|batch|lot|barcode|job|request|article|file|bill"
        r"|room|gate|seat|code|pin|password|build|commit|population|budget)(?: ?(?:number|no\.?|id|#"
        r"|code))?s?\b|\bnumber of\b"
    ),
    "phone": (
        r"(?:(?:tele|mobile |cell |home |office |work )?phone|mobile|cell)(?: (?:number|no\.?))?\b|\btel\b"
        r"|\bcell(?:phone)?\b"
        r"|\bcall(?:ed|ing)?\b|\bdial\b|\bring\b|\btext(?:ed)?\b|\bfax\b|whats ?app|\breach(?:able|ed)?\b|\bcontact\b"
        r"|hotline|landline|\bsms\b"
        r"|telefon\w*|t[ée]l[ée]phone|tel[ée]fono|m[óo]vil|cellulare|telefoon\w*|mobiel\w*|handynummer"
    ),
    "number": r"\bnumbers?\b|\bn[úu]mero\b|\bnum[ée]ro\b|\bnummer\b",
}
CUE = re.compile(rf"(?<!\w)(?:{'|'.join(f'(?P<{name}>{pattern})' for name, pattern in _CUES.items())})", re.I)
IDENTITIES = frozenset(_CUES) - {"card", "iban", "other", "phone", "number"}


def cue_of(text: str, start: int, end: int) -> str | None:
    """Return what the words around a number say that it is, the nearest before it first, or None.

    A word behind it, in the same line, counts where none stands before it or only "number" does.
    """
    before = _last(text, max(0, start - BEFORE), start)
    if before is not None and before != "number":
        return before
    line = text.find("\n", end)
    after = CUE.search(text, end, min(end + AFTER, len(text) if line < 0 else line))
    if after is not None and re.match(r"[\s,]*(?:is|was|that'?s|it'?s|as|=|\()", text[end : after.end()]):
        return after.lastgroup
    return before


def _last(text: str, start: int, end: int) -> str | None:
    found = None
    while start > 0 and text[start - 1].isalnum():  # not from the middle of a word
        start -= 1
    for match in CUE.finditer(text, start, end):
        found = match.lastgroup
    return found
