"""Dates, times, prices and made-up personal data.

Personal data come from ranges that nobody owns: 555-01xx and 07700 900xxx telephone numbers (reserved for fiction),
example.com/.org mail addresses (RFC 2606), payment card test prefixes with a Luhn digit, and IBANs with valid check
digits of bank codes that are not given out.
"""

from __future__ import annotations

import random

from .people import pool

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
WORKDAYS = WEEKDAYS[:5]
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
STREETS = pool(
    "Elm Road, Station Street, Mill Lane, Park Avenue, Church Street, Garden Row, Harbour Street, Hill Road, Bridge "
    "Street, Oak Avenue, King Street, Rose Lane, Market Street, River Walk, Castle Road, Meadow Lane, Orchard Close, "
    "Linden Street, North Street, Victoria Road",
    "Quarry Terrace, Windmill Hill, Saddler Row, Foxglove Lane, Almond Court",
)
CITIES = pool(
    "Lisbon, Vienna, Dublin, Prague, Madrid, Oslo, Berlin, Rome, Athens, Glasgow, Bristol, Leeds, Chicago, Boston, "
    "Toronto, Zurich, Munich, Milan, Porto, Seville, Copenhagen, Stockholm, Brussels, Lyon, Denver, Montreal",
    "Tallinn, Ljubljana, Valletta, Aarhus, Tromso, Bergen",
)

RAIL_CITIES = pool(
    "Vienna, Prague, Berlin, Munich, Zurich, Milan, Rome, Lyon, Brussels, Hamburg, Cologne, Geneva, Venice, "
    "Florence, Salzburg, "
    "Strasbourg, Dresden, Bologna",
    "Ljubljana, Ghent, Innsbruck, Trieste",
)


def clock(minutes: int) -> str:
    """Minutes after midnight as "6:30 pm", or "6 pm" on the hour."""
    hour, minute = divmod(minutes, 60)
    half = "am" if hour < 12 else "pm"
    hour = (hour - 1) % 12 + 1
    return f"{hour}:{minute:02d} {half}" if minute else f"{hour} {half}"


def times(rng: random.Random, first_hour: int, last_hour: int, count: int, step: int = 15) -> list[str]:
    """`count` different clock times between two hours, in random order."""
    return [clock(m) for m in rng.sample(range(first_hour * 60, last_hour * 60 + 1, step), count)]


def date(rng: random.Random, month: str | None = None) -> str:
    """A day and month such as "14 March"."""
    return f"{rng.randint(1, 28)} {month or rng.choice(MONTHS)}"


def phone(rng: random.Random) -> str:
    """A telephone number of a range reserved for fiction."""
    if rng.random() < 0.5:
        return f"555-01{rng.randint(0, 99):02d}"
    return f"07700 900{rng.randint(0, 999):03d}"


def email(rng: random.Random, first: str, last: str) -> str:
    """A mail address at a domain reserved for examples."""
    first, last = first.lower(), last.lower()
    local = rng.choice((f"{first}.{last}", f"{first[0]}{last}", f"{first}{rng.randint(2, 99)}", f"{last}.{first}"))
    return f"{local}@example.{rng.choice(('com', 'org', 'net'))}"


def street_address(rng: random.Random, street: str) -> str:
    """A house number and street."""
    return f"{rng.randint(2, 98)} {street}"


def card(rng: random.Random) -> str:
    """A 16-digit card number: a test prefix, random digits and a valid Luhn digit."""
    digits = [int(c) for c in rng.choice(("40000000", "41111111", "55555555", "42424242"))]
    digits += [rng.randint(0, 9) for _ in range(7)]
    total = sum(d if i % 2 else sum(divmod(d * 2, 10)) for i, d in enumerate(digits))
    digits.append(-total % 10)
    text = "".join(map(str, digits))
    return " ".join(text[i : i + 4] for i in range(0, 16, 4))


def iban(rng: random.Random) -> str:
    """An IBAN with valid check digits (ISO 13616) and a bank code that is not given out."""
    country, bank, length = rng.choice((("DE", "00000000", 10), ("NL", "XXXX", 10), ("GB", "XXXX000000", 8)))
    account = bank + "".join(str(rng.randint(0, 9)) for _ in range(length))
    as_number = int("".join(str(int(c, 36)) for c in account + country + "00"))
    text = f"{country}{98 - as_number % 97:02d}{account}"
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))


def birth_date(rng: random.Random) -> str:
    """A date of birth of an adult."""
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1948, 2003)
    return rng.choice((f"{day} {MONTHS[month - 1]} {year}", f"{day:02d}/{month:02d}/{year}"))


def code(rng: random.Random, prefix: str, digits: int = 6) -> str:
    """A reference such as "BK-204918"."""
    return f"{prefix}-" + "".join(str(rng.randint(0, 9)) for _ in range(digits))
