"""Export to CTranslate2: the same model in other hands, and the drift where it is not. Skips without the extra."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import run
from trainings import TUNINGS, make_recipe

from peftsum import train
from peftsum.exceptions import UsageError
from peftsum.export import export_ctranslate2

COURSE: dict[str, Any] = {"learning_rate": 5e-2, "max_steps": 6, "eval_examples": 0}


def trained(byte_base: Path, dialogues: Path, tuning: str = "lora", **generation: object) -> Path:
    sections = TUNINGS[tuning]
    course = {**COURSE, **sections.get("train", {})}
    settings = {"max_new_tokens": 12, **generation}
    train(make_recipe(byte_base, dialogues, **{**sections, "train": course, "generation": settings}))
    return Path("runs/run")


@pytest.mark.parametrize(
    ("tuning", "generation"),
    [("lora", {}), ("lora", {"num_beams": 3, "length_penalty": 0.6}), ("full", {"no_repeat_ngram_size": 2})],
)
def test_in_full_precision_it_answers_alike(
    tuning: str, generation: dict[str, Any], byte_base: Path, dialogues: Path, in_tmp: Path
) -> None:
    pytest.importorskip("ctranslate2", reason="the extra `export` is not installed")
    run_dir = trained(byte_base, dialogues, tuning, **generation)
    drift = export_ctranslate2(run_dir, "ct2", compute="float32", data=str(dialogues), sample=6)
    assert drift.equal_summaries == 1.0
    # also where the likeliest token is the same: a wrongly scaled decoder output would be off by tenths
    assert drift.max_log_likelihood_difference < 1e-4
    assert drift.rouge_l_exported == drift.rouge_l_original
    assert drift.sample == 6


def test_in_eight_bits_the_drift_is_small_and_the_file_too(byte_base: Path, dialogues: Path, in_tmp: Path) -> None:
    pytest.importorskip("ctranslate2", reason="the extra `export` is not installed")
    run_dir = trained(byte_base, dialogues)
    full = export_ctranslate2(run_dir, "full", compute="float32", data=str(dialogues), sample=4)
    eight = export_ctranslate2(run_dir, "eight", compute="int8", data=str(dialogues), sample=4)
    assert eight.model_bytes < 0.6 * full.model_bytes
    assert full.max_log_likelihood_difference < eight.mean_log_likelihood_difference < 0.1


def test_the_folder_keeps_prompt_and_tokenizer_and_is_never_overwritten(
    byte_base: Path, dialogues: Path, in_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ctranslate2", reason="the extra `export` is not installed")
    trained(byte_base, dialogues)
    asked = ["merge", "adapters/run", "--out", "ct2", "--format", "ctranslate2", "--data", dialogues, "--sample", "2"]
    found = json.loads(run(capsys, *asked, "--json").out)
    assert found["compute"] == "int8"
    names = {path.name for path in Path("ct2").iterdir()}
    assert {"model.bin", "config.json", "tokenizer.json", "peftsum.json"} <= names
    record = json.loads(Path("ct2/peftsum.json").read_text(encoding="utf-8"))
    assert record["recipe"]["prompt"] == json.loads(Path("adapters/run/peftsum.json").read_text())["recipe"]["prompt"]
    run(capsys, *asked).assert_failed(2, "is there already")


def test_without_the_extra_it_says_what_to_install(
    byte_base: Path, dialogues: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(byte_base, dialogues)
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    asked = ["merge", "adapters/run", "--out", "ct2", "--format", "ctranslate2"]
    run(capsys, *asked).assert_failed(2, "CTranslate2 is not installed", "peftsum[export]")
    assert not Path("ct2").exists()
    run(capsys, "merge", "adapters/run", "--out", "x", "--compute", "int8").assert_failed(2, "--format ctranslate2")


def test_a_sampling_target_is_refused_since_it_cannot_be_compared(
    byte_base: Path, dialogues: Path, in_tmp: Path
) -> None:
    pytest.importorskip("ctranslate2", reason="the extra `export` is not installed")
    trained(byte_base, dialogues, do_sample=True)
    with pytest.raises(UsageError, match="samples"):
        export_ctranslate2("adapters/run", "ct2", data=str(dialogues))
