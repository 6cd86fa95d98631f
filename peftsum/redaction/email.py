"""E-mail addresses, as written, as obfuscated, and as spoken."""

from __future__ import annotations

import re
from collections.abc import Iterator

from peftsum.redaction.view import Span
from peftsum.redaction.words import NOT_LOCAL

PLAIN = re.compile(r"(?<![\w.+-])[\w](?:[\w.+%'-]*[\w+])? ?@ ?(?:[\w-]+\.)+[^\W\d_]{2,}", re.I)
TOP = (
    "com|org|net|edu|gov|info|biz|io|co|ai|app|dev|me|uk|de|fr|es|it|nl|be|ch|at|in|cn|jp|au|ca|us|ie|se|no|dk"
    "|fi|pl|pt|br"
    "|mx|eu|za|nz|ru|hu|cz"
)
PROVIDERS = (
    "gmail|g mail|googlemail|yahoo|hotmail|outlook|icloud|aol|protonmail|proton|gmx|live|msn|web|mail|fastmail"
    "|zoho|yandex"
    "|comcast|verizon"
)
AT = r"(?:\s+at\s+|\s*[\[({<]\s*at\s*[\])}>]\s*|\s*@\s*|\s+at sign\s+)"
DOT = r"(?:\s+dot\s+|\s*[\[({<]\s*dot\s*[\])}>]\s*|\.|\s+\.\s+|\s+point\s+)"
# A text can be read in one way only and repeats are bounded, or a row of dashes would take time without end.
JOIN = rf"(?:{DOT}|\s+(?:underscore|under score|dash|hyphen|minus|plus)\s+)"  # _ and - are of a word
PART = r"(?:(?:[a-z0-9]\s+){2,30}[a-z0-9](?![\w])|[\w+-]{1,64})"  # "j o h n", or a word
DISTURBED = re.compile(
    rf"(?<![\w@])(?P<local>{PART}(?:{JOIN}{PART}){{0,8}}"
    r"(?:\s+(?:\d+|zero|one|two|three|four|five|six|seven|eight|nine)){0,8})"
    rf"(?P<at>{AT})(?P<domain>(?:(?:{PROVIDERS})|[\w-]+)(?:{DOT}[\w-]+){{0,2}}{DOT}(?:{TOP}))(?![\w-])",
    re.I,
)
SHORT = re.compile(
    rf"(?<![\w@])(?P<local>{PART}(?:{JOIN}{PART}){{0,8}})(?P<at>{AT})(?P<domain>(?:{PROVIDERS}))(?!\w|{DOT}\w)", re.I
)
CUE = re.compile(
    r"e-?mails?|\bmail\b|\bwrite (?:to|me)|\binbox|\bsend\b|\bdrop (?:me|us) a line|correo|courriel|adresse", re.I
)
BEGINS = re.compile(r"(?:\b(?:is|it'?s|to|at|address|e-?mail|mail)|:)[\s,]+(?=[\w'-])", re.I)
PROVIDER = re.compile(rf"(?:{PROVIDERS})\b", re.I)
MOST_WORDS = 5  # of a name before the @
BEFORE = 80
_SYMBOLS = (("underscore", "_"), ("under score", "_"), ("hyphen", "-"), ("minus", "-"), ("dash", "-"), ("plus", "+"))


JOINED = re.compile(r"[\d_.]|\s(?:dot|underscore|under score|dash|hyphen)\s|(?:\b\w\s){3}", re.I)  # no plain word


def emails(raw: str) -> Iterator[Span]:
    """Yield the e-mail addresses of a text."""
    for match in PLAIN.finditer(raw):
        yield Span(*match.span(), "email", _key(match[0]))
    for match in DISTURBED.finditer(raw):
        yield from _judged(raw, match)
    for match in SHORT.finditer(raw):
        if CUE.search(raw, max(0, match.start() - BEFORE), match.start()):
            yield from _judged(raw, match)


def _judged(raw: str, match: re.Match[str]) -> Iterator[Span]:
    """Yield the span of an address whose @ is a word, unless the words are plain speech ("saw it at amazon.com")."""
    start = match.start()
    local = match["local"]
    if match["at"].strip().lower() in {"at", "at sign"}:
        cued = CUE.search(raw, max(0, start - BEFORE), start) is not None
        if local.lower() in NOT_LOCAL or not (cued or PROVIDER.match(match["domain"]) or JOINED.search(local)):
            return
        start = _words_start(raw, max(0, start - BEFORE), start)
    yield Span(start, match.end(), "email", _key(raw[start : match.end()]))


def _words_start(raw: str, least: int, start: int) -> int:
    """Return where the name before the @ begins that was said in several words ("it is john smith at …")."""
    begins = [match.end() for match in BEGINS.finditer(raw, least, start)]
    if not begins or "\n" in raw[begins[-1] : start]:
        return start
    comma = max(raw.rfind(sign, begins[-1], start) for sign in ",;.!?")
    begins.append(comma + 1 if comma >= 0 else begins[-1])
    words = list(re.finditer(r"[\w'-]+", raw[begins[-1] : start]))
    while words and words[0][0].lower() in NOT_LOCAL:
        words = words[1:]
    return begins[-1] + words[0].start() if 0 < len(words) <= MOST_WORDS else start


def _key(text: str) -> str:
    """Return the address as it is written: spoken signs as signs, without spaces."""
    key = re.sub(AT, "@", f" {text} ", flags=re.I)
    key = re.sub(r"\s+(?:dot|point)\s+|\s*[\[({<]\s*dot\s*[\])}>]\s*", ".", key, flags=re.I)
    for word, sign in _SYMBOLS:
        key = re.sub(rf"\s+{word}\s+", sign, key, flags=re.I)
    return re.sub(r"\s+", "", key).lower()
