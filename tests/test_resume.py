"""Runs that stop and go on, that are finished, or are of another recipe: nothing is lost, nothing is mixed up."""

from __future__ import annotations

import os
import resource
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import dialogue_rows, write_jsonl
from trainings import (
    LORA,
    adapter_weights,
    at_step,
    forbid_training,
    make_recipe,
    metrics,
    same_weights,
    scripted_validation,
    watch_fit,
    weights_of,
)

from peftsum import train
from peftsum.adapters import read_adapter_record
from peftsum.artifacts import RUN_FILE, RunRecord, is_run, read_record, write_record
from peftsum.checkpoints import CHECKPOINTS, STATE, WEIGHTS, list_checkpoints
from peftsum.exceptions import AdapterError, RecipeError, StorageError, TrainingInterrupted, UsageError
from peftsum.recipe import Recipe
from peftsum.targets import resolve_target

RUN, ADAPTER = Path("runs/run"), Path("adapters/run")

# Dropout and sampled validation both draw random numbers; a resumed run must draw on where it stopped.
COURSES: dict[str, dict[str, Any]] = {
    "lora-adamw": {
        "method": {**LORA, "dropout": 0.2},
        "train": {"schedule": "cosine", "dropout": 0.1, "lora_plus": 4.0},
        "generation": {"do_sample": True},
    },
    "full-adafactor": {"method": {"kind": "full"}, "train": {"optimizer": "adafactor", "accumulate": 2}},
}


def course(byte_base: Path, dialogues: Path, name: str = "lora-adamw", **settings: Any) -> Recipe:
    sections = COURSES[name]
    steps = {"max_steps": 6, "checkpoint_every": 1, "keep_checkpoints": 10, "eval_every": 2, **settings}
    return make_recipe(byte_base, dialogues, **{**sections, "train": {**sections["train"], **steps}})


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def validations(run_dir: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k != "wall_s"} for row in metrics(run_dir) if "val_loss" in row]


@pytest.mark.parametrize("name", COURSES)
def test_interrupted_and_resumed_equals_uninterrupted(
    name: str, byte_base: Path, dialogues: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = course(byte_base, dialogues, name)
    straight = train(recipe, "straight", "straight-adapter")
    batch = 3 * recipe.train.accumulate  # the first or only batch of step 3
    with (
        at_step(monkeypatch, batch, interrupt),
        pytest.raises(TrainingInterrupted, match="after step 3 of 6") as caught,
    ):
        train(recipe)
    assert "--resume" in caught.value.hint
    stopped = read_record(RUN / RUN_FILE, RunRecord)
    assert (stopped.status, stopped.steps) == ("interrupted", 3)
    with pytest.raises(UsageError, match="saved at step 3") as refused:
        train(recipe)
    assert "--resume" in refused.value.hint
    record = train(recipe, resume=True)
    assert same_weights(weights_of(RUN, ADAPTER), weights_of(Path("straight"), Path("straight-adapter")))
    assert validations(RUN) == validations(Path("straight"))
    assert (record.status, record.steps, record.best_step) == ("done", 6, straight.best_step)
    assert (record.source_tokens, record.target_tokens) == (straight.source_tokens, straight.target_tokens)
    assert record.train is not None
    assert stopped.train is not None
    assert record.train.wall_s.value > stopped.train.wall_s.value  # both sessions count
    for whole, part in ((record.train, stopped.train), (record.load, stopped.load)):
        assert whole is not None
        assert part is not None
        assert whole.memory_parts == part.memory_parts
        assert [reading.scope for reading in whole.energy_parts] == [reading.scope for reading in part.energy_parts]
        assert all(one.value > other.value for one, other in zip(whole.energy_parts, part.energy_parts, strict=True))
        assert sum(reading.value for reading in whole.energy_parts) == pytest.approx(whole.energy_j.value)
        assert part.idle_energy_j.value < whole.idle_energy_j.value < whole.energy_j.value


def test_a_second_interrupt_stops_at_once_and_the_run_can_go_on(
    byte_base: Path, dialogues: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def twice() -> None:
        interrupt()
        interrupt()

    recipe, handler = course(byte_base, dialogues), signal.getsignal(signal.SIGINT)
    with at_step(monkeypatch, 3, twice), pytest.raises(KeyboardInterrupt):
        train(recipe)
    assert list_checkpoints(RUN)[-1].name == "step-0000002"
    train(recipe, resume=True)
    assert signal.getsignal(signal.SIGINT) is handler


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def leave_half_written(run: Path) -> None:
    whole = run / CHECKPOINTS / "step-0000003"
    shutil.copytree(whole, run / CHECKPOINTS / ".step-0000004.123.tmp")
    shutil.copytree(whole, run / CHECKPOINTS / "step-0000004")
    (run / CHECKPOINTS / "step-0000004" / STATE).unlink()
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 9, "lo')


ACCIDENTS: dict[str, Callable[[Path], None]] = {
    "none": lambda run: None,
    "half-written": leave_half_written,
    "state cut short": lambda run: cut(run / CHECKPOINTS / "step-0000003" / STATE),
    "weights cut short": lambda run: cut(run / CHECKPOINTS / "step-0000003" / WEIGHTS),
    "a bit of the state flipped": lambda run: flip_a_bit(run / CHECKPOINTS / "step-0000003" / STATE),
    "a bit of the weights flipped": lambda run: flip_a_bit(run / CHECKPOINTS / "step-0000003" / WEIGHTS),
    "every checkpoint cut short": lambda run: [cut(p / STATE) for p in list_checkpoints(run)] and None,
}


@pytest.fixture(scope="module")
def whole_run(byte_base: Path, dialogues: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run, every checkpoint of which is kept, and its adapter."""
    folder = tmp_path_factory.mktemp("whole")
    train(course(byte_base, dialogues), folder / "run", folder / "adapter")
    return folder


def kill_after(run: Path, step: int) -> None:
    """Leave in a finished run what it had when step ``step`` was saved, as after ``kill -9``."""
    for checkpoint in list_checkpoints(run):
        if int(checkpoint.name.removeprefix("step-")) > step:
            shutil.rmtree(checkpoint)
    record = read_record(run / RUN_FILE, RunRecord)
    update = {"status": "running", "train": None, "finished": None, "steps": 0}
    write_record(run / RUN_FILE, record.model_copy(update=update))


@pytest.mark.parametrize("accident", ACCIDENTS)
def test_a_killed_run_goes_on_from_its_last_whole_checkpoint(
    accident: str, whole_run: Path, byte_base: Path, dialogues: Path, in_tmp: Path
) -> None:
    shutil.copytree(whole_run / "run", RUN)
    kill_after(RUN, 3)
    ACCIDENTS[accident](RUN)
    record = train(course(byte_base, dialogues), resume=True)
    assert same_weights(adapter_weights(ADAPTER), adapter_weights(whole_run / "adapter"))
    assert validations(RUN) == validations(whole_run / "run")
    assert not list(RUN.rglob(".*"))
    assert record.train is not None
    assert record.train.wall_s.value is None  # nobody saw what the killed session cost
    assert "killed" in (record.train.wall_s.reason or "")
    assert record.train.memory_parts
    assert record.load is not None
    assert record.load.wall_s.value is not None  # what it took to load was written before it was killed


def test_a_damaged_checkpoint_does_not_crowd_out_the_good_ones(
    whole_run: Path, byte_base: Path, dialogues: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole_run / "run", RUN)
    kill_after(RUN, 4)
    cut(RUN / CHECKPOINTS / "step-0000004" / STATE)
    recipe = course(byte_base, dialogues, keep_checkpoints=1)
    with at_step(monkeypatch, 1, interrupt), pytest.raises(TrainingInterrupted, match="after step 4 of 6"):
        train(recipe, resume=True)
    assert [path.name for path in list_checkpoints(RUN)] == ["step-0000004"]
    cut(RUN / CHECKPOINTS / "step-0000004" / STATE)
    train(recipe, resume=True)
    assert same_weights(adapter_weights(ADAPTER), adapter_weights(whole_run / "adapter"))


def test_a_run_killed_before_its_first_checkpoint_begins_anew_in_its_place(
    whole_run: Path, byte_base: Path, dialogues: Path, in_tmp: Path
) -> None:
    shutil.copytree(whole_run / "run", RUN)
    kill_after(RUN, 0)
    train(course(byte_base, dialogues))
    assert validations(RUN) == validations(whole_run / "run")
    assert not Path("runs/run.old-1").exists()


def test_a_run_whose_best_weights_are_gone_finds_another_best(
    whole_run: Path, byte_base: Path, dialogues: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole_run / "run", RUN)
    kill_after(RUN, 3)
    shutil.rmtree(RUN / "best")
    scripted_validation(monkeypatch, [99.0, 98.0])  # both worse than what the lost weights had
    record = train(course(byte_base, dialogues), resume=True)
    assert (record.best_step, record.validation["val_loss"]) == (6, 98.0)


def test_a_run_killed_after_it_stopped_early_stays_stopped(
    byte_base: Path, dialogues: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted_validation(monkeypatch, [1.0, 2.0])
    recipe = course(byte_base, dialogues, patience=1, max_steps=12)
    first = train(recipe)
    assert first.steps == 4
    kill_after(RUN, 4)
    forbid_training(monkeypatch)
    again = train(recipe, resume=True)
    assert (again.steps, again.best_step) == (first.steps, first.best_step)


def test_a_finished_run_is_returned_without_training(
    byte_base: Path, dialogues: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe(byte_base, dialogues)
    record = train(recipe)
    seen = watch_fit(monkeypatch)
    assert train(recipe) == train(recipe, resume=True) == record
    assert seen.calls == 0
    assert not Path("runs/run.old-1").exists()


@pytest.mark.parametrize("method", [{"kind": "full"}, LORA], ids=["full", "lora"])
def test_new_generation_settings_reach_a_finished_run_without_training(
    method: dict[str, Any], byte_base: Path, dialogues: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(make_recipe(byte_base, dialogues, method=method))
    seen = watch_fit(monkeypatch)
    train(make_recipe(byte_base, dialogues, method=method, generation={"max_new_tokens": 31}))
    assert seen.calls == 0
    assert resolve_target(RUN).generation.max_new_tokens == 31


@pytest.mark.parametrize("method", [{"kind": "full"}, LORA], ids=["full", "lora"])
def test_weights_that_were_deleted_are_made_again_from_the_last_checkpoint(
    method: dict[str, Any], byte_base: Path, dialogues: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe(byte_base, dialogues, method=method)
    train(recipe)
    weights = weights_of(RUN, ADAPTER)
    shutil.rmtree(RUN / "model" if method["kind"] == "full" else ADAPTER)
    forbid_training(monkeypatch)
    train(recipe)
    assert same_weights(weights_of(RUN, ADAPTER), weights)


def test_a_changed_recipe_sets_the_old_run_and_its_adapter_aside(
    byte_base: Path, dialogues: Path, in_tmp: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = train(make_recipe(byte_base, dialogues))
    weights, rows = adapter_weights(ADAPTER), metrics(RUN)
    second = train(make_recipe(byte_base, dialogues, train={"seed": 14}))
    assert "runs/run.old-1" in caplog.text
    assert second.fingerprint != first.fingerprint
    assert not same_weights(adapter_weights(ADAPTER), weights)
    old = Path("runs/run.old-1")
    assert metrics(old) == rows
    target = resolve_target(old)  # the old run still finds its own adapter
    assert target.adapter == Path("adapters/run.old-1")
    assert same_weights(adapter_weights(target.adapter), weights)
    assert resolve_target(RUN).adapter == ADAPTER


def test_an_adapter_that_another_run_made_is_set_aside_not_replaced(
    byte_base: Path, dialogues: Path, in_tmp: Path
) -> None:
    """Two runs of one adapter folder: the later takes the name, the earlier one's weights stay."""
    train(make_recipe(byte_base, dialogues), "runs/a", "adapters/shared")
    weights = adapter_weights(Path("adapters/shared"))
    train(make_recipe(byte_base, dialogues, train={"seed": 14}), "runs/b", "adapters/shared")
    assert same_weights(adapter_weights(Path("adapters/shared.old-1")), weights)
    with pytest.raises(AdapterError, match="of another training"):
        resolve_target("runs/a")


def test_other_data_makes_a_run_stale(byte_base: Path, in_tmp: Path) -> None:
    write_jsonl(Path("data/train.jsonl"), dialogue_rows(20))
    write_jsonl(Path("data/validation.jsonl"), dialogue_rows(4, 50))
    recipe = make_recipe(byte_base, Path("data"))
    first = train(recipe)
    write_jsonl(Path("data/train.jsonl"), dialogue_rows(21))
    second = train(recipe)
    assert first.data_fingerprint != second.data_fingerprint
    assert is_run(Path("runs/run.old-1"))


def test_another_base_under_the_same_name_makes_a_run_stale(byte_base: Path, dialogues: Path, in_tmp: Path) -> None:
    from transformers import AutoModelForSeq2SeqLM

    shutil.copytree(byte_base, "base")
    recipe = make_recipe("./base", dialogues)
    first = train(recipe)
    net = AutoModelForSeq2SeqLM.from_pretrained("./base")
    with torch.no_grad():
        net.lm_head.weight.mul_(1.5)
    net.save_pretrained("./base")
    second = train(recipe)
    assert first.base_revision != second.base_revision
    assert is_run(Path("runs/run.old-1"))


def test_another_recipe_cannot_be_resumed(
    byte_base: Path, dialogues: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with at_step(monkeypatch, 2, interrupt), pytest.raises(TrainingInterrupted):
        train(make_recipe(byte_base, dialogues))
    changed = make_recipe(byte_base, dialogues, train={"seed": 14})
    with pytest.raises(RecipeError, match="another recipe"):
        train(changed, resume=True)
    assert list_checkpoints(RUN)
    train(changed)
    assert list_checkpoints(Path("runs/run.old-1"))  # the unfinished run is set aside, not lost


def test_force_trains_anew_and_resume_none_decides_for_itself(
    byte_base: Path, dialogues: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = course(byte_base, dialogues)
    with at_step(monkeypatch, 3, interrupt), pytest.raises(TrainingInterrupted):
        train(recipe)
    seen = watch_fit(monkeypatch)
    train(recipe, resume=None)  # goes on
    assert min(row["step"] for row in metrics(RUN)) == 2
    train(recipe, resume=None)  # is up to date
    assert seen.calls == 1
    record = train(recipe, force=True)
    assert (record.status, seen.calls) == ("done", 2)
    assert same_weights(adapter_weights(ADAPTER), adapter_weights(Path("adapters/run.old-1")))
    assert read_adapter_record(ADAPTER) is not None


def test_a_full_disk_loses_no_checkpoint_and_the_run_goes_on(
    whole_run: Path, byte_base: Path, dialogues: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit lets the weights of a checkpoint through, and not the optimizer's state beside them."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    newest = list_checkpoints(whole_run / "run")[-1]
    weights, state = ((newest / name).stat().st_size for name in (WEIGHTS, STATE))
    assert weights < state
    full = partial(resource.setrlimit, resource.RLIMIT_FSIZE, ((weights + state) // 2, limits[1]))
    try:
        with at_step(monkeypatch, 3, full), pytest.raises(StorageError, match="disk is full"):
            train(course(byte_base, dialogues))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert read_record(RUN / RUN_FILE, RunRecord).status == "failed"
    assert [path.name for path in list_checkpoints(RUN)] == ["step-0000001", "step-0000002"]
    train(course(byte_base, dialogues), resume=True)
    assert same_weights(adapter_weights(ADAPTER), adapter_weights(whole_run / "adapter"))


def test_a_run_killed_before_its_last_deletion_ends_with_as_few_checkpoints(
    byte_base: Path, dialogues: Path, in_tmp: Path
) -> None:
    recipe = course(byte_base, dialogues, keep_checkpoints=2)
    record = train(recipe)
    left = list_checkpoints(RUN)
    shutil.copytree(left[0], left[0].with_name("step-0000001"))  # what the newest had superseded
    shutil.rmtree(ADAPTER)
    write_record(RUN / RUN_FILE, record.model_copy(update={"status": "running"}))
    train(recipe, resume=True)
    assert ADAPTER.is_dir()
    assert list_checkpoints(RUN) == left
