"""Error detectors against people's labels: precision, recall, F1, balanced accuracy, beside heuristics and chance.

    python benchmarks/error_detectors.py --quick --json errors.json
    python benchmarks/error_detectors.py --write        # fit anew, and ship the weights with what they were checked by

Each summary is judged by weights that were fitted on other dialogues (ten folds by dialogue, dealt anew in every
repeat), and intervals are over dialogues. A heuristic needs no fit and is taken as it is; chance flags at random as
often as the detector does. `systems only` leaves out summaries that are themselves the reference. The data is in
../shared/data, not in the repository. The table goes to stdout, progress to stderr.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the peftsum of this checkout

import numpy as np  # noqa: E402
from errors.checking import Measured, check, held_out_flags, lead  # noqa: E402
from errors.fitting import SIGNALS, fit_clues, fit_logit, matrix, share_of_subjects_found  # noqa: E402
from errors.labelled import read_sets  # noqa: E402

from peftsum.cost.machine import describe_machine  # noqa: E402
from peftsum.metrics.errors.fitted import FILE, Checked, Fit, Fitted, Logit  # noqa: E402

DATA = ROOT.parent / "shared" / "data"
SHIPPED = ROOT / "peftsum" / "metrics" / "errors" / FILE
HUMAN = "human_ref"  # FacEval's name for the reference, judged like a system's summary


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one repeat instead of five")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write machine, versions, figures and ratios here")
    parser.add_argument("--data", type=Path, default=DATA, metavar="DIR", help="folder with human_errors and samsum")
    parser.add_argument("--judge", metavar="TARGET", help="check exchanged speakers by this adapter or model, too")
    parser.add_argument("--write", action="store_true", help=f"write {SHIPPED.relative_to(ROOT)}")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit, check, print the table, write what was asked for."""
    options = parse_args(arguments)
    try:
        sets = read_sets(options.data / "human_errors")
    except FileNotFoundError as error:
        sys.exit(f"nothing to check on: {error.filename} is not there; name the folder by --data")
    samsum = options.data / "samsum"
    print("fitting who a clause is about on human summaries …", file=sys.stderr)
    clues, clauses = fit_clues(samsum / "train.jsonl")
    found, of = share_of_subjects_found(samsum / "validation.jsonl", clues)
    started = time.perf_counter()
    measured = [Measured.of(data, clues) for data in sets]
    speed = sum(len(m.signals) for m in measured) / (time.perf_counter() - started)
    fits: dict[str, Fit] = {}
    rows: list[dict[str, Any]] = []
    leads: list[dict[str, Any]] = []
    for error in SIGNALS:
        print(f"checking {error} …", file=sys.stderr)
        fits[error] = _fit(measured, error, 1 if options.quick else 5, rows, leads)
    if options.judge:
        rows += _judged(measured, options.judge)
    fitted = Fitted(
        sources={
            "clues": f"{clauses} clauses of the human summaries in SAMSum's training split (Gliwa et al. 2019); on its "
            f"validation split the likelier of two speakers is the subject in {found:.3f} of {of}",
            "detectors": "; ".join(f"{m.data.name}, {len(m.signals)} labelled summaries" for m in measured),
            "made by": "benchmarks/error_detectors.py --write",
        },
        clues=clues,
        detectors=fits,
    )
    print(_table(rows))
    for row in leads:
        print("{set} {error}, {by}: {value:+.3f} ({low:+.3f} to {high:+.3f}) over {over}".format_map(row))
    print(f"subjects of human summaries found among two speakers: {found:.3f} of {of} clauses")
    print(f"{speed:.0f} summaries a second, with dialogue and reference, in one process")
    if options.write:
        SHIPPED.write_text(fitted.model_dump_json(indent=1) + "\n", encoding="utf-8")
    if options.json:
        record = {**_record(rows, found, speed), "leads": leads}
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _fit(
    measured: Sequence[Measured], error: str, repeats: int, rows: list[dict[str, Any]], leads: list[dict[str, Any]]
) -> Fit:
    logits: list[Logit] = []
    checks: list[dict[str, Checked]] = []
    held_out: list[dict[str, Any]] = []
    for names, references in zip(SIGNALS[error], (True, False), strict=True):
        known = [(m, truth) for m in measured if (truth := m.data.truth(error)) is not None]
        values = np.concatenate([matrix(m.signals, names) for m, _ in known])
        logits.append(fit_logit(values, np.concatenate([np.array(t, dtype=float) for _, t in known]), names))
        flags = held_out_flags(measured, error, references=references, repeats=repeats)
        held_out.append(flags)
        checks.append({m.data.name: check(flags[m.data.name], m.data, error) for m, _ in known})
        for m, _ in known:
            kind = "detector" if references else "detector, no reference"
            rows.append(_row(m, error, kind, checks[-1][m.data.name]))
            if any(row.system == HUMAN for row in m.data.rows):
                found = check(flags[m.data.name], m.data, error, lambda system: system != HUMAN)
                rows.append(_row(m, error, f"{kind}; systems only", found))
    for m, _ in known:
        for name, flagged in m.heuristics.items():
            rows.append(_row(m, error, name, check(flagged[None], m.data, error)))
        for kind, flags in zip(("detector", "detector, no reference"), held_out, strict=True):
            leads.append(_lead(m, error, kind, flags[m.data.name]))
        detector = checks[0][m.data.name]
        rows.append(_row(m, error, "chance", _chance(detector)))
    return Fit(
        with_references=logits[0],
        without_references=logits[1],
        checked=checks[0],
        checked_without_references=checks[1],
    )


def _lead(measured: Measured, error: str, kind: str, flags: Any) -> dict[str, Any]:
    """Return by how much balanced accuracy leads over that of the best heuristic, paired by dialogue."""
    accuracy = {
        name: check(rival[None], measured.data, error).balanced_accuracy.value
        for name, rival in measured.heuristics.items()
    }
    best = max(accuracy, key=lambda name: accuracy[name])
    found = lead(flags, measured.heuristics[best], measured.data, error)
    return {"set": measured.data.name, "error": error, "by": kind, "over": best, **found.model_dump()}


def _judged(measured: Sequence[Measured], target: str) -> list[dict[str, Any]]:
    """Return how exchanging speakers under a model does; it is not fitted, so it is taken as it is."""
    from peftsum.judges import ExchangeJudge

    judge = ExchangeJudge(target)
    rows = []
    for m in measured:
        print(f"asking {target} of {m.data.name} …", file=sys.stderr)
        found = judge.judge([row.dialogue for row in m.data.rows], [row.summary for row in m.data.rows])
        flags = np.array([[float(finding.flagged) for finding in found]])
        rows += [
            _row(m, error, f"exchanged by {Path(target).name}", check(flags, m.data, error))
            for error in ("error_any", "error_speaker")
        ]
    return rows


def _chance(detector: Checked) -> Checked:
    """Return what flagging at random, as often as the detector does, would give."""
    base = detector.positives / detector.n
    rate = min(1.0, detector.recall.value * base / max(detector.precision.value, 1e-9))
    plain = {
        "precision": base,
        "recall": rate,
        "f1": 2 * base * rate / max(base + rate, 1e-9),
        "balanced_accuracy": 0.5,
    }
    shares = {name: {"value": value, "low": value, "high": value} for name, value in plain.items()}
    return Checked.model_validate({**detector.model_dump(), **shares})


def _row(measured: Measured, error: str, kind: str, found: Checked) -> dict[str, Any]:
    return {"set": measured.data.name, "error": error, "by": kind, **found.model_dump(mode="json")}


def _table(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        "| set | error | found / judged | by | precision | recall | F1 | balanced accuracy |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        figures = [
            f"{row[m]['value']:.2f} ({row[m]['low']:.2f}-{row[m]['high']:.2f})" for m in ("precision", "recall", "f1")
        ]
        accuracy = row["balanced_accuracy"]
        figures.append(f"{accuracy['value']:.3f} ({accuracy['low']:.3f}-{accuracy['high']:.3f})")
        cells = [row["set"], row["error"], f"{row['positives']} / {row['n']}", row["by"], *figures]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _record(rows: Sequence[dict[str, Any]], found: float, speed: float) -> dict[str, Any]:
    def accuracy(by: str) -> float:
        return max(
            r["balanced_accuracy"]["value"]
            for r in rows
            if (r["set"], r["error"]) == ("faceval", "error_any") and r["by"].startswith(by) and "only" not in r["by"]
        )

    machine = describe_machine()
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpu": machine.cpu, "cores": machine.usable_cores, "os": machine.os, "python": machine.python},
        "versions": machine.packages,
        "rows": list(rows),
        "subjects_found": found,
        "summaries_per_s": speed,
        "ratios": {
            "any_error_balanced_accuracy": next(
                r["balanced_accuracy"]["value"]
                for r in rows
                if (r["set"], r["error"], r["by"]) == ("faceval", "error_any", "detector")
            ),
            "heuristic_balanced_accuracy": accuracy("heuristic"),
        },
    }


if __name__ == "__main__":
    main()
