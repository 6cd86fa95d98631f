"""What was fitted on labelled summaries, and how well it did on dialogues it had not seen; data, in ``fitted.json``.

``benchmarks/error_detectors.py --write`` makes the file; ``docs/errors.md`` tells what it holds.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Mapping
from importlib.resources import files

from peftsum.section import Record

FILE = "fitted.json"


class Logit(Record):
    """A logistic regression over named signals; classes were weighted to be even, so 0.5 is the threshold."""

    signals: list[str]
    centre: list[float]
    scale: list[float]
    weights: list[float]
    """Of the centred and scaled signals: how much each speaks for an error."""
    intercept: float

    def probability(self, signals: Mapping[str, float]) -> float:
        """Return the weight of the evidence for an error, 0 to 1; no share of summaries, the classes being evened."""
        columns = zip(self.signals, self.centre, self.scale, self.weights, strict=True)
        total = self.intercept + sum(w * (signals[name] - c) / s for name, c, s, w in columns)
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, total))))


class Share(Record):
    """A share with its 95 % interval over dialogues."""

    value: float
    low: float
    high: float


class Checked(Record):
    """How a detector did against people's labels, on dialogues that its weights were not fitted on."""

    labels: list[str]
    """The labels of that set that count as this error."""
    n: int
    """Summaries."""
    positives: int
    """Those that people found the error in."""
    precision: Share
    recall: Share
    f1: Share
    balanced_accuracy: Share


class Fit(Record):
    """One detector."""

    with_references: Logit
    without_references: Logit
    checked: dict[str, Checked]
    """By labelled set, with references."""
    checked_without_references: dict[str, Checked]


class Fitted(Record):
    """All of ``fitted.json``."""

    sources: dict[str, str]
    """What each part was fitted on."""
    clues: dict[str, float]
    """Weights of :data:`peftsum.metrics.errors.attribution.CLUES`."""
    detectors: dict[str, Fit]


@functools.cache
def detectors_identity() -> str:
    """Return eight letters that change whenever the shipped weights do."""
    return hashlib.sha256(_text().encode()).hexdigest()[:8]


def _text() -> str:
    return files("peftsum.metrics.errors").joinpath(FILE).read_text("utf-8")


@functools.cache
def fitted() -> Fitted:
    """Return the shipped weights."""
    return Fitted.model_validate_json(_text())
