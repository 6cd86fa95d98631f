r"""Summaries made wrong on purpose: speakers exchanged, a number changed, a clause denied, a fact dropped.

    corrupt("Ann lends Ben 5 pounds.", "Ann: I'll lend you £5.\nBen: Thanks!", "speakers", random.Random(13))
    # 'Ben lends Ann 5 pounds.'

What is made stays a fluent text, so that only what it says tells it from a good one. The rules know English.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from peftsum.metrics.errors.exchange import exchanged
from peftsum.metrics.errors.readings import DialogueReading
from peftsum.redaction.words import ROLES, TITLES

NUMBER = re.compile(r"(?<![\w#])\d+(?:[.:,]\d+)*(?![\d#])")
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April June July August September October November December".split()
COUNTS = "two three four five six seven eight nine ten eleven twelve fifteen twenty thirty forty fifty".split()
CLOSED = [re.compile(rf"\b(?:{'|'.join(words)})\b") for words in (DAYS, MONTHS, COUNTS)]
WORDS = dict(zip(CLOSED, (DAYS, MONTHS, COUNTS), strict=True))

AUXILIARY = "(is|are|was|were|will|would|can|could|should|has|have|may|might|must)"
DENIED = re.compile(rf"\b(?:{AUXILIARY}(?:n't| not)|(won't)|cannot|can't) ")
DENIED_VERB = re.compile(r"\b(do|does|did)(?:n't| not)\b")
AFFIRMED = re.compile(rf"\b{AUXILIARY} (?!(?:not|to)\b)")
VERB = re.compile(r"(?<=[\w#] )([a-z]{2,}s)(?= )")
NOUNS_AND_OTHERS = frozenset(
    "as is was his hers its this us yes less plus always perhaps besides sometimes across towards thanks ours theirs "
    "days weeks months years hours minutes euros pounds dollars miles pieces tickets people cents times things".split()
)
SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\b[DMS]r\.)(?<!\bM[sx]\.)(?<!\bMrs\.)\s+")
CLAUSE = re.compile(r"(?:[,;:]| and| but| because| since| so that) ")
LEAST_WORDS = 3  # of a clause that is dropped, and of what must be left


def corrupt(summary: str, dialogue: str | DialogueReading, kind: str, rng: random.Random) -> str | None:
    """Return a summary with one error of a kind, or None where there is no place for it.

    Args:
        summary: a good one.
        dialogue: its text, or the reading of it.
        kind: of the error.
        rng: draws the place and what stands there.
    """
    reading = DialogueReading(dialogue) if isinstance(dialogue, str) else dialogue
    made: str | None = CORRUPTIONS[kind](summary, reading, rng)
    return made if made is not None and made != summary else None


def corruptions(summary: str, dialogue: str, kinds: Sequence[str], seed: int, identity: str) -> dict[str, str]:
    """Return a summary made wrong, once for each kind that has a place in it; the same for the same seed and id."""
    reading = DialogueReading(dialogue)
    made = {kind: corrupt(summary, reading, kind, random.Random(f"{seed}-{identity}-{kind}")) for kind in kinds}
    return {kind: text for kind, text in made.items() if text is not None}


def _exchange_speakers(summary: str, dialogue: DialogueReading, rng: random.Random) -> str | None:
    """Put two speakers in each other's places, of which the summary names one at least."""
    pairs = [pair for pair, _ in exchanged(summary, dialogue)]
    if not pairs:
        return None
    one, other = rng.choice(pairs)
    roles = {name for name in (one, other) if _is_role(name, summary)}
    instead_of: dict[str, str] = {}  # as the summary may have it, lower-cased: what is put there
    for name, into in ((one, other), (other, one)):
        for wording in (name, _first(name)):
            text = f"the {into.lower()}" if into in roles else into if " " in wording else _first(into)
            instead_of |= {wording.lower(): text, f"the {wording.lower()}": text}  # the article goes with its role
    longest_first = sorted(map(re.escape, instead_of), key=len, reverse=True)
    pattern = re.compile(rf"(?<![\w#])(?:{'|'.join(longest_first)})(?![\w#])", re.IGNORECASE)

    def put(match: re.Match[str]) -> str:
        text = instead_of[match[0].lower()]
        starts = match.start() == 0 or summary[: match.start()].rstrip()[-1:] in {".", "!", "?"}
        return text[0].upper() + text[1:] if starts else text

    return pattern.sub(put, summary)


def _first(name: str) -> str:
    """Return the word that a short form of a name has; "Mr. Lopez" has none."""
    first = name.split()[0]
    return name if first.lower().strip(".") in TITLES else first


def _is_role(name: str, summary: str) -> bool:
    return not ROLES.isdisjoint(name.lower().split()) or f"the {name.lower()}" in summary.lower()


def _change_number(summary: str, dialogue: DialogueReading, rng: random.Random) -> str | None:
    """Put another number of the dialogue in a number's place, or day, or month, where it has one of the same form."""
    places = [(match, NUMBER) for match in NUMBER.finditer(summary)]
    places += [(match, pattern) for pattern in CLOSED for match in pattern.finditer(summary)]
    if not places:
        return None
    match, pattern = rng.choice(places)
    said = "\n".join(turn.turn.text for turn in dialogue.turns)
    others = sorted({found for found in pattern.findall(said) if _form(found) == _form(match[0])} - {match[0]})
    if not others:  # the dialogue says no other
        others = [word for word in WORDS.get(pattern, ()) if word != match[0]] or [_other_digit(match[0], rng)]
    return _with(summary, match, rng.choice(others))


def _form(number: str) -> str:
    """Return what two numbers have alike where one can stand for the other: hours for hours, prices for prices."""
    return re.sub(r"\d", "0", number) if number[0].isdigit() else ""


def _other_digit(number: str, rng: random.Random) -> str:
    """Return a number with its first digit another, and not 0."""
    return str((int(number[0]) - 1 + rng.randint(1, 8)) % 9 + 1) + number[1:]


def _turn_round(summary: str, dialogue: DialogueReading, rng: random.Random) -> str | None:
    """Deny a clause, or take a denial away."""
    made: list[str] = [
        *(_with(summary, m, f"{m[1] or ('will' if m[2] else 'can')} ") for m in DENIED.finditer(summary)),
        *(_with(summary, m, m[1]) for m in DENIED_VERB.finditer(summary)),  # "does help", which stays a sentence
    ]
    made = made or [_with(summary, m, f"{m[1]} not ") for m in AFFIRMED.finditer(summary)]
    if not made:
        verbs = (m for m in VERB.finditer(summary) if m[1] not in NOUNS_AND_OTHERS and not m[1].endswith("ss"))
        first = next(verbs, None)  # the verb of the main clause, as a rule; later ones may be nouns
        return first and _with(summary, first, f"doesn't {_plain_form(first[1])}")
    return rng.choice(made)


def _plain_form(verb: str) -> str:
    """Return "go" for "goes", "carry" for "carries", "buy" for "buys"."""
    if verb.endswith("ies"):
        return f"{verb[:-3]}y"
    return verb[:-2] if re.search(r"(?:[sxz]|sh|ch|o)es$", verb) else verb[:-1]


def _drop_fact(summary: str, dialogue: DialogueReading, rng: random.Random) -> str | None:
    """Leave out a sentence; of a single one its last clause."""
    parts = SENTENCE_END.split(summary.strip())
    if len(parts) > 1:
        del parts[rng.randrange(len(parts))]
        return " ".join(parts)
    cuts = [
        match.start()
        for match in CLAUSE.finditer(summary)
        if min(len(summary[: match.start()].split()), len(summary[match.end() :].split())) >= LEAST_WORDS
    ]
    return f"{summary[: cuts[-1]]}." if cuts else None


def _with(text: str, match: re.Match[str], replacement: str) -> str:
    return text[: match.start()] + replacement + text[match.end() :]


CORRUPTIONS: dict[str, Callable[[str, DialogueReading, random.Random], str | None]] = {
    "speakers": _exchange_speakers,
    "numbers": _change_number,
    "negation": _turn_round,
    "dropped": _drop_fact,
}
KINDS = tuple(CORRUPTIONS)
