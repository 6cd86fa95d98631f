"""What a worker measures of itself: step times, resident memory, and the peak of matrix products."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

KIB = 1024


def resident_bytes(field: str = "VmRSS") -> int:
    """Return the resident set of this process, or its high-water mark (``VmHWM``), in bytes.

    The mark in /proc begins with the program; ``getrusage``'s may carry over what the parent had before exec.
    """
    status = Path("/proc/self/status")
    if not status.is_file():  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB
    for line in status.read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * KIB
    raise OSError(f"{status} has no {field}")


class StepClock:
    """The time at the end of every optimizer step of this process, whoever takes it.

    It hangs on torch's own hook for all optimizers, so every system is timed in the same way. On a GPU it puts an
    event in the queue and makes nobody wait.
    """

    def __init__(self, device: str) -> None:
        from torch.optim.optimizer import register_optimizer_step_post_hook

        self.cuda = device == "cuda"
        self.marks: list[Any] = []
        self._handle = register_optimizer_step_post_hook(self._mark)

    def _mark(self, optimizer: Any, *_: object) -> None:
        import torch
        from torch._subclasses import FakeTensor

        if any(isinstance(p, FakeTensor) for group in optimizer.param_groups for p in group["params"]):
            return  # a forecast's step, which is none of the training
        if self.cuda:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self.marks.append(event)
        else:
            self.marks.append(time.perf_counter())

    def close(self) -> None:
        """Let go of the hook."""
        self._handle.remove()

    def restart(self) -> None:
        """Forget the steps so far."""
        self.marks.clear()

    def between(self, first: int, last: int) -> float:
        """Return the seconds from the end of step ``first`` to the end of step ``last``, counted from 1."""
        start, end = self.marks[first - 1], self.marks[last - 1]
        if self.cuda:
            end.synchronize()
            return float(start.elapsed_time(end)) / 1000
        return float(end - start)


def matmul_peak(arithmetic: str, device: str) -> float:
    """Return the best rate of a few square and oblong matrix products, in operations a second."""
    import torch

    dtype = torch.bfloat16 if arithmetic == "bf16" else torch.float32
    sizes = [(1024, 1024, 1024), (2048, 512, 2048), (2048, 2048, 2048), (4096, 1024, 1024)]
    if device == "cuda":
        sizes = [(4096, 4096, 4096), (8192, 8192, 8192), (16384, 4096, 4096)]
    best = 0.0
    for rows, inner, columns in sizes:
        left = torch.randn(rows, inner, device=device, dtype=dtype)
        right = torch.randn(inner, columns, device=device, dtype=dtype)
        for _ in range(4):  # the first warms up, the best counts
            started = time.perf_counter()
            repeats = 10 if device == "cuda" else 1
            for _ in range(repeats):
                left @ right
            if device == "cuda":
                torch.cuda.synchronize()
            best = max(best, 2.0 * repeats * rows * inner * columns / (time.perf_counter() - started))
    return best
