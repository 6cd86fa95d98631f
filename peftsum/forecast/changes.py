"""The cheapest changes that make a recipe fit a device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from peftsum.cost.forecast import Forecast
from peftsum.forecast.moves import MOVES, Move, Settings, as_overrides, with_settings
from peftsum.forecast.target import Target
from peftsum.forecast.verdict import Verdict, judge
from peftsum.recipe import Recipe
from peftsum.section import Record

ForecastOf = Callable[[Recipe], Forecast]
"""The forecast of a recipe on the device in question."""
WORTH = 0.01  # a part of the peak: a change that saves less is not worth its price
Step = tuple[Move, Settings]


class Change(Record):
    """What to change in a recipe, and what it then takes."""

    names: tuple[str, ...]
    """Of each change, for a reader: "gradient checkpointing", "4-bit base"."""
    settings: tuple[str, ...]
    """As ``--set`` takes them."""
    price: str
    """What it costs besides memory."""
    forecast: Forecast
    verdict: Verdict


def changes_that_fit(recipe: Recipe, target: Target, forecast_of: ForecastOf, most: int = 4) -> tuple[Change, ...]:
    """Return changes after which the recipe fits, the cheapest first; none where nothing helps.

    The first takes as many changes as it needs, each of the cheapest kinds; the others are single ones that would do
    by themselves.

    Args:
        recipe: one that does not fit, or may not.
        target: the device.
        forecast_of: called once a recipe that comes into question.
        most: changes to return.
    """
    found = [combined] if (combined := _combined(recipe, target, forecast_of)) else []
    for step in _single_steps(recipe, target):
        if len(found) >= most:
            break
        change = _change(recipe, [step], target, forecast_of)
        if change and change.verdict == "fits" and all(change.settings != other.settings for other in found):
            if any(change.names == other.names for other in found):
                continue  # of one kind the gentlest is enough
            found.append(change)
    return tuple(found)


def _combined(recipe: Recipe, target: Target, forecast_of: ForecastOf) -> Change | None:
    """Take one kind of change after the other until it fits, then leave out what was not needed."""
    taken: list[Step] = []
    peak = forecast_of(recipe).peak_memory_bytes.value
    for move in MOVES:
        best = _gentlest_that_fits(recipe, taken, move, target, forecast_of)
        if best is None:
            continue
        step, change = best
        if change.forecast.peak_memory_bytes.value > (1 - WORTH) * peak:
            continue
        taken, peak = [*taken, step], change.forecast.peak_memory_bytes.value
        if change.verdict == "fits":
            return _without_the_needless(recipe, taken, target, forecast_of)
    return None


def _gentlest_that_fits(
    recipe: Recipe, taken: Sequence[Step], move: Move, target: Target, forecast_of: ForecastOf
) -> tuple[Step, Change] | None:
    """Return the gentlest option of a move that fits on top of what is taken, or its strongest."""
    last = None
    for settings in move.options(_after(recipe, taken), target):
        change = _change(recipe, [*taken, (move, settings)], target, forecast_of)
        if change is None:
            continue
        last = (move, settings), change
        if change.verdict == "fits":
            break
    return last


def _without_the_needless(
    recipe: Recipe, taken: Sequence[Step], target: Target, forecast_of: ForecastOf
) -> Change | None:
    """Leave out what the rest fits without, dearest first; the last step made it fit and stays."""
    kept = list(taken)
    for step in list(reversed(kept[:-1])):
        rest = [other for other in kept if other is not step]
        change = _change(recipe, rest, target, forecast_of)
        if change is not None and change.verdict == "fits":
            kept = rest
    return _change(recipe, kept, target, forecast_of)


def _single_steps(recipe: Recipe, target: Target) -> Iterator[Step]:
    for move in MOVES:
        for settings in move.options(recipe, target):
            yield move, settings


def _after(recipe: Recipe, steps: Sequence[Step]) -> Recipe:
    changed = with_settings(recipe, _settings(steps))
    assert changed is not None  # each was tried when it was taken
    return changed


def _settings(steps: Sequence[Step]) -> dict[str, object]:
    return {key: value for _, settings in steps for key, value in settings.items()}


def _change(recipe: Recipe, steps: Sequence[Step], target: Target, forecast_of: ForecastOf) -> Change | None:
    """Return what the steps make of the recipe; None where they do not go together."""
    settings = _settings(steps)
    changed = with_settings(recipe, settings)
    if changed is None:
        return None
    forecast = forecast_of(changed)
    return Change(
        names=tuple(move.name for move, _ in steps),
        settings=as_overrides(settings),
        price="; ".join(dict.fromkeys(move.price for move, _ in steps)),
        forecast=forecast,
        verdict=judge(forecast.peak_memory_bytes, target.memory_bytes),
    )
