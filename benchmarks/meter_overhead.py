"""What the meters themselves cost: the same training steps with and without them, and what each of their calls takes.

    python benchmarks/meter_overhead.py --json overhead.json
    python benchmarks/meter_overhead.py --quick

Blocks of steps take turns, each once without meters, once with those that this machine has (`meters`), and once with
all that poll in a thread besides (`polling`): a GPU's counter, power and utilisation ten times a second, RAPL, and the
resident set twenty times a second, as where the kernel's mark cannot be reset. Where the machine has no such counters
they are read from stand-ins, so the vendor's library's own time is not in it. A block is timed around the whole `with`,
starting and stopping included. The share is the median over rounds of a block with meters against the one without it;
beside it stand the calls by themselves, which give the share of a run of any length. Figures go to stdout, progress to
stderr.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine_parts import make_variant, timed_step
from training.shapes import METHODS, SHAPES, base_of, build_base
from training.summary import spread

MOST = 600  # dialogues to draw batches from
MARK = 0.01
RUN_S = 60.0  # a short run, for the share by arithmetic
PHASES = 2  # load and train


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(SHAPES), default="tiny")
    parser.add_argument("--method", choices=list(METHODS), default="lora")
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=20, help="blocks of each variant")
    parser.add_argument("--block-s", type=float, default=3.0, help="about how long a block of steps takes")
    parser.add_argument("--calls", type=int, default=50, help="empty phases to time")
    parser.add_argument("--quick", action="store_true", help="three rounds of one second")
    parser.add_argument("--json", type=Path, help="write machine, figures and shares here")
    options = parser.parse_args()
    options.dropout = 0.0
    if options.quick:
        options.rounds, options.block_s, options.calls = 3, 1.0, 10
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
def polling(powercap: Path) -> Iterator[None]:
    """Run every meter that polls."""
    from peftsum.cost.cpu import CpuEnergy
    from peftsum.cost.gpu import GpuEnergy
    from peftsum.cost.memory import SampledPeak
    from peftsum.cost.rapl import rapl_counters
    from peftsum.cost.section import Cost

    meters = [GpuEnergy(StandInGpu(), None), CpuEnergy(Cost(), rapl_counters(powercap))]
    sampled = SampledPeak()
    for meter in meters:
        meter.prepare()
        meter.start()
    sampled.start()
    try:
        yield
    finally:
        sampled.stop()
        for meter in meters:
            meter.stop()
            meter.parts()


def metered(with_polling: Path | None) -> Callable[[Any], Any]:
    """Return a context that measures a block as `peftsum train` does, and, if asked for, polls all besides."""
    from peftsum.cost.meters import measure
    from peftsum.cost.section import Cost

    @contextmanager
    def context(model: Any) -> Iterator[Any]:
        with ExitStack() as stack:
            measurement = stack.enter_context(measure(Cost(), "cpu"))
            if with_polling is not None:
                stack.enter_context(polling(with_polling))
            yield measurement
            measurement.count_parts(model)

    return context


def blocks(options: Any, base: str, powercap: Path) -> dict[str, list[dict[str, float]]]:
    """Return wall and CPU seconds of each variant's blocks, a round an entry."""
    from peftsum.batching import encode
    from peftsum.data import load_split
    from peftsum.engine.settings import Engine
    from peftsum.model import load_tokenizer
    from peftsum.prompts import Prompt
    from peftsum.recipe import Data, Model

    dialogues = load_split(Data(source="builtin:dialogues"), "train").sample(MOST, 13).examples
    examples = encode(dialogues, load_tokenizer(Model()), Prompt(), max_source_tokens=512, max_target_tokens=128)
    variant = make_variant("all", Engine(packing=True), "shared", options, base, examples)
    steps = steps_of_a_block(variant, examples, options.block_s)
    contexts: dict[str, Callable[[Any], Any]] = {
        "plain": lambda model: nullcontext(),
        "meters": metered(None),
        "polling": metered(powercap),
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in contexts}
    for number in range(options.rounds):
        order = list(contexts)
        order = order[number % len(order) :] + order[: number % len(order)]  # nobody is always first
        for name in order:
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            with contexts[name](variant.training.model):
                for step in range(steps):  # the same batches in every block
                    timed_step(variant, step, examples)
            spent = {"wall_s": time.perf_counter() - wall_s, "cpu_s": time.process_time() - cpu_s, "steps": steps}
            found[name].append(spent)
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    return found


def steps_of_a_block(variant: Any, examples: Any, block_s: float) -> int:
    """Warm up, and return how many steps take about as long as a block should."""
    timed_step(variant, 0, examples)
    times = []
    for step in range(3):
        started = time.perf_counter()
        timed_step(variant, step, examples)
        times.append(time.perf_counter() - started)
    return max(1, round(block_s / statistics.median(times)))


def calls(options: Any, powercap: Path) -> dict[str, Any]:
    """Return the seconds of an empty phase, and the CPU seconds that polling takes a second, main thread asleep."""
    from peftsum.cost.meters import measure
    from peftsum.cost.section import Cost

    first_s: list[float] = []
    empty_s: list[float] = []
    for number in range(options.calls + 1):
        started = time.perf_counter()
        with measure(Cost(), "cpu"):
            pass
        (empty_s if number else first_s).append(time.perf_counter() - started)
    asleep_s = 5.0 if options.quick else 20.0
    with polling(powercap):
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        time.sleep(asleep_s)
        share = (time.process_time() - cpu_s) / (time.perf_counter() - wall_s)
    phase = spread(empty_s)
    assert phase is not None
    return {
        "first_phase_s": first_s[0],
        "empty_phase_s": phase,
        "polling_cpu_share": share,
        "share_of_a_run": {"run_s": RUN_S, "value": PHASES * phase["median"] / RUN_S + share},
    }


def shares(found: dict[str, list[dict[str, float]]], of: str) -> dict[str, Any]:
    """Return what each variant with meters took beyond the one without, as a share, a round an entry."""
    plain = [block[of] for block in found["plain"]]
    result = {}
    for name in found:
        if name != "plain":
            extra = [block[of] / base - 1 for block, base in zip(found[name], plain, strict=True)]
            quarters = statistics.quantiles(extra, n=4) if len(extra) > 1 else [extra[0]] * 3
            result[name] = {**(spread(extra) or {}), "quartiles": [quarters[0], quarters[2]]}
    return result


def main() -> None:
    """Measure, print a table, write JSON."""
    from peftsum.cost.machine import describe_machine

    options = arguments()
    with tempfile.TemporaryDirectory(prefix="peftsum-bench-") as folder:
        if options.shape != "tiny":
            build_base(options.shape, Path(folder) / options.shape)
        powercap = stand_in_rapl(Path(folder) / "powercap")
        found = blocks(options, base_of(options.shape, Path(folder)), powercap)
        single = calls(options, powercap)
    by_wall, by_cpu = shares(found, "wall_s"), shares(found, "cpu_s")
    steps = int(found["plain"][0]["steps"])
    plain = spread([block["wall_s"] for block in found["plain"]])
    assert plain is not None
    print(f"{options.shape}, {options.method}: {options.rounds} blocks of {steps} steps, {plain['median']:.2f} s each")
    for name in by_wall:
        print(
            f"{name:8} {by_wall[name]['median']:+.2%} of the time "
            f"(middle half {by_wall[name]['quartiles'][0]:+.2%} to {by_wall[name]['quartiles'][1]:+.2%}), "
            f"{by_cpu[name]['median']:+.2%} of the CPU time"
        )
    phase, run = single["empty_phase_s"], single["share_of_a_run"]
    print(
        f"a phase costs {1e3 * phase['median']:.2f} ms ({1e3 * phase['low']:.2f}..{1e3 * phase['high']:.2f}), "
        f"the first of a process {1e3 * single['first_phase_s']:.0f} ms; "
        f"polling takes {single['polling_cpu_share']:.3%} of a core"
    )
    verdict = "under" if run["value"] < MARK else "OVER"
    print(f"a run of {run['run_s']:.0f} s with {PHASES} phases: {run['value']:.3%}, {verdict} the mark of {MARK:.0%}")
    if options.json:
        record = {
            "benchmark": "meter_overhead",
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": describe_machine().model_dump(mode="json"),
            "options": {k: str(v) for k, v in vars(options).items() if k != "json"},
            "share_of_time": by_wall,
            "share_of_cpu_time": by_cpu,
            "block": {"steps": steps, "plain_s": plain},
            "calls": single,
        }
        options.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
