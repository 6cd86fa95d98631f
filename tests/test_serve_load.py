"""The load benchmark, run for real for a few seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "serve_load.py"


@pytest.mark.slow
def test_a_run_loses_nothing_and_writes_its_figures(tmp_path: Path) -> None:
    out = tmp_path / "serve.json"
    options = ["--adapters", "2", "--seconds", "8", "--capacity-seconds", "4", "--json", str(out)]
    done = subprocess.run([sys.executable, str(BENCHMARK), *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text(encoding="utf-8"))
    over, two = record["overload"], record["adapters"]["2"]
    assert over["lost"] == 0
    assert 0 < over["accepted"] <= over["requests"]
    assert over["latency_s"]["p50"] <= over["latency_s"]["p99"] <= over["latency_s"]["max"]
    assert two["adapters_resident"] == 2
    assert 1 <= two["batch_rows_mean"] <= 32
    assert {"adapters2_vs_2", "overload_vs_capacity", "memory_early_vs_late"} == set(record["ratios"])
    assert "accepted and answered" in done.stdout
