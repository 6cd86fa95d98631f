"""Reading local data files through ``datasets``; what it cannot read is named by file and line."""

from __future__ import annotations

import codecs
import csv
import errno
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftsum.exceptions import DataError, StorageError
from peftsum.imports import quick_imports

if TYPE_CHECKING:
    from datasets import Dataset

FORMATS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}
NO_ROWS_HINT = "a row needs `dialogue` and `summary`"
CACHE_FAILURES = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES}
BLOCK_BYTES = 1 << 20


class BrokenRow(dict[str, Any]):
    """A line that is no row, kept in its place so that those behind it keep their numbers."""

    def __init__(self, problem: str) -> None:
        super().__init__()
        self.problem = problem


def load_file(path: Path, *, cached: bool = True) -> Dataset | Sequence[Mapping[str, Any]]:
    """Return the rows of a file; a line of a .jsonl file that is no JSON object is a :class:`BrokenRow`.

    Args:
        path: a .jsonl, .json, .csv or .parquet file.
        cached: False reads it into memory, and leaves no copy of its texts in the cache of ``datasets``.

    Raises:
        DataError: the file is of another kind, not UTF-8, damaged or empty.
        StorageError: the cache of ``datasets`` cannot be written.
    """
    if path.suffix not in FORMATS:
        raise DataError(f"{path}: no data file", hint=f"known endings: {', '.join(FORMATS)}")
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty", hint=NO_ROWS_HINT)
        options = _options(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", hint="check the file's permissions") from error
    return _load(path, options, cached=cached)


def _options(path: Path) -> dict[str, Any]:
    """Check the encoding and return what ``datasets`` needs to leave texts as they are."""
    if path.suffix == ".parquet":
        with path.open("rb"):
            return {}
    _check_utf8(path)
    if path.suffix != ".csv":
        return {}
    with path.open(encoding="utf-8-sig", newline="") as lines:
        header = next(csv.reader(lines), [])
    # "NA" and "None" are words that people say, and 007 is an id
    return {"keep_default_na": False, "converters": dict.fromkeys(header, str)}


def _load(path: Path, options: Mapping[str, Any], *, cached: bool) -> Dataset | Sequence[Mapping[str, Any]]:
    if not cached and path.suffix in {".jsonl", ".json"}:
        return _plain_rows(path)
    with quick_imports():
        import datasets

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # it logs a traceback before it raises
    try:
        given: dict[str, Any] = {"data_files": [str(path)], "split": "train", **options}
        rows = datasets.load_dataset(FORMATS[path.suffix], streaming=not cached, **given)
        if not cached:
            return _filled(list(rows), path)
    except DataError:
        raise
    except Exception as error:
        _check_cache(error)
        if "corresponds to no data" in str(error):
            raise DataError(f"{path} has no rows", hint=NO_ROWS_HINT) from error
        if path.suffix in {".jsonl", ".json"}:
            return _plain_rows(path)
        if path.suffix == ".parquet":
            raise DataError(
                f"{path} is not a readable parquet file", hint="write it again; it may be cut short"
            ) from error
        cause = str(error.__cause__ or error).splitlines()[0][:200]
        raise DataError(f"cannot read {path}: {cause}", hint="check the file's format") from error
    if path.suffix in {".jsonl", ".json"} and any(_is_time(feature) for feature in rows.features.values()):
        return _plain_rows(path)  # pyarrow takes texts that look like dates for dates
    return rows


def _filled(rows: list[Mapping[str, Any]], path: Path) -> list[Mapping[str, Any]]:
    if not rows:
        raise DataError(f"{path} has no rows", hint=NO_ROWS_HINT)
    return rows


def _is_time(feature: Any) -> bool:
    return str(getattr(feature, "dtype", "")).startswith(("timestamp", "date", "time", "duration"))


def _check_cache(error: BaseException | None) -> None:
    """Raise where the error, or what caused it, is a write that did not go through."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in CACHE_FAILURES:
            raise StorageError(
                f"cannot write the cache of the data: {error.strerror}",
                hint="free some space, or set HF_DATASETS_CACHE to a folder that can be written",
            ) from error
        error = error.__cause__ or error.__context__


def _check_utf8(path: Path) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    with path.open("rb") as file:
        block = None
        while block != b"":  # the end too: a character may be cut there
            block = file.read(BLOCK_BYTES)
            try:
                line += decoder.decode(block, final=not block).count("\n")
            except UnicodeDecodeError as error:
                line += error.object[: error.start].count(b"\n")
                raise DataError(
                    f"{path}:{line}: not UTF-8", hint=f"convert it: iconv -f latin1 -t utf-8 {path.name}"
                ) from error


def _plain_rows(path: Path) -> list[Mapping[str, Any]]:
    """Read a JSON file without ``datasets``; the first problem is raised where no row is good."""
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".json":
        try:
            values = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            line, reason = (error.lineno, error.msg) if isinstance(error, json.JSONDecodeError) else (1, "too deep")
            raise DataError(f"{path}:{line}: not JSON: {reason}", hint="mend it, or write .jsonl") from error
        rows = [_row(value) for value in (values if isinstance(values, list) else [values])]
    else:
        rows = [_parsed(content) for _, content in _filled_lines(text)]
    if not rows:
        raise DataError(f"{path} has no rows", hint=NO_ROWS_HINT)
    first = rows[0]
    if isinstance(first, BrokenRow) and all(isinstance(row, BrokenRow) for row in rows):
        raise DataError(f"{path}:{line_of_row(path, 0)}: {first.problem}", hint="a line is a JSON object")
    return list(rows)


def _parsed(content: str) -> dict[str, Any]:
    try:
        return _row(json.loads(content))
    except json.JSONDecodeError as error:
        return BrokenRow(f"not JSON: {error.msg}")
    except RecursionError:
        return BrokenRow("not JSON that can be read: it is nested too deeply")


def _row(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else BrokenRow("not a JSON object")


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
        csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
        with path.open(encoding="utf-8-sig", newline="") as lines:
            begins = _csv_begins(lines)
            next(begins, None)  # the header
            return next((number for i, number in enumerate(begins) if i == index), index + 1)
    return index + 1


def _csv_begins(lines: Iterator[str]) -> Iterator[int]:
    """Yield the line on which each row begins; pandas leaves out blank lines, and so does this."""
    reader = csv.reader(lines)
    before = 0
    for row in reader:
        if "".join(row).strip() or len(row) > 1:
            yield before + 1
        before = reader.line_num
