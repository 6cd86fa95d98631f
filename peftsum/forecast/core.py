"""The forecast of a training: memory, time and energy, before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from peftsum.cost.forecast import Amount, Forecast, MemoryItem
from peftsum.exceptions import UsageError
from peftsum.forecast.bases import base_config
from peftsum.forecast.memory import memory_items, total
from peftsum.forecast.speed import BUDGET_S, energy, step_seconds
from peftsum.forecast.step import StepCost, step_cost
from peftsum.forecast.target import Target
from peftsum.forecast.workload import Lengths, Workload, validation_batches, workload_of
from peftsum.recipe import Recipe
from peftsum.units import format_bytes


def forecast(
    recipe: Recipe, target: Target, workload: Workload | None = None, *, timing_s: float = BUDGET_S
) -> Forecast:
    """Return what a training is expected to take on a device; no weights are read, and nothing is computed.

    Args:
        recipe: what is to be trained.
        target: where.
        workload: the training's batches, where they are known already; None reads the recipe's data.
        timing_s: most seconds to spend on timing operations, where the device is this machine.

    Raises:
        ModelError: no such base, or it is no T5.
        HubError: the base's sizes are not shipped here, and the Hub cannot be reached.
        RecipeError: the method does not fit the base.
        DataError: the recipe's data is not there or has bad rows.
        UsageError: it has a teacher, whose weights and forward pass are not counted.
    """
    if recipe.train.objective.kind != "plain":
        raise UsageError(
            f"train.objective: {recipe.train.objective.kind} is not forecast: its teacher takes memory and time, too",
            hint="--set train.objective.kind=plain forecasts the rest; add the teacher's weights and its forward pass",
        )
    if workload is None:
        plain = base_config(recipe.model)[0].model_type == "t5"
        workload = workload_of(recipe, target.kind, plain_t5=plain)
    batch = heaviest(recipe, workload)
    cost, items, peak = _memory(recipe, target, workload, batch)
    weigh = _weigher(recipe)
    mean = sum(map(weigh, workload.batches)) / len(workload.batches) / weigh(batch)
    step_s = step_seconds(cost, target, workload.batches_a_step, mean, timing_s)
    wall_s = None
    if step_s is not None and workload.steps:  # without the data their number is not known, and no time is 0
        work = sum(op.flops * count for op, count in cost.work.items())
        wall_s = wall_seconds(recipe, workload, step_s, work * mean * workload.batches_a_step)
    return Forecast(
        device=target.name,
        peak_memory_bytes=peak,
        memory=items,
        steps=workload.steps,
        step_s=step_s,
        wall_s=wall_s,
        energy_j=energy(recipe, target, wall_s, peak.value) if wall_s is not None else None,
        notes=tuple(_notes(recipe, target, workload, cost, peak)),
    )


def peak_memory(recipe: Recipe, target: Target, workload: Workload) -> Amount:
    """Return the peak of :func:`forecast` alone, without its time and energy: what a search among recipes needs.

    Args:
        recipe: what is to be trained.
        target: where.
        workload: the training's batches.
    """
    return _memory(recipe, target, workload, heaviest(recipe, workload))[2]


def _memory(
    recipe: Recipe, target: Target, workload: Workload, batch: Lengths
) -> tuple[StepCost, tuple[MemoryItem, ...], Amount]:
    cost = counted_step(recipe, batch, target.kind, arithmetic_is_bf16(recipe, target), workload)
    items = memory_items(cost, target.kind, tokens_held=workload.tokens_held)
    return cost, items, total([item.amount for item in items], "one step on fake tensors, calibrated against real runs")


def arithmetic_is_bf16(recipe: Recipe, target: Target) -> bool:
    """Tell whether a recipe computes in bf16 on a device."""
    wanted = recipe.model.precision
    return target.bf16 if wanted == "auto" else wanted == "bf16"


def counted_step(recipe: Recipe, batch: Lengths, kind: str, bf16: bool, workload: Workload) -> StepCost:
    """Return what a step takes; counted once for recipes that differ in nothing a step depends on."""
    decoded, scored = validation_batches(recipe, workload) if workload.validations else ((), ())
    return _counted_step(shaping(recipe), batch, kind, bf16, decoded, scored)


def shaping(recipe: Recipe) -> str:
    """Return what of a recipe a step depends on, as a recipe in JSON: the same text, the same step."""
    train = recipe.train
    kept = {
        "name": "step",
        "model": recipe.model.model_dump(include={"base", "revision", "quantize", "attention"}),
        "method": recipe.method.model_dump(),
        "generation": {"num_beams": recipe.generation.num_beams},
        "train": {
            "optimizer": train.optimizer,
            "weight_decay": float(train.weight_decay > 0),
            "accumulate": min(2, train.accumulate),
            "max_grad_norm": 1.0 if train.max_grad_norm is not None else None,
            "gradient_checkpointing": train.gradient_checkpointing,
            "dropout": recipe.dropout if not recipe.dropout else 0.1,
            "engine": train.engine.model_dump(),
        },
    }
    return Recipe.model_validate(kept).model_dump_json()


@lru_cache(maxsize=256)
def _counted_step(
    shaping_json: str, batch: Lengths, kind: str, bf16: bool, decoded: Lengths, scored: Lengths
) -> StepCost:
    recipe = Recipe.model_validate_json(shaping_json)
    return step_cost(recipe, batch, kind=kind, bf16=bf16, decoded=decoded, scored=scored)


def heaviest(recipe: Recipe, workload: Workload) -> Lengths:
    """Return the batch whose step should take the most memory."""
    return max(set(workload.batches), key=_weigher(recipe))


def _weigher(recipe: Recipe) -> Callable[[Lengths], float]:
    """Return the weight of a batch beside others: what the layers keep of, and compute for, each token and pair."""
    config, _ = base_config(recipe.model)
    inner, heads = int(config.num_heads * config.d_kv), int(config.num_heads)
    encoder, decoder = int(config.num_layers), int(config.num_decoder_layers)
    a_token = int(3 * config.d_model + 5 * inner + 2 * config.d_ff)

    def weight(batch: Lengths) -> float:
        tokens = sum(encoder * s + 1.5 * decoder * t + decoder * s * inner * 2 / a_token for s, t in batch)
        pairs = sum(encoder * s * s + decoder * (t * t + s * t) for s, t in batch)
        return a_token * tokens + heads * pairs

    return weight


def wall_seconds(recipe: Recipe, workload: Workload, step_s: Amount, step_flops: float) -> Amount:
    """Return the seconds of a whole training: its steps, and its validations at the same rate of computing.

    A validation takes the loss and a summary of each dialogue: 2 operations a weight and token (Kaplan et al. 2020,
    section 2.1), no longer than the recipe lets summaries be, and half of that where they end early.
    """
    config, _ = base_config(recipe.model)
    width, inner = int(config.d_model), int(config.num_heads * config.d_kv)
    feed = 3 * width * int(config.d_ff)
    encoder = int(config.num_layers) * (4 * width * inner + feed)
    decoder = int(config.num_decoder_layers) * (8 * width * inner + feed) + width * int(config.vocab_size)
    source, target = sum(s for s, _ in workload.checks), sum(t for _, t in workload.checks)
    written = len(workload.checks) * recipe.generation.max_new_tokens * recipe.generation.num_beams
    once = 2 * (2 * encoder * source + decoder * target)
    share = [workload.validations * (once + 2 * decoder * written * part) / step_flops for part in (0.75, 0.4, 2.0)]
    value, low, high = ((workload.steps + extra) for extra in share)
    return Amount(
        value=step_s.value * value,
        low=step_s.low * low,
        high=step_s.high * high,
        unit="s",
        source=f"{workload.steps} steps and {workload.validations} validations; {step_s.source}",
    )


def _notes(recipe: Recipe, target: Target, workload: Workload, cost: StepCost, peak: Amount) -> list[str]:
    notes = [f"lengths: {workload.source}"]
    if cost.peak_in_validation:
        notes.append("the peak is in the validations during training: fewer beams or shorter dialogues lower it")
    if recipe.model.quantize != "none":
        plain = recipe.model_copy(
            update={"model": recipe.model.model_copy(update={"quantize": "none", "precision": "bf16"})}
        )
        more = peak.value - peak_memory(plain, target, workload).value
        if more > 0:
            name = {"int8": "8-bit", "nf4": "4-bit"}[recipe.model.quantize]
            notes.append(f"{name} takes {format_bytes(more)} more memory here than bfloat16 weights would")
    return notes
