"""How much memory this process can have at all: the machine's, or what its container allows."""

from __future__ import annotations

from pathlib import Path

from peftsum.cost.process import machine_ram_bytes, resident_bytes

CGROUP = Path("/sys/fs/cgroup")
LIMITS = ("memory.max", "memory/memory.limit_in_bytes")  # of cgroups v2 and v1


def ram_bytes(cgroup: Path = CGROUP) -> int:
    """Return the memory that a process here can have, in bytes: the machine's, or less where its container has a limit.

    Args:
        cgroup: where the kernel shows the limits of this process's container.
    """
    limits = [int(text) for text in (_read(cgroup / name) for name in LIMITS) if text.isdigit()]
    return min([machine_ram_bytes(), *limits])


def free_ram_bytes(cgroup: Path = CGROUP) -> int:
    """Return what this process can have now, in bytes: what it has, and what no other process uses.

    Args:
        cgroup: as for :func:`ram_bytes`.
    """
    import psutil  # type: ignore[import-untyped]  # it ships no types

    return min(ram_bytes(cgroup), int(psutil.virtual_memory().available) + resident_bytes())


def free_gpu_bytes(index: int = 0) -> int:
    """Return what this process can have of a GPU now, in bytes: what torch has reserved for it, and what is free."""
    import torch

    free, total = torch.cuda.mem_get_info(index)
    return min(int(total), int(free) + int(torch.cuda.memory_reserved(index)))


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
