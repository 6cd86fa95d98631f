"""Reading local data files through ``datasets``; what it cannot read is named by file and line."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftsum.exceptions import DataError

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

FORMATS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}


def load_file(path: Path, *, tolerant: bool = False) -> Dataset | Sequence[Mapping[str, Any]]:
    """Return the rows of a file.

    Args:
        path: a .jsonl, .json, .csv or .parquet file.
        tolerant: leave out lines of a .jsonl file that are not JSON, with a warning, instead of raising.

    Raises:
        DataError: the file is of another kind, not UTF-8, damaged or empty.
    """
    import datasets

    if path.suffix not in FORMATS:
        raise DataError(f"{path}: no data file", hint=f"known endings: {', '.join(FORMATS)}")
    try:
        empty = path.stat().st_size == 0
        with path.open("rb"):
            pass
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", hint="check the file's permissions") from error
    if empty:
        raise DataError(f"{path} is empty", hint="a row needs `dialogue` and `summary`")
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # it logs a traceback before it raises
    options = {"keep_default_na": False} if path.suffix == ".csv" else {}
    try:
        return datasets.load_dataset(FORMATS[path.suffix], data_files=[str(path)], split="train", **options)
    except Exception as error:
        rows = _diagnose(path, tolerant=tolerant)
        if tolerant and rows:
            return rows
        cause = error.__cause__ or error
        raise DataError(
            f"cannot read {path}: {str(cause).splitlines()[0][:200]}", hint="check the file's format"
        ) from error


def _diagnose(path: Path, *, tolerant: bool) -> list[dict[str, Any]]:
    """Read a text file line by line and raise at the first bad one, or return the good rows of a .jsonl file."""
    if path.suffix == ".parquet":
        raise DataError(f"{path} is not a readable parquet file", hint="write it again; it may be cut short")
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}:{line}: not UTF-8", hint=f"convert it: iconv -f latin1 -t utf-8 {path.name}"
        ) from error
    rows: list[dict[str, Any]] = []
    if path.suffix == ".jsonl":
        for line, content in _filled_lines(text):
            problem = _json_problem(content)
            if problem is None:
                rows.append(json.loads(content))
            elif tolerant:
                logger.warning("%s:%d: %s; left out", path, line, problem)
            else:
                raise DataError(f"{path}:{line}: {problem}", hint="mend the line, or pass --set data.on_bad_row=skip")
    elif path.suffix == ".json":
        try:
            json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}:{error.lineno}: not JSON: {error.msg}", hint="mend it, or write .jsonl") from error
    return rows


def _json_problem(content: str) -> str | None:
    try:
        row = json.loads(content)
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg}"
    return None if isinstance(row, dict) else "not a JSON object"


def _filled_lines(text: str) -> Iterator[tuple[int, str]]:
    for line, content in enumerate(text.split("\n"), start=1):
        if content.strip():
            yield line, content


def line_of_row(path: Path, index: int) -> int:
    """Return the 1-based line on which row ``index`` (0-based) begins; for .parquet and .json the row number."""
    if path.suffix == ".jsonl":
        with path.open(encoding="utf-8") as lines:
            filled = (number for number, content in enumerate(lines, start=1) if content.strip())
            return next((number for i, number in enumerate(filled) if i == index), index + 1)
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as lines:
            reader = csv.reader(lines)
            next(reader, None)
            for i in range(index + 1):
                before = reader.line_num
                if next(reader, None) is None or i == index:
                    return before + 1
    return index + 1
