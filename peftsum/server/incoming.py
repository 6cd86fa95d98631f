"""The one place that a dialogue's text comes in by, before anything else sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from peftsum.redaction import Kind, Redactor, redact_pair


@dataclass(frozen=True)
class Incoming:
    """A dialogue as the model, the detectors and the answer may read it."""

    identity: str
    """Which the answer has, as it came."""
    text: str
    redactor: Redactor | None
    """Holds the values that are no longer in the text; gone with the request."""


def take_in(identity: str, dialogue: str, redact: Sequence[Kind]) -> Incoming:
    """Return a dialogue without its personal values.

    Args:
        identity: of the dialogue.
        dialogue: as it came.
        redact: kinds of personal values that placeholders are to stand for.
    """
    if not redact:
        return Incoming(identity, dialogue, None)
    text, _, redactor = redact_pair(dialogue, (), redact)
    return Incoming(identity, text, redactor)
