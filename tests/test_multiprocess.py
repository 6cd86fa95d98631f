"""Two real processes over gloo: the same result as one, agreement in everything, and two lines for an error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from commands import Outcome
from forking import Forker
from hypothesis import given, settings
from hypothesis import strategies as st
from trainings import LORA, make_recipe, metrics, same_weights, weights_of

from peftsum import train
from peftsum.artifacts import RUN_FILE, RunRecord, read_record
from peftsum.checkpoints import last_step, list_checkpoints
from peftsum.exceptions import UsageError
from peftsum.prepare import prepare
from peftsum.ranks import share, start_ranks

TRAIN = [sys.executable, "-m", "peftsum", "train", "recipe.yaml"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
OUTPUTS = ("output", "errors")
RUN, ADAPTER = Path("runs/run"), Path("adapters/run")


@given(st.lists(st.integers(1, 500), min_size=1, max_size=40), st.integers(1, 8))
@settings(max_examples=50, deadline=None)
def test_shares_hold_each_example_once_and_are_about_equal(sizes: list[int], ranks: int) -> None:
    shares = [share(sizes, ranks, rank) for rank in range(ranks)]
    assert sorted(i for members in shares for i in members) == list(range(len(sizes)))
    loads = [sum(sizes[i] for i in members) for members in shares]
    assert max(loads) - min(loads) <= max(sizes)


def write(folder: Path, byte_base: Path, data: Path, **sections: Any) -> None:
    folder.mkdir(exist_ok=True)
    recipe = make_recipe(byte_base, data, **sections)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json")), encoding="utf-8")


def start(folder: Path, command: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(folder: Path, *options: str, command: list[str] = TRAIN) -> Outcome:
    with start(folder, [*command, *options]) as process:
        out, err = process.communicate(timeout=120)
    return Outcome(process.returncode, out, err)


def rows(run_dir: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k != "wall_s"} for row in metrics(run_dir)]


def run_both(forks: Forker, folder: Path, *options: str) -> tuple[Outcome, Outcome]:
    """Run two processes that share the training, as torchrun starts them."""
    codes = forks.run(folder, ["train", "recipe.yaml", *options], count=2)
    out, err = ([(folder / f"{stream}-{rank}").read_text("utf-8") for rank in range(2)] for stream in OUTPUTS)
    return Outcome(codes[0], out[0], err[0]), Outcome(codes[1], out[1], err[1])


# A batch of 200 tokens may hold one dialogue: the process that gets none keeps step with the other.
TUNINGS: dict[str, dict[str, Any]] = {
    "lora": {"method": LORA, "train": {"dropout": 0.0, "batch_tokens": 200, "max_steps": 6}},
    "full": {"method": {"kind": "full"}, "train": {"dropout": 0.0, "batch_tokens": 256, "learning_rate": 1e-3}},
}


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("name", TUNINGS)
def test_two_processes_train_what_one_does(
    name: str, accumulate: int, forks: Forker, byte_base: Path, dialogues: Path, in_tmp: Path
) -> None:
    tuning = {**TUNINGS[name], "train": {**TUNINGS[name]["train"], "accumulate": accumulate}}
    recipe = make_recipe(byte_base, dialogues, **tuning)
    assert name == "full" or 1 in {len(batch) for step in prepare(recipe).steps for batch in step}
    train(recipe, "one", "one-adapter")
    write(in_tmp, byte_base, dialogues, **tuning)
    first, second = run_both(forks, in_tmp)
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert (second.out, second.err) == ("", "")
    hold_same(byte_base)
    record = read_record(RUN / RUN_FILE, RunRecord)
    assert record.processes == 2
    assert record.train is not None
    assert record.train.energy_j.value == sum(part.value or 0 for part in record.train.energy_parts)
    assert record.train.energy_j.value > 0
    assert "2 processes" in record.train.peak_memory_bytes.scope
    assert record.load is not None
    assert record.load.memory_parts["weights"] > 0


def hold_same(byte_base: Path) -> None:
    """Hold that the run and the one in ``one`` moved the weights alike, and logged alike, to fp32's rounding."""
    two, one = weights_of(RUN, ADAPTER), weights_of(Path("one"), Path("one-adapter"))
    assert two.keys() == one.keys()
    base = weights_of_base(byte_base)
    for key in one:
        moved = (one[key] - base.get(key, torch.zeros_like(one[key]))).abs().max()
        assert (two[key] - one[key]).abs().max() <= 1e-3 * moved + 1e-6, key
    for mine, other in zip(rows(Path("runs/run")), rows(Path("one")), strict=True):
        assert mine == pytest.approx(other, rel=1e-4)


def weights_of_base(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


@pytest.mark.slow  # the same of one process, killed at any moment, is in test_kill.py
def test_interrupted_and_resumed_equals_uninterrupted(
    forks: Forker, byte_base: Path, dialogues: Path, tmp_path: Path
) -> None:
    """Ctrl-C to the command reaches both; dropout draws on in each of them where it stopped."""
    steps = {"max_steps": 24, "epochs": 8, "checkpoint_every": 1, "eval_every": 24, "batch_tokens": 256, "dropout": 0.1}
    for place in ("straight", "stopped"):
        write(tmp_path / place, byte_base, dialogues, method={**LORA, "dropout": 0.2}, train=steps)
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    with start(stopped, [*TRAIN, "--nproc", "2"]) as process:
        while process.poll() is None and not list_checkpoints(stopped / RUN):
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    Outcome(process.returncode, out, err).assert_failed(130, "interrupted after step", "--resume")
    assert read_record(stopped / RUN / RUN_FILE, RunRecord).status == "interrupted"
    assert [outcome.code for outcome in run_both(forks, straight)] == [0, 0]
    resumed = run(stopped, "--nproc", "2", "--resume", "--json")
    assert (resumed.code, resumed.lines) == (0, [])
    assert json.loads(resumed.out)["processes"] == 2
    assert same_weights(*(weights_of(at / RUN, at / ADAPTER) for at in (straight, stopped)))
    assert rows(straight / RUN) == rows(stopped / RUN)


def test_an_error_that_all_meet_is_told_once(forks: Forker, byte_base: Path, dialogues: Path, tmp_path: Path) -> None:
    diverging = {"learning_rate": 1e30, "max_steps": 8}
    for data, settings_, code, word in ((tmp_path / "nowhere", {}, 2, "nowhere"), (dialogues, diverging, 1, "rate")):
        write(tmp_path, byte_base, data, train=settings_)
        first, second = run_both(forks, tmp_path)
        first.assert_failed(code, word)
        assert (second.code, second.out, second.err) == (code, "", "")
    assert read_record(tmp_path / RUN / RUN_FILE, RunRecord).status == "failed"


def test_an_error_in_one_process_alone_ends_both(byte_base: Path, dialogues: Path, tmp_path: Path) -> None:
    write(tmp_path, byte_base, dialogues)
    (tmp_path / "sitecustomize.py").write_text(FAIL_IN_ONE, encoding="utf-8")
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', Path(__file__).parents[1])}"
    run(tmp_path, "--nproc", "2", command=["env", f"PYTHONPATH={path}", *TRAIN]).assert_failed(1, "not enough memory")


FAIL_IN_ONE = """
import os
if os.environ.get("RANK") == "1":
    from peftsum.training_model import TrainingModel
    def no_memory(*_): raise MemoryError
    TrainingModel.forward = no_memory
"""


def test_other_processes_than_asked_for_are_an_error(
    forks: Forker, byte_base: Path, dialogues: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, byte_base, dialogues)
    first, second = run_both(forks, tmp_path, "--nproc", "3")
    first.assert_failed(2, "asked for 3 processes, and 2 are running", "start it with: peftsum train RECIPE --nproc N")
    assert (second.code, second.out, second.err) == (2, "", "")
    # what `accelerate launch --cpu --num_processes 2` leaves in the one process that it starts
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.raises(UsageError, match=r"accelerate launch .* started one"):
        start_ranks(cpu=lambda: True)


def test_more_processes_than_gpus_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from peftsum.launch import launch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="this machine has 1"):
        launch(["train", "recipe.yaml"], 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", TUNINGS)
def test_a_sharded_model_trains_what_a_whole_one_does(
    name: str, byte_base: Path, dialogues: Path, in_tmp: Path
) -> None:
    """FSDP on two CPU processes: equal, the best kept, and resumed after a SIGKILL of all."""
    tuning = {**TUNINGS[name], "train": {**TUNINGS[name]["train"], "checkpoint_every": 1}}
    train(make_recipe(byte_base, dialogues, **tuning), "one", "one-adapter")
    write(in_tmp, byte_base, dialogues, **tuning)
    sharded = [*TORCHRUN, str(Path(__file__).with_name("fsdp_on_cpu.py")), "train", "recipe.yaml"]
    with start(in_tmp, sharded) as process:
        while process.poll() is None and not list_checkpoints(RUN):
            time.sleep(0.002)
        ranks = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("utf-8").split()
        for pid in [*map(int, ranks), process.pid]:
            os.kill(pid, signal.SIGKILL)
        process.communicate()
    assert 0 < last_step(RUN) < len(prepare(make_recipe(byte_base, dialogues, **tuning)).steps)
    outcome = run(in_tmp, "--resume", command=sharded)
    assert outcome.code == 0, outcome.err
    hold_same(byte_base)


def test_sharding_that_accelerate_would_pass_over_is_an_error(
    byte_base: Path, dialogues: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(UsageError, match="FSDP, which accelerate does on GPUs alone"):
        train(make_recipe(byte_base, dialogues))
