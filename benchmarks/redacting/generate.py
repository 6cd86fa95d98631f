"""Dialogues with planted values, made at random from the templates of a set."""

from __future__ import annotations

import random
import string

import phonenumbers
from stdnum import iban, luhn
from stdnum.gb import nhs
from stdnum.in_ import aadhaar
from stdnum.it import codicefiscale
from stdnum.us import ssn

from redacting.templates import Templates

FIRST = (
    "Ada",
    "Boris",
    "Chen",
    "Delia",
    "Emil",
    "Fatima",
    "Goran",
    "Hana",
    "Ines",
    "Jonas",
    "Keiko",
    "Lars",
    "Mina",
    "Nils",
)
LAST = (
    "Abara",
    "Brandt",
    "Castell",
    "Dorn",
    "Eklund",
    "Farkas",
    "Greer",
    "Holm",
    "Ivanov",
    "Jensen",
    "Kowal",
    "Lindqvist",
)


def generate(templates: Templates, seed: int, each: int) -> list[str]:
    """Return ``each`` marked dialogues a kind, and twice as many without a value.

    Every value is marked ``{{kind|value}}``, as in ``cases.txt``.
    """
    rng = random.Random(seed)
    makers = {
        "phone": phone,
        "email": email,
        "address": address,
        "card": card,
        "iban": an_iban,
        "identity": identity,
        "birth": birth,
        "name": name,
    }
    made = []
    for kind, make in makers.items():
        for _ in range(each):
            speakers = rng.sample(FIRST, 2)
            value, carrier = make(rng, templates, speakers), rng.choice(templates.carriers[kind])
            text = carrier.replace("{}", f"{{{{{kind}|{value[0]}}}}}").replace("{what}", value[1])
            made.append(_dialogue(text, speakers))
    for _ in range(2 * each):
        text = "".join(rng.choice(string.digits) if c == "#" else c for c in rng.choice(templates.negatives))
        made.append(_dialogue(text, rng.sample(FIRST, 2)))
    return made


def _dialogue(text: str, speakers: list[str]) -> str:
    def shown(speaker: str) -> str:
        return f"{{{{name|{speaker}}}}}"

    turns = text.replace("{A}", shown(speakers[0])).replace("{B}", shown(speakers[1])).split("\n")
    return "\n".join(f"{shown(speakers[i % 2])}: {turn}" for i, turn in enumerate(turns))


def phone(rng: random.Random, templates: Templates, _: list[str]) -> tuple[str, str]:
    """Return a valid number of a region in one of the forms."""
    region = rng.choice(templates.regions)
    kind = rng.choice([phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE])
    example = phonenumbers.example_number_for_type(region, kind)
    national = phonenumbers.national_significant_number(example)
    while True:
        tail = "".join(rng.choice(string.digits) for _ in range(5))
        text = f"+{example.country_code}{national[:-5]}{tail}"
        number = phonenumbers.parse(text, None)
        if phonenumbers.is_valid_number(number):
            return rng.choice(templates.phone_forms)(number), ""


def email(rng: random.Random, templates: Templates, _: list[str]) -> tuple[str, str]:
    """Return an address in one of the forms."""
    before = f"{rng.choice(FIRST)}.{rng.choice(LAST)}".lower()
    return rng.choice(templates.email_forms)(
        before, rng.choice(["gmail.com", "example.org", "posteo.de", "yahoo.co.uk"])
    ), ""


def address(rng: random.Random, templates: Templates, _: list[str]) -> tuple[str, str]:
    """Return a street with a number in one of the forms."""
    form = rng.choice(templates.streets)
    return form.replace("{n}", str(rng.randint(2, 399))).replace("{name}", rng.choice(LAST)), ""


def card(rng: random.Random, templates: Templates, _: list[str]) -> tuple[str, str]:
    """Return a number of a large issuer whose Luhn sum holds."""
    start = rng.choice(["4", "51", "53", "2223", "6011"])
    body = start + "".join(rng.choice(string.digits) for _ in range(15 - len(start)))
    return rng.choice(templates.card_forms)(body + luhn.calc_check_digit(body)), ""


def an_iban(rng: random.Random, templates: Templates, _: list[str]) -> tuple[str, str]:
    """Return an IBAN whose check digits hold."""
    country, length = rng.choice([("DE", 18), ("ES", 20), ("CH", 17), ("PL", 24), ("DK", 14), ("FI", 14)])
    while True:
        body = "".join(rng.choice(string.digits) for _ in range(length))
        value = country + iban.calc_check_digits(f"{country}00{body}") + body
        if iban.is_valid(value, check_country=False):
            spaced = " ".join(value[i : i + 4] for i in range(0, len(value), 4))
            return rng.choice([value, spaced, spaced.replace(" ", "-"), value.lower()]), ""


def identity(rng: random.Random, templates: Templates, _: list[str]) -> tuple[str, str]:
    """Return an identity number that is valid, and what it is called."""
    what = rng.choice(templates.identities)
    while True:
        digits = "".join(rng.choice(string.digits) for _ in range(12))
        if what in {"social security number", "SSN"}:
            value, valid = f"{digits[:3]}-{digits[3:5]}-{digits[5:9]}", ssn.is_valid(digits[:9])
        elif what == "NHS number":
            value, valid = f"{digits[:3]} {digits[3:6]} {digits[6:10]}", nhs.is_valid(digits[:10])
        elif what == "Aadhaar":
            value, valid = f"{digits[:4]} {digits[4:8]} {digits[8:]}", aadhaar.is_valid(digits)
        elif what == "codice fiscale":
            body = "".join(rng.choice("BCDFGLMNPRST") for _ in range(6)) + digits[:2] + "H" + "15" + "F205"
            value = body + codicefiscale.calc_check_digit(body)
            valid = codicefiscale.is_valid(value)
        elif what in {"DNI", "Spanish DNI"}:
            value, valid = digits[:8] + "TRWAGMYFPDXBNJZSQVHLCKE"[int(digits[:8]) % 23], True
        elif what == "passport number":
            value, valid = f"{rng.choice('CLPX')}{digits[:8]}", True
        else:  # National Insurance
            pairs = f"{digits[:2]} {digits[2:4]} {digits[4:6]}"
            value = f"{rng.choice('ABCE')}{rng.choice('BCEG')} {pairs} {rng.choice('ABCD')}"
            valid = value[:2] not in {"BG", "GB"}
        if valid:
            return value, what


def birth(rng: random.Random, templates: Templates, _: list[str]) -> tuple[str, str]:
    """Return a date in one of the forms."""
    months = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October")
    month, day, year = rng.randrange(10), rng.randint(1, 28), rng.randint(1940, 2005)
    form = rng.choice(templates.dates)
    values = {"{d}": str(day), "{M}": months[month], "{m}": f"{month + 1:02d}", "{dd}": f"{day:02d}", "{y}": str(year)}
    for key, value in values.items():
        form = form.replace(key, value)
    return form.replace("{yy}", str(year)[2:]), ""


def name(rng: random.Random, templates: Templates, speakers: list[str]) -> tuple[str, str]:
    """Return a name that is not a speaker's."""
    free = [first for first in FIRST if first not in speakers]
    return rng.choice([rng.choice(free), f"{rng.choice(free)} {rng.choice(LAST)}"]), ""
