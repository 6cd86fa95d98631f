"""The training benchmark: run for real on a minute shape, and its count of operations against torch's."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from training.jobs import Job

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
OPTIONS = ["--quick", "--shapes", "minute", "--repeats", "1", "--data", "builtin", "--dialogsum", "none", "--systems"]


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the scripts importable, as they are to each other when one is started."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.mark.usefixtures("benchmarks")
def test_a_run_writes_figures_with_their_spread_and_ratios_that_follow_from_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from train_speed import main
    from training import worker
    from training.runner import Runner

    def here(runner: Runner, job: Job) -> Any:
        """Do the job in this process, which has imported all that takes a worker its first ten seconds."""
        jobs.append(job)
        replace(job, out=str(tmp_path / str(len(jobs)))).write(tmp_path / "job.json")
        worker.main(str(tmp_path / "job.json"), str(tmp_path / "answer.json"))
        return json.loads((tmp_path / "answer.json").read_text(encoding="utf-8"))

    jobs: list[Job] = []
    monkeypatch.setattr(Runner, "run", here)
    systems = ["common", "tuned", "tuned_nodrop", "peftsum"]
    main([*OPTIONS, *systems, "--json", str(tmp_path / "speed.json")])
    shown = capsys.readouterr()
    record = json.loads((tmp_path / "speed.json").read_text(encoding="utf-8"))
    assert [job.task for job in jobs] == ["probe", *["train"] * 4]
    check(record, systems)
    (cell,) = record["cells"]
    assert len(cell["probes"]["tuned"]) == 2
    assert [cell["systems"][name]["settings"].get("dropout", "own") for name in systems] == [None, None, 0.0, "own"]
    assert "tokens/s" in shown.out
    assert "s left: minute lora builtin: peftsum, round 1 of 1" in shown.err


@pytest.mark.slow
def test_the_command_measures_every_system_in_a_process_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "speed.json"
    command = [sys.executable, str(BENCHMARKS / "train_speed.py"), *OPTIONS, "common", "peftsum", "--json", str(file)]
    subprocess.run(command, check=True, cwd=tmp_path)
    record = json.loads(file.read_text(encoding="utf-8"))
    check(record, ["common", "peftsum"])
    ours, theirs = (record["cells"][0]["systems"][name] for name in ("peftsum", "common"))
    assert ours["peak_rss_bytes"]["median"] != theirs["peak_rss_bytes"]["median"]


def check(record: dict[str, Any], names: list[str]) -> None:
    """Hold what every record of the minute shape must have."""
    assert record["machine"]["ram_bytes"] > 0
    assert {"torch", "transformers", "peft", "peftsum"} <= record["versions"].keys()
    assert record["data"]["dialogsum"]["skipped"]
    (cell,) = record["cells"]
    assert (cell["shape"], cell["method"], cell["data"]) == ("minute", "lora", "builtin")
    systems = cell["systems"]
    assert list(systems) == names
    for system in systems.values():
        assert "failed" not in system, system
        for figure in ("tokens_per_s", "peak_rss_bytes", "peak_over_imports_bytes", "share_of_matmul_peak"):
            assert 0 <= system[figure]["low"] <= system[figure]["median"] <= system[figure]["high"]
        assert 0 < system["share_of_matmul_peak"]["high"] < 1
        assert system["held_out_loss"]["median"] == pytest.approx(math.log(8192), abs=1.0)  # random weights
        assert system["examples"] == [pytest.approx(32, abs=8)]  # alike but for whole batches
    speed, memory = ({name: s[f]["median"] for name, s in systems.items()} for f in ("tokens_per_s", "peak_rss_bytes"))
    for rival in names[:-1]:
        ratio = f"minute_builtin_lora_vs_{rival}"
        assert record["ratios"][ratio] == pytest.approx(speed["peftsum"] / speed[rival])
        assert record["ratios"][ratio.replace("_vs", "_memory_vs")] == pytest.approx(memory[rival] / memory["peftsum"])
    assert record["ratios"]["lora_vs_tuned"] is None
    assert "not run" in record["ratio_details"]["lora_vs_tuned"]["reason"]


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
