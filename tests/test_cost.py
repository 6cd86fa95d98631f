"""Meters: what they read is real, what they cannot read says why, and they never disturb the block."""

from __future__ import annotations

import json
import math
import platform
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from metering import read, spin, value
from pydantic import ValidationError

from peftsum.cost import METERS
from peftsum.cost.machine import describe_machine
from peftsum.cost.memory import MarkedPeak, SampledPeak, cuda_high_water, kernel_high_water, started_on_cpu
from peftsum.cost.meter import Device, Meter
from peftsum.cost.meters import measure
from peftsum.cost.process import life_peak_bytes, machine_ram_bytes
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
    found = read(lambda: None).model_fields_set
    assert set(METERS) | {"memory_parts"} <= found
    assert found == set(Readings.model_fields)


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
        self.peak = self.reserved = 500
        self.now = 0

    def max_memory_allocated(self, device: int) -> int:
        """Return the peak."""
        assert device == 3
        return self.peak

    def max_memory_reserved(self, device: int) -> int:
        """Return the peak of what is held."""
        assert device == 3
        return self.reserved

    def reset_peak_memory_stats(self, device: int) -> None:
        """Reset the peaks."""
        assert device == 3
        self.peak = self.reserved = self.now


def gpu_peaks(cuda: FakeCuda, count: int) -> list[MarkedPeak]:
    mark = cuda_high_water(3, cuda)
    return [MarkedPeak(mark, "GPU 3, torch allocator", "allocated", "reserved") for _ in range(count)]


def test_cuda_peak_is_of_the_phase_and_never_zero() -> None:
    cuda = FakeCuda()
    outer, inner = gpu_peaks(cuda, 2)
    outer.start()
    cuda.peak = 300
    inner.start()
    inner.stop()
    outer.stop()
    assert value(outer.reading()) == 300  # neither the 500 before the phase nor the 0 after the inner reset
    assert inner.reading().value is None
    assert inner.reading().reason == "nothing was allocated there in this phase"


def test_cuda_reserved_and_the_peak_over_the_start() -> None:
    cuda = FakeCuda()
    (peak,) = gpu_peaks(cuda, 1)
    cuda.now = 120  # weights are there already
    peak.start()
    cuda.peak, cuda.reserved = 300, 420
    peak.stop()
    over, reserved = peak.over_start(), peak.reserved()
    assert reserved is not None
    assert (value(peak.reading()), value(over), value(reserved)) == (300, 180, 420)
    assert over.source == "allocated, less what was in use at the start"
    assert reserved.source == "reserved"


def test_the_peak_over_the_start_is_what_the_phase_allocated() -> None:
    held = bytearray(b"\1") * BLOCK_BYTES
    readings = read(lambda: touch(BLOCK_BYTES))
    assert readings.memory_over_start_bytes is not None
    assert value(readings.memory_over_start_bytes) == pytest.approx(BLOCK_BYTES, abs=TOLERANCE_BYTES)
    assert value(readings.peak_memory_bytes) > value(readings.memory_over_start_bytes) + len(held) / 2
    assert readings.reserved_memory_bytes is None


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
    assert readings.reserved_memory_bytes is not None
    assert value(readings.reserved_memory_bytes) >= value(readings.peak_memory_bytes)
    assert readings.idle_energy_j is not None
    assert 0 < value(readings.idle_energy_j) <= value(readings.energy_j)


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
