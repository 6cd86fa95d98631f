"""The detectors that run a model: exchanged speakers by likelihood, and entailment, both by real models made here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from peftsum.batching import Encoded
from peftsum.data import load_split
from peftsum.evaluate import score
from peftsum.exceptions import ModelError
from peftsum.generate import Summarizer
from peftsum.judges import EntailmentJudge, ExchangeJudge
from peftsum.likelihood import token_log_likelihoods
from peftsum.metrics.errors.exchange import exchanged
from peftsum.metrics.errors.readings import DialogueReading
from peftsum.recipe import Data

CAR = "Anna Lee: I'll lend you my car, Ben.\nBen: Thanks!\nCarla: Nice."


def test_names_are_exchanged_as_they_stand() -> None:
    found = dict(exchanged("Anna lends Ben her car. Anna Lee's car is big; bananas are not.", DialogueReading(CAR)))
    assert found["Anna Lee", "Ben"] == "Ben lends Anna her car. Ben's car is big; bananas are not."
    assert found["Anna Lee", "Carla"] == "Carla lends Ben her car. Carla's car is big; bananas are not."
    assert set(found) == {("Anna Lee", "Ben"), ("Anna Lee", "Carla"), ("Ben", "Carla")}


def test_without_names_there_is_nothing_to_exchange() -> None:
    assert exchanged("They talk about a car.", DialogueReading(CAR)) == []
    assert exchanged("Anna talks.", DialogueReading("Anna: Hi!")) == []


def test_likelihoods_do_not_depend_on_the_batch_and_follow_the_definition() -> None:
    summarizer = Summarizer(adapters=["adapters/tiny-summary"], precision="fp32")
    tokenizer, model = summarizer.tokenizer, summarizer.model
    texts = ["Anna lends Ben her car.", "They meet.", "A long summary about the car that Anna has and Ben needs."]
    sources = summarizer.encode([CAR, "Ann: Hi!\nBob: Hi!", CAR])
    encoded = [Encoded(s, tokenizer(text_target=t)["input_ids"]) for s, t in zip(sources, texts, strict=True)]
    together = token_log_likelihoods(model, tokenizer.pad_token_id, encoded)
    alone = [token_log_likelihoods(model, tokenizer.pad_token_id, [e])[0] for e in encoded]
    assert together == pytest.approx(alone, abs=1e-4)
    with torch.no_grad():
        tensors = {"input_ids": torch.tensor([encoded[0].source]), "labels": torch.tensor([encoded[0].target])}
        assert together[0] == pytest.approx(-model(**tensors).loss.item(), abs=1e-4)


def test_a_tuned_model_finds_exchanged_speakers_in_human_summaries_more_often_than_in_whole_ones() -> None:
    judge = ExchangeJudge("adapters/tiny-summary")
    dialogues, right, wrong = [], [], []
    for example in load_split(Data(source="builtin:dialogues"), "test").examples[:20]:
        others = exchanged(example.references[0], DialogueReading(example.dialogue))
        if others:
            dialogues.append(example.dialogue)
            right.append(example.references[0])
            wrong.append(others[0][1])
    assert len(dialogues) > 15
    flags = {
        name: sum(f.flagged for f in judge.judge(dialogues, texts))
        for name, texts in (("right", right), ("wrong", wrong))
    }
    assert flags["wrong"] > flags["right"]


def _classifier(folder: Path, labels: list[str]) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    words = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "anna", "ben", "car", "lends"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        model_max_length=64,
    ).save_pretrained(folder)  # fmt: skip
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        id2label=dict(enumerate(labels)), label2id={label: i for i, label in enumerate(labels)},
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    with torch.no_grad():
        model.classifier.bias.copy_(torch.tensor([5.0, 0.0, 0.0][: len(labels)]))
    model.save_pretrained(folder)
    return folder


def test_an_entailment_model_flags_what_no_part_of_the_dialogue_entails(tmp_path: Path) -> None:
    always = EntailmentJudge(_classifier(tmp_path / "always", ["entailment", "neutral", "contradiction"]))
    never = EntailmentJudge(_classifier(tmp_path / "never", ["contradiction", "neutral", "ENTAILMENT"]))
    summaries = ["Anna lends Ben her car. Ben is glad.", ""]
    assert [f.flagged for f in always.judge([CAR, CAR], summaries)] == [False, False]
    flagged, empty = never.judge([CAR, CAR], summaries)
    assert flagged.flagged
    assert flagged.words in (["Anna", "lends", "Ben", "her", "car."], ["Ben", "is", "glad."])
    assert flagged.turns == [0, 1, 2]
    assert not empty.flagged


def test_what_is_no_entailment_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no label for entailment; it has: good, bad"):
        EntailmentJudge(_classifier(tmp_path / "mood", ["good", "bad"]))
    with pytest.raises(ModelError, match="cannot load"):
        EntailmentJudge(tmp_path / "nothing")


def test_judges_add_their_rates_and_findings_to_a_score(tmp_path: Path) -> None:
    examples = load_split(Data(source="builtin:dialogues"), "test").examples[:4]
    rows = [{"id": e.id, "prediction": e.references[0]} for e in examples]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    never = EntailmentJudge(_classifier(tmp_path / "never", ["contradiction", "neutral", "entailment"]))
    scored = score(tmp_path / "p.jsonl", "builtin:dialogues", errors=tmp_path / "e.jsonl", judges=[never])
    assert scored.scores.error_rates["error_not_entailed"].rate == 1
    found = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    assert sum(row["error"] == "error_not_entailed" for row in found) == 4
