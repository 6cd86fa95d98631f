"""Whether a training fits a device, by the range of its forecast."""

from __future__ import annotations

from typing import Literal

from peftsum.cost.forecast import Amount

Verdict = Literal["fits", "too close to call", "does not fit", "unknown"]


def judge(peak: Amount, memory_bytes: int | None) -> Verdict:
    """Return "fits" where even the high end of the peak does, "does not fit" where not even the low end does.

    Args:
        peak: bytes.
        memory_bytes: what the training can have; None where that is not known.
    """
    if memory_bytes is None:
        return "unknown"
    if peak.high <= memory_bytes:
        return "fits"
    return "does not fit" if peak.low > memory_bytes else "too close to call"
