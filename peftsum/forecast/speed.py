"""From the operations of a step to its seconds: each run here once, or looked up in a device's data sheet."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from peftsum.cost.estimate import RAM_GIB_WATTS, core_watts
from peftsum.cost.forecast import Amount
from peftsum.engine.allocator import bound_kernel_caches
from peftsum.forecast.memory import Calibrated, calibration
from peftsum.forecast.target import Target
from peftsum.recipe import Recipe
from peftsum.units import GIB

if TYPE_CHECKING:
    import torch

    from peftsum.forecast.operations import Operation, Work
    from peftsum.forecast.step import StepCost

BUDGET_S = 6.0  # for timing operations; the rest is taken to be as fast as what was timed
GUESS_FLOPS_PER_S, GUESS_BYTES_PER_S = 5e10, 5e9  # only to decide which operations to time first
NAMED = ("bfloat16", "float16", "int8")  # dtypes that a data sheet may have a figure of their own for

_timed: dict[tuple[str, int, Operation], float] = {}


def step_seconds(
    cost: StepCost, target: Target, batches: float, share: float, timing_s: float = BUDGET_S
) -> Amount | None:
    """Return the seconds of an optimizer step, or None where nothing is known of the device's speed.

    Args:
        cost: of a step on one batch.
        target: where; one that is this machine is measured.
        batches: batches an optimizer step.
        share: work of the mean batch over that of the counted one.
        timing_s: most seconds to spend on timing operations here.
    """
    known = calibration()
    if target.here:
        device = "cpu" if target.kind == "cpu" else "cuda"
        clock = _here(cost, device, timing_s)
        calls, factor = known[f"{device}_call_s"], known[f"{device}_step_over_operations"]
        source = f"each kind of operation of a step timed on this machine; {factor.source}"
        per_batch = clock(cost.work) * share
        return Amount(
            value=factor.value * (batches * (per_batch + cost.calls * calls.value) + clock(cost.optimizer_work)),
            low=factor.low * (batches * (per_batch + cost.calls * calls.low) + clock(cost.optimizer_work)),
            high=factor.high * (batches * (per_batch + cost.calls * calls.high) + clock(cost.optimizer_work)),
            unit="s",
            source=source,
        )
    if not target.flops or target.bytes_per_s is None:
        return None
    matmul, memory, launch = known["matmul_efficiency"], known["memory_efficiency"], known[f"{target.kind}_call_s"]

    def seconds(matmul_share: float, memory_share: float, call_s: float) -> float:
        clock = _roofline(target, matmul_share, memory_share, call_s)
        return batches * clock(cost.work) * share + clock(cost.optimizer_work)

    return Amount(
        value=seconds(matmul.value, memory.value, launch.value),
        low=seconds(matmul.high, memory.high, launch.low),
        high=seconds(matmul.low, memory.low, launch.high),
        unit="s",
        source=f"roofline of the data sheet at {matmul.low:.0%} to {matmul.high:.0%} of its matrix rate and "
        f"{memory.low:.0%} to {memory.high:.0%} of its bandwidth",
    )


def energy(recipe: Recipe, target: Target, wall_s: Amount, memory_bytes: float) -> Amount | None:
    """Return the joules of a training: a GPU's from its power limit, a CPU's from busy cores and memory.

    Args:
        recipe: for the watts it gives a core.
        target: where.
        wall_s: of the training.
        memory_bytes: resident on a CPU.
    """
    used = calibration()[f"{target.kind}_utilisation"]
    if target.watts is not None and not (target.here and target.kind == "cpu"):
        source = f"{target.watts:g} W, {used.low:.0%} to {used.high:.0%} of it in use ({used.source})"
        full = target.watts
        return _scaled(wall_s, Calibrated(full * used.value, full * used.low, full * used.high, source))
    if not (target.here and target.kind == "cpu"):
        return None
    import torch

    core, cores, gib = core_watts(recipe.cost.cpu_watts_per_core), torch.get_num_threads(), memory_bytes / GIB
    ram, use = RAM_GIB_WATTS, calibration()["cpu_utilisation"]
    watts = Calibrated(
        cores * use.value * core.value + gib * ram.value,
        cores * use.low * core.low + gib * ram.low,
        cores * use.high * core.high + gib * ram.high,
        f"{cores} busy cores, {core.per('busy core')}, {ram.per('GiB resident')}",
    )
    return _scaled(wall_s, watts)


def _scaled(wall_s: Amount, watts: Calibrated) -> Amount:
    return Amount(
        value=wall_s.value * watts.value,
        low=wall_s.low * watts.low,
        high=wall_s.high * watts.high,
        unit="J",
        source=f"{watts.source}; for the forecast seconds",
    )


def _here(cost: StepCost, device: str, timing_s: float) -> Callable[[Work], float]:
    """Return how many seconds work takes on this machine, from timing each kind of operation once."""
    how_often: dict[Operation, int] = dict(cost.work)
    for operation, count in cost.optimizer_work.items():
        how_often[operation] = how_often.get(operation, 0) + count
    rates = _time_all(how_often, device, timing_s)

    def clock(work: Work) -> float:
        return sum(rates[operation] * count for operation, count in work.items())

    return clock


def _time_all(how_often: Mapping[Operation, int], device: str, timing_s: float) -> dict[Operation, float]:
    """Return the seconds of every operation: timed, the costliest first, until the budget is spent, then guessed."""
    import torch

    bound_kernel_caches()  # as in the training that it forecasts
    ordered = sorted(how_often, key=lambda op: -_guess(op) * how_often[op])
    started, threads = time.perf_counter(), torch.get_num_threads()
    seconds: dict[Operation, float] = {}
    timed_s = guessed_s = 0.0
    with torch.inference_mode():
        for operation in ordered:
            key = (device, threads, operation)
            if key not in _timed and time.perf_counter() - started < timing_s:
                try:
                    _timed[key] = operation.time_on(device)
                except (RuntimeError, IndexError, TypeError):  # it needs values that its layouts do not tell
                    continue
            if key in _timed:
                seconds[operation] = _timed[key]
                timed_s += _timed[key] * how_often[operation]
                guessed_s += _guess(operation) * how_often[operation]
    scale = timed_s / guessed_s if guessed_s else 1.0
    return {operation: seconds.get(operation, _guess(operation) * scale) for operation in how_often}


def _guess(operation: Operation) -> float:
    return operation.flops / GUESS_FLOPS_PER_S + operation.moved_bytes / GUESS_BYTES_PER_S


def _roofline(target: Target, matmul: float, memory: float, call_s: float) -> Callable[[Work], float]:
    """Return the seconds of work: each operation as slow as its products, bytes or launch, the most of them."""
    assert target.bytes_per_s is not None, "asked only of a device whose bandwidth is known"
    bytes_per_s = target.bytes_per_s * memory

    def rate(dtype: torch.dtype) -> float:
        name = str(dtype).removeprefix("torch.")
        name = name if name in NAMED else "float32"
        return matmul * target.flops.get(name, target.flops.get("bfloat16", max(target.flops.values())))

    def clock(work: Work) -> float:
        return sum(
            count * max(op.flops / rate(op.dtype), op.moved_bytes / bytes_per_s, call_s) for op, count in work.items()
        )

    return clock
