"""Speed of summaries: peftsum's decode loop beside transformers' `generate()`, on the same dialogues, in one run.

    python benchmarks/generate_speed.py --quick --json generate.json

`common` is `generate()` as most people call it: an unmerged peft adapter, batches of 8 in the order of the file.
`best` is as well as it can be called: merged, sorted by length, batches of 8 192 source positions, the fastest of
eager, SDPA and SDPA in bf16 (whose words may differ: they are counted, not required); one that needs twice the time of
the fastest for eight short summaries is named and left out. The others are greedy in fp32, with one adapter of rank 16
on all linear layers. Eight adapters are mixed in one batch, beside one adapter for the same dialogues (at least 48:
six an adapter), and beside peft's mixing once (`--quick`: of eight dialogues).
Random weights never end a summary, so all are made to end at the length of the human one (the same hook on the scores
for all), and the token ids must be equal, or the run fails; but for ties, words whose scores fp64 finds within a
thousandth of each other, which are counted. The systems take turns, and a ratio is the median of those within the
rounds. CTranslate2, where it is installed, cannot end each summary elsewhere: beside it all are made to have the median
length (words are compared on the shape tiny alone: other shapes have words that the tokenizer does not name).
Dialogues: ../shared/data/dialogsum where that is present, else the built-in ones.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]  # the peftsum of this checkout
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch  # noqa: E402
from generation.systems import Ids, Ours, System, best, by_ctranslate2, common, mixed_by_peft, score_gap  # noqa: E402
from generation.workload import Workload, read_workload, write_adapters  # noqa: E402
from training.shapes import SHAPES, base_of, build_base  # noqa: E402

from peftsum.cost.machine import describe_machine  # noqa: E402
from peftsum.export import Compute  # noqa: E402
from peftsum.model import quiet_load  # noqa: E402

DIALOGSUM = ROOT.parent / "shared" / "data" / "dialogsum"
ROUNDS, DIALOGUES, ALONE = 5, 256, 12
QUICK_ROUNDS, QUICK_DIALOGUES, QUICK_ALONE = 2, 24, 4
MIXED_DIALOGUES = 48  # of eight adapters, at least
QUICK_S = 230.0  # a second round begins only if it will probably end before this
COMPUTE: tuple[Compute, ...] = ("float32", "int8")
RESIDENT = (1, 8, 64)  # adapters in a bank
BEST = ("best_eager", "best_sdpa", "best_bf16")
FEW = 8  # dialogues that every system meets before the clock starts
HOPELESS = 2.0  # times the fastest of the best calls, on a few dialogues: it will not be the best
TIE = 1e-3  # between the scores of two words: nearer ones fp32 tells apart by the order in which it sums


@dataclass(frozen=True)
class Effort:
    """How much is timed."""

    rounds: int
    even_rounds: int
    """Those beside CTranslate2."""
    by_peft: int
    """Dialogues mixed by peft, which takes as long as all the others."""
    alone: int
    """Dialogues that are summarized one at a time, for how long the first summary takes."""
    until: float = float("inf")
    """When, by ``time.perf_counter``, no round may be begun any more but the first."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it, print the table, write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer dialogues, up to two rounds: under five minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write machine, versions, figures and ratios here")
    parser.add_argument("--shapes", default="tiny,small", help=f"comma-separated, of {', '.join(SHAPES)}")
    parser.add_argument("--dialogues", type=int, help="how many to summarize")
    parser.add_argument("--rounds", type=int, help="how often the systems take turns")
    parser.add_argument("--data", help="a data source with a split `validation`")
    parser.add_argument("--device", default="cpu", help="where all of them run: cpu (default) or cuda")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="count this process's processor seconds, for a machine that others use too; set OMP_NUM_THREADS=1",
    )
    options = parser.parse_args(arguments)
    clock = time.process_time if options.cpu_time else time.perf_counter
    there = (DIALOGSUM / "validation.jsonl").is_file()
    source = options.data or (str(DIALOGSUM) if there else "builtin:dialogues")
    count = options.dialogues or (QUICK_DIALOGUES if options.quick else DIALOGUES)
    workload = read_workload(source, "validation", count)
    mix = workload if count >= MIXED_DIALOGUES else read_workload(source, "validation", MIXED_DIALOGUES)
    effort = _effort(options, len(workload.sources))
    shapes = {}
    for shape in options.shapes.split(","):
        with tempfile.TemporaryDirectory() as folder:
            device = torch.device(options.device)
            shapes[shape] = time_shape(shape, workload, mix, effort, Path(folder), clock, device)
        _print_shape(shape, shapes[shape], len(workload.sources))
    ratios = {f"{name}_{shape}": value for shape, found in shapes.items() for name, value in found["ratios"].items()}
    first = shapes["small"] if "small" in shapes else next(iter(shapes.values()))
    if options.json:
        machine = describe_machine()
        record = {
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "device": torch.cuda.get_device_name(options.device)
            if options.device.startswith("cuda")
            else options.device,
            "clock": "processor time of the process" if options.cpu_time else "wall",
            "machine": {"cpu": machine.cpu, "cores": machine.usable_cores, "os": machine.os, "python": machine.python},
            "versions": machine.packages,
            "dialogues": {
                "source": Path(source).name,
                "count": len(workload.sources),
                "source_tokens_mean": sum(map(len, workload.sources)) / len(workload.sources),
                "summary_tokens_mean": sum(workload.ends) / len(workload.ends),
                "summary_tokens_longest": max(workload.ends),
            },
            "shapes": shapes,
            "ratios": first["ratios"] | ratios,  # without a shape in its name: of Flan-T5-small's, where it was timed
        }
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _effort(options: argparse.Namespace, count: int) -> Effort:
    if not options.quick:
        rounds = options.rounds or ROUNDS
        return Effort(rounds, rounds, count, ALONE)
    return Effort(options.rounds or QUICK_ROUNDS, 1, FEW, QUICK_ALONE, time.perf_counter() + QUICK_S)


def time_shape(
    shape: str,
    workload: Workload,
    mix: Workload,
    effort: Effort,
    folder: Path,
    clock: Callable[[], float],
    device: torch.device,
) -> dict[str, object]:
    """Return the seconds of each system on a shape, round by round, and the ratios that follow.

    Args:
        shape: of the base.
        workload: what all systems summarize.
        mix: what is summarized by eight adapters mixed and by one.
        effort: how much is timed.
        folder: for bases and adapters.
        clock: counts seconds.
        device: where all run.
    """
    with quiet_load():
        if shape != "tiny":
            build_base(shape, folder / shape)
        base = base_of(shape, folder)
        adapters = write_adapters(base, folder)
        ours, by_peft = Ours(base, adapters, device), mixed_by_peft(base, adapters, device)
        systems: dict[str, System] = {
            "peftsum": ours.one,
            "peftsum_mixed8": ours.mixed,
            "peftsum_unmixed": ours.one,
            "common": common(base, adapters[0], device),
            "best_eager": best(base, adapters[0], device, "eager"),
            "best_sdpa": best(base, adapters[0], device, "sdpa"),
            "best_bf16": best(base, adapters[0], device, "sdpa", torch.bfloat16),
        }
    of = {name: mix if name in {"peftsum_mixed8", "peftsum_unmixed"} else workload for name in systems}
    few = Workload(workload.sources[:FEW], [4] * FEW)
    hopeless = _warm_up(systems, few, clock)
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    answers: dict[str, Ids] = {}
    for number in range(effort.rounds):
        began = time.perf_counter()
        print(f"{shape}, round {number + 1} of {effort.rounds} …", file=sys.stderr)
        for name, run in systems.items():
            answers[name], taken = _timed(run, of[name], clock)
            seconds[name].append(taken)
        if 2 * time.perf_counter() - began > effort.until:
            break
    unequal = {}
    for name in ("peftsum", *(name for name in BEST if name in systems)):
        unequal[name] = _unequal(answers[name], answers["common"])
        if name != "best_bf16":
            _check_ties(base, adapters[:1], workload, answers[name], answers["common"])
    some = mix.first(effort.by_peft)
    by_peft(few)
    expected, by_peft_s = _timed(by_peft, some, clock)
    found, mixed_s = _timed(ours.mixed, some, clock)
    unequal["peftsum_mixed8"] = _unequal(found, expected)
    _check_ties(base, adapters, some, found, expected)
    _check_ties(base, adapters, some, answers["peftsum_mixed8"][: len(expected)], expected)
    swaps = ours.swap_ms()
    apart = workload.first(effort.alone)
    alone = {name: _one_at_a_time(systems[name], apart, clock) for name in ("peftsum", "common")}
    fastest = min((name for name in BEST if name in systems), key=lambda name: median(seconds[name]))
    pairs = {
        "vs_common": ("common", "peftsum"),
        "vs_best": (fastest, "peftsum"),
        "mixed8_vs_one": ("peftsum_unmixed", "peftsum_mixed8"),
    }
    values = {
        name: [a / b for a, b in zip(seconds[slow], seconds[fast], strict=True)] for name, (slow, fast) in pairs.items()
    }
    values |= {"mixed8_vs_peft": [by_peft_s / mixed_s], "swap_ms": swaps}
    even = time_even(ours.one, base, adapters[0], workload, effort.even_rounds, folder, clock, device)
    for name in even["seconds"]:
        if name != "peftsum":
            both = zip(even["seconds"][name], even["seconds"]["peftsum"], strict=True)
            values[f"vs_{name}"] = [theirs / own for theirs, own in both]
    return {
        "even": even,
        "seconds": seconds,
        "left_out": hopeless,
        "best": fastest,
        "summaries_per_s": {name: len(of[name].sources) / median(times) for name, times in seconds.items()},
        "summaries": {name: len(each.sources) for name, each in of.items()},
        "unequal_summaries": unequal,
        "bank_bytes_over_weights": ours.memory(RESIDENT),
        "one_dialogue_s": alone,
        "bank_bytes": ours.bank.nbytes,
        "adapter_file_bytes": ours.file_bytes,
        "ratios": {name: {"median": median(v), "low": min(v), "high": max(v)} for name, v in values.items()},
    }


def _warm_up(systems: dict[str, System], few: Workload, clock: Callable[[], float]) -> dict[str, str]:
    """Let every system make what it makes once, and take out the best calls that cannot be the best; return why."""
    taken = {}
    for name, run in systems.items():
        run(few)
        taken[name] = _timed(run, few, clock)[1]
    least = min(taken[name] for name in BEST)
    hopeless = {name: f"{taken[name] / least:.1f} times the fastest" for name in BEST if taken[name] > HOPELESS * least}
    for name in hopeless:
        del systems[name]
    return hopeless


def _timed(run: System, workload: Workload, clock: Callable[[], float]) -> tuple[Ids, float]:
    started = clock()
    return run(workload), clock() - started


def time_even(
    ours: System,
    base: str,
    adapter: Path,
    workload: Workload,
    rounds: int,
    folder: Path,
    clock: Callable[[], float],
    device: torch.device,
) -> dict[str, Any]:
    """Return seconds of peftsum and CTranslate2, round by round, where all summaries have the median length."""
    if importlib.util.find_spec("ctranslate2") is None:
        return {"seconds": {}, "skipped": "CTranslate2 is not installed: pip install 'peftsum[export]'"}
    length = round(median(workload.ends))
    even = Workload(workload.sources, [length] * len(workload.sources))
    systems = {"peftsum": ours}
    with quiet_load():
        systems |= {
            f"ctranslate2_{compute}": by_ctranslate2(base, adapter, compute, folder, device) for compute in COMPUTE
        }
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    answers: dict[str, Ids] = {}
    for _ in range(rounds):
        for name, run in systems.items():
            answers[name], taken = _timed(run, even, clock)
            seconds[name].append(taken)
    unequal = {name: _unequal(answers[name], answers["peftsum"]) for name in systems}
    return {"summary_tokens": length, "seconds": seconds, "unequal_summaries": unequal}


def _one_at_a_time(run: System, workload: Workload, clock: Callable[[], float]) -> dict[str, float]:
    """Return how long the summary of a dialogue that comes alone takes, in seconds: median and longest."""
    taken = [
        _timed(run, Workload([source], [end]), clock)[1]
        for source, end in zip(workload.sources, workload.ends, strict=True)
    ]
    return {"median": median(taken), "longest": max(taken)}


def _check_ties(base: str, adapters: Sequence[Path], workload: Workload, found: Ids, expected: Ids) -> None:
    """Stop where two systems write otherwise and it is no tie."""
    for row, (one, other) in enumerate(zip(found, expected, strict=True)):
        if one == other:
            continue
        with quiet_load():
            gap = score_gap(base, adapters[row % len(adapters)], workload.sources[row], one, other)
        print(f"summary {row}: two words whose scores are {gap:.2g} apart", file=sys.stderr)
        if gap > TIE:
            sys.exit(f"summary {row} differs: {one} and {other}")


def _unequal(found: Ids, expected: Ids) -> int:
    return sum(a != b for a, b in zip(found, expected, strict=True))


def _print_shape(shape: str, found: dict[str, object], count: int) -> None:
    print(f"{shape}: {count} dialogues; unequal summaries: {found['unequal_summaries']}")
    hopeless = found["left_out"]
    assert isinstance(hopeless, dict)
    for name, reason in hopeless.items():
        print(f"  {name:15} left out: {reason} of the best calls on {FEW} short summaries")
    seconds, summaries = found["seconds"], found["summaries"]
    assert isinstance(seconds, dict)
    assert isinstance(summaries, dict)
    for name, times in seconds.items():
        rates = [summaries[name] / s for s in times]
        print(
            f"  {name:15} {median(rates):8.2f} summaries/s of {summaries[name]} ({min(rates):.2f} to {max(rates):.2f})"
        )
    even = found["even"]
    assert isinstance(even, dict)
    for name, times in even["seconds"].items():
        print(f"  {name:20} {count / median(times):8.2f} summaries/s of {even['summary_tokens']} tokens each")
    print(f"  {even.get('skipped') or 'unequal to peftsum: ' + str(even['unequal_summaries'])}")
    ratios = found["ratios"]
    assert isinstance(ratios, dict)
    for name, value in ratios.items():
        print(f"  {name:15} {value['median']:8.4g} ({value['low']:.4g} to {value['high']:.4g})")
    print(f"  one dialogue alone, s: {found['one_dialogue_s']}")
    print(f"  bytes of a bank over those of its adapters: {found['bank_bytes_over_weights']}")


if __name__ == "__main__":
    main()
