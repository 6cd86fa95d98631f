"""Values replaced by placeholders, the same value by the same one within a dialogue, and put back on request."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from peftsum.redaction.finding import again, find
from peftsum.redaction.kinds import KIND_OF, PLACEHOLDER, Kind, mask, placeholder
from peftsum.redaction.names import People
from peftsum.redaction.view import Span

# As a model may write a placeholder: with a space inside, or without its brackets.
WRITTEN = re.compile(rf"\[\s*({'|'.join(KIND_OF)})\s*_\s*(\d+)\s*\]|\b({'|'.join(KIND_OF)})_(\d+)\b")


@dataclass(frozen=True)
class Redacted:
    """A text without its values."""

    text: str
    spans: tuple[Span, ...] = ()
    """Where the values stood in the text as it was."""


class Redactor:
    r"""What was replaced in one dialogue and in the texts that belong to it.

    It holds the values: it lives in memory, and nothing here writes it down.

    Args:
        kinds: what is replaced.
        reserved: other texts of the same dialogue; placeholders that stand in them already are not given out again.

    Example:
        >>> redactor = Redactor(("phone", "name"))
        >>> redactor.redact("Ann: Call Ben on 202-555-0143.\nBen: Yes, Ann, 2025550143.").text
        '[PERSON_1]: Call [PERSON_2] on [PHONE_1].\n[PERSON_2]: Yes, [PERSON_1], [PHONE_1].'
        >>> redactor.restore("[PERSON_2] is at [PHONE_1].")
        'Ben is at 202-555-0143.'
    """

    def __init__(self, kinds: Collection[Kind], reserved: Sequence[str] = ()) -> None:
        self.kinds = tuple(kinds)
        self._people = People()
        self._placeholders: dict[tuple[Kind, str], str] = {}
        self._values: dict[str, str] = {}
        self._reserved: dict[str, int] = {}
        for text in reserved:
            self._reserve(text)

    @property
    def values(self) -> Mapping[str, str]:
        """Placeholder to value, as it was first written."""
        return dict(self._values)

    @property
    def counts(self) -> Mapping[Kind, int]:
        """Number of values replaced, by kind, each once."""
        return Counter(kind for kind, _ in self._placeholders)

    def redact(self, text: str) -> Redacted:
        """Replace the values of a dialogue; whom it names is known from then on."""
        if not self.kinds:
            return Redacted(text)
        self._reserve(text)
        if "name" in self.kinds:
            self._people.learn(text)
        return self._replace(text)

    def redact_other(self, text: str) -> Redacted:
        """Replace the values of a text that belongs to the dialogue, such as a summary people wrote of it."""
        if not self.kinds:
            return Redacted(text)
        self._reserve(text)
        return self._replace(text)

    def _replace(self, text: str) -> Redacted:
        spans = self._spans(text)
        pieces, place = [], 0
        for span in spans:
            pieces += [text[place : span.start], self._placeholder(span, text[span.start : span.end])]
            place = span.end
        return Redacted("".join([*pieces, text[place:]]), tuple(spans))

    def _spans(self, text: str) -> list[Span]:
        """Return the values of a text, and where those of the dialogue stand again with no word that says so."""
        before: dict[tuple[Kind, str], str] = {
            key: self._values[name] for key, name in self._placeholders.items() if key[0] != "name"
        }
        spans = find(text, self.kinds, self._people, again(text, before, ()))
        here: dict[tuple[Kind, str], str] = {
            (span.kind, span.key): text[span.start : span.end] for span in spans if span.kind != "name"
        }
        return sorted([*spans, *again(text, here, spans)], key=lambda span: span.start)

    def _placeholder(self, span: Span, value: str) -> str:
        key = (span.kind, span.key)
        if key not in self._placeholders:
            number = self._reserved.get(span.kind, 0) + 1
            self._reserved[span.kind] = number
            self._placeholders[key] = placeholder(span.kind, number)
            self._values[self._placeholders[key]] = value
        return self._placeholders[key]

    def _reserve(self, text: str) -> None:
        """Leave out the numbers of placeholders that a text came with: they are not ours to restore."""
        for label, number in PLACEHOLDER.findall(text):
            if f"[{label}_{number}]" not in self._values:
                kind = KIND_OF[label]
                self._reserved[kind] = max(self._reserved.get(kind, 0), int(number))

    def restore(self, text: str) -> str:
        """Put the values back where placeholders stand, also where a model wrote one a little wrong."""
        return restore(text, self._values)

    def mask(self, text: str) -> tuple[str, list[tuple[Kind, bool, str]]]:
        """Hide the values of a summary that was written from the redacted dialogue.

        A value that the dialogue had gets its placeholder; any other, which the model made up, ``[PHONE]`` or so.

        Returns:
            The text, and for each value its kind, whether the dialogue had it, and what now stands for it.
        """
        text = WRITTEN.sub(self._mended, text)
        pieces, place, seen = [], 0, []
        for span in self._spans(text):
            name = self._placeholders.get((span.kind, span.key))
            shown = name or mask(span.kind)
            pieces += [text[place : span.start], shown]
            seen.append((span.kind, name is not None, shown))
            place = span.end
        return "".join([*pieces, text[place:]]), seen

    def _mended(self, match: re.Match[str]) -> str:
        name = _name_of(match)
        return name if name in self._values else match[0]


def restore(text: str, values: Mapping[str, str]) -> str:
    """Put values back for their placeholders.

    Args:
        text: with placeholders; one without a value stays as it is.
        values: placeholder to value, as :attr:`Redactor.values` gives it.
    """
    return WRITTEN.sub(lambda match: values.get(_name_of(match), match[0]), text)


def _name_of(match: re.Match[str]) -> str:
    return f"[{match[1] or match[3]}_{match[2] or match[4]}]"


def screen(text: str, kinds: Collection[Kind]) -> str:
    """Hide the values of a summary whose dialogue was redacted by somebody else: each is ``[PHONE]`` or so.

    Names are left: whom the dialogue names is not known here.
    """
    return Redactor(kinds).mask(text)[0] if kinds else text


def redact_pair(dialogue: str, others: Sequence[str], kinds: Collection[Kind]) -> tuple[str, tuple[str, ...], Redactor]:
    """Redact a dialogue and the texts that belong to it, alike.

    The one way in: every command reads dialogues through it.

    Returns:
        Dialogue, other texts in their order, and the redactor that can restore them.
    """
    redactor = Redactor(kinds, reserved=(dialogue, *others))
    text = redactor.redact(dialogue).text
    return text, tuple(redactor.redact_other(other).text for other in others), redactor
