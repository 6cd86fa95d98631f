"""The commands: help and an example for each, JSON alone on stdout, a fast start, and examples that parse."""

from __future__ import annotations

import importlib
import json
import logging
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner
from commands import Outcome, run, write_recipe
from conftest import unseen_rows, write_jsonl
from rouge_score import rouge_scorer

from peftsum import load_recipe, train
from peftsum.cli import cli
from peftsum.data import Example, data_section, load_split

ROOT = Path(__file__).parent.parent
COMMANDS = sorted(cli.commands)


def help_of(name: str) -> str:
    return CliRunner().invoke(cli, [name, "--help"]).output


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_help_and_an_example_of_itself(name: str) -> None:
    shown = help_of(name)
    assert (cli.commands[name].help or "").strip()
    assert re.search(rf"^\s*Example:\s+peftsum {name}\b", shown, re.MULTILINE), shown


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_prints_json_on_request_and_every_option_has_its_help(name: str) -> None:
    options = [p for p in cli.commands[name].params if isinstance(p, click.Option)]
    assert "--json" in {o for option in options for o in option.opts}
    assert all(option.help for option in options)


def test_the_group_lists_every_command_with_an_example_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, "--help")
    assert shown.code == 0
    assert all(f"  {name} " in shown.out for name in COMMANDS)
    assert "Example:" in shown.out
    assert "130 interrupted" in shown.out


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, byte_base: Path, dialogues: Path) -> Path:
    """A folder with a recipe, the adapter it gave, a dialogue, and predictions for the test split."""
    folder = tmp_path_factory.mktemp("workplace")
    recipe = write_recipe(folder / "small.yaml", byte_base, dialogues)
    train(load_recipe(recipe), folder / "runs/small", folder / "adapters/small")
    (folder / "dialogue.txt").write_text("Ann: Lunch at one?\nBob: Yes.\n", encoding="utf-8")
    write_jsonl(folder / "predictions.jsonl", predictions_for(dialogues))
    sweep = "name: two\nrecipe: small.yaml\narrangements: {a: {}, b: {set: {train.learning_rate: 1.0e-2}}}\n"
    (folder / "sweep.yaml").write_text(sweep, encoding="utf-8")
    write_jsonl(folder / "unseen.jsonl", unseen_rows(24))
    shutil.copytree(folder / "adapters/small", folder / "adapters-calibrated/small")
    return folder


def predictions_for(dialogues: Path) -> list[dict[str, str]]:
    """Return predictions of unequal quality, of one line and of two, in another order than the data."""
    examples = load_split(data_section(str(dialogues)), "test").examples
    texts = ["Ann and Bob meet.", "They plan lunch.\nAt Joe's, perhaps.", "", "Nothing of this."]
    return [{"id": e.id, "prediction": texts[i % 4]} for i, e in reversed(list(enumerate(examples)))]


@pytest.fixture
def at_work(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(workplace)
    return workplace


def document(outcome: Outcome) -> Any:
    """Return what is on stdout, which is one JSON document and no more."""
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


JSON_COMMANDS = {
    "init": "init written --json",
    "data": "data {data} --json",
    "adapters": "adapters --json",
    "doctor": "doctor --json",
    "train": "train small.yaml --run-dir runs/json --adapter-dir adapters-json/small --json",
    "train --dry-run": "train small.yaml --dry-run --json",
    "plan": "plan small.yaml --gpu t4 --json",
    "evaluate": "evaluate adapters/small --data {data} --limit 2 --json",
    "score": "score predictions.jsonl --data {data} --json",
    "summarize": "summarize dialogue.txt --adapter adapters/small --json",
    "calibrate": "calibrate adapters-calibrated/small --data unseen.jsonl --json",
    "merge": "merge adapters/small --out merged --data {data} --sample 2 --json",
    "compare": "compare runs/small --data {data} --limit 2 --out report --json",
    "prompts": "prompts small.yaml --prompt instruct --limit 2 --out prompts --json",
    "sweep": "sweep sweep.yaml --limit 2 --out sweep --json",
}


def test_every_command_has_a_row_of_json() -> None:
    endless = {"serve"}  # tests/test_serve_process.py starts it
    assert {name.split()[0] for name in JSON_COMMANDS} == set(COMMANDS) - endless


@pytest.mark.parametrize("name", list(JSON_COMMANDS))
def test_json_puts_one_document_on_stdout(
    name: str,
    at_work: Path,
    dialogues: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def here(title: str, function: Callable[..., object], *arguments: object) -> object:
        return function(*arguments)

    # test_compare starts the processes; here only what is printed counts
    monkeypatch.setattr(importlib.import_module("peftsum.compare"), "run_apart", here)
    arguments = JSON_COMMANDS[name].format(data=dialogues)
    found = document(run(capsys, *shlex.split(arguments)))
    assert isinstance(found, dict | list)
    assert found


@pytest.mark.parametrize("name", ["data", "adapters", "score", "summarize", "calibrate", "train --dry-run"])
def test_the_same_without_json_is_text_for_people(
    name: str, at_work: Path, dialogues: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = JSON_COMMANDS[name].format(data=dialogues).removesuffix(" --json")
    shown = run(capsys, *shlex.split(arguments))
    assert shown.code == 0
    assert shown.out.strip()
    assert not shown.out.lstrip().startswith(("{", "["))


def test_data_takes_the_recipe_s_limits_and_writes_what_leaks(
    at_work: Path, dialogues: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["data", dialogues, "--recipe", "small.yaml", "--leaks", "leaks.jsonl"]
    shown = run(capsys, *asked)
    assert shown.code == 0, shown.err
    found = document(run(capsys, *asked, "--json"))
    limit = load_recipe("small.yaml").data.max_source_tokens
    assert [split["source_tokens"]["limit"] for split in found["splits"]] == [limit] * 3
    assert shown.out.count(f"cut at {limit}") == 3
    pairs = [pair for part in found["leakage"] for pair in part["pairs"]]
    pairs += [pair for part in found["splits"] for pair in part["repeats"]]
    rows = [json.loads(line) for line in Path("leaks.jsonl").read_text(encoding="utf-8").splitlines()]
    assert pairs
    assert sorted((row["id"], row["other_id"]) for row in rows) == sorted((p["id"], p["other_id"]) for p in pairs)
    for part in found["leakage"]:
        assert f"{part['split']} in {part['other']}: {part['exact'] + part['near']} of {part['dialogues']}" in shown.out


def rouge(predictions: dict[str, str], examples: list[Example], mode: str) -> dict[str, float]:
    """Return what rouge_score itself gives: each reference apart, then the mode, then the mean over dialogues."""
    kinds = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    scorer = rouge_scorer.RougeScorer(kinds, use_stemmer=True)
    chosen = {"first": lambda v: v[0], "mean": lambda v: sum(v) / len(v), "max": max}[mode]
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    for e in examples:
        each = [scorer.score(reference, predictions[e.id]) for reference in e.references]
        for kind in kinds:
            found[kind].append(chosen([s[kind].fmeasure for s in each]))
    return {kind: float(np.mean(values)) for kind, values in found.items()}


@pytest.mark.parametrize("mode", ["first", "mean", "max"])
def test_score_equals_rouge_score_to_the_last_digit(
    mode: str, at_work: Path, dialogues: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["score", "predictions.jsonl", "--data", dialogues, "--references", mode, "--json"]
    found = document(run(capsys, *arguments))
    examples = load_split(data_section(str(dialogues)), "test").examples
    predictions = {row["id"]: row["prediction"] for row in predictions_for(dialogues)}
    wanted = rouge(predictions, examples, mode)  # means of the same values, in one order of adding or another
    assert {kind: found[kind]["f"] for kind in wanted} == pytest.approx(wanted, rel=4e-16, abs=0)
    assert (found["references"], found["n"]) == (mode, len(examples))
    assert all(found[kind]["low"] <= found[kind]["f"] <= found[kind]["high"] for kind in ("rouge1", "rougeL"))
    assert mode in found["signature"]
    assert set(found["error_rates"]) >= {"heuristic_length", "heuristic_hallucination"}


def test_the_mean_is_what_several_references_count_by_and_the_modes_differ(
    at_work: Path, dialogues: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score = ["score", "predictions.jsonl", "--data", dialogues, "--json"]
    unsaid, mean = document(run(capsys, *score)), document(run(capsys, *score, "--references", "mean"))
    assert unsaid == mean
    best, first = (document(run(capsys, *score, "--references", mode)) for mode in ("max", "first"))
    values = [found["rouge1"]["f"] for found in (first, mean, best)]
    assert len(set(values)) == 3
    assert max(values) == values[2]


def test_a_field_chooses_the_column_that_is_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_jsonl(tmp_path / "rows.jsonl", [{"id": "a", "text": "A: x", "summary": "long talk", "topic": "lunch"}])
    predictions = write_jsonl(tmp_path / "p.jsonl", [{"id": "a", "prediction": "lunch"}])
    score = ["score", predictions, "--data", data, "--field", "dialogue=text", "--json"]
    assert document(run(capsys, *score, "--field", "summary=topic"))["rouge1"]["f"] == 1
    assert document(run(capsys, *score))["rouge1"]["f"] == 0


def test_numeric_ids_meet_whichever_side_wrote_them_as_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text('{"id": 1, "dialogue": "A: x", "summary": "lunch"}\n', encoding="utf-8")
    predictions = tmp_path / "p.jsonl"
    for identity in ("1", '"1"'):
        predictions.write_text(f'{{"id": {identity}, "prediction": "lunch"}}\n', encoding="utf-8")
        found = document(run(capsys, "score", predictions, "--data", data, "--json"))
        assert found["rouge1"]["f"] == 1


def test_predictions_of_a_part_of_the_split_are_scored_with_a_warning(
    at_work: Path, dialogues: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    write_jsonl(at_work / "part.jsonl", predictions_for(dialogues)[:3])
    found = document(run(capsys, "score", "part.jsonl", "--data", dialogues, "--json"))
    assert found["n"] == 3
    assert "3 of 8 dialogues have a prediction" in caplog.text


def test_evaluate_writes_predictions_that_score_the_same(
    at_work: Path, dialogues: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluated = document(run(capsys, "evaluate", "adapters/small", "--data", dialogues, "--out", "out", "--json"))
    scored = document(run(capsys, "score", "out/predictions.jsonl", "--data", dialogues, "--json"))
    assert {key: evaluated[key] for key in scored} == scored
    costs = evaluated["evaluate"]
    assert costs["memory_parts"].keys() == {"weights", "adapters"}
    assert costs["energy_parts"]
    assert costs["memory_over_start_bytes"]["value"] is not None
    rows = [json.loads(line) for line in (at_work / "out/predictions.jsonl").read_text("utf-8").splitlines()]
    assert [sorted(row) for row in rows] == [["adapter", "id", "prediction"]] * 8
    assert {row["adapter"] for row in rows} == {"small"}


def test_summaries_are_marked_as_text_and_carry_their_proof_as_json(
    at_work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["summarize", "dialogue.txt", "--adapter", "adapters/small", "--adapter", "adapters-calibrated/small"]
    (row,) = document(run(capsys, *asked, "--json"))
    assert list(row) == ["id", "small", "small-2", "summaries"]
    assert row["id"] == "dialogue"
    assert [told["adapter"] for told in row["summaries"]] == ["small", "small-2"]
    for told in row["summaries"]:
        assert told["summary"] == row[told["adapter"]]
        assert set(told) == {"adapter", "summary", "generated_by", "confidence", "flags", "sources", "read", "redacted"}
        assert told["generated_by"]["ai"] is True
    shown = run(capsys, *asked).out.splitlines()
    assert shown[-2:] == [told["generated_by"]["mark"] for told in row["summaries"]]
    assert len(shown) == 4
    explained = run(capsys, *asked, "--explain").out
    assert explained.count("confidence: ") == 2
    for told in row["summaries"]:
        for source in told["sources"]:
            assert source["sentence"] in explained


def test_a_long_dialogue_is_cut_or_read_in_parts_as_is_asked(
    at_work: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    (at_work / "long.txt").write_text("Ann: Lunch at one?\nBob: Yes.\n" * 30, encoding="utf-8")
    caplog.set_level(logging.INFO)
    asked = ["summarize", "long.txt", "--adapter", "adapters/small", "--json"]
    read = {}
    for strategy in ("truncate", "staged"):
        (row,) = document(run(capsys, *asked, "--strategy", strategy))
        read[strategy] = row["summaries"][0]["read"]
    assert read["truncate"]["read_tokens"] < read["truncate"]["source_tokens"]
    assert read["truncate"]["parts"] == 1
    assert read["staged"]["read_tokens"] == read["staged"]["source_tokens"] == read["truncate"]["source_tokens"]
    assert read["staged"]["parts"] > 1
    assert "tokens (" in caplog.text
    assert "read whole in" in caplog.text
    assert "--strategy" in run(capsys, *asked, "--strategy", "middle").errors[0]


def test_a_dry_run_writes_nothing(at_work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = document(run(capsys, "train", "small.yaml", "--set", "name=dry", "--dry-run", "--json"))
    assert plan["optimizer_steps"] == 2
    assert not (at_work / "runs/dry").exists()
    assert not (at_work / "adapters/dry").exists()


def test_training_again_what_is_up_to_date_trains_nothing(at_work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = at_work / "adapters/small/adapter_model.safetensors"
    before = weights.stat().st_mtime_ns
    outcome = run(capsys, "train", "small.yaml")
    assert outcome.code == 0
    assert weights.stat().st_mtime_ns == before


def test_a_damaged_adapter_makes_the_exit_code_of_the_list_one(
    tmp_path: Path, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = (workplace / "adapters/small/adapter_model.safetensors").read_bytes()
    for name, content in (("good", weights), ("bad", weights[:-9])):
        (tmp_path / name).mkdir()
        for file in ("adapter_config.json", "peftsum.json"):
            (tmp_path / name / file).write_bytes((workplace / "adapters/small" / file).read_bytes())
        (tmp_path / name / "adapter_model.safetensors").write_bytes(content)
    outcome = run(capsys, "adapters", tmp_path)
    assert outcome.code == 1
    bad, good = outcome.out.splitlines()
    assert "is damaged" in bad
    assert good.endswith("ok")
    problems = [listing["problem"] for listing in json.loads(run(capsys, "adapters", tmp_path, "--json").out)]
    assert [problem is None for problem in problems] == [False, True]


def test_debug_shows_the_traceback_wherever_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    from peftsum.exceptions import RecipeError

    for arguments in (["--debug", "train", "none.yaml"], ["train", "none.yaml", "--debug"]):
        with pytest.raises(RecipeError):
            run(capsys, *arguments)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("[enforce fail] can't allocate memory: 9 bytes")])
def test_a_lack_of_memory_is_an_error_with_a_remedy(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("peftsum.recipe_file.load_recipe", fail)
    run(capsys, "train", "any.yaml").assert_failed(1, "memory", "batch_tokens")


def test_a_defect_of_ours_is_no_expected_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr("peftsum.recipe_file.load_recipe", fail)
    with pytest.raises(RuntimeError, match="a defect"):
        run(capsys, "train", "any.yaml")


def code_blocks(path: Path) -> list[str]:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [text for language, text in blocks if language in {"", "bash", "sh", "console"}]


def commands_in(text: str) -> list[str]:
    """Return the peftsum commands of a text, a line each, those behind a pipe or a comment sign too."""
    joined = text.replace("\\\n", " ")
    return re.findall(r"^[#$ ]*(?:[^#\n`]*\| *)?(peftsum [^\n]+)$", joined, re.MULTILINE)


def written_commands() -> list[tuple[str, str]]:
    """Return where a command is shown, and the command: pages, recipes, and the help of each command."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    pages.remove(ROOT / "docs/extending.md")  # its commands need what it adds; tests/test_extending.py runs them
    found = [(p.name, line) for p in pages if p.is_file() for block in code_blocks(p) for line in commands_in(block)]
    for path in sorted((ROOT / "recipes").rglob("*.yaml")):
        found += [(path.relative_to(ROOT).as_posix(), line) for line in commands_in(path.read_text("utf-8"))]
    for name in COMMANDS:
        found += [(f"{name} --help", line) for line in commands_in(cli.commands[name].epilog or "")]
    return found


def test_the_readme_shows_the_main_commands() -> None:
    if not (ROOT / "README.md").is_file():
        pytest.skip("README.md is not written yet")
    shown = {line.split()[1] for where, line in written_commands() if where == "README.md"}
    assert shown >= {"train", "evaluate", "summarize", "compare", "score"}


@pytest.mark.parametrize(("where", "line"), written_commands())
def test_a_command_that_is_shown_anywhere_parses_and_its_recipe_is_there(where: str, line: str) -> None:
    _, name, *arguments = shlex.split(line, comments=True)
    context = cli.commands[name].make_context(name, arguments)
    assert context.params
    for argument in arguments:
        if argument.startswith("recipes/"):
            assert (ROOT / argument).is_file(), f"{where}: no {argument}"
