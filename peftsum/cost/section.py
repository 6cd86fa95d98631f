"""The `cost:` section of a recipe."""

from __future__ import annotations

from pydantic import Field

from peftsum.section import Section


class Cost(Section):
    """What the meters around training and generation read."""

    energy: bool = True
    """Read the energy of a run: GPU and CPU counters where there are any, a stated estimate where not."""
    cpu_watts_per_core: float | None = Field(None, gt=0, le=1000, allow_inf_nan=False)
    """Watts of a busy CPU core, for the estimate where no counter can be read (its range becomes 40 % to either side).
    Without it the estimate takes 8 W, from 3.5 to 15; the TDP of your chip divided by its cores is a better guess."""
    gpu_watts: float | None = Field(None, gt=0, le=10_000, allow_inf_nan=False)
    """TDP of the GPU in watts, for the estimate where it tells neither energy nor power (as some of laptops, or a slice
    of a card). Without it the estimate takes the power limit, where the driver gives that."""
    codecarbon: bool = False
    """Run codecarbon beside the meters and keep its figure with its difference from ours. Needs the extra `codecarbon`;
    it costs a second or two a phase."""
