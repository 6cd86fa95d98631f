"""The forecast before a training: what it should take here, and the refusal of what cannot fit."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from peftsum.cost.forecast import Forecast
from peftsum.cost.limits import free_gpu_bytes, free_ram_bytes
from peftsum.exceptions import MisfitError
from peftsum.forecast.changes import ForecastOf, PeakOf, changes_that_fit
from peftsum.forecast.devices import target_here
from peftsum.forecast.plan import forecaster
from peftsum.forecast.target import Target
from peftsum.forecast.text import forecast_line
from peftsum.prepare import Prepared
from peftsum.recipe import Recipe
from peftsum.units import format_bytes

TIMING_S = 0.5  # beside a training's start of some seconds; `peftsum plan` takes its time

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Expected:
    """What a training should take on this machine."""

    forecast: Forecast
    target: Target
    """This machine, with the memory that it has to give now."""
    forecast_of: ForecastOf
    """Forecasts other recipes of the same data here."""
    peak_of: PeakOf | None = None
    """The peak of that alone, in less time."""


def expect(prepared: Prepared, device: str) -> Expected | None:
    """Return what a training should take here, or None, with a line in the log, where that cannot be worked out.

    Args:
        prepared: the recipe and its data.
        device: "cpu", "cuda" or "cuda:1", ….
    """
    try:
        target = target_here(device)
        target = target.model_copy(update={"memory_bytes": _free_bytes(device)})
        forecast_of = forecaster(target, prepared, "the recipe's data", timing_s=TIMING_S)
        return Expected(forecast_of(prepared.recipe), target, forecast_of, forecast_of.peak)
    except Exception as error:  # whatever it is, it is no reason not to train
        logger.info("no forecast: %s: %s", type(error).__name__, error)
        logger.debug("no forecast", exc_info=True)
        return None


def refuse_misfit(expected: Expected, recipe: Recipe) -> None:
    """Refuse a training whose least forecast is more than this machine has to give.

    Raises:
        MisfitError: with the cheapest change that fits.
    """
    peak, memory_bytes = expected.forecast.peak_memory_bytes, expected.target.memory_bytes
    if memory_bytes is None or peak.low <= memory_bytes:
        return
    raise MisfitError(
        f"this training takes at least {format_bytes(peak.low)}, and {expected.target.title} has "
        f"{format_bytes(memory_bytes)} to give now",
        hint=_remedy(expected, recipe),
    )


def _remedy(expected: Expected, recipe: Recipe) -> str:
    anyway = "`--ignore-forecast` trains all the same"
    try:
        changes = changes_that_fit(recipe, expected.target, expected.forecast_of, most=1, peak_of=expected.peak_of)
    except Exception as error:  # the refusal stands without it
        logger.debug("no change found: %s", error)
        return anyway
    if not changes:
        return f"no change of this recipe fits; name a smaller model.base; {anyway}"
    peak = format_bytes(changes[0].forecast.peak_memory_bytes.value)
    return f"{' '.join(f'--set {setting}' for setting in changes[0].settings)} takes {peak}; {anyway}"


def announce(expected: Expected | None) -> None:
    """Log the forecast in a line."""
    if expected is not None:
        logger.info("%s", forecast_line(expected.forecast))


def _free_bytes(device: str) -> int:
    if not device.startswith("cuda"):
        return free_ram_bytes()
    _, _, index = device.partition(":")
    return free_gpu_bytes(int(index or 0))
