"""Merging: a plain folder that answers as the adapter did, and the drift where it cannot."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from trainings import TUNINGS, make_recipe

from peftsum import Summarizer, merge, train
from peftsum.exceptions import UsageError
from peftsum.merge import Drift
from peftsum.targets import resolve_target

DIALOGUES = ["Ann: Lunch at 3?\nBob: Yes, at the park.", "Cleo: Hi!\nDan: Hi, see you at the station at 5."]
COURSE: dict[str, Any] = {"learning_rate": 5e-2, "max_steps": 6, "eval_examples": 0}


def trained(byte_base: Path, dialogues: Path, tuning: str) -> Path:
    sections = TUNINGS[tuning]
    course = {**COURSE, **sections.get("train", {})}
    train(make_recipe(byte_base, dialogues, **{**sections, "train": course}))
    return Path("adapters/run")


def logits(summarizer: Summarizer) -> torch.Tensor:
    ids = torch.tensor(summarizer.encode(DIALOGUES[:1], *summarizer.adapters))
    with torch.no_grad():
        found: torch.Tensor = summarizer.model(input_ids=ids, decoder_input_ids=torch.tensor([[0, 50, 60, 70]])).logits
    return found


@pytest.mark.parametrize("tuning", ["lora", "dora", "rslora", "ia3"])
def test_merged_equals_unmerged(tuning: str, byte_base: Path, dialogues: Path, in_tmp: Path) -> None:
    adapter = trained(byte_base, dialogues, tuning)
    drift = merge(adapter, "merged", data=str(dialogues), sample=4)
    assert drift.max_logit_difference < 1e-4 < drift.max_logit
    assert (drift.sample, drift.equal_summaries, drift.unmerged) == (4, 1.0, "fp32")
    unmerged, merged = Summarizer(adapters=[adapter]), Summarizer("merged", precision="fp32")
    torch.testing.assert_close(logits(merged), logits(unmerged), rtol=0, atol=1e-4)
    assert merged.summarize(DIALOGUES) == unmerged.summarize(DIALOGUES)  # the prompt goes with the folder
    base, own = load_file(byte_base / "model.safetensors"), load_file("merged/model.safetensors")
    assert base.keys() == own.keys()
    assert {name for name in base if not torch.equal(base[name], own[name])}  # something was merged
    assert not torch.equal(own["lm_head.weight"], own["shared.weight"])
    assert torch.equal(own["lm_head.weight"], base["lm_head.weight"])


PLAIN = """
import json, sys
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

folder, texts = sys.argv[1], json.loads(sys.argv[2])
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
found = []
for text in texts:
    output = model.generate(**tokenizer(text, return_tensors="pt"), max_new_tokens=8)
    found.append(tokenizer.decode(output[0], skip_special_tokens=True).strip())
assert not {"peftsum", "peft"} & sys.modules.keys()
print(json.dumps(found))
"""


def test_plain_transformers_loads_the_folder_and_answers_alike(byte_base: Path, dialogues: Path, in_tmp: Path) -> None:
    adapter = trained(byte_base, dialogues, "lora")
    merge(adapter, "merged", data=str(dialogues), sample=1)
    assert not list(Path("merged").glob("adapter*"))
    prompt = resolve_target(adapter).prompt
    texts = json.dumps([prompt.render(dialogue) for dialogue in DIALOGUES])
    code = [sys.executable, "-c", PLAIN, "merged", texts]
    done = subprocess.run(code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == Summarizer(adapters=[adapter]).summarize(DIALOGUES)
    card = Path("merged/README.md").read_text(encoding="utf-8")
    assert "merged into its base" in card
    assert "PeftModel" not in card


@pytest.mark.parametrize(("quantize", "precision"), [("int8", "fp32"), ("nf4", "bf16")])
def test_an_adapter_of_a_quantized_base_is_merged_into_the_full_precision_one(
    quantize: str, precision: str, byte_base: Path, dialogues: Path, in_tmp: Path
) -> None:
    recipe = make_recipe(byte_base, dialogues, model={"quantize": quantize, "precision": precision}, train=COURSE)
    train(recipe)
    drift = merge("runs/run", "merged", data=str(dialogues), sample=4)
    assert drift.unmerged == f"{quantize} base"
    assert 0 < drift.max_logit_difference < drift.max_logit
    own = load_file("merged/model.safetensors")
    assert {tensor.dtype for tensor in own.values()} == {torch.float32}
    assert own.keys() == load_file(byte_base / "model.safetensors").keys()
    assert resolve_target("merged").model.quantize == "none"
    full = Summarizer(adapters=["adapters/run"], quantize="none", precision="fp32")
    torch.testing.assert_close(logits(Summarizer("merged", precision="fp32")), logits(full), rtol=0, atol=1e-4)
    assert Drift.model_validate_json(drift.model_dump_json()) == drift


def test_what_cannot_be_merged_is_refused_and_nothing_is_written(
    byte_base: Path, dialogues: Path, in_tmp: Path
) -> None:
    adapter = trained(byte_base, dialogues, "lora")
    train(make_recipe(byte_base, dialogues, "whole", method={"kind": "full"}, train={"max_steps": 1}))
    Path("taken").mkdir()
    Path("taken/note.txt").write_text("mine")
    with pytest.raises(UsageError, match="taken is there already"):
        merge(adapter, "taken", data=str(dialogues))
    assert [path.name for path in Path("taken").iterdir()] == ["note.txt"]
    with pytest.raises(UsageError, match="is no adapter"):
        merge("runs/whole", "out", data=str(dialogues))
    with pytest.raises(UsageError, match="dialogue or more"):
        merge(adapter, "out", data=str(dialogues), sample=0)
    assert not Path("out").exists()
    Path("empty").mkdir()
    merge(adapter, "empty", data=str(dialogues), sample=1)
    assert Path("empty/config.json").is_file()
