"""One AMD GPU as AMD SMI shows it. Written from the library's manual; it was never run on such a GPU."""

from __future__ import annotations

from typing import Any

MICROJOULES_PER_JOULE = 1e6
MICROWATTS_PER_WATT = 1e6
HIGHEST_W = 10_000
MISSING = ("N/A", 0xFFFF, 0xFFFFFFFF)  # the last where the library has not turned it into words


def open_amd(index: int) -> AmdSensor:
    """Return the sensor of a ROCm device, found in AMD SMI by its place on the PCI bus.

    Raises:
        Exception: no AMD SMI (``pip install amdsmi``, of the driver's version), or no such GPU.
    """
    import amdsmi  # type: ignore[import-not-found]  # comes with ROCm, not with this package
    import torch

    amdsmi.amdsmi_init()
    try:
        found: Any = torch.cuda.get_device_properties(index)
        place = f"{found.pci_domain_id:04x}:{found.pci_bus_id:02x}:{found.pci_device_id:02x}.0"
        return AmdSensor(amdsmi, amdsmi.amdsmi_get_processor_handle_from_bdf(place), index)
    except BaseException:
        amdsmi.amdsmi_shut_down()
        raise


class AmdSensor:
    """The :class:`peftsum.cost.gpu.GpuSensor` of an AMD GPU.

    Args:
        smi: the amdsmi module or what acts like it, initialised; it is shut down by :meth:`close`.
        handle: AMD SMI's handle of the GPU.
        index: number of the GPU among those of ROCm.
    """

    library = "AMD SMI"

    def __init__(self, smi: Any, handle: Any, index: int) -> None:
        self._smi = smi
        self._handle = handle
        self.scope = f"GPU {index} (all processes)"

    def energy_j(self) -> float:
        """Return joules since the driver was loaded: a count times its resolution, which is in microjoules."""
        count = self._smi.amdsmi_get_energy_count(self._handle)
        # "power" until ROCm 6.1, which was the same count
        steps = count["energy_accumulator"] if "energy_accumulator" in count else count["power"]
        return float(steps) * float(count["counter_resolution"]) / MICROJOULES_PER_JOULE

    def power_w(self) -> float:
        """Return the socket's power in watts: the present one, or on older cards its average."""
        power = self._smi.amdsmi_get_power_info(self._handle)
        for name in ("current_socket_power", "average_socket_power"):
            if power.get(name, "N/A") not in MISSING:
                return float(power[name])
        raise OSError("AMD SMI gives no socket power")

    def limit_w(self) -> float:
        """Return the power limit, in watts."""
        limit = self._smi.amdsmi_get_power_info(self._handle)["power_limit"]
        if limit in MISSING:
            raise OSError("AMD SMI gives no power limit")
        # in watts by the manuals of 6.2 to 7.1, in microwatts by that of 7.13; no card takes 10 kW
        return float(limit) if limit < HIGHEST_W else float(limit) / MICROWATTS_PER_WATT

    def utilisation(self) -> float:
        """Return the graphics engine's activity, from 0 to 1."""
        activity = self._smi.amdsmi_get_gpu_activity(self._handle)["gfx_activity"]
        if activity in MISSING:
            raise OSError("AMD SMI gives no activity")
        return float(activity) / 100

    def close(self) -> None:
        """Shut the library down."""
        self._smi.amdsmi_shut_down()
