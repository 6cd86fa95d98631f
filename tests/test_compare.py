"""``compare`` from recipes to systems: trains what is missing or stale, and nothing else."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from trainings import DEFAULTS, LORA

from peftsum import compare
from peftsum.artifacts import PREDICTIONS_FILE, RUN_FILE, RunRecord, read_predictions, read_record
from peftsum.comparison import Comparison
from peftsum.exceptions import PeftsumError, UsageError
from peftsum.processes import run_apart


def write_recipe(base: Path, data: Path, name: str, **sections: dict[str, object]) -> Path:
    values: dict[str, object] = {"name": name, "method": LORA}
    for section in {*DEFAULTS, *sections} - {"method"}:
        values[section] = {**DEFAULTS.get(section, {}), **sections.get(section, {})}
    values |= {"method": sections.get("method", LORA)}
    values["model"] = {**values["model"], "base": str(base)}  # type: ignore[dict-item]
    values["data"] = {**values["data"], "source": str(data)}  # type: ignore[dict-item]
    path = Path(f"{name}.yaml")
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def made(*names: str) -> list[str]:
    return [read_record(Path("runs", name, RUN_FILE), RunRecord).created for name in names]


def written(*names: str) -> list[int]:
    return [Path("runs", name, PREDICTIONS_FILE).stat().st_mtime_ns for name in names]


def by_name(comparison: Comparison) -> dict[str, str]:
    return {system.system: system.method for system in comparison.systems}


def test_it_trains_what_is_missing_or_stale_and_nothing_else(
    byte_base: Path, dialogues: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = write_recipe(byte_base, dialogues, "small", train={"max_steps": 2})
    whole = write_recipe(byte_base, dialogues, "whole", method={"kind": "full"}, train={"max_steps": 2})
    first = compare([small, whole])
    untuned = f"untuned {byte_base}"
    assert by_name(first) == {untuned: "none", "small": "lora", "whole": "full"}
    assert first.n == 8
    for system in first.systems:
        assert len(system.rouge_l_per_example) == 8
        assert system.scores.references == "mean"  # the test split has two references
        assert (system.train is None) is (system.method == "none")
    assert all(example.predictions.keys() == {untuned, "small", "whole"} for example in first.examples)
    assert first.facts is not None
    assert first.facts.ids == [f"d{i}" for i in range(200, 208)]
    for system in first.systems:
        assert system.coverage is not None
        assert all(0 <= share <= 1 for share in system.coverage.turns if share is not None)
        tokens, cut = system.statistics["source_tokens"], system.statistics["source_cut"]
        # The untuned base has no run of its own: it reads as much as the data section of the first recipe says.
        assert cut == [float(count > DEFAULTS["data"]["max_source_tokens"]) for count in tokens]
    assert [p.id for p in read_predictions(Path("runs/small", PREDICTIONS_FILE))] == [f"d{i}" for i in range(200, 208)]
    assert read_predictions(Path("runs/small", PREDICTIONS_FILE))[0].adapter == "small"

    before = made("small", "whole"), written("small", "whole")
    with monkeypatch.context() as patch:  # what is up to date starts no process
        patch.setattr(importlib.import_module("peftsum.compare"), "run_apart", lambda *_: pytest.fail("a process"))
        assert compare([small, whole]).systems == first.systems  # to the last reading
    assert (made("small", "whole"), written("small", "whole")) == before

    # A changed rate is another training; a changed length is only another evaluation.
    write_recipe(byte_base, dialogues, "small", train={"max_steps": 2, "learning_rate": 1e-2})
    write_recipe(
        byte_base, dialogues, "whole", method={"kind": "full"}, train={"max_steps": 2}, generation={"max_new_tokens": 5}
    )
    second = compare([small, Path("whole.yaml")])
    assert by_name(second) == by_name(first)
    assert made("small") != [before[0][0]]
    assert made("small.old-1", "whole") == before[0]
    assert written("whole") != [before[1][1]]

    # A finished run is taken as it is, with its adapter, which was set aside beside it.
    third = compare(["runs/small.old-1", whole])
    assert by_name(third) == {untuned: "none", "small.old-1": "lora", "whole": "full"}
    assert third.systems[1].scores == first.systems[1].scores
    assert made("small.old-1") == [before[0][0]]


def test_names_that_clash_and_data_that_differ_are_refused(byte_base: Path, dialogues: Path, in_tmp: Path) -> None:
    small = write_recipe(byte_base, dialogues, "small")
    other = write_recipe(byte_base, dialogues / "train.jsonl", "other")
    taken = write_recipe(byte_base, dialogues, "untuned")
    for targets, message in (
        ([small, small], "'small' stands twice"),
        ([taken], "'untuned'"),
        ([small, other], "different data"),
        ([], "nothing to compare"),
        ([Path()], "neither a recipe nor a finished run"),
    ):
        with pytest.raises(UsageError, match=message) as caught:
            compare(targets)
        assert caught.value.hint
    assert not Path("runs").exists()


def test_a_failure_in_a_system_s_process_is_the_caller_s_error(byte_base: Path, dialogues: Path, in_tmp: Path) -> None:
    broken = write_recipe(byte_base, dialogues, "broken", method={**LORA, "targets": ["nope"]})
    with pytest.raises(PeftsumError, match="no layer named 'nope'") as caught:
        compare([broken], limit=1)
    assert caught.value.hint


UNGUARDED = """
from peftsum.processes import run_apart
print(run_apart("a sum", sum, [1, 2, 3]))
"""


def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    """With multiprocessing's spawn this script would start itself over and over."""
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED, encoding="utf-8")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("6\n", "")


def test_a_process_that_dies_is_reported() -> None:
    with pytest.raises(PeftsumError, match="the job: its process was killed by signal 9") as caught:
        run_apart("the job", kill_oneself)
    assert "memory" in caught.value.hint
    with pytest.raises(PeftsumError, match="exit code 3"):
        run_apart("the job", sys.exit, 3)
    with pytest.raises(KeyboardInterrupt):
        run_apart("the job", sys.exit, 130)


def kill_oneself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
