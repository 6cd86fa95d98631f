"""The machine a run was made on, as far as its figures depend on it: no host name, user name or path."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from peftsum.cost.process import machine_ram_bytes
from peftsum.section import Record

CPUINFO = Path("/proc/cpuinfo")
PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate")
BF16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")  # the last is Arm's


class Gpu(Record):
    """One CUDA device."""

    name: str
    memory_bytes: int


class Machine(Record):
    """What a figure of cost should be read with."""

    cpu: str | None
    """Model name of the processor, or its architecture where the system gives no more."""
    logical_cores: int | None
    """Cores of the machine, hyperthreads counted."""
    usable_cores: int | None
    """Those this process may run on."""
    ram_bytes: int | None
    """Memory of the machine."""
    cpu_bf16: tuple[str, ...] | None
    """Instruction sets for bf16 in the processor; empty when it has none, null when unknown."""
    gpus: tuple[Gpu, ...]
    """CUDA devices that torch sees."""
    os: str
    """System, release and architecture."""
    python: str
    """Version of Python."""
    packages: dict[str, str]
    """Versions of the packages that do the work, where installed."""

    @property
    def label(self) -> str:
        """What tells one kind of machine from another: processor, cores and GPUs."""
        gpus = "".join(f", {gpu.name}" for gpu in self.gpus)
        return f"{self.cpu or 'unknown processor'}, {self.usable_cores or '?'} cores{gpus}"


def describe_machine(cpuinfo: Path = CPUINFO) -> Machine:
    """Return the machine this runs on; what cannot be found out is None, or left out.

    Args:
        cpuinfo: the kernel's list of processors.
    """
    fields = _cpu_fields(cpuinfo)
    flags = fields.get("flags", fields.get("Features"))
    return Machine(
        cpu=fields.get("model name") or platform.processor() or platform.machine() or None,
        logical_cores=os.cpu_count(),
        usable_cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        ram_bytes=_ram_bytes(),
        cpu_bf16=None if flags is None else tuple(flag for flag in BF16_FLAGS if flag in flags.split()),
        gpus=_gpus(),
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        packages=_versions(),
    )


def _cpu_fields(cpuinfo: Path) -> dict[str, str]:
    """Return the fields of the first processor."""
    try:
        first = cpuinfo.read_text().split("\n\n", maxsplit=1)[0]
    except OSError:  # not Linux
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _ram_bytes() -> int | None:
    try:
        return machine_ram_bytes()
    except Exception:  # no psutil
        return None


def _gpus() -> tuple[Gpu, ...]:
    try:
        import torch

        found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
        return tuple(Gpu(name=gpu.name, memory_bytes=gpu.total_memory) for gpu in found)
    except Exception:  # no torch, or a driver that does not fit it: `peftsum doctor` looks into that
        return ()


def _versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
