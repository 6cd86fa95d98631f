"""Exceptions that carry a remedy and the exit code the command line gives them.

Every expected failure is a :class:`PeftsumError`: one line says what is wrong, the hint says what to do. What the user
gave (usage, recipe, data, adapter) exits with 2; what failed while doing it (Hub, disk, divergence) with 1; a training
that does not fit into memory with 3.
"""

from __future__ import annotations

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_MISFIT = 3
EXIT_INTERRUPTED = 130


class PeftsumError(Exception):
    """Base of every expected failure.

    Args:
        message: what is wrong, in one line.
        hint: what to do about it, in one line.
    """

    exit_code = EXIT_FAILED
    everywhere = False
    """True where all processes of a training raise it at the same point, so that one may speak for all."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.hint)  # it crosses process borders in `compare`


def _rebuild(kind: type[PeftsumError], message: str, hint: str) -> PeftsumError:
    return kind(message, hint=hint)


class UsageError(PeftsumError, ValueError):
    """A command or call whose arguments do not fit together."""

    exit_code = EXIT_BAD_INPUT


class UnknownNameError(PeftsumError, KeyError):
    """A name that is in no registry."""

    exit_code = EXIT_BAD_INPUT


class RecipeError(PeftsumError, ValueError):
    """A recipe that cannot be read or cannot work; the message lists every problem of the file."""

    exit_code = EXIT_BAD_INPUT


class DataError(PeftsumError, ValueError):
    """A data source that is missing, unreadable or has a bad row."""

    exit_code = EXIT_BAD_INPUT


class AdapterError(PeftsumError, ValueError):
    """An adapter that is missing, damaged or made for another base."""

    exit_code = EXIT_BAD_INPUT


class ModelError(PeftsumError, ValueError):
    """A base model that is missing, damaged or not an encoder-decoder."""

    exit_code = EXIT_BAD_INPUT


class HubError(PeftsumError, ConnectionError):
    """The Hub cannot be reached, or does not have what was asked for."""


class StorageError(PeftsumError, OSError):
    """A write that did not go through: full disk, no permission."""


class TrainingError(PeftsumError, RuntimeError):
    """A training that cannot go on, such as one whose loss is not finite."""


class MisfitError(PeftsumError, MemoryError):
    """A training that by its forecast cannot fit into the memory there is."""

    exit_code = EXIT_MISFIT


class TrainingInterrupted(PeftsumError):  # noqa: N818  # it is the user's wish, not an error
    """Ctrl-C in training, after the last state was written."""

    exit_code = EXIT_INTERRUPTED
