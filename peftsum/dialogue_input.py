"""Dialogues to summarize, from a file or standard input."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from peftsum.exceptions import DataError
from peftsum.redaction import Kind, Redactor, redact_pair


@dataclass(frozen=True)
class Dialogue:
    """A dialogue without a reference."""

    id: str
    dialogue: str
    redactor: Redactor | None = None
    """Holds the values that are no longer in the dialogue."""


def read_dialogues(file: str, redact: Sequence[Kind] = ()) -> list[Dialogue]:
    """Return the dialogues of a file: one in a text file, one a line in a .jsonl file; "-" is standard input.

    Args:
        file: its path.
        redact: kinds of personal values that placeholders are to stand for.

    Raises:
        DataError: it is missing, not UTF-8, empty, or a line of a .jsonl file has no ``dialogue``.
    """
    dialogues = _dialogues(file)
    return [_redacted(dialogue, redact) for dialogue in dialogues] if redact else dialogues


def _redacted(dialogue: Dialogue, kinds: Sequence[Kind]) -> Dialogue:
    text, (identity,), redactor = redact_pair(dialogue.dialogue, (dialogue.id,), kinds)
    return Dialogue(identity, text, redactor)


def _dialogues(file: str) -> list[Dialogue]:
    text = _read(file)
    if file.endswith(".jsonl") and text.strip():
        return [_row(file, number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not text.strip():
        raise DataError(
            f"{_shown(file)} is empty", hint="a dialogue is one turn a line, for example: Ann: Lunch at one?"
        )
    return [Dialogue("-" if file == "-" else Path(file).stem, text.strip())]


def _read(file: str) -> str:
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"no file {file}", hint="name a text file, or - for standard input") from error
    except OSError as error:
        raise DataError(
            f"cannot read {file}: {error.strerror}", hint="name a text file, or - for standard input"
        ) from error
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{_shown(file)} is not UTF-8", hint="convert it: iconv -f latin1 -t utf-8") from error


def _row(file: str, number: int, line: str) -> Dialogue:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{file}:{number}: not JSON: {error.msg}", hint='a line is {"id": "…", "dialogue": "…"}'
        ) from error
    text = row.get("dialogue") if isinstance(row, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{file}:{number}: no dialogue", hint='a line is {"id": "…", "dialogue": "…"}')
    identity = row.get("id")
    return Dialogue(str(number if identity is None else identity), text.strip())


def _shown(file: str) -> str:
    return "standard input" if file == "-" else file
