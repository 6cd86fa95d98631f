"""The training benchmark: run for real on a minute shape, and its count of operations against torch's."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
SYSTEMS = ("common", "peftsum")  # the tuned ones add a probe each, and take the same path


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the scripts importable, as they are to each other when one is started."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.mark.usefixtures("benchmarks")
def test_a_run_writes_figures_with_their_spread_and_ratios_that_follow_from_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from train_speed import main

    file = tmp_path / "speed.json"
    absent = tmp_path / "none"
    main([*f"--quick --shapes minute --repeats 1 --systems {' '.join(SYSTEMS)} --dialogsum {absent}".split(),
          "--json", str(file)])  # fmt: skip
    record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    shown = capsys.readouterr()
    assert record["machine"]["ram_bytes"] > 0
    assert {"torch", "transformers", "peft", "peftsum"} <= record["versions"].keys()
    assert record["data"]["dialogsum"]["skipped"]
    (cell,) = record["cells"]
    assert (cell["shape"], cell["method"], cell["data"]) == ("minute", "lora", "builtin")
    systems = cell["systems"]
    assert tuple(systems) == SYSTEMS
    for system in systems.values():
        assert "failed" not in system, system
        for figure in ("tokens_per_s", "peak_rss_bytes", "peak_over_imports_bytes", "share_of_matmul_peak"):
            assert 0 < system[figure]["low"] <= system[figure]["median"] <= system[figure]["high"]
        assert system["share_of_matmul_peak"]["high"] < 1
        assert system["held_out_loss"]["median"] == pytest.approx(math.log(8192), abs=1.0)  # random weights
        assert system["examples"] == [pytest.approx(32, abs=8)]  # alike but for whole batches
    speeds = [systems[name]["tokens_per_s"]["median"] for name in SYSTEMS]
    assert record["ratios"]["minute_builtin_lora_vs_common"] == pytest.approx(speeds[1] / speeds[0])
    memory = [systems[name]["peak_rss_bytes"]["median"] for name in SYSTEMS]
    assert record["ratios"]["minute_builtin_lora_memory_vs_common"] == pytest.approx(memory[0] / memory[1])
    assert record["ratios"]["lora_vs_tuned"] is None
    assert "not run" in record["ratio_details"]["lora_vs_tuned"]["reason"]
    assert "tokens/s" in shown.out
    assert "s left: minute lora builtin: peftsum, round 1 of 1" in shown.err


@pytest.mark.usefixtures("benchmarks")
@pytest.mark.parametrize("method", ["full", "lora", "lora_qv"])
def test_matrix_operations_are_those_that_torch_counts(method: str, tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from torch.utils.flop_counter import FlopCounterMode
    from training.flops import useful_flops
    from training.shapes import ALPHA, METHODS, RANK, SHAPES, build_base
    from transformers import AutoModelForSeq2SeqLM

    from peftsum.methods.lora import TARGET_SETS

    build_base("minute", tmp_path)
    model: Any = AutoModelForSeq2SeqLM.from_pretrained(tmp_path, attn_implementation="eager")
    targets = METHODS[method].targets
    if targets is not None:
        model = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=TARGET_SETS[targets]))
    source, target = 23, 7
    with FlopCounterMode(display=False) as counter:
        ids, labels = torch.randint(3, 99, (1, source)), torch.randint(3, 99, (1, target))
        model(input_ids=ids, labels=labels).loss.backward()
    counted = {str(name): flops for name, flops in counter.get_flop_counts()["Global"].items()}
    parts = useful_flops(SHAPES["minute"], METHODS[method], [(source, target)])
    products = counted.pop("aten.bmm")  # attention; torch counts masked pairs of the decoder too
    masked = 3 * 4 * SHAPES["minute"].inner * target * (target - 1) / 2
    assert sum(counted.values()) == sum(parts.values()) - parts["attention"]
    assert products == pytest.approx(parts["attention"] + masked, rel=0.15)  # some of a first layer's are not needed
