"""Devices by name: the shipped table, a GPU of which only the memory is known, and the machine this runs on."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from pydantic import Field

from peftsum.cost.limits import ram_bytes
from peftsum.cost.machine import describe_machine
from peftsum.exceptions import UsageError
from peftsum.forecast.target import Target
from peftsum.model import default_device, has_bf16
from peftsum.registry import nearest
from peftsum.section import Section
from peftsum.units import GIB, GIGA, TERA, format_bytes

THIS_MACHINE = "this machine"
CPU = "cpu"
# Of the gigabytes on the box a process gets 0.954 (RTX 4060, 8 GB), 0.967 (RTX 3060 laptop, 6 GB), 0.979 (RTX 3060,
# 12 GB), 0.98 (RTX 4090), and 0.91 to 0.93 where GDDR memory keeps ECC (T4, L4, A10): those are in the table by name.
NOMINAL_SHARE = 0.95
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(gib|gb|g)", re.IGNORECASE)


class Device(Section):
    """A row of devices.yaml, whose head says what each figure is."""

    name: str
    aliases: list[str] = Field(default_factory=list)
    title: str
    names: list[str]
    memory_gib: float = Field(gt=0)
    memory_source: str
    bf16: bool = True
    flops: dict[str, float]
    gb_per_s: float = Field(gt=0)
    watts: float = Field(gt=0)
    source: str
    url: str
    checked: str
    unverified: str = ""

    def target(self) -> Target:
        """Return the device as a forecast takes it."""
        return Target(
            name=self.name,
            title=self.title,
            kind="cuda",
            memory_bytes=int(self.memory_gib * GIB),
            bf16=self.bf16,
            flops={dtype: rate * TERA for dtype, rate in self.flops.items()},
            bytes_per_s=self.gb_per_s * GIGA,
            watts=self.watts,
            source=f"{self.source}, {self.url}; memory: {self.memory_source}"
            + (f"; not verified: {self.unverified}" if self.unverified else ""),
        )


@cache
def known_devices() -> dict[str, Device]:
    """Return the table, by name."""
    text = (files("peftsum.forecast") / "devices.yaml").read_text(encoding="utf-8")
    devices = [Device.model_validate(_as_floats(row)) for row in yaml.safe_load(text)]
    return {device.name: device for device in devices}


def find_target(name: str | None = None) -> Target:
    """Return the device of that name.

    Args:
        name: one of the table ("t4", "RTX 4060", "a100-80gb"), a size as on the box of a GPU ("8GB"), an exact one
            ("7.5 GiB"), "cpu" for this machine without its GPU, or None for this machine.

    Raises:
        UsageError: there is no such device; the hint names the nearest, or all.
    """
    if name is None or _plain(name) == _plain(THIS_MACHINE):
        return target_here(default_device())
    if _plain(name) == CPU:
        return _this_cpu(CPU)
    found = _by_spelling().get(_plain(name))
    if found is not None:
        return found.target()
    size = _SIZE.fullmatch(name.strip())
    if size is not None and float(size[1]) > 0:
        return _of_size(float(size[1]), exact=size[2].lower() == "gib")
    guess = nearest(name.lower(), [*known_devices(), CPU])
    raise UsageError(
        f"no device named {name!r}",
        hint=f"{f'did you mean {guess}? ' if guess else ''}known: {', '.join([*known_devices(), CPU])}, or a size: 8GB",
    )


def _plain(name: str) -> str:
    """Return a name without case, spaces, hyphens and the maker, so that "NVIDIA RTX 4060" is "rtx4060"."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return plain.removeprefix("nvidia").removeprefix("geforce").removeprefix("tesla")


def _by_spelling() -> dict[str, Device]:
    return {_plain(name): device for device in known_devices().values() for name in (device.name, *device.aliases)}


def _of_size(size: float, *, exact: bool) -> Target:
    unit = "GiB" if exact else "GB"
    memory_bytes = int(size * GIB * (1 if exact else NOMINAL_SHARE))
    origin = "taken as it is" if exact else f"{NOMINAL_SHARE:.0%} of what the box says, which is what drivers leave"
    return Target(
        name=f"{size:g}{unit}",
        title=f"a GPU of {size:g} {unit}",
        kind="cuda",
        memory_bytes=memory_bytes,
        source=f"memory {origin}; speed unknown",
    )


def target_here(device: str) -> Target:
    """Return this machine as a training on one of its devices finds it.

    Args:
        device: "cpu", "cuda" or "cuda:1", ….
    """
    if not device.startswith("cuda"):
        return _this_cpu(THIS_MACHINE)
    import torch

    properties = torch.cuda.get_device_properties(device)
    memory_bytes = int(properties.total_memory)
    known = _by_torch_name(properties.name)
    return Target(
        name=THIS_MACHINE,
        title=f"{properties.name}, {format_bytes(memory_bytes)}",
        kind="cuda",
        memory_bytes=memory_bytes,
        here=True,
        bf16=has_bf16(device),
        source="driver" if known is None else f"memory: driver; rates: {known.source}, {known.url}",
        **({} if known is None else known.target().model_dump(include={"flops", "bytes_per_s", "watts"})),
    )


def _by_torch_name(name: str) -> Device | None:
    """Return the row of a card by torch's name for it; a Ti, or a laptop's card of the same number, is another card."""
    return next((device for device in known_devices().values() if name in device.names), None)


def _this_cpu(name: str) -> Target:
    machine = describe_machine()
    memory_bytes = ram_bytes()
    cores = machine.usable_cores or machine.logical_cores or "?"
    return Target(
        name=name,
        title=f"{machine.cpu or 'this processor'}, {cores} cores, {format_bytes(memory_bytes)}",
        kind="cpu",
        memory_bytes=memory_bytes,
        here=True,
        bf16=has_bf16("cpu"),
        source="this machine's operating system",
    )


def _as_floats(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its whole numbers as floats, which strict sections want."""
    numbers = {key: float(row[key]) for key in ("memory_gib", "gb_per_s", "watts")}
    return {**row, **numbers, "flops": {dtype: float(rate) for dtype, rate in row["flops"].items()}}
