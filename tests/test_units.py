"""Numbers as people read them."""

import pytest

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
