"""``compare`` from recipes to systems: trains what is missing or stale, and nothing else."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import pytest
import yaml
from apart import kill_oneself, refuse
from conftest import dialogue_rows, fork_apart, write_jsonl
from forking import Forker
from trainings import DEFAULTS, LORA

from peftsum import compare
from peftsum.artifacts import PREDICTIONS_FILE, RUN_FILE, RunRecord, read_predictions, read_record
from peftsum.comparison import Comparison
from peftsum.exceptions import AdapterError, PeftsumError, UsageError
from peftsum.metrics import aggregate, example_statistics
from peftsum.processes import run_apart
from peftsum.report.notes import facts


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


@pytest.mark.usefixtures("forked_apart")
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


@pytest.fixture(scope="module")
def leaky(
    byte_base: Path, dialogues: Path, tmp_path_factory: pytest.TempPathFactory, forks: Forker
) -> tuple[Path, Comparison]:
    """A folder with a run; of its 6 test dialogues 2 stand in train exactly and 1 nearly."""
    folder = tmp_path_factory.mktemp("leaky")
    train = dialogue_rows(40)
    told = " and then we all walked home by the river and had tea with Mary and her brother"
    long = {"id": "long", "dialogue": train[0]["dialogue"] + told, "summary": "They walk."}
    near = {**long, "id": "near", "dialogue": long["dialogue"].replace("river", "canal")}
    new = [{"id": f"new-{i}", "dialogue": f"Una: {word} " * 9, "summary": word} for i, word in enumerate("xyz")]
    write_jsonl(folder / "data" / "train.jsonl", [*train, long])
    copies = [{**train[i], "id": f"copy-{i}"} for i in (3, 4)]
    write_jsonl(folder / "data" / "test.jsonl", [new[0], *copies, new[1], near, new[2]])
    with chdir(folder), pytest.MonkeyPatch.context() as patch:
        fork_apart(forks, patch)
        write_recipe(byte_base, Path("data"), "small", train={"max_steps": 1, "eval_examples": 0})
        return folder, compare(["small.yaml"])


@pytest.fixture
def in_leaky(leaky: tuple[Path, Comparison], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Comparison:
    """Work in a copy of that folder, where no process is started: everything is up to date."""
    shutil.copytree(leaky[0], tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(importlib.import_module("peftsum.compare"), "run_apart", lambda *_: pytest.fail("a process"))
    return leaky[1]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


FOUND = "3 of 6 dialogues (2 exactly, 1 nearly) stand in the training data of small; "


def test_dialogues_seen_in_training_are_warned_of(in_leaky: Comparison, caplog: pytest.LogCaptureFixture) -> None:
    again = compare(["small.yaml"])
    assert warnings(caplog) == [f"data, test split: {FOUND}--leave-out-leaked scores without them"]
    assert (again.n, again.left_out, again.systems) == (6, 0, in_leaky.systems)
    (seen,) = again.seen
    assert (seen.systems, seen.exact, seen.near) == (["small"], ["copy-3", "copy-4"], ["near"])
    assert ("Seen in training", f"{FOUND}--leave-out-leaked scores without them") in facts(again)


def test_summaries_judged_by_older_detectors_are_judged_again_and_not_generated(in_leaky: Comparison) -> None:
    (file,) = Path("runs/small").glob("evaluation.json")
    old = json.loads(file.read_text())
    old["scores"]["signature"] = old["scores"]["signature"].rpartition(":")[0] + ":older"
    old["scores"]["error_rates"]["error_any"] = {"rate": 0.5, "low": 0, "high": 1}
    old["statistics"]["error_any"] = [1.0] * 3 + [0.0] * 3
    file.write_text(json.dumps(old))
    assert compare(["small.yaml"]).systems == in_leaky.systems
    again = json.loads(file.read_text())
    assert again["statistics"]["source_tokens"] == old["statistics"]["source_tokens"]
    assert again["scores"]["signature"] != old["scores"]["signature"]


def test_leaving_them_out_gives_the_scores_of_the_others_alone_and_keeps_the_evaluation_whole(
    in_leaky: Comparison, caplog: pytest.LogCaptureFixture
) -> None:
    evaluation = Path("runs/small/evaluation.json").read_bytes()
    rest = compare(["small.yaml"], leave_out_leaked=True)
    assert warnings(caplog) == [f"data, test split: {FOUND}they are left out"]
    assert (rest.n, rest.left_out, rest.seen) == (3, 3, in_leaky.seen)
    assert "without 3 dialogues seen in training" in rest.title
    assert ("Seen in training", f"{FOUND}they are left out") in facts(rest)
    assert {example.id for example in rest.examples} == {"new-0", "new-1", "new-2"}
    kept = {p.id: p.prediction for p in read_predictions(Path("runs/small", PREDICTIONS_FILE))}
    small = next(system for system in rest.systems if system.system == "small")
    texts, dialogues = [kept[f"new-{i}"] for i in range(3)], {e.id: e.dialogue for e in rest.examples}
    alone = example_statistics(
        texts, [["x"], ["y"], ["z"]], "first", dialogues=[dialogues[f"new-{i}"] for i in range(3)]
    )
    assert small.scores == aggregate(alone, references="first")
    assert all(len(values) == 3 for system in rest.systems for values in system.statistics.values())

    assert Path("runs/small/evaluation.json").read_bytes() == evaluation
    assert compare(["small.yaml"]).systems == in_leaky.systems


def test_training_data_that_changed_or_is_gone_is_said_and_no_failure(
    in_leaky: Comparison, caplog: pytest.LogCaptureFixture
) -> None:
    write_jsonl(Path("data/train.jsonl"), dialogue_rows(39))
    changed = compare(["runs/small"], leave_out_leaked=True)
    assert (changed.n, changed.left_out, changed.systems) == (6, 0, in_leaky.systems)
    assert changed.seen[0].unknown == "data is no longer what it was in the training"
    shutil.move("data", "moved")
    caplog.clear()
    gone = compare(["runs/small"], data="./moved")
    (line,) = warnings(caplog)
    assert line.startswith("./moved, test split: whether dialogues stand in the training data is not known for small (")
    assert gone.systems == in_leaky.systems
    assert any(label == "Seen in training" and "not known for small" in text for label, text in facts(gone))


def test_nothing_left_to_score_is_an_error_before_anything_is_trained(
    byte_base: Path, dialogues: Path, in_tmp: Path
) -> None:
    small = write_recipe(byte_base, dialogues, "small")
    with pytest.raises(UsageError, match=r"every dialogue of .* train split, stands in the training data") as caught:
        compare([small], split="train", leave_out_leaked=True)
    assert "--split" in caught.value.hint
    assert not Path("runs").exists()


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


@pytest.mark.usefixtures("forked_apart")
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


def test_a_process_that_fails_or_dies_is_reported() -> None:
    with pytest.raises(AdapterError, match="this is no adapter") as refused:
        run_apart("the job", refuse, "this")
    assert refused.value.hint == "name another"
    with pytest.raises(PeftsumError, match="the job: its process was killed by signal 9") as caught:
        run_apart("the job", kill_oneself)
    assert "memory" in caught.value.hint
    with pytest.raises(PeftsumError, match="exit code 3"):
        run_apart("the job", sys.exit, 3)
    with pytest.raises(KeyboardInterrupt):
        run_apart("the job", sys.exit, 130)
