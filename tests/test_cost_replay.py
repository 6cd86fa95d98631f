"""Counter logs played to the real meters: each fault of a counter gives the right joules, or the right reason."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from metering import value
from replay import LOGS, Replay

from peftsum.cost.combine import total
from peftsum.cost.component import Part
from peftsum.cost.estimate import ProcessUse
from peftsum.cost.readings import Reading
from peftsum.cost.section import Cost
from peftsum.units import GIB

ESTIMATED_CPU_J = 4 * 8.0  # four CPU seconds at 8 W

Player = Callable[..., list[Part]]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Player:
    """Plays a log to the meters, in a process that used four CPU seconds and held 1 GiB."""

    def played(log: str, **cost: Any) -> list[Part]:
        replay = Replay(log, tmp_path, monkeypatch)
        used = iter([0.0, 4.0])
        monkeypatch.setattr(ProcessUse, "now", classmethod(lambda cls: cls(replay.log.clock(), next(used), 0.0, GIB)))
        parts = replay.parts(Cost(**cost))
        assert (replay.nvml.open, replay.amd.open) == (0, 0), "a library was left open"
        for part in parts:
            assert_sound(part)
        return parts

    return played


def assert_sound(part: Part) -> None:
    """Hold what holds of every reading: no zero, a source or a reason, the value in its range, idle in the whole."""
    for reading in (part.energy, part.idle):
        assert reading.unit == "J"
        assert (reading.value is None) == (reading.source == "none")
        if reading.value is None:
            assert reading.reason
            continue
        assert reading.value > 0
        if reading.low is not None and reading.high is not None:
            assert reading.low <= reading.value <= reading.high
    if part.energy.value is not None and part.idle.value is not None:
        assert part.idle.value <= part.energy.value


def only(parts: list[Part], scope: str) -> Reading:
    (found,) = [part.energy for part in parts if part.energy.scope.startswith(scope)]
    return found


# RAPL


def test_wraparound_between_any_two_looks_adds_nothing_and_loses_nothing(play: Player) -> None:
    parts = play("rapl_wraparound")
    assert value(only(parts, "CPU package-0")) == pytest.approx(400 * 400)
    assert value(only(parts, "RAM of package-0")) == pytest.approx(5 * 400)
    assert {part.energy.source for part in parts} == {"RAPL counter"}
    assert not any(part.energy.estimated for part in parts)


def test_packages_count_once_with_their_memory_and_their_rest(play: Player) -> None:
    parts = play("rapl_two_packages")
    found = {part.energy.scope: value(part.energy) for part in parts}
    assert found == {  # no core, which is in its package, no board, which holds the packages, no second way to one
        "CPU package-0 (all processes)": pytest.approx(100 * 60),
        "CPU package-1 (all processes)": pytest.approx(60 * 60),
        "RAM of package-0 (all processes)": pytest.approx(8 * 60),
        "RAM of package-1 (all processes)": pytest.approx(6 * 60),
    }
    assert [value(part.idle) for part in parts] == pytest.approx([20 * 60, 15 * 60, 3 * 60, 2 * 60])
    assert {part.idle.source for part in parts} == {"RAPL counter over 0.1 s before the first phase"}
    assert value(total([part.energy for part in parts])) == pytest.approx(174 * 60)


def test_the_board_counts_where_no_package_does(play: Player) -> None:
    parts = play("rapl_psys_only")
    assert value(only(parts, "CPU psys")) == pytest.approx(45 * 30)


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("rapl_still", "the RAPL counter of CPU package-0 (all processes) did not move"),
        ("rapl_half_still", "the RAPL counter of CPU package-1 (all processes) did not move"),
        ("rapl_denied", "sudo chmod a+r"),
        ("rapl_lost", "FileNotFoundError"),
    ],
)
def test_a_package_that_cannot_be_believed_is_estimated_and_says_why(play: Player, log: str, reason: str) -> None:
    parts = play(log)
    cpu = only(parts, "CPU")
    assert cpu.estimated
    assert value(cpu) == pytest.approx(ESTIMATED_CPU_J)
    assert cpu.source == "estimate: 8 W a busy core (range 3.5 to 15)"
    assert reason in (cpu.reason or "")
    assert value(only(parts, "RAM")) == pytest.approx(0.375 * 30)


def test_a_closed_counter_names_its_place_and_what_opens_it(play: Player) -> None:
    reason = only(play("rapl_denied"), "CPU").reason or ""
    assert "intel-rapl:0/energy_uj is closed to this user" in reason
    assert "CVE-2020-8694" in reason


# GPUs


def test_two_gpus_are_two_parts_with_the_power_they_had_at_rest(play: Player) -> None:
    parts = play("nvml_two_gpus")
    first, second = (only(parts, f"GPU {index}") for index in (0, 1))
    assert (value(first), value(second)) == (pytest.approx(620), pytest.approx(550))
    assert first.source == second.source == "NVML energy counter"
    assert first.reason is None
    assert (first.low, first.high) == (pytest.approx(589), pytest.approx(651))  # 5 % to either side
    assert [value(part.idle) for part in parts[:2]] == pytest.approx([90, 100])
    whole = total([part.energy for part in parts])
    assert value(whole) == pytest.approx(620 + 550 + ESTIMATED_CPU_J + 3.75)


@pytest.mark.parametrize(
    ("log", "energy_j", "source", "reason"),
    [
        ("nvml_agrees", 600, "NVML energy counter", None),
        ("nvml_no_power", 600, "NVML energy counter", None),
        ("nvml_disagrees", 600, "NVML energy counter", "(450 J) differ by more than 10%"),
        ("nvml_still", 600, "NVML power polled every 0.1 s", "the NVML energy counter did not advance"),
        ("nvml_backwards", 600, "NVML power polled every 0.1 s", "the NVML energy counter went backwards"),
        ("nvml_missing", 540, "NVML power polled every 0.1 s", "no energy counter (OSError"),
        ("nvml_short", 60, "NVML energy counter", "window under 2 s"),
        ("nvml_instant", 3, "NVML power polled every 0.1 s", "had not moved yet"),
        ("amd_gpu", 2000, "AMD SMI energy counter", None),
        ("amd_still", 1800, "AMD SMI power polled every 0.1 s", "the AMD SMI energy counter did not advance"),
    ],
)
def test_a_gpu_is_read_by_what_can_be_believed(
    play: Player, log: str, energy_j: float, source: str, reason: str | None
) -> None:
    found = only(play(log), "GPU 0")
    assert value(found) == pytest.approx(energy_j, rel=1e-4)
    assert (found.source, found.estimated) == (source, False)
    assert (found.reason is None) if reason is None else (reason in (found.reason or ""))


def test_counter_and_power_that_differ_are_warned_of_and_both_in_the_range(
    play: Player, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = only(play("nvml_disagrees"), "GPU 0")
    assert found.low is not None
    assert found.low <= 450
    assert "differ by more than 10%" in caplog.text
    caplog.clear()
    play("nvml_agrees")
    assert not caplog.records


@pytest.mark.parametrize(
    ("log", "cost", "energy_j"),
    [
        ("nvml_silent", {}, 70 * 0.5 * 10),
        ("nvml_silent_no_limit", {"gpu_watts": 115.0}, 115 * 0.5 * 10),
        ("nvml_zero", {"gpu_watts": 115.0}, 115 * 0.5 * 10),
        ("nvml_denied", {"gpu_watts": 115.0}, 115 * 10),
        ("nvml_lost", {}, 70 * 10),
    ],
)
def test_a_gpu_without_power_is_tdp_times_utilisation(
    play: Player, log: str, cost: dict[str, float], energy_j: float
) -> None:
    found = only(play(log, **cost), "GPU 0")
    assert value(found) == pytest.approx(energy_j)
    assert found.estimated
    assert "TDP x utilisation" in found.source
    watts = cost.get("gpu_watts", 70)
    assert (found.low, found.high) == (pytest.approx(watts), pytest.approx(watts * 10))  # a tenth of it to all of it


@pytest.mark.parametrize("log", ["nvml_silent_no_limit", "nvml_zero", "nvml_denied"])
def test_a_gpu_of_which_nothing_is_known_leaves_the_whole_unmeasured(play: Player, log: str) -> None:
    parts = play(log)
    found = only(parts, "GPU 0")
    assert found.value is None
    assert "set cost.gpu_watts to the card's TDP" in (found.reason or "")
    assert total([part.energy for part in parts]).value is None  # the CPU side alone would pass for all
    assert value(only(parts, "CPU")) == pytest.approx(ESTIMATED_CPU_J)


@pytest.mark.parametrize("watts", [None, 90.0])
def test_a_slice_of_a_card_is_not_charged_with_the_whole(
    watts: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay = Replay("nvml_agrees", tmp_path, monkeypatch)

    def not_found(uuid: str) -> int:
        raise RuntimeError("Not Found")

    monkeypatch.setattr(replay.nvml, "nvmlDeviceGetHandleByUUID", not_found, raising=False)
    found = replay.parts(Cost(gpu_watts=watts))[0].energy
    assert "RuntimeError: Not Found" in (found.reason or "")
    if watts is None:
        assert found.value is None
        assert "set cost.gpu_watts" in (found.reason or "")
    else:
        assert value(found) == pytest.approx(90 * 10)
        assert (found.low, found.high) == (pytest.approx(90), pytest.approx(900))
    assert replay.nvml.open == 0


# Apple


def test_apples_counters(play: Player) -> None:
    parts = play("apple")
    assert [value(part.energy) for part in parts] == pytest.approx([18 * 30, 3 * 30])
    assert [value(part.idle) for part in parts] == pytest.approx([2 * 30, 0.5 * 30])
    assert all(part.energy.estimated for part in parts)
    assert "Apple models it" in (parts[0].energy.reason or "")


def test_an_apple_chip_without_a_count_of_its_memory(play: Player) -> None:
    cpu, ram = (part.energy for part in play("apple_no_memory"))
    assert value(cpu) == pytest.approx(18 * 30)
    assert (ram.source, ram.reason) == (
        "estimate: 0.375 W a GiB resident (range 0.08 to 0.625)",
        "this CPU does not count its memory",
    )


# All of them


def test_every_log_is_played_here() -> None:
    text = Path(__file__).read_text()
    logs = [path.stem for path in LOGS.glob("*.csv")]
    assert len(logs) > 20
    assert [log for log in logs if f'"{log}"' not in text] == []
