"""Training speed and memory: peftsum beside Seq2SeqTrainer + peft, as most run it and tuned, in one run.

    python benchmarks/train_speed.py --quick --json speed.json
    python benchmarks/train_speed.py --shapes small --methods lora full int8 --repeats 3 --json speed.json

Every system runs in a process of its own, one after the other, round by round (A B C, A B C, ...); a ratio is the
median of the ratios within the rounds. `common` is fp32 in random batches of 8; `tuned` takes what a short probe finds
fastest on this machine; `tuned_nodrop` is that without dropout. Speeds are real (non-padding) source and target tokens
a second after the first steps, timed at the end of optimizer steps by torch's own hook. The table goes to stdout,
progress to stderr.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training.flops import FORMULA
from training.jobs import SYSTEMS, Job, TrainerSettings
from training.runner import Clock, Runner, WorkerFailed, guess_s
from training.shapes import METHODS, SHAPES, base_of, build_base
from training.summary import Cell, all_ratios, spread, system_record, table
from training.workload import BUILTIN, read_workload, write_workload

ROOT = Path(__file__).resolve().parents[1]
DIALOGSUM = ROOT.parent / "shared" / "data" / "dialogsum"
COMMON = TrainerSettings()
QUICK = (("small", "lora", "dialogsum"), ("tiny", "lora", "builtin"))
QUICK_SYSTEMS = ("common", "tuned", "peftsum")
QUICK_S = 280.0  # a second round begins only if it will probably end before this
POOL = 1024  # dialogues that random-weight shapes draw from: grouping by length needs many to choose from
CPU_SIZES, GPU_SIZES = (8, 32), (8, 32, 64, 128)
FIRST_SIZE = 16  # at which the attention is probed
LEAST_STEPS = 3  # of a run: one before the timed ones, and two timed


@dataclass(frozen=True)
class Amount:
    """How much a shape trains on."""

    examples: int
    """Dialogues a run."""
    probe: int
    """Dialogues a probed candidate."""
    held_out: int
    """Dialogues whose loss is taken after training."""


AMOUNTS = {
    "minute": Amount(64, 32, 8),
    "tiny": Amount(1024, 96, 64),
    "small": Amount(96, 48, 16),
    "base": Amount(48, 32, 8),
    "large": Amount(48, 32, 8),
    "xl": Amount(48, 32, 8),
}
QUICK_AMOUNTS = {
    "minute": Amount(32, 16, 8),
    "tiny": Amount(96, 32, 64),
    "small": Amount(32, 16, 8),
}
GPU_FACTOR = 16  # more dialogues on a GPU, which goes through them so much faster


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under 5 minutes on two cores: small and tiny, LoRA only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write machine, versions, figures and ratios here")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, help="default: tiny small base")
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="default: all")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, help="default: all; with --quick no tuned_nodrop")
    parser.add_argument("--data", nargs="+", choices=("builtin", "dialogsum"), help="default: both, where present")
    parser.add_argument("--dialogsum", type=Path, default=DIALOGSUM, metavar="DIR", help="folder with train.jsonl")
    parser.add_argument(
        "--repeats", type=int, help="rounds; default: 3, with --quick 2, or 1 where the machine is too slow"
    )
    parser.add_argument("--examples", type=int, help="dialogues a run; default: by the shape")
    parser.add_argument("--batch-tokens", type=int, default=2048, help="peftsum's budget of a batch")
    options = parser.parse_args(arguments)
    for name in ("repeats", "examples", "batch_tokens"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name.replace('_', '-')} {value}: it must be at least 1")
    options.limit_s = QUICK_S if options.quick and options.repeats is None else float("inf")
    options.repeats = options.repeats or (2 if options.quick else 3)
    options.systems = [s for s in SYSTEMS if s in (options.systems or (QUICK_SYSTEMS if options.quick else SYSTEMS))]
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it, print the table, write the JSON file."""
    options = parse_args(arguments)
    sys.path.insert(0, str(ROOT))  # the peftsum of this checkout
    on_gpu = _has_gpu()
    sources = {"builtin": BUILTIN}
    skipped = {}
    if (options.dialogsum / "train.jsonl").is_file():
        sources["dialogsum"] = str(options.dialogsum)
    else:
        skipped["dialogsum"] = "no train.jsonl in the folder that --dialogsum names; it is not part of the repository"
        print(f"dialogsum is skipped: {skipped['dialogsum']}", file=sys.stderr)
    headline_data = "dialogsum" if "dialogsum" in sources else "builtin"
    cells = [Cell(*names) for names in choose_cells(options, sources, headline_data)]
    if not cells:
        sys.exit("nothing to run: the data asked for is not there")
    described: dict[str, Any] = {name: {"skipped": reason} for name, reason in skipped.items()}
    with tempfile.TemporaryDirectory(prefix="train_speed-") as folder:
        for _ in run(cells, options, sources, Path(folder), on_gpu, described):
            ratios = all_ratios(cells, headline_data)
            if options.json:  # after every round of a cell, so that a long run that is stopped leaves what it has
                record = report(cells, options, ratios, described)
                options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(table(cells))
    print("ratios (larger is better for peftsum):")
    for name, ratio in ratios.items():
        shown = f"null: {ratio['reason']}" if ratio["median"] is None else f"{ratio['median']:.3g}"
        print(f"  {name}: {shown}" + (f" ({ratio['low']:.3g}..{ratio['high']:.3g})" if "low" in ratio else ""))


def choose_cells(
    options: argparse.Namespace, sources: dict[str, str], headline_data: str
) -> list[tuple[str, str, str]]:
    """Return the (shape, method, data) to run."""
    if options.quick:
        chosen = [(s, m, headline_data if d == "dialogsum" else d) for s, m, d in QUICK]
        if options.shapes or options.methods or options.data:
            shapes, methods = options.shapes or ["small", "tiny"], options.methods or ["lora"]
            chosen = [(s, m, d) for s in shapes for m in methods for d in options.data or [headline_data]]
    else:
        shapes, methods = options.shapes or ["tiny", "small", "base"], options.methods or list(METHODS)
        chosen = [(s, m, d) for s in shapes for m in methods for d in options.data or sources]
    return [cell for cell in chosen if cell[2] in sources]


def run(
    cells: Sequence[Cell],
    options: argparse.Namespace,
    sources: dict[str, str],
    work: Path,
    on_gpu: bool,
    described: dict[str, Any],
) -> Iterator[None]:
    """Run every system of every cell, round by round, leaving the answers in the cells; yield after each round of one.

    Args:
        cells: what to run; each gets its answers.
        options: of the command line.
        sources: data sources by name.
        work: an empty folder.
        on_gpu: whether the workers will find a GPU.
        described: gets what the data is like.
    """
    runner = Runner(work)
    systems = options.systems
    jobs: dict[str, Job] = {}
    lengths: dict[str, list[tuple[int, int]]] = {}
    for cell in cells:
        amount = amount_of(cell.shape, options, on_gpu)
        pool = amount.examples if cell.shape == "tiny" else max(POOL, amount.examples)  # tiny: one whole pass
        data = work / f"{cell.data}-{pool}"
        if not data.is_dir():
            described[f"{cell.data}, {pool}"] = write_workload(sources[cell.data], pool, 64, data)
        workload = read_workload(data)
        lengths[cell.name] = workload.lengths
        jobs[cell.name] = Job(
            "train",
            cell.shape,
            base_of(cell.shape, work / "bases"),
            cell.method,
            str(data),
            examples=min(amount.examples, len(workload.train)),
            batch_tokens=options.batch_tokens,
            held_out=amount.held_out,
        )
        cell.answers = {system: [] for system in systems}
    clock = Clock(sum(_guess(c, jobs[c.name], lengths[c.name], systems, options, on_gpu) for c in cells))
    for shape in dict.fromkeys(cell.shape for cell in cells):
        if shape != "tiny":
            print(f"building a random {shape}", file=sys.stderr, flush=True)
            build_base(shape, work / "bases" / shape)
    for cell in cells:
        cell.chosen = {"common": replace(COMMON, checkpointing=METHODS[cell.method].quantize != "none")}
        for system in systems:
            if system.startswith("tuned"):
                known = cells[0].chosen.get("tuned") if options.quick else None
                _tune(runner, clock, cell, system, jobs[cell.name], lengths[cell.name], options, on_gpu, known)
    round_s: dict[str, float] = {}
    for repeat in range(options.repeats):
        for cell in cells:
            if repeat and clock.spent_s + round_s[cell.name] > options.limit_s:
                continue  # a later round costs what the first did
            began_s = clock.spent_s
            job, cost = jobs[cell.name], lengths[cell.name]
            for system in systems:
                one = replace(job, system=system, seed=job.seed + repeat, trainer=cell.chosen.get(system, COMMON))
                clock.line(f"{cell.shape} {cell.method} {cell.data}: {system}, round {repeat + 1} of {options.repeats}")
                _run_one(runner, cell, one)
                clock.done(guess_s(one, cost))
            round_s[cell.name] = clock.spent_s - began_s
            yield


def amount_of(shape: str, options: argparse.Namespace, on_gpu: bool) -> Amount:
    """Return how much a shape trains on."""
    amount = (QUICK_AMOUNTS if options.quick else {}).get(shape, AMOUNTS[shape])
    if options.examples:
        return replace(amount, examples=options.examples)
    return replace(amount, examples=amount.examples * GPU_FACTOR, probe=amount.probe * GPU_FACTOR) if on_gpu else amount


def _run_one(runner: Runner, cell: Cell, job: Job) -> None:
    try:
        answer = runner.run(job)
    except WorkerFailed as error:
        print(f"  {job.system} failed: {error}", file=sys.stderr, flush=True)
        cell.failures[job.system] = str(error)
        cell.answers[job.system].append(None)
        return
    cell.answers[job.system].append(answer)
    peak = answer.get("peak_gpu_bytes") or answer["peak_rss_bytes"]
    print(f"  {answer['tokens_per_s']:.0f} tokens/s, peak {peak / 1e6:.0f} MB", file=sys.stderr, flush=True)


def _tune(
    runner: Runner,
    clock: Clock,
    cell: Cell,
    system: str,
    job: Job,
    lengths: Sequence[tuple[int, int]],
    options: argparse.Namespace,
    on_gpu: bool,
    known: TrainerSettings | None,
) -> None:
    """Choose the fastest attention and batch size for the tuned Trainer, by useful operations a second.

    Under ``--quick`` only the attention is tried, in batches of 8, and only once: ``known`` is what was chosen before.
    """
    from peftsum.model import has_bf16

    dropout = 0.0 if system == "tuned_nodrop" else None
    if known is not None:
        cell.chosen[system] = replace(known, dropout=dropout)
        return
    size = COMMON.batch_size if options.quick else min(FIRST_SIZE, max(1, job.examples // LEAST_STEPS))
    start = TrainerSettings(
        size,
        "eager",
        bf16=has_bf16("cuda" if on_gpu else "cpu"),
        grouped=True,
        dropout=dropout,
        lora_dropout=0.0,  # buys little in so short a training, and costs
    )
    other = replace(start, attention="sdpa")
    sizes = [size for size in (GPU_SIZES if on_gpu else CPU_SIZES) if -(-job.examples // size) >= LEAST_STEPS]
    tried: list[tuple[TrainerSettings, dict[str, Any]]] = []
    best = start
    stages: list[list[Any]] = [[start, other]] if options.quick else [[start, other], sizes]
    for stage in stages:
        candidates = [replace(best, batch_size=c) if isinstance(c, int) else c for c in stage]
        probing = replace(job, task="probe", system=system, candidates=candidates)
        probing = replace(probing, examples=min(amount_of(cell.shape, options, on_gpu).probe, job.examples))
        clock.line(f"{cell.shape} {cell.method} {cell.data}: probing {len(candidates)} settings for {system}")
        try:
            tried += zip(candidates, runner.run(probing), strict=True)
        except WorkerFailed as error:
            print(f"  the probe failed: {error}", file=sys.stderr, flush=True)
            cell.failures[f"{system} (probe)"] = str(error)
        clock.done(guess_s(probing, lengths))
        best = max(tried, key=lambda t: t[1].get("useful_flops_per_s", 0.0))[0] if tried else start
    cell.chosen[system] = best
    cell.probes[system] = [{"settings": vars(settings), **answer} for settings, answer in tried]
    print(f"  taken: batches of {best.batch_size}, {best.attention}", file=sys.stderr, flush=True)


def _guess(
    cell: Cell,
    job: Job,
    lengths: Sequence[tuple[int, int]],
    systems: Sequence[str],
    options: argparse.Namespace,
    on_gpu: bool,
) -> float:
    """Return a first guess of a cell's seconds."""
    rounds = options.repeats * sum(guess_s(replace(job, system=system), lengths) for system in systems)
    probed = [s for s in systems if s.startswith("tuned")][: 1 if options.quick else 2]
    stages = (2,) if options.quick else (2, len(GPU_SIZES if on_gpu else CPU_SIZES))
    probing = replace(job, task="probe", examples=amount_of(cell.shape, options, on_gpu).probe)
    probes = sum(guess_s(replace(probing, system=s, candidates=[COMMON] * n), lengths) for s in probed for n in stages)
    return rounds + probes


def report(
    cells: Sequence[Cell], options: argparse.Namespace, ratios: dict[str, Any], data: dict[str, Any]
) -> dict[str, Any]:
    """Return what goes into the JSON file."""
    from peftsum import __version__
    from peftsum.cost.machine import describe_machine

    machine = describe_machine().model_dump(mode="json")
    return {
        "benchmark": "train_speed",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "versions": {"peftsum": __version__, "python": machine["python"], **machine["packages"]},
        "settings": {
            "quick": options.quick,
            "repeats": options.repeats,
            "batch_tokens": options.batch_tokens,
            "systems": SYSTEMS,
            "flops": FORMULA,
        },
        "data": data,
        "cells": [
            {
                "shape": cell.shape,
                "method": cell.method,
                "data": cell.data,
                "matmul_peak_flops_per_s": spread(
                    [a["matmul_peak_flops_per_s"] for answers in cell.answers.values() for a in answers if a]
                ),
                "taken": {name: vars(settings) for name, settings in cell.chosen.items()},
                "probes": cell.probes,
                "systems": {system: system_record(cell, system) for system in cell.answers},
            }
            for cell in cells
        ],
        "ratios": {name: ratio["median"] for name, ratio in ratios.items()},
        "ratio_details": ratios,
    }


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


if __name__ == "__main__":
    main()
