"""Energy of a phase: the CPU side by RAPL or estimate, and the GPU by NVML where the phase runs on one."""

from __future__ import annotations

from pathlib import Path

from peftsum.cost.combine import add
from peftsum.cost.estimate import ProcessUse, core_watts, estimate_cpu_energy
from peftsum.cost.meter import Meter, describe
from peftsum.cost.nvml import GpuEnergy, open_gpu
from peftsum.cost.rapl import POWERCAP, RaplCounter
from peftsum.cost.readings import Reading, unmeasured
from peftsum.cost.section import Cost


class CpuEnergy:
    """Joules of the CPU side between start and stop: RAPL's counter where it can be read, an estimate where not.

    Args:
        cost: the recipe's wishes.
        powercap: where the RAPL counters are.
    """

    def __init__(self, cost: Cost, powercap: Path = POWERCAP) -> None:
        self._core = core_watts(cost.cpu_watts_per_core)
        self._rapl = RaplCounter(powercap)
        self._energy_j: float | None = None
        self._why_estimated: str | None = None

    def start(self) -> None:
        """Read the counters, and what the process has used so far."""
        self._begin = ProcessUse.now()
        try:
            self._rapl.start()
        except Exception as error:
            self._why_estimated = describe(error)

    def stop(self) -> None:
        """Read both again."""
        self._end = ProcessUse.now()
        if self._why_estimated is None:
            try:
                self._energy_j = self._rapl.stop()
            except Exception as error:
                self._why_estimated = describe(error)

    def reading(self) -> Reading:
        """Return the joules and where they come from."""
        if self._energy_j is None:
            reason = self._why_estimated or "the RAPL counter was not read"
            return estimate_cpu_energy(self._begin, self._end, self._core, reason)
        return Reading(value=self._energy_j, unit="J", scope=self._rapl.scope, source="RAPL counter")


class EnergyMeter(Meter):
    """Joules of the CPU side, and of the GPU if the phase runs on one.

    A phase on a GPU that cannot be measured has no value: the CPU side alone would pass for the whole.
    """

    unit = "J"

    def start(self) -> None:
        """Read the counters."""
        if not self.cost.energy:
            return
        if self.device.kind not in ("cpu", "cuda"):
            raise NotImplementedError(f"no energy meter for {self.device.kind}")
        self._gpu: GpuEnergy | None = None
        if self.device.kind == "cuda":
            self._gpu = open_gpu(self.device.cuda_index())
            self._gpu.start()
        self._cpu = CpuEnergy(self.cost)
        self._cpu.start()  # it cannot fail; were the GPU to fail after it, its thread would be left running

    def stop(self) -> None:
        """Read them again."""
        if not self.cost.energy:
            return
        try:
            if self._gpu is not None:
                self._gpu.stop()
        finally:
            self._cpu.stop()

    def reading(self) -> Reading:
        """Return the sum of both sides."""
        if not self.cost.energy:
            return unmeasured("J", str(self.device), "switched off in the recipe")
        cpu = self._cpu.reading()
        return cpu if self._gpu is None else add(self._gpu.reading(), cpu, " + ")
