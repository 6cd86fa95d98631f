"""Options of better training against plain training on the same budget: ROUGE, validation loss, errors, paired tests.

    python benchmarks/better_training.py --out better --json better.json
    python benchmarks/better_training.py --out better --arms full plain distilled --seeds 13 14 15
    python benchmarks/better_training.py --out better --data ../shared/data/dialogsum --split validation

Every arm takes the same optimizer steps on the same dialogues (`--steps`, of the built-in base and recipe). An arm
that is finished is not trained again, and one that was stopped goes on from its checkpoint, so the command can be
repeated. Differences are per dialogue, the mean over the seeds first; p is of paired approximate randomization,
corrected by Holm's method for all arms of the table. The table goes to stdout, progress to stderr.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the peftsum of this checkout

from better.arms import ARMS, Setting, run_arm  # noqa: E402
from better.naming import MEASURES, arm_naming, print_naming  # noqa: E402
from better.pairs import arm_pairs, pair_tests, print_pairs  # noqa: E402
from better.table import arm_rows, compare_arms, print_table  # noqa: E402

from peftsum.cost.machine import describe_machine  # noqa: E402

QUICK_STEPS = 12


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("better"), help="folder of the runs; finished ones are kept")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), metavar="ARM", help=f"of: {', '.join(ARMS)}")
    parser.add_argument("--against", default="plain", choices=list(ARMS), help="arm that the others are tested against")
    parser.add_argument("--seeds", nargs="+", type=int, default=[13, 14, 15], help="each arm is trained once a seed")
    parser.add_argument("--steps", type=int, default=200, help="optimizer steps of every arm (537: one pass)")
    parser.add_argument("--teacher-steps", type=int, default=537, help="of the full fine-tune that teaches (one pass)")
    parser.add_argument("--data", default="builtin:dialogues", help="data source with train and validation splits")
    parser.add_argument("--split", default="test", help="split that is scored")
    parser.add_argument("--pairs", action="store_true", help="also whether references are likelier than wrong ones")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_STEPS} steps, one seed: does it run?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write machine, figures and tests here")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and score what is missing, print the table, write what was asked for."""
    options = parse_args(arguments)
    if options.quick:
        options.steps, options.teacher_steps, options.seeds = QUICK_STEPS, 2 * QUICK_STEPS, options.seeds[:1]
    setting = Setting(options.out, options.data, options.split, options.steps, options.teacher_steps)
    names = options.arms or [name for name, arm in ARMS.items() if arm.standard]
    for seed in options.seeds:  # a seed of all arms first: a table can be made before the last one is done
        for name in names:
            print(f"{name}, seed {seed} …", file=sys.stderr)
            run_arm(name, seed, setting)
    rows = arm_rows(names, options.seeds, setting)
    tests = compare_arms(rows, options.against)
    print_table(rows, tests)
    naming = {name: arm_naming(name, options.seeds, setting) for name in names}
    print_naming(naming, options.against)
    pairs = {name: arm_pairs(name, options.seeds, setting) for name in names} if options.pairs else {}
    print_pairs(pairs, options.against)
    if options.json:
        document: dict[str, Any] = {
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": describe_machine().model_dump(),
            "steps": options.steps,
            "data": f"{options.data} ({options.split})",
            "arms": [row.as_json() for row in rows],
            "tests": tests,
            "naming": {
                name: dict(zip(MEASURES, v.mean(axis=(0, 1)).tolist(), strict=True)) for name, v in naming.items()
            },
            "pairs": {
                name: {kind: wins.mean(axis=1).tolist() for kind, wins in of_kind.items()}
                for name, of_kind in pairs.items()
            },
            "pair_tests": pair_tests(pairs, options.against),
        }
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
