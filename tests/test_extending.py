"""docs/extending.md, followed to the letter in a copy of the repository: what it shows to be added works."""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import Block, apply_change, blocks_of

from peftsum.recipe_file import load_recipe

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "extending.md"
BLOCKS = blocks_of(PAGE)
# One training stands for both, since the copy has the meter, too; the tests of the registry run beside this one.
LONG = ("peftsum merge", "peftsum train recipes/tiny/lora.yaml", "pytest tests/test_registry.py")
# One process for all commands: what is slow is importing torch.
RUN = """
import contextlib, io, json, sys
import pytest
from peftsum.cli import main
from peftsum import load_recipe
done = []
for name, *arguments in json.loads(sys.argv[1]):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            code = pytest.main([*arguments, "-p", "no:cacheprovider"]) if name == "pytest" else main(arguments)
        except SystemExit as exit:
            code = exit.code
    done.append({"code": int(code or 0), "out": out.getvalue()})
print(json.dumps(done))
"""


def commands_of(blocks: list[Block]) -> list[str]:
    return [line for block in blocks if block.language == "bash" for line in block.text.splitlines()]


def followed(folder: Path) -> Path:
    """Make a copy of what the page changes and needs, with every change of the page made."""
    for name in ("peftsum", "recipes", "adapters", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    for block in BLOCKS:
        if block.language != "bash" and block.path is not None:
            apply_change(folder, block)
    return folder


def run_all(commands: list[str], folder: Path) -> dict[str, str]:
    """Run commands in a folder and return what each printed; all succeed."""
    result = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps([shlex.split(line) for line in commands])],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    done = json.loads(result.stdout.splitlines()[-1])
    for line, one in zip(commands, done, strict=True):
        assert one["code"] == 0, f"{line}\n{one['out']}"
    return {line: one["out"] for line, one in zip(commands, done, strict=True)}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return followed(tmp_path_factory.mktemp("clone"))


@pytest.fixture(scope="module")
def outcomes(copy: Path) -> dict[str, str]:
    """What the commands printed, without those that take long; the slow test runs them all."""
    return run_all([line for line in commands_of(BLOCKS) if not line.startswith(LONG)], copy)


def output(outcomes: dict[str, str], start: str) -> str:
    return next(out for line, out in outcomes.items() if line.startswith(start))


def test_every_block_of_the_page_is_run_or_written() -> None:
    used = [b for b in BLOCKS if b.language == "bash" or b.path is not None]
    shown = [b for b in BLOCKS if b not in used]
    assert {b.section for b in BLOCKS} == {"A metric", "A method", "A meter", "A prompt"}
    assert len(used) >= 14
    assert [b.language for b in shown] == ["yaml"]  # the template of a recipe, which the last test loads


def test_a_new_metric_is_scored_and_printed_with_its_interval(outcomes: dict[str, str]) -> None:
    line = next(x for x in output(outcomes, "peftsum evaluate adapters/tiny-summary").splitlines() if "sentences" in x)
    name, mean, low, _, high = line.split()
    assert name == "summary_sentences"
    assert 0 < float(low) <= float(mean) <= float(high)


def test_a_new_method_trains_and_is_scored(outcomes: dict[str, str], copy: Path) -> None:
    assert "weights trained" in output(outcomes, "peftsum train recipes/tiny/loha.yaml")
    assert json.loads((copy / "adapters/tiny-loha/adapter_config.json").read_text("utf-8"))["peft_type"] == "LOHA"
    assert "4 dialogues" in output(outcomes, "peftsum evaluate adapters/tiny-loha")


def test_a_new_meter_is_read_printed_and_kept(outcomes: dict[str, str], copy: Path) -> None:
    assert ", processor_s " in output(outcomes, "peftsum train")
    reading = json.loads((copy / "runs/tiny-loha/run.json").read_text("utf-8"))["train"]["further"]["processor_s"]
    assert reading["value"] > 0
    assert (reading["unit"], reading["source"]) == ("s", "process_time")


def test_a_new_prompt_is_asked_and_reported(outcomes: dict[str, str], copy: Path) -> None:
    assert "question" in output(outcomes, "peftsum prompts")
    rows = list(csv.DictReader((copy / "runs/tiny-lora-prompts/arms.csv").open(encoding="utf-8")))
    assert "question" in {row["prompt"] for row in rows}
    with (copy / "runs/tiny-lora-prompts/results.csv").open(encoding="utf-8") as file:
        assert all(float(row["summary_sentences"]) > 0 for row in csv.DictReader(file))


@pytest.mark.slow
def test_every_command_of_the_page_works_as_written(tmp_path: Path) -> None:
    shown = run_all(commands_of(BLOCKS), followed(tmp_path / "clone"))
    assert ", processor_s " in output(shown, "peftsum train recipes/tiny/lora.yaml")
    assert "drift" in output(shown, "peftsum merge")
    assert (tmp_path / "clone/merged/tiny-loha/model.safetensors").is_file()


def test_the_template_shown_is_a_prompt_of_a_recipe(tmp_path: Path) -> None:
    (block,) = [b for b in BLOCKS if b.language == "yaml" and b.path is None]
    path = tmp_path / "recipe.yaml"
    path.write_text(f"name: asking\nmethod: {{kind: lora}}\n{block.text}", encoding="utf-8")
    assert load_recipe(path).prompt.render("Ann: Hi!") == "Ann: Hi!\n\nWhat is this conversation about?"


def test_a_change_that_no_longer_finds_its_lines_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n", encoding="utf-8")
    change = Block("", "diff", " x = 1\n+y = 2\n", "a.py")
    apply_change(tmp_path, change)
    assert (tmp_path / "a.py").read_text("utf-8") == "x = 1\ny = 2\n"
    with pytest.raises(AssertionError, match="0 times"):
        apply_change(tmp_path, Block("", "diff", " z = 1\n+y = 2\n", "a.py"))
