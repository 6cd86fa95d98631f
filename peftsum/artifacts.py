"""Run folders, adapters and records on disk. Every write is to a temporary name, synced, then renamed."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, ValidationError, field_validator

from peftsum.cost.forecast import Forecast
from peftsum.cost.machine import Machine
from peftsum.cost.readings import Readings
from peftsum.exceptions import DataError, StorageError
from peftsum.metrics.errors import Finding
from peftsum.recipe import Recipe
from peftsum.section import Record
from peftsum.version import __version__

RUN_FILE = "run.json"
METRICS_FILE = "metrics.jsonl"
PREDICTIONS_FILE = "predictions.jsonl"
ERRORS_FILE = "errors.jsonl"
ADAPTER_RECORD = "peftsum.json"
MODEL_CONFIG = "config.json"
FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FULL_DISK_WORDS = ("No space left", "File too large", "quota exceeded", "inline_container", "iostream error")

R = TypeVar("R", bound=Record)


def _with_present_keys(recipe: object) -> object:
    """Give a recipe of an older record the keys of today; its values mean what they did."""
    train = recipe.get("train") if isinstance(recipe, dict) else None
    if isinstance(train, dict) and "best_by" in train:
        train = {"select_by" if key == "best_by" else key: value for key, value in train.items()}
        return {**recipe, "train": train}  # type: ignore[dict-item]
    return recipe


RecordedRecipe = Annotated[Recipe, BeforeValidator(_with_present_keys)]


class Prediction(Record):
    """A row of predictions.jsonl."""

    id: str
    prediction: str
    adapter: str | None = None

    @field_validator("id", mode="before")
    @classmethod
    def _number_as_text(cls, identity: object) -> object:
        return str(identity) if type(identity) is int else identity  # other tools number their rows


class PartRecord(Record):
    """A part of an adapter that was made by adding others."""

    name: str
    weight: float
    weights: str
    """Identity of the part's own weights, see :func:`peftsum.targets.weights_identity`."""


class AdapterRecord(Record):
    """``peftsum.json`` beside the weights: what a reader, or `peftsum summarize`, needs to use them rightly."""

    peftsum_version: str
    recipe: RecordedRecipe
    """Resolved: overrides applied, defaults written out."""
    base_revision: str
    """Content hash of the base the weights were trained on, or its Hub commit."""
    data_fingerprint: str
    """Hash of the training examples."""
    training_dialogues: int | None = None
    """Number of training examples; None in records of an older version."""
    redacted: dict[str, int] = Field(default_factory=dict)
    """Values of the training dialogues that placeholders stand for, by kind."""
    trainable_params: int
    total_params: int
    validation: dict[str, float] = Field(default_factory=dict)
    """Last figures of the kept weights on the validation sample."""
    parts: list[PartRecord] = Field(default_factory=list)
    """Of an adapter that was added up from others, what it was made of; empty for one that was trained."""
    created: str


class RunRecord(Record):
    """``run.json``: one training, from start to finish."""

    peftsum_version: str
    recipe: RecordedRecipe
    fingerprint: str
    """Of the recipe's parts that shape the weights."""
    data_fingerprint: str
    base_revision: str
    training_dialogues: int | None = None
    redacted: dict[str, int] = Field(default_factory=dict)
    """Values of the training dialogues that placeholders stand for, by kind."""
    leans_on: dict[str, str] = Field(default_factory=dict)
    """Content hashes of the teacher and of what the training started from, where it had them."""
    status: Literal["running", "interrupted", "failed", "done"]
    failure: str | None = None
    steps: int = 0
    best_step: int | None = None
    validation: dict[str, float] = Field(default_factory=dict)
    trainable_params: int
    total_params: int
    source_tokens: int = 0
    target_tokens: int = 0
    truncated_sources: int = 0
    truncated_targets: int = 0
    forecast: Forecast | None = None
    """What the training was expected to take."""
    load: Readings | None = None
    """The base, its quantization and the method attached."""
    train: Readings | None = None
    machine: Machine
    processes: int = 1
    """That shared each batch."""
    adapter_dir: str | None = None
    """Where the adapter was saved, as the user named it; None for full tuning, whose model is in the run."""
    created: str
    finished: str | None = None


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn operating-system errors of a write into a :class:`StorageError` with a remedy."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        if error.errno in FULL_DISK:
            raise StorageError(
                f"the disk is full: cannot write {path}",
                hint="free some space and run it again; nothing older was touched",
            ) from error
        reason = _in_the_way(path) or error.strerror or str(error)
        raise StorageError(f"cannot write {path}: {reason}", hint="check the folder and its permissions") from error
    except Exception as error:  # safetensors (Rust) and torch (inline_container.cc) report a full disk in their own way
        if any(words in str(error) for words in FULL_DISK_WORDS):
            raise StorageError(
                f"the disk is full: cannot write {path}",
                hint="free some space and run it again; nothing older was touched",
            ) from error
        raise


def _in_the_way(path: Path) -> str | None:
    """Name the file that stands where a folder above ``path`` should be."""
    file = next((above for above in path.parents if above.exists() and not above.is_dir()), None)
    return f"{file} is a file, and no folder" if file is not None else None


def check_folder(folder: Path) -> None:
    """Hold that a folder can be written to, before the work whose results go there; nothing is made.

    Raises:
        StorageError: a file is in the way, or permission is lacking.
    """
    with storage_errors(folder):
        there = next(above for above in (folder, *folder.parents) if above.exists())
        if not there.is_dir():
            raise NotADirectoryError(f"{there} is a file, and no folder")
        if not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(f"no permission to write in {there}")


def write_bytes(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Write a file so that a reader sees the old content or the new one, never a part.

    Args:
        path: the file.
        data: its content.
        mode: permissions, of which the umask takes its part.

    Raises:
        StorageError: disk full, no permission; the old content is untouched.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            with open(temporary, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically; see :func:`write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def write_private_text(path: Path, text: str) -> None:
    """Write UTF-8 text that the user alone can read (mode 0600), atomically; see :func:`write_bytes`."""
    write_bytes(path, text.encode("utf-8"), 0o600)


def write_record(path: Path, record: Record) -> None:
    """Write a record as JSON, atomically."""
    write_text(path, record.model_dump_json(indent=2) + "\n")


def write_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Make a folder atomically: ``fill`` writes into a temporary sibling, which then takes the name.

    Raises:
        StorageError: disk full, no permission; an older folder of that name is untouched.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(path.parent, path.name)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.mkdir()
        try:
            fill(temporary)
            for file in temporary.rglob("*"):
                if file.is_file():
                    with file.open("rb") as handle:
                        os.fsync(handle.fileno())
            _take_place(temporary, path)
            _sync_folder(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _take_place(temporary: Path, path: Path) -> None:
    """Rename a finished folder to its name; one that had the name comes back if that fails."""
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    if path.exists():
        path.rename(old)
    try:
        temporary.rename(path)
    except OSError:
        if old.exists():
            old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    """Have a new name in a folder outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def delete_folder(path: Path) -> None:
    """Delete a folder under a temporary name, so that no part of it is taken for the whole after a kill."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.rename(temporary)
    except OSError:
        temporary = path
    shutil.rmtree(temporary, ignore_errors=True)


def clear_leftovers(folder: Path, name: str | None = None) -> None:
    """Undo in a folder what writes that were killed half-way left under temporary names.

    What was there before comes back where the write was killed between taking its name away and giving it to the new.

    Args:
        folder: whose own entries are looked at.
        name: of what was written; None takes every name.
    """

    def of_name(kind: str) -> list[Path]:
        return [p for p in folder.glob(f".*.*.{kind}") if name in (None, _name_behind(p))]

    for path in of_name("old"):
        if not (place := folder / _name_behind(path)).exists():
            path.rename(place)
    for path in [*of_name("tmp"), *of_name("old")]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _name_behind(temporary: Path) -> str:
    """Return the name that ``.NAME.PID.tmp`` stands for."""
    return temporary.name[1:].rsplit(".", 2)[0]


def set_aside(path: Path) -> Path | None:
    """Rename a folder to the first free ``NAME.old-1``, ``NAME.old-2``, … and return that name; None without one."""
    if not path.exists():
        return None
    with storage_errors(path):
        number = 1
        while (aside := path.with_name(f"{path.name}.old-{number}")).exists():
            number += 1
        path.rename(aside)
    return aside


def append_metrics(run_dir: Path, row: Mapping[str, Any]) -> None:
    """Append one row to metrics.jsonl."""
    path = run_dir / METRICS_FILE
    with storage_errors(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def trim_metrics(run_dir: Path, last_step: int) -> None:
    """Drop the rows of metrics.jsonl after a step, which a resumed run writes again."""
    path = run_dir / METRICS_FILE
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue  # the line a crash cut short
        if row.get("step", 0) <= last_step:
            kept.append(line)
    write_text(path, "".join(f"{line}\n" for line in kept))


def write_predictions(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write predictions.jsonl, a row an example."""
    write_text(path, "".join(p.model_dump_json() + "\n" for p in predictions))


def write_findings(path: Path, findings: Iterable[tuple[str, Finding]]) -> None:
    """Write errors.jsonl: a row for each error found, with the dialogue's id, its words and the turns they speak of."""
    rows = ({"id": identity, **finding.model_dump(exclude={"flagged"})} for identity, finding in findings)
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_predictions(path: Path) -> list[Prediction]:
    """Read predictions made by anything: rows with ``id`` and ``prediction``.

    Raises:
        DataError: the file is missing or not UTF-8, or a row is not of that form; it is named by line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows tools put a byte-order mark first
    except FileNotFoundError as error:
        raise DataError(f"no predictions at {path}", hint="`peftsum evaluate` writes them") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8", hint="convert it with iconv") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", hint="name a predictions.jsonl file") from error
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            rows.append(Prediction.model_validate_json(line))
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(str(part) for part in problem["loc"])
            raise DataError(
                f"{path}:{number}: {where + ': ' if where else ''}{problem['msg']}",
                hint='a row is {"id": "…", "prediction": "…"}',
            ) from error
    if not rows:
        raise DataError(f"{path} has no rows", hint='a row is {"id": "…", "prediction": "…"}')
    return rows


def read_record(path: Path, kind: type[R]) -> R:
    """Read a record written by peftsum.

    Raises:
        DataError: it is missing or damaged, or another version of peftsum wrote it in a form this one does not know.
    """
    try:
        content = path.read_bytes()
        return kind.model_validate_json(content)
    except FileNotFoundError as error:
        raise DataError(f"no {path.name} in {path.parent}", hint="name a folder that peftsum wrote") from error
    except (ValidationError, UnicodeDecodeError) as error:
        problem = str(error.errors()[0]["msg"]) if isinstance(error, ValidationError) else "not UTF-8"
        if (writer := _writer(content)) not in (None, __version__):
            raise DataError(
                f"{path} was written by peftsum {writer} and cannot be read by {__version__}: {problem}",
                hint=f"install peftsum {writer}, or train again",
            ) from error
        raise DataError(f"{path} is damaged: {problem}", hint="delete the folder and train again") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", hint="check the file's permissions") from error


def _writer(content: bytes) -> str | None:
    """Return the version of peftsum that says it wrote a JSON document, or None."""
    try:
        document = json.loads(content)
    except ValueError:
        return None
    return str(document["peftsum_version"]) if isinstance(document, dict) and "peftsum_version" in document else None


def is_run(path: Path) -> bool:
    """Tell whether a folder is a run."""
    return (path / RUN_FILE).is_file()


def folder_bytes(path: Path, pattern: str = "*.safetensors") -> int:
    """Return the size of the weights in a folder, bytes."""
    return sum(file.stat().st_size for file in path.glob(pattern))
