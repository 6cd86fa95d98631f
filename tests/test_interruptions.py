"""A full disk, Ctrl-C, a network that is not there: two lines, and what was written before is whole."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import Outcome, run, write_recipe
from forking import Forker

from peftsum.checkpoints import list_checkpoints

PEFTSUM = [sys.executable, "-m", "peftsum"]


@contextmanager
def full_disk(largest_bytes: int) -> Iterator[None]:
    """Let no file grow beyond a size: a write fails there as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def run_status(folder: Path) -> str:
    return str(json.loads((folder / "run.json").read_text("utf-8"))["status"])


@pytest.fixture
def place(in_tmp: Path, byte_base: Path, dialogues: Path) -> Path:
    """A folder with a recipe whose weights are larger than its records, and whose optimizer state is larger still."""
    write_recipe(in_tmp / "small.yaml", byte_base, dialogues)
    text = (in_tmp / "small.yaml").read_text("utf-8").replace("rank: 2, targets: qv", "rank: 16, targets: attention")
    (in_tmp / "small.yaml").write_text(text, encoding="utf-8")
    return in_tmp


@pytest.mark.parametrize("part", ["the best weights", "the optimizer's state", "the adapter"])
def test_a_disk_that_fills_up_in_training_loses_nothing_older(
    part: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "train", "small.yaml").code == 0
    weights = (place / "adapters/small/adapter_model.safetensors").stat().st_size
    state = max(p.stat().st_size for p in place.glob("runs/small/checkpoints/*/state.pt"))
    assert 20_000 < weights < state
    earlier = files(place / "adapters/small"), files(place / "runs/small")
    arguments = ["train", "small.yaml", "--force", "--set", "train.seed=2"]
    if part == "the adapter":
        (place / "blocked").write_text("a file where a folder should be", encoding="utf-8")
        outcome = run(capsys, *arguments, "--adapter-dir", "blocked/small")
        outcome.assert_failed(1, "cannot write", "blocked")
    else:
        with full_disk(20_000 if part == "the best weights" else (weights + state) // 2):
            outcome = run(capsys, *arguments)
        outcome.assert_failed(1, "the disk is full", "free some space")
        assert run_status(place / "runs/small") == "failed"
    kept = files(place / "adapters/small.old-1"), files(place / "runs/small.old-1")
    for was, now in zip(earlier, kept, strict=True):
        assert {n: b for n, b in was.items() if n != "run.json"} == {n: b for n, b in now.items() if n != "run.json"}
    assert run_status(place / "runs/small.old-1") == "done"
    assert not [path for path in place.rglob("*.tmp*") if "old" not in str(path)]
    again = run(capsys, *arguments[:2], *arguments[3:], "--resume")
    assert again.code == 0, again.err
    assert run_status(place / "runs/small") == "done"


def test_a_disk_that_fills_up_in_evaluation_keeps_the_older_predictions(
    place: Path, dialogues: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "train", "small.yaml").code == 0
    evaluate = ["evaluate", "runs/small", "--data", dialogues, "--limit"]
    assert run(capsys, *evaluate, 2).code == 0
    before = files(place / "runs/small")
    assert "predictions.jsonl" in before
    with full_disk(100):
        outcome = run(capsys, *evaluate, 4)
    outcome.assert_failed(1, "the disk is full", "predictions.jsonl")
    assert files(place / "runs/small") == before


def environment(**changes: str) -> dict[str, str]:
    """Return this process's variables without those that keep the Hub's client off the network."""
    kept = {k: v for k, v in os.environ.items() if k not in {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}}
    return {**kept, "OMP_NUM_THREADS": "1", **changes}


def test_ctrl_c_in_training_leaves_a_checkpoint_from_which_resume_goes_on(
    forks: Forker, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = ["train.epochs=2", "train.max_steps=80", "train.eval_every=80", "train.batch_tokens=128"]
    settings = [argument for step in steps for argument in ("--set", step)]
    log = place / "runs/small/metrics.jsonl"
    (code,) = forks.run(place, ["train", "small.yaml", *settings], kill_when=lambda _: log.is_file(), by=signal.SIGINT)
    out, err = ((place / name).read_text("utf-8") for name in ("output-0", "errors-0"))
    Outcome(code, out, err).assert_failed(130, "interrupted after step", "--resume")
    assert run_status(place / "runs/small") == "interrupted"
    assert len(list_checkpoints(place / "runs/small")) == 1
    assert not (place / "adapters/small").exists()

    unsaid = run(capsys, "train", "small.yaml", *settings)
    unsaid.assert_failed(2, "unfinished", "--resume")
    resumed = run(capsys, "train", "small.yaml", *settings, "--resume")
    assert resumed.code == 0, resumed.err
    assert run_status(place / "runs/small") == "done"
    assert (place / "adapters/small/adapter_model.safetensors").is_file()
    logged = [json.loads(line)["step"] for line in log.read_text("utf-8").splitlines()]
    assert logged == sorted(logged)
    assert logged[-1] == 80


HUB_COMMANDS = """
import sys, time
from peftsum.cli import main
for command in sys.argv[1:]:
    start = time.perf_counter()
    try:
        main(command.split())
    except SystemExit as stopped:
        print(f"{stopped.code} {time.perf_counter() - start}", flush=True)
"""


def test_a_hub_that_does_not_answer_is_given_up_within_seconds(place: Path) -> None:
    commands = ["data owner/dialogues", "train small.yaml --set model.base=google/flan-t5-base"]
    done = subprocess.run(
        [sys.executable, "-c", HUB_COMMANDS, "doctor", *commands],  # doctor first, so that imports are not timed
        env=environment(HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(place / "empty-cache")),
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    endings = [line.split() for line in done.stdout.splitlines() if line[:2] in {"0 ", "1 ", "2 "}]
    assert [code for code, _ in endings] == ["0", "1", "1"], done.stderr
    assert all(float(took_s) < 30 for _, took_s in endings)
    warning, *lines = done.stderr.splitlines()
    assert "no answer from http://127.0.0.1:9" in warning
    assert [line.split(": ")[0] for line in lines] == ["error", "hint"] * 2
    assert done.stderr.count("cannot reach the Hub") == 2


def test_a_process_prints_two_lines_and_nothing_of_its_libraries(place: Path) -> None:
    command = ["summarize", "--base", "builtin:tiny", "--adapter", "none", "small.yaml"]
    done = subprocess.run([*PEFTSUM, *command], capture_output=True, text=True, check=False)
    Outcome(done.returncode, done.stdout, done.stderr).assert_failed(2, "none")


def test_a_reader_that_goes_away_is_no_error_with_a_traceback() -> None:
    shell = f"{sys.executable} -m peftsum train --help-recipe | head -n 1"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1
