"""Meters: what they read is real, what they cannot read says why, and they never disturb the block."""

from __future__ import annotations

import itertools
import json
import math
import platform
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from peftsum.cost import METERS
from peftsum.cost.energy import CpuEnergy
from peftsum.cost.estimate import CPU_CORE_WATTS, GIVEN_WATTS_ERROR, RAM_GIB_WATTS, ProcessUse, estimate_cpu_energy
from peftsum.cost.machine import describe_machine
from peftsum.cost.memory import MarkedPeak, SampledPeak, cuda_high_water, kernel_high_water, started_on_cpu
from peftsum.cost.meter import Device, Meter, Poller
from peftsum.cost.meters import combine, measure
from peftsum.cost.nvml import GpuEnergy
from peftsum.cost.process import life_peak_bytes, machine_ram_bytes
from peftsum.cost.rapl import RaplCounter
from peftsum.cost.readings import Reading, Readings, unmeasured
from peftsum.cost.section import Cost
from peftsum.exceptions import UsageError
from peftsum.units import GIB, MIB

BLOCK_BYTES = 200 * MIB
TOLERANCE_BYTES = 40 * MIB  # other threads and the allocator's own pages


def touch(size_bytes: int) -> None:
    """Allocate, so that every page is resident, and free."""
    block = bytearray(size_bytes)
    block[:: 4 * 1024] = b"\1" * len(block[:: 4 * 1024])


def spin(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        math.sqrt(2.0)


def read(phase: Callable[[], object], cost: Cost | None = None) -> Readings:
    with measure(cost or Cost(), "cpu") as measurement:
        phase()
    return measurement.readings


def value(reading: Reading) -> float:
    assert reading.value is not None, reading.reason
    return reading.value


# Readings


def test_a_reading_without_value_needs_a_reason() -> None:
    with pytest.raises(ValidationError, match="needs a reason"):
        Reading(value=None, unit="J", scope="CPU", source="none")
    assert unmeasured("J", "CPU", "no counter").reason == "no counter"


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_a_reading_is_finite_and_never_negative(bad: float) -> None:
    with pytest.raises(ValidationError):
        Reading(value=bad, unit="J", scope="CPU", source="counter")


def test_the_meters_fill_every_field_of_readings() -> None:
    assert set(METERS) == set(Readings.model_fields)


def test_readings_survive_json() -> None:
    readings = read(lambda: None)
    assert Readings.model_validate_json(readings.model_dump_json()) == readings


# Wall


def test_wall_of_a_sleep() -> None:
    reading = read(lambda: time.sleep(0.2)).wall_s
    assert 0.2 <= value(reading) < 0.6  # the machine may be busy
    assert (reading.unit, reading.source) == ("s", "perf_counter")


# Memory


def test_peak_rises_by_what_the_phase_allocated_and_the_next_phase_forgets_it() -> None:
    touch(BLOCK_BYTES)  # the lifetime peak of the process must not count
    empty = value(read(lambda: None).peak_memory_bytes)
    full = value(read(lambda: touch(BLOCK_BYTES)).peak_memory_bytes)
    after = value(read(lambda: None).peak_memory_bytes)
    assert full - empty == pytest.approx(BLOCK_BYTES, abs=TOLERANCE_BYTES)
    assert after - empty == pytest.approx(0, abs=TOLERANCE_BYTES)


def test_an_inner_phase_does_not_take_the_peak_of_the_outer_one() -> None:
    with measure(Cost(), "cpu") as outer:
        touch(BLOCK_BYTES)
        inner = read(lambda: None)
    gap = value(outer.readings.peak_memory_bytes) - value(inner.peak_memory_bytes)
    assert gap == pytest.approx(BLOCK_BYTES, abs=TOLERANCE_BYTES)


def stuck_proc(folder: Path) -> Path:
    """A /proc/self whose mark does not follow the reset, as before Linux 4.0."""
    (folder / "status").write_text("Name:\tx\nVmHWM:\t 9000000 kB\nVmRSS:\t 100000 kB\n")
    (folder / "clear_refs").write_text("")
    return folder


@pytest.mark.parametrize("proc", ["missing", "stuck"])
def test_without_the_kernel_mark_the_resident_set_is_sampled(proc: str, tmp_path: Path) -> None:
    folder = stuck_proc(tmp_path) if proc == "stuck" else tmp_path / "missing"
    touch(2 * BLOCK_BYTES)  # so that getrusage's lifetime peak cannot rise below and the samples have to answer
    peak = started_on_cpu(kernel_high_water(folder))
    held = bytearray(b"\1") * BLOCK_BYTES
    time.sleep(0.2)
    peak.stop()
    reading = peak.reading()
    assert isinstance(peak, SampledPeak)
    assert len(held) < value(reading) < 9_000_000 * 1024
    assert reading.source == "resident set sampled every 0.05 s"


def test_a_lifetime_peak_that_rose_in_the_phase_is_exact() -> None:
    lives = iter([10 * GIB, 12 * GIB])
    peak = SampledPeak(lambda: next(lives))
    peak.start()
    peak.stop()
    assert value(peak.reading()) == 12 * GIB
    assert peak.reading().source == "getrusage maximum"


def test_the_lifetime_peak_is_in_bytes() -> None:
    touch(BLOCK_BYTES)
    life_bytes = life_peak_bytes()
    assert life_bytes is not None
    assert BLOCK_BYTES < life_bytes < machine_ram_bytes()


class FakeCuda:
    """torch.cuda's peak counters on GPU 3."""

    def __init__(self) -> None:
        self.peak = 500

    def max_memory_allocated(self, device: int) -> int:
        """Return the peak."""
        assert device == 3
        return self.peak

    def reset_peak_memory_stats(self, device: int) -> None:
        """Reset the peak."""
        assert device == 3
        self.peak = 0


def test_cuda_peak_is_of_the_phase_and_never_zero() -> None:
    cuda = FakeCuda()
    mark = cuda_high_water(3, cuda)
    outer, inner = (MarkedPeak(mark, "GPU 3, torch allocator", "fake") for _ in range(2))
    outer.start()
    cuda.peak = 300
    inner.start()
    inner.stop()
    outer.stop()
    assert value(outer.reading()) == 300  # neither the 500 before the phase nor the 0 after the inner reset
    assert inner.reading().value is None
    assert inner.reading().reason == "nothing was allocated there in this phase"


# Energy: the estimate


@pytest.fixture
def no_rapl(tmp_path: Path) -> Path:
    return tmp_path / "powercap"


def cpu_energy(phase: Callable[[], object], powercap: Path, cost: Cost | None = None) -> Reading:
    meter = CpuEnergy(cost or Cost(), powercap)
    meter.start()
    phase()
    meter.stop()
    return meter.reading()


def test_a_busy_loop_costs_more_than_a_sleep_and_a_sleep_more_than_nothing(no_rapl: Path) -> None:
    busy = cpu_energy(lambda: spin(0.3), no_rapl)
    asleep = cpu_energy(lambda: time.sleep(0.3), no_rapl)
    assert value(busy) > 3 * value(asleep) > 0
    assert value(busy) == pytest.approx(0.3 * CPU_CORE_WATTS.value, rel=0.3)


def test_an_estimate_says_so_with_its_range_and_why(no_rapl: Path) -> None:
    reading = cpu_energy(lambda: spin(0.05), no_rapl)
    assert reading.estimated
    assert reading.source == (
        "estimate: 8 W a busy core (range 3.5 to 15), 0.375 W a GiB resident (range 0.08 to 0.625)"
    )
    assert reading.reason == "FileNotFoundError: no RAPL package counter on this machine"
    assert reading.low is not None
    assert reading.high is not None
    assert reading.low < value(reading) < reading.high


def test_the_estimate_is_the_stated_formula() -> None:
    begin = ProcessUse(clock_s=10.0, own_cpu_s=1.0, children_cpu_s=5.0, ram_bytes=1 * GIB)
    end = ProcessUse(clock_s=30.0, own_cpu_s=4.0, children_cpu_s=7.0, ram_bytes=3 * GIB)
    reading = estimate_cpu_energy(begin, end, CPU_CORE_WATTS, "test")
    assert value(reading) == pytest.approx((3 + 2) * CPU_CORE_WATTS.value + 2 * 20 * RAM_GIB_WATTS.value)
    assert reading.low == pytest.approx((3 + 2) * CPU_CORE_WATTS.low + 2 * 20 * RAM_GIB_WATTS.low)
    assert reading.high == pytest.approx((3 + 2) * CPU_CORE_WATTS.high + 2 * 20 * RAM_GIB_WATTS.high)


def test_children_that_vanish_make_no_negative_energy() -> None:
    begin = ProcessUse(clock_s=0.0, own_cpu_s=1.0, children_cpu_s=100.0, ram_bytes=None)
    end = ProcessUse(clock_s=1.0, own_cpu_s=2.0, children_cpu_s=0.0, ram_bytes=None)
    reading = estimate_cpu_energy(begin, end, CPU_CORE_WATTS, "test")
    assert value(reading) == CPU_CORE_WATTS.value
    assert "RAM not counted" in reading.source


def test_no_use_at_all_is_unmeasured_not_zero() -> None:
    still = ProcessUse(clock_s=0.0, own_cpu_s=1.0, children_cpu_s=0.0, ram_bytes=None)
    reading = estimate_cpu_energy(still, still, CPU_CORE_WATTS, "no counter")
    assert reading.value is None
    assert reading.reason is not None
    assert "no counter" in reading.reason


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


def test_rapl_counts_packages_once(rapl: FakeRapl) -> None:
    reading = cpu_energy(lambda: rapl.set_all(700_000), rapl.root)
    assert value(reading) == pytest.approx(0.4)  # two packages, 0.2 J each
    assert not reading.estimated
    assert (reading.scope, reading.source) == ("CPU package-0, package-1 (all processes, no DRAM)", "RAPL counter")


def test_rapl_counter_wraps(rapl: FakeRapl) -> None:
    reading = cpu_energy(lambda: rapl.set("intel-rapl:0", 100_000), rapl.root)
    assert value(reading) == pytest.approx(0.6)


def test_rapl_wraps_again_and_again_in_a_long_phase(rapl: FakeRapl) -> None:
    counter = RaplCounter(rapl.root)
    counter._poller = Poller(counter._advance, 0.005)
    counter.start()
    for energy_uj in (900_000, 300_000, 700_000, 100_000, 500_000):  # +0.4 J each; the end equals the beginning
        rapl.set("intel-rapl:0", energy_uj)
        time.sleep(0.05)
    assert counter.stop() == pytest.approx(2.0)


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
    assert reading.reason is not None
    expected = {"before": "IsADirectoryError", "within": "FileNotFoundError", "still": "did not move"}
    assert expected[when] in reading.reason


# Energy: NVML


class FakeNvml:
    """NVML of one GPU: an energy counter in mJ (None: not supported) and a power in mW."""

    def __init__(self, counters: list[int] | None, power_mw: int | None = 100_000) -> None:
        self.counters = None if counters is None else iter(counters)
        self.power_mw = power_mw
        self.shut_down = 0

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: object) -> int:  # noqa: N802  # NVML's name
        """Return mJ."""
        assert handle == "handle"
        if self.counters is None:
            raise RuntimeError("Not Supported")
        return next(self.counters)

    def nvmlDeviceGetPowerUsage(self, handle: object) -> int:  # noqa: N802  # NVML's name
        """Return mW."""
        assert handle == "handle"
        if self.power_mw is None:
            raise RuntimeError("Not Supported")
        return self.power_mw

    def nvmlShutdown(self) -> None:  # noqa: N802  # NVML's name
        """Count the calls."""
        self.shut_down += 1


def ticks(*times_s: float) -> Callable[[], float]:
    """A clock that shows these times, then stays at the last."""
    shown = itertools.chain(times_s, itertools.repeat(times_s[-1]))
    return lambda: next(shown)


def gpu_energy(nvml: Any, window_s: float) -> Reading:
    meter = GpuEnergy(nvml, "handle", 0, clock=ticks(0.0, 0.0, window_s))
    meter.start()
    meter.stop()
    assert nvml.shut_down == 1
    return meter.reading()


def test_nvml_counter() -> None:
    reading = gpu_energy(FakeNvml([5_000, 1_005_000]), window_s=10.0)
    assert value(reading) == 1000.0  # mJ to J
    assert reading.source == "NVML energy counter"
    assert not reading.estimated
    assert reading.reason is None


def test_nvml_short_window_is_flagged_with_a_range() -> None:
    reading = gpu_energy(FakeNvml([0, 100_000]), window_s=1.0)
    assert (reading.low, value(reading), reading.high) == (90.0, 100.0, 110.0)  # one step of 0.1 s at 100 W
    assert reading.reason is not None
    assert "under 2 s" in reading.reason


def test_nvml_counter_that_has_not_moved_yet_is_estimated_from_the_power() -> None:
    reading = gpu_energy(FakeNvml([7, 7]), window_s=0.05)
    assert value(reading) == pytest.approx(5.0)
    assert reading.estimated


@pytest.mark.parametrize(
    ("nvml", "window_s"),
    [
        (FakeNvml([7, 7]), 10.0),
        (FakeNvml([9, 7]), 10.0),
        (FakeNvml([7, 7], power_mw=None), 0.05),
        (FakeNvml(None, power_mw=0), 10.0),
    ],
    ids=["stuck", "backwards", "stuck without power", "power reads zero"],
)
def test_nvml_that_cannot_be_believed_is_unmeasured(nvml: FakeNvml, window_s: float) -> None:
    reading = gpu_energy(nvml, window_s)
    assert reading.value is None
    assert reading.reason is not None
    assert "NVML" in reading.reason


def test_nvml_power_is_integrated_where_there_is_no_counter() -> None:
    nvml = FakeNvml(None, power_mw=50_000)
    meter = GpuEnergy(nvml, "handle", 0)
    meter.start()
    time.sleep(0.3)
    meter.stop()
    reading = meter.reading()
    assert value(reading) == pytest.approx(0.3 * 50, rel=0.5)
    assert reading.source == "NVML power polled every 0.1 s"
    assert not any(thread.name == "peftsum-poller" for thread in threading.enumerate())


def test_nvml_without_counter_and_power_raises_and_is_shut_down() -> None:
    nvml = FakeNvml(None, power_mw=None)
    with pytest.raises(RuntimeError, match="Not Supported"):
        GpuEnergy(nvml, "handle", 0).start()
    assert nvml.shut_down == 1


# The block


def test_readings_after_an_exception_in_the_block() -> None:
    with pytest.raises(ZeroDivisionError), measure(Cost(), "cpu") as measurement:  # noqa: PT012  # the block is the test
        spin(0.02)
        _ = 1 / 0
    for reading in (measurement.readings.wall_s, measurement.readings.peak_memory_bytes, measurement.readings.energy_j):
        assert value(reading) > 0


def test_readings_before_the_end_are_refused() -> None:
    with measure(Cost(), "cpu") as measurement, pytest.raises(UsageError, match="before it ended"):
        _ = measurement.readings


@pytest.mark.parametrize("step", ["start", "stop", "reading"])
def test_a_meter_that_fails_costs_its_reading_only(step: str) -> None:
    class Broken(Meter):
        unit = "J"

        def start(self) -> None:
            self._fail("start")

        def stop(self) -> None:
            self._fail("stop")

        def reading(self) -> Reading:
            self._fail("reading")
            raise AssertionError("unreachable: one of the three fails")

        def _fail(self, here: str) -> None:
            if here == step:
                raise PermissionError("no entry")

    with measure(Cost(), "cpu", {**METERS, "energy_j": Broken}) as measurement:
        pass
    assert measurement.readings.energy_j.value is None
    assert measurement.readings.energy_j.reason == "PermissionError: no entry"
    assert value(measurement.readings.wall_s) > 0


@pytest.mark.parametrize("device", ["mps", "cuda:x", "cuda:99"])
def test_a_device_without_meters_gives_reasons_and_the_wall_time(device: str) -> None:
    with measure(Cost(), device) as measurement:
        pass
    assert value(measurement.readings.wall_s) > 0
    assert ("not synchronised" in (measurement.readings.wall_s.reason or "")) == (device == "cuda:99")
    for reading in (measurement.readings.peak_memory_bytes, measurement.readings.energy_j):
        assert reading.value is None
        assert reading.reason


def test_device_names() -> None:
    assert Device.parse("cuda:1") == Device("cuda", 1)
    assert str(Device.parse("cuda:1")) == "cuda:1"
    assert Device.parse("cuda") == Device("cuda", None)
    assert Device.parse("cpu") == Device("cpu", None)


@pytest.mark.gpu
def test_on_a_gpu_memory_and_energy_are_measured() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    with measure(Cost(), "cuda") as measurement:
        end = time.perf_counter() + 2.5
        matrix = torch.randn(4096, 4096, device="cuda")
        while time.perf_counter() < end:
            (matrix @ matrix).sum().item()
    readings = measurement.readings
    assert value(readings.peak_memory_bytes) == pytest.approx(2 * 4 * 4096**2, rel=0.2)
    assert value(readings.energy_j) > 50  # 2.5 s at more than 20 W
    assert "NVML" in readings.energy_j.source


# Resumed runs


def readings_of(wall_s: float, peak_bytes: float, energy: Reading) -> Readings:
    return Readings(
        wall_s=Reading(value=wall_s, unit="s", scope="this process", source="perf_counter"),
        peak_memory_bytes=Reading(value=peak_bytes, unit="B", scope="this process", source="kernel"),
        energy_j=energy,
    )


def joules(energy_j: float, source: str = "counter", **more: Any) -> Reading:
    return Reading(value=energy_j, unit="J", scope="CPU", source=source, **more)


def test_combine_adds_time_and_energy_and_takes_the_higher_peak() -> None:
    first = readings_of(10, 300, joules(100))
    second = readings_of(5, 200, joules(40, "estimate", estimated=True, low=20, high=80, reason="no counter"))
    whole = combine(first, second)
    assert value(whole.wall_s) == 15
    assert whole.wall_s.source == "perf_counter"
    assert whole.wall_s.low is None
    assert value(whole.peak_memory_bytes) == 300
    assert whole.energy_j == Reading(
        value=140,
        unit="J",
        scope="CPU",
        source="counter; then estimate",
        estimated=True,
        low=120,
        high=180,
        reason="no counter",
    )


def test_combine_does_not_pass_a_part_for_the_whole() -> None:
    measured = readings_of(1, 1, joules(10))
    missing = readings_of(1, 1, unmeasured("J", "GPU 0", "no driver"))
    for first, second in ((measured, missing), (missing, measured)):
        energy = combine(first, second).energy_j
        assert energy.value is None
        assert energy.reason == "GPU 0: no driver"
    both = combine(missing, missing).energy_j
    assert (both.value, both.reason) == (None, "GPU 0: no driver")


def test_combine_repeats_no_source() -> None:
    parts: Iterator[Readings] = iter([readings_of(1, 1, joules(1, source)) for source in ("a", "b", "a", "b")])
    whole = next(parts)
    for part in parts:
        whole = combine(whole, part)
    assert whole.energy_j.source == "a; then b"


# The machine


def test_machine_has_what_figures_need() -> None:
    machine = describe_machine()
    assert machine.logical_cores is not None
    assert machine.logical_cores >= 1
    assert machine.ram_bytes is not None
    assert machine.ram_bytes > GIB // 2
    assert machine.python == platform.python_version()
    assert {"torch", "transformers", "peft"} <= set(machine.packages)


def test_machine_tells_nothing_of_who_and_where(monkeypatch: pytest.MonkeyPatch) -> None:
    real = platform.uname()
    node = SimpleNamespace(system=real.system, release=real.release, machine=real.machine, node="secret-host")
    monkeypatch.setattr(platform, "uname", lambda: node)
    monkeypatch.setattr(platform, "node", lambda: "secret-host")
    monkeypatch.setenv("USER", "secret-user")
    monkeypatch.setenv("HOME", "/home/secret-user")
    text = describe_machine().model_dump_json()
    for private in ("secret", str(Path.cwd()), sys.prefix, str(Path(__file__).parent)):
        assert private not in text
    assert not any(str(found).startswith("/") for found in json.loads(text).values())


@pytest.mark.parametrize(
    ("text", "cpu", "bf16"),
    [
        ("model name\t: Chip A\nflags\t\t: fpu avx512_bf16 amx_bf16\n\nmodel name\t: other\n", "Chip A", 2),
        ("model name\t: Chip B\nflags\t\t: fpu avx2\n", "Chip B", 0),
        ("BogoMIPS\t: 50.00\nFeatures\t: fp asimd bf16\n", None, 1),
    ],
    ids=["amx", "plain", "arm"],
)
def test_machine_reads_cpuinfo(text: str, cpu: str | None, bf16: int, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    machine = describe_machine(tmp_path / "cpuinfo")
    assert machine.cpu_bf16 is not None
    assert len(machine.cpu_bf16) == bf16
    assert machine.cpu == (cpu or platform.processor() or platform.machine())


def test_machine_without_cpuinfo_does_not_guess(tmp_path: Path) -> None:
    assert describe_machine(tmp_path / "none").cpu_bf16 is None


# Imports


def test_importing_the_meters_loads_nothing_heavy() -> None:
    code = (
        "import sys, peftsum.cost.meters, peftsum.cost.machine\n"
        "print({'torch', 'psutil', 'pynvml', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
