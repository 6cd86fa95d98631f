"""The file of a sweep: arrangements by name, or ranges to search, over any key of a recipe."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from peftsum.exceptions import RecipeError
from peftsum.metrics.selection import selectable_scores
from peftsum.recipe import Recipe
from peftsum.recipe_file import load_recipe
from peftsum.registry import nearest
from peftsum.section import Section

Scalar = bool | int | float | str | None
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class Span(Section):
    """A range of numbers to search; whole ones where both ends are whole."""

    low: int | float
    high: int | float
    log: bool = False
    """Search the logarithm evenly, as is right for a learning rate."""

    @model_validator(mode="after")
    def _ends_in_order(self) -> Self:
        if self.low >= self.high:
            raise ValueError("`low` must be below `high`")
        if self.log and self.low <= 0:
            raise ValueError("`log` takes only numbers above 0")
        return self


class Arrangement(Section):
    """One choice of settings to try."""

    recipe: str | None = None
    """A recipe of its own instead of the sweep's; a path beside the sweep's file."""
    set: dict[str, Scalar] = Field(default_factory=dict)
    """Recipe keys and values, for example `train.learning_rate: 1.0e-3`."""


class SweepFile(Section):
    """What to try, and what to judge it by."""

    name: str = Field(pattern=NAME)
    """Name of the study in its storage, and of its folder."""
    recipe: str
    """The recipe that is varied; a path beside this file."""
    set: dict[str, Scalar] = Field(default_factory=dict)
    """Recipe keys and values for all trials."""
    arrangements: dict[str, Arrangement] = Field(default_factory=dict)
    """Choices to try by name; either these or `ranges`."""
    seeds: tuple[int, ...] = ()
    """Training seeds, each of which every arrangement is trained with; none takes the recipe's."""
    ranges: dict[str, Span | tuple[Scalar, ...]] = Field(default_factory=dict)
    """Recipe keys and what to search: `{low: 1.0e-4, high: 1.0e-2, log: true}`, or a list of values."""
    trials: int | None = Field(None, gt=0)
    """How many points of the ranges to try, by all workers together."""
    judge: str = "loss"
    """What trials are ordered by, on the validation dialogues of the training: `loss`, a ROUGE, or an error rate."""
    sampler: Literal["tpe", "random"] = "tpe"
    """How points of the ranges are chosen."""
    pruner: Literal["none", "median", "hyperband"] = "none"
    """Stop a trial whose validations fall behind those of others."""

    @field_validator("judge")
    @classmethod
    def _known_judge(cls, judge: str) -> str:
        known = selectable_scores()
        if judge not in known:
            guess = nearest(judge, known)
            raise ValueError(f"no such score; {f'did you mean {guess}? ' if guess else ''}known: {', '.join(known)}")
        return judge

    @model_validator(mode="after")
    def _either_or(self) -> Self:
        if bool(self.arrangements) == bool(self.ranges):
            raise ValueError("give either `arrangements` or `ranges`")
        if bool(self.ranges) != (self.trials is not None):
            raise ValueError("`trials` goes with `ranges`, and only with them")
        if self.ranges and self.seeds:
            raise ValueError("`seeds` goes with `arrangements`; for a search make `train.seed` one of the `ranges`")
        return self


class Sweep:
    """A sweep's file, read and checked, with the recipes that its arrangements give.

    Args:
        path: the file.
        overrides: ``a.b=c`` settings for all trials, stronger than the file's.

    Raises:
        RecipeError: the file or a recipe is missing or wrong; nothing has been trained.
    """

    def __init__(self, path: str | Path, overrides: Sequence[str] = ()) -> None:
        self._folder = Path(path).parent
        self._overrides = list(overrides)
        self.file = _read(Path(path))
        self.labels = _labels(self.file)
        first = {key: v.low if isinstance(v, Span) else v[0] for key, v in self.file.ranges.items()}
        planned: list[tuple[str | None, int | None]] = [*self.labels.values()] or [(None, None)]
        self.recipes = [self.recipe(name, seed, first) for name, seed in planned]
        """Of the planned trials; for a search, of the lower ends of its ranges."""
        if without := next((r for r in self.recipes if r.train.eval_examples == 0), None):
            raise RecipeError(
                f"{without.name} validates on no dialogue, so there is nothing to judge it by",
                hint="set train.eval_examples, for example to 64",
            )

    def recipe(self, arrangement: str | None, seed: int | None, values: Mapping[str, Scalar]) -> Recipe:
        """Return the recipe of one trial; its name is that of the sweep."""
        chosen = self.file.arrangements[arrangement] if arrangement is not None else Arrangement()
        settings = {**self.file.set, **chosen.set, **values}
        if seed is not None:
            settings["train.seed"] = seed
        lines = [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in settings.items()]
        place = self._folder / (chosen.recipe or self.file.recipe)
        return load_recipe(place, [*lines, *self._overrides, f"name={self.file.name}"])

    @property
    def fingerprint(self) -> str:
        """Hash of the file and of the recipes behind it: workers on one storage must mean the same."""
        parts = [self.file.model_dump(mode="json"), [r.model_dump(mode="json") for r in self.recipes]]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _labels(file: SweepFile) -> dict[str, tuple[str, int | None]]:
    """Return for each planned trial its label, its arrangement and its seed; nothing for a search."""
    seeds: tuple[int | None, ...] = file.seeds or (None,)
    return {
        name if seed is None else f"{name}-seed{seed}": (name, seed) for seed in seeds for name in file.arrangements
    }


def _read(path: Path) -> SweepFile:
    try:
        values: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise RecipeError(
            f"no sweep at {path}", hint="recipes/sweeps/arrangements.yaml is one; `peftsum init DIR` writes it"
        ) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"cannot read {path}: {str(error).splitlines()[0]}", hint="it must be UTF-8 YAML") from error
    if not isinstance(values, dict):
        raise RecipeError(f"{path}: not a mapping", hint="start with `name:`, `recipe:` and `arrangements:`")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    if isinstance(values.get("ranges"), dict):
        values["ranges"] = {k: tuple(v) if isinstance(v, list) else v for k, v in values["ranges"].items()}
    try:
        return SweepFile.model_validate(values)
    except ValidationError as error:
        problems = [
            f"{path}: {'.'.join(str(part) for part in problem['loc']) or 'the file'}: {problem['msg']}"
            for problem in error.errors()
        ]
        raise RecipeError("\n".join(problems), hint="docs/sweeps.md shows every key") from error
