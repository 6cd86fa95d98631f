"""Adapters by name, from one folder and no other."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from peftsum.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS, adapter_base, is_adapter, read_adapter_record
from peftsum.exceptions import PeftsumError, UsageError
from peftsum.registry import nearest
from peftsum.section import Record
from peftsum.server.refusals import Refusal


class OnDisk(Record):
    """What is known of an adapter without its weights."""

    method: str
    rank: int | None
    """Of LoRA and its kin."""
    bytes: int
    """Of its weights' file."""
    base: str | None
    """That it says it was trained on."""
    problem: str | None
    """Why it cannot be loaded, as far as its files tell."""


class AdapterFolder:
    """The folder that adapters may come from.

    Args:
        root: the folder; what lies outside it, also behind a link, is refused.

    Raises:
        UsageError: it is no folder.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise UsageError(f"no folder {root}", hint="name the folder that holds the adapters, such as adapters")
        self.root = root.resolve()

    def names(self) -> list[str]:
        """Return the names of what looks like an adapter, sorted."""
        return sorted(path.name for path in self.root.iterdir() if self._inside(path) and is_adapter(path))

    def path(self, name: str) -> Path:
        """Return the folder of an adapter.

        Raises:
            Refusal: there is none of that name in here.
        """
        path = self.root / name
        plain = name not in {"", ".", ".."} and not any(sign in name for sign in "/\\\0")
        if not (plain and self._inside(path) and is_adapter(path)):
            guess = nearest(name, self.names())
            hint = f"did you mean {guess!r}?" if guess else "GET /v1/adapters lists those there are"
            raise Refusal(404, f"no adapter {_shown(name)}", hint=hint)
        return path

    def describe(self, name: str) -> OnDisk:
        """Return what the files of an adapter tell."""
        path = self.path(name)
        weights, config = path / ADAPTER_WEIGHTS, path / ADAPTER_CONFIG
        stamps = tuple(p.stat().st_mtime_ns if p.is_file() else 0 for p in (weights, config))
        return _described(path, stamps)

    def hidden(self, text: str) -> str:
        """Return a message without the path of the folder: that is nobody's business outside this machine."""
        return text.replace(f"{self.root}/", "").replace(str(self.root), self.root.name)

    def _inside(self, path: Path) -> bool:
        """Tell whether a folder and all that lies in it are in the root, links followed."""
        try:
            if not path.is_dir() or path.resolve().parent != self.root:
                return False
            return all(p.resolve().is_relative_to(self.root) for p in path.iterdir())
        except OSError:  # a name too long for the system, no permission, or a loop of links
            return False


@lru_cache(maxsize=1024)
def _described(path: Path, stamps: tuple[int, ...]) -> OnDisk:
    """Return what the files tell; ``stamps`` are their times, so that changed ones are read anew."""
    method, rank, base, problem = "?", None, None, None
    weights = path / ADAPTER_WEIGHTS
    try:
        config = json.loads((path / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        found = config.get("r")
        rank = found if isinstance(found, int) else None
        record = read_adapter_record(path)
        method = record.recipe.method.label() if record else str(config.get("peft_type", "?")).lower()
        base = adapter_base(path)
        problem = None if weights.is_file() else f"it has no {ADAPTER_WEIGHTS}"
    except PeftsumError as error:
        problem = error.message.replace(str(path), path.name)
    except (OSError, ValueError, AttributeError):
        problem = f"its {ADAPTER_CONFIG} is damaged"
    size = weights.stat().st_size if weights.is_file() else 0
    return OnDisk(method=method, rank=rank, bytes=size, base=base, problem=problem)


def _shown(name: str) -> str:
    return repr(name if len(name) <= 60 else f"{name[:60]}…")
