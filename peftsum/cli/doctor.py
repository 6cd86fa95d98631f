"""``peftsum doctor``."""

from __future__ import annotations

import click

from peftsum.cli.output import json_option, print_json

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
        pass
    readings = measurement.readings
    found = {
        "processor": f"{machine.cpu}, {machine.usable_cores} cores",
        "memory": format_bytes(machine.ram_bytes) if machine.ram_bytes else "unknown",
        "GPU": ", ".join(f"{gpu.name} ({format_bytes(gpu.memory_bytes)})" for gpu in machine.gpus) or "none",
        "trains on": f"{device} in {precision('auto', device)}, {attention_kernel('auto')} attention",
        "energy from": readings.energy_j.source,
        "memory from": readings.peak_memory_bytes.source,
        **machine.packages,
    }
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        click.echo(f"{name:16}{value}")
