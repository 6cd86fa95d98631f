"""The best training that fits a device.

What is best is a matter of order, and this is the one taken, each with its reason:

1. The largest base. Of T5's sizes each gained 2 to 8 ROUGE-L over the next smaller, and no way of tuning made up for
   one (Dettmers et al. 2023, table 3).
2. Full tuning before LoRA (1.5 to 2.5 ROUGE-L apart, docs/results.md), LoRA on a 16-bit base before LoRA on a 4-bit one
   (as good within 1 ROUGE-L, and slower), that before an 8-bit one (no better, and slower still); where the device has
   no bf16, in which 4-bit layers compute, 8-bit before 4-bit.
3. No gradient checkpointing before some, which costs a third of the time; then the largest batches. A step has the
   recipe's tokens in any case: what batches lose, accumulation makes up.

What takes longer than a given time is passed over, where the device's speed is known.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from peftsum.cost.forecast import Forecast
from peftsum.exceptions import UsageError
from peftsum.forecast.bases import least_weight_bytes
from peftsum.forecast.changes import ForecastOf, PeakOf, peak_alone
from peftsum.forecast.moves import Settings, family_of, halved_budgets, with_settings
from peftsum.forecast.target import Target
from peftsum.forecast.verdict import judge
from peftsum.methods import Full
from peftsum.recipe import Recipe
from peftsum.units import format_bytes

logger = logging.getLogger(__name__)

LONGEST_S = 24 * 3600.0
HEADROOM = 0.05  # of a GPU's memory: a desktop and a browser on the same card take some hundred megabytes


@dataclass(frozen=True)
class Choice:
    """A recipe that fits, and what it takes."""

    recipe: Recipe
    forecast: Forecast


def choose(
    recipe: Recipe,
    target: Target,
    forecast_of: ForecastOf,
    longest_s: float = LONGEST_S,
    peak_of: PeakOf | None = None,
) -> Choice:
    """Return the best recipe that surely fits: the high end of its peak leaves a twentieth of the device's memory.

    Args:
        recipe: gives data, prompt, adapter, epochs and the tokens of a step; base, method, quantization, batches and
            checkpointing are searched.
        target: the device.
        forecast_of: called for recipes that fit.
        longest_s: most seconds that the training may take.
        peak_of: the peak of that forecast alone, where it is had in less time.

    Raises:
        UsageError: nothing fits, or the device's memory is not known.
    """
    if target.memory_bytes is None:
        raise UsageError(f"the memory of {target.title} is not known", hint="name a size, for example --gpu 8GB")
    peak_of = peak_of or peak_alone(forecast_of)
    memory_bytes = int(target.memory_bytes * (1 - HEADROOM))
    least_bytes = float("inf")
    for settings in _ways(recipe, target):
        way = with_settings(recipe, settings)
        if way is None:
            continue
        floor = least_weight_bytes(way)
        if floor > memory_bytes:  # a forecast takes seconds, and would only say so too
            least_bytes = min(least_bytes, floor)
            continue
        logger.info("trying %s, %s, quantize: %s", way.model.base, way.method.label(), way.model.quantize)
        for sizes in _sizes(way):
            least = peak_of(sizes[-1])
            least_bytes = min(least_bytes, least.high)
            if judge(least, memory_bytes) != "fits":
                continue
            for candidate in sizes:
                if judge(peak_of(candidate), memory_bytes) == "fits":
                    forecast = forecast_of(candidate)
                    if _in_time(forecast, longest_s):
                        return Choice(candidate, forecast)
    raise UsageError(
        f"no training of {recipe.model.base} or its kin fits {target.title} in time: the least is "
        f"{format_bytes(least_bytes)} of {format_bytes(memory_bytes)}",
        hint="lower data.max_source_tokens, name a larger device, or allow more time with --max-hours",
    )


def _ways(recipe: Recipe, target: Target) -> Iterator[Settings]:
    """Yield bases with methods and quantizations, the best first."""
    adapter = {"kind": "lora"} if isinstance(recipe.method, Full) else recipe.method.model_dump()
    full: Settings = {"method": {"kind": "full"}, "model.quantize": "none", "train.learning_rate": None}
    tuned = {} if isinstance(recipe.method, Full) else {"train.learning_rate": recipe.train.learning_rate}
    rates = {"train.learning_rate": None} | tuned
    kinds = ("none", "nf4", "int8") if target.bf16 or target.kind == "cpu" else ("none", "int8", "nf4")
    for base in reversed(family_of(recipe.model.base)):
        revision = recipe.model.revision if base == recipe.model.base else None
        where = {"model.base": base, "model.revision": revision}
        yield {**where, **full}
        for quantize in kinds:
            yield {**where, "method": adapter, "model.quantize": quantize, **rates}


def _sizes(recipe: Recipe) -> list[list[Recipe]]:
    """Return the recipe with every batch size, the largest first: without checkpointing, then with it."""
    budgets: list[Settings] = [{}, *halved_budgets(recipe)]
    return [
        [
            sized
            for budget in budgets
            if (sized := with_settings(recipe, {**budget, "train.gradient_checkpointing": checkpointing}))
        ]
        for checkpointing in (False, True)
    ]


def _in_time(forecast: Forecast, longest_s: float) -> bool:
    return forecast.wall_s is None or forecast.wall_s.value <= longest_s
