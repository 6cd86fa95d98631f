"""codecarbon's figure for the same phase, as a check on ours; it is in no sum. Optional: ``pip install codecarbon``."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from peftsum.cost.meter import Device, describe
from peftsum.cost.readings import Reading, unmeasured

JOULES_PER_KWH = 3.6e6
SAMPLE_S = 5  # codecarbon's default is 15, longer than many a phase
SCOPE = "by codecarbon"


class CodecarbonCheck:
    """Runs codecarbon's offline tracker around a phase: no network, no file.

    Args:
        device: where the phase runs; on a GPU codecarbon looks at that one.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._tracker: Any = None
        self._failure: str | None = None
        self._version = ""

    def start(self) -> None:
        """Start the tracker; what goes wrong is the reading's reason."""
        try:
            self._tracker = self._started()
        except Exception as error:
            self._failure = describe(error)

    def stop(self) -> None:
        """Stop the tracker."""
        try:
            if self._tracker is not None:
                self._tracker.stop()
        except Exception as error:
            self._failure = describe(error)

    def reading(self, ours: Reading) -> Reading:
        """Return codecarbon's joules, with what they are made of and how far they are from ours.

        Args:
            ours: energy of the same phase.
        """
        found = getattr(self._tracker, "final_emissions_data", None)
        if self._failure or found is None or not found.energy_consumed > 0:
            return unmeasured("J", SCOPE, self._failure or "codecarbon gave no figure")
        parts = {"CPU": found.cpu_energy, "GPU": found.gpu_energy, "RAM": found.ram_energy}
        energy_j = found.energy_consumed * JOULES_PER_KWH
        told = [", ".join(f"{name} {kwh * JOULES_PER_KWH:.4g} J" for name, kwh in parts.items())]
        if ours.value:
            told.insert(0, f"{energy_j / ours.value - 1:+.0%} against ours ({ours.value:.4g} J)")
        source = f"codecarbon {found.codecarbon_version}, {found.tracking_mode} mode"
        return Reading(value=energy_j, unit="J", scope=SCOPE, source=source, estimated=True, reason="; ".join(told))

    def _started(self) -> Any:
        try:
            from codecarbon import OfflineEmissionsTracker  # type: ignore[import-not-found]  # an extra
        except ImportError as error:
            raise ImportError("codecarbon is not installed; `pip install peftsum[codecarbon]`") from error
        with warnings.catch_warnings(), _silent("codecarbon"):
            warnings.simplefilter("ignore")
            tracker = OfflineEmissionsTracker(
                country_iso_code="USA",  # it wants one to work out emissions, which are not read
                output_methods=[],
                allow_multiple_runs=True,  # without it a lock file is left behind by a killed run
                tracking_mode="process",
                measure_power_secs=SAMPLE_S,
                gpu_ids=[self._device.cuda_index()] if self._device.kind == "cuda" else [],
                log_level="critical",
            )
            tracker.start()
        return tracker


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """Keep a logger quiet that speaks before it reads its own log level."""
    logger = logging.getLogger(name)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
