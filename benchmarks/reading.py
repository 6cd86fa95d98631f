"""What stands beside a summary, checked: is confidence right on dialogues it was not fitted on, and are sources there?

    python benchmarks/reading.py --json reading.json
    python benchmarks/reading.py --target adapters/mine --data my-dialogues/ --split test

Confidence: expected against real ROUGE-L of the target's summaries of a split it was not calibrated on. Sources: short
dialogues are joined, and each sentence of a human summary must find turns of the one it is about; chance finds one of
as many as were joined. On the built-in dialogues, and on ../shared/data where that is present. `--quick`
takes 40 dialogues of each.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the peftsum of this checkout

import numpy as np  # noqa: E402

from peftsum import Summarizer  # noqa: E402
from peftsum.calibration import BINS, Bin, calibration_error, spearman  # noqa: E402
from peftsum.confidence import confidences  # noqa: E402
from peftsum.cost.machine import describe_machine  # noqa: E402
from peftsum.data import Example, load_split  # noqa: E402
from peftsum.dialogue_text import parse_turns  # noqa: E402
from peftsum.metrics import example_statistics  # noqa: E402
from peftsum.recipe import Data  # noqa: E402
from peftsum.support import sources  # noqa: E402
from peftsum.targets import resolve_target  # noqa: E402

SHARED = ROOT.parent / "shared" / "data"
QUICK = 40
JOINED = 6
SEED = 13


def check_confidence(target: str, data: str, split: str, limit: int | None) -> dict[str, Any]:
    """Return how far expected scores are off, and whether the surer half of the summaries is the better one."""
    resolved = resolve_target(target)
    if resolved.adapter is None:
        sys.exit(f"{target} is no adapter")
    summarizer = Summarizer(adapters=[resolved.adapter])
    examples = load_split(Data(source=data), split).examples[:limit]
    written = summarizer.write([e.dialogue for e in examples], title="summaries")
    found = confidences(summarizer, written, resolved.adapter.name, resolved.prompt, resolved.generation)
    kept = [i for i, confidence in enumerate(found) if confidence.value is not None]
    if not kept:
        sys.exit(f"no confidence: {found[0].reason}")
    real = example_statistics([written[i].text for i in kept], [examples[i].references for i in kept], "mean")
    observed = real["rougeL_f"]
    expected = np.asarray([found[i].value for i in kept])
    usual = float(found[kept[0]].mean_score or 0)
    order = np.argsort(expected)
    bins = [
        Bin(n=len(part), expected=float(expected[part].mean()), observed=float(observed[part].mean()))
        for part in np.array_split(order, min(BINS, len(order)))
    ]
    half = len(order) // 2
    return {
        "target": target,
        "data": f"{data} ({split})",
        "n": len(kept),
        "expected_mean": float(expected.mean()),
        "observed_mean": float(observed.mean()),
        "calibration_error": calibration_error(bins),
        "absolute_error": float(np.abs(expected - observed).mean()),
        "absolute_error_of_mean": float(np.abs(usual - observed).mean()),
        "rank_correlation": spearman(expected, observed),
        "least_sure_half": float(observed[order[:half]].mean()),
        "surest_half": float(observed[order[half:]].mean()),
        "bins": [b.model_dump() for b in bins],
    }


@dataclass
class Found:
    """How sentences of human summaries fared among joined dialogues."""

    data: str
    joined: int
    sentences: int = 0
    without_turns: int = 0
    turns: int = 0
    right_turns: int = 0
    right_sentences: int = 0

    def add(self, owners: Sequence[int], place: int) -> None:
        """Count a sentence: the dialogues that its turns are of, and the one that it is about."""
        self.sentences += 1
        self.turns += len(owners)
        self.right_turns += sum(owner == place for owner in owners)
        if owners:
            self.right_sentences += max(sorted(set(owners)), key=list(owners).count) == place
        else:
            self.without_turns += 1


def check_sources(data: str, split: str, limit: int | None) -> Found:
    """Return how often sentences find turns of the dialogue they are about."""
    examples = load_split(Data(source=data), split).examples
    random.Random(SEED).shuffle(examples)
    name = data if data.startswith("builtin:") else Path(data).name
    found = Found(f"{name} ({split})", JOINED)
    for start in range(0, len(examples[:limit]) - JOINED + 1, JOINED):
        _check_group(examples[start : start + JOINED], found)
    return found


def _check_group(group: Sequence[Example], found: Found) -> None:
    counts = [len(parse_turns(example.dialogue)) for example in group]
    talk = "\n".join(example.dialogue for example in group)
    if len(parse_turns(talk)) != sum(counts):
        return  # joined, a line reads as another turn than alone
    ends = np.cumsum(counts)
    for place, example in enumerate(group):
        for source in sources(example.references[0], talk):
            if source.support is not None:
                found.add([int((turn.index >= ends).sum()) for turn in source.turns], place)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it, print the figures, write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} dialogues of each set")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write machine, versions and figures here")
    parser.add_argument("--target", default=str(ROOT / "adapters" / "tiny-summary"), help="a calibrated adapter")
    parser.add_argument("--data", default="builtin:dialogues", help="dialogues it was not calibrated on")
    parser.add_argument("--split", default="test", help="split of the data")
    options = parser.parse_args(arguments)
    limit = QUICK if options.quick else None
    sets = [("builtin:dialogues", "test")]
    sets += [(str(p), "validation") for n in ("dialogsum", "samsum") if (p := SHARED / n).is_dir()]
    supported = [check_sources(data, split, limit) for data, split in sets]
    for s in supported:
        print(
            f"sources, {s.data}, {s.joined} joined: {s.sentences} sentences, "
            f"{100 * s.without_turns / s.sentences:.1f} % without a turn; of the others "
            f"{100 * s.right_sentences / (s.sentences - s.without_turns):.1f} % find the right dialogue, and "
            f"{100 * s.right_turns / s.turns:.1f} % of their turns are of it"
        )
    sure = check_confidence(options.target, options.data, options.split, limit)
    print(
        f"confidence, {sure['n']} summaries of {sure['data']}: ROUGE-L {100 * sure['expected_mean']:.1f} expected and "
        f"{100 * sure['observed_mean']:.1f} observed; calibration error {100 * sure['calibration_error']:.1f} points; "
        f"one summary is off by {100 * sure['absolute_error']:.1f} (by {100 * sure['absolute_error_of_mean']:.1f} with "
        f"the mean for all); rank correlation {sure['rank_correlation'] or 0:.2f}; the less sure half has "
        f"{100 * sure['least_sure_half']:.1f}, the surer one {100 * sure['surest_half']:.1f}"
    )
    if options.json:
        machine = describe_machine()
        record = {
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": {"cpu": machine.cpu, "cores": machine.usable_cores, "os": machine.os, "python": machine.python},
            "versions": machine.packages,
            "confidence": sure,
            "sources": [asdict(s) for s in supported],
        }
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
