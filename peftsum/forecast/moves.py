"""What can be done to a recipe that takes too much memory, in the order in which it costs least.

First what leaves the result as it is and costs time, then what changes the training, then what changes what is trained.
The order of the last follows what they were seen to cost. LoRA was 1.5 to 2.5 ROUGE-L below full tuning
(docs/results.md); fewer adapted layers learn less than that (Schulman et al. 2025). On T5 of 80 M to 11 B weights LoRA
on 4-bit bases was within 0.6 ROUGE-L of LoRA on 16-bit ones, on 8-bit ones within 1.7, and each smaller base cost 2.0
to 8.3 (Dettmers et al. 2023, arXiv 2305.14314, table 3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError

from peftsum.forecast.target import Target
from peftsum.methods import Full, Lora
from peftsum.recipe import Recipe

Settings = Mapping[str, Any]
"""Dotted keys of a recipe to their new values."""
SMALLEST_BUDGET = 1024  # tokens of a batch; below that a GPU waits for its host more than it computes
ADAFACTOR_RATE = 1e-3  # with its scaling by the weights' size: what T5 was fine-tuned with (Raffel et al. 2020)
FAMILIES = (
    tuple(f"google/flan-t5-{size}" for size in ("small", "base", "large", "xl", "xxl")),
    tuple(f"google/t5-v1_1-{size}" for size in ("small", "base", "large", "xl", "xxl")),
)


@dataclass(frozen=True)
class Move:
    """One kind of change.

    Attributes:
        name: for a reader.
        price: what it costs besides memory.
        options: the settings to try for a recipe and a device, gentlest first; none where it does not apply.
    """

    name: str
    price: str
    options: Callable[[Recipe, Target], list[Settings]]


def with_settings(recipe: Recipe, settings: Settings) -> Recipe | None:
    """Return the recipe with settings changed, or None where they do not go together."""
    values = recipe.model_dump()
    for key, value in settings.items():
        *path, last = key.split(".")
        section = values
        for name in path:
            section = section[name]
        section[last] = value
    try:
        return Recipe.model_validate(values)
    except ValidationError:
        return None


def as_overrides(settings: Settings) -> tuple[str, ...]:
    """Return settings as ``--set`` takes them, for example ``train.batch_tokens=4096``."""
    return tuple(f"{key}={_in_yaml(value)}" for key, value in settings.items())


def _in_yaml(value: object) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return text.removesuffix("\n").removesuffix("\n...")


def longest_pair(recipe: Recipe) -> int:
    """Return the most tokens that one dialogue and its summary may have together."""
    return recipe.data.max_source_tokens + recipe.data.max_target_tokens


def computes_in_bf16(recipe: Recipe, target: Target) -> bool:
    """Tell whether the recipe's arithmetic is bf16 on the device."""
    return recipe.model.precision == "bf16" or (recipe.model.precision == "auto" and target.bf16)


def family_of(base: str) -> tuple[str, ...]:
    """Return the bases of the same kind, smallest first; only itself where its kin are not known."""
    return next((family for family in FAMILIES if base in family), (base,))


def _unquantized(recipe: Recipe, _: Target) -> list[Settings]:
    return [{"model.quantize": "none"}] if recipe.model.quantize != "none" else []


def _checkpointing(recipe: Recipe, _: Target) -> list[Settings]:
    return [] if recipe.train.gradient_checkpointing else [{"train.gradient_checkpointing": True}]


def halved_budgets(recipe: Recipe, _: Target | None = None) -> list[Settings]:
    """Halve the batch and double the accumulation, as long as the longest dialogue fits in."""
    train, options = recipe.train, list[Settings]()
    budget, accumulate = train.batch_tokens, train.accumulate
    while budget // 2 >= max(SMALLEST_BUDGET, longest_pair(recipe)):
        budget, accumulate = budget // 2, accumulate * 2
        options.append({"train.batch_tokens": budget, "train.accumulate": accumulate})
    return options


def _bf16(recipe: Recipe, target: Target) -> list[Settings]:
    return [] if computes_in_bf16(recipe, target) else [{"model.precision": "bf16"}]


def _adafactor(recipe: Recipe, _: Target) -> list[Settings]:
    if not isinstance(recipe.method, Full) or recipe.train.optimizer == "adafactor":
        return []
    return [{"train.optimizer": "adafactor", "train.learning_rate": ADAFACTOR_RATE}]


def _plain_lora(recipe: Recipe, _: Target) -> list[Settings]:
    return [{"method.dora": False}] if isinstance(recipe.method, Lora) and recipe.method.dora else []


def _lora(recipe: Recipe, _: Target) -> list[Settings]:
    if not isinstance(recipe.method, Full):
        return []
    return [{"method": {"kind": "lora"}, "train.learning_rate": None, "train.optimizer": "adamw"}]


def _int8(recipe: Recipe, _: Target) -> list[Settings]:
    return [{"model.quantize": "int8"}] if recipe.method.frozen_base and recipe.model.quantize == "none" else []


def _nf4(recipe: Recipe, _: Target) -> list[Settings]:
    return [{"model.quantize": "nf4"}] if recipe.method.frozen_base and recipe.model.quantize != "nf4" else []


def _targets(recipe: Recipe, _: Target) -> list[Settings]:
    if not isinstance(recipe.method, Lora):
        return []
    fewer = {"all-linear": ["attention", "qv"], "attention": ["qv"]}
    known = fewer.get(recipe.method.targets, []) if isinstance(recipe.method.targets, str) else []
    return [{"method.targets": targets} for targets in known]


def _bases(recipe: Recipe, _: Target) -> list[Settings]:
    family = family_of(recipe.model.base)
    smaller = family[: family.index(recipe.model.base)]
    return [{"model.base": base, "model.revision": None} for base in reversed(smaller)]


MOVES = (
    Move("16-bit base", "none: quantized layers are slower, and keep more for the backward pass", _unquantized),
    Move("gradient checkpointing", "a step takes about a third longer; the result is the same", _checkpointing),
    Move("smaller batches, more of them a step", "a little slower; the steps are as large as before", halved_budgets),
    Move("bf16 arithmetic", "rounding of the arithmetic; slower on a card without bf16", _bf16),
    Move("Adafactor in place of AdamW", "another optimizer, with a rate of its own to tune", _adafactor),
    Move("LoRA in place of DoRA", "a low rank learns a little less", _plain_lora),
    Move("LoRA in place of full tuning", "1.5 to 2.5 points of ROUGE-L here (docs/results.md)", _lora),
    Move("8-bit base", "a step is some times slower; the quality is close", _int8),
    Move("4-bit base", "a step is some times slower; the quality is close", _nf4),
    Move("adapters on fewer layers", "learns less (Schulman et al. 2025)", _targets),
    Move("a smaller base", "several points of ROUGE for each size", _bases),
)
