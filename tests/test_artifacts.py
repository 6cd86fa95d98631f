"""Writes are whole or not at all, and what is read back is what was written."""

from __future__ import annotations

import errno
import hashlib
import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from trainings import make_recipe

from peftsum.artifacts import (
    AdapterRecord,
    Prediction,
    clear_leftovers,
    delete_folder,
    read_predictions,
    read_record,
    set_aside,
    trim_metrics,
    write_folder,
    write_predictions,
    write_record,
    write_text,
)
from peftsum.exceptions import DataError, StorageError


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let the kernel refuse longer files, which looks to a writer as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def write_safetensors(folder: Path) -> None:
    save_file({"w": torch.zeros(100_000)}, folder / "w.safetensors")


def write_torch(folder: Path) -> None:
    torch.save({"w": torch.zeros(100_000)}, folder / "w.pt")


def write_plain(folder: Path) -> None:
    (folder / "w.bin").write_bytes(bytes(400_000))


@pytest.mark.parametrize("fill", [write_safetensors, write_torch, write_plain])
def test_a_folder_that_does_not_fit_on_the_disk_leaves_the_older_one(fill: object, tmp_path: Path) -> None:
    path = tmp_path / "folder"
    write_folder(path, lambda folder: write_text(folder / "old.txt", "old"))
    with files_of_at_most(4096), pytest.raises(StorageError, match="disk is full") as caught:
        write_folder(path, fill)  # type: ignore[arg-type]
    assert caught.value.hint
    assert [p.name for p in path.iterdir()] == ["old.txt"]
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_a_file_that_does_not_fit_on_the_disk_leaves_the_older_one(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    with files_of_at_most(4096), pytest.raises(StorageError, match="disk is full"):
        write_text(tmp_path / "a.txt", "new" * 10_000)
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_comes_back_when_its_successor_cannot_take_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rename = tmp_path / "folder", Path.rename
    write_folder(path, lambda folder: write_text(folder / "old.txt", "old"))

    def failing(self: Path, target: Path) -> Path:
        if self.suffix == ".tmp":
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(StorageError, match="Input/output error"):
        write_folder(path, lambda folder: write_text(folder / "new.txt", "new"))
    assert [p.name for p in path.iterdir()] == ["old.txt"]
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_leftovers_of_killed_writes_are_cleared_and_nothing_else(tmp_path: Path) -> None:
    for name in (".step-1.77.tmp", ".kept.77.old", "kept", ".hidden"):
        (tmp_path / name).mkdir()
    (tmp_path / ".run.json.77.tmp").write_text("{")
    clear_leftovers(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"kept", ".hidden"}
    clear_leftovers(tmp_path / "nowhere")


def test_a_folder_whose_replacement_was_killed_between_the_renames_comes_back(tmp_path: Path) -> None:
    for name in (".news.77.old", ".news.77.tmp", ".news.v2.78.tmp"):
        write_text(tmp_path / name / "x.txt", name)
    clear_leftovers(tmp_path, "news")
    assert {p.name for p in tmp_path.iterdir()} == {"news", ".news.v2.78.tmp"}  # the last may be being written
    assert (tmp_path / "news" / "x.txt").read_text() == ".news.77.old"


def test_writing_a_folder_clears_what_killed_writes_of_it_left(tmp_path: Path) -> None:
    (tmp_path / ".news.77.tmp").mkdir()
    write_folder(tmp_path / "news", lambda folder: write_text(folder / "x.txt", "new"))
    assert [p.name for p in tmp_path.iterdir()] == ["news"]


def test_a_folder_is_deleted_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "step-1" / "x.txt", "x")
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)  # killed after the first step
    delete_folder(tmp_path / "step-1")
    assert not (tmp_path / "step-1").exists()
    monkeypatch.undo()
    clear_leftovers(tmp_path)
    assert not list(tmp_path.iterdir())


def test_setting_aside_takes_the_first_free_name(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        (tmp_path / "run").mkdir()
        names.append(set_aside(tmp_path / "run"))
    assert [path.name for path in names if path] == ["run.old-1", "run.old-2", "run.old-3"]
    assert set_aside(tmp_path / "run") is None


def test_metrics_after_a_checkpoint_are_dropped_and_a_cut_line_too(tmp_path: Path) -> None:
    rows = [json.dumps({"step": step}) for step in (1, 2, 3)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(rows) + '\n{"step": 4, "lo')
    trim_metrics(tmp_path, 2)
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1}\n{"step": 2}\n'
    trim_metrics(tmp_path / "nowhere", 2)


def test_predictions_come_back_as_they_were_written(tmp_path: Path) -> None:
    rows = [
        Prediction(id="a", prediction="He said: \u201cyes\u201d\nand\u2028left.", adapter="x"),
        Prediction(id="b", prediction=""),
    ]
    write_predictions(tmp_path / "p.jsonl", rows)
    assert read_predictions(tmp_path / "p.jsonl") == rows


def test_predictions_of_other_tools_are_read(tmp_path: Path) -> None:
    """Numbered rows, fields of their own, a byte-order mark, and blank lines."""
    text = '\ufeff{"id": 7, "prediction": "Yes.", "model": "gpt"}\r\n\r\n{"prediction": "No.", "id": "8"}'
    (tmp_path / "p.jsonl").write_text(text, encoding="utf-8")
    assert [(p.id, p.prediction) for p in read_predictions(tmp_path / "p.jsonl")] == [("7", "Yes."), ("8", "No.")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"id": "1", "prediction": "a"}\n{"id": "2"}', "p.jsonl:2: prediction"),
        (b'{"id": "1", "prediction": null}', "p.jsonl:1: prediction"),
        (b'{"id": true, "prediction": "a"}', "p.jsonl:1: id"),
        (b"[1]", "p.jsonl:1"),
        (b"\xff\xfe", "not UTF-8"),
        (b"\n", "has no rows"),
    ],
)
def test_a_bad_row_is_named_by_its_line(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_predictions(tmp_path / "p.jsonl")
    assert caught.value.hint
    with pytest.raises(DataError, match="no predictions at"):
        read_predictions(tmp_path / "nowhere.jsonl")


def test_a_record_comes_back_and_a_newer_one_is_no_damage(byte_base: Path, dialogues: Path, tmp_path: Path) -> None:
    record = AdapterRecord(
        peftsum_version="0.1",
        recipe=make_recipe(byte_base, dialogues),
        base_revision="b",
        data_fingerprint="d",
        trainable_params=1,
        total_params=2,
        validation={"val_loss": 1.5},
        created="2026-01-01T00:00:00+00:00",
    )
    path = tmp_path / "peftsum.json"
    write_record(path, record)
    assert read_record(path, AdapterRecord) == record
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"new_field": 1}))
    assert read_record(path, AdapterRecord) == record
    document["peftsum_version"] = "99.0"
    document["recipe"]["train"]["new_key"] = 1
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"written by peftsum 99\.0") as caught:
        read_record(path, AdapterRecord)
    assert "install peftsum 99.0" in caught.value.hint
    path.write_text("{")
    with pytest.raises(DataError, match="is damaged"):
        read_record(path, AdapterRecord)


def test_a_record_of_before_a_key_was_renamed_is_read_and_its_run_is_current(tmp_path: Path) -> None:
    recipe = make_recipe("builtin:tiny", "data", train={"select_by": "rougeL"})
    record = AdapterRecord(
        peftsum_version="0.1.0",
        recipe=recipe,
        base_revision="r",
        data_fingerprint="f",
        trainable_params=1,
        total_params=2,
        created="now",
    )
    old = record.model_dump(mode="json")
    old["recipe"]["train"]["best_by"] = old["recipe"]["train"].pop("select_by")
    for section, later in (
        ("data", "redact"),
        ("train", "objective"),
        ("train", "start_from"),
        ("train", "lora_plus"),
        ("prompt", "speakers"),
    ):
        old["recipe"][section].pop(later)  # keys that came after it
    write_text(tmp_path / "peftsum.json", json.dumps(old))
    assert read_record(tmp_path / "peftsum.json", AdapterRecord) == record

    shaping = {part: old["recipe"][part] for part in ("model", "data", "prompt", "method", "train")}
    for harmless in ("trackers", "checkpoint_every", "keep_checkpoints"):
        shaping["train"].pop(harmless)
    made_then = hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()[:16]
    assert recipe.fingerprint == made_then
