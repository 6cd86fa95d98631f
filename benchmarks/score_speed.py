"""Speed of ROUGE: peftsum beside `rouge_score` and `evaluate`'s rouge, on the same texts, in one run.

    python benchmarks/score_speed.py --quick --json score.json

1 500 summaries with three references each, as DialogSum's test set has rows; the texts are human summaries, from
../shared/data/dialogsum where that is present, else from the built-in dialogues. The systems take turns, a ratio is the
median of those within the rounds, and the figures must be equal to the last digit or the run fails. `evaluate` has no
module of its own offline: what its rouge does, `rouge_score` with an aggregator, is what is timed under that name.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the peftsum of this checkout

import numpy as np  # noqa: E402
from rouge_score import rouge_scorer, scoring  # noqa: E402

from peftsum.cost.machine import describe_machine  # noqa: E402
from peftsum.data import load_split  # noqa: E402
from peftsum.metrics.rouge import ROUGE_TYPES, rouge_statistics  # noqa: E402
from peftsum.recipe import Data  # noqa: E402

DIALOGSUM = ROOT.parent / "shared" / "data" / "dialogsum"
PAIRS, REFERENCES = 1500, 3
Scores = dict[str, float]


def texts(source: str) -> tuple[list[str], list[list[str]]]:
    """Return predictions and references: each summary against another wording of itself and two of other dialogues."""
    pool = [text for e in load_split(Data(source=source), "train").examples for text in e.references]
    pool = (pool * (1 + PAIRS * REFERENCES // len(pool)))[: PAIRS * REFERENCES]
    predictions = [" ".join(pool[i].split()[1:]) for i in range(PAIRS)]
    return predictions, [[pool[i], pool[i + PAIRS], pool[i + 2 * PAIRS]] for i in range(PAIRS)]


def by_peftsum(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Scores:
    """Mean f-measures, references averaged."""
    found = rouge_statistics(predictions, references, "mean")
    return {kind: float(found[f"{kind}_f"].mean()) for kind in ROUGE_TYPES}


def by_rouge_score(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Scores:
    """The same by the library."""
    scorer = rouge_scorer.RougeScorer(list(ROUGE_TYPES), use_stemmer=True)
    rows = [[scorer.score(text, p) for text in row] for p, row in zip(predictions, references, strict=True)]
    return {
        kind: float(np.array([np.mean([found[kind].fmeasure for found in row]) for row in rows]).mean())
        for kind in ROUGE_TYPES
    }


def by_evaluate(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Scores:
    """What evaluate's rouge does: the best reference, and a bootstrap of 1 000."""
    scorer = rouge_scorer.RougeScorer(list(ROUGE_TYPES), use_stemmer=True)
    aggregator = scoring.BootstrapAggregator()
    for prediction, row in zip(predictions, references, strict=True):
        aggregator.add_scores(scorer.score_multi(row, prediction))
    found = aggregator.aggregate()
    return {kind: float(found[kind].mid.fmeasure) for kind in ROUGE_TYPES}


SYSTEMS: dict[str, Callable[[Sequence[str], Sequence[Sequence[str]]], Scores]] = {
    "peftsum": by_peftsum,
    "rouge_score": by_rouge_score,
    "evaluate": by_evaluate,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it, print the table, write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two rounds instead of five")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write machine, versions, figures and ratios here")
    options = parser.parse_args(arguments)
    source = str(DIALOGSUM) if (DIALOGSUM / "train.jsonl").is_file() else "builtin:dialogues"
    predictions, references = texts(source)
    seconds: dict[str, list[float]] = {name: [] for name in SYSTEMS}
    scores: dict[str, Scores] = {}
    for number in range(2 if options.quick else 5):
        print(f"round {number + 1} …", file=sys.stderr)
        for name, run in SYSTEMS.items():
            started = time.perf_counter()
            scores[name] = run(predictions, references)
            seconds[name].append(time.perf_counter() - started)
    if scores["peftsum"] != scores["rouge_score"]:
        sys.exit(f"peftsum {scores['peftsum']} is not rouge_score {scores['rouge_score']}")
    ratios = {f"vs_{name}": [a / b for a, b in zip(seconds[name], seconds["peftsum"], strict=True)] for name in SYSTEMS}
    print(f"{PAIRS} summaries, {REFERENCES} references each, of {Path(source).name}; all four ROUGE types")
    for name, values in seconds.items():
        spread = f"{min(values):.2f} to {max(values):.2f}"
        print(
            f"{name:12} {median(values):7.2f} s ({spread}), peftsum is {median(ratios[f'vs_{name}']):.1f} times as fast"
        )
    if options.json:
        machine = describe_machine()
        record = {
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": {"cpu": machine.cpu, "cores": machine.usable_cores, "os": machine.os, "python": machine.python},
            "versions": machine.packages,
            "seconds": seconds,
            "scores": scores,
            "ratios": {
                name: {"median": median(v), "low": min(v), "high": max(v), "values": v} for name, v in ratios.items()
            },
        }
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
