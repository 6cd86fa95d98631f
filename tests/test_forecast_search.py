"""The searches over forecasts: cheapest changes that fit, the best that fits, and the file it is written to.

What a recipe takes is here a formula with the right signs, so that the searches are seen through thousands of cases;
the real forecast is in test_plan.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peftsum.cost.forecast import Amount, Forecast
from peftsum.exceptions import UsageError
from peftsum.forecast.changes import changes_that_fit
from peftsum.forecast.choose import HEADROOM, choose
from peftsum.forecast.moves import MOVES, as_overrides, family_of, halved_budgets, longest_pair, with_settings
from peftsum.forecast.target import Target
from peftsum.forecast.verdict import judge
from peftsum.forecast.writing import chosen_text, recipe_text
from peftsum.methods import Full, Lora
from peftsum.recipe import Recipe
from peftsum.recipe_file import load_recipe

WEIGHTS = {"small": 77e6, "base": 248e6, "large": 783e6, "xl": 2.85e9, "xxl": 11.1e9}
BYTES_A_WEIGHT = {"none": 2.0, "int8": 1.4, "nf4": 0.9}
TARGETS = {"all-linear": 1.0, "attention": 0.8, "qv": 0.7, "decoder": 0.6}
SPREAD = 0.1


def peak_bytes(recipe: Recipe) -> float:
    """Return about what a training takes: no measurement, but every change moves it the right way."""
    weights = WEIGHTS[recipe.model.base.rsplit("-", 1)[1]]
    if isinstance(recipe.method, Full):
        held = weights * (16 if recipe.train.optimizer == "adamw" else 8)
    else:
        held = weights * BYTES_A_WEIGHT[recipe.model.quantize]
    share = TARGETS[str(recipe.method.targets)] if isinstance(recipe.method, Lora) else 1.0
    fp32 = 2.0 if recipe.model.precision == "fp32" else 1.0
    dora = 1.2 if isinstance(recipe.method, Lora) and recipe.method.dora else 1.0
    kept = 0.3 if recipe.train.gradient_checkpointing else 1.0
    return 3e8 + held + recipe.train.batch_tokens * weights**0.5 * 20 * share * fp32 * dora * kept


def forecast_of(recipe: Recipe) -> Forecast:
    peak = peak_bytes(recipe)
    amount = Amount(
        value=peak, low=(1 - SPREAD) * peak, high=(1 + SPREAD) * peak, unit="B", source="a formula of this test"
    )
    return Forecast(device="test", peak_memory_bytes=amount, memory=(), steps=1)


def target_of(memory_bytes: float, *, bf16: bool = True) -> Target:
    return Target(name="test", title="a test GPU", kind="cuda", memory_bytes=int(memory_bytes), bf16=bf16)


def recipe_of(**sections: Any) -> Recipe:
    values = {"name": "r", "method": {"kind": "lora"}, "model": {"base": "google/flan-t5-base"}, **sections}
    return Recipe.model_validate(values)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """Return recipes over every kind of change."""
    full = draw(st.booleans())
    dora = draw(st.booleans())
    method = (
        {"kind": "full"} if full else {"kind": "lora", "targets": draw(st.sampled_from(list(TARGETS))), "dora": dora}
    )
    quantize = "none" if full else draw(st.sampled_from(["none", "int8"] if dora else list(BYTES_A_WEIGHT)))
    return recipe_of(
        method=method,
        model={
            "base": f"google/flan-t5-{draw(st.sampled_from(list(WEIGHTS)))}",
            "quantize": quantize,
            "precision": draw(st.sampled_from(["auto", "bf16", *(["fp32"] if quantize != "nf4" else [])])),
        },
        data={"max_source_tokens": draw(st.sampled_from([512, 768, 2048]))},
        train={
            "batch_tokens": draw(st.sampled_from([1024, 2048, 6000, 8192, 65536])),
            "accumulate": draw(st.sampled_from([1, 3])),
            "gradient_checkpointing": draw(st.booleans()),
        },
    )


memories = st.floats(3e8, 4e11)


@given(recipe=recipes(), memory=memories, bf16=st.booleans())
@settings(max_examples=300, deadline=None)
def test_every_change_fits_with_what_it_says_and_the_first_needs_all_of_it(
    recipe: Recipe, memory: float, bf16: bool
) -> None:
    target = target_of(memory, bf16=bf16)
    changes = changes_that_fit(recipe, target, forecast_of)
    for change in changes:
        assert change.verdict == "fits"
        assert change.forecast.peak_memory_bytes.high <= memory
    assert len({change.settings for change in changes}) == len(changes)
    if changes and len(changes[0].names) > 1:
        for move in [m for m in MOVES if m.name in changes[0].names[:-1]]:
            without = [m for m in MOVES if m.name in changes[0].names and m is not move]
            assert not _can_fit(recipe, target, [m.name for m in without], changes[0].settings), move.name


def _can_fit(recipe: Recipe, target: Target, names: list[str], given: tuple[str, ...]) -> bool:
    """Tell whether the changes of these names, with the settings of the whole, fit."""
    changed = recipe
    for move in MOVES:
        if move.name in names:
            options = [o for o in move.options(changed, target) if set(as_overrides(o)) <= set(given)]
            if not options:
                return False
            after = with_settings(changed, options[-1])
            if after is None:
                return False
            changed = after
    return judge(forecast_of(changed).peak_memory_bytes, target.memory_bytes) == "fits"


@given(recipe=recipes(), memory=memories)
@settings(max_examples=200, deadline=None)
def test_nothing_is_offered_only_where_even_the_least_does_not_fit(recipe: Recipe, memory: float) -> None:
    if changes_that_fit(recipe, target_of(memory), forecast_of):
        return
    least = recipe
    for move in MOVES:
        for option in move.options(least, target_of(memory)):
            least = with_settings(least, option) or least
    passed_over = 0.99 ** len(MOVES)  # by changes that save less than a hundredth each
    assert peak_bytes(least) * (1 + SPREAD) > memory * passed_over


def test_settings_are_what_the_command_line_takes(tmp_path: Path) -> None:
    recipe = recipe_of(
        model={"base": "google/flan-t5-xl"},
        method={"kind": "full"},
        train={"batch_tokens": 8192, "learning_rate": 1e-4},
    )
    (tmp_path / "r.yaml").write_text(recipe_text(recipe), encoding="utf-8")
    changes = changes_that_fit(recipe, target_of(9e9), forecast_of)
    assert changes
    for change in changes:
        changed = load_recipe(tmp_path / "r.yaml", change.settings)
        assert forecast_of(changed) == change.forecast


def test_the_gentlest_comes_first() -> None:
    recipe = recipe_of(train={"batch_tokens": 65536})
    enough = peak_bytes(with_settings(recipe, {"train.gradient_checkpointing": True}) or recipe) * (1 + SPREAD)
    names = [change.names for change in changes_that_fit(recipe, target_of(enough + 1), forecast_of)]
    assert names[0] == ("gradient checkpointing",)
    assert ("smaller batches, more of them a step",) in names


def test_a_quantization_that_takes_more_than_it_saves_is_the_first_to_go_and_never_advised() -> None:
    def wasteful(recipe: Recipe) -> Forecast:
        found = forecast_of(recipe)
        extra = 3e9 if recipe.model.quantize != "none" else 0.0
        peak = found.peak_memory_bytes
        more = {"value": peak.value + extra, "low": peak.low + extra, "high": peak.high + extra}
        return found.model_copy(update={"peak_memory_bytes": peak.model_copy(update=more)})

    plain = recipe_of(model={"base": "google/flan-t5-base"})
    enough = wasteful(plain).peak_memory_bytes.high
    quantized = recipe_of(model={"base": "google/flan-t5-base", "quantize": "int8"})
    first = changes_that_fit(quantized, target_of(enough + 1), wasteful)[0]
    assert first.settings == ("model.quantize=none",)
    for change in changes_that_fit(plain, target_of(0.7 * enough), wasteful):
        assert not any("quantize=" in setting for setting in change.settings)


def test_smaller_batches_keep_the_tokens_of_a_step_and_hold_the_longest_dialogue() -> None:
    recipe = recipe_of(train={"batch_tokens": 65536}, data={"max_source_tokens": 4000})
    options = next(m for m in MOVES if m.name.startswith("smaller batches")).options(recipe, target_of(1e9))
    assert options
    for option in options:
        assert option["train.batch_tokens"] * option["train.accumulate"] == 65536
        assert option["train.batch_tokens"] >= longest_pair(recipe)


def _tokens_a_step(recipe: Recipe) -> int:
    return recipe.train.batch_tokens * recipe.train.accumulate


def _chosen(recipe: Recipe, target: Target) -> Recipe | None:
    try:
        return choose(recipe, target, forecast_of).recipe
    except UsageError:
        return None


@given(recipe=recipes(), memory=memories, bf16=st.booleans())
@settings(max_examples=200, deadline=None)
def test_what_is_chosen_fits_keeps_the_steps_and_no_larger_base_would(
    recipe: Recipe, memory: float, bf16: bool
) -> None:
    target = target_of(memory, bf16=bf16)
    assert target.memory_bytes is not None
    chosen = _chosen(recipe, target)
    family = family_of(recipe.model.base)
    if chosen is not None:
        assert peak_bytes(chosen) * (1 + SPREAD) <= (1 - HEADROOM) * memory
        assert (
            chosen.train.batch_tokens * chosen.train.accumulate == recipe.train.batch_tokens * recipe.train.accumulate
        )
    for larger in family[family.index(chosen.model.base) + 1 :] if chosen else family:
        adapter = {"kind": "lora"} if isinstance(recipe.method, Full) else recipe.method.model_dump()
        for quantize in BYTES_A_WEIGHT:
            for budget in [{}, *halved_budgets(recipe)]:
                change = {
                    "model.base": larger,
                    "model.quantize": quantize,
                    "method": adapter,
                    "train.gradient_checkpointing": True,
                }
                tried = with_settings(recipe, {**change, **budget})
                assert tried is None or peak_bytes(tried) * (1 + SPREAD) > int((1 - HEADROOM) * target.memory_bytes)


def test_what_takes_too_long_is_passed_over() -> None:
    def slow(recipe: Recipe) -> Forecast:
        seconds = WEIGHTS[recipe.model.base.rsplit("-", 1)[1]] / 1e5
        wall = Amount(value=seconds, low=seconds, high=seconds, unit="s", source="a formula of this test")
        return forecast_of(recipe).model_copy(update={"wall_s": wall})

    chosen = [choose(recipe_of(), target_of(1e12), slow, hours * 3600).recipe.model.base for hours in (1, 8, 100)]
    assert chosen == [f"google/flan-t5-{size}" for size in ("base", "xl", "xxl")]
    with pytest.raises(UsageError, match="in time"):
        choose(recipe_of(), target_of(1e12), slow, 1.0)


def test_a_local_base_has_no_kin() -> None:
    assert family_of("builtin:tiny") == ("builtin:tiny",)
    assert family_of("my/model") == ("my/model",)


@given(recipe=recipes(), memory=memories)
@settings(max_examples=100, deadline=None)
def test_a_written_recipe_reads_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, recipe: Recipe, memory: float
) -> None:
    folder = tmp_path_factory.mktemp("written")
    (folder / "r.yaml").write_text(recipe_text(recipe), encoding="utf-8")
    assert load_recipe(folder / "r.yaml") == recipe
    target = target_of(memory)
    try:
        choice = choose(recipe, target, forecast_of)
    except UsageError:
        return
    text = chosen_text(choice, target, "recipes/r.yaml", "recipes/out.yaml")
    (folder / "out.yaml").write_text(text, encoding="utf-8")
    assert load_recipe(folder / "out.yaml") == choice.recipe
    assert max(map(len, text.splitlines())) <= 120
    assert "peftsum train recipes/out.yaml" in text
    assert "For whom: a test GPU" in text


@pytest.mark.parametrize(
    ("low", "high", "memory", "verdict"),
    [
        (1, 2, 3, "fits"),
        (1, 2, 2, "fits"),
        (1, 3, 2, "too close to call"),
        (2, 3, 1, "does not fit"),
        (1, 2, None, "unknown"),
    ],
)
def test_the_verdict_is_of_the_range(low: float, high: float, memory: int | None, verdict: str) -> None:
    amount = Amount(value=(low + high) / 2, low=low, high=high, unit="B", source="test")
    assert judge(amount, memory) == verdict
