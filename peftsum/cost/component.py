"""A component of the machine that takes energy, and the tools its meters share: a trace of power, an idle baseline."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from peftsum.cost.readings import Reading

WHOLE = "all processes"  # in the scope of what counts for the whole machine, whoever uses it
SHORT_WINDOW_S = 2.0  # NVML's counter moves every 0.1 s: below this a step at either end is more than 5 % of the window


@dataclass(frozen=True)
class Watts:
    """A power with its range, in watts (of a card, a core, or a GiB)."""

    value: float
    low: float
    high: float

    def per(self, what: str) -> str:
        """Return the power as text, for example ``8 W a busy core (range 3.5 to 15)``."""
        return f"{self.value:g} W a {what} (range {self.low:g} to {self.high:g})"


@dataclass(frozen=True)
class Part:
    """What one component took in a phase."""

    energy: Reading
    """Joules."""
    idle: Reading
    """The joules of it that the component would have taken doing nothing."""


class Component(ABC):
    """Reads the energy of one component, or of a few that are read together.

    :meth:`start` and :meth:`stop` do not raise for what cannot be read: that is a part without value and with a reason.
    """

    @abstractmethod
    def prepare(self) -> None:
        """Open what is read and look at the power at rest, before the phase puts anything on the component."""

    @abstractmethod
    def start(self) -> None:
        """Begin the window."""

    @abstractmethod
    def stop(self) -> None:
        """End the window and close what was opened."""

    @abstractmethod
    def parts(self) -> list[Part]:
        """Return what was read; called once, after :meth:`stop`."""


class Trace:
    """A figure sampled over time, summed up as it comes: a run of days takes no more memory than one of seconds."""

    def __init__(self) -> None:
        self.integral = 0.0
        """Trapezoid sum, in the figure's unit times seconds."""
        self.span_s = 0.0
        """Between the first sample and the last."""
        self.low: float | None = None
        self.high: float | None = None
        self._last: tuple[float, float] | None = None

    def add(self, at_s: float, value: float) -> None:
        """Take in a sample.

        Args:
            at_s: when it was taken.
            value: what it was.
        """
        if self._last is not None:
            last_s, last = self._last
            self.integral += (at_s - last_s) * (value + last) / 2
            self.span_s += at_s - last_s
        self._last = (at_s, value)
        self.low = value if self.low is None else min(self.low, value)
        self.high = value if self.high is None else max(self.high, value)


_BASELINES: dict[str, float | None] = {}


def baseline_w(component: str, read: Callable[[], float | None]) -> float | None:
    """Return the watts that a component took before this process's first phase; later phases get the same figure.

    After the first phase the component holds a model, keeps clocks up, and would not be at rest.

    Args:
        component: what tells it from others, such as ``NVML 0``.
        read: reads the watts; None, or an error, where they cannot be had.
    """
    if component not in _BASELINES:
        try:
            _BASELINES[component] = read()
        except Exception:  # the idle share is then an estimate, which says so
            _BASELINES[component] = None
    return _BASELINES[component]


def share(energy: Reading, portion: Watts, source: str) -> Reading:
    """Return the idle part of an energy reading as a fraction of it.

    Args:
        energy: a reading with a value.
        portion: the fraction, from 0 to 1, with its range.
        source: where the fraction comes from.
    """
    value = energy.value or 0.0
    return energy.model_copy(
        update={
            "value": value * portion.value,
            "low": (value if energy.low is None else energy.low) * portion.low,
            "high": (value if energy.high is None else energy.high) * portion.high,
            "source": source,
            "estimated": True,
            "reason": None,
        }
    )


def at_rest(energy: Reading, watts: float, window_s: float, source: str) -> Reading:
    """Return the idle part of an energy reading from the power at rest; never more than the whole.

    Args:
        energy: a reading with a value.
        watts: the power at rest.
        window_s: length of the phase.
        source: how the power was read.
    """
    value = min(watts * window_s, energy.value or 0.0)
    return Reading(value=value, unit="J", scope=energy.scope, source=source, estimated=energy.estimated)
