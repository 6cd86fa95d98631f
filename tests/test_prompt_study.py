"""The prompt study on the byte base: results that stand beside tuning, kept and told."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from commands import run, write_recipe
from conftest import dialogue_rows, write_jsonl

from peftsum import evaluate, load_recipe, study_prompts, train
from peftsum.comparison import COSTS, pareto_front, points, verdict
from peftsum.cost.machine import describe_machine
from peftsum.few_shot import FewShot
from peftsum.prompt_study import PromptStudy
from peftsum.prompts import EXAMPLE_SEPARATOR, Prompt
from peftsum.report.prompts import prompt_verdicts

STRUCTURED = Prompt()
LIMIT = 300  # bytes: holds an example or two


@pytest.fixture(scope="module")
def workplace(byte_base: Path, dialogues: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, and the adapter and run that it gave."""
    folder = tmp_path_factory.mktemp("study")
    recipe = write_recipe(folder / "small.yaml", byte_base, dialogues)
    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(text.replace("data: {", f"data: {{max_source_tokens: {LIMIT}, "), encoding="utf-8")
    train(load_recipe(recipe), folder / "runs/small", folder / "adapters/small")
    return folder


@pytest.fixture(scope="module")
def study(workplace: Path) -> PromptStudy:
    recipe = load_recipe(workplace / "small.yaml")
    return study_prompts(recipe, workplace / "out", vary={"num_beams": [2]}, adapters=[workplace / "runs/small"])


def test_every_arm_is_asked_of_every_target_and_scored_like_an_evaluation(study: PromptStudy, workplace: Path) -> None:
    prompts = ["structured", "raw", "instruct", "few-shot random", "few-shot similar", "structured, 2 beams"]
    assert [arm.system for arm in study.arms] == [*prompts, *(f"small: {name}" for name in prompts)]
    recipe = load_recipe(workplace / "small.yaml")
    alone = evaluate(workplace / "runs/small", recipe.data, prompt=Prompt(kind="raw"), out=workplace / "alone")
    by_name = {arm.system: arm for arm in study.arms}
    assert by_name["small: raw"].scores == alone.scores
    ours = {key: v for key, v in by_name["small: raw"].statistics.items() if key in alone.statistics}
    assert ours == alone.statistics
    assert by_name["structured"].scores.n == 8


def test_what_asking_took_is_told_with_the_machine(study: PromptStudy) -> None:
    """Without it the page would call energies of one process read on different machines."""
    here = describe_machine().label
    assert {system.evaluated_on for system in study.comparison.systems} == {here}


def test_what_the_context_held_is_recorded_and_told(study: PromptStudy) -> None:
    by_name = {system.system: system for system in study.comparison.systems}
    for arm in study.arms:
        statistics = by_name[arm.system].statistics
        assert max(statistics["source_tokens"]) <= LIMIT
        assert (max(arm.shots) > 0) == (arm.arm.few_shot is not None)
        note = by_name[arm.system].note
        assert note is not None
        assert f"{arm.cut} of 8 dialogues do not fit alone" in note
        if arm.arm.few_shot is not None:
            assert f"{sum(arm.shots) / 8:.2f} examples a dialogue" in note
    for name, prompts in study.sent.items():
        assert prompts, name
        assert all(len(p.text.split(EXAMPLE_SEPARATOR)) == len(p.examples) + 1 for p in prompts)


def test_prompts_stand_on_the_front_at_no_cost_of_training(study: PromptStudy) -> None:
    comparison = study.comparison
    for cost in ("train_wall_s", "train_energy_j", "stored_bytes", "trainable_params"):
        costs = {point.system: point.cost for point in points(comparison, cost)}
        assert all((costs[arm.system] == 0) == (arm.target is None) for arm in study.arms), cost
        best = max((p for p in points(comparison, cost) if p.cost == 0), key=lambda p: p.quality)
        assert best in pareto_front(points(comparison, cost))
    assert COSTS["peak_memory_bytes"].of(comparison.systems[0]) is None  # there was no training to have a peak
    assert verdict(comparison)
    told = prompt_verdicts(study)
    assert len(told) == 2
    assert "the untuned" in told[0]
    assert "small" in told[1]


def test_a_finished_arm_is_not_asked_again_and_a_changed_one_is(
    study: PromptStudy, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peftsum.generate import Summarizer

    recipe = load_recipe(workplace / "small.yaml")
    asked: list[str] = []
    real = Summarizer.summarize

    def noted(self: Summarizer, *arguments: Any, title: str = "", **options: Any) -> list[str]:
        asked.append(title.removeprefix("summaries by "))
        return real(self, *arguments, title=title, **options)

    monkeypatch.setattr(Summarizer, "summarize", noted)
    again = study_prompts(recipe, workplace / "out", vary={"num_beams": [2]}, adapters=[workplace / "runs/small"])
    assert asked == []
    assert again.arms == study.arms
    more = study_prompts(
        recipe, workplace / "out", kinds=["raw"], few_shots=[FewShot(shots=1)], vary={"num_beams": [3]}
    )
    assert asked == ["few-shot random 1", "structured, 3 beams"]
    assert all(max(arm.shots) == 1 for arm in more.arms if arm.arm.few_shot)
    # An arm that a crash left without its record, or with a damaged one, is asked again.
    asked.clear()
    folders = {p.name.rsplit("-", 1)[0]: p for p in (workplace / "out" / "arms").iterdir()}
    (folders["raw"] / "arm.json").unlink()
    (folders["instruct"] / "arm.json").write_text("{", encoding="utf-8")
    mended = study_prompts(recipe, workplace / "out", vary={"num_beams": [2]})
    assert asked == ["raw", "instruct"]
    assert [arm.scores for arm in mended.arms] == [arm.scores for arm in study.arms if arm.target is None]


@pytest.mark.usefixtures("forked_apart")
def test_tuned_recipes_stand_beside_the_prompts_as_they_are(
    workplace: Path, study: PromptStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    beside = study_prompts(load_recipe("small.yaml"), "out", few_shots=[], beside=["runs/small"])
    assert [s.system for s in beside.comparison.systems] == ["structured", "raw", "instruct", "small"]
    tuned = beside.comparison.systems[-1]
    assert tuned.train is not None
    assert tuned.train.wall_s.value
    assert tuned.scores == next(arm.scores for arm in study.arms if arm.system == "small: structured")
    assert {"small", "raw"} <= beside.comparison.examples[0].predictions.keys()


def test_a_dialogue_too_long_alone_is_counted_and_warned_of(
    byte_base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = dialogue_rows(6)
    write_jsonl(tmp_path / "data" / "train.jsonl", dialogue_rows(30, 50))
    rows[2] = {**rows[2], "dialogue": "Ann: " + "a very long story " * 30}
    write_jsonl(tmp_path / "data" / "test.jsonl", rows)
    write_recipe(tmp_path / "small.yaml", byte_base, tmp_path / "data")
    recipe = load_recipe(tmp_path / "small.yaml", ["data.max_source_tokens=250"])
    study = study_prompts(recipe, tmp_path / "out", kinds=[])
    assert [arm.cut for arm in study.arms] == [1, 1, 1]
    assert all(arm.shots[2] == 0 < sum(arm.shots) for arm in study.arms[1:])
    warned = [record.getMessage() for record in caplog.records if "alone longer" in record.getMessage()]
    assert warned == [
        f"{name}: 1 of 6 dialogues are alone longer than 250 tokens; their end was cut"
        for name in ("structured", "few-shot random", "few-shot similar")
    ]


def test_the_command_writes_the_report_with_the_prompts_and_prints_one_document(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workplace)
    made = run(capsys, "prompts", "small.yaml", "--limit", 4, "--example", 3, "--example", 5, "--json", "--out", "told")
    assert made.code == 0, made.err
    document = json.loads(made.out)
    names = ["structured", "raw", "instruct", "few-shot 3 5"]
    assert [arm["system"] for arm in document["arms"]] == names
    with Path("told/results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["system"], row["n"], row["train_wall_s"]) for row in rows] == [(name, "4", "0.0") for name in names]
    with Path("told/arms.csv").open(encoding="utf-8") as file:
        arms = list(csv.DictReader(file))
    few = document["arms"][-1]["statistics"]["shots"]
    assert float(arms[-1]["examples_mean"]) == sum(few) / 4
    assert int(arms[-1]["examples_left_out"]) == 8 - sum(few)
    sent = [json.loads(line) for line in Path("told/prompts/few-shot-3-5.jsonl").read_text("utf-8").splitlines()]
    assert [len(row["examples"]) for row in sent] == few
    page = Path("told/prompts.md").read_text(encoding="utf-8")
    assert sent[0]["text"] in page
    assert "few-shot" in Path("told/report.md").read_text(encoding="utf-8")
    assert Path("told/index.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--prompt", "raw", "--shots", "2"], ["few-shot", "--prompt few-shot"]),
        (["--example", "99"], ["no training dialogue 99", "0 to 39"]),
        (["--example", "1", "--example", "1"], ["twice"]),
        (["--vary", "num_beam=2"], ["did you mean num_beams"]),
        (["--vary", "top_p=7"], ["top_p"]),
        (["--adapter", "nowhere"], ["nowhere"]),
        (["--adapter", "adapters/small", "--adapter", "adapters/small"], ["two adapters are called 'small'"]),
        (["--split", "dev"], ["no split dev"]),
        (["--set", "prompt.kind=poem"], ["prompt"]),
    ],
)
def test_what_cannot_be_asked_fails_in_two_lines(
    arguments: list[str],
    words: list[str],
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(workplace)
    run(capsys, "prompts", "small.yaml", *arguments).assert_failed(2, *words)
    assert not Path("runs/small-prompts/arms").exists()
