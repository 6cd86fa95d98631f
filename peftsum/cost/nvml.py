"""GPU energy by NVML: the energy counter, or the power integrated over time where there is no counter."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from peftsum.cost.meter import Poller
from peftsum.cost.readings import Reading, unmeasured

COUNTER_STEP_S = 0.1  # the energy counter moves about every 100 ms (arXiv 2312.02741)
POWER_INTERVAL_S = 0.1  # faster polling reads the same value again, for the same reason
SHORT_WINDOW_S = 2.0  # below it the counter's step is more than 5 % of the window at either end
MILLIJOULES_PER_JOULE = 1000.0
MILLIWATTS_PER_WATT = 1000.0


def open_gpu(index: int) -> GpuEnergy:
    """Return the energy meter of a CUDA device, found in NVML by its UUID.

    By UUID, because ``CUDA_VISIBLE_DEVICES`` renumbers devices for CUDA and not for NVML. A MIG slice has a UUID of its
    own and NVML has no energy for it: that fails here, rather than charge the whole card to the slice.
    """
    import pynvml
    import torch

    pynvml.nvmlInit()
    try:
        uuid = f"GPU-{torch.cuda.get_device_properties(index).uuid}"
        return GpuEnergy(pynvml, pynvml.nvmlDeviceGetHandleByUUID(uuid), index)
    except BaseException:
        pynvml.nvmlShutdown()
        raise


class GpuEnergy:
    """Joules of one GPU between start and stop; whatever ran on it counts.

    Args:
        nvml: the pynvml module or what acts like it, initialised; it is shut down by :meth:`stop`.
        handle: NVML's handle of the GPU.
        index: number of the GPU in CUDA, for the reading's scope.
        clock: returns seconds.
    """

    def __init__(self, nvml: Any, handle: Any, index: int, clock: Callable[[], float] = perf_counter) -> None:
        self._nvml = nvml
        self._handle = handle
        self._clock = clock
        self._scope = f"GPU {index} (all processes)"
        self._powers: list[tuple[float, float]] = []  # (s, W)
        self._poller: Poller | None = None
        self._begin_j: float | None = None
        self._end_j: float | None = None

    def start(self) -> None:
        """Read the counter; where there is none, start polling the power."""
        self._begin_s = self._clock()
        try:
            self._begin_j = self._counter_j()
        except Exception:  # not supported before Volta, nor on some laptop GPUs
            self._start_polling()
        else:
            self._try_power()

    def stop(self) -> None:
        """Read the counter again, or stop polling."""
        try:
            if self._poller is not None:
                self._poller.stop()
            else:
                self._end_j = self._counter_j()
                self._try_power()
            self._window_s = self._clock() - self._begin_s
        finally:
            self._nvml.nvmlShutdown()

    def reading(self) -> Reading:
        """Return the joules, with a range and a reason where the window was short, or why there are none."""
        if self._begin_j is None or self._end_j is None:
            source = f"NVML power polled every {POWER_INTERVAL_S:g} s"
            return self._measured(self._integral_j(), source)
        moved_j = self._end_j - self._begin_j
        if moved_j > 0:
            return self._measured(moved_j, "NVML energy counter")
        if moved_j == 0 and self._window_s < SHORT_WINDOW_S and self._integral_j() > 0:
            return self._from_both_ends()
        return unmeasured("J", self._scope, "the NVML energy counter did not advance")

    def _measured(self, energy_j: float, source: str) -> Reading:
        if energy_j <= 0:
            return unmeasured("J", self._scope, f"{source}: it reads zero")
        if self._window_s >= SHORT_WINDOW_S:
            return Reading(value=energy_j, unit="J", scope=self._scope, source=source)
        highest_w = max([energy_j / self._window_s, *(power_w for _, power_w in self._powers)])
        error_j = highest_w * COUNTER_STEP_S  # the window's ends may each be off by a step, in opposite ways
        return Reading(
            value=energy_j,
            unit="J",
            scope=self._scope,
            source=source,
            low=max(0.0, energy_j - error_j),
            high=energy_j + error_j,
            reason=f"window under {SHORT_WINDOW_S:g} s: NVML moves every {COUNTER_STEP_S:g} s only",
        )

    def _from_both_ends(self) -> Reading:
        powers_w = [power_w for _, power_w in self._powers]
        return Reading(
            value=self._integral_j(),
            unit="J",
            scope=self._scope,
            source="estimate: NVML power at both ends, times the time between",
            estimated=True,
            low=min(powers_w) * self._window_s,
            high=max(powers_w) * self._window_s,
            reason=f"window under {SHORT_WINDOW_S:g} s: the NVML energy counter had not moved yet",
        )

    def _start_polling(self) -> None:
        self._poller = Poller(self._read_power, POWER_INTERVAL_S)
        try:
            self._poller.start()
        except BaseException:
            self._nvml.nvmlShutdown()
            raise

    def _counter_j(self) -> float:
        return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / MILLIJOULES_PER_JOULE

    def _read_power(self) -> None:
        power_w = float(self._nvml.nvmlDeviceGetPowerUsage(self._handle)) / MILLIWATTS_PER_WATT
        self._powers.append((self._clock(), power_w))

    def _try_power(self) -> None:
        try:
            self._read_power()
        except Exception:  # beside the counter it serves short windows only
            self._powers.clear()

    def _integral_j(self) -> float:
        """Return the trapezoid sum of the powers read."""
        pairs = zip(self._powers, self._powers[1:], strict=False)
        return sum((later_s - s) * (power_w + later_w) / 2 for (s, power_w), (later_s, later_w) in pairs)
