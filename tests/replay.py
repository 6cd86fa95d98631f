"""Recorded counter logs, played to the meters at the lowest boundary: files of sysfs and the vendors' libraries."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from peftsum.cost import component, counters, energy, estimate, gpu
from peftsum.cost.component import Part
from peftsum.cost.energy import open_components
from peftsum.cost.meter import Device
from peftsum.cost.section import Cost

LOGS = Path(__file__).parent / "counter_logs"


class Log:
    """A log (tests/counter_logs/README.md) with a clock that stands at one of its rows."""

    def __init__(self, path: Path) -> None:
        lines = path.read_text().splitlines()
        pairs = [line.removeprefix("# ").partition(" = ") for line in lines if line.startswith("# ")]
        self.facts = {name: value for name, _, value in pairs}
        self.rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
        self.number = 0
        self.pollers: list[ReplayPoller] = []
        self.on_move: Callable[[], None] = lambda: None

    @property
    def row(self) -> dict[str, str]:
        """The counters now."""
        return self.rows[self.number]

    def clock(self) -> float:
        """Return the time now, in seconds."""
        return float(self.row["t_s"])

    def begin(self, seconds: float = 0.0) -> None:
        """Go to where the phase begins; takes the place of ``time.sleep`` at rest."""
        while self.clock() < 0:
            self._move()

    def play(self) -> None:
        """Go on to the end; whoever polls does so when it is due."""
        while self.number < len(self.rows) - 1:
            self._move()
            for poller in self.pollers:
                poller.tick()

    def value(self, column: str) -> float:
        """Return a counter now, or raise as a library does that cannot read it."""
        text = self.row.get(column, self.facts.get(column, ""))
        if text == "denied":
            raise PermissionError(f"{column}: Insufficient Permissions")
        if not text:
            raise OSError(f"{column}: Not Supported")
        return float(text)

    def _move(self) -> None:
        self.number += 1
        self.on_move()


class ReplayPoller:
    """Polls as :class:`peftsum.cost.meter.Poller` does, by the log's clock and without a thread."""

    def __init__(self, log: Log, poll: Callable[[], None], interval_s: float) -> None:
        self._log, self._poll, self._interval_s = log, poll, interval_s
        self._error: Exception | None = None
        log.pollers.append(self)

    def start(self) -> None:
        """Poll at once."""
        self._poll()
        self._last_s = self._log.clock()

    def tick(self) -> None:
        """Poll if it is time."""
        if self._error is None and self._log.clock() - self._last_s >= self._interval_s:
            self._last_s = self._log.clock()
            try:
                self._poll()
            except Exception as error:
                self._error = error

    def stop(self) -> None:
        """Poll a last time."""
        if self._error is not None:
            raise self._error
        self._poll()


def lay_out(log: Log, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the log's files of sysfs, and again whenever the clock moves."""
    denied = set()

    def write() -> None:
        for name, text in (log.facts | log.row).items():
            path = root / name
            if not name.startswith("intel-rapl"):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if text == "denied":
                denied.add(path)
                text = "0"
            if text:
                path.write_text(f"{text}\n")
            else:
                path.unlink(missing_ok=True)

    read = Path.read_text

    def read_if_allowed(path: Path, *args: Any, **options: Any) -> str:
        if path in denied:  # a mode of 000 would not stop root, who runs tests in containers
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, *args, **options)

    monkeypatch.setattr(Path, "read_text", read_if_allowed)
    root.mkdir(exist_ok=True)
    log.on_move = write
    write()


class ReplayNvml:
    """The part of ``pynvml`` that the meters use, with a log's GPUs."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.open = 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        reads = {
            "nvmlDeviceGetTotalEnergyConsumption": "energy_mj",
            "nvmlDeviceGetPowerUsage": "power_mw",
            "nvmlDeviceGetEnforcedPowerLimit": "limit_mw",
        }
        return lambda handle: int(self._log.value(f"gpu{handle}.{reads[name]}"))

    def nvmlInit(self) -> None:  # noqa: N802  # NVML's name
        """Count the calls."""
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802  # NVML's name
        """Count the calls."""
        self.open -= 1

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:  # noqa: N802  # NVML's name
        """Return the GPU's number as its handle."""
        return int(uuid.removeprefix("GPU-uuid-"))

    def nvmlDeviceGetIndex(self, handle: int) -> int:  # noqa: N802  # NVML's name
        """Return the GPU's number."""
        return handle

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> SimpleNamespace:  # noqa: N802  # NVML's name
        """Return per cent."""
        return SimpleNamespace(gpu=int(self._log.value(f"gpu{handle}.utilisation")))


class ReplayAmdSmi:
    """The part of ``amdsmi`` that the meters use, with a log's GPU."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.open = 0

    def amdsmi_init(self) -> None:
        """Count the calls."""
        self.open += 1

    def amdsmi_shut_down(self) -> None:
        """Count the calls."""
        self.open -= 1

    def amdsmi_get_processor_handle_from_bdf(self, place: str) -> str:
        """Return the place on the bus as the handle."""
        assert place == "0000:c1:00.0"
        return place

    def amdsmi_get_energy_count(self, handle: str) -> dict[str, float]:
        """Return the accumulator and what a step of it is worth, in microjoules."""
        names = ("energy_accumulator", "counter_resolution")
        return {name: self._log.value(f"gpu0.{name}") for name in names}

    def amdsmi_get_power_info(self, handle: str) -> dict[str, float | str]:
        """Return watts, or "N/A"."""
        names = ("current_socket_power", "average_socket_power", "power_limit")
        return {name: self._known(name) for name in names}

    def amdsmi_get_gpu_activity(self, handle: str) -> dict[str, float | str]:
        """Return per cent."""
        return {"gfx_activity": self._known("gfx_activity")}

    def _known(self, name: str) -> float | str:
        try:
            return self._log.value(f"gpu0.{name}")
        except OSError:
            return "N/A"


class ReplayApple:
    """The part of ``zeus_apple_silicon.AppleEnergyMonitor`` that the meters use."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def get_cumulative_energy(self) -> SimpleNamespace:
        """Return millijoules, or None."""
        names = ("cpu_total_mj", "dram_mj", "gpu_mj")
        return SimpleNamespace(**{name: int(self._log.row[name]) if self._log.row[name] else None for name in names})


class Replay:
    """The machine of a log, as the meters see it.

    Args:
        log: name of a log in tests/counter_logs.
        tmp_path: for its sysfs.
        monkeypatch: puts it in the place of the real one.
    """

    def __init__(self, log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import torch

        self.log = Log(LOGS / f"{log}.csv")
        self.powercap = tmp_path / "powercap"
        lay_out(self.log, self.powercap, monkeypatch)
        gpus = {name.partition(".")[0] for name in self.log.rows[0] if name.startswith("gpu") and "." in name}
        self.device = Device("cuda", 0) if gpus else Device("cpu")
        self.nvml, self.amd = ReplayNvml(self.log), ReplayAmdSmi(self.log)
        for module in (gpu, estimate):
            monkeypatch.setattr(module, "perf_counter", self.log.clock)
        clock = SimpleNamespace(perf_counter=self.log.clock, sleep=self.log.begin)
        monkeypatch.setattr(counters, "time", clock)
        for module in (gpu, counters):
            monkeypatch.setattr(module, "Poller", lambda poll, interval_s: ReplayPoller(self.log, poll, interval_s))
        monkeypatch.setattr(component, "_BASELINES", {})
        monkeypatch.setitem(sys.modules, "pynvml", self.nvml)
        monkeypatch.setitem(sys.modules, "amdsmi", self.amd)
        monkeypatch.setattr(torch.version, "hip", "7.0" if log.startswith("amd") else None)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(gpus))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda index: 1)
        monkeypatch.setattr(
            torch.cuda,
            "get_device_properties",
            lambda index: SimpleNamespace(
                uuid=f"uuid-{index}", pci_domain_id=0, pci_bus_id=0xC1 + index, pci_device_id=0
            ),
        )
        monkeypatch.setattr(energy, "is_apple_chip", lambda: log.startswith("apple"))
        apple = SimpleNamespace(AppleEnergyMonitor=lambda: ReplayApple(self.log))
        monkeypatch.setitem(sys.modules, "zeus_apple_silicon", apple)

    def parts(self, cost: Cost | None = None) -> list[Part]:
        """Play the log to the meters and return what they read."""
        components = open_components(cost or Cost(), self.device, self.powercap)
        for meter in components:
            meter.prepare()
        self.log.begin()
        for meter in components:
            meter.start()
        self.log.play()
        for meter in components:
            meter.stop()
        return [part for meter in components for part in meter.parts()]
