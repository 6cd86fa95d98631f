"""The starter recipes, out of the installed package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from peftsum.artifacts import write_bytes


def write_starter_recipes(folder: Path) -> tuple[list[Path], list[Path]]:
    """Write every starter recipe below a folder and return the files written and those left as they were."""
    source = Path(str(files("peftsum.recipes")))
    written: list[Path] = []
    kept: list[Path] = []
    for recipe in sorted(source.rglob("*.yaml")):
        path = folder / recipe.relative_to(source)
        if path.exists():
            kept.append(path)
            continue
        write_bytes(path, recipe.read_bytes())
        written.append(path)
    return written, kept
