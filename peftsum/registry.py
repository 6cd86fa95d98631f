"""Look-up by name with "did you mean"."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from peftsum.exceptions import UnknownNameError

T = TypeVar("T")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name nearest to ``name``, or None when nothing is near."""
    matches = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


class Registry(Mapping[str, T]):
    """An explicit dictionary of one kind of thing; a failed look-up names the nearest key and lists all.

    Args:
        kind: what is registered, in the singular, for messages ("metric").
        entries: name to thing.
    """

    def __init__(self, kind: str, entries: Mapping[str, T]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> T:
        if name in self._entries:
            return self._entries[name]
        guess = nearest(name, self._entries)
        hint = f"did you mean {guess!r}? " if guess else ""
        raise UnknownNameError(f"no {self.kind} named {name!r}", hint=f"{hint}known: {', '.join(sorted(self))}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
