"""One NVIDIA GPU as NVML shows it."""

from __future__ import annotations

from typing import Any

MILLIJOULES_PER_JOULE = 1000.0
MILLIWATTS_PER_WATT = 1000.0


def open_nvml(index: int) -> NvmlSensor:
    """Return the sensor of a CUDA device, found in NVML by its UUID.

    By UUID, because ``CUDA_VISIBLE_DEVICES`` renumbers devices for CUDA and not for NVML. A MIG slice has a UUID of its
    own and NVML has no energy for it: that fails here, rather than charge the whole card to the slice.

    Raises:
        Exception: no NVML, no such GPU, or a slice of one.
    """
    import pynvml
    import torch

    pynvml.nvmlInit()
    try:
        uuid = f"GPU-{torch.cuda.get_device_properties(index).uuid}"
        return NvmlSensor(pynvml, pynvml.nvmlDeviceGetHandleByUUID(uuid))
    except BaseException:
        pynvml.nvmlShutdown()
        raise


class NvmlSensor:
    """The :class:`peftsum.cost.gpu.GpuSensor` of an NVIDIA GPU.

    Args:
        nvml: the pynvml module or what acts like it, initialised; it is shut down by :meth:`close`.
        handle: NVML's handle of the GPU.
    """

    library = "NVML"

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle
        self.scope = f"GPU {nvml.nvmlDeviceGetIndex(handle)} (all processes)"

    def energy_j(self) -> float:
        """Return joules since the driver was loaded."""
        return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / MILLIJOULES_PER_JOULE

    def power_w(self) -> float:
        """Return the power in watts: the mean of the last second on Ampere (but GA100) and newer."""
        return float(self._nvml.nvmlDeviceGetPowerUsage(self._handle)) / MILLIWATTS_PER_WATT

    def limit_w(self) -> float:
        """Return the power limit in force, in watts."""
        return float(self._nvml.nvmlDeviceGetEnforcedPowerLimit(self._handle)) / MILLIWATTS_PER_WATT

    def utilisation(self) -> float:
        """Return the share of the last sample period in which a kernel ran, from 0 to 1."""
        return float(self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu) / 100

    def close(self) -> None:
        """Shut NVML down; it counts who opened it."""
        self._nvml.nvmlShutdown()
