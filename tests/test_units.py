"""Numbers as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftsum import units
from peftsum.units import format_bytes, format_count, format_grams, format_joules, format_money, format_seconds


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (format_bytes(0), "0 B"),
        (format_bytes(999), "999 B"),
        (format_bytes(999_600), "1 MB"),
        (format_bytes(1_340_000), "1.34 MB"),
        (format_bytes(22_400_000_000), "22.4 GB"),
        (format_joules(0.31), "0.31 J"),
        (format_joules(412.4), "412 J"),
        (format_joules(7200), "2 Wh"),
        (format_seconds(0.0851), "85.1 ms"),
        (format_seconds(0), "0.0 s"),
        (format_seconds(12.34), "12.3 s"),
        (format_seconds(125), "2 min 05 s"),
        (format_seconds(7380), "2 h 03 min"),
        (format_count(1310720), "1 310 720"),
    ],
)
def test_a_quantity_is_shown_with_its_unit(shown: str, expected: str) -> None:
    assert shown == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.25, "+1.2"),
        (-0.31, "\N{MINUS SIGN}0.3"),
        (0.04, "0.0"),
        (-0.04, "0.0"),
        (0.0, "0.0"),
        (-10.0, "\N{MINUS SIGN}10.0"),
    ],
)
def test_what_rounds_to_0_has_no_sign(value: float, text: str) -> None:
    assert units.signed(value) == text


@pytest.mark.parametrize(("p", "text"), [(1.0, "1"), (0.41234, "0.412"), (0.0501, "0.0501"), (0.00099, "< 0.001")])
def test_a_p_value_has_three_digits(p: float, text: str) -> None:
    assert units.format_probability(p) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0.0, "0.00 EUR"), (12.5, "12.50 EUR"), (0.25, "0.25 EUR"), (0.013, "0.013 EUR"), (0.00021, "0.00021 EUR")],
)
def test_money_has_two_digits_that_say_something(amount: float, text: str) -> None:
    assert format_money(amount, "EUR") == text


@given(st.floats(0, 1e9))
def test_any_sum_can_be_written(amount: float) -> None:
    text = format_money(amount, "EUR")
    assert text.endswith(" EUR")
    assert (text == "under 0.0001 EUR") == (0 < amount < 0.0001)
    if not text.startswith("under"):
        assert float(text.removesuffix(" EUR")) == pytest.approx(amount, rel=0.05, abs=0.005 if amount >= 0.1 else 0)


@pytest.mark.parametrize(
    ("mass_g", "text"), [(0.0, "0 mg"), (0.0042, "4.2 mg"), (0.9999, "1 g"), (344.1, "344 g"), (1234.0, "1.23 kg")]
)
def test_masses_take_the_unit_a_reader_would(mass_g: float, text: str) -> None:
    assert format_grams(mass_g) == text
