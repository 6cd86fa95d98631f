"""The small template language: `[one|other]` alternatives, `{slot}` values and tidying of the result."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

INNERMOST = re.compile(r"\[([^\[\]]*)\]")
SLOT = re.compile(r"\{(?P<mark>,|a:)?(?P<key>\w+)(?:\.(?P<form>\w+))?\}")
VOWEL_SOUND = re.compile(r"(?!uni|use|euro|one)[aeiou]|hour|honest", re.IGNORECASE)


def expand(template: str, rng: random.Random) -> str:
    """Replace every `[a|b|c]`, innermost first, by one of its alternatives."""
    while found := INNERMOST.search(template):
        choice = rng.choice(found.group(1).split("|"))
        template = template[: found.start()] + choice + template[found.end() :]
    return template


def with_article(noun: str) -> str:
    """Put "a" or "an" before a noun phrase."""
    return f"{'an' if VOWEL_SOUND.match(noun) else 'a'} {noun}"


def fill(template: str, look_up: Callable[[str, str, str], str]) -> str:
    """Fill each slot with `look_up(mark, key, form)`."""
    return SLOT.sub(lambda m: look_up(m["mark"] or "", m["key"], m["form"] or ""), template)


def tidy(text: str) -> str:
    """Single spaces, no space before punctuation, capital letters at sentence starts."""
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r" ([,.?!;:])", r"\1", text)
    text = re.sub(r"([,.?!])\1+(?!\.)", r"\1", text) if "..." not in text else text
    text = re.sub(r",([.?!])", r"\1", text)
    text = re.sub(r"\b([Aa]) (?=(\w+))", lambda m: f"{m[1]}{'n' if VOWEL_SOUND.match(m[2]) else ''} ", text)
    return re.sub(r"(^|[.?!] )([a-z])(?![\w.]*@)", lambda m: m[1] + m[2].upper(), text)


def listing(items: list[str]) -> str:
    """Join as in "a, b and c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
