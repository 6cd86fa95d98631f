"""Readings put together: the parts of a resumed run, the components of a machine, the processes of a training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metering import value

from peftsum.cost.combine import combine, side_by_side, total
from peftsum.cost.readings import Reading, Readings, unmeasured

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


def size(peak_bytes: float) -> Reading:
    return Reading(value=peak_bytes, unit="B", scope="GPU 0", source="torch")


def test_combine_carries_parts_idle_share_and_memory() -> None:
    def session(gpu_j: float, cpu_j: float, peak: float, weights: int, **more: int) -> Readings:
        parts = (joules(gpu_j).model_copy(update={"scope": "GPU 0"}), joules(cpu_j))
        return readings_of(1, peak, total(parts)).model_copy(
            update={
                "energy_parts": parts,
                "idle_energy_j": joules(gpu_j / 10, low=gpu_j / 20, high=gpu_j / 5),
                "reserved_memory_bytes": size(peak + 5),
                "memory_over_start_bytes": size(peak - 5),
                "memory_parts": {"weights": weights, **more},
                "codecarbon_j": joules(gpu_j * 2),
            }
        )

    whole = combine(session(100, 10, 50, 7), session(40, 4, 80, 7, optimizer=3))
    assert [(part.scope, value(part)) for part in whole.energy_parts] == [("GPU 0", 140), ("CPU", 14)]
    assert value(whole.energy_j) == 154
    assert whole.idle_energy_j is not None
    assert (whole.idle_energy_j.low, whole.idle_energy_j.value, whole.idle_energy_j.high) == (7, 14, 28)
    assert value(whole.reserved_memory_bytes) == 85
    assert value(whole.memory_over_start_bytes) == 75
    assert whole.memory_parts == {"weights": 7, "optimizer": 3}
    assert value(whole.codecarbon_j) == 280


def test_what_an_older_session_did_not_record_is_not_known_of_the_whole() -> None:
    new = readings_of(1, 1, joules(10)).model_copy(
        update={"energy_parts": (joules(10),), "idle_energy_j": joules(1), "reserved_memory_bytes": size(2)}
    )
    old = readings_of(1, 1, joules(10))
    for whole in (combine(new, old), combine(old, new)):
        assert value(whole.energy_j) == 20
        assert whole.energy_parts == ()  # half of the parts would not add up to the whole
        for reading in (whole.idle_energy_j, whole.reserved_memory_bytes):
            assert reading is not None
            assert reading.value is None
            assert "did not record it" in (reading.reason or "")
        assert whole.memory_over_start_bytes is None


def test_the_source_of_a_sum_names_counters_before_estimates() -> None:
    parts = [
        joules(3, "estimate: 8 W a busy core", estimated=True),
        joules(5, "NVML energy counter"),
        joules(1, "estimate: 0.375 W a GiB resident", estimated=True),
    ]
    assert total(parts).source == "NVML energy counter + estimate: 8 W a busy core, 0.375 W a GiB resident"
    assert total(parts).estimated


def process(peak: float, gpu: int, cpu_scope: str) -> Readings:
    parts = (
        joules(100 + gpu).model_copy(update={"scope": f"GPU {gpu} (all processes)"}),
        joules(10).model_copy(update={"scope": cpu_scope}),
    )
    return readings_of(5, peak, total(parts)).model_copy(update={"energy_parts": parts})


@pytest.mark.parametrize(
    ("cpu_scope", "machines", "cpu_j"),
    [
        ("CPU package-0 (all processes)", (0, 0), 10),  # one counter, read twice
        ("CPU, this process and its children", (0, 0), 20),
        ("CPU package-0 (all processes)", (0, 1), 20),
    ],
)
def test_processes_add_up_and_what_the_machine_counts_counts_once(
    cpu_scope: str, machines: tuple[int, int], cpu_j: float
) -> None:
    readings = [process(peak, gpu, cpu_scope) for gpu, peak in enumerate((300, 400))]
    whole = side_by_side(list(zip(machines, readings, strict=True)))
    assert value(whole.energy_j) == 100 + 101 + cpu_j
    assert sum(value(part) for part in whole.energy_parts) == value(whole.energy_j)
    assert value(whole.peak_memory_bytes) == 400
    assert "highest of 2 processes" in whole.peak_memory_bytes.scope
    assert value(whole.wall_s) == 5


def test_a_process_that_could_not_read_its_energy_leaves_the_sum_unmeasured() -> None:
    lacking = readings_of(5, 1, unmeasured("J", "cuda:1", "no driver"))
    whole = side_by_side([(0, process(300, 0, "CPU")), (0, lacking)])
    assert (whole.energy_j.value, whole.energy_j.reason) == (None, "no driver")
    assert side_by_side([(0, lacking)]) == lacking


# Readings of added meters


def with_further(**further: Reading) -> Readings:
    return readings_of(1, 1, joules(1)).model_copy(update={"further": further})


def reading(amount: float, unit: str) -> Reading:
    return Reading.model_validate({"value": amount, "unit": unit, "scope": "this process", "source": "kernel"})


def test_further_readings_of_a_resumed_run_add_up_and_of_bytes_the_higher_stands() -> None:
    first = with_further(processor_s=reading(3, "s"), swap_bytes=reading(70, "B"))
    second = with_further(processor_s=reading(4, "s"), swap_bytes=reading(20, "B"))
    further = combine(first, second).further
    assert {name: value(found) for name, found in further.items()} == {"processor_s": 7, "swap_bytes": 70}


def test_a_further_reading_that_one_part_lacks_is_not_measured() -> None:
    for parts in (
        (with_further(processor_s=reading(3, "s")), with_further()),
        (with_further(), with_further(processor_s=reading(3, "s"))),
    ):
        found = combine(*parts).further["processor_s"]
        assert found.value is None
        assert "did not record it" in (found.reason or "")


def test_further_readings_of_processes_add_up_and_of_bytes_the_highest_stands() -> None:
    every = [with_further(processor_s=reading(n, "s"), swap_bytes=reading(10 * n, "B")) for n in (1, 3, 2)]
    further = side_by_side([(0, costs) for costs in every]).further
    assert {name: value(found) for name, found in further.items()} == {"processor_s": 6, "swap_bytes": 30}
    lacking = side_by_side([(0, every[0]), (0, with_further())]).further
    assert [found.value for found in lacking.values()] == [None, None]


# What holds whatever was read

SCOPES = ("GPU 0, all processes", "GPU 1, all processes", "CPU package 0, all processes", "CPU, this process", "memory")
SOURCES = ("NVML energy counter", "RAPL counter", "estimate: 8 W a busy core", "estimate: 0.375 W a GiB resident")


@st.composite
def any_reading(draw: st.DrawFn, scope: str) -> Reading:
    """Return a reading as a meter may give one: a value with its range or without, or none with its reason."""
    if draw(st.integers(0, 4)) == 0:
        return unmeasured("J", scope, draw(st.sampled_from(["no counter", "it stands still", "no permission"])))
    energy_j = draw(st.floats(1e-3, 1e9))
    ranged = draw(st.booleans())
    source = draw(st.sampled_from(SOURCES))
    return Reading(
        value=energy_j,
        unit="J",
        scope=scope,
        source=source,
        estimated=source.startswith("estimate"),
        low=energy_j * draw(st.floats(0.1, 1)) if ranged else None,
        high=energy_j * draw(st.floats(1, 3)) if ranged else None,
        reason=draw(st.sampled_from([None, "a window under 2 s"])),
    )


@st.composite
def any_readings(draw: st.DrawFn) -> Readings:
    parts = tuple(
        draw(any_reading(scope)) for scope in draw(st.lists(st.sampled_from(SCOPES), min_size=1, unique=True))
    )
    return readings_of(draw(st.floats(0.1, 1e6)), draw(st.floats(1, 1e12)), total(parts)).model_copy(
        update={"energy_parts": parts}
    )


def assert_honest(whole: Reading, parts: Sequence[Reading]) -> None:
    """Hold that a sum is no less than any part, has its source and an ordered range, or says why there is none."""
    if any(part.value is None for part in parts):
        assert whole.value is None
        assert whole.reason
        return
    values = [part.value or 0.0 for part in parts]
    assert whole.value is not None
    assert whole.value >= max(values) > 0
    assert whole.value == pytest.approx(sum(values), rel=1e-9)
    assert whole.source
    assert all(source in whole.source for part in parts for source in [part.source.removeprefix("estimate: ")])
    assert whole.estimated == any(part.estimated for part in parts)
    low, high = whole.low, whole.high
    assert (low is None) == (high is None)
    if low is not None and high is not None:
        assert 0 < low <= whole.value * (1 + 1e-9)
        assert whole.value <= high * (1 + 1e-9)
    assert all(part.reason in (whole.reason or "") for part in parts if part.reason)


@given(first=any_readings(), second=any_readings())
def test_a_sum_of_two_parts_of_a_run_is_whole_and_sourced_or_says_why_not(first: Readings, second: Readings) -> None:
    for one in (first, second):
        assert_honest(one.energy_j, one.energy_parts)
    made = combine(first, second)
    assert_honest(made.energy_j, [*first.energy_parts, *second.energy_parts])
    for part in made.energy_parts:
        assert_honest(part, [p for p in (*first.energy_parts, *second.energy_parts) if p.scope == part.scope])
    highest = max(first.peak_memory_bytes.value or 0, second.peak_memory_bytes.value or 0)
    assert made.peak_memory_bytes.value == highest


@given(st.lists(st.tuples(st.integers(0, 1), any_readings()), min_size=1, max_size=4))
def test_processes_together_are_whole_and_sourced_or_say_why_not(readings: list[tuple[int, Readings]]) -> None:
    readings = [(0, readings[0][1]), *readings[1:]]
    made = side_by_side(readings)
    assert_honest(made.energy_j, made.energy_parts)
    counted = {(machine, part.scope) for machine, costs in readings for part in costs.energy_parts}
    assert len(made.energy_parts) == len(counted)  # nothing is lost, and what a machine counts is there once
    shares = [part for _, costs in readings for part in costs.energy_parts if "all processes" not in part.scope]
    known = [part for part in made.energy_parts if "all processes" not in part.scope]
    if all(part.value is not None for part in shares):
        assert sum(p.value or 0 for p in known) == pytest.approx(sum(p.value or 0 for p in shares), rel=1e-9)
