"""What a meter is, and the device it stands around."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from peftsum.cost.readings import Reading, Unit
from peftsum.cost.section import Cost


@dataclass(frozen=True)
class Device:
    """A torch device by name, taken apart without importing torch."""

    kind: str
    """"cpu", "cuda", or what else was asked for and has no meter."""
    index: int | None = None
    """The CUDA device; None is the current one."""

    def __str__(self) -> str:
        return self.kind if self.index is None else f"{self.kind}:{self.index}"

    @classmethod
    def parse(cls, name: str) -> Device:
        """Return the device of a name such as ``cpu`` or ``cuda:1``; an odd name is kept whole as its kind."""
        kind, _, index = name.partition(":")
        if not index:
            return cls(kind)
        return cls(kind, int(index)) if index.isdecimal() else cls(name)

    def cuda_index(self) -> int:
        """Return the index of the CUDA device among those this process sees."""
        if self.index is not None:
            return self.index
        import torch

        return torch.cuda.current_device()

    def synchronise(self) -> None:
        """Wait until the GPU has done what was asked of it; without this a clock reads the queueing, not the work."""
        if self.kind == "cuda":
            import torch

            torch.cuda.synchronize(self.cuda_index())


def describe(error: Exception) -> str:
    """Return an exception as a reason: its kind and what it says, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


class Meter(ABC):
    """Reads one cost of a phase: started before it, stopped after it, then asked for the reading.

    A meter may raise; :func:`peftsum.cost.meters.measure` turns that into a reading without value.

    Args:
        cost: the recipe's wishes.
        device: where the phase runs.
    """

    unit: ClassVar[Unit]

    def __init__(self, cost: Cost, device: Device) -> None:
        self.cost = cost
        self.device = device

    def prepare(self) -> None:  # noqa: B027  # most meters have nothing to open
        """Open what is read, before anything is timed and before the device is touched."""

    @abstractmethod
    def start(self) -> None:
        """Begin the window."""

    @abstractmethod
    def stop(self) -> None:
        """End the window: read clocks and counters, compute nothing yet."""

    @abstractmethod
    def reading(self) -> Reading:
        """Return what was read; called once, after :meth:`stop`."""

    def details(self) -> dict[str, Any]:
        """Return further fields of Readings, by name; called once, after :meth:`reading`."""
        return {}


class Poller:
    """Calls a function at once, then every ``interval_s`` seconds in a thread, and a last time when stopped.

    Args:
        poll: what to call; its first exception ends the polling and is raised again by :meth:`stop`.
        interval_s: seconds between calls.
    """

    def __init__(self, poll: Callable[[], None], interval_s: float) -> None:
        self._poll = poll
        self._interval_s = interval_s
        self._done = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="peftsum-poller", daemon=True)

    def start(self) -> None:
        """Poll once and start the thread."""
        self._poll()
        self._thread.start()

    def stop(self) -> None:
        """End the thread and poll once more.

        Raises:
            Exception: what the polled function raised.
            TimeoutError: a poll still hangs after five seconds.
        """
        self._done.set()
        self._thread.join(timeout=5)
        if self._thread.is_alive():
            raise TimeoutError("a counter did not answer for 5 s")
        if self._error is not None:
            raise self._error
        self._poll()

    def _run(self) -> None:
        while not self._done.wait(self._interval_s):
            try:
                self._poll()
            except Exception as error:
                self._error = error
                return
