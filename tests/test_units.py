"""Numbers as people read them."""

import pytest

from peftsum import units
from peftsum.units import format_bytes, format_count, format_joules, format_seconds


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
