"""Running commands in this process as a user would: what came out, and the two lines of a failure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from peftsum.cli import main

PROGRESS = ("training ", "summaries by ", "stopping after this step", "forecast for ", "trying ")
"""How the plain lines begin that long work prints to a log, and what it is forecast to take."""


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines on stderr, those of progress left out."""
        return [line for line in self.err.splitlines() if line.strip() and not line.startswith(PROGRESS)]

    @property
    def errors(self) -> list[str]:
        """What is wrong, a line a problem."""
        return [line.removeprefix("error: ") for line in self.lines if line.startswith("error: ")]

    @property
    def hint(self) -> str:
        """What to do."""
        return self.lines[-1].removeprefix("hint: ")

    def assert_failed(self, code: int, *words: str, errors: int = 1) -> None:
        """Hold that the command failed as promised: an error a problem, one hint, no traceback, nothing on stdout."""
        assert "Traceback" not in self.err, self.err
        starts = [line.split(": ")[0] for line in self.lines]
        assert starts == ["error"] * errors + ["hint"], self.err
        assert self.code == code, self.err
        assert self.hint
        assert self.out == ""
        said = self.err.lower()
        missing = [word for word in words if word.lower() not in said]
        assert not missing, f"{missing} not in: {self.err}"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> Outcome:
    """Run ``peftsum`` with these arguments in this process."""
    capsys.readouterr()
    code: object = 0
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stopped:
        code = stopped.code
    captured = capsys.readouterr()
    return Outcome(code if isinstance(code, int) else 0 if code is None else 1, captured.out, captured.err)


def write_recipe(path: Path, base: Path | str, source: Path | str, *settings: str) -> Path:
    """Write a recipe that trains in about a second."""
    lines = [
        "name: small",
        f"model: {{base: '{base}'}}",
        f"data: {{source: '{source}'}}",
        "method: {kind: lora, rank: 2, targets: qv}",
        "train: {batch_tokens: 512, max_steps: 2, eval_examples: 2, eval_every: 1}",
        "generation: {max_new_tokens: 4}",
        *settings,
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
