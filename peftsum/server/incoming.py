"""The one place that a dialogue's text comes in by, before anything else sees it."""

from __future__ import annotations


def take_in(dialogue: str) -> str:
    """Return a dialogue as the model, the detectors and the answer may read it."""
    return dialogue
