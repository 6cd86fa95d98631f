"""After how many summaries a recipe that is dearer to train has paid by cheaper summaries, or that it never does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from peftsum.cost.ranges import Share, scenarios
from peftsum.section import Record

Span = tuple[float, float]
"""Fastest and slowest, as shares of a mean."""


class BreakEven(Record):
    """Where the totals of two systems, training and n summaries, are equal."""

    dearer: str
    """The system whose training takes more."""
    cheaper: str
    outcome: Literal["after", "never", "unclear", "unknown"]
    """``after`` a number of summaries; ``never``, since its summaries are dearer too; ``unclear``, since within the
    ranges it is either; ``unknown`` where a cost is not known."""
    summaries: float | None = None
    """By the values themselves; None where they never meet."""
    low: float | None = None
    """Fewest summaries within the ranges; None where they never meet."""
    high: float | None = None
    """Most summaries within the ranges; None where it may be never."""
    reason: str = ""
    """What is not known, or what the ranges hold."""


def break_even(
    first: str,
    second: str,
    training: tuple[Sequence[Share] | None, Sequence[Share] | None],
    summary: tuple[Sequence[Share] | None, Sequence[Share] | None],
    noise: tuple[Span, Span] = ((1.0, 1.0), (1.0, 1.0)),
) -> BreakEven:
    """Return after how many summaries the system dearer to train has paid, n = (T1 - T2) / (c2 - c1).

    Ranges: an estimate's factor is tried at its low end, value and high end, at the same level in training and
    summaries of both systems where it is the same factor (:mod:`peftsum.cost.ranges`); the costs of a summary besides
    at the fastest and slowest pass, each system by itself.

    Args:
        first: name of a system.
        second: of the other.
        training: what training took, of each, by uncertain part.
        summary: what one summary takes, of each.
        noise: the spread of the passes over the sample, of each.
    """
    figures = [*training, *summary]
    if any(figure is None for figure in figures):
        lost = [name for name, *both in zip((first, second), training, summary, strict=True) if None in both]
        return BreakEven(
            dearer=first, cheaper=second, outcome="unknown", reason=f"not all costs are known of {' and '.join(lost)}"
        )
    known = [figure for figure in figures if figure is not None]
    middle = [sum(share.value for share in figure) for figure in known]
    if middle[0] < middle[1]:
        swapped = (training[1], training[0]), (summary[1], summary[0]), (noise[1], noise[0])
        return break_even(second, first, *swapped)
    found = [
        _meeting(dear, cheap, dear_each * dear_noise, cheap_each * cheap_noise)
        for dear, cheap, dear_each, cheap_each in scenarios(known)
        for dear_noise in noise[0]
        for cheap_noise in noise[1]
    ]
    return _concluded(first, second, _meeting(*middle), found)


def _meeting(dear: float, cheap: float, dear_each: float, cheap_each: float) -> float:
    """Return the summaries after which the totals are equal; infinity is never, 0 is from the first on."""
    ahead, gained = dear - cheap, cheap_each - dear_each
    if gained <= 0:
        return 0.0 if ahead < 0 else math.inf
    return max(0.0, ahead / gained)


def _concluded(dearer: str, cheaper: str, middle: float, found: Sequence[float]) -> BreakEven:
    finite = [n for n in found if math.isfinite(n)]
    common = {"dearer": dearer, "cheaper": cheaper}
    if not finite:
        return BreakEven(**common, outcome="never", reason="its summaries are not cheaper, anywhere in the ranges")
    value = middle if math.isfinite(middle) else None
    if len(finite) < len(found):
        reason = "whose summaries are cheaper is within the noise of the passes or the ranges of the estimates"
        return BreakEven(**common, outcome="unclear", summaries=value, low=min(finite), reason=reason)
    return BreakEven(**common, outcome="after", summaries=value, low=min(finite), high=max(finite))
