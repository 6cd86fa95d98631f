"""Peak memory of a phase: what torch allocated on a GPU, or the resident set of the process on a CPU."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from peftsum.cost.meter import Meter, Poller
from peftsum.cost.process import life_peak_bytes, resident_bytes
from peftsum.cost.readings import Reading, unmeasured
from peftsum.units import KIB, MIB

PROC_SELF = Path("/proc/self")
SAMPLE_INTERVAL_S = 0.05  # short beside a training step, and a sample costs some 20 microseconds
RESET_SLACK_BYTES = 64 * MIB  # what other threads may free between the kernel's reset and our look at it


class CudaMemory(Protocol):
    """The part of ``torch.cuda`` that the meter uses; sizes in bytes."""

    def max_memory_allocated(self, device: int) -> int:
        """Return the peak since the last reset."""

    def reset_peak_memory_stats(self, device: int) -> None:
        """Set the peak back to what is allocated now."""


class Phase:
    """One phase between begin and end, with the highest mark seen in it so far, in bytes."""

    def __init__(self) -> None:
        self.peak_bytes = 0


class HighWater:
    """A high-water mark that there is only one of, shared by phases that nest or overlap.

    Starting a phase resets the mark, so what it stood at is first put down for the phases still open: an outer phase
    keeps the peak it had before an inner one began.

    Args:
        read: returns the mark since the last reset, in bytes.
        reset: sets the mark back to the present use.
    """

    def __init__(self, read: Callable[[], int], reset: Callable[[], None]) -> None:
        self._read = read
        self._reset = reset
        self._open: list[Phase] = []
        self._lock = threading.Lock()

    def begin(self) -> Phase:
        """Reset the mark and return a new phase."""
        with self._lock:
            mark = self._read()
            for phase in self._open:
                phase.peak_bytes = max(phase.peak_bytes, mark)
            self._reset()
            started = Phase()
            self._open.append(started)
            return started

    def end(self, phase: Phase) -> int:
        """Close the phase and return its peak in bytes."""
        with self._lock:
            self._open.remove(phase)
            return max(phase.peak_bytes, self._read())


def cuda_high_water(index: int, cuda: CudaMemory) -> HighWater:
    """Return the mark of torch's caching allocator on one GPU."""
    return HighWater(lambda: cuda.max_memory_allocated(index), lambda: cuda.reset_peak_memory_stats(index))


def kernel_high_water(proc: Path = PROC_SELF) -> HighWater:
    """Return the kernel's mark of this process's resident set.

    Writing 5 to ``clear_refs`` resets it, since Linux 4.0 (proc_pid_clear_refs(5)).

    Args:
        proc: the process's folder in /proc.
    """

    def status_bytes() -> dict[str, int]:
        lines = (line.split() for line in (proc / "status").read_text().splitlines() if line.startswith("Vm"))
        return {words[0].rstrip(":"): int(words[1]) * KIB for words in lines}

    def reset() -> None:
        (proc / "clear_refs").write_text("5")
        now = status_bytes()
        if now["VmHWM"] > now["VmRSS"] + RESET_SLACK_BYTES:
            raise OSError("the kernel did not reset the high-water mark")

    return HighWater(lambda: status_bytes()["VmHWM"], reset)


_KERNEL = kernel_high_water()  # one in the process, as the mark itself is
_GPUS: dict[int, HighWater] = {}


class MarkedPeak:
    """A phase's peak by a high-water mark."""

    def __init__(self, mark: HighWater, scope: str, source: str) -> None:
        self._mark = mark
        self._scope = scope
        self._source = source

    def start(self) -> None:
        """Reset the mark."""
        self._phase = self._mark.begin()

    def stop(self) -> None:
        """Read the mark."""
        self._peak_bytes = self._mark.end(self._phase)

    def reading(self) -> Reading:
        """Return the peak in bytes, or why there is none."""
        if self._peak_bytes == 0:
            return unmeasured("B", self._scope, "nothing was allocated there in this phase")
        return Reading(value=self._peak_bytes, unit="B", scope=self._scope, source=self._source)


class SampledPeak:
    """A phase's peak resident set where the kernel's mark cannot be reset: sampled, so short peaks may be missed.

    ``getrusage`` gives the peak of the process's whole life; where that rose in the phase, it is the phase's peak.

    Args:
        life_peak: returns the peak of the process's life in bytes, or None.
    """

    def __init__(self, life_peak: Callable[[], int | None] = life_peak_bytes) -> None:
        self._life_peak = life_peak
        self._peak_bytes = 0
        self._poller = Poller(self._sample, SAMPLE_INTERVAL_S)

    def start(self) -> None:
        """Start the sampling thread."""
        self._life_bytes = self._life_peak()
        self._poller.start()

    def stop(self) -> None:
        """End the sampling thread."""
        self._poller.stop()
        life_bytes = self._life_peak()
        rose = life_bytes is not None and self._life_bytes is not None and life_bytes > self._life_bytes
        self._exact_bytes = life_bytes if rose else None

    def reading(self) -> Reading:
        """Return the peak in bytes."""
        if self._exact_bytes is not None:
            return Reading(value=self._exact_bytes, unit="B", scope="this process", source="getrusage maximum")
        source = f"resident set sampled every {SAMPLE_INTERVAL_S:g} s"
        return Reading(value=self._peak_bytes, unit="B", scope="this process", source=source)

    def _sample(self) -> None:
        self._peak_bytes = max(self._peak_bytes, resident_bytes())


class MemoryMeter(Meter):
    """Peak bytes: torch's allocator on CUDA, the resident set of the process on a CPU."""

    unit = "B"

    def start(self) -> None:
        """Reset the high-water mark of the device."""
        self._peak = self._started()

    def stop(self) -> None:
        """Read it."""
        self._peak.stop()

    def reading(self) -> Reading:
        """Return the peak."""
        return self._peak.reading()

    def _started(self) -> MarkedPeak | SampledPeak:
        if self.device.kind == "cuda":
            return self._started_on_gpu()
        if self.device.kind != "cpu":
            raise NotImplementedError(f"no memory meter for {self.device.kind}")
        return started_on_cpu(_KERNEL)

    def _started_on_gpu(self) -> MarkedPeak:
        import torch

        index = self.device.cuda_index()
        mark = _GPUS.setdefault(index, cuda_high_water(index, torch.cuda))
        peak = MarkedPeak(mark, f"GPU {index}, torch allocator", "torch.cuda.max_memory_allocated")
        peak.start()
        return peak


def started_on_cpu(kernel: HighWater) -> MarkedPeak | SampledPeak:
    """Return a running meter of the resident set: by the kernel's mark if it can be reset, by sampling if not."""
    marked = MarkedPeak(kernel, "this process", "kernel high-water mark of the resident set")
    try:
        marked.start()
    except (OSError, KeyError, ValueError):  # no /proc, no permission, or a sandbox that has the file but not the mark
        sampled = SampledPeak()
        sampled.start()
        return sampled
    return marked
