"""``peftsum doctor``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from peftsum.cli.output import json_option, print_json

if TYPE_CHECKING:
    from peftsum.cost.readings import Readings

COUNTERS_MOVE_S = 0.2  # NVML's in a tenth, RAPL's in a thousandth

EPILOG = """
Example:

\b
    peftsum doctor
"""


@click.command(epilog=EPILOG)
@json_option
def doctor(as_json: bool) -> None:
    """Show what this machine can do: processor, GPU, bf16, memory, versions, and where energy is read from."""
    from peftsum.cost.machine import describe_machine
    from peftsum.cost.meters import measure
    from peftsum.cost.section import Cost
    from peftsum.model import attention_kernel, default_device, precision
    from peftsum.units import format_bytes

    machine = describe_machine()
    device = default_device()
    with measure(Cost(), device) as measurement:
        time.sleep(COUNTERS_MOVE_S)
    readings = measurement.readings
    found = {
        "processor": f"{machine.cpu}, {machine.usable_cores} cores",
        "memory": format_bytes(machine.ram_bytes) if machine.ram_bytes else "unknown",
        "GPU": ", ".join(f"{gpu.name} ({format_bytes(gpu.memory_bytes)})" for gpu in machine.gpus) or "none",
        "trains on": f"{device} in {precision('auto', device)}, {attention_kernel('auto')} attention",
        **_energy(readings),
        "memory from": readings.peak_memory_bytes.source,
        **machine.packages,
    }
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        click.echo(f"{name:16}{value}")


def _energy(readings: Readings) -> dict[str, str]:
    """Return where the energy of each component comes from, and why not from a counter."""
    parts = readings.energy_parts or (readings.energy_j,)
    found = {"energy from": "; ".join(f"{part.scope}: {part.source}" for part in parts)}
    lacking = dict.fromkeys(part.reason for part in parts if part.reason and (part.estimated or part.value is None))
    if lacking:
        found["no counter"] = "; ".join(reason.removesuffix("; window under 2 s") for reason in lacking if reason)
    return found
