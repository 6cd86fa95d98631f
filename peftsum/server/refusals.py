"""Why a request is refused: a status, what is wrong and what to do, in the same two lines as the command line's."""

from __future__ import annotations

import math
import traceback
from pathlib import Path

from peftsum.exceptions import EXIT_BAD_INPUT, PeftsumError


class Refusal(PeftsumError):  # noqa: N818  # an answer like others
    """An expected failure of a request.

    Args:
        status: of HTTP.
        message: what is wrong.
        hint: what to do.
        retry_after_s: when to ask again, where that helps.
    """

    exit_code = EXIT_BAD_INPUT

    def __init__(self, status: int, message: str, *, hint: str, retry_after_s: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.retry_after = None if retry_after_s is None else max(1, math.ceil(retry_after_s))
        """Whole seconds, as the header has them."""


def queue_full(waiting: int, limit: int, retry_after_s: float) -> Refusal:
    """Return the refusal of what finds no place in the queue."""
    text = f"{waiting} summaries wait, and {limit} may"
    return Refusal(429, text, hint="ask again after Retry-After seconds", retry_after_s=retry_after_s)


def stopping(retry_after_s: float) -> Refusal:
    """Return the refusal of what comes while the server stops."""
    hint = "ask again after Retry-After seconds, or ask another server"
    return Refusal(503, "the server is stopping and takes nothing new", hint=hint, retry_after_s=retry_after_s)


def too_late(timeout_s: float) -> Refusal:
    """Return the refusal of what was not written in time."""
    return Refusal(504, f"no answer within {timeout_s:g} s", hint="ask for fewer or shorter summaries at once")


def failed() -> Refusal:
    """Return the refusal of what met a fault of ours: nothing of it is told, for it might hold a dialogue."""
    return Refusal(500, "the server failed on this request", hint="its log says where; please report it")


def where(error: BaseException) -> str:
    """Return an error's kind and place; its words stay out of the log, for they might quote a dialogue."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"
