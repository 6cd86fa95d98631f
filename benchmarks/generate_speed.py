"""Speed of summaries: peftsum's decode loop beside transformers' `generate()`, on the same dialogues, in one run.

    python benchmarks/generate_speed.py --quick --json generate.json

`common` is `generate()` as most people call it: an unmerged peft adapter, batches of 8 in the order of the file.
`best` is as well as it can be called: merged, sorted by length, batches of 8 192 source positions, the fastest of
eager, SDPA and SDPA in bf16 (whose words may differ: they are counted, not required). The others are greedy in fp32,
with one adapter of rank 16 on all linear layers; then eight adapters are mixed in one batch.
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
ROUNDS, QUICK_ROUNDS = 5, 2
DIALOGUES, QUICK_DIALOGUES = 256, 24
ALONE = 12  # dialogues that are summarized one at a time, for how long the first summary takes
COMPUTE: tuple[Compute, ...] = ("float32", "int8")
RESIDENT = (1, 8, 64)  # adapters in a bank
BEST = ("best_eager", "best_sdpa")
TIE = 1e-3  # between the scores of two words: nearer ones fp32 tells apart by the order in which it sums


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it, print the table, write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer dialogues, two rounds: under five minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write machine, versions, figures and ratios here")
    parser.add_argument("--shapes", default="tiny,small", help=f"comma-separated, of {', '.join(SHAPES)}")
    parser.add_argument("--dialogues", type=int, help="how many to summarize")
    parser.add_argument("--rounds", type=int, help="how often the systems take turns")
    parser.add_argument("--data", help="a data source with a split `validation`")
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
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    shapes = {}
    for shape in options.shapes.split(","):
        with tempfile.TemporaryDirectory() as folder:
            shapes[shape] = time_shape(shape, workload, rounds, Path(folder), clock)
        _print_shape(shape, shapes[shape], len(workload.sources))
    ratios = {f"{name}_{shape}": value for shape, found in shapes.items() for name, value in found["ratios"].items()}
    first = shapes["small"] if "small" in shapes else next(iter(shapes.values()))
    if options.json:
        machine = describe_machine()
        record = {
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
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


def time_shape(
    shape: str, workload: Workload, rounds: int, folder: Path, clock: Callable[[], float]
) -> dict[str, object]:
    """Return the seconds of each system on a shape, round by round, and the ratios that follow."""
    with quiet_load():
        if shape != "tiny":
            build_base(shape, folder / shape)
        base = base_of(shape, folder)
        adapters = write_adapters(base, folder)
        ours = Ours(base, adapters)
        systems: dict[str, System] = {
            "peftsum": ours.one,
            "peftsum_mixed8": ours.mixed,
            "common": common(base, adapters[0]),
            "best_eager": best(base, adapters[0], "eager"),
            "best_sdpa": best(base, adapters[0], "sdpa"),
            "best_bf16": best(base, adapters[0], "sdpa", torch.bfloat16),
            "peft_mixed8": mixed_by_peft(base, adapters),
        }
    few = Workload(workload.sources[:8], [4] * 8)
    for run in systems.values():
        run(few)  # what is made once
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    answers: dict[str, Ids] = {}
    for number in range(rounds):
        print(f"{shape}, round {number + 1} of {rounds} …", file=sys.stderr)
        for name, run in systems.items():
            if number and name == "peft_mixed8":
                continue  # it takes as long as all others together; once is enough to compare the words
            started = clock()
            answers[name] = run(workload)
            seconds[name].append(clock() - started)
    unequal = {}
    for name, of in (("peftsum", "common"), ("peftsum_mixed8", "peft_mixed8"), *((n, "common") for n in BEST)):
        unequal[name] = _unequal(answers[name], answers[of])
        with quiet_load():
            _check_ties(base, adapters if "mixed" in name else adapters[:1], workload, answers[name], answers[of])
    unequal["best_bf16"] = _unequal(answers["best_bf16"], answers["common"])
    swaps = ours.swap_ms()
    alone = {name: _one_at_a_time(systems[name], workload, clock) for name in ("peftsum", "common")}
    fastest = min(("best_eager", "best_sdpa", "best_bf16"), key=lambda name: median(seconds[name]))
    pairs = {
        "vs_common": ("common", "peftsum"),
        "vs_best": (fastest, "peftsum"),
        "mixed8_vs_one": ("peftsum", "peftsum_mixed8"),
        "mixed8_vs_peft": ("peft_mixed8", "peftsum_mixed8"),
    }
    values = {
        name: [a / b for a, b in zip(seconds[slow], seconds[fast], strict=False)]
        for name, (slow, fast) in pairs.items()
    }
    values["swap_ms"] = swaps
    even = time_even(ours.one, base, adapters[0], workload, rounds, folder, clock)
    for name in even["seconds"]:
        if name != "peftsum":
            both = zip(even["seconds"][name], even["seconds"]["peftsum"], strict=True)
            values[f"vs_{name}"] = [theirs / own for theirs, own in both]
    return {
        "even": even,
        "seconds": seconds,
        "summaries_per_s": {name: len(workload.sources) / median(times) for name, times in seconds.items()},
        "unequal_summaries": unequal,
        "bank_bytes_over_weights": ours.memory(RESIDENT),
        "one_dialogue_s": alone,
        "bank_bytes": ours.bank.nbytes,
        "adapter_file_bytes": ours.file_bytes,
        "ratios": {name: {"median": median(v), "low": min(v), "high": max(v)} for name, v in values.items()},
    }


def time_even(
    ours: System, base: str, adapter: Path, workload: Workload, rounds: int, folder: Path, clock: Callable[[], float]
) -> dict[str, Any]:
    """Return seconds of peftsum and CTranslate2, round by round, where all summaries have the median length."""
    if importlib.util.find_spec("ctranslate2") is None:
        return {"seconds": {}, "skipped": "CTranslate2 is not installed: pip install 'peftsum[export]'"}
    length = round(median(workload.ends))
    even = Workload(workload.sources, [length] * len(workload.sources))
    systems = {"peftsum": ours}
    systems |= {f"ctranslate2_{compute}": by_ctranslate2(base, adapter, compute, folder) for compute in COMPUTE}
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    answers: dict[str, Ids] = {}
    for _ in range(rounds):
        for name, run in systems.items():
            started = clock()
            answers[name] = run(even)
            seconds[name].append(clock() - started)
    unequal = {name: _unequal(answers[name], answers["peftsum"]) for name in systems}
    return {"summary_tokens": length, "seconds": seconds, "unequal_summaries": unequal}


def _one_at_a_time(run: System, workload: Workload, clock: Callable[[], float]) -> dict[str, float]:
    """Return how long the summary of a dialogue that comes alone takes, in seconds: median and longest."""
    taken = []
    for source, end in list(zip(workload.sources, workload.ends, strict=True))[:ALONE]:
        started = clock()
        run(Workload([source], [end]))
        taken.append(clock() - started)
    return {"median": median(taken), "longest": max(taken)}


def _check_ties(base: str, adapters: Sequence[Path], workload: Workload, found: Ids, expected: Ids) -> None:
    """Stop where two systems write otherwise and it is no tie."""
    for row, (one, other) in enumerate(zip(found, expected, strict=True)):
        if one == other:
            continue
        gap = score_gap(base, adapters[row % len(adapters)], workload.sources[row], one, other)
        print(f"summary {row}: two words whose scores are {gap:.2g} apart", file=sys.stderr)
        if gap > TIE:
            sys.exit(f"summary {row} differs: {one} and {other}")


def _unequal(found: Ids, expected: Ids) -> int:
    return sum(a != b for a, b in zip(found, expected, strict=True))


def _print_shape(shape: str, found: dict[str, object], count: int) -> None:
    print(f"{shape}: {count} dialogues; unequal summaries: {found['unequal_summaries']}")
    seconds = found["seconds"]
    assert isinstance(seconds, dict)
    for name, times in seconds.items():
        spread = f"{count / max(times):.2f} to {count / min(times):.2f}"
        print(f"  {name:15} {count / median(times):8.2f} summaries/s ({spread})")
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
