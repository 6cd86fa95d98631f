"""Grid intensity: grams of CO2-equivalent a kWh of electricity, by country and year, from a table that is shipped.

The table, ``grid.csv``, holds figures of Ember's Yearly Electricity Data (licence CC BY 4.0), as two others publish
them: ``owid-2024`` the carbon intensity in Our World in Data's energy data of June 2024 (CC BY 4.0; years 2021 to
2023), ``ember-2025`` Ember's figures for 2024 as CO2.js of the Green Web Foundation republishes them. They are yearly
means of what a country generates, over the life cycle of its power plants; trade with neighbours, the hour and the
marginal plant are not in them. Two rows that could not be right were left out: the Central African Republic's 0, and
one of 2009.

Checked on 27 November 2026 against ``data/output/average-intensities.json`` of github.com/thegreenwebfoundation/co2.js:
all 88 rows of 2024 are those of its commit 6628f83f, rounded to a tenth; of the older 211 the 81 whose country and year
stand in the first half of that file at commit 03b5e45f are the same too. The other 130 were not verified.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from peftsum.cost.quantity import Quantity
from peftsum.registry import nearest

WORLD = "WORLD"
UNIT = "g CO2e/kWh"
SOURCES = {
    "owid-2024": "Ember, in Our World in Data's energy data of June 2024 (CC BY 4.0)",
    "ember-2025": "Ember, Yearly Electricity Data of 2025 (CC BY 4.0), as in CO2.js",
}
OTHER_CODES = {"UK": "GB", "EL": "GR"}  # of the European Union's own
NEARLY_ALL = 0.05  # share of the countries left out at either end of the range for an unknown place


@dataclass(frozen=True)
class Row:
    """One country in one year."""

    region: str
    """ISO 3166-1 alpha-2 (XK for Kosovo), or WORLD."""
    iso3: str
    """ISO 3166-1 alpha-3, by which other tables go; empty for the world."""
    name: str
    year: int
    g_per_kwh: float
    source: str
    """A key of :data:`SOURCES`."""


@cache
def grid_table() -> tuple[Row, ...]:
    """Return the shipped table."""
    with files("peftsum.cost").joinpath("grid.csv").open(encoding="utf-8") as file:
        return tuple(
            Row(row["region"], row["iso3"], row["name"], int(row["year"]), float(row["g_co2e_per_kwh"]), row["source"])
            for row in csv.DictReader(file)
        )


def find_region(text: str) -> str:
    """Return the code of a region in the table, whatever its case.

    Raises:
        ValueError: it is not there; the message names the nearest, by code or by name.
    """
    code = text.strip().upper()
    names = {row.region: row.name for row in grid_table()}
    if code in names:
        return code
    guess = _guess(code)
    advice = f"did you mean {guess} ({names[guess]})? it" if guess else "it"
    raise ValueError(
        f"no region {text!r} in the table of grid intensities; {advice} has {len(names) - 1} countries by their ISO "
        f"3166 codes of two letters, and {WORLD}; or give your own `grid_g_per_kwh`"
    )


def _guess(text: str) -> str | None:
    """Return the region that a wrong code was likely meant for: by another code, by name, by the start of a name."""
    others = {row.iso3: row.region for row in grid_table() if row.iso3} | OTHER_CODES
    if text in others:
        return others[text]
    by_name = {row.name.upper(): row.region for row in grid_table()}
    near = next((name for name in by_name if len(text) > 2 and name.startswith(text)), None) or nearest(text, by_name)
    return by_name[near] if near is not None else None


def grid_years(region: str | None) -> list[int]:
    """Return the years known of a region; None is the world."""
    return sorted(row.year for row in grid_table() if row.region == (region or WORLD))


def grid_intensity(region: str | None = None, year: int | None = None, given: float | None = None) -> Quantity:
    """Return the grams of CO2-equivalent a kWh.

    The range of a country is that of its years in the table: next year's mean may well lie outside it, and so may any
    hour. Where no region is stated the value is the world's mean, and the range holds nine countries of ten.

    Args:
        region: a code of the table; None where it is not stated.
        year: one of its years; None takes the newest.
        given: the user's own figure, which then stands for all of it.
    """
    if given is not None:
        return Quantity(value=given, unit=UNIT, source=f"{given:g} g/kWh, as given")
    rows = [row for row in grid_table() if row.region == (region or WORLD)]
    row = max(rows, key=lambda r: r.year) if year is None else next(r for r in rows if r.year == year)
    source = f"{row.g_per_kwh:g} g/kWh, mean of {row.name} in {row.year} ({SOURCES[row.source]})"
    if region is None:
        low, high = _usual_range()
        return Quantity(value=row.g_per_kwh, low=low, high=high, unit=UNIT, source=f"{source}, as no region is stated")
    intensities = [r.g_per_kwh for r in rows]
    return Quantity(value=row.g_per_kwh, low=min(intensities), high=max(intensities), unit=UNIT, source=source)


def _usual_range() -> tuple[float, float]:
    """Return the intensities between which nine countries of ten lie, each by its newest year."""
    newest: dict[str, Row] = {}
    for row in grid_table():
        if row.region != WORLD and (row.region not in newest or newest[row.region].year < row.year):
            newest[row.region] = row
    ordered = sorted(row.g_per_kwh for row in newest.values())
    cut = int(NEARLY_ALL * len(ordered))
    return ordered[cut], ordered[-1 - cut]
