"""What a phase costs: its wall time, peak memory and energy, each read by one meter.

Importing this package loads neither torch nor psutil nor pynvml; the meters do so when they start.
"""

from __future__ import annotations

from peftsum.cost.energy import EnergyMeter
from peftsum.cost.memory import MemoryMeter
from peftsum.cost.meter import Meter
from peftsum.cost.wall import WallMeter
from peftsum.registry import Registry

METERS: Registry[type[Meter]] = Registry(
    "meter",
    {  # name of a reading (a field of Readings, or a name in its `further`): the meter that gives it
        "wall_s": WallMeter,
        "peak_memory_bytes": MemoryMeter,
        "energy_j": EnergyMeter,
    },
)
