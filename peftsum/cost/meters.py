"""Meters around a phase: ``with measure(recipe.cost, "cpu") as measurement: ...``, then ``measurement.readings``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from peftsum.cost import METERS
from peftsum.cost.combine import combine
from peftsum.cost.meter import Device, Meter, describe
from peftsum.cost.parts import count_parts
from peftsum.cost.readings import Reading, Readings, unmeasured
from peftsum.cost.section import Cost
from peftsum.exceptions import UsageError

if TYPE_CHECKING:
    import torch

__all__ = ["Measurement", "combine", "measure"]

log = logging.getLogger(__name__)


class Measurement:
    """The meters of one phase; made by :func:`measure`.

    Args:
        cost: the recipe's wishes.
        device: where the phase runs, "cpu" or "cuda[:i]".
        meters: name of a reading to the meter that gives it; names that are no field of Readings stand in ``further``.
    """

    def __init__(self, cost: Cost, device: str, meters: Mapping[str, type[Meter]]) -> None:
        self._device = Device.parse(device)
        self._meters = {name: kind(cost, self._device) for name, kind in meters.items()}
        self._failures: dict[str, str] = {}
        self._unsynchronised: str | None = None
        self._readings: Readings | None = None
        self._memory_parts: dict[str, int] = {}

    @property
    def readings(self) -> Readings:
        """What the phase cost.

        Raises:
            UsageError: the phase has not ended.
        """
        if self._readings is None:
            raise UsageError("the costs of a phase were read before it ended", hint="read them after the with block")
        return self._readings

    def start(self) -> None:
        """Start every meter, the clock last so that it does not time the others."""
        for name, meter in self._meters.items():
            self._try(name, meter.prepare)
        self._synchronise()
        for name, meter in reversed(self._meters.items()):
            self._try(name, meter.start)

    def count_parts(self, model: torch.nn.Module, optimizer: Any = None) -> None:
        """Note the bytes of the model's and the optimizer's parts, once a phase: while there are gradients.

        Args:
            model: what is trained or asked.
            optimizer: of torch, after its first step; None where nothing is trained.
        """
        if not self._memory_parts:
            try:
                self._memory_parts = count_parts(model, optimizer)
            except Exception:  # a meter must never cost the user the run it stands around
                log.debug("the parts of the memory were not counted", exc_info=True)
                self._memory_parts = {}

    def stop(self) -> None:
        """Stop every meter, the clock first, and put the readings together."""
        self._synchronise()
        for name, meter in self._meters.items():
            self._try(name, meter.stop)
        found: dict[str, Any] = {name: self._reading(name) for name in self._meters}
        for name, meter in self._meters.items():
            if name not in self._failures:
                found |= self._details(meter)
        found["further"] = {name: found.pop(name) for name in self._meters if name not in Readings.model_fields}
        self._readings = Readings.model_validate(found | {"memory_parts": self._memory_parts})

    def _details(self, meter: Meter) -> dict[str, Any]:
        try:
            return meter.details()
        except Exception:
            log.debug("a meter's details failed", exc_info=True)
            return {}

    def _synchronise(self) -> None:
        try:
            self._device.synchronise()
        except Exception as error:  # after a CUDA error in the phase; that error is the one to show
            self._unsynchronised = f"{self._device} was not synchronised: {describe(error)}"

    def _try(self, name: str, step: Callable[[], None]) -> None:
        if name in self._failures:
            return
        try:
            step()
        except Exception as error:  # a meter must never cost the user the run it stands around
            log.debug("the meter of %s failed", name, exc_info=True)
            self._failures[name] = describe(error)

    def _reading(self, name: str) -> Reading:
        meter = self._meters[name]
        if name not in self._failures:
            try:
                reading = meter.reading()
                if self._unsynchronised and not reading.reason:
                    return reading.model_copy(update={"reason": self._unsynchronised})
                return reading
            except Exception as error:
                self._failures[name] = describe(error)
        return unmeasured(meter.unit, str(self._device), self._failures[name])


@contextmanager
def measure(cost: Cost, device: str, meters: Mapping[str, type[Meter]] = METERS) -> Iterator[Measurement]:
    """Measure the block: wall seconds, peak bytes and joules, also when it ends by an exception.

    A meter that fails gives a reading without value and with the reason; it raises nothing into the block.

    Args:
        cost: the recipe's wishes.
        device: where the block runs, "cpu" or "cuda[:i]"; CUDA is synchronised before clocks and counters are read.
        meters: name of a reading to the meter that gives it; names that are no field of Readings stand in ``further``.
    """
    measurement = Measurement(cost, device, meters)
    try:
        measurement.start()
        yield measurement
    finally:
        measurement.stop()
