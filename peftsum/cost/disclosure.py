"""From the readings of a phase to what is disclosed: energy at the site, carbon, money, water, the embodied share."""

from __future__ import annotations

from peftsum.cost.grid import grid_intensity
from peftsum.cost.quantity import Quantity, of_reading, product, total, unknown
from peftsum.cost.readings import Readings
from peftsum.cost.section import Cost
from peftsum.section import Record
from peftsum.units import GRAMS_PER_KILOGRAM, JOULES_PER_KILOWATT_HOUR, SECONDS_PER_HOUR

CARBON = "g CO2e"
# Uptime Institute's Global Data Center Survey of 2024: 1.56 on average, and 1.55 to 1.59 in each year since 2020.
MEAN_PUE = 1.56


class Disclosure(Record):
    """What one phase took, as it is told outside. Each figure has its range and source, or a reason."""

    energy_kwh: Quantity
    """At the site: what was read, times the PUE."""
    carbon_g: Quantity
    """Operational: of that energy, by the grid's intensity (location-based, life cycle of the power plants)."""
    embodied_g: Quantity
    """The share of making the device, by time."""
    electricity_money: Quantity
    """That energy at the tariff."""
    device_money: Quantity
    """The device's hours at their price; electricity is in it where the device is rented."""
    water_l: Quantity

    @property
    def total_carbon_g(self) -> Quantity:
        """Operational and embodied; the first alone where no embodied share is stated."""
        return self.carbon_g if self.embodied_g.value is None else total([self.carbon_g, self.embodied_g])


def power_usage_effectiveness(cost: Cost) -> Quantity:
    """Return the PUE: as stated, else 1 with a range to the mean of data centres, as the place is not known."""
    if cost.pue is not None:
        return Quantity(value=cost.pue, unit="", source=f"PUE {cost.pue:g}, as given")
    source = f"PUE 1, as for a machine outside a data centre; range to {MEAN_PUE}, the mean of data centres"
    return Quantity(value=1.0, low=1.0, high=MEAN_PUE, unit="", source=source)


def disclose(readings: Readings | None, cost: Cost) -> Disclosure:
    """Return what a phase's readings amount to.

    Args:
        readings: of the phase; None where nothing was recorded.
        cost: the recipe's place, prices and device.
    """
    return disclose_amounts(
        of_reading(readings.energy_j if readings else None, "J"),
        of_reading(readings.wall_s if readings else None, "s"),
        cost,
    )


def disclose_amounts(energy_j: Quantity, wall_s: Quantity, cost: Cost) -> Disclosure:
    """Return what joules and seconds amount to at a place: carbon, money, water; see :func:`disclose`."""
    energy = product([energy_j, power_usage_effectiveness(cost)], "kWh", 1 / JOULES_PER_KILOWATT_HOUR)
    return Disclosure(
        energy_kwh=energy,
        carbon_g=product([energy, grid_intensity(cost.region, cost.year, cost.grid_g_per_kwh)], CARBON),
        embodied_g=_embodied(wall_s, cost),
        electricity_money=_priced(energy, cost.price_per_kwh, cost, "a kWh"),
        device_money=_priced(_hours(wall_s), cost.price_per_hour, cost, "an hour of the device"),
        water_l=_water(energy, cost),
    )


def _embodied(wall_s: Quantity, cost: Cost) -> Quantity:
    """Return M = TE x TS x RS of ISO/IEC 21031: all that making the device took, by its time share, wholly reserved."""
    if cost.embodied_kg is None or cost.lifetime_h is None:
        return unknown(CARBON, "no cost.embodied_kg is stated")
    source = f"{cost.embodied_kg:g} kg embodied over {cost.lifetime_h:g} h, as given"
    rate = Quantity(value=GRAMS_PER_KILOGRAM * cost.embodied_kg / cost.lifetime_h, unit="g CO2e/h", source=source)
    return product([_hours(wall_s), rate], CARBON)


def _hours(wall_s: Quantity) -> Quantity:
    return product([wall_s], "h", 1 / SECONDS_PER_HOUR)


def _priced(amount: Quantity, price: float | None, cost: Cost, what: str) -> Quantity:
    unit = cost.currency or "currency"
    if price is None:
        return unknown(unit, f"no price of {what} is stated")
    return product([amount, Quantity(value=price, unit=unit, source=f"{price:g} {unit} {what}, as given")], unit)


def _water(energy: Quantity, cost: Cost) -> Quantity:
    if cost.water_l_per_kwh is None:
        return unknown("L", "no source of water figures is stated, and without one they are left out")
    source = f"{cost.water_l_per_kwh:g} L/kWh ({cost.water_source})"
    return product([energy, Quantity(value=cost.water_l_per_kwh, unit="L/kWh", source=source)], "L")
