"""How much of what should be redacted is, and how much that should not be.

    python benchmarks/redaction.py --json redaction.json
    python benchmarks/redaction.py --quick

Four sets: hand-made dialogues (``redacting/cases.txt``), and three made from templates (``redacting/generate.py``). The
last was held apart: no detector was changed after a look at what it showed. Found is a value of which no letter or
digit is left; its kind is right where all of it went as that kind. Precision is the share of what was replaced that was
a value. On ../shared/data, where it is present, what is replaced is counted by kind.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the peftsum of this checkout

from redacting.generate import generate  # noqa: E402
from redacting.templates import HELD_APART, WORKED_WITH, WORKED_WITH_LATER  # noqa: E402

from peftsum.cost.machine import describe_machine  # noqa: E402
from peftsum.redaction import KINDS, Redactor  # noqa: E402

CASES = Path(__file__).parent / "redacting" / "cases.txt"
SHARED = ROOT.parent / "shared" / "data"
MARK = re.compile(r"\{\{(\w+)\|(.*?)\}\}")
WORKED_SEED, LATER_SEED, HELD_SEED = 13, 20261127, 271828
EACH, EACH_QUICK = 300, 40  # generated dialogues a kind
REAL, REAL_QUICK = 2000, 200  # real dialogues a file


def read_cases() -> list[str]:
    """Return the hand-made dialogues, marked."""
    lines = [line for line in CASES.read_text(encoding="utf-8").split("\n") if not line.startswith("#")]
    return [block for block in "\n".join(lines).strip().split("\n\n") if block.strip()]


def unmarked(text: str) -> tuple[str, list[tuple[str, int, int]]]:
    """Return a dialogue as it is, and the kind and place of each value."""
    pieces, values, length, place = [], [], 0, 0
    for match in MARK.finditer(text):
        before = text[place : match.start()]
        pieces += [before, match[2]]
        length += len(before)
        values.append((match[1], length, length + len(match[2])))
        length += len(match[2])
        place = match.end()
    return "".join([*pieces, text[place:]]), values


def check(
    dialogues: Sequence[str], *, names: bool, missed: Counter[str] | None = None
) -> dict[str, dict[str, float | int]]:
    """Return, by kind, values and how many were found, and spans and how many were none of a value.

    Args:
        dialogues: marked.
        names: look for names, too. Without, those that are marked count for nothing.
        missed: takes up what was missed, to look at.
    """
    planted, hidden, right, spans, wrong = (Counter[str]() for _ in range(5))
    kinds = KINDS if names else tuple(kind for kind in KINDS if kind != "name")
    for marked in dialogues:
        text, values = unmarked(marked)
        found = Redactor(kinds).redact(text).spans
        gone: dict[int, str] = {i: span.kind for span in found for i in range(span.start, span.end)}
        for kind, start, end in values:
            if kind not in kinds:
                continue
            left = [i for i in range(start, end) if text[i].isalnum()]
            planted[kind] += 1
            hidden[kind] += all(i in gone for i in left)
            right[kind] += all(gone.get(i) == kind for i in left)
            if missed is not None and not all(i in gone for i in left):
                missed[f"{kind}: {text!r}"] += 1
        for span in found:
            spans[span.kind] += 1
            if not any(start < span.end and span.start < end for _, start, end in values):
                wrong[span.kind] += 1
                if missed is not None:
                    missed[f"no {span.kind}: {text[span.start : span.end]!r} in {text!r}"] += 1
    return {
        kind: {
            "values": planted[kind],
            "found": hidden[kind],
            "found_as_its_kind": right[kind],
            "replaced": spans[kind],
            "false_alarms": wrong[kind],
        }
        for kind in kinds
        if planted[kind] or spans[kind]
    }


def real_counts(limit: int) -> dict[str, Any]:
    """Return what is replaced in real dialogues, by file and kind, and the time a dialogue takes."""
    found: dict[str, Any] = {}
    for name in ("dialogsum/train", "samsum/train"):
        path = SHARED / f"{name}.jsonl"
        if not path.is_file():
            continue
        rows = [json.loads(line)["dialogue"] for line in path.read_text(encoding="utf-8").splitlines()]
        rows = random.Random(WORKED_SEED).sample(rows, min(limit, len(rows)))
        counts: Counter[str] = Counter()
        begin = time.process_time()
        for row in rows:
            counts.update(span.kind for span in Redactor(KINDS[:-1]).redact(row).spans)
        seconds = time.process_time() - begin
        found[name] = {
            "dialogues": len(rows),
            "replaced": dict(counts),
            "cpu_ms_a_dialogue": 1000 * seconds / len(rows),
        }
    return found


def table(results: dict[str, dict[str, dict[str, float | int]]]) -> list[str]:
    """Return the figures as Markdown."""
    lines = ["| kind | set | values | recall | as its kind | replaced | precision |", "|---|---|---|---|---|---|---|"]
    by_kind: dict[str, list[str]] = defaultdict(list)
    for name, kinds in results.items():
        for kind, row in kinds.items():
            recall, right = (_share(row[key], row["values"]) for key in ("found", "found_as_its_kind"))
            precision = _share(row["replaced"] - row["false_alarms"], row["replaced"])
            by_kind[kind].append(
                f"| `{kind}` | {name} | {row['values']} | {recall} | {right} | {row['replaced']} | {precision} |"
            )
    return lines + [line for kind in KINDS for line in by_kind[kind]]


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer generated and real dialogues")
    parser.add_argument(
        "--set", choices=["hand-made", "worked with", "worked with later", "held apart"], help="one set only"
    )
    parser.add_argument(
        "--show-missed", type=int, default=0, help="print this many misses and false alarms of each set"
    )
    parser.add_argument("--json", type=Path, help="write all figures here")
    options = parser.parse_args()
    each = EACH_QUICK if options.quick else EACH
    sets = {
        "hand-made": read_cases(),
        "worked with": generate(WORKED_WITH, WORKED_SEED, each),
        "worked with later": generate(WORKED_WITH_LATER, LATER_SEED, each),
        "held apart": generate(HELD_APART, HELD_SEED, each),
    }
    results = {}
    for name, dialogues in sets.items():
        if options.set in (None, name):
            missed: Counter[str] = Counter()
            results[name] = check(dialogues, names=name != "hand-made", missed=missed)
            for text, count in missed.most_common(options.show_missed):
                print(f"{name}: {count}x {text}", file=sys.stderr)
    print("\n".join(table(results)))
    real = real_counts(REAL_QUICK if options.quick else REAL) if options.set is None else {}
    for name, row in real.items():
        print(f"{name}: {row['dialogues']} dialogues, {row['replaced']}, {row['cpu_ms_a_dialogue']:.1f} ms each")
    if options.json is not None:
        document = {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": describe_machine().model_dump(mode="json"),
            "each": each,
            "sets": results,
            "real": real,
        }
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
