"""Forecast against reading: peak memory and step time of real trainings, each in a process of its own.

    python benchmarks/forecast.py --quick --json forecast.json
    python benchmarks/forecast.py --json forecast.json
    python benchmarks/forecast.py --fit                 # what calibration.json should say, from other trainings

Each training runs a few steps under the project's own meters (on a CPU the kernel's mark of the resident set, on a GPU
torch's peak). The forecast is made from the recipe alone, before. The trainings that the shipped constants were fitted
on (``--fit``) are none of those judged. Errors are shares of the reading; on a GPU the forecast is taken without the
context and the allocator's reserve, which that reading does not hold. The step's time leaves the first one out. On a
machine that others use, too, a step waits for its turn: `waiting` says for how much of its time, and
`step_cpu_time_error` compares with the CPU seconds a thread instead.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from forecasting.cells import FITTED, JUDGED, QUICK, Combination
from training.shapes import base_of, build_base

ROOT = Path(__file__).resolve().parents[1]
DATA = "builtin:dialogues"
STEPS = {"tiny": 6, "small": 4, "base": 3}
MIB = 1 << 20


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="under 5 minutes on two cores: a few of the tiny and small"
    )
    parser.add_argument("--fit", action="store_true", help="run the trainings that the constants come from instead")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write machine, versions, figures and ratios here")
    parser.add_argument("--shapes", nargs="+", choices=tuple(STEPS), help="only these")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it, print the table, write the JSON file."""
    options = parse_args(arguments)
    sys.path.insert(0, str(ROOT))  # the peftsum of this checkout
    chosen = FITTED if options.fit else QUICK if options.quick else JUDGED
    chosen = [c for c in chosen if not options.shapes or c.shape in options.shapes]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="forecast-") as folder:
        work = Path(folder)
        for shape in dict.fromkeys(c.shape for c in chosen if c.shape != "tiny"):
            build_base(shape, work / "bases" / shape)
        for number, combination in enumerate(chosen, start=1):
            print(f"{number} of {len(chosen)}: {combination.name}", file=sys.stderr, flush=True)
            rows.append(compare(combination, work))
            print(f"  {line(rows[-1])}", file=sys.stderr, flush=True)
            if options.json:
                options.json.write_text(json.dumps(report(rows, options), indent=1) + "\n", encoding="utf-8")
    print(table(rows))
    for name, value in ratios(rows).items():
        print(f"{name}: {value:.3f}" if value is not None else f"{name}: none")
    if options.fit:
        print(json.dumps(fit(rows), indent=1))


def compare(combination: Combination, work: Path) -> dict[str, Any]:
    """Return forecast and reading of one training."""
    from peftsum.recipe import Recipe

    values = combination.recipe(base_of(combination.shape, work / "bases"), DATA, STEPS[combination.shape])
    row: dict[str, Any] = {"combination": vars(combination), "name": combination.name}
    started = time.perf_counter()
    row["forecast"] = forecast_of(Recipe.model_validate(values))
    row["forecast"]["took_s"] = round(time.perf_counter() - started, 2)
    try:
        row["reading"] = run(values, work)
    except RuntimeError as error:
        row["failed"] = str(error)
        return row
    row["memory_error"] = row["forecast"]["peak_bytes"] / row["reading"]["peak_memory_bytes"] - 1
    taken_s, busy_s = median(row["reading"]["step_s"]), median(row["reading"]["step_cpu_s"])
    row["step_time_error"] = row["forecast"]["step_s"] / taken_s - 1
    row["step_cpu_time_error"] = row["forecast"]["step_s"] / busy_s - 1
    row["waiting"] = max(0.0, 1 - busy_s / taken_s)
    return row


def forecast_of(recipe: Any) -> dict[str, Any]:
    """Return the forecast for this machine, and what its constants were applied to."""
    import torch

    from peftsum.forecast.core import forecast
    from peftsum.forecast.target import Target
    from peftsum.model import has_bf16

    kind = "cuda" if torch.cuda.is_available() else "cpu"
    target = Target(name="this machine", title="this machine", kind=kind, here=True, bf16=has_bf16(kind))
    made = forecast(recipe, target)
    outside = {"context", "allocator"} if kind == "cuda" else set()
    assert made.step_s is not None, "this machine's speed is measured"
    parts: dict[str, float] = {}
    for item in made.memory:
        parts[item.part] = parts.get(item.part, 0.0) + item.amount.value
    return {
        "peak_bytes": sum(size for part, size in parts.items() if part not in outside),
        "range_bytes": [made.peak_memory_bytes.low, made.peak_memory_bytes.high],
        "parts": parts,
        "step_s": made.step_s.value,
        "step_range_s": [made.step_s.low, made.step_s.high],
    }


def run(recipe: dict[str, Any], work: Path) -> dict[str, Any]:
    """Train in a process of its own; return its readings.

    Raises:
        RuntimeError: it ended without an answer.
    """
    folder = Path(tempfile.mkdtemp(dir=work))
    job, answer, log = folder / "job.json", folder / "answer.json", folder / "log"
    job.write_text(json.dumps({"recipe": recipe, "folder": str(folder)}), encoding="utf-8")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "benchmarks"), str(ROOT)]),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
    }
    with log.open("w", encoding="utf-8") as output:
        command = [sys.executable, "-m", "forecasting.worker", str(job), str(answer)]
        code = subprocess.run(command, env=environment, stdout=output, stderr=output, check=False).returncode
    if code or not answer.is_file():
        said = [text for text in log.read_text(encoding="utf-8", errors="replace").splitlines() if text.strip()]
        raise RuntimeError(f"exit code {code}: {said[-1][:300] if said else 'it said nothing'}")
    result: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return result


def ratios(rows: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """Return the errors over all trainings, as shares of the reading."""
    memory = [abs(row["memory_error"]) for row in rows if "memory_error" in row]
    seconds = [abs(row["step_time_error"]) for row in rows if "step_time_error" in row]
    busy = [abs(row["step_cpu_time_error"]) for row in rows if "step_cpu_time_error" in row]
    return {
        "memory_error_median": median(memory) if memory else None,
        "memory_error_worst": max(memory) if memory else None,
        "step_time_error_median": median(seconds) if seconds else None,
        "step_cpu_time_error_median": median(busy) if busy else None,
    }


def fit(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the constants that these trainings give.

    Process and growth are those of the least sum of relative errors, from a grid:
    reading = held + data + process + growth * made, the parts as in the forecast.
    """
    from peftsum.forecast.memory import HELD, calibration

    cells = []
    for row in rows:
        parts = row["forecast"]["parts"]
        data = parts["process"] - calibration()["process_bytes"].value
        held = sum(size for part, size in parts.items() if part in HELD)
        made = sum(size for part, size in parts.items() if part not in {*HELD, "process", "allocator"})
        cells.append((row["name"], row["reading"]["peak_memory_bytes"], held + data, made))

    def errors(process: float, growth: float) -> list[float]:
        return [(known + process + growth * made) / read - 1 for _, read, known, made in cells]

    grid = [(mib * MIB, percent / 100) for mib in range(400, 1200, 5) for percent in range(100, 160)]
    process, growth = min(grid, key=lambda pair: sum(map(abs, errors(*pair))))
    step = [median(row["reading"]["step_cpu_s"]) / row["forecast"]["step_s"] for row in rows]
    return {
        "process_bytes": process,
        "cpu_growth": growth,
        "errors": {cell[0]: round(error, 3) for cell, error in zip(cells, errors(process, growth), strict=True)},
        "cpu_step_over_operations": {"median": median(step), "low": min(step), "high": max(step)},
    }


def line(row: dict[str, Any]) -> str:
    """Return a training's result for the progress."""
    if "failed" in row:
        return f"failed: {row['failed']}"
    forecast, reading = row["forecast"], row["reading"]
    return (
        f"{forecast['peak_bytes'] / MIB:.0f} MiB forecast, {reading['peak_memory_bytes'] / MIB:.0f} read "
        f"({row['memory_error']:+.1%}); {forecast['step_s']:.3f} s forecast, {median(reading['step_s']):.3f} taken "
        f"({row['step_time_error']:+.1%}; of its CPU time {row['step_cpu_time_error']:+.1%}); "
        f"forecast made in {forecast['took_s']:.1f} s"
    )


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return all results, a line a training."""
    width = max(len(row["name"]) for row in rows)
    return "\n".join(f"{row['name']:{width}}  {line(row)}" for row in rows)


def report(rows: Sequence[dict[str, Any]], options: argparse.Namespace) -> dict[str, Any]:
    """Return what goes into the JSON file."""
    from peftsum import __version__
    from peftsum.cost.machine import describe_machine

    machine = describe_machine().model_dump(mode="json")
    return {
        "benchmark": "forecast",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "versions": {"peftsum": __version__, "python": machine["python"], **machine["packages"]},
        "settings": {"quick": options.quick, "data": DATA, "steps": STEPS},
        "fitted_on": [c.name for c in FITTED],
        "trainings": list(rows),
        "ratios": ratios(rows),
    }


if __name__ == "__main__":
    main()
