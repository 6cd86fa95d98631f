"""Where the time of a training step goes: torch's profiler on the engine's own step, by kind of work.

    python benchmarks/profile_step.py --shape small
    python benchmarks/profile_step.py --shape base --precision bf16 --json profile.json
    python benchmarks/profile_step.py --quick

A kind's share is the time inside torch's operators of that kind, less what they call. "Python and autograd" is what of
the median unprofiled step no operator accounts for; profiling slows small operators, so it is a lower end.
Figures go to stdout, progress to stderr.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

from training.shapes import METHODS, SHAPES, base_of, build_base
from training.steps import DATA, Stepper, load_examples, make_stepper
from training.summary import spread

KINDS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::addmm_", "aten::_addmm_activation", "aten::linear"),
    "attention's batched products": ("aten::bmm", "aten::baddbmm", "aten::baddbmm_"),
    "softmax, norms, activations": ("softmax", "rsqrt", "aten::pow", "aten::mean", "gelu", "tanh", "sigmoid"),
    "loss": ("logsumexp", "nll_loss", "aten::exp", "aten::log", "aten::gather", "aten::scatter", "aten::index"),
    "copies and conversions": ("aten::copy_", "aten::cat", "aten::fill_", "aten::zero_", "aten::clone"),
    "optimizer": ("adam", "Optimizer"),
}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(SHAPES), default="small")
    parser.add_argument("--method", choices=list(METHODS), default="lora")
    parser.add_argument("--precision", choices=["auto", "bf16", "fp32"], default="auto")
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=4, help="steps timed, and as many profiled")
    parser.add_argument("--data", default=DATA)
    parser.add_argument("--operators", type=int, default=0, metavar="N", help="print the N dearest operators, too")
    parser.add_argument("--quick", action="store_true", help="two steps of the tiny shape")
    parser.add_argument("--json", type=Path, help="write machine and figures here")
    options = parser.parse_args()
    if options.quick:
        options.shape, options.steps = "tiny", 2
    return options


def profile(stepper: Stepper, steps: int) -> tuple[list[float], list[float], dict[str, float]]:
    """Return seconds and tokens a second of unprofiled steps, and seconds a step by operator under the profiler."""
    import torch

    stepper.step(0)  # warms up
    timed = [stepper.step(number) for number in range(1, steps + 1)]
    print("timed; now profiled", file=sys.stderr, flush=True)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        for number in range(1, steps + 1):  # the same batches
            stepper.step(number)
    operators = {e.key: e.self_cpu_time_total / 1e6 / steps for e in profiler.key_averages()}
    return [s for s, _ in timed], [tokens / s for s, tokens in timed], operators


def by_kind(operators: dict[str, float]) -> dict[str, float]:
    """Return seconds a step by kind of work; what is no operator of torch's is left out."""
    kinds: dict[str, float] = defaultdict(float)
    for name, seconds in operators.items():
        kind = next((k for k, names in KINDS.items() if any(_is(name, n) for n in names)), None)
        if kind is None and name.startswith("aten::"):
            kind = "other elementwise work"
        if kind is not None:
            kinds[kind] += seconds
    return dict(sorted(kinds.items(), key=lambda item: -item[1]))


def _is(operator: str, name: str) -> bool:
    return operator == name if name.startswith("aten::") else name in operator


def main() -> None:
    """Measure, print a table, write JSON."""
    from peftsum.cost.machine import describe_machine
    from peftsum.engine.settings import Engine

    options = arguments()
    with tempfile.TemporaryDirectory(prefix="peftsum-bench-") as folder:
        if options.shape != "tiny":
            build_base(options.shape, Path(folder) / options.shape)
        stepper = make_stepper(
            base_of(options.shape, Path(folder)),
            options.method,
            Engine(),
            load_examples(options.data),
            options.batch_tokens,
            precision=options.precision,
            dropout=0.0 if METHODS[options.method].frozen else None,
        )
        seconds, speeds, operators = profile(stepper, options.steps)
    kinds = by_kind(operators)
    wall = statistics.median(seconds)
    rest = max(0.0, wall - sum(kinds.values()))
    print(f"{options.shape}, {options.method}, {options.precision}, batches of {options.batch_tokens} tokens")
    print(
        f"a step: {wall:.2f} s ({min(seconds):.2f}..{max(seconds):.2f}), {spread(speeds)['median']:.0f} real tokens/s"
    )  # type: ignore[index]
    for name, value in [*kinds.items(), ("Python and autograd", rest)]:
        print(f"{name:32} {value:7.3f} s  {value / (sum(kinds.values()) + rest):5.1%}")
    for name, value in sorted(operators.items(), key=lambda item: -item[1])[: options.operators]:
        print(f"    {name:44} {value:7.3f} s")
    if options.json:
        record = {
            "benchmark": "profile_step",
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": describe_machine().model_dump(mode="json"),
            "options": {k: str(v) for k, v in vars(options).items() if k != "json"},
            "step_s": spread(seconds),
            "tokens_per_s": spread(speeds),
            "kind_s": {**kinds, "Python and autograd": rest},
            "operator_s": operators,
        }
        options.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
