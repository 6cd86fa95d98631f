"""What the error detectors point at in a summary that has no reference, and how far each flag can be trusted.

Left out are detectors that need a reference, and those that people's labels did not show to be better than chance
without one (``docs/errors.md``). Rules, which nobody has checked, are kept and marked so.
"""

from __future__ import annotations

import functools

from peftsum.metrics.errors import FITTED, RULES, find_errors, fitted
from peftsum.metrics.errors.detectors import NEED_REFERENCES
from peftsum.metrics.errors.readings import DialogueReading
from peftsum.section import Record
from peftsum.support import SupportingTurn, supporting_turn

CHANCE = 0.5  # balanced accuracy of a coin


class Flag(Record):
    """One kind of error that a detector suspects."""

    error: str
    checked: bool
    """Whether it was held against people's labels; False for a rule."""
    precision: list[float] | None
    """Share of such flags that people agreed with, on each labelled set, the lowest first; None where unchecked."""
    probability: float | None
    """Weight of the evidence, 0.5 to 1; None for a rule."""
    words: list[str]
    """Of the summary, lower-cased."""
    turns: list[SupportingTurn]
    """Of the dialogue that it speaks of."""


@functools.cache
def trusted_detectors() -> dict[str, list[float]]:
    """Return the fitted detectors that beat chance without a reference on every set they were checked on.

    That is: the lower end of the 95 % interval of their balanced accuracy is above 0.5. Each with its precisions.
    """
    found = {}
    for name in FITTED:
        checks = fitted().detectors[name].checked_without_references.values()
        if checks and all(check.balanced_accuracy.low > CHANCE for check in checks):
            found[name] = sorted(check.precision.value for check in checks)
    return found


def flags(summary: str, dialogue: str | DialogueReading) -> list[Flag]:
    """Return what detectors that can be trusted without a reference suspect, and what rules find.

    A suspicion that points at nothing, such as a wrong pronoun where there is none, is left out.
    """
    reading = DialogueReading(dialogue) if isinstance(dialogue, str) else dialogue
    trusted = trusted_detectors()
    kept = {*trusted, *(rule for rule in RULES if rule not in NEED_REFERENCES)}
    return [
        Flag(
            error=finding.error,
            checked=finding.error in trusted,
            precision=trusted.get(finding.error),
            probability=finding.probability,
            words=finding.words,
            turns=[supporting_turn(reading.turns[i].turn) for i in finding.turns],
        )
        for finding in find_errors(summary, reading)
        if finding.flagged and finding.error in kept and (finding.words or finding.turns or not summary.strip())
    ]
