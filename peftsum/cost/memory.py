"""Peak memory of a phase: what torch allocated and reserved on a GPU, or the process's resident set on a CPU."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

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

    def max_memory_reserved(self, device: int) -> int:
        """Return the peak of what the allocator holds of the GPU, since the last reset."""

    def reset_peak_memory_stats(self, device: int) -> None:
        """Set both peaks back to what there is now."""


Marks = tuple[int, ...]
"""High-water marks that one reset sets back together, in bytes."""


class Phase:
    """One phase between begin and end: what was in use at its start, and the highest marks seen in it so far."""

    def __init__(self, start: Marks) -> None:
        self.start = start
        self.peak = start


class HighWater:
    """High-water marks that there is only one set of, shared by phases that nest or overlap.

    Starting a phase resets the marks, so what they stood at is first put down for the phases still open: an outer phase
    keeps the peak it had before an inner one began.

    Args:
        read: returns the marks since the last reset, in bytes.
        reset: sets the marks back to the present use.
    """

    def __init__(self, read: Callable[[], Marks], reset: Callable[[], None]) -> None:
        self._read = read
        self._reset = reset
        self._open: list[Phase] = []
        self._lock = threading.Lock()

    def begin(self) -> Phase:
        """Reset the marks and return a new phase."""
        with self._lock:
            marks = self._read()
            for phase in self._open:
                phase.peak = _higher(phase.peak, marks)
            self._reset()
            started = Phase(self._read())  # just after a reset the mark is the present use
            self._open.append(started)
            return started

    def end(self, phase: Phase) -> Marks:
        """Close the phase and return its peaks in bytes."""
        with self._lock:
            self._open.remove(phase)
            return _higher(phase.peak, self._read())


def _higher(one: Marks, other: Marks) -> Marks:
    return tuple(max(pair) for pair in zip(one, other, strict=True))


def cuda_high_water(index: int, cuda: CudaMemory) -> HighWater:
    """Return the marks of torch's caching allocator on one GPU: allocated, then reserved."""
    return HighWater(
        lambda: (cuda.max_memory_allocated(index), cuda.max_memory_reserved(index)),
        lambda: cuda.reset_peak_memory_stats(index),
    )


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

    return HighWater(lambda: (status_bytes()["VmHWM"],), reset)


_KERNEL = kernel_high_water()  # one in the process, as the mark itself is
_GPUS: dict[int, HighWater] = {}


class MarkedPeak:
    """A phase's peak by a high-water mark.

    Args:
        mark: the marks; the first is the peak, a second one what the allocator held.
        scope: of the readings.
        source: of the peak.
        reserved_source: of the second mark, where there is one.
    """

    def __init__(self, mark: HighWater, scope: str, source: str, reserved_source: str | None = None) -> None:
        self._mark = mark
        self._scope = scope
        self._source = source
        self._reserved_source = reserved_source

    def start(self) -> None:
        """Reset the mark."""
        self._phase = self._mark.begin()

    def stop(self) -> None:
        """Read the mark."""
        self._peak = self._mark.end(self._phase)

    def reading(self) -> Reading:
        """Return the peak in bytes, or why there is none."""
        return self._of(self._peak[0], self._source)

    def over_start(self) -> Reading:
        """Return the peak less what was in use at the start."""
        return _over(self.reading(), self._phase.start[0])

    def reserved(self) -> Reading | None:
        """Return the peak of what the allocator held; None on a CPU."""
        return self._of(self._peak[1], self._reserved_source) if self._reserved_source else None

    def _of(self, peak_bytes: int, source: str) -> Reading:
        if peak_bytes == 0:
            return unmeasured("B", self._scope, "nothing was allocated there in this phase")
        return Reading(value=peak_bytes, unit="B", scope=self._scope, source=source)


def _over(peak: Reading, start_bytes: int) -> Reading:
    if peak.value is None:
        return peak
    source = f"{peak.source}, less what was in use at the start"
    return peak.model_copy(update={"value": max(0, peak.value - start_bytes), "source": source})


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
        self._start_bytes = resident_bytes()
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

    def over_start(self) -> Reading:
        """Return the peak less what was in use at the start."""
        return _over(self.reading(), self._start_bytes)

    def reserved(self) -> None:
        """Return None: nothing is reserved on a CPU."""

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

    def details(self) -> dict[str, Any]:
        """Return the peak over the start and, on CUDA, what the allocator held."""
        return {
            "memory_over_start_bytes": self._peak.over_start(),
            "reserved_memory_bytes": self._peak.reserved(),
        }

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
        allocated, reserved = "torch.cuda.max_memory_allocated", "torch.cuda.max_memory_reserved"
        peak = MarkedPeak(mark, f"GPU {index}, torch allocator", allocated, reserved)
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
