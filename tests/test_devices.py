"""The devices that a plan can be for: the shipped table, sizes, this machine, and what is no device."""

from __future__ import annotations

import pytest

from peftsum.exceptions import UsageError
from peftsum.forecast.devices import THIS_MACHINE, find_target, known_devices
from peftsum.units import GIB

NAMED = ["rtx3060", "rtx4060", "rtx4090", "t4", "l4", "a10g", "a100", "a100-40gb", "a100-80gb", "h100", "h200", "v100"]


@pytest.mark.parametrize("name", NAMED)
def test_a_named_device_has_memory_rates_bandwidth_and_power_with_their_source(name: str) -> None:
    target = find_target(name)
    assert target.kind == "cuda"
    assert target.memory_bytes
    assert target.flops["float32"] > 1e12
    assert target.bytes_per_s
    assert target.bytes_per_s > 1e11
    assert target.watts
    assert "https://" in target.source
    assert "memory" in target.source
    assert known_devices()[target.name].checked.count("(")  # a page, and what it says


@pytest.mark.parametrize("name", sorted(known_devices()))
def test_the_table_is_consistent(name: str) -> None:
    device = known_devices()[name]
    on_the_box = float(device.title.split(", ")[1].split(" GB")[0])
    assert 0.9 * on_the_box < device.memory_gib < on_the_box
    assert ("bfloat16" in device.flops) == device.bf16  # what has no bf16 has no rate for it
    if "tf32" in device.flops:
        assert device.flops["float32"] <= device.flops["tf32"] <= device.flops["bfloat16"]
    assert device.flops["float32"] < device.flops["float16"] < device.flops["int8"] if "int8" in device.flops else True


def test_torch_names_and_spellings_are_of_one_device_each() -> None:
    names = [name for device in known_devices().values() for name in device.names]
    spellings = [name for device in known_devices().values() for name in (device.name, *device.aliases)]
    assert len(set(names)) == len(names)
    assert len(set(spellings)) == len(spellings)


@pytest.mark.parametrize("spelling", ["RTX 4060", "rtx-4060", "NVIDIA GeForce RTX 4060", "Rtx4060"])
def test_case_spaces_hyphens_and_the_maker_do_not_matter(spelling: str) -> None:
    assert find_target(spelling).name == "rtx4060"


def test_a_size_is_as_on_the_box_in_gb_and_exact_in_gib() -> None:
    assert find_target("7.5 GiB").memory_bytes == 7.5 * GIB
    box = find_target("8GB").memory_bytes
    assert box is not None
    assert 0.9 * 8 * GIB < box < 8 * GIB
    assert find_target("8gb") == find_target("8 GB") == find_target("8g")
    assert not find_target("8GB").flops
    named = find_target("rtx4060").memory_bytes
    assert named is not None
    assert box <= named  # the guess for a size is no more than what a card of that size has


@pytest.mark.parametrize("name", ["t4", "v100"])
def test_cards_before_ampere_have_no_bf16(name: str) -> None:
    assert not find_target(name).bf16


def test_this_machine_and_cpu_are_here() -> None:
    here, cpu = find_target(), find_target("CPU")
    assert here.here
    assert here.name == THIS_MACHINE
    assert here.memory_bytes
    assert (cpu.kind, cpu.here) == ("cpu", True)


@pytest.mark.parametrize(
    ("name", "near"),
    [("rtx4070", "rtx40"), ("a110", "a1"), ("nothing-like-it", "known: "), ("0GB", "8GB"), ("", "8GB")],
)
def test_an_unknown_device_is_refused_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UsageError) as refused:
        find_target(name)
    assert near in refused.value.hint
