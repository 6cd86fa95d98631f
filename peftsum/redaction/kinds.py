"""The kinds of values that are redacted, their placeholders, and how a user names them."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from typing import Any, Literal, get_args

from peftsum.exceptions import UsageError
from peftsum.registry import nearest

Kind = Literal["phone", "email", "address", "card", "iban", "identity", "birth", "name"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ALL = "all"  # every kind but names, which have to be named
LABELS: dict[Kind, str] = {
    "phone": "PHONE",
    "email": "EMAIL",
    "address": "ADDRESS",
    "card": "CARD",
    "iban": "IBAN",
    "identity": "ID",
    "birth": "BIRTHDATE",
    "name": "PERSON",
}
KIND_OF: dict[str, Kind] = {label: kind for kind, label in LABELS.items()}
PLACEHOLDER = re.compile(rf"\[({'|'.join(LABELS.values())})_(\d+)\]")
MASK = re.compile(rf"\[({'|'.join(LABELS.values())})\]")


def placeholder(kind: Kind, number: int) -> str:
    """Return what stands for the value of that number in its dialogue."""
    return f"[{LABELS[kind]}_{number}]"


def mask(kind: Kind) -> str:
    """Return what stands for a value that the dialogue does not have, in a summary."""
    return f"[{LABELS[kind]}]"


def parse_kinds(names: str | Iterable[str]) -> tuple[Kind, ...]:
    """Return the kinds that a user named, each once, in the order of ``KINDS``.

    Args:
        names: kinds, separated by commas where it is one text; ``all`` is every kind but names.

    Raises:
        UsageError: there is no such kind.

    Example:
        >>> parse_kinds("email,phone")
        ('phone', 'email')
        >>> "name" in parse_kinds("all"), "name" in parse_kinds("all,name")
        (False, True)
    """
    chosen: set[str] = set()
    for name in names.split(",") if isinstance(names, str) else names:
        word = name.strip().lower()
        if word == ALL:
            chosen.update(kind for kind in KINDS if kind != "name")
        elif word in KINDS:
            chosen.add(word)
        else:
            guess = nearest(word, [*KINDS, ALL])
            raise UsageError(
                f"no kind of value to redact is called {name.strip()!r}" if word else "no kind of value is named",
                hint=f"did you mean {guess}?" if guess else f"known: {', '.join(KINDS)}; all is every kind but name",
            )
    return tuple(kind for kind in KINDS if kind in chosen)


def library(module: str) -> Any:
    """Import a validator: ``phonenumbers``, or a module of python-stdnum.

    Raises:
        UsageError: its package is not installed. What cannot be looked for must not pass for absent.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = "python-stdnum" if module.partition(".")[0] == "stdnum" else module
        raise UsageError(
            f"personal data cannot be looked for: {package} is not installed",
            hint=f"pip install -c constraints.txt {package}",
        ) from error
