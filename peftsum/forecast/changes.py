"""The cheapest changes that make a recipe fit a device."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from peftsum.cost.forecast import Amount, Forecast
from peftsum.forecast.moves import MOVES, Move, Settings, as_overrides, with_settings
from peftsum.forecast.target import Target
from peftsum.forecast.verdict import Verdict, judge
from peftsum.recipe import Recipe
from peftsum.section import Record

logger = logging.getLogger(__name__)

ForecastOf = Callable[[Recipe], Forecast]
"""The forecast of a recipe on the device in question."""
PeakOf = Callable[[Recipe], Amount]
"""Its peak of memory alone, which a search asks of many recipes."""
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


@dataclass(frozen=True)
class _Tried:
    """A change, and what it makes of the peak."""

    steps: tuple[Step, ...]
    recipe: Recipe
    peak: Amount
    verdict: Verdict

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(move.name for move, _ in self.steps)

    @property
    def settings(self) -> tuple[str, ...]:
        return as_overrides(_settings(self.steps))


@dataclass(frozen=True)
class _Search:
    """Looks for changes of one recipe on one device."""

    recipe: Recipe
    target: Target
    peak_of: PeakOf

    def tried(self, steps: Sequence[Step]) -> _Tried | None:
        """Return what the steps make of the recipe; None where they do not go together."""
        changed = with_settings(self.recipe, _settings(steps))
        if changed is None:
            return None
        logger.info("trying %s", " + ".join(move.name for move, _ in steps))
        peak = self.peak_of(changed)
        return _Tried(tuple(steps), changed, peak, judge(peak, self.target.memory_bytes))

    def combined(self) -> _Tried | None:
        """Take one kind of change after the other until it fits, then leave out what was not needed."""
        taken: list[Step] = []
        peak = self.peak_of(self.recipe).value
        for move in MOVES:
            best = self.gentlest_that_fits(taken, move)
            if best is None or best.peak.value > (1 - WORTH) * peak:
                continue
            taken, peak = list(best.steps), best.peak.value
            if best.verdict == "fits":
                return self.without_the_needless(taken)
        return None

    def gentlest_that_fits(self, taken: Sequence[Step], move: Move) -> _Tried | None:
        """Return the gentlest option of a move that fits on top of what is taken, or its strongest."""
        last = None
        for settings in move.options(self.after(taken), self.target):
            tried = self.tried([*taken, (move, settings)])
            last = tried or last
            if tried is not None and tried.verdict == "fits":
                break
        return last

    def without_the_needless(self, taken: Sequence[Step]) -> _Tried | None:
        """Leave out what the rest fits without, dearest first; the last step made it fit and stays."""
        kept = list(taken)
        for step in list(reversed(kept[:-1])):
            rest = [other for other in kept if other is not step]
            tried = self.tried(rest)
            if tried is not None and tried.verdict == "fits":
                kept = rest
        return self.tried(kept)

    def after(self, steps: Sequence[Step]) -> Recipe:
        """Return the recipe as the steps leave it."""
        changed = with_settings(self.recipe, _settings(steps))
        assert changed is not None  # each was tried when it was taken
        return changed


def changes_that_fit(
    recipe: Recipe, target: Target, forecast_of: ForecastOf, most: int = 4, *, peak_of: PeakOf | None = None
) -> tuple[Change, ...]:
    """Return changes after which the recipe fits, the cheapest first; none where nothing helps.

    The first takes as many changes as it needs, each of the cheapest kinds; the others are single ones that would do
    by themselves.

    Args:
        recipe: one that does not fit, or may not.
        target: the device.
        forecast_of: called once for each change that is returned.
        most: changes to return.
        peak_of: the peak of that forecast alone, where it is had in less time; called for all that come into question.
    """
    search = _Search(recipe, target, peak_of or peak_alone(forecast_of))
    found = [combined] if (combined := search.combined()) else []
    for step in _single_steps(recipe, target):
        if len(found) >= most:
            break
        tried = search.tried([step])
        if tried and tried.verdict == "fits" and all(tried.settings != other.settings for other in found):
            if any(tried.names == other.names for other in found):
                continue  # of one kind the gentlest is enough
            found.append(tried)
    return tuple(_change(tried, forecast_of) for tried in found)


def peak_alone(forecast_of: ForecastOf) -> PeakOf:
    """Return what takes the peak from a whole forecast."""
    return lambda recipe: forecast_of(recipe).peak_memory_bytes


def _single_steps(recipe: Recipe, target: Target) -> Iterator[Step]:
    for move in MOVES:
        for settings in move.options(recipe, target):
            yield move, settings


def _settings(steps: Sequence[Step]) -> dict[str, object]:
    return {key: value for _, settings in steps for key, value in settings.items()}


def _change(tried: _Tried, forecast_of: ForecastOf) -> Change:
    return Change(
        names=tried.names,
        settings=tried.settings,
        price="; ".join(dict.fromkeys(move.price for move, _ in tried.steps)),
        forecast=forecast_of(tried.recipe),
        verdict=tried.verdict,
    )
