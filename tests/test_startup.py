"""How a command starts: what it has to say at once, help or a refusal, waits for no library that takes seconds."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

HEAVY = {"torch", "transformers", "peft", "datasets", "pydantic", "accelerate", "numpy", "rich"}
SECONDS = {"torch", "transformers", "peft", "bitsandbytes"}


def test_help_comes_within_half_a_second() -> None:
    def wall_s() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "peftsum", "--help"], check=True, capture_output=True)
        return time.perf_counter() - start

    assert any(wall_s() < 0.5 for _ in range(5))  # another process may have the cores


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train", "--help"], ["nonsense"], ["score"]])
def test_help_version_and_usage_errors_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import atexit, sys; from peftsum.cli import main;"
        f"atexit.register(lambda: print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr));"
        f"main({arguments!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "[]"


REFUSED = (
    ("train", "broken.yaml"),
    ("train", "nowhere.yaml"),
    ("train", "nowhere.yaml", "--nproc", "2"),
    ("plan", "broken.yaml"),
    ("plan", "good.yaml", "--gpu", "7GBx"),
    ("compare", "broken.yaml", "--out", "report"),
    ("compare", "good.yaml", "--out", "report", "--data", "nowhere.jsonl"),
    ("sweep", "broken.yaml"),
    ("prompts", "broken.yaml"),
    ("score", "nowhere.jsonl", "--data", "builtin:dialogues"),
    ("summarize", "nowhere.txt", "--adapter", "nowhere"),
    ("merge", "nowhere", "--out", "merged"),
    ("serve", "nowhere"),
)
RUN = """
import json, sys
from peftsum.cli import main
done = []
for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as stopped:
        done.append([stopped.code, sorted(set(json.loads(sys.argv[2])) & set(sys.modules))])
print(json.dumps(done))
"""


def test_a_recipe_or_folder_that_cannot_be_used_is_refused_before_torch_is_imported(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("name: small\nmethod: {kind: lorra}\n", encoding="utf-8")
    (tmp_path / "good.yaml").write_text("name: small\nmethod: {kind: lora}\n", encoding="utf-8")
    command = [sys.executable, "-c", RUN, json.dumps(REFUSED), json.dumps([*SECONDS])]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    outcomes = dict(zip(REFUSED, json.loads(done.stdout), strict=True))
    assert outcomes == {arguments: [2, []] for arguments in REFUSED}, done.stderr
