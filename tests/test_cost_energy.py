"""The energy meters on this machine: the estimate, RAPL under a thread that polls, a GPU's counter and its power."""

from __future__ import annotations

import itertools
import math
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from metering import read, spin, value
from pydantic import ValidationError

from peftsum.cost import component, counters
from peftsum.cost.component import Trace
from peftsum.cost.cpu import CpuEnergy
from peftsum.cost.estimate import (
    CPU_CORE_WATTS,
    GIVEN_WATTS_ERROR,
    IDLE_SHARE,
    RAM_GIB_WATTS,
    ProcessUse,
    estimate_cores,
    estimate_ram,
)
from peftsum.cost.gpu import GpuEnergy
from peftsum.cost.nvml import NvmlSensor
from peftsum.cost.rapl import rapl_counters
from peftsum.cost.readings import Reading, Readings
from peftsum.cost.section import Cost
from peftsum.units import GIB


@pytest.fixture(autouse=True)
def _no_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(component, "_BASELINES", {})


# Energy: the estimate


@pytest.fixture
def no_rapl(tmp_path: Path) -> Path:
    return tmp_path / "powercap"


def cpu_side(phase: Callable[[], object], powercap: Path, cost: Cost | None = None) -> list[component.Part]:
    meter = CpuEnergy(cost or Cost(), rapl_counters(powercap))
    meter.prepare()
    meter.start()
    phase()
    meter.stop()
    return meter.parts()


def cpu_energy(phase: Callable[[], object], powercap: Path, cost: Cost | None = None) -> Reading:
    return cpu_side(phase, powercap, cost)[0].energy


def test_a_busy_loop_costs_more_than_a_sleep_and_a_sleep_more_than_nothing(no_rapl: Path) -> None:
    busy = cpu_energy(lambda: spin(0.3), no_rapl)
    asleep = cpu_energy(lambda: time.sleep(0.3), no_rapl)
    assert value(busy) > 3 * value(asleep) > 0
    assert value(busy) == pytest.approx(0.3 * CPU_CORE_WATTS.value, rel=0.3)


def test_an_estimate_says_so_with_its_range_and_why(no_rapl: Path) -> None:
    reading = cpu_energy(lambda: spin(0.05), no_rapl)
    assert reading.estimated
    assert reading.source == "estimate: 8 W a busy core (range 3.5 to 15)"
    assert reading.reason == "FileNotFoundError: no RAPL package counter on this machine"
    assert reading.low is not None
    assert reading.high is not None
    assert reading.low < value(reading) < reading.high


def test_the_estimate_is_the_stated_formula() -> None:
    begin = ProcessUse(clock_s=10.0, own_cpu_s=1.0, children_cpu_s=5.0, ram_bytes=1 * GIB)
    end = ProcessUse(clock_s=30.0, own_cpu_s=4.0, children_cpu_s=7.0, ram_bytes=3 * GIB)
    cores, ram = estimate_cores(begin, end, CPU_CORE_WATTS, "test"), estimate_ram(begin, end, "test")
    for name in ("value", "low", "high"):
        assert getattr(cores, name) == pytest.approx((3 + 2) * getattr(CPU_CORE_WATTS, name))
        assert getattr(ram, name) == pytest.approx(2 * 20 * getattr(RAM_GIB_WATTS, name))


def test_children_that_vanish_make_no_negative_energy() -> None:
    begin = ProcessUse(clock_s=0.0, own_cpu_s=1.0, children_cpu_s=100.0, ram_bytes=None)
    end = ProcessUse(clock_s=1.0, own_cpu_s=2.0, children_cpu_s=0.0, ram_bytes=None)
    assert value(estimate_cores(begin, end, CPU_CORE_WATTS, "test")) == CPU_CORE_WATTS.value
    ram = estimate_ram(begin, end, "test")
    assert (ram.value, ram.reason) == (None, "test; and the system does not tell the resident set")


def test_no_use_at_all_is_unmeasured_not_zero() -> None:
    still = ProcessUse(clock_s=0.0, own_cpu_s=1.0, children_cpu_s=0.0, ram_bytes=1)
    for reading in (
        estimate_cores(still, still, CPU_CORE_WATTS, "no counter"),
        estimate_ram(still, still, "no counter"),
    ):
        assert reading.value is None
        assert "no counter" in (reading.reason or "")


def test_the_idle_share_of_an_estimate_is_the_stated_fraction(no_rapl: Path) -> None:
    cores, ram = cpu_side(lambda: spin(0.1), no_rapl)
    assert value(cores.idle) == pytest.approx(IDLE_SHARE.value * value(cores.energy))
    assert value(ram.idle) == pytest.approx(value(ram.energy))
    assert cores.idle.source == "estimate: 0.21 of a busy core's watts (range 0.16 to 0.32)"
    assert cores.idle.estimated


BUSY_CHILD = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"


def test_children_count_ended_or_not(no_rapl: Path) -> None:
    ended = cpu_energy(lambda: subprocess.run([sys.executable, "-c", BUSY_CHILD], check=True), no_rapl)
    assert value(ended) > 0.3 * CPU_CORE_WATTS.value

    code = f"{BUSY_CHILD}\nprint(flush=True)\ntime.sleep(60)"
    children: list[subprocess.Popen[str]] = []

    def leave_a_busy_child() -> None:
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        children.append(child)
        assert child.stdout is not None
        child.stdout.readline()

    try:
        alive = cpu_energy(leave_a_busy_child, no_rapl)
    finally:
        for child in children:
            child.kill()
            child.communicate()
    assert value(alive) > 0.3 * CPU_CORE_WATTS.value


def test_watts_of_the_recipe_replace_the_default(no_rapl: Path) -> None:
    reading = cpu_energy(lambda: spin(0.1), no_rapl, Cost(cpu_watts_per_core=100.0))
    assert value(reading) > 0.1 * 100
    assert reading.source.startswith("estimate: 100 W a busy core (range 60 to 140)")
    assert reading.high is not None
    assert reading.high == pytest.approx(value(reading) * (1 + GIVEN_WATTS_ERROR), rel=0.05)


@pytest.mark.parametrize("watts", [0.0, -8.0, math.nan, math.inf])
def test_a_recipe_cannot_make_cores_free(watts: float) -> None:
    with pytest.raises(ValidationError):
        Cost(cpu_watts_per_core=watts)


def test_switched_off() -> None:
    readings = read(lambda: None, Cost(energy=False))
    assert readings.energy_j.value is None
    assert readings.energy_j.reason == "switched off in the recipe"
    assert value(readings.wall_s) > 0
    assert value(readings.peak_memory_bytes) > 0


# Energy: RAPL


class FakeRapl:
    """A powercap folder of two packages, with what must not be counted beside them."""

    RANGE_UJ = 1_000_000

    def __init__(self, root: Path) -> None:
        self.root = root
        for zone, name in {
            "intel-rapl:0": "package-0",
            "intel-rapl:0:0": "core",
            "intel-rapl:0:1": "dram",
            "intel-rapl:0:2": "package-0",  # no kernel names a subzone so, but it would still be in its package
            "intel-rapl:1": "package-1",
            "intel-rapl:2": "psys",
            "intel-rapl-mmio:0": "package-0",
        }.items():
            (root / zone).mkdir(parents=True)
            (root / zone / "name").write_text(f"{name}\n")
            (root / zone / "max_energy_range_uj").write_text(f"{self.RANGE_UJ}\n")
            self.set(zone, 500_000)

    def set(self, zone: str, energy_uj: int) -> None:
        """Move one counter, in one step as the kernel does: a reader never finds the file empty."""
        (self.root / "new").write_text(f"{energy_uj}\n")
        (self.root / "new").replace(self.root / zone / "energy_uj")

    def set_all(self, energy_uj: int) -> None:
        """Move every counter."""
        for zone in list(self.root.iterdir()):
            self.set(zone.name, energy_uj)


@pytest.fixture
def rapl(tmp_path: Path) -> FakeRapl:
    return FakeRapl(tmp_path / "powercap")


def test_rapl_is_read_by_itself_and_its_memory_apart(rapl: FakeRapl) -> None:
    parts = cpu_side(lambda: rapl.set_all(700_000), rapl.root)
    assert [value(part.energy) for part in parts] == pytest.approx(
        [0.2, 0.2, 0.2]
    )  # two packages, and the first's DRAM
    assert [part.energy.scope.split(" (")[0] for part in parts] == [
        "CPU package-0",
        "CPU package-1",
        "RAM of package-0",
    ]
    assert not any(part.energy.estimated for part in parts)


def test_rapl_wraps_again_and_again_in_a_long_phase(rapl: FakeRapl) -> None:
    found = rapl_counters(rapl.root)
    found._interval_s = 0.005
    found.open()
    found.start()
    for energy_uj in (900_000, 300_000, 700_000, 100_000, 500_000):  # +0.4 J each; the end equals the beginning
        rapl.set("intel-rapl:0", energy_uj)
        time.sleep(0.05)
    found.stop()
    assert found.domains[0].moved_uj == 2_000_000


def test_the_rest_is_looked_at_once_a_process(rapl: FakeRapl, monkeypatch: pytest.MonkeyPatch) -> None:
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        rapl.set_all(500_000 + 1_000 * len(slept))

    monkeypatch.setattr(counters, "time", SimpleNamespace(sleep=sleep, perf_counter=ticks(0.0, 0.1)))
    first, second = (cpu_side(lambda at=at: rapl.set_all(at), rapl.root) for at in (700_000, 900_000))
    assert slept == [counters.BASELINE_S]
    for parts in (first, second):
        assert parts[0].idle.source == "RAPL counter over 0.1 s before the first phase"
        assert 0 < value(parts[0].idle) <= value(parts[0].energy)


@pytest.mark.parametrize("when", ["before", "within", "still"])
def test_rapl_that_fails_falls_to_the_estimate_with_the_reason(rapl: FakeRapl, when: str) -> None:
    def phase() -> None:
        spin(0.02)
        if when == "within":
            (rapl.root / "intel-rapl:1" / "energy_uj").unlink()

    if when == "before":
        # A folder cannot be read as a file by anyone; a mode of 000 would not stop root, who runs tests in containers.
        shutil.move(rapl.root / "intel-rapl:0" / "energy_uj", rapl.root / "moved")
        (rapl.root / "intel-rapl:0" / "energy_uj").mkdir()
    reading = cpu_energy(phase, rapl.root)
    assert reading.estimated
    assert value(reading) > 0
    expected = {"before": "IsADirectoryError", "within": "FileNotFoundError", "still": "did not move"}
    assert expected[when] in (reading.reason or "")


# Energy: a GPU


def test_a_trace_is_the_trapezoid_sum() -> None:
    trace = Trace()
    for at_s, power_w in [(0.0, 10.0), (1.0, 30.0), (4.0, 30.0)]:
        trace.add(at_s, power_w)
    assert (trace.integral, trace.span_s, trace.low, trace.high) == (20 + 90, 4.0, 10.0, 30.0)


class FakeNvml:
    """NVML of a GPU without energy counter, at a steady power in mW."""

    def __init__(self, power_mw: int) -> None:
        self.power_mw = power_mw
        self.shut_down = 0

    def nvmlDeviceGetIndex(self, handle: object) -> int:  # noqa: N802  # NVML's name
        """Return the first."""
        assert handle == "handle"
        return 0

    def nvmlDeviceGetPowerUsage(self, handle: object) -> int:  # noqa: N802  # NVML's name
        """Return mW."""
        return self.power_mw

    def nvmlShutdown(self) -> None:  # noqa: N802  # NVML's name
        """Count the calls."""
        self.shut_down += 1


def ticks(*times_s: float) -> Callable[[], float]:
    """A clock that shows these times, then stays at the last."""
    shown = itertools.chain(times_s, itertools.repeat(times_s[-1]))
    return lambda: next(shown)


def test_nvml_power_is_integrated_by_a_thread_that_ends() -> None:
    nvml = FakeNvml(power_mw=50_000)
    meter = GpuEnergy(NvmlSensor(nvml, "handle"), None)
    meter.start()
    time.sleep(0.3)
    meter.stop()
    (part,) = meter.parts()
    assert value(part.energy) == pytest.approx(0.3 * 50, rel=0.5)
    assert part.energy.source == "NVML power polled every 0.1 s"
    assert nvml.shut_down == 1
    assert not any(thread.name == "peftsum-poller" for thread in threading.enumerate())


# The whole meter


def test_energy_is_the_sum_of_its_parts_and_a_short_window_is_flagged() -> None:
    readings = read(lambda: spin(0.05))
    assert len(readings.energy_parts) >= 2
    assert value(readings.energy_j) == pytest.approx(sum(value(part) for part in readings.energy_parts))
    for reading in (readings.energy_j, *readings.energy_parts):
        assert "window under 2 s" in (reading.reason or "")
        assert reading.source != "none"
    assert 0 < value(readings.idle_energy_j) < value(readings.energy_j)
    assert readings.codecarbon_j is None


# codecarbon beside it


def tracked(monkeypatch: pytest.MonkeyPatch, tracker: Any) -> tuple[Readings, list[dict[str, Any]]]:
    made: list[dict[str, Any]] = []

    def make(**options: Any) -> Any:
        made.append(options)
        return tracker

    monkeypatch.setitem(sys.modules, "codecarbon", SimpleNamespace(OfflineEmissionsTracker=make))
    return read(lambda: spin(0.05), Cost(codecarbon=True)), made


class FakeTracker:
    """codecarbon's tracker, which has found some kWh; it may fail at any step."""

    def __init__(self, cpu: float, ram: float, fails: str | None = None) -> None:
        self.steps: list[str] = []
        self._fails = fails
        self.final_emissions_data = SimpleNamespace(
            cpu_energy=cpu,
            gpu_energy=0.0,
            ram_energy=ram,
            energy_consumed=cpu + ram,
            codecarbon_version="9.9",
            tracking_mode="process",
        )

    def start(self) -> None:
        """Note it."""
        self._step("start")

    def stop(self) -> None:
        """Note it."""
        self._step("stop")

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if name == self._fails:
            raise RuntimeError(f"no {name}")


def test_codecarbon_is_kept_beside_our_figure_with_the_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = FakeTracker(cpu=1e-6, ram=3e-6)
    readings, made = tracked(monkeypatch, tracker)
    assert tracker.steps == ["start", "stop"]
    assert made[0]["output_methods"] == []  # no file, no network
    found = readings.codecarbon_j
    assert found is not None
    assert value(found) == pytest.approx(14.4)
    assert (found.source, found.estimated) == ("codecarbon 9.9, process mode", True)
    assert f"{14.4 / value(readings.energy_j) - 1:+.0%} against ours" in (found.reason or "")
    assert "CPU 3.6 J, GPU 0 J, RAM 10.8 J" in (found.reason or "")
    assert value(readings.energy_j) == pytest.approx(sum(value(part) for part in readings.energy_parts))


@pytest.mark.parametrize(
    ("tracker", "reason"),
    [
        (FakeTracker(1e-6, 1e-6, fails="start"), "RuntimeError: no start"),
        (FakeTracker(1e-6, 1e-6, fails="stop"), "RuntimeError: no stop"),
        (FakeTracker(0.0, 0.0), "codecarbon gave no figure"),
    ],
)
def test_codecarbon_that_fails_costs_its_own_figure_only(
    monkeypatch: pytest.MonkeyPatch, tracker: FakeTracker, reason: str
) -> None:
    readings, _ = tracked(monkeypatch, tracker)
    assert readings.codecarbon_j is not None
    assert (readings.codecarbon_j.value, readings.codecarbon_j.reason) == (None, reason)
    assert value(readings.energy_j) > 0


def test_codecarbon_that_is_not_there_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    readings = read(lambda: None, Cost(codecarbon=True))
    assert readings.codecarbon_j is not None
    assert "pip install peftsum[codecarbon]" in (readings.codecarbon_j.reason or "")


def test_the_real_codecarbon_leaves_no_file_and_connects_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("codecarbon")
    monkeypatch.chdir(tmp_path)  # sockets are disabled in all tests
    found = read(lambda: spin(0.5), Cost(codecarbon=True)).codecarbon_j
    assert value(found) > 0
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
