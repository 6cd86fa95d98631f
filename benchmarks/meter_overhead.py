"""What the meters themselves cost: the same training steps with and without them, and what each of their calls takes.

    python benchmarks/meter_overhead.py --json overhead.json
    python benchmarks/meter_overhead.py --quick

The meters take time in two ways. Each phase pays for starting, stopping and counting: that is timed by itself, over
empty phases. And threads that poll slow the steps down: units of a few steps take turns, on the same batches, without
meters (`plain`), under those that this machine has (`meters`), and with those that poll besides: `gpu`, a GPU's counter
and power ten times a second and RAPL every half minute; `sampled`, the resident set twenty times a second, as where the
kernel's mark cannot be reset. Where the machine has no such counters they are read from stand-ins, so the vendor's
library's own time is not in it. On a machine that does other things, too, a step is slowed by those far more than by
the meters: so the fastest tenth of the units is compared as well as the median, and the CPU time of the polling beside
a sleeping process. Figures go to stdout, progress to stderr.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from engine_parts import make_variant, timed_step
from training.shapes import METHODS, SHAPES, base_of, build_base
from training.summary import spread

MOST = 600  # dialogues to draw batches from
WARM_UP = 3  # steps
MARK = 0.01
RUN_S = 60.0  # a short run, for the share by arithmetic
PHASES = 2  # load and train


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(SHAPES), default="tiny")
    parser.add_argument("--method", choices=list(METHODS), default="lora")
    parser.add_argument("--batch-tokens", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=40, help="units of each variant")
    parser.add_argument("--steps", type=int, default=4, help="of a unit")
    parser.add_argument("--calls", type=int, default=50, help="empty phases to time")
    parser.add_argument("--asleep-s", type=float, default=20.0, help="seconds of polling beside a sleeping process")
    parser.add_argument("--quick", action="store_true", help="six units of each")
    parser.add_argument("--json", type=Path, help="write machine, figures and shares here")
    options = parser.parse_args()
    options.dropout = 0.0
    if options.quick:
        options.rounds, options.calls, options.asleep_s = 6, 10, 5.0
    return options


class StandInGpu:
    """A GPU sensor that answers at once; its counter moves with the clock."""

    library = "stand-in"
    scope = "GPU 0 (all processes)"

    def energy_j(self) -> float:
        """Return 60 W since the clock's zero."""
        return 60 * time.perf_counter()

    def power_w(self) -> float:
        """Return 60 W."""
        return 60.0

    def limit_w(self) -> float:
        """Return 70 W."""
        return 70.0

    def utilisation(self) -> float:
        """Return busy."""
        return 1.0

    def close(self) -> None:
        """Nothing is open."""


def stand_in_rapl(root: Path) -> Path:
    """Write a powercap folder with a package and its memory."""
    for zone, name in (("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "dram")):
        (root / zone).mkdir(parents=True)
        for file, text in (("name", name), ("max_energy_range_uj", "262143328850"), ("energy_uj", "1000000")):
            (root / zone / file).write_text(f"{text}\n")
    return root


@contextmanager
def gpu_polled(powercap: Path) -> Iterator[None]:
    """Poll a GPU and RAPL."""
    from peftsum.cost.cpu import CpuEnergy
    from peftsum.cost.gpu import GpuEnergy
    from peftsum.cost.rapl import rapl_counters
    from peftsum.cost.section import Cost

    meters = [GpuEnergy(StandInGpu(), None), CpuEnergy(Cost(), rapl_counters(powercap))]
    for meter in meters:
        meter.prepare()
        meter.start()
    try:
        yield
    finally:
        for meter in meters:
            meter.stop()
            meter.parts()


@contextmanager
def memory_sampled() -> Iterator[None]:
    """Sample the resident set."""
    from peftsum.cost.memory import SampledPeak

    sampled = SampledPeak()
    sampled.start()
    try:
        yield
    finally:
        sampled.stop()


def polls(powercap: Path) -> dict[str, Callable[[], Any]]:
    """Return what polls, by the name of its variant."""
    return {"gpu": lambda: gpu_polled(powercap), "sampled": memory_sampled}


@contextmanager
def measured(polling: Callable[[], Any] = nullcontext) -> Iterator[None]:
    """Measure steps as `peftsum train` does, with something that polls besides."""
    from peftsum.cost.meters import measure
    from peftsum.cost.section import Cost

    with measure(Cost(), "cpu"), polling():
        yield


def steps(options: Any, base: str, powercap: Path) -> tuple[dict[str, list[float]], list[float]]:
    """Return the wall seconds of each variant's steps, a round an entry; and those that counting the parts takes."""
    from peftsum.batching import encode
    from peftsum.cost.parts import count_parts
    from peftsum.data import load_split
    from peftsum.engine.settings import Engine
    from peftsum.model import load_tokenizer
    from peftsum.prompts import Prompt
    from peftsum.recipe import Data, Model

    dialogues = load_split(Data(source="builtin:dialogues"), "train").sample(MOST, 13).examples
    examples = encode(dialogues, load_tokenizer(Model()), Prompt(), max_source_tokens=512, max_target_tokens=128)
    variant = make_variant("all", Engine(packing=True), "shared", options, base, examples)
    contexts: dict[str, Callable[[], Any]] = {
        "plain": nullcontext,
        "meters": measured,
        **{name: partial(measured, polling) for name, polling in polls(powercap).items()},
    }
    for _ in range(WARM_UP):
        timed_step(variant, 0, examples)
    found: dict[str, list[float]] = {name: [] for name in contexts}
    counting = []
    for number in range(options.rounds):
        order = list(contexts)
        for name in order[number % len(order) :] + order[: number % len(order)]:  # nobody is always first
            with contexts[name]():
                started = time.perf_counter()
                for step in range(options.steps):
                    timed_step(variant, step, examples)
                found[name].append(time.perf_counter() - started)
        started = time.perf_counter()
        count_parts(variant.training.model)
        counting.append(time.perf_counter() - started)
        if (number + 1) % 10 == 0:
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    return found, counting


def calls(options: Any, powercap: Path, counting: list[float]) -> dict[str, Any]:
    """Return the seconds of an empty phase, and the share of a core that polling takes beside a sleeping process."""
    from peftsum.cost.meters import measure
    from peftsum.cost.section import Cost

    times: list[float] = []
    for _ in range(options.calls + 1):
        started = time.perf_counter()
        with measure(Cost(), "cpu"):
            pass
        times.append(time.perf_counter() - started)
    first_s, *empty_s = times
    polled = {"meters": 0.0}
    for name, polling in polls(powercap).items():
        with polling():
            cpu_s, wall_s = time.process_time(), time.perf_counter()
            time.sleep(options.asleep_s)
            polled[name] = (time.process_time() - cpu_s) / (time.perf_counter() - wall_s)
    phase_s = statistics.median(empty_s) + statistics.median(counting)
    return {
        "first_phase_s": first_s,
        "empty_phase_s": spread(empty_s),
        "count_parts_s": spread(counting),
        "polling_cpu_share": polled,
        "share_of_a_run": {
            "run_s": RUN_S,
            "phases": PHASES,
            **{name: PHASES * phase_s / RUN_S + share for name, share in polled.items()},
        },
    }


def shares(found: dict[str, list[float]]) -> dict[str, Any]:
    """Return what a step takes with each variant's meters beyond one without, as a share."""
    result = {}
    for name in found:
        if name != "plain":
            extra = [with_s / without_s - 1 for with_s, without_s in zip(found[name], found["plain"], strict=True)]
            first, _, third = statistics.quantiles(extra, n=4)
            result[name] = {
                "median": statistics.median(extra),
                "quartiles": [first, third],
                "fastest_tenth": fastest(found[name]) / fastest(found["plain"]) - 1,
            }
    return result


def fastest(times: list[float]) -> float:
    """Return the mean of the fastest tenth."""
    return statistics.mean(sorted(times)[: max(1, len(times) // 10)])


def main() -> None:
    """Measure, print a table, write JSON."""
    from peftsum.cost.machine import describe_machine

    options = arguments()
    with tempfile.TemporaryDirectory(prefix="peftsum-bench-") as folder:
        if options.shape != "tiny":
            build_base(options.shape, Path(folder) / options.shape)
        powercap = stand_in_rapl(Path(folder) / "powercap")
        found, counting = steps(options, base_of(options.shape, Path(folder)), powercap)
        single = calls(options, powercap, counting)
    extra, plain = shares(found), spread(found["plain"])
    assert plain is not None
    print(f"{options.shape}, {options.method}: {options.rounds} units of each, {plain['median']:.2f} s without meters")
    for name, share in extra.items():
        low, high = share["quartiles"]
        print(
            f"{name:8} {share['fastest_tenth']:+.2%} by the fastest tenth, {share['median']:+.2%} by the median "
            f"(middle half of the rounds {low:+.2%} to {high:+.2%})"
        )
    phase, run = single["empty_phase_s"], single["share_of_a_run"]
    print(
        f"a phase: {1e3 * phase['median']:.1f} ms to start and stop "
        f"({1e3 * phase['low']:.1f}..{1e3 * phase['high']:.1f}), "
        f"{1e3 * single['count_parts_s']['median']:.1f} ms to count the parts; "
        "polling, of a core: "
        + ", ".join(f"{name} {share:.2%}" for name, share in single["polling_cpu_share"].items() if share)
    )
    for name in extra:
        verdict = "under" if run[name] < MARK else "OVER"
        print(
            f"{name:8} {run[name]:.3%} of a run of {RUN_S:.0f} s in {PHASES} phases, {verdict} the mark of {MARK:.0%}"
        )
    if options.json:
        record = {
            "benchmark": "meter_overhead",
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": describe_machine().model_dump(mode="json"),
            "options": {k: str(v) for k, v in vars(options).items() if k != "json"},
            "share_of_the_steps": extra,
            "unit_s": {name: spread(times) for name, times in found.items()},
            "calls": single,
        }
        options.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
