"""From readings to disclosure: units, ranges, the grid table, SCI, break-even."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from peftsum.cost.breakeven import BreakEven, break_even
from peftsum.cost.disclosure import MEAN_PUE, disclose
from peftsum.cost.grid import SOURCES, WORLD, find_region, grid_intensity, grid_table
from peftsum.cost.inference import ARRANGEMENTS, InferenceCost, software_carbon_intensity
from peftsum.cost.quantity import Quantity, of_reading, product, total, unknown
from peftsum.cost.ranges import Share, scenarios, shares
from peftsum.cost.readings import Reading, Readings, unmeasured
from peftsum.cost.section import Cost
from peftsum.exceptions import RecipeError
from peftsum.recipe_file import parse_recipe

CPU, RAM = "estimate: 8 W a busy core (range 3.5 to 15)", "estimate: 0.375 W a GiB resident (range 0.08 to 0.625)"
GERMANY = Cost(region="DE", year=2024, pue=1.2)


def estimate(value: float, low: float, high: float, source: str = CPU, scope: str = "CPU") -> Reading:
    return Reading(value=value, low=low, high=high, unit="J", scope=scope, source=source, estimated=True)


def phase(wall_s: float = 3600.0, energy: Reading | None = None, **changes: Any) -> Readings:
    return Readings(
        wall_s=Reading(value=wall_s, unit="s", scope="this process", source="perf_counter"),
        peak_memory_bytes=Reading(value=1e9, unit="B", scope="this process", source="peak resident set"),
        energy_j=energy or estimate(3.6e6, 1.8e6, 7.2e6),
        **changes,
    )


# The grid's table ----------------------------------------------------------------------------------------------------


def test_every_row_of_the_grid_table_has_a_source_a_year_and_a_plausible_figure() -> None:
    table = grid_table()
    assert len({row.region for row in table}) > 200
    for row in table:
        assert row.source in SOURCES
        assert 2021 <= row.year <= 2024
        assert 10 <= row.g_per_kwh <= 1400  # life cycle: wind and water near 11 and 24, old coal above 1000 (IPCC 2014)
        assert row.name
        assert row.region == WORLD or (len(row.region) == 2 and row.region.isupper())
        assert row.region == WORLD or (len(row.iso3) == 3 and row.iso3.isupper())
    assert len({(row.region, row.year) for row in table}) == len(table)
    assert all(len({row.region for row in table if row.name == name}) == 1 for name in {row.name for row in table})


@pytest.mark.parametrize(
    ("text", "code"), [("DE", "DE"), ("de", "DE"), (" us ", "US"), ("world", "WORLD"), ("NO", "NO"), ("XK", "XK")]
)
def test_a_region_is_found_whatever_its_case(text: str, code: str) -> None:
    assert find_region(text) == code


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("GER", "DE (Germany)"),
        ("DEU", "DE (Germany)"),
        ("Germny", "DE (Germany)"),
        ("USA", "US (United States)"),
        ("uk", "GB (United Kingdom)"),
        ("norway", "NO (Norway)"),
    ],
)
def test_an_unknown_region_suggests_the_likeliest(text: str, advice: str) -> None:
    with pytest.raises(ValueError, match="no region") as caught:
        find_region(text)
    assert f"did you mean {advice}?" in str(caught.value)


def test_a_recipe_names_the_wrong_region_by_line_and_norway_by_yaml() -> None:
    text = "name: x\nmethod: {kind: lora}\ncost:\n  region: GER\n"
    with pytest.raises(RecipeError, match=r"recipe:4: cost\.region.*did you mean DE \(Germany\)"):
        parse_recipe(text)
    with pytest.raises(RecipeError, match="Norway's code in quotes"):
        parse_recipe(text.replace("GER", "NO"))
    assert parse_recipe(text.replace("GER", "'NO'")).cost.region == "NO"


def test_the_ledger_keys_leave_the_fingerprint_alone() -> None:
    plain = parse_recipe("name: x\nmethod: {kind: lora}\n")
    stated = parse_recipe(
        "name: x\nmethod: {kind: lora}\ncost: {region: FR, pue: 1.1, price_per_kwh: 0.3, currency: EUR, "
        "embodied_kg: 300, lifetime_h: 35040, water_l_per_kwh: 1.8, water_source: the operator}\n"
    )
    assert plain.fingerprint == stated.fingerprint


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"price_per_kwh": 0.3}, "currency"),
        ({"price_per_hour": 0.3}, "currency"),
        ({"embodied_kg": 300.0}, "lifetime_h"),
        ({"water_l_per_kwh": 1.8}, "water_source"),
        ({"region": "DE", "year": 2019}, "no grid intensity of 2019 for DE; known: 2023, 2024"),
        ({"pue": 0.9}, "greater than or equal to 1"),
        ({"currency": "euro"}, "pattern"),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Cost(**changes)


def test_an_intensity_has_its_range_year_and_source() -> None:
    germany = grid_intensity("DE")
    assert (germany.value, germany.low, germany.high) == (344.1, 344.1, 380.9)
    assert "Germany in 2024" in germany.source
    assert "CC BY 4.0" in germany.source
    assert grid_intensity("DE", 2023).value == 380.9
    own = grid_intensity("DE", None, 25.0)
    assert (own.value, own.low, own.source) == (25.0, None, "25 g/kWh, as given")


def test_without_a_region_the_range_holds_nine_countries_of_ten() -> None:
    world = grid_intensity()
    assert world.value == 473.1
    assert "no region is stated" in world.source
    newest = {row.region: row for row in sorted(grid_table(), key=lambda r: r.year) if row.region != WORLD}
    low, high = world.ends
    inside = sum(low <= row.g_per_kwh <= high for row in newest.values())
    assert 0.89 <= inside / len(newest) <= 0.92
    stated = grid_intensity(WORLD)
    assert stated.ends == (473.1, 473.1)  # someone who asks for the world's mean gets it


# Quantities ----------------------------------------------------------------------------------------------------------

positive = st.floats(1e-3, 1e6)
quantities = st.tuples(positive, st.floats(0, 1), st.floats(1, 10)).map(
    lambda t: Quantity(value=t[0], low=t[0] * t[1], high=t[0] * t[2], unit="J", source="a model")
)


@given(st.lists(quantities, min_size=1, max_size=4), st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_ranges_propagate_whatever_the_parts_turn_out_to_be(parts: list[Quantity], places: list[float]) -> None:
    drawn = [p.ends[0] + place * (p.ends[1] - p.ends[0]) for p, place in zip(parts, places, strict=False)]
    added, multiplied = total(parts), product(parts, "J^n")
    assert added.ends[0] * (1 - 1e-9) <= sum(drawn) <= added.ends[1] * (1 + 1e-9)
    assert multiplied.ends[0] * (1 - 1e-9) <= math.prod(drawn) <= multiplied.ends[1] * (1 + 1e-9)


def test_what_is_unknown_stays_unknown_with_its_reason() -> None:
    lost = unknown("J", "no counter")
    known = Quantity(value=2.0, unit="J", source="a counter")
    for made in (total([known, lost]), product([known, lost], "J")):
        assert (made.value, made.reason) == (None, "no counter")
    with pytest.raises(ValueError, match="cannot be added up"):
        total([known, Quantity(value=1.0, unit="s", source="a clock")])
    with pytest.raises(ValueError, match="needs a reason"):
        Quantity(value=None, unit="J", source="none")
    assert of_reading(None, "J", "no run").reason == "no run"
    assert total([known, known]).low is None  # what has no range does not get one


# Disclosure ----------------------------------------------------------------------------------------------------------


def test_a_kilowatt_hour_by_hand() -> None:
    stated = Cost(region="DE", year=2024, pue=1.2, price_per_kwh=0.3, price_per_hour=2.0, currency="EUR")
    found = disclose(phase(), stated)
    # 3.6 MJ are 1 kWh, 1.2 at the site; 344.1 g in 2024, up to 380.9 in 2023; the energy's range is 0.5 to 2 times
    assert found.energy_kwh.value == pytest.approx(1.2)
    assert found.energy_kwh.ends == pytest.approx((0.6, 2.4))
    assert found.carbon_g.value == pytest.approx(412.92)
    assert found.carbon_g.ends == pytest.approx((0.6 * 344.1, 2.4 * 380.9))
    assert (found.electricity_money.value, found.electricity_money.unit) == (pytest.approx(0.36), "EUR")
    assert found.device_money.value == pytest.approx(2.0)
    for figure in (found.energy_kwh, found.carbon_g, found.electricity_money):
        assert CPU in figure.source
        assert "PUE 1.2, as given" in figure.source
    assert found.water_l.value is None
    assert "no source of water" in (found.water_l.reason or "")


def test_an_unstated_place_widens_the_range() -> None:
    found = disclose(phase(), Cost())
    assert found.energy_kwh.value == pytest.approx(1.0)
    assert found.energy_kwh.ends == pytest.approx((0.5, 2 * MEAN_PUE))
    assert found.carbon_g.value == pytest.approx(473.1)
    assert found.carbon_g.ends[0] < 50
    assert found.carbon_g.ends[1] > 2000


def test_water_counts_where_a_source_is_given() -> None:
    stated = GERMANY.model_copy(update={"water_l_per_kwh": 1.5, "water_source": "the operator's report of 2025"})
    water = disclose(phase(), stated).water_l
    assert water.value == pytest.approx(1.8)
    assert "the operator's report of 2025" in water.source


def test_unmeasured_energy_discloses_nothing_and_says_why() -> None:
    lost = phase(energy=unmeasured("J", "GPU 0", "NotSupported"))
    found = disclose(lost, Cost(price_per_hour=3.0, currency="USD"))
    for figure in (found.energy_kwh, found.carbon_g):
        assert (figure.value, figure.reason) == (None, "NotSupported")
    assert found.device_money.value == pytest.approx(3.0)  # which needs the clock alone
    assert disclose(None, Cost()).carbon_g.reason == "not recorded"


# Inference and SCI ---------------------------------------------------------------------------------------------------


def inference(summaries: int = 100, pass_s: tuple[float, ...] = (), **changes: Any) -> InferenceCost:
    fields: dict[str, Any] = {"readings": phase(36.0, estimate(7200.0, 3600.0, 14400.0))}
    return InferenceCost(arrangement="merged", summaries=summaries, pass_s=pass_s, **{**fields, **changes})


def test_the_sci_of_a_thousand_summaries_by_hand() -> None:
    # 100 summaries in 36 s and 7200 J: 72 kJ = 0.02 kWh a thousand, 0.024 at the site, 344.1 g/kWh: 8.2584 g.
    # 350 kg over 35 000 h are 10 g an hour; a thousand take 360 s, a tenth of an hour: 1 g.
    stated = GERMANY.model_copy(update={"embodied_kg": 350.0, "lifetime_h": 35_000.0})
    found = software_carbon_intensity(inference(), stated)
    assert found.value == pytest.approx(8.2584 + 1.0)
    assert found.ends == pytest.approx((0.012 * 344.1 + 1.0, 0.048 * 380.9 + 1.0))
    assert found.unit == "g CO2e"


def test_the_sci_is_unknown_without_an_embodied_share() -> None:
    assert "embodied_kg" in (software_carbon_intensity(inference(), GERMANY).reason or "")


def test_a_thousand_summaries_have_the_spread_of_their_passes() -> None:
    noisy = inference(pass_s=(8.0, 12.0, 10.0))
    assert noisy.wall_s.value == pytest.approx(360.0)
    assert noisy.wall_s.ends == pytest.approx((288.0, 432.0))
    assert noisy.energy_j.ends == pytest.approx((36_000 * 0.8, 144_000 * 1.2))
    assert noisy.peak_memory_bytes.value == 1e9  # not a thousand times it
    assert inference().wall_s.low is None


def test_short_windows_are_flagged_and_nothing_is_divided_by_no_summaries() -> None:
    assert inference(readings=phase(1.5)).short
    assert not inference().short
    assert inference(summaries=0).energy_j.reason == "no summary was written"
    absent = InferenceCost(arrangement="merged_int8", reason="bitsandbytes is not installed")
    assert absent.wall_s.reason == absent.peak_memory_bytes.reason == "bitsandbytes is not installed"
    assert not absent.short
    assert set(ARRANGEMENTS) == set(InferenceCost.model_fields["arrangement"].annotation.__args__)  # type: ignore[union-attr]


# Ranges of one machine -----------------------------------------------------------------------------------------------


def test_parts_are_taken_apart_where_they_add_up() -> None:
    cpu, ram = estimate(80.0, 35.0, 150.0, CPU), estimate(20.0, 4.0, 33.0, RAM, "RAM")
    whole = estimate(100.0, 39.0, 183.0, f"{CPU}, {RAM}")
    apart = shares(phase(energy=whole, energy_parts=(cpu, ram)), "here")
    assert apart is not None
    assert [(s.low, s.value, s.high) for s in apart] == [(35.0, 80.0, 150.0), (4.0, 20.0, 33.0)]
    other = shares(phase(energy=whole, energy_parts=(cpu,)), "here")  # a part is missing: the whole is one
    assert other is not None
    assert [s.value for s in other] == [100.0]
    assert shares(phase(energy=unmeasured("J", "GPU 0", "no counter")), "here") is None


def test_one_factor_is_at_one_level_in_all_figures() -> None:
    small, large = (shares(phase(energy=estimate(v, v / 2, 2 * v)), "here") for v in (10.0, 11.0))
    assert small is not None
    assert large is not None
    assert all(a < b for a, b in scenarios([small, large]))
    elsewhere = shares(phase(energy=estimate(11.0, 5.5, 22.0)), "elsewhere")
    assert elsewhere is not None
    assert any(a > b for a, b in scenarios([small, elsewhere]))


# Break-even ----------------------------------------------------------------------------------------------------------


def sure(value: float) -> tuple[Share, ...]:
    return (Share(None, value, value, value),)


def guess(value: float, factor: str = "watts") -> tuple[Share, ...]:
    return (Share(factor, value / 2, value, 2 * value),)


def test_break_even_by_hand() -> None:
    # 1000 J more of training, 2 J less a summary: 500 summaries
    found = break_even("full", "lora", (sure(3000.0), sure(2000.0)), (sure(5.0), sure(7.0)))
    assert found == BreakEven(dearer="full", cheaper="lora", outcome="after", summaries=500.0, low=500.0, high=500.0)
    assert break_even("lora", "full", (sure(2000.0), sure(3000.0)), (sure(7.0), sure(5.0))) == found


def test_the_dearer_never_pays_where_its_summaries_are_no_cheaper() -> None:
    for each in (5.0, 7.0):
        found = break_even("full", "lora", (sure(3000.0), sure(2000.0)), (sure(7.0), sure(each)))
        assert (found.outcome, found.summaries, found.high) == ("never", None, None)


def test_noise_larger_than_the_gain_leaves_it_unclear() -> None:
    noise = ((0.8, 1.2), (0.8, 1.2))
    found = break_even("full", "lora", (sure(3000.0), sure(2000.0)), (sure(5.0), sure(7.0)), noise)
    assert (found.outcome, found.summaries, found.high) == ("unclear", 500.0, None)
    assert found.low is not None
    assert found.low < 500
    slight = break_even("full", "lora", (sure(3000.0), sure(2000.0)), (sure(5.0), sure(7.0)), ((0.9, 1.1), (0.9, 1.1)))
    assert slight.outcome == "after"
    assert (slight.low, slight.high) == (pytest.approx(1000 / 3.2), pytest.approx(1000 / 0.8))


def test_an_unknown_cost_names_its_system() -> None:
    found = break_even("full", "lora", (sure(3.0), None), (sure(5.0), sure(7.0)))
    assert found.outcome == "unknown"
    assert found.reason == "not all costs are known of lora"


@given(positive, positive, positive, positive)
def test_a_shared_factor_cancels_and_separate_ones_do_not(a: float, b: float, c: float, d: float) -> None:
    apart = break_even("x", "y", (sure(a), sure(b)), (sure(c), sure(d)))
    together = break_even("x", "y", (guess(a), guess(b)), (guess(c), guess(d)))
    assert together.outcome == apart.outcome
    if apart.summaries is not None:
        assert together.low == pytest.approx(apart.summaries)
        assert together.high == pytest.approx(apart.summaries)
    separate = break_even("x", "y", (guess(a, "1"), guess(b, "2")), (guess(c, "3"), guess(d, "4")))
    if apart.outcome == "after" and separate.outcome == "after":
        assert separate.low is not None
        assert separate.high is not None
        assert apart.summaries is not None
        assert separate.low <= apart.summaries * (1 + 1e-9)
        assert apart.summaries <= separate.high * (1 + 1e-9)


@given(positive, positive, positive, positive)
def test_at_the_break_even_both_totals_are_equal(a: float, b: float, c: float, d: float) -> None:
    found = break_even("x", "y", (sure(a), sure(b)), (sure(c), sure(d)))
    if found.summaries is not None:
        assert a + found.summaries * c == pytest.approx(b + found.summaries * d, rel=1e-6)
    else:
        each = {"x": c, "y": d}
        assert each[found.dearer] >= each[found.cheaper]
