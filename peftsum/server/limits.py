"""What a request may ask for, and how much the server takes on at once."""

from __future__ import annotations

from dataclasses import dataclass

from peftsum.redaction import Kind

MOST_DIALOGUE_CHARACTERS = 200_000
MOST_DIALOGUES = 64
MOST_ADAPTERS = 8
MOST_SUMMARIES = 64
"""Dialogues times adapters of one request."""
MOST_NEW_TOKENS = 256
MOST_BEAMS = 8
LONGEST_ID = 200
LONGEST_NAME = 128


@dataclass(frozen=True)
class Limits:
    """What the operator may set."""

    queue: int = 64
    """Summaries that may wait; more are refused with 429."""
    batch: int = 32
    """Rows in progress at once, beams counted."""
    timeout_s: float = 60.0
    """From a request's arrival to its answer; then 504."""
    body_bytes: int = 4 << 20
    """Of a request; larger ones are refused with 413."""
    upload_s: float = 20.0
    """For a request's body to arrive; then 408."""
    redact: tuple[Kind, ...] = ()
    """Kinds of personal values that are redacted in every dialogue, whatever its request says."""
