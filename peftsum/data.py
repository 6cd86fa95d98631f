"""Dialogues with their summaries, from a Hub id, a file, a folder or the built-in set, checked row by row."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftsum.data_files import FORMATS, BrokenRow, line_of_row, load_file
from peftsum.exceptions import DataError, HubError, UsageError
from peftsum.hub import go_offline_if_unreachable
from peftsum.joined import grouped, joined_references
from peftsum.progress import task
from peftsum.recipe import Data
from peftsum.redaction import Kind, find, parse_kinds, redact_pair
from peftsum.registry import nearest

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

LONG = "builtin:long-dialogues"
BUILTIN = {"builtin:dialogues": "dialogues", LONG: "dialogues"}
LONG_SEED = 13
SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "dev", "valid", "val"),
    "test": ("test",),
}
HUB_ID = re.compile(r"^[\w.-]+(/[\w.-]+)?$")
HELD_OUT_SHARE = 0.1  # of a set without a validation split
HELD_OUT_MOST = 500
SKIP_HINT = "mend the row, or leave bad rows out: --set data.on_bad_row=skip (train), --skip-bad-rows (elsewhere)"


@dataclass(frozen=True, slots=True)
class Example:
    """One dialogue with its references; ``references`` has one text, or several by different people."""

    id: str
    dialogue: str
    references: tuple[str, ...]
    topic: str | None = None
    """What the dialogue is about, where the source says so; no model reads it, and it is not in the fingerprint."""


@dataclass(frozen=True)
class Split:
    """The examples of one split, in the order of the source."""

    source: str
    name: str
    examples: list[Example]
    skipped: int = 0
    """Bad rows left out under ``on_bad_row: skip``."""
    redacted: Mapping[str, int] | None = None
    """Values that placeholders stand for, by kind; None where none were looked for."""

    @property
    def fingerprint(self) -> str:
        """Hash of the ids and texts, independent of where the file lies and what it is called."""
        digest = hashlib.sha256()
        for example in self.examples:
            row = (example.id, example.dialogue, *example.references)
            digest.update(json.dumps(row, ensure_ascii=False).encode())
        return digest.hexdigest()[:16]

    def sample(self, limit: int | None, seed: int) -> Split:
        """Return the split with at most ``limit`` examples, drawn with the seed, in the source's order."""
        if limit is None or limit >= len(self.examples):
            return self
        kept = sorted(random.Random(seed).sample(range(len(self.examples)), limit))
        return replace(self, examples=[self.examples[i] for i in kept])


def data_section(
    source: str, fields: Sequence[str] = (), *, skip_bad_rows: bool = False, redact: str | None = None
) -> Data:
    """Return the section that reads a source outside a recipe.

    Args:
        source: a data source.
        fields: ``name=column`` for id, dialogue, summary or topic.
        skip_bad_rows: leave bad rows out and count them, instead of raising at the first.
        redact: kinds of personal values to redact, separated by commas.
    """
    named = dict(field.partition("=")[::2] for field in fields)
    for name, column in named.items():
        if name not in {"id", "dialogue", "summary", "topic"} or not column:
            raise UsageError(
                f"--field {name}={column}: not of the form dialogue=COLUMN",
                hint="the names are id, dialogue, summary and topic",
            )
    bad, kinds = "skip" if skip_bad_rows else "error", list(parse_kinds(redact)) if redact is not None else []
    return Data.model_validate({"source": source, "fields": named, "on_bad_row": bad, "redact": kinds})


def load_split(data: Data, split: str) -> Split:
    """Return one split. A single file is taken whole, whatever split is asked for.

    Raises:
        DataError: the source or split is missing or unreadable, or a row is bad under ``on_bad_row: error``.
        HubError: the source is a Hub id and the Hub cannot be reached.
    """
    if data.source == LONG:
        return _long_split(data, split)
    path = local_path(data.source)
    if path is None:
        rows, place = _hub_rows(data.source, split), None
    else:
        place = path if path.is_file() else _split_file(path, data.source, split)
        rows = load_file(place, cached=not data.redact)
    name = str(place) if place else f"{data.source} ({split})"
    return _redacted(Split(data.source, split, *_checked(rows, data, name, place, split)), data.redact)


def _redacted(split: Split, kinds: Sequence[Kind]) -> Split:
    """Return the split as every command is to see it: no value of these kinds in it.

    Each dialogue has its own placeholders, which its summaries share. An id that holds a value gives way to the number
    of the row.
    """
    if not kinds:
        return split
    counts: Counter[str] = Counter()
    examples = []
    with task(f"redacting {split.name}", len(split.examples)) as shown:
        for index, example in enumerate(split.examples):
            topic = () if example.topic is None else (example.topic,)
            dialogue, others, redactor = redact_pair(example.dialogue, (*example.references, *topic), kinds)
            counts.update(redactor.counts)
            identity = f"{split.name}-{index}" if find(example.id, kinds) else example.id
            references = others[: len(example.references)]
            examples.append(Example(identity, dialogue, references, others[-1] if topic else None))
            shown.advance(1)
    found: dict[str, int] = {kind: counts[kind] for kind in kinds}
    told = ", ".join(f"{kind} {number}" for kind, number in found.items())
    _say_once(f"{split.source}, {split.name} split: values redacted in {len(examples)} dialogues: {told}")
    return replace(split, examples=examples, redacted=found)


@functools.cache
def _say_once(message: str) -> None:
    """Log a message at the first time: a comparison reads its splits for every system anew."""
    logger.info("%s", message)


def _long_split(data: Data, split: str) -> Split:
    """Return the built-in dialogues joined to long ones, several of one situation, each with all its references."""
    fields = {"topic": "situation", **data.fields}
    plain = {"source": "builtin:dialogues", "fields": fields, "redact": []}  # redacted once they are joined
    short = load_split(data.model_copy(update=plain), split)
    examples = [
        Example(
            id=f"long-{split}-{index:04d}",
            dialogue="\n".join(example.dialogue for example in group),
            references=joined_references([example.references for example in group]),
            topic=group[0].topic,
        )
        for index, group in enumerate(grouped(short.examples, seed=LONG_SEED), start=1)
    ]
    return _redacted(Split(LONG, split, examples, short.skipped), data.redact)


def load_training_splits(data: Data, seed: int) -> tuple[Split, Split]:
    """Return the training and the validation split, limits applied.

    A source without a validation split gives up a tenth of its training rows for it, at most 500, drawn with the seed.
    """
    train = load_split(data, "train")
    if "validation" in available_splits(data.source):
        validation = load_split(data, "validation")
    else:
        train, validation = _hold_out(train, seed)
    return train.sample(data.limit_train, seed), validation.sample(data.limit_validation, seed)


def available_splits(source: str) -> list[str]:
    """Return the canonical names of the splits a source has; a single file has only ``train``."""
    path = local_path(source)
    if path is None:
        from datasets import get_dataset_split_names

        with _hub_errors(source):
            present = get_dataset_split_names(source)
        return [name for name, others in SPLIT_NAMES.items() if any(other in present for other in others)]
    if path.is_file():
        return ["train"]
    return [name for name in SPLIT_NAMES if _find_split_file(path, name)]


def local_path(source: str) -> Path | None:
    """Return the file or folder of a source, or None for a Hub id.

    Raises:
        DataError: the source looks like a path, and nothing is there.
    """
    if not source.strip():
        raise DataError("no data source is named", hint="a Hub id, a file, a folder or builtin:dialogues")
    if source in BUILTIN:
        return Path(str(files("peftsum.builtin") / BUILTIN[source]))
    if source.startswith("builtin:"):
        raise DataError(f"no built-in data named {source}", hint=f"known: {', '.join(BUILTIN)}")
    path = Path(os.path.expanduser(source))  # Path.expanduser raises where there is no such user
    if path.exists():
        return path
    if path.suffix in FORMATS or not HUB_ID.match(source) or source.startswith("."):
        folder = path.parent if path.parent.is_dir() else Path()
        guess = nearest(path.name, [p.name for p in folder.iterdir()])
        raise DataError(
            f"no data at {source}",
            hint=f"did you mean {folder / guess}?" if guess else "check the path; a Hub id is owner/name",
        )
    return None


def _find_split_file(folder: Path, split: str) -> Path | None:
    for stem in SPLIT_NAMES[split]:
        for suffix in FORMATS:
            if (path := folder / f"{stem}{suffix}").is_file():
                return path
    return None


def _split_file(folder: Path, source: str, split: str) -> Path:
    path = _find_split_file(folder, split) if split in SPLIT_NAMES else None
    if path is None:
        present = [name for name in SPLIT_NAMES if _find_split_file(folder, name)]
        hint = (
            f"it has: {', '.join(present)}; pass --split {present[-1]}"
            if present
            else ("put train.jsonl, validation.jsonl and test.jsonl there (.json, .csv and .parquet too)")
        )
        raise DataError(f"{source} has no split {split}", hint=hint)
    return path


def _hub_rows(source: str, split: str) -> Dataset:
    from datasets import load_dataset

    with _hub_errors(source):
        dataset = load_dataset(source)
    for name in SPLIT_NAMES.get(split, (split,)):
        if name in dataset:
            return dataset[name]
    raise DataError(f"{source} has no split {split}", hint=f"it has: {', '.join(dataset)}")


class _hub_errors:  # noqa: N801  # used as a context manager, like contextlib.suppress
    """Turn whatever the Hub's client raises into one of our two errors."""

    def __init__(self, source: str) -> None:
        self.source = source

    def __enter__(self) -> None:
        go_offline_if_unreachable()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or not isinstance(error, Exception):
            return
        text = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        if isinstance(error, ConnectionError) or re.search(r"connect|offline|resolve|timed? ?out|reach", text, re.I):
            raise HubError(
                f"cannot reach the Hub for {self.source}, and no file or folder has that name ({text})",
                hint="check the network or HF_ENDPOINT, or give a local file or folder, or builtin:dialogues",
            ) from error
        raise DataError(
            f"cannot load {self.source} from the Hub ({text})", hint="check the id; a local file needs its ending"
        ) from error


def _checked(
    rows: Dataset | Sequence[Mapping[str, Any]], data: Data, name: str, place: Path | None, split: str
) -> tuple[list[Example], int]:
    """Return the good rows as examples, several references of one dialogue together, and the number of bad rows."""
    columns = _columns(rows, data, name)
    examples: list[Example] = []
    skipped = 0
    for index, row in enumerate(rows):
        problem = _problem(row, columns)
        if problem is None:
            examples.append(_example(row, columns, f"{split}-{index}"))
            continue
        where = f"{name}:{line_of_row(place, index)}" if place else f"{name}, row {index}"
        if data.on_bad_row == "error":
            raise DataError(f"{where}: {problem}", hint=SKIP_HINT)
        skipped += 1
        logger.warning("%s: %s; left out", where, problem)
    if not examples:
        raise DataError(f"{name} has no usable row", hint="a row needs `dialogue` and `summary`")
    return (examples if split == "train" else list(_regrouped(examples))), skipped


@dataclass(frozen=True)
class _Columns:
    id: str | None
    dialogue: str
    references: list[str]
    topic: str | None


def _columns(rows: Dataset | Sequence[Mapping[str, Any]], data: Data, name: str) -> _Columns:
    present: list[str] = getattr(rows, "column_names", None) or sorted({key for row in rows for key in row})
    wanted = {"dialogue": data.fields.get("dialogue", "dialogue")}
    numbered = sorted((c for c in present if re.fullmatch(r"summary[0-9]+", c)), key=lambda c: int(c[len("summary") :]))
    if "summary" in data.fields or not numbered:
        wanted["summary"] = data.fields.get("summary", "summary")
    for field, column in wanted.items():
        if column not in present:
            guess = nearest(column, present) or nearest(field, present)
            renamed = f"{field}={guess or 'COLUMN'}"
            raise DataError(
                f"{name} has no column {column!r}",
                hint=f"it has: {', '.join(present)}; try --set data.fields.{renamed} (train), "
                f"--field {renamed} (elsewhere)",
            )
    references = [wanted["summary"]] if "summary" in wanted else numbered
    optional = {field: data.fields.get(field, field) for field in ("id", "topic")}
    for field, column in optional.items():
        if field in data.fields and column not in present:
            raise DataError(f"{name} has no column {column!r}", hint=f"it has: {', '.join(present)}")
    identity, topic = (column if column in present else None for column in optional.values())
    return _Columns(identity, wanted["dialogue"], references, topic)


def _problem(row: Mapping[str, Any], columns: _Columns) -> str | None:
    if isinstance(row, BrokenRow):
        return row.problem
    dialogue = row.get(columns.dialogue)
    if dialogue is None:
        return f"no {columns.dialogue!r}"
    if not isinstance(dialogue, str):
        return f"{columns.dialogue!r} is not text but {type(dialogue).__name__}"
    if not dialogue.strip():
        return "an empty dialogue"
    texts = [row.get(column) for column in columns.references]
    for column, text in zip(columns.references, texts, strict=True):
        if text is not None and not isinstance(text, str):
            return f"{column!r} is not text but {type(text).__name__}"
    if not any(text and text.strip() for text in texts):
        return f"no {' or '.join(repr(c) for c in columns.references)}"
    if not all(_is_unicode(text) for text in (dialogue, *texts) if text):
        return "not valid Unicode: half of a surrogate pair"
    return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _example(row: Mapping[str, Any], columns: _Columns, default_id: str) -> Example:
    texts = (row.get(column) for column in columns.references)
    identity = row.get(columns.id) if columns.id else None
    return Example(
        id=str(identity) if identity is not None else default_id,
        dialogue=row[columns.dialogue].strip(),
        references=tuple(text.strip() for text in texts if text and text.strip()),
        topic=_topic(row.get(columns.topic)) if columns.topic else None,
    )


def _topic(value: object) -> str | None:
    text = "" if value is None else " ".join(str(value).split())
    return text if text and _is_unicode(text) else None


def _regrouped(examples: Iterable[Example]) -> Iterator[Example]:
    """Join neighbours with the same dialogue: the Hub copy of DialogSum has a test row for each reference."""
    held: Example | None = None
    for example in examples:
        if held is not None and held.dialogue == example.dialogue:
            held = Example(held.id, held.dialogue, held.references + example.references, held.topic)
            continue
        if held is not None:
            yield held
        held = example
    if held is not None:
        yield held


def _hold_out(train: Split, seed: int) -> tuple[Split, Split]:
    count = min(HELD_OUT_MOST, int(len(train.examples) * HELD_OUT_SHARE))
    if count == 0:
        raise DataError(
            f"{train.source} has no validation split and too few rows to hold some out",
            hint="add validation.jsonl, or at least 10 rows",
        )
    chosen = set(random.Random(seed).sample(range(len(train.examples)), count))
    logger.info("%s has no validation split: %d of its rows are held out for it", train.source, count)
    kept = [e for i, e in enumerate(train.examples) if i not in chosen]
    held = [e for i, e in enumerate(train.examples) if i in chosen]
    return replace(train, examples=kept), Split(train.source, "validation", held)
