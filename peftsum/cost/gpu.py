"""Energy of one GPU: its counter checked against its polled power, the polled power, or TDP times utilisation."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter
from typing import Protocol

from peftsum.cost.component import SHORT_WINDOW_S, Component, Part, Trace, Watts, at_rest, baseline_w
from peftsum.cost.meter import Poller, describe
from peftsum.cost.readings import Reading, unmeasured

log = logging.getLogger(__name__)

COUNTER_STEP_S = 0.1  # the energy counter moves about every 100 ms (arXiv 2312.02741)
POWER_INTERVAL_S = 0.1  # faster polling reads the same value again, for the same reason
POWER_LAG_S = 1.0  # NVML's power is the mean of the last second, on Ampere (but GA100) and newer
SENSOR_ERROR = (
    0.05  # NVML's manual: power is "accurate to within +/- 5%", of Fermi and Kepler; it is silent on newer ones
)
DISAGREEMENT = 0.1  # between counter and polled power; beyond it a reader is warned
# Power lies between rest and the limit. At rest a card takes a tenth of its limit without a CUDA context, and with one
# up to a quarter: the context adds 26 to 66 W on an H100, A100 and L40S (arXiv 2605.23918).
REST = Watts(0.15, 0.1, 0.25)  # of the limit


class GpuSensor(Protocol):
    """What a vendor's library tells of one GPU. Each raises where the GPU or the driver does not support it."""

    library: str
    """"NVML", "AMD SMI"."""
    scope: str
    """"GPU 0 (all processes)"."""

    def energy_j(self) -> float:
        """Return the counter of joules since the driver was loaded."""

    def power_w(self) -> float:
        """Return the power now, in watts."""

    def limit_w(self) -> float:
        """Return the power limit, which is the TDP unless someone lowered it, in watts."""

    def utilisation(self) -> float:
        """Return the share of the last moment in which something ran, from 0 to 1."""

    def close(self) -> None:
        """Let go of the library."""


class SilentSensor:
    """A GPU that no library knows, or a slice of one: every question raises why.

    Args:
        index: number of the GPU in CUDA.
        error: what the library said.
    """

    library = "GPU"

    def __init__(self, index: int, error: Exception) -> None:
        self.scope = f"GPU {index}"
        self._error = error

    def energy_j(self) -> float:
        """Raise."""
        raise self._error

    power_w = limit_w = utilisation = energy_j

    def close(self) -> None:
        """Nothing is open."""


class GpuEnergy(Component):
    """Joules of one GPU between start and stop; whatever ran on it counts.

    Args:
        sensor: the vendor's library; closed by :meth:`stop`.
        tdp_w: watts of the recipe for a GPU that tells no power; None takes the limit that the library gives.
        clock: returns seconds; None is perf_counter.
    """

    def __init__(self, sensor: GpuSensor, tdp_w: float | None, clock: Callable[[], float] | None = None) -> None:
        self._sensor = sensor
        self._tdp_w = tdp_w
        self._clock = clock or perf_counter
        self._power, self._busy = Trace(), Trace()
        self._no_counter: str | None = None
        self._no_power: str | None = None
        self._idle_w: float | None = None
        self._limit_w: float | None = None
        self._begin_j = self._end_j = 0.0
        self._window_s = 0.0

    def prepare(self) -> None:
        """Look at the power at rest, if nothing runs on the GPU, and at the limit."""
        self._idle_w = baseline_w(f"{self._sensor.library} {self._sensor.scope}", self._resting_w)
        try:
            self._limit_w = self._tdp_w or self._sensor.limit_w()
        except Exception:
            log.debug("%s tells no power limit", self._sensor.scope, exc_info=True)

    def start(self) -> None:
        """Read the counter and begin to poll the power."""
        self._begin_s = self._clock()
        self._count("_begin_j")
        self._poller = Poller(self._poll, POWER_INTERVAL_S)
        self._poller.start()

    def stop(self) -> None:
        """Stop polling and read the counter again."""
        try:
            self._poller.stop()
            self._count("_end_j")
            self._window_s = self._clock() - self._begin_s
        finally:
            self._sensor.close()

    def parts(self) -> list[Part]:
        """Return the GPU's energy, with a range and a reason where it is less sure than usual."""
        energy = self._energy()
        return [Part(energy, self._idle(energy))]

    def _count(self, field: str) -> None:
        if self._no_counter is None:
            try:
                setattr(self, field, self._sensor.energy_j())
            except Exception as error:  # not before Volta, nor on some laptop GPUs; or the GPU fell off the bus
                self._no_counter = f"no energy counter ({describe(error)})"

    def _poll(self) -> None:
        if self._no_power is None:
            try:
                power_w = self._sensor.power_w()
                if power_w <= 0:
                    raise OSError("it reads zero")
                self._power.add(self._clock(), power_w)
                return
            except Exception as error:
                self._no_power = describe(error)
                self._power = Trace()  # a trace with a hole would pass for the whole window
        try:
            self._busy.add(self._clock(), self._sensor.utilisation())
        except Exception:
            self._busy = Trace()

    def _energy(self) -> Reading:
        reason = self._no_counter
        if reason is None:
            moved_j = self._end_j - self._begin_j
            if moved_j > 0:
                return self._counted(moved_j)
            how = "did not advance" if moved_j == 0 else "went backwards"
            if moved_j == 0 and self._window_s < COUNTER_STEP_S:
                how = "had not moved yet"
            reason = f"the {self._sensor.library} energy counter {how}"
        if self._power.integral > 0:
            return self._polled(reason)
        return self._modelled(reason if self._no_counter else f"{reason}; no power ({self._no_power})")

    def _counted(self, moved_j: float) -> Reading:
        low, high = moved_j * (1 - SENSOR_ERROR), moved_j * (1 + SENSOR_ERROR)
        reason = None
        if self._window_s < SHORT_WINDOW_S:
            highest_w = max(moved_j / self._window_s if self._window_s else 0.0, self._power.high or 0.0)
            error_j = highest_w * COUNTER_STEP_S  # either end may be off by a step, in opposite ways
            low, high, reason = max(0.0, low - error_j), high + error_j, self._short()
        elif self._power.integral > 0:
            polled_j = self._power.integral
            if abs(polled_j - moved_j) > DISAGREEMENT * max(polled_j, moved_j):
                reason = (
                    f"the energy counter and the power polled every {POWER_INTERVAL_S:g} s ({polled_j:.4g} J) differ "
                    f"by more than {DISAGREEMENT:.0%}"
                )
                log.warning("%s: %s", self._sensor.scope, reason)
                low, high = min(low, polled_j), max(high, polled_j)
        return self._reading(moved_j, f"{self._sensor.library} energy counter", low, high, reason)

    def _polled(self, reason: str) -> Reading:
        energy_j = self._power.integral
        spread_w = (self._power.high or 0.0) - (self._power.low or 0.0)
        error_j = energy_j * SENSOR_ERROR + spread_w * min(POWER_LAG_S, self._window_s)
        if self._window_s < SHORT_WINDOW_S:
            reason = f"{reason}; {self._short()}"
        source = f"{self._sensor.library} power polled every {POWER_INTERVAL_S:g} s"
        return self._reading(energy_j, source, max(0.0, energy_j - error_j), energy_j + error_j, reason)

    def _modelled(self, reason: str) -> Reading:
        """Return TDP x utilisation x seconds, between rest and TDP."""
        if not self._limit_w or self._window_s <= 0:
            return unmeasured(
                "J", self._sensor.scope, f"{reason}; set cost.gpu_watts to the card's TDP to have it estimated"
            )
        highest_j = self._limit_w * self._window_s
        lowest_j = highest_j * REST.low
        used = "utilisation taken as 1"
        energy_j = highest_j
        if self._busy.span_s > 0:
            used = "utilisation"
            energy_j = max(lowest_j, highest_j * self._busy.integral / self._busy.span_s)
        source = f"estimate: {self._limit_w:g} W TDP x {used} (range {REST.low:g} to 1 of it)"
        return self._reading(min(energy_j, highest_j), source, lowest_j, highest_j, reason, estimated=True)

    def _idle(self, energy: Reading) -> Reading:
        scope = self._sensor.scope
        if energy.value is None:
            return unmeasured("J", scope, "its energy was not measured")
        if self._idle_w is not None:
            source = f"{self._sensor.library} power before the first phase"
            return at_rest(energy, self._idle_w, self._window_s, source)
        if not self._limit_w:
            return unmeasured("J", scope, "neither its power at rest nor its limit is known")
        rest_j = [self._limit_w * part * self._window_s for part in (REST.value, REST.low, REST.high)]
        value, low, high = (min(joules, energy.value) for joules in rest_j)
        source = f"estimate: {REST.value:g} of {self._limit_w:g} W at rest (range {REST.low:g} to {REST.high:g})"
        return Reading(value=value, unit="J", scope=scope, source=source, estimated=True, low=low, high=high)

    def _resting_w(self) -> float | None:
        """Return the power, or None while something runs on the GPU."""
        return self._sensor.power_w() if self._sensor.utilisation() == 0 else None

    def _short(self) -> str:
        return f"window under {SHORT_WINDOW_S:g} s: {self._sensor.library} moves every {COUNTER_STEP_S:g} s only"

    def _reading(
        self, energy_j: float, source: str, low: float, high: float, reason: str | None, *, estimated: bool = False
    ) -> Reading:
        return Reading(
            value=energy_j,
            unit="J",
            scope=self._sensor.scope,
            source=source,
            estimated=estimated,
            low=low,
            high=high,
            reason=reason,
        )
