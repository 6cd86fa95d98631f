"""Values planted in dialogues, summaries and ids: with --redact none may stand in anything that a command writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from commands import run
from conftest import write_jsonl

from peftsum.artifacts import read_predictions
from peftsum.targets import resolve_target

# One of each kind, in forms that the rows below vary.
VALUES = {
    "phone": ["(202) 555-0143", "+44 7700 900123"],
    "email": ["zeb.quill@example.org", "quintessa dot vane at gmail dot com"],
    "address": ["47 Thistledown Street, Flat 9"],
    "card": ["4111 1111 1111 1111"],
    "iban": ["DE89 3704 0044 0532 0130 00"],
    "identity": ["219-09-9999"],
    "birth": ["17 March 1961"],
    "name": ["Zebulon", "Quintessa Vane"],
}
PLANTED = [value for values in VALUES.values() for value in values]


def planted_row(index: int, split: str) -> dict[str, str]:
    phone, email = VALUES["phone"][index % 2], VALUES["email"][index % 2]
    turns = [
        f"Zebulon: Call me on {phone}, Quintessa, before {index % 12 + 1}.",
        f"Quintessa Vane: Zebulon, my email is {email}. I live at 47 Thistledown Street, Flat 9.",
        "Zebulon: My card is 4111 1111 1111 1111, the IBAN DE89 3704 0044 0532 0130 00.",
        "Quintessa Vane: My social is 219-09-9999, and I was born on 17 March 1961.",
        *["Zebulon: Good, see you there."] * (index % 4),
    ]
    return {
        "id": f"{split}-{index}-zeb.quill@example.org" if index == 1 else f"{split}-{index}",
        "dialogue": "\n".join(turns),
        "summary": f"Quintessa Vane gives Zebulon {email} and {phone}, and will be at 47 Thistledown Street, Flat 9.",
        "topic": "a call with Zebulon" if index % 2 else "cards",
    }


@pytest.fixture
def planted(in_tmp: Path, byte_base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with planted data, a recipe on it, and every cache inside."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", in_tmp / "caches" / "datasets")
    for split, count in (("train", 16), ("validation", 4), ("test", 6)):
        write_jsonl(in_tmp / "source" / f"{split}.jsonl", [planted_row(i, split) for i in range(count)])
    recipe = {
        "name": "planted",
        "model": {"base": str(byte_base), "precision": "fp32"},
        "data": {"source": "source", "max_source_tokens": 480, "max_target_tokens": 96},
        "method": {"kind": "lora", "rank": 2, "targets": "decoder", "cache_encoder": True},
        "train": {"max_steps": 3, "batch_tokens": 2048, "eval_every": 2, "eval_examples": 2},
        "generation": {"max_new_tokens": 8},
    }
    (in_tmp / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return in_tmp


def written(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder but the source."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "source" not in path.relative_to(folder).parts[:1]
    }


def shown(value: str) -> list[bytes]:
    """Return the ways a value can stand in a file: as it is, in other case, and without its spaces."""
    return [form.encode().lower() for form in (value, json.dumps(value)[1:-1], value.replace(" ", ""))]


def found(contents: dict[str, bytes]) -> set[tuple[str, str]]:
    return {
        (place, value)
        for place, content in contents.items()
        for value in PLANTED
        if any(form in content.lower() for form in shown(value))
    }


COMMANDS = {
    "data": ["data", "source", "--redact", "all,name", "--leaks", "leaks.jsonl", "--json"],
    "train": ["train", "recipe.yaml", "--redact", "all,name"],
    "evaluate": ["evaluate", "adapters/planted", "--data", "source", "--redact", "all,name", "--out", "scored"],
    "score": ["score", "scored/predictions.jsonl", "--data", "source", "--redact", "all,name", "--errors", "e.jsonl"],
    "summarize": ["summarize", "source/call.jsonl", "--adapter", "adapters/planted", "--redact", "all,name", "--json"],
}
REPORTS = {
    "compare": ["compare", "recipe.yaml", "--redact", "all,name", "--out", "report"],
    "prompts": ["prompts", "recipe.yaml", "--redact", "all,name", "--prompt", "few-shot", "--limit", "2"],
}


def run_all(capfd: pytest.CaptureFixture[str], commands: dict[str, list[str]]) -> dict[str, bytes]:
    """Run commands that are to go through, and return what they said."""
    said: dict[str, bytes] = {}
    for name, arguments in commands.items():
        outcome = run(capfd, *arguments)
        assert outcome.code == 0, (name, outcome.err)
        said[f"stdout of {name}"], said[f"stderr of {name}"] = outcome.out.encode(), outcome.err.encode()
    return said


def test_no_planted_value_is_in_anything_that_is_written_or_said(
    planted: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    write_jsonl(planted / "source" / "call.jsonl", [planted_row(1, "test")])
    contents = run_all(capfd, COMMANDS) | written(planted) | {"log": caplog.text.encode()}
    assert sorted(found(contents)) == []
    assert "trained on dialogues without" not in caplog.text
    assert {"runs/planted/run.json", "adapters/planted/README.md", "scored/predictions.jsonl"} < set(contents)

    record = resolve_target("adapters/planted").record
    assert record is not None
    assert record.recipe.data.redact == list(VALUES)
    assert all(record.redacted[kind] > 0 for kind in VALUES)
    ids = [row.id for row in read_predictions(planted / "scored" / "predictions.jsonl")]
    assert ids == ["test-0", "test-1", "test-2", "test-3", "test-4", "test-5"]  # the second held an address of e-mail
    assert run(capfd, "evaluate", "adapters/planted", "--data", "source", "--redact", "phone", "--limit", "1").code == 0
    assert "trained on dialogues without email, address" in caplog.text  # the same adapter, given what it never saw
    assert "--redact phone,email" in caplog.text


def test_without_redaction_the_same_commands_write_them(planted: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The search above finds what is there."""
    contents = run_all(capfd, {"data": ["data", "source", "--json"]}) | written(planted)
    places = found(contents)
    assert {value for place, value in places if place.startswith("caches")} == set(PLANTED)
    assert ("stdout of data", "zeb.quill@example.org") in places  # in the id of a row that is shown as repeated


@pytest.mark.slow  # a minute
def test_no_planted_value_is_in_a_report(planted: Path, capfd: pytest.CaptureFixture[str]) -> None:
    contents = run_all(capfd, REPORTS) | written(planted)
    assert sorted(found(contents)) == []
    assert "[PERSON_1]" in contents["report/index.html"].decode()  # the dialogues are there, without their values


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_other_formats_leave_no_copy_in_the_cache(
    planted: Path, capfd: pytest.CaptureFixture[str], suffix: str
) -> None:
    import pandas

    frame = pandas.DataFrame([planted_row(i, "test") for i in range(3)])
    file = planted / "source" / f"rows{suffix}"
    frame.to_csv(file, index=False) if suffix == ".csv" else frame.to_parquet(file)
    outcome = run(capfd, "data", file, "--redact", "all,name", "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["splits"][0]["redacted"]["iban"] == 3
    assert not found(written(planted) | {"stdout": outcome.out.encode(), "stderr": outcome.err.encode()})


def test_a_mapping_is_written_where_it_is_asked_for_and_for_the_user_alone(
    planted: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (planted / "source" / "call.txt").write_text(planted_row(0, "test")["dialogue"], encoding="utf-8")
    arguments = ["summarize", "source/call.txt", "--base", "builtin:tiny", "--redact", "all,name"]
    assert run(capfd, *arguments, "--mapping", "values.json").code == 0
    assert (planted / "values.json").stat().st_mode & 0o777 == 0o600
    values = json.loads((planted / "values.json").read_text(encoding="utf-8"))["call"]
    assert values["[CARD_1]"] == "4111 1111 1111 1111"
    assert values["[PERSON_2]"] == "Quintessa"
    run(capfd, *arguments[:-2], "--restore").assert_failed(2, "restored", "--redact")
