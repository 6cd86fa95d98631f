"""Model cards: what the Hub reads of them, and the scores that an evaluation writes in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from commands import run
from huggingface_hub import ModelCard

ROOT = Path(__file__).resolve().parents[1]
SECTIONS = ["Intended use", "Out of scope", "Data", "Scores", "Use", "Limits", "A wrong summary"]


def headings(text: str) -> list[str]:
    return [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]


@pytest.mark.parametrize("name", ["tiny-summary", "tiny-topic"])
def test_a_shipped_card_has_all_that_a_reader_and_the_hub_need(name: str) -> None:
    card = ModelCard.load(ROOT / "adapters" / name / "README.md")
    assert [title for title in headings(card.content) if title in SECTIONS] == SECTIONS
    assert "Energy and carbon" in headings(card.content)
    assert (card.data.library_name, card.data.pipeline_tag, card.data.model_name) == ("peft", "summarization", name)
    scores = {result.metric_name: result.metric_value for result in card.data.eval_results}
    assert list(scores) == ["ROUGE-1", "ROUGE-2", "ROUGE-L", "ROUGE-Lsum"]
    for label, value in scores.items():
        assert f"| {label} | {value:.2f} |" in card.content  # the table says what the metadata say
    for part in (
        "`error_speaker`",
        "Number of speakers: 2",
        "a gap of",
        "Redacted before training",
        "seen in training",
    ):
        assert part in card.content


def test_an_evaluation_completes_the_card_of_the_adapter_it_is_of(
    byte_base: Path, dialogues: Path, in_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = {
        "name": "carded",
        "model": {"base": str(byte_base), "precision": "fp32"},
        "data": {"source": str(dialogues), "max_source_tokens": 192, "max_target_tokens": 64},
        "method": {"kind": "lora", "rank": 2},
        "train": {"max_steps": 2, "batch_tokens": 512, "eval_examples": 0},
        "generation": {"max_new_tokens": 8},
    }
    (in_tmp / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    assert run(capsys, "train", "recipe.yaml").code == 0
    path = in_tmp / "adapters" / "carded" / "README.md"
    trained = path.read_text(encoding="utf-8")
    assert "Not evaluated yet" in trained
    assert "train split: 40 dialogues" in trained
    assert not ModelCard(trained).data.eval_results

    assert run(capsys, "evaluate", "adapters/carded", "--data", dialogues, "--limit", "2").code == 0
    assert path.read_text(encoding="utf-8") == trained  # two dialogues are not the split

    outcome = run(capsys, "evaluate", "adapters/carded", "--data", dialogues, "--json")
    completed = path.read_text(encoding="utf-8")
    card = ModelCard(completed)
    assert next(r.metric_value for r in card.data.eval_results) == pytest.approx(
        100 * json.loads(outcome.out)["rouge1"]["f"], abs=0.01
    )
    assert "Not evaluated yet" not in completed
    assert "stand in the training data" in completed  # of the 8 test dialogues some are there, as the fixture has it
    assert str(dialogues) not in completed  # where the data lay on this machine helps no one

    assert run(capsys, "evaluate", "adapters/carded", "--data", dialogues).code == 0
    assert path.read_text(encoding="utf-8") == completed
