"""The generation benchmark, run for real on a minute shape."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def test_a_run_writes_figures_and_ratios_and_finds_equal_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from generate_speed import main

    out = tmp_path / "generate.json"
    options = ["--shapes", "minute", "--dialogues", "9", "--rounds", "2", "--data", "builtin:dialogues"]
    main([*options, "--json", str(out)])
    record = json.loads(out.read_text(encoding="utf-8"))
    found = record["shapes"]["minute"]
    assert {count for name, count in found["unequal_summaries"].items() if name != "best_bf16"} == {0}
    assert set(found["left_out"]) <= {"best_eager", "best_sdpa", "best_bf16"} - {found["best"]}
    assert max(found["bank_bytes_over_weights"].values()) <= 1.2
    assert found["one_dialogue_s"]["peftsum"]["longest"] >= found["one_dialogue_s"]["peftsum"]["median"] > 0
    assert {"vs_common", "vs_best", "mixed8_vs_one", "swap_ms"} <= set(record["ratios"])
    common, ours = found["seconds"]["common"], found["seconds"]["peftsum"]
    pairs = [a / b for a, b in zip(common, ours, strict=True)]
    assert record["ratios"]["vs_common"]["low"] == min(pairs)
    assert found["bank_bytes"] <= 1.2 * found["adapter_file_bytes"]
    assert record["dialogues"]["count"] == found["summaries"]["common"] == 9
    assert found["summaries"]["peftsum_mixed8"] == found["summaries"]["peftsum_unmixed"] == 48
    if importlib.util.find_spec("ctranslate2") is None:
        assert "not installed" in found["even"]["skipped"]
    else:
        assert found["even"]["unequal_summaries"]["ctranslate2_float32"] == 0
    assert "mixed8_vs_one" in capsys.readouterr().out
