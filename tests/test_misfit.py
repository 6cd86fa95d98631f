"""What cannot fit is refused by every command that trains, with what would help, and trained where the user insists."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import run, write_recipe
from trainings import forbid_training, make_recipe

from peftsum import train

before = importlib.import_module("peftsum.forecast.before")
devices = importlib.import_module("peftsum.forecast.devices")
compare_module = importlib.import_module("peftsum.compare")
NOTHING = 10**8  # bytes: less than Python and torch take


@pytest.fixture
def small(tmp_path: Path, byte_base: Path, dialogues: Path) -> Path:
    return write_recipe(tmp_path / "small.yaml", byte_base, dialogues)


@pytest.fixture
def memory_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let this machine have so many bytes free, and no more in all."""

    def have(size: int) -> None:
        monkeypatch.setattr(before, "free_ram_bytes", lambda: size)
        monkeypatch.setattr(devices, "ram_bytes", lambda: size)

    return have


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a comparison train where the test can say how much memory there is."""
    monkeypatch.setattr(compare_module, "run_apart", lambda _, call, *arguments: call(*arguments))


def test_train_refuses_what_cannot_fit_and_leaves_everything_as_it_was(
    small: Path,
    in_tmp: Path,
    capsys: pytest.CaptureFixture[str],
    memory_of: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run(capsys, "train", small).code == 0
    files = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    memory_of(NOTHING)
    with monkeypatch.context() as patched:
        forbid_training(patched)
        refused = run(capsys, "train", small, "--force", "--set", "train.seed=2")
    refused.assert_failed(3, "at least", "100 MB", "--ignore-forecast")
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == files
    forced = run(capsys, "train", small, "--force", "--set", "train.seed=2", "--ignore-forecast")
    assert forced.code == 0, forced.err


def test_a_finished_run_is_returned_whatever_the_memory(
    byte_base: Path, dialogues: Path, in_tmp: Path, memory_of: Callable[[int], None]
) -> None:
    recipe = make_recipe(byte_base, dialogues)
    done = train(recipe)
    memory_of(NOTHING)
    assert train(recipe) == done


@pytest.mark.usefixtures("in_this_process")
def test_a_comparison_refuses_and_trains_where_told_to_and_names_the_variant_of_a_method(
    tmp_path: Path,
    byte_base: Path,
    dialogues: Path,
    in_tmp: Path,
    capsys: pytest.CaptureFixture[str],
    memory_of: Callable[[int], None],
) -> None:
    recipe = write_recipe(tmp_path / "small.yaml", byte_base, dialogues)
    text = recipe.read_text(encoding="utf-8").replace("targets: qv", "targets: qv, dora: true")
    recipe.write_text(text, encoding="utf-8")
    memory_of(NOTHING)
    asked = ("compare", recipe, "--out", "report", "--limit", 2)
    refused = run(capsys, *asked)
    assert refused.code == 3
    assert "hint: " in refused.err
    assert "--ignore-forecast" in refused.err
    assert not Path("runs/small").exists()
    forced = run(capsys, *asked, "--ignore-forecast")
    assert forced.code == 0, forced.err
    with Path("report/results.csv").open(encoding="utf-8", newline="") as file:
        methods = {row["system"]: row["method"] for row in csv.DictReader(file)}
    assert methods["small"] == "dora"
    assert "(dora)" in Path("report/report.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("in_this_process")
def test_a_prompt_study_refuses_the_recipe_beside_it_and_trains_it_where_told_to(
    small: Path, in_tmp: Path, capsys: pytest.CaptureFixture[str], memory_of: Callable[[int], None]
) -> None:
    memory_of(NOTHING)
    asked = ("prompts", small, "--prompt", "raw", "--limit", 2, "--beside", small, "--out", "study")
    refused = run(capsys, *asked)
    assert (refused.code, Path("runs/small").exists()) == (3, False)
    assert "--ignore-forecast" in refused.err
    forced = run(capsys, *asked, "--ignore-forecast")
    assert forced.code == 0, forced.err
    assert Path("runs/small/run.json").is_file()


def test_a_trial_that_cannot_fit_fails_with_its_reason_and_the_sweep_goes_on(
    small: Path, in_tmp: Path, capsys: pytest.CaptureFixture[str], memory_of: Callable[[int], None]
) -> None:
    pytest.importorskip("optuna", reason="the extra `sweeps` is not installed")
    Path("sweep.yaml").write_text(f"name: one\nrecipe: {small}\narrangements: {{a: {{}}}}\n", encoding="utf-8")
    memory_of(NOTHING)
    refused = run(capsys, "sweep", "sweep.yaml", "--out", "refused", "--limit", 2, "--json")
    assert refused.code == 0, refused.err
    assert '"failure": "this training takes at least' in refused.out
    forced = run(capsys, "sweep", "sweep.yaml", "--out", "forced", "--limit", 2, "--ignore-forecast", "--json")
    assert forced.code == 0, forced.err
    assert '"state": "complete"' in forced.out


METHODS: list[tuple[dict[str, Any], str, str]] = [
    ({"kind": "full"}, "full", "full"),
    ({"kind": "lora", "rank": 8, "targets": "qv"}, "lora", "lora r8 qv"),
    ({"kind": "lora", "rank": 8, "targets": "qv", "dora": True}, "dora", "dora r8 qv"),
    ({"kind": "lora", "rank": 8, "targets": ["q"], "rslora": True}, "rslora", "rslora r8 q"),
    ({"kind": "lora", "dora": True, "rslora": True}, "dora+rslora", "dora+rslora r16 all-linear"),
    ({"kind": "ia3"}, "ia3", "ia3"),
]


@pytest.mark.parametrize(("method", "variant", "label"), METHODS, ids=[variant for _, variant, _ in METHODS])
def test_a_method_is_called_by_its_variant(method: dict[str, Any], variant: str, label: str) -> None:
    made = make_recipe("builtin:tiny", "builtin:dialogues", method=method).method
    assert (made.variant, made.label()) == (variant, label)
