"""Personal values in a summary, passed on from the dialogue or made up: flagged, and hidden where it was redacted."""

from __future__ import annotations

from collections.abc import Sequence

from peftsum.flags import Flag
from peftsum.metrics.errors.readings import DialogueReading
from peftsum.redaction import KINDS, PLACEHOLDER, Redactor, find
from peftsum.support import supporting_turn

SHOWS, INVENTS = "shows", "invents"
UNNAMED = tuple(kind for kind in KINDS if kind != "name")  # a summary without names would say little


def screened(summary: str, reading: DialogueReading, redactor: Redactor | None = None) -> tuple[str, list[Flag]]:
    """Return a summary as it may be shown, and a flag for each personal value in it that is no placeholder.

    ``shows_phone`` and the like: the dialogue has the value. ``invents_phone``: it has not; a model made it up, and who
    calls that number reaches a stranger. Both are rules, which nobody has checked on real summaries.

    Args:
        summary: as the model wrote it.
        reading: of the dialogue that the model read.
        redactor: that redacted the dialogue; it hides what it finds. None changes nothing, and looks for every kind but
            names.
    """
    if redactor is None:
        return summary, _flags_unredacted(summary, reading)
    text, seen = redactor.mask(summary)
    found = [_flag(f"{SHOWS if known else INVENTS}_{kind}", [shown], reading, shown) for kind, known, shown in seen]
    standing = {match[0] for turn in reading.turns for match in PLACEHOLDER.finditer(turn.turn.text)}
    written = dict.fromkeys(match[0] for match in PLACEHOLDER.finditer(text))
    stray = [name for name in written if name not in standing and name not in redactor.values]
    return text, [*found, *(_flag(f"{INVENTS}_placeholder", [name], reading, name) for name in stray)]


def _flags_unredacted(summary: str, reading: DialogueReading) -> list[Flag]:
    spans = find(summary, UNNAMED)
    if not spans:
        return []
    keys = [{(span.kind, span.key) for span in find(turn.turn.text, UNNAMED)} for turn in reading.turns]
    digits = [_digits(turn.turn.text) for turn in reading.turns]
    flags = []
    for span in spans:
        value = summary[span.start : span.end]
        known = any((span.kind, span.key) in found for found in keys)
        known = known or (bool(_digits(value)) and any(_digits(value) in text for text in digits))
        flags.append(_flag(f"{SHOWS if known else INVENTS}_{span.kind}", [value], reading, value))
    return flags


def _digits(text: str) -> str:
    return "".join(letter for letter in text if letter.isdigit())


def _flag(error: str, words: Sequence[str], reading: DialogueReading, needle: str) -> Flag:
    turns = [supporting_turn(turn.turn) for turn in reading.turns if needle.lower() in turn.turn.text.lower()]
    return Flag(error=error, checked=False, precision=None, probability=None, words=list(words), turns=turns)
