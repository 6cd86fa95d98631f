"""Sweeps: what a file may say, workers that share a storage, trials that outlive a worker, an order with its doubt."""

from __future__ import annotations

import csv
import json
import logging
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import run
from conftest import dialogue_rows, write_jsonl
from forking import Forker
from trainings import LORA, make_recipe

from peftsum import sweep
from peftsum.artifacts import METRICS_FILE
from peftsum.checkpoints import list_checkpoints
from peftsum.exceptions import RecipeError, StorageError, TrainingError, UsageError
from peftsum.ledger.order import training_order
from peftsum.metrics import aggregate, example_statistics
from peftsum.recipe_file import load_recipe
from peftsum.report.sweep import order_sentences, standings
from peftsum.sweep import SweepResult, Trial
from peftsum.sweep_file import Sweep
from peftsum.systems import Comparison, System

optuna = pytest.importorskip("optuna", reason="the extra `sweeps` is not installed")

ROOT = Path(__file__).parent.parent
RATES = {"a": 1e-3, "b": 5e-4, "c": 2e-3}


@pytest.fixture
def place(byte_base: Path, dialogues: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two recipes, in which the test works."""
    monkeypatch.chdir(tmp_path)
    for name, method in (("lora", LORA), ("full", {"kind": "full"})):
        recipe = make_recipe(byte_base, dialogues, name=name, method=method, train={"max_steps": 2, "eval_every": 1})
        Path(f"{name}.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json")), encoding="utf-8")
    return tmp_path


def write(**changes: Any) -> Path:
    """Write a sweep of three rates; None takes a key out."""
    values: dict[str, Any] = {
        "name": "three",
        "recipe": "lora.yaml",
        "arrangements": {name: {"set": {"train.learning_rate": rate}} for name, rate in RATES.items()},
        **changes,
    }
    path = Path("sweep.yaml")
    path.write_text(yaml.safe_dump({k: v for k, v in values.items() if v is not None}), encoding="utf-8")
    return path


def labels(result: SweepResult) -> set[str]:
    return {trial.label for trial in result.trials}


def test_every_arrangement_is_trained_and_the_best_by_the_judge_comes_first(
    place: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    own = {"recipe": "full.yaml", "set": {"train.learning_rate": 1e-2}}
    arrangements = {name: {"set": {"train.learning_rate": rate}} for name, rate in RATES.items()} | {"full": own}
    file = write(arrangements=arrangements, set={"train.weight_decay": 0.01})
    made = run(capsys, "sweep", file, "--json", "--out", "out")
    assert made.code == 0, made.err
    document = json.loads(made.out)
    trials = document["trials"]
    assert {trial["label"] for trial in trials} == {*RATES, "full"}
    values = [trial["value"] for trial in trials]
    assert values == sorted(values)
    for trial in trials:
        assert trial["state"] == "complete"
        assert trial["value"] == trial["validation"]["val_loss"]
        assert trial["train_loss"] > 0
        assert trial["parameters"]["train.weight_decay"] == 0.01
    methods = {system["system"]: system["method"] for system in document["comparison"]["systems"]}
    assert methods == {**dict.fromkeys(RATES, "lora"), "full": "full"}
    # trials of one process on one machine are uncertain by the same wattage, if by any
    pairs = training_order(Comparison.model_validate(document["comparison"]))
    assert pairs
    assert {pair.basis for pair in pairs} <= {"one model", "counters"}
    with Path("out/sweep.csv").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    assert [(row["trial"], float(row["value"])) for row in rows] == [(t["label"], t["value"]) for t in trials]
    rates = {row["trial"]: float(row["train.learning_rate"]) for row in rows}
    assert rates == {**RATES, "full": 1e-2}
    assert "How sure the order is" in Path("out/sweep.md").read_text(encoding="utf-8")
    assert Path("out/report/index.html").is_file()

    caplog.clear()  # what is done is not done again, and another sweep of that name is refused
    again = sweep(file, "out")
    assert not [record for record in caplog.records if record.getMessage().startswith("[")]
    assert [t.model_dump(mode="json") for t in again.trials] == trials
    run(capsys, "sweep", file, "--out", "out", "--set", "train.max_steps=1").assert_failed(2, "another sweep", "--out")


def test_two_workers_on_one_storage_share_the_trials(
    place: Path, forks: Forker, caplog: pytest.LogCaptureFixture
) -> None:
    many = {f"r{i}": {"set": {"train.learning_rate": 1e-4 * (i + 1)}} for i in range(4)}
    file = write(arrangements=many)
    other = forks.start(place, ["sweep", str(file), "--out", "out"])
    deadline = time.monotonic() + 120
    while not list(Path("out").glob("trials/*/run.json")):  # it is at its first trial
        assert time.monotonic() < deadline
        assert other.runs
        time.sleep(0.02)
    with caplog.at_level(logging.INFO, logger="peftsum"):
        result = sweep(file, "out")
    code, told = other.wait(), Path("errors-0").read_text(encoding="utf-8")
    assert code == 0, told
    ours = {m for r in caplog.records if (m := r.getMessage()).startswith("[")}
    mine = {line.split()[1] for line in ours}
    theirs = set(re.findall(r"^\[\d+/4\] (\S+)$", told, re.MULTILINE))
    assert mine
    assert theirs
    assert not mine & theirs
    assert mine | theirs == labels(result) == set(many)
    assert all(trial.state == "complete" and trial.attempts == 1 for trial in result.trials)


def test_the_trial_of_a_killed_worker_is_taken_up_where_it_was(place: Path, forks: Forker) -> None:
    file = write(set={"train.max_steps": 12, "train.checkpoint_every": 1, "train.eval_every": 12})
    where = ["sweep", str(file), "--out", "out", "--stale-after", "3"]

    def has_checkpoint(_: float) -> bool:
        return any(list_checkpoints(folder) for folder in Path("out").glob("trials/a-*"))

    assert forks.run(place, where, kill_when=has_checkpoint) == (-9,), Path("errors-0").read_text(encoding="utf-8")
    (folder,) = Path("out/trials").iterdir()
    study = optuna.load_study(study_name="three", storage="sqlite:///out/sweep.db")
    assert [t.state.name for t in study.trials] == ["RUNNING", "WAITING", "WAITING"]
    result = sweep(file, "out", stale_after_s=3)
    attempts = {trial.label: trial.attempts for trial in result.trials}
    assert attempts == {"a": 2, "b": 1, "c": 1}
    assert all(trial.state == "complete" for trial in result.trials)
    steps = [json.loads(line)["step"] for line in (folder / METRICS_FILE).read_text(encoding="utf-8").splitlines()]
    assert steps == sorted(steps)
    run_record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    # it went on from a checkpoint: what the killed session cost is not known, and is not called nothing
    assert "killed" in run_record["train"]["wall_s"]["reason"]


@pytest.mark.slow  # that the memory goes at all is held by test_engine.py
def test_the_peak_memory_of_a_trial_is_its_own(place: Path, forks: Forker) -> None:
    """In processes of their own, where nothing else has left memory behind: large then small, and small alone."""
    rows = [{**row, "dialogue": "\n".join([row["dialogue"]] * 6)} for row in dialogue_rows(60)]
    write_jsonl(Path("long/train.jsonl"), rows)
    write_jsonl(Path("long/validation.jsonl"), rows[:2])
    recipe = make_recipe("builtin:tiny", "long", name="tiny", method={"kind": "full"}, train={"max_steps": 1})
    Path("tiny.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json")), encoding="utf-8")
    both = {"large": {"set": {"train.batch_tokens": 4096}}, "small": {"set": {"train.batch_tokens": 256}}}
    peaks = {}
    for name, arrangements in (("after", both), ("alone", {"small": both["small"]})):
        file = write(recipe="tiny.yaml", name=name, arrangements=arrangements, set={"train.eval_examples": 1})
        assert forks.run(place, ["sweep", str(file), "--limit", "1", "--json"]) == (0,), Path("errors-0").read_text()
        systems = json.loads(Path("output-0").read_text(encoding="utf-8"))["comparison"]["systems"]
        for system in systems:
            for phase in ("train", "evaluate"):
                peaks[name, system["system"], phase] = system[phase]["peak_memory_bytes"]["value"]
    assert peaks["after", "large", "train"] > 1.2 * peaks["alone", "small", "train"]
    for phase in ("train", "evaluate"):
        assert peaks["after", "small", phase] == pytest.approx(peaks["alone", "small", phase], rel=0.07)


def test_an_interrupted_trial_goes_back_to_the_queue(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write()
    with monkeypatch.context() as patch:

        def interrupt(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        patch.setattr("peftsum.sweep_trial.evaluate", interrupt)
        with pytest.raises(KeyboardInterrupt):
            sweep(file, "out")
    result = sweep(file, "out")
    assert {trial.label: trial.attempts for trial in result.trials} == {"a": 2, "b": 1, "c": 1}
    assert all(trial.state == "complete" for trial in result.trials)


def test_a_trial_that_fails_is_told_of_and_stops_no_other(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from peftsum.fitting import fit

    def diverge(model: Any, base: Any, prepared: Any, *rest: Any) -> Any:
        if prepared.recipe.train.learning_rate == RATES["b"]:
            raise TrainingError("the loss is not finite", hint="lower the rate")
        return fit(model, base, prepared, *rest)

    monkeypatch.setattr(sys.modules["peftsum.train"], "fit", diverge)  # `peftsum.train` itself is the function
    result = sweep(write(), "out")
    assert {trial.label: trial.state for trial in result.trials} == {"a": "complete", "b": "failed", "c": "complete"}
    failed = result.trials[-1]
    assert (failed.label, failed.failure, failed.value) == ("b", "the loss is not finite", None)


def test_seeds_multiply_the_arrangements_and_their_spread_is_told(place: Path) -> None:
    result = sweep(write(seeds=[1, 2], arrangements={"a": {}, "b": {"set": {"train.learning_rate": 1e-2}}}), "out")
    assert labels(result) == {"a-seed1", "a-seed2", "b-seed1", "b-seed2"}
    assert {s.name: s.seeds for s in standings(result)} == {"a": 2, "b": 2}
    assert any(sentence.startswith("Over seeds loss") for sentence in order_sentences(result))


def test_ranges_are_searched_for_as_many_trials_as_asked_and_a_pruner_may_end_some(place: Path) -> None:
    ranges = {"train.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "method.rank": {"low": 1, "high": 4}}
    ranges["train.schedule"] = ["linear", "constant"]
    file = write(arrangements=None, ranges=ranges, trials=3, judge="rougeL")
    result = sweep(file, "out")
    assert len(result.trials) == 3
    assert not result.lower_is_better
    for trial in result.trials:
        assert 1e-4 <= float(str(trial.parameters["train.learning_rate"])) <= 1e-2
        assert trial.parameters["method.rank"] in range(1, 5)
        assert trial.parameters["train.schedule"] in ("linear", "constant")
    values = [trial.value for trial in result.trials]
    assert values == sorted(values, key=lambda v: -(v or 0))
    assert len(sweep(file, "out").trials) == 3


def test_a_pruned_training_ends_and_is_no_failure(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Never(optuna.pruners.BasePruner):  # type: ignore[misc,name-defined]
        def prune(self, study: Any, trial: Any) -> bool:
            """Prune all but the first trial, at their first validation."""
            return trial.number > 0

    monkeypatch.setattr("peftsum.sweep_study._pruner", lambda _: Never())
    result = sweep(write(), "out")
    assert {trial.label: trial.state for trial in result.trials} == {"a": "complete", "b": "pruned", "c": "pruned"}
    assert all(trial.failure is None for trial in result.trials)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"arrangements": None}, ["either `arrangements` or `ranges`"]),
        ({"ranges": {"train.epochs": [1, 2]}, "trials": 2}, ["either `arrangements` or `ranges`"]),
        ({"arrangements": None, "ranges": {"train.epochs": [1, 2]}}, ["`trials` goes with `ranges`"]),
        ({"trials": 3}, ["`trials` goes with `ranges`"]),
        ({"judge": "los"}, ["did you mean loss?"]),
        ({"name": "a/b"}, ["name"]),
        ({"recipe": "lost.yaml"}, ["no recipe at lost.yaml"]),
        ({"set": {"train.learning_rat": 1.0}}, ["learning_rat", "learning_rate"]),
        ({"arrangements": {"a": {"set": {"train.epochs": -1}}}}, ["epochs"]),
        ({"set": {"train.eval_examples": 0}}, ["validates on no dialogue"]),
        ({"seeds": [1], "arrangements": None, "ranges": {"train.epochs": [1]}, "trials": 1}, ["seeds"]),
        ({"arrangements": None, "ranges": {"train.epochs": {"low": 2, "high": 1}}, "trials": 1}, ["low"]),
        ({"colour": "red"}, ["colour"]),
    ],
)
def test_a_file_that_cannot_work_is_refused_before_anything_is_trained(
    changes: dict[str, Any], words: list[str], place: Path
) -> None:
    with pytest.raises(RecipeError) as raised:
        sweep(write(**changes), "out")
    assert all(word in raised.value.message for word in words), raised.value.message
    assert not Path("out").exists()


def test_a_storage_that_cannot_be_used_is_named_without_its_password(place: Path) -> None:
    for url in ("postgresql://me:secret@localhost:1/x", "nonsense", "sqlite:////proc/nowhere/x.db"):
        with pytest.raises(StorageError) as raised:
            sweep(write(), "out", storage=url)
        assert url.split(":")[0] in raised.value.message
        assert "secret" not in raised.value.message


def test_without_optuna_the_extra_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UsageError, match="needs Optuna") as raised:
        sweep(write(), "out")
    assert "peftsum[sweeps]" in raised.value.hint


def made(**scores: list[float]) -> SweepResult:
    """Return a result of trials with these scores of each dialogue, all with the same loss."""
    n = len(next(iter(scores.values())))
    plain = aggregate(example_statistics(["a b c"] * n, [["a b c"]] * n, "first"), references="first")
    systems = [
        System(
            system=name,
            method="lora",
            quantize="none",
            base="b",
            scores=plain.model_copy(update={"rougeL": plain.rougeL.model_copy(update={"f": sum(row) / n})}),
            statistics={"rougeL_f": row},
        )
        for name, row in scores.items()
    ]
    trials = [
        Trial(number=i, label=name, arrangement=name, parameters={}, state="complete", value=1.0)
        for i, name in enumerate(scores)
    ]
    comparison = Comparison(title="t", data="d", split="validation", n=n, created="now", systems=systems)
    return SweepResult(name="s", folder=".", judge="loss", lower_is_better=True, trials=trials, comparison=comparison)


def test_how_sure_the_order_is_follows_from_the_dialogues() -> None:
    wave = [0.2 + 0.01 * (i % 7) for i in range(60)]
    noise = [0.03 * (-1) ** i for i in range(60)]
    close = [w + e - 0.0005 for w, e in zip(wave, noise, strict=True)]
    result = made(clear=[w - 0.1 for w in wave], first=wave, near=close)
    leader, near, clear = standings(result)
    assert (leader.name, near.name, clear.name) == ("first", "near", "clear")
    assert clear.sure
    assert not near.sure
    assert clear.first_share == 0
    assert 0.5 < leader.first_share < 0.95
    assert leader.first_share + near.first_share == pytest.approx(1)
    assert clear.behind == pytest.approx(0.1)
    told = " ".join(order_sentences(result))
    assert "Shown to be behind it (p at most 0.05, Holm): clear." in told
    assert "Not shown to be behind it: near" in told
    assert "One seed each" in told


def test_the_shipped_arrangements_are_those_of_the_study() -> None:
    plan = Sweep(ROOT / "recipes/sweeps/arrangements.yaml")
    recipes = dict(zip(plan.labels, plan.recipes, strict=True))
    wanted = {"1": (1e-3, 2048, 0.01), "2": (5e-4, 4096, 0.01), "3": (2e-3, 2048, 0.001)}
    for number, (rate, tokens, decay) in wanted.items():
        full, lora = recipes[f"full-{number}"].train, recipes[f"lora-{number}"].train
        assert (full.learning_rate, full.batch_tokens, full.weight_decay, full.epochs) == (rate, tokens, decay, 1)
        assert lora.learning_rate == pytest.approx(10 * rate)
        assert (lora.batch_tokens, lora.weight_decay, lora.epochs) == (tokens, decay, 1)
        assert recipes[f"lora-{number}"].method == load_recipe(ROOT / "recipes/tiny/lora.yaml").method
    assert len(recipes) == 6
    assert {recipe.name for recipe in plan.recipes} == {"arrangements"}
