"""Shared fixtures: a random 2-layer T5 with a byte tokenizer, made in under a second, and a few dialogues."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from forking import Forked, Forker, forker

from peftsum.imports import quick_exit

os.environ.setdefault("OMP_NUM_THREADS", "1")  # at these sizes threads only wait for each other
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before anything imports huggingface_hub
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
gc.disable()  # until all tests are imported, with torch and the like: see peftsum/imports.py
quick_exit()

NAMES = ["Ann", "Bob", "Cleo", "Dan", "Eve", "Finn"]
PLACES = ["Joe's", "the park", "the library", "the station"]


def pytest_collection_finish() -> None:
    """Let the collector work from here on, on what tests make alone."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def byte_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random T5 v1.1 of 2 + 2 layers and 32 dimensions, and a byte-level tokenizer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    folder = tmp_path_factory.mktemp("byte-base")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<pad>", "</s>", "<unk>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=4096
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(vocabulary),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=0,
        dropout_rate=0.1,
    )
    model = T5ForConditionalGeneration(config)
    head = torch.nn.Linear(32, len(vocabulary), bias=False)  # T5Config re-ties; Flan-T5 has a head of its own
    model.lm_head = head
    model.save_pretrained(folder)
    return folder


def dialogue_rows(count: int, first: int = 0) -> list[dict[str, str]]:
    """Return short dialogues with summaries that a small model can begin to learn."""
    rows = []
    for i in range(first, first + count):
        a, b, place = NAMES[i % 6], NAMES[(i + 1 + i // 6) % 6], PLACES[i % 4]
        turns = [f"{a}: Lunch at {i % 12 + 1}?", f"{b}: Yes, at {place}.", *[f"{a}: Good."] * (i % 5)]
        rows.append({"id": f"d{i}", "dialogue": "\n".join(turns), "summary": f"{a} and {b} meet at {place}."})
    return rows


def unseen_rows(count: int) -> list[dict[str, str]]:
    """Return short dialogues that share next to nothing with those of :func:`dialogue_rows`, nor with each other."""
    rows = []
    for i in range(count):
        a, b = NAMES[i % 6], NAMES[(i + 2) % 6]
        word = "".join(chr(ord("a") + (i * 7 + j * 11) % 26) for j in range(5))
        turns = [f"{a}: Where did {word} put his {word}{i}?", f"{b}: Behind {i + 3} {word} boxes, I suppose."]
        rows.append({"id": f"u{i}", "dialogue": "\n".join(turns), "summary": f"{word} has put it behind boxes."})
    return rows


def write_jsonl(path: Path, rows: list[dict[str, str]]) -> Path:
    """Write rows, one a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def dialogues(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with 40 training, 8 validation and 8 test dialogues; the test ones have two references."""
    folder = tmp_path_factory.mktemp("dialogues")
    write_jsonl(folder / "train.jsonl", dialogue_rows(40))
    write_jsonl(folder / "validation.jsonl", dialogue_rows(8, 100))
    tests = [
        {"id": r["id"], "dialogue": r["dialogue"], "summary1": r["summary"], "summary2": "They plan lunch."}
        for r in dialogue_rows(8, 200)
    ]
    write_jsonl(folder / "test.jsonl", tests)
    return folder


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run a test in an empty folder, so that default paths land there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def forks() -> Iterator[Forker]:
    """A process with everything imported, which forks commands."""
    with forker() as server:
        yield server


def fork_apart(forks: Forker, patch: pytest.MonkeyPatch) -> None:
    """Let ``run_apart`` fork its processes, which saves the imports; what they are for, memory of their own, stays."""

    def start(call: Path, found: Path) -> Forked:
        return forks.start(Path.cwd(), [str(call), str(found)], entry="answer")

    patch.setattr("peftsum.processes._start", start)


@pytest.fixture
def forked_apart(forks: Forker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork what ``run_apart`` starts in this test."""
    fork_apart(forks, monkeypatch)
