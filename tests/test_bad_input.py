"""Bad input, row by row: what is wrong, what to do, the promised exit code, and nothing written before is lost."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from commands import run, write_recipe
from conftest import dialogue_rows, write_jsonl

from peftsum import load_recipe, train

GOOD_ROW = '{"id": "a", "dialogue": "Ann: Hi.", "summary": "Ann greets."}'


@dataclass(frozen=True)
class Row:
    """A bad input: files to make, arguments, and what the answer must hold."""

    arguments: str
    words: tuple[str, ...]
    code: int = 2
    errors: int = 1
    files: dict[str, str | bytes] = field(default_factory=dict)
    change: Callable[[], None] | None = None
    """Damages something in the copy of the world that the row runs in."""
    moved: bool = False
    """True where the earlier run may be set aside: it was of a base that is another one now."""


def recipe(*settings: str) -> str:
    return "name: bad\nmethod: {kind: lora, rank: 2}\n" + "\n".join(settings) + "\n"


def data_recipe(source: str) -> str:
    return recipe("model: {base: base}", f"data: {{source: {source}}}", "train: {max_steps: 1}")


def shorten(path: str) -> Callable[[], None]:
    """Cut the last bytes off a file, as a copy that was broken off does."""
    return lambda: Path(path).write_bytes(Path(path).read_bytes()[:-50])


def remove(path: str) -> Callable[[], None]:
    return lambda: Path(path).unlink()


def write(path: str, text: str) -> Callable[[], None]:
    return lambda: (Path(path).write_text(text, encoding="utf-8"), None)[1]


TRAIN = "train r.yaml"
EVALUATE = "evaluate adapters/small --data data"
SUMMARIZE = "summarize dialogue.txt --adapter adapters/small"
WEIGHTS = "adapters/small/adapter_model.safetensors"
CONFIG = "adapters/small/adapter_config.json"

ROWS = {
    # usage
    "no arguments": Row("", ("no command", "peftsum --help")),
    "an unknown command": Row("trian", ("trian", "peftsum --help")),
    "an unknown option": Row("train r.yaml --epochs 2", ("--epochs", "peftsum train --help")),
    "a missing argument": Row("train", ("recipe", "peftsum train --help")),
    "a missing option": Row("score p.jsonl", ("--data", "peftsum score --help")),
    "a wrong choice": Row("score p.jsonl --data data --references best", ("best", "first", "max")),
    "a number out of range": Row("evaluate x --data data --limit 0", ("--limit", "0")),
    "--base where it means nothing": Row("evaluate base --data data --base base", ("no adapter", "--base")),
    "a field of no form": Row("data data --field dialogue", ("--field dialogue", "dialogue=COLUMN")),
    "several adapters and a missing one": Row(f"{SUMMARIZE} --adapter adapters/none", ("adapters/none",)),
    # recipes
    "a missing recipe": Row("train smal.yaml", ("no recipe at smal.yaml", "did you mean small.yaml?")),
    "a folder for a recipe": Row("train data", ("data is a folder",)),
    "a recipe that is not UTF-8": Row(TRAIN, ("r.yaml is not UTF-8",), files={"r.yaml": b"name: caf\xe9\n"}),
    "a recipe in UTF-16": Row(TRAIN, ("r.yaml is not UTF-8",), files={"r.yaml": "name: a\n".encode("utf-16")}),
    "a recipe that is no YAML": Row(TRAIN, ("r.yaml:1", "not valid YAML"), files={"r.yaml": "name: [a"}),
    "an empty recipe": Row(TRAIN, ("name is missing", "method is missing"), errors=2, files={"r.yaml": ""}),
    "an unknown key": Row(
        TRAIN, ("r.yaml:3: unknown key train.epoch", "did you mean epochs?"),
        files={"r.yaml": recipe("train: {epoch: 1}")}
    ),
    "a key twice": Row(TRAIN, ("r.yaml:3: name stands twice",), files={"r.yaml": recipe("name: b")}),
    "a wrong type": Row(
        TRAIN, ("r.yaml:3: train.epochs", "'many'"), files={"r.yaml": recipe("train: {epochs: many}")}
    ),
    "several errors at once": Row(
        TRAIN,
        ("r.yaml:3: train.epochs", "r.yaml:4: unknown key modle; did you mean model?", "r.yaml:5: prompt.kind", "'ra'",
         "correct all 3"),
        errors=3,
        files={"r.yaml": recipe("train: {epochs: many}", "modle: {base: x}", "prompt: {kind: ra}")},
    ),
    "parts that do not fit": Row(
        "train small.yaml --set model.quantize=int8 --set method={kind: full}",
        ("quantized weights cannot be trained", "quantize: none"),
    ),
    "an option without its value": Row("train small.yaml --set", ("--set", "peftsum train --help")),
    "an override of no form": Row("train small.yaml --set epochs", ("--set epochs", "a.b=value")),
    "an unknown tracker": Row("train small.yaml --set train.trackers=[mlfow]", ("mlfow", "known:", "mlflow")),
    "a prompt that leaves no room": Row("train small.yaml --set data.max_source_tokens=16", ("leaves no room",)),
    # data
    "a missing data file": Row(TRAIN, ("no data at gone.jsonl",), files={"r.yaml": data_recipe("gone.jsonl")}),
    "an unknown built-in": Row("data builtin:dialogs", ("builtin:dialogs", "builtin:dialogues")),
    "a folder with the name of a file": Row("score p.jsonl --data folder.jsonl", ("has no split test",),
                                            files={"folder.jsonl/x": ""}),
    "a file of another kind": Row("data dialogue.txt", ("dialogue.txt: no data file", ".jsonl")),
    "data that is not UTF-8": Row(
        "data bad.jsonl", ("bad.jsonl:2: not UTF-8", "iconv"),
        files={"bad.jsonl": f"{GOOD_ROW}\n".encode() + b'{"x\xe9'}
    ),
    "an empty data file": Row("data bad.csv", ("bad.csv is empty",), files={"bad.csv": ""}),
    "a broken JSON line": Row(
        "data bad.jsonl", ("bad.jsonl:3: not JSON", "skip-bad-rows"), files={"bad.jsonl": f'{GOOD_ROW}\n\n{{"id": '}
    ),
    "a row without a summary": Row(
        "data bad.jsonl", ("bad.jsonl:2: no 'summary'",), files={"bad.jsonl": f'{GOOD_ROW}\n{{"dialogue": "A: x"}}'}
    ),
    "an empty dialogue": Row(
        TRAIN,
        ("bad.jsonl:2: an empty dialogue", "data.on_bad_row=skip"),
        files={"r.yaml": data_recipe("bad.jsonl"), "bad.jsonl": f'{GOOD_ROW}\n{GOOD_ROW.replace("Ann: Hi.", "")}'},
    ),
    "a column that is not there": Row(
        "score p.jsonl --data bad.csv", ("no column 'dialogue'", "--field dialogue=dialog"),
        files={"bad.csv": "id,dialog,summary\n1,A: x,s\n"},
    ),
    "a missing split": Row(f"{EVALUATE} --split dev2", ("has no split dev2", "train, validation, test")),
    "too few rows to validate": Row(
        TRAIN, ("no validation split",), files={"r.yaml": data_recipe("few.jsonl"), "few.jsonl": GOOD_ROW}
    ),
    "a parquet file cut short": Row("data bad.parquet", ("bad.parquet", "cut short"), files={"bad.parquet": b"PAR1"}),
    "data on a Hub out of reach": Row(
        "data owner/dialogues", ("cannot reach the Hub", "no file or folder", "local file"), code=1
    ),
    # bases
    "an unknown built-in base": Row("train small.yaml --set model.base=builtin:tinny", ("did you mean builtin:tiny?",)),
    "a base that is not there": Row("train small.yaml --set model.base=./gone", ("no model at ./gone",)),
    "a model folder that is none": Row("evaluate data --data data", ("data is no model folder", "config.json")),
    "a base cut short": Row("train small.yaml", ("damaged",), change=shorten("base/model.safetensors"), moved=True),
    "a base with a broken config": Row("train small.yaml", ("base",), change=write("base/config.json", "{")),
    "a base without weights": Row(
        "train small.yaml", ("base",), change=remove("base/model.safetensors"), moved=True
    ),
    "a base on a Hub out of reach": Row(
        "train small.yaml --set model.base=google/flan-t5-base", ("cannot reach the Hub", "builtin:tiny"), code=1
    ),
    "a target on a Hub out of reach": Row("evaluate owner/model --data data", ("cannot reach the Hub",), code=1),
    # adapters
    "an adapter that does not exist": Row(
        "summarize dialogue.txt --adapter adapters/none", ("no", "adapters/none"),
    ),
    "a folder that is no adapter": Row("summarize dialogue.txt --adapter data", ("data",)),
    "no folder of adapters": Row("adapters none", ("no folder none", "peftsum train")),
    "an adapter without a config": Row(SUMMARIZE, ("adapters/small",), change=remove(CONFIG)),
    "an adapter with a broken config": Row(SUMMARIZE, ("adapter_config.json",), change=write(CONFIG, "{")),
    "an adapter without weights": Row(SUMMARIZE, ("adapter_model.safetensors",), change=remove(WEIGHTS)),
    "an adapter cut short": Row(SUMMARIZE, ("adapter_model.safetensors is damaged", "copy it again"),
                                change=shorten(WEIGHTS)),
    "an adapter cut short, evaluated": Row(EVALUATE, ("is damaged",), change=shorten(WEIGHTS)),
    "an adapter with a damaged record": Row(SUMMARIZE, ("peftsum.json",),
                                            change=write("adapters/small/peftsum.json", "{")),
    "an adapter for another base": Row(
        f"{SUMMARIZE} --base other", ("adapters/small was trained on base, not other", "--base base")
    ),
    "an adapter for another base, evaluated": Row(f"{EVALUATE} --base builtin:tiny", ("not builtin:tiny",)),
    "a merge of what is not there": Row("merge adapters/none --out m", ("no adapter at adapters/none",)),
    "a calibration of what is not there": Row("calibrate adapters/none", ("adapters/none", "peftsum adapters")),
    "a report where a file is": Row("compare r.yaml --out p.jsonl", ("p.jsonl is a file",), code=1,
                                    files={"r.yaml": data_recipe("data")}),
    "a report below a file": Row("compare r.yaml --out p.jsonl/x", ("p.jsonl is a file",), code=1,
                                 files={"r.yaml": data_recipe("data")}),
    "a study where a file is": Row("prompts small.yaml --out p.jsonl", ("p.jsonl is a file",), code=1),
    "predictions where a file is": Row(f"{EVALUATE} --out p.jsonl", ("p.jsonl is a file",), code=1),
    "starters where a file is": Row("init p.jsonl", ("p.jsonl is a file",), code=1),
    "a merge over what is there": Row("merge adapters/small --out data --data data", ("data",)),
    # dialogues and predictions
    "a missing dialogue": Row("summarize gone.txt --adapter adapters/small", ("no file gone.txt",)),
    "an empty dialogue file": Row("summarize empty.txt --adapter adapters/small", ("empty.txt is empty",),
                                  files={"empty.txt": " \n"}),
    "a folder for a dialogue": Row("summarize data --adapter adapters/small", ("cannot read data",)),
    "missing predictions": Row("score gone.jsonl --data data", ("no predictions at gone.jsonl",)),
    "predictions in a folder": Row("score data --data data", ("cannot read data",)),
    "predictions that are not UTF-8": Row("score p.jsonl --data data", ("p.jsonl", "UTF-8"),
                                          files={"p.jsonl": b'{"id": "d200", "prediction": "\xe9"}'}),
    "empty predictions": Row("score p.jsonl --data data", ("p.jsonl has no rows",), files={"p.jsonl": "\n"}),
    "a broken line of predictions": Row(
        "score p.jsonl --data data", ("p.jsonl:2",), files={"p.jsonl": '{"id": "d200", "prediction": "x"}\n{"id": '}
    ),
    "a prediction without a text": Row("score p.jsonl --data data", ("p.jsonl:1: prediction",),
                                       files={"p.jsonl": '{"id": "d200"}'}),
    "an id twice": Row(
        "score p.jsonl --data data", ("'d200' stands twice",),
        files={"p.jsonl": '{"id": "d200", "prediction": "x"}\n{"id": "d200", "prediction": "y"}'},
    ),
    "an unknown id": Row(
        "score p.jsonl --data data", ("1 of 2 ids", "'x9'", "--split"),
        files={"p.jsonl": '{"id": "d200", "prediction": "x"}\n{"id": "x9", "prediction": "y"}'},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, byte_base: Path) -> Path:
    """A folder in which everything is right: bases, data, a recipe, the run and adapter it gave, a dialogue."""
    folder = tmp_path_factory.mktemp("world")
    shutil.copytree(byte_base, folder / "base")
    shutil.copytree(byte_base, folder / "other")
    (folder / "other/config.json").write_text((folder / "base/config.json").read_text("utf-8") + "\n", "utf-8")
    write_jsonl(folder / "data/train.jsonl", dialogue_rows(30))
    write_jsonl(folder / "data/validation.jsonl", dialogue_rows(4, 100))
    write_jsonl(folder / "data/test.jsonl", dialogue_rows(4, 200))
    (folder / "p.jsonl").write_text('{"id": "d200", "prediction": "They meet."}\n', encoding="utf-8")
    (folder / "dialogue.txt").write_text("Ann: Lunch at one?\nBob: Yes.\n", encoding="utf-8")
    before = Path.cwd()
    os.chdir(folder)
    try:
        train(load_recipe(write_recipe(Path("small.yaml"), "base", "data")))
    finally:
        os.chdir(before)
    return folder


def contents(folder: Path) -> dict[str, str]:
    """Return the content of every file, hashed."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def weights(found: dict[str, str]) -> list[str]:
    return [digest for path, digest in found.items() if path.endswith(".safetensors")]


@pytest.mark.parametrize("name", list(ROWS))
def test_bad_input_is_answered_in_two_lines_and_loses_nothing(
    name: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = ROWS[name]
    here = tmp_path / "here"
    shutil.copytree(world, here)
    monkeypatch.chdir(here)
    for file, content in row.files.items():
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_bytes(content.encode() if isinstance(content, str) else content)
    if row.change is not None:
        row.change()
    before = contents(here)
    arguments = row.arguments.replace("={kind: full}", "={kind:\0full}").split()
    start = time.perf_counter()
    outcome = run(capsys, *(argument.replace("\0", " ") for argument in arguments))
    took_s = time.perf_counter() - start
    outcome.assert_failed(row.code, *row.words, errors=row.errors)
    after = contents(here)
    assert after == before or (row.moved and set(weights(after)) == set(weights(before)))
    assert took_s < 5


def test_the_world_of_the_table_is_right_before_anything_is_damaged(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(world, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    for command in (SUMMARIZE, f"{EVALUATE} --limit 1", "adapters", "data data", "train small.yaml --dry-run"):
        assert run(capsys, *command.split()).code == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("small.yaml", "train small.yaml"),
        ("data/test.jsonl", "data data"),
        ("dialogue.txt", SUMMARIZE),
        (WEIGHTS, SUMMARIZE),
    ],
)
def test_a_file_that_may_not_be_read_is_named(
    path: str,
    command: str,
    world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(world, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    Path(path).chmod(0)
    run(capsys, *command.split()).assert_failed(2, path)


def test_an_unfinished_run_is_no_target(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(world, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    path = Path("runs/small/run.json")
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "status": "interrupted"}), encoding="utf-8")
    run(capsys, "evaluate", "runs/small", "--data", "data").assert_failed(2, "not finished", "--resume")


def test_weights_of_another_shape_are_refused_where_no_name_tells(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(world, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    Path("adapters/small/peftsum.json").unlink()
    config = json.loads(Path(CONFIG).read_text("utf-8"))
    Path(CONFIG).write_text(json.dumps({**config, "base_model_name_or_path": None}), encoding="utf-8")
    outcome = run(capsys, *f"{SUMMARIZE} --base builtin:tiny".split())
    outcome.assert_failed(2, "adapters/small", "builtin:tiny", "another base")
