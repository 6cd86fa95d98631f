"""Energy of a phase by component: each GPU it runs on, the CPU and the memory; and codecarbon's figure beside it."""

from __future__ import annotations

import logging
from pathlib import Path
from time import perf_counter
from typing import Any

from peftsum.cost.amd import open_amd
from peftsum.cost.apple import apple_counters, is_apple_chip
from peftsum.cost.codecarbon import CodecarbonCheck
from peftsum.cost.combine import total
from peftsum.cost.component import SHORT_WINDOW_S, Component, Part
from peftsum.cost.cpu import CpuEnergy
from peftsum.cost.gpu import GpuEnergy, SilentSensor
from peftsum.cost.meter import Device, Meter, describe
from peftsum.cost.nvml import open_nvml
from peftsum.cost.rapl import POWERCAP, rapl_counters
from peftsum.cost.readings import Reading, unmeasured
from peftsum.cost.section import Cost

log = logging.getLogger(__name__)


class Unmeasurable(Component):
    """A component whose energy cannot be had, and why."""

    def __init__(self, scope: str, reason: str) -> None:
        self._scope = scope
        self._reason = reason

    def prepare(self) -> None:
        """Nothing to do."""

    def start(self) -> None:
        """Nothing to do."""

    def stop(self) -> None:
        """Nothing to do."""

    def parts(self) -> list[Part]:
        """Return the reason."""
        return [Part(unmeasured("J", self._scope, self._reason), unmeasured("J", self._scope, self._reason))]


def open_gpu(index: int, cost: Cost) -> Component:
    """Return the energy meter of one CUDA or ROCm device."""
    import torch

    try:
        sensor = open_amd(index) if torch.version.hip else open_nvml(index)
    except Exception as error:  # no library, or a slice of a card, which has no energy of its own
        return GpuEnergy(SilentSensor(index, error), cost.gpu_watts)
    return GpuEnergy(sensor, cost.gpu_watts)


def gpus_of(device: Device) -> list[int]:
    """Return the CUDA devices of a phase: its own, and others on which this process holds something."""
    import torch

    own = device.cuda_index()
    others = range(torch.cuda.device_count())
    return [own, *(index for index in others if index != own and torch.cuda.memory_reserved(index) > 0)]


def open_components(cost: Cost, device: Device, powercap: Path = POWERCAP) -> list[Component]:
    """Return the meters of all components that a phase uses.

    Args:
        cost: the recipe's wishes.
        device: where the phase runs.
        powercap: where the RAPL counters are.
    """
    gpus = [open_gpu(index, cost) for index in gpus_of(device)] if device.kind == "cuda" else []
    counters = apple_counters() if is_apple_chip() else rapl_counters(powercap)
    return [*gpus, CpuEnergy(cost, counters)]


class EnergyMeter(Meter):
    """Joules of each component of the machine that the phase uses, and their sum.

    A phase on a GPU that cannot be measured has parts and no sum: the CPU side alone would pass for the whole.
    """

    unit = "J"

    def prepare(self) -> None:
        """Open the counters, and look at the power at rest."""
        if not self.cost.energy:
            return
        if self.device.kind not in ("cpu", "cuda"):
            raise NotImplementedError(f"no energy meter for {self.device.kind}")
        self._components = open_components(self.cost, self.device)
        for component in self._components:
            component.prepare()
        self._check = CodecarbonCheck(self.device) if self.cost.codecarbon else None
        if self._check is not None:
            self._check.start()  # it takes a second or two: before anything is timed

    def start(self) -> None:
        """Read the counters."""
        if self.cost.energy:
            self._begin_s = perf_counter()
            for component in self._components:
                component.start()

    def stop(self) -> None:
        """Read them again."""
        if not self.cost.energy:
            return
        self._short = perf_counter() - self._begin_s < SHORT_WINDOW_S
        for number, component in enumerate(self._components):
            try:
                component.stop()
            except Exception as error:  # the others have to be stopped, too
                log.debug("a component's meter failed", exc_info=True)
                self._components[number] = Unmeasurable(str(self.device), describe(error))
        if self._check is not None:
            self._check.stop()

    def reading(self) -> Reading:
        """Return the sum of the parts; a short window is flagged."""
        if not self.cost.energy:
            return unmeasured("J", str(self.device), "switched off in the recipe")
        self._parts = [part for component in self._components for part in component.parts()]
        self._energy = self._flagged(total([part.energy for part in self._parts]))
        return self._energy

    def details(self) -> dict[str, Any]:
        """Return the parts, their idle share and codecarbon's figure."""
        if not self.cost.energy:
            return {}
        return {
            "energy_parts": tuple(self._flagged(part.energy) for part in self._parts),
            "idle_energy_j": total([part.idle for part in self._parts]),
            "codecarbon_j": None if self._check is None else self._check.reading(self._energy),
        }

    def _flagged(self, reading: Reading) -> Reading:
        text = f"window under {SHORT_WINDOW_S:g} s"
        if not self._short or reading.value is None or text in (reading.reason or ""):
            return reading
        return reading.model_copy(update={"reason": "; ".join(filter(None, [reading.reason, text]))})
