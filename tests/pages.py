"""Reading the pages of docs/: their code blocks, and what they say to change in which file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"`([\w./-]+/[\w.-]+\.\w+)`[^`]*:\s*\Z", re.DOTALL)
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A code block, the section it stands in, and the file that the words before it name."""

    section: str
    language: str
    text: str
    path: str | None


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page; a change that follows another one without a file of its own is of the same file."""
    text = page.read_text(encoding="utf-8")
    found: list[Block] = []
    end = 0
    for match in BLOCK.finditer(text):
        between = text[end : match.start()]
        named = NAMED.search(between)
        path = named[1] if named else None
        if path is None and match[1] == "diff" and not between.strip():
            path = found[-1].path
        sections = [m[1] for m in SECTION.finditer(text[: match.start()])]
        found.append(Block(sections[-1] if sections else "", match[1], match[2], path))
        end = match.end()
    return found


def apply_change(folder: Path, block: Block) -> None:
    """Write the file that a block shows, or make its change; a change must find the lines it shows, once."""
    assert block.path is not None, f"the words before this block name no file:\n{block.text}"
    target = folder / block.path
    if block.language != "diff":
        assert not target.exists(), f"{block.path} is there already"
        target.write_text(block.text, encoding="utf-8")
        return
    lines = block.text.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if not line.startswith("+"))
    after = "".join(line[1:] for line in lines if not line.startswith("-"))
    text = target.read_text(encoding="utf-8")
    assert text.count(before) == 1, f"{block.path} has {text.count(before)} times:\n{before}"
    target.write_text(text.replace(before, after), encoding="utf-8")
