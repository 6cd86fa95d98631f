"""What each part of the training engine buys: speed of a step with all parts, without one, and with none.

    python benchmarks/engine_parts.py --shape tiny --json parts.json
    python benchmarks/engine_parts.py --quick

The models stand side by side in one process and take turns, step by step, on batches of the same dialogues, so that
what else the machine does hits all of them alike. A ratio is the median over rounds of all parts against the variant.
`keep_memory` acts on a whole process and is left out. Figures go to stdout, progress to stderr.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training.shapes import METHODS, SHAPES, base_of, build_base
from training.steps import DATA, load_examples, make_stepper
from training.summary import spread


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(SHAPES), default="tiny")
    parser.add_argument("--method", choices=list(METHODS), default="lora")
    parser.add_argument("--dropout", type=float, default=0.0, help="of the base; above 0 cheap_dropout is tried, too")
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=7, help="timed steps of each variant")
    parser.add_argument("--data", default=DATA)
    parser.add_argument("--quick", action="store_true", help="three rounds of the tiny shape")
    parser.add_argument("--json", type=Path, help="write machine, figures and ratios here")
    options = parser.parse_args()
    if options.quick:
        options.shape, options.rounds = "tiny", 3
    return options


def settings(dropout: float) -> dict[str, tuple[Any, str]]:
    """Engine and attention of each variant, by name."""
    from peftsum.engine.settings import PLAIN, Engine

    found = {
        "all": (Engine(packing=True), "shared"),
        "without packing": (Engine(packing=False), "shared"),
        "without packing, eager": (Engine(packing=False), "eager"),
        "without packing, sdpa": (Engine(packing=False), "sdpa"),
        "without fused": (Engine(packing=True, fused=False), "shared"),
        "without real_targets": (Engine(packing=True, real_targets=False), "shared"),
        "none, eager": (PLAIN, "eager"),
        "none, sdpa": (PLAIN, "sdpa"),
    }
    if dropout:
        found["without cheap_dropout"] = (Engine(packing=True, cheap_dropout=False), "shared")
    return found


def measure(options: Any, base: str) -> dict[str, list[float]]:
    """Return tokens a second of each variant, a round an entry."""
    examples = load_examples(options.data)
    variants = {
        name: make_stepper(
            base,
            options.method,
            engine,
            examples,
            options.batch_tokens,
            attention=attention,
            dropout=options.dropout,
            fused_optimizer=not name.startswith("none"),
        )
        for name, (engine, attention) in settings(options.dropout).items()
    }
    speeds: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(options.rounds + 1):
        for name, stepper in variants.items():
            seconds, tokens = stepper.step(number)
            if number:  # the first round warms up
                speeds[name].append(tokens / seconds)
        print(f"round {number} of {options.rounds}", file=sys.stderr, flush=True)
    return speeds


def main() -> None:
    """Measure, print a table, write JSON."""
    from peftsum.cost.machine import describe_machine

    options = arguments()
    with tempfile.TemporaryDirectory(prefix="peftsum-bench-") as folder:
        if options.shape != "tiny":
            build_base(options.shape, Path(folder) / options.shape)
        speeds = measure(options, base_of(options.shape, Path(folder)))
    ratios = {
        n: spread([a / b for a, b in zip(speeds["all"], s, strict=True)]) for n, s in speeds.items() if n != "all"
    }
    print(f"{options.shape}, {options.method}, batches of {options.batch_tokens} tokens, real tokens a second")
    for name, values in speeds.items():
        ratio = ratios.get(name)
        note = (
            f"  all is {ratio['median']:.2f} times as fast ({ratio['low']:.2f}..{ratio['high']:.2f})" if ratio else ""
        )
        print(f"{name:24} {spread(values)['median']:7.0f} ({min(values):.0f}..{max(values):.0f}){note}")  # type: ignore[index]
    if options.json:
        record = {
            "benchmark": "engine_parts",
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": describe_machine().model_dump(mode="json"),
            "options": {k: str(v) for k, v in vars(options).items() if k != "json"},
            "tokens_per_s": {name: spread(values) for name, values in speeds.items()},
            "ratios": ratios,
        }
        options.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
