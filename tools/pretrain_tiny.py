"""Pretrain `builtin:tiny` on dialogues, on two cores, in about an hour.

    python tools/pretrain_tiny.py --minutes 65

Every few minutes it writes a checkpoint to `--work` (`--resume` goes on from it) and a complete model folder to
`--out`; the last export, with its card, is made when the time is over. `--work/log.jsonl` has the loss by objective.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).resolve().parent))

from pretraining.batches import KINDS, Batch, batches, collate, draw, group, make_pairs
from pretraining.card import card, cpu_name, energy_text
from pretraining.model import SHAPE, build, fused, losses, save_model
from pretraining.optim import Muon
from pretraining.tasks import TASKS
from pretraining.text import SHARES, Dialogue, read_corpus, render
from pretraining.tokenizer import save_tokenizer, train_tokenizer

ROOT = Path(__file__).resolve().parents[1]
TOKENIZER_WINDOWS = 24_000
HELD_OUT = 0.01  # share of every source's dialogues
WARMUP_STEPS = 60
DECAY = 3e-4  # of a matrix, a step at the full rate
QUERY_SCALE = SHAPE["d_kv"] ** -0.5  # as 1.0, attention saturates (entropy 0.5 of 5.3 nats) and the loss stays near 4.5
Totals = dict[str, list[float]]
Corpus = dict[str, list[Dialogue]]
# glibc gives large blocks back to the kernel at once and takes them again: page faults were a quarter of a step, and
# threads asleep at a barrier lose their core to other work. Both settings are read when a process starts.
PROCESS = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "268435456",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "OMP_WAIT_POLICY": "active",
}


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    text = ROOT.parent / "shared/data/pretrain_text"
    parser.add_argument("--text", type=Path, default=text, help="folder of *.jsonl")
    parser.add_argument("--dialogues", type=Path, default=ROOT / "peftsum/builtin/dialogues/train.jsonl")
    parser.add_argument("--out", type=Path, default=ROOT / "peftsum/builtin/tiny", help="model folder")
    parser.add_argument("--work", type=Path, default=Path("runs/pretrain"), help="checkpoints and log")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=65.0, help="training time; the rate ends at 0")
    length.add_argument("--steps", type=int, help="updates instead of minutes: a run that can be repeated")
    parser.add_argument("--budget", type=int, default=6144, help="padded tokens a batch, both sides")
    parser.add_argument("--matrix-rate", type=float, default=0.001, help="RMS of an update of a layer's matrix")
    parser.add_argument(
        "--other-rate", type=float, default=0.02, help="RMS of other updates, relative to the parameter"
    )
    parser.add_argument(
        "--bf16", action="store_true", help="bf16 weights with fp32 masters; pays where the CPU has AMX"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint-minutes", type=float, default=5.0)
    parser.add_argument("--export-minutes", type=float, default=10.0)
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --work")
    return parser.parse_args()


def split(corpus: Corpus, seed: int) -> tuple[Corpus, Corpus]:
    """(training, held-out) dialogues of every source."""
    train, held = {}, {}
    for name, dialogues in corpus.items():
        shuffled = random.Random(f"{seed}{name}").sample(dialogues, len(dialogues))
        cut = max(2, round(len(shuffled) * HELD_OUT))
        held[name], train[name] = shuffled[:cut], shuffled[cut:]
    return train, held


def held_out_batches(held: Corpus, tokenizer: Tokenizer, seed: int, budget: int) -> list[Batch]:
    """A fixed set of examples of every objective from held-out dialogues."""
    pairs = make_pairs(held, tokenizer, random.Random(seed + 1), 400)
    return [collate(members) for members in group(pairs, budget)]


def add(totals: Totals, parts: dict[str, tuple[float, int]]) -> None:
    """Add (sum, count) of each objective."""
    for kind, (total, count) in parts.items():
        mine = totals.setdefault(kind, [0.0, 0.0])
        mine[0] += total
        mine[1] += count


def means(totals: Totals) -> dict[str, float]:
    """Mean loss of each objective, nats a target token."""
    return {kind: round(totals[kind][0] / totals[kind][1], 4) for kind in KINDS if kind in totals}


@torch.no_grad()
def held_out_loss(model: torch.nn.Module, fixed: Iterable[Batch]) -> dict[str, float]:
    """Mean held-out loss of each objective, nats a target token."""
    totals: Totals = {}
    for batch in fixed:
        add(totals, losses(model, batch)[1])  # type: ignore[arg-type]
    return means(totals)


def read_rapl_j() -> float | None:
    """Sum of the CPU packages' energy counters, J; `None` where none can be read.

    The counters wrap after some hours of load, so a long run reads too little.
    """
    try:
        found = list(Path("/sys/class/powercap").glob("intel-rapl:?/energy_uj"))
        return sum(int(path.read_text()) for path in found) / 1e6 if found else None
    except OSError:
        return None


def write_atomic(path: Path, write: Any) -> None:
    """Call `write(temporary)` and rename it to `path`; folders are swapped."""
    temporary, old = path.with_name(f".{path.name}.new"), path.with_name(f".{path.name}.old")
    for stale in (temporary, old):
        if stale.is_dir():
            shutil.rmtree(stale)
    write(temporary)
    if path.is_dir():
        path.rename(old)
        temporary.rename(path)
        shutil.rmtree(old)
    else:
        os.replace(temporary, path)


class Run:
    """One pretraining: its model, its clock and what it has recorded."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        corpus = read_corpus(args.text, args.dialogues if args.dialogues.is_file() else None)
        if not corpus:
            raise SystemExit(f"no known *.jsonl in {args.text}; pass --text DIR")
        self.sources = {name: len(dialogues) for name, dialogues in corpus.items()}
        self.corpus, held = split(corpus, args.seed)
        path = args.work / "tokenizer.json"
        if not (args.resume and path.is_file()):
            rng = random.Random(args.seed)
            train_tokenizer(render(draw(self.corpus, rng)) for _ in range(TOKENIZER_WINDOWS)).save(str(path))
        self.tokenizer = Tokenizer.from_file(str(path))
        self.fixed = held_out_batches(held, self.tokenizer, args.seed, args.budget)
        self.model = build(args.seed).to(torch.bfloat16 if args.bf16 else torch.float32)
        self.optimizer = Muon(self.model, args.matrix_rate, args.other_rate, DECAY, QUERY_SCALE)
        self.steps, self.tokens, self.elapsed_s, self.seed = 0, 0, 0.0, args.seed
        self.curve: list[dict[str, Any]] = []
        self.held: dict[str, float] = {}
        self.seen: dict[str, int] = dict.fromkeys(KINDS, 0)
        self.rapl_j: float | None = None
        if args.resume and (args.work / "checkpoint.pt").is_file():
            self.load(args.work / "checkpoint.pt")

    def progress(self) -> float:
        """Share of the run that is done, 0 to 1."""
        return self.steps / self.args.steps if self.args.steps else self.elapsed_s / (self.args.minutes * 60)

    def load(self, path: Path) -> None:
        """Take up a checkpoint; batches go on with a new seed, so no example order is repeated."""
        state = torch.load(path, weights_only=False)
        self.model.load_state_dict(state["model"])
        self.optimizer.load(state["optimizer"])
        for name in ("steps", "tokens", "elapsed_s", "curve", "held", "seen"):
            setattr(self, name, state[name])
        self.seed = self.args.seed + 1000 + self.steps

    def checkpoint(self) -> None:
        """Write everything a resumed run needs."""
        state = {name: getattr(self, name) for name in ("steps", "tokens", "elapsed_s", "curve", "held", "seen")}
        state |= {"model": self.model.state_dict(), "optimizer": self.optimizer.state()}
        write_atomic(self.args.work / "checkpoint.pt", lambda path: torch.save(state, path))

    def export(self, state: str) -> None:
        """Write the model folder with tokenizer and card."""
        args = self.args
        examples = max(sum(self.seen.values()), 1)
        shares = {name: share for name, share in SHARES.items() if name in self.sources}
        facts = {
            "sources": self.sources,
            "shares": {name: share / sum(shares.values()) for name, share in shares.items()},
            "mix": {kind: count / examples for kind, count in self.seen.items()} if examples > 1 else _planned_mix(),
            "shape": SHAPE,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "state": state,
            "minutes": self.elapsed_s / 60,
            "planned": f"{args.steps} steps" if args.steps else f"{args.minutes:g}",
            "steps": self.steps,
            "tokens": self.tokens,
            "wall_s": self.elapsed_s,
            "threads": args.threads,
            "cpu": cpu_name(),
            "precision": "bf16 with fp32 masters" if args.bf16 else "fp32",
            "optimizer": f"Muon (matrices, update RMS {args.matrix_rate:g}, queries {QUERY_SCALE:.2f} of it) and "
            f"RMS-scaled Adam (the rest, {args.other_rate:g}), {WARMUP_STEPS} steps of warm-up, linear decay, "
            f"{args.budget} tokens a batch, no dropout",
            "seed": args.seed,
            "energy": energy_text(self.rapl_j, self.elapsed_s, args.threads),
            "held_out": self.held,
        }

        def write(folder: Path) -> None:
            save_model(self.model, folder)
            save_tokenizer(self.tokenizer, folder)
            (folder / "model.safetensors").chmod(0o644)
            (folder / "README.md").write_text(card(facts, self.curve), encoding="utf-8")

        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(args.out, write)

    def train(self) -> None:
        """Until the time or the steps are used up; logs every 20 steps, saves and exports by the clock."""
        args = self.args
        recent: Totals = {}
        window: Totals = {}
        stream = batches(self.corpus, self.tokenizer, self.seed, args.budget)
        saved_s = exported_s = self.elapsed_s
        before_j = read_rapl_j()
        started = time.perf_counter() - self.elapsed_s
        log = (args.work / "log.jsonl").open("a", encoding="utf-8")
        with log, fused():
            while self.progress() < 1:
                batch = next(stream)
                loss, parts = losses(self.model, batch)
                loss.backward()
                self.optimizer.step(min(1.0, (self.steps + 1) / WARMUP_STEPS) * max(1 - self.progress(), 0.003))
                self.steps += 1
                self.tokens += batch.tokens
                for index, count in enumerate(torch.bincount(batch.kind, minlength=len(KINDS)).tolist()):
                    self.seen[KINDS[index]] += count
                add(recent, parts)
                add(window, parts)
                self.elapsed_s = time.perf_counter() - started
                if self.steps % 20 == 0:
                    row = {
                        "steps": self.steps, "minutes": round(self.elapsed_s / 60, 2), "tokens": self.tokens,
                        "tokens_per_s": round(self.tokens / self.elapsed_s), "loss": means(recent),
                    }  # fmt: skip
                    print(json.dumps(row), file=log, flush=True)
                    print(row, flush=True)
                    recent = {}
                if self.elapsed_s - saved_s > args.checkpoint_minutes * 60:
                    self.checkpoint()
                    self.record(window)
                    window, saved_s = {}, self.elapsed_s
                if self.elapsed_s - exported_s > args.export_minutes * 60 and self.progress() < 0.97:
                    self.held = held_out_loss(self.model, self.fixed)
                    print("held out", self.held, flush=True)
                    self.export("an intermediate export of a run that goes on")
                    exported_s = self.elapsed_s
            self.held = held_out_loss(self.model, self.fixed)
        after_j = read_rapl_j()
        if after_j is not None and before_j is not None and after_j > before_j:
            self.rapl_j = after_j - before_j
        self.record(window)
        print("held out", self.held, flush=True)
        self.checkpoint()
        self.export("final")

    def record(self, window: Totals) -> None:
        """A row of the card's loss curve."""
        if window:
            row = {"minutes": self.elapsed_s / 60, "steps": self.steps, "tokens": self.tokens, "loss": means(window)}
            self.curve.append(row)


def _planned_mix() -> dict[str, float]:
    """Shares of examples before any was drawn: tasks by weight, span corruption the rest."""
    return {"span": 1 - sum(TASKS.values()), "instructions": sum(TASKS.values())}


def main() -> None:
    """Read, build, export once so that others can start, train, export."""
    args = parse_args()
    if any(name not in os.environ for name in PROCESS):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**PROCESS, **os.environ})
    args.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    run = Run(args)
    print(f"{run.sources} dialogues, {sum(p.numel() for p in run.model.parameters()):,} parameters", flush=True)
    if run.steps == 0:
        run.export("untrained, the first export of a run that goes on")
    run.train()
    print(f"done: {run.steps} steps, {run.tokens} tokens, {run.elapsed_s / 60:.1f} minutes, {args.out}", flush=True)


if __name__ == "__main__":
    main()
