"""A chosen recipe as a file, headed by what it is for and what it should take."""

from __future__ import annotations

from typing import Any

import yaml

from peftsum.forecast.choose import Choice
from peftsum.forecast.target import Target
from peftsum.forecast.text import peak_text, time_and_energy_text
from peftsum.methods import Full
from peftsum.recipe import Recipe
from peftsum.units import format_bytes

WIDTH = 120
ADAPTERS = {
    "lora": "LoRA",
    "dora": "DoRA",
    "rslora": "rsLoRA",
    "dora+rslora": "DoRA+rsLoRA",
    "ia3": "IA3",
}
QUANTIZED = {"none": "", "int8": "8-bit ", "nf4": "4-bit "}


def recipe_text(recipe: Recipe) -> str:
    """Return a recipe as YAML: the method in full, of other sections what is not a default."""
    values = recipe.model_dump(mode="json", exclude_defaults=True) | {"name": recipe.name}
    whole = recipe.method.model_dump(mode="json")
    values["method"] = {key: value for key, value in whole.items() if value is not False}
    return "\n".join(_block(key, values[key]) for key in Recipe.model_fields if key in values)


def _block(key: str, value: Any) -> str:
    return yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True, width=WIDTH)


def chosen_text(choice: Choice, target: Target, source: str, out: str) -> str:
    """Return the file of a chosen recipe.

    Args:
        choice: what was chosen.
        target: for which device.
        source: the recipe that the search began with, as the user named it.
        out: the file, as the user named it.
    """
    recipe, forecast = choice.recipe, choice.forecast
    method = "Full fine-tuning of" if isinstance(recipe.method, Full) else f"{_named(recipe)} on"
    base = f"{'a ' if recipe.model.quantize != 'none' else ''}{QUANTIZED[recipe.model.quantize]}{recipe.model.base}"
    lines = [
        f"{method} {base}: the best that fits {target.title} by forecast.",
        "",
        f"  peftsum train {out}",
        f"  peftsum plan {out} --gpu {_quoted(target.name)}",
        "",
        *_wrapped(
            f"For whom: {target.title}. Forecast there: peak memory {peak_text(forecast)} of "
            f"{format_bytes(target.memory_bytes or 0)}{_costs(choice)}. Chosen by"
        ),
        "",
        f"  peftsum plan {source} --gpu {_quoted(target.name)} --choose {out}",
        "",
        *_wrapped(
            "which takes the largest base that fits, then full tuning before LoRA, then 16-bit before 4-bit and 8-bit, "
            "then no checkpointing, then the largest batches (docs/costs.md)."
        ),
    ]
    header = "\n".join(f"# {line}".rstrip() for line in lines)
    return f"{header}\n{recipe_text(recipe)}"


def _named(recipe: Recipe) -> str:
    """Return the adapter as people write it, for example ``LoRA r16 all-linear``."""
    kind, _, rest = recipe.method.label().partition(" ")
    return f"{ADAPTERS.get(kind, kind)} {rest}".strip()


def _costs(choice: Choice) -> str:
    costs = time_and_energy_text(choice.forecast)
    return f"; {costs}" if costs else ""


def _quoted(name: str) -> str:
    return f'"{name}"' if " " in name else name


def _wrapped(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, WIDTH - 2)
