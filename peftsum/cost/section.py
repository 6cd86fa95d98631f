"""The `cost:` section of a recipe."""

from __future__ import annotations

from typing import Self

from pydantic import Field, field_validator, model_validator

from peftsum.cost.grid import find_region, grid_years
from peftsum.section import Section


class Cost(Section):
    """What the meters around training and generation read, and what their joules are turned into.

    Nothing here changes the weights: a recipe that differs in this section alone is not trained again.
    """

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
    pue: float | None = Field(None, ge=1, le=5)
    """Power usage effectiveness of the place: all its power over that of its computers. 1 for a desk; ask a data centre
    for its own. Without it 1, with a range up to 1.56, the mean of data centres."""
    region: str | None = None
    """Whose electricity it was: an ISO 3166 code such as `DE` (`'NO'` in quotes, which YAML takes for false), or
    `WORLD`. Without it the world's mean, with the range of nearly all countries."""
    year: int | None = Field(None, ge=2000, le=2100)
    """The year of the grid's mean; without it the newest in the table."""
    grid_g_per_kwh: float | None = Field(None, ge=0, le=5000)
    """Grams of CO2-equivalent a kWh instead of the table's, for example those of your contract or of the hour."""
    price_per_kwh: float | None = Field(None, ge=0)
    """What a kWh costs you, in `currency`."""
    price_per_hour: float | None = Field(None, ge=0)
    """What an hour of the device costs you, in `currency`: the rent of a cloud machine, electricity included."""
    currency: str | None = Field(None, pattern=r"^[A-Z]{3}$")
    """Of the prices, by its ISO 4217 code, for example `EUR`."""
    water_l_per_kwh: float | None = Field(None, ge=0)
    """Litres of water a kWh, with its `water_source`; without it water is left out, as it differs too much by place."""
    water_source: str | None = Field(None, min_length=1)
    """Where `water_l_per_kwh` is from."""
    embodied_kg: float | None = Field(None, ge=0)
    """Kilograms of CO2-equivalent that making the device took (its maker's product carbon footprint). With `lifetime_h`
    a share of it counts by the time taken."""
    lifetime_h: float | None = Field(None, gt=0)
    """Hours of use over which `embodied_kg` is spread, for example 35040 for four years without a break."""

    @field_validator("region", mode="before")
    @classmethod
    def _not_norway(cls, region: object) -> object:
        if region is False:
            raise ValueError("YAML reads NO as false; put Norway's code in quotes: 'NO'")
        return region

    @field_validator("region")
    @classmethod
    def _known_region(cls, region: str | None) -> str | None:
        return None if region is None else find_region(region)

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if self.currency is None and (self.price_per_kwh is not None or self.price_per_hour is not None):
            raise ValueError("a price needs its `currency`, for example EUR")
        for one, other in (("water_l_per_kwh", "water_source"), ("embodied_kg", "lifetime_h")):
            if (getattr(self, one) is None) != (getattr(self, other) is None):
                raise ValueError(f"`{one}` and `{other}` go together: give both, or neither")
        if self.year is not None and self.grid_g_per_kwh is None:
            years = grid_years(self.region)
            if self.year not in years:
                known = ", ".join(map(str, years))
                raise ValueError(f"no grid intensity of {self.year} for {self.region or 'WORLD'}; known: {known}")
        return self
