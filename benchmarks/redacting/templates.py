"""How each set of made-up dialogues says things: two that were worked with, and one held apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import phonenumbers

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True)
class Templates:
    """How one set says things.

    Args:
        regions: whose telephone numbers, by ISO code.
        carriers: kind to sentences with ``{}`` for the value; a line break is a change of speaker.
        negatives: sentences whose ``#`` are random digits and that hold no value.
        phone_forms: ways to write a number, given the number of phonenumbers.
        email_forms: ways to write an address, given the part before and the domain.
        streets: ways to write an address, with ``{n}`` and ``{name}``.
        dates: ways to write a date, given day, month's name and number, and year.
        card_forms: ways to write the digits of a card.
    """

    regions: tuple[str, ...]
    carriers: dict[str, tuple[str, ...]]
    negatives: tuple[str, ...]
    phone_forms: tuple[Callable[[phonenumbers.PhoneNumber], str], ...]
    email_forms: tuple[Callable[[str, str], str], ...]
    streets: tuple[str, ...]
    dates: tuple[str, ...]
    card_forms: tuple[Callable[[str], str], ...]
    identities: tuple[str, ...]


def spoken(digits: str) -> str:
    """Say digits one by one."""
    return " ".join(WORDS[int(c)] for c in digits if c.isdigit())


def _national(number: phonenumbers.PhoneNumber) -> str:
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL))


def _international(number: phonenumbers.PhoneNumber) -> str:
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL))


def _digits(text: str) -> str:
    return "".join(c for c in text if c.isdigit())


def _with_oh(digits: str) -> str:
    """Say digits in groups of three, zero as "oh", two alike as "double"."""
    said, i = [], 0
    while i < len(digits):
        word = "oh" if digits[i] == "0" else WORDS[int(digits[i])]
        if digits[i : i + 2] == digits[i] * 2:
            said.append(f"double {word}")
            i += 2
        else:
            said.append(word)
            i += 1
        if i % 3 == 0 and i < len(digits):
            said[-1] += ","
    return " ".join(said)


WORKED_WITH = Templates(
    regions=("US", "GB", "DE", "FR", "ES"),
    carriers={
        "phone": ("My number is {}.", "What is your phone number?\nIt's {}.", "You can call me on {} tonight."),
        "email": ("My email is {}", "Your e-mail?\n{}, please.", "Send the file to my email, {}."),
        "address": ("I live at {}.", "Where do you live?\n{}.", "Send it to {}, please."),
        "card": ("My card number is {}.", "The card?\n{}, valid until 11/27.", "Charge it to {} then."),
        "iban": ("The IBAN is {}.", "Pay it to {} by Friday."),
        "identity": ("My {what} is {}.", "Your {what}?\n{}."),
        "birth": ("I was born on {}.", "Date of birth?\n{}.", "My birthday is {}."),
        "name": ("My name is {}.", "Hi {}, this is {A}.", "Hello, {A}.\nHi {B}, I'm {}."),
    },
    negatives=(
        "Order number ##########, please.",
        "It costs $#,###.## today.",
        "Version #.#.## came out in 20##.",
        "The train of 1#:## is late.",
        "We sold ####### copies.",
        "The meeting is on #/1#/20##.",
        "Room 1### on floor #.",
    ),
    phone_forms=(
        _national,
        _international,
        lambda n: spoken(_digits(_national(n))),
        lambda n: " ".join(_digits(_national(n))),
        lambda n: _national(n).replace(" ", "-"),
        lambda n: _digits(_national(n)),
    ),
    email_forms=(
        lambda a, b: f"{a}@{b}",
        lambda a, b: f"{a.replace('.', ' dot ')} at {b.replace('.', ' dot ')}",
        lambda a, b: f"{a} (at) {b.replace('.', ' (dot) ')}",
    ),
    streets=(
        "{n} {name} Street",
        "{n} {name} Road, Leeds LS1 4AB",
        "{name}straße {n}, 10115 Berlin",
        "{n} rue {name}, 75002 Paris",
    ),
    dates=("{d} {M} {y}", "{M} {d}, {y}", "{dd}/{m}/{y}", "{y}-{m}-{dd}"),
    card_forms=(lambda c: c, lambda c: " ".join(c[i : i + 4] for i in range(0, 16, 4)), lambda c: spoken(c)),
    identities=("social security number", "NHS number", "Aadhaar", "DNI"),
)
WORKED_WITH_LATER = Templates(
    regions=("IT", "NL", "IN", "CN", "AU", "BR", "SE", "CA", "JP", "ZA", "MX"),
    carriers={
        "phone": (
            "If anything comes up, I'm reachable under {}.",
            "How can we get hold of you?\nMy cell, {}, is best.",
            "I lost my phone, so use {} for now.",
            "Here you go: {}",
            "{} - that's my WhatsApp.",
        ),
        "email": (
            "Could you drop me a line at {}?",
            "Where shall I send the contract?\nTo {}",
            "{} is my work address.",
        ),
        "address": (
            "The keys are at {} with my aunt.",
            "Which house is it?\nIt's {}, next to the bakery.",
            "We moved to {} in spring.",
        ),
        "card": ("Put it on my Visa, {}, thanks.", "And how will you pay?\nBy card. {}.", "The long number is {}"),
        "iban": ("You can transfer the rent to {}.", "Which account?\n{}, in my wife's name."),
        "identity": (
            "For the form: {what} {}.",
            "I need your {what}, sir.\nOne second. It says {}.",
            "{} is the {what} on it.",
        ),
        "birth": (
            "And the patient's DOB?\n{}.",
            "She's born {}, so she is of age.",
            "When's your birthday?\nOn {}, why?",
        ),
        "name": (
            "Have you met {}?\nNo, who is that?",
            "Dr. {} will see you now.",
            "I talked to {} yesterday about it.",
            "Thanks, {}! See you.",
            "Is {} coming, {B}?\nI hope so, {A}.",
            "They call me {}.",
        ),
    },
    negatives=(
        "Your parcel ############ is out for delivery.",
        "That makes ##,###.## yen in total.",
        "Take bus ### at ##.## from stop ####.",
        "The score was ##-## after # sets.",
        "Born to run came out in 19##, a great year.",
        "The file has #,###,### rows and ### columns.",
        "Dial in with meeting ID ### ### ####.",
        "Chapter ##, pages ###-###.",
        "It was ##.#.20## when we signed.",
        "Gate B##, seat ##C, boarding ##:##.",
        "The warranty covers serial ####-####-####.",
        "About ### people came, # of them late.",
        "1#th of May is the deadline.",
    ),
    phone_forms=(
        lambda n: _with_oh(_digits(_national(n))),
        lambda n: _international(n).replace(" ", "."),
        lambda n: _digits(_international(n)).join(["00", ""]),
        lambda n: f"({n.country_code}) {phonenumbers.national_significant_number(n)}",
        lambda n: _national(n).replace(" ", "/"),
        lambda n: "plus " + spoken(_digits(_international(n))),
        _national,
    ),
    email_forms=(
        lambda a, b: f"{a.replace('.', '_')}@{b}",
        lambda a, b: f"{a.replace('.', ' underscore ')} at {b.replace('.', ' dot ')}",
        lambda a, b: f"{' '.join(a.replace('.', ''))} at {b.replace('.', ' dot ')}",
        lambda a, b: f"{a}[at]{b}",
        lambda a, b: f"{a.replace('.', ' ')} at {b}",
    ),
    streets=(
        "{n}B {name} Lane, Apt {n}",
        "no. {n} {name} Close",
        "Via {name} {n}, 00184 Roma",
        "{name}laan {n}, 3511 AB Utrecht",
        "{n} {name} Blvd, Tampa, FL 33602",
        "Calle {name} {n}, 28013 Madrid",
        "{n}, {name} Nagar, Pune 411001",
        "{name}gatan {n}, Stockholm",
    ),
    dates=("the {d}th of {M}, {y}", "{d}. {M} {y}", "{d}/{m}/{yy}", "{M} {y}", "{d} {M}"),
    card_forms=(
        lambda c: "-".join(c[i : i + 4] for i in range(0, 16, 4)),
        lambda c: _with_oh(c),
        lambda c: " ".join(c),
        lambda c: ", ".join(spoken(c[i : i + 4]) for i in range(0, 16, 4)),
    ),
    identities=("SSN", "codice fiscale", "Spanish DNI", "passport number", "National Insurance number", "Aadhaar"),
)
HELD_APART = Templates(
    regions=("BE", "CH", "AT", "PL", "NZ", "IE", "PT", "DK", "NO", "SG", "US", "GB"),
    carriers={
        "phone": (
            "In an emergency ring {}.",
            "Which number should the driver use?\n{}, and ask for me.",
            "Sorry, wrong digit. It's {}.",
            "The landline is {} but nobody picks up.",
            "Note it down: {}. Got it?",
            "She left {} on the answering machine.",
        ),
        "email": (
            "Please cc {}.",
            "How do I share the document?\nInvite {}.",
            "Log in with {} and reset it.",
            "It bounced from {}, odd.",
            "Ask for an appointment: {}.",
        ),
        "address": (
            "The party is at {}.",
            "Can you spell the address?\nYes: {}.",
            "The ambulance is on its way to {}.",
            "Billing goes to {} as before.",
            "I grew up at {} until I was ten.",
        ),
        "card": (
            "Take the money from {}.",
            "Which one is on file?\nThe one with {}.",
            "I'd like to block {}, it was stolen.",
        ),
        "iban": ("Refund me to {}, will you?", "The landlord gave me {}.", "Where does the salary go?\n{}"),
        "identity": (
            "Could you confirm the {what}?\nSure. {}.",
            "The letter shows {what}: {}",
            "I wrote {} where it asks for the {what}.",
        ),
        "birth": (
            "And your baby was born?\nYes, on {}!",
            "How old is he? His date of birth is {}.",
            "Born {} in Leeds, it says here.",
            "My sister's birthday falls on {} this time.",
        ),
        "name": (
            "Please ask for {} at the desk.",
            "{} told me so.",
            "Do you know {}?\nA bit.",
            "It was {} who called.",
            "Good morning, {}!",
            "The new manager is called {}.",
        ),
    },
    negatives=(
        "The reference is ##-######-##.",
        "Population: ###,### in 19##, #.# million now.",
        "My high score is #######.",
        "Paint code ####-##, two litres.",
        "Model X##-####, firmware #.##.#.",
        "We walked #.# km in ## minutes.",
        "From #:## to 1#:## on the #nd.",
        "Chapter #, verses ##-##, page ###.",
        "The lottery numbers are ##, ##, ##, ## and ##.",
        "Set the alarm to ####, tomorrow at ####.",
        "It sold for #,###,### dollars in 20##.",
        "Check-in closes at ##.##, gate ##.",
        "He was born to lead, 5 of them said on 0#.0#.20##.",
    ),
    phone_forms=(
        _national,
        _international,
        lambda n: f"{spoken(_digits(_national(n))[:3])} - {spoken(_digits(_national(n))[3:])}",
        lambda n: ".".join(_national(n).split(" ")),
        lambda n: _digits(_national(n)),
        lambda n: _national(n).replace(" ", "") + " extension 21",
        lambda n: ", ".join(_national(n).split(" ")),
    ),
    email_forms=(
        lambda a, b: f"{a}@{b}",
        lambda a, b: f"{a.replace('.', '-')} AT {b.replace('.', ' DOT ')}",
        lambda a, b: f"{a} @ {b}",
        lambda a, b: f"{a.replace('.', ' point ')} at {b.replace('.', ' point ')}",
        lambda a, b: f"{a.replace('.', '')}99 at {b.replace('.', ' dot ')}",
        lambda a, b: f"{a.title()}@{b.upper()}",
    ),
    streets=(
        "{n} {name} Crescent",
        "Flat 2, {n} {name} Gardens, Bristol BS1 5TR",
        "{name}weg {n}, 3011 Bern",
        "{n} West {name} Street, Denver, CO 80202",
        "Rua {name} {n}, 1200-109 Lisboa",
        "ul. {name}a {n}, 00-001 Warszawa",
        "{n}/4 {name} Parade",
        "unit 7, {n} {name} drive",
        "{name} House, {n} High Street, Cork",
        "Avenue {name} {n}, 1000 Bruxelles",
    ),
    dates=("{d} {M}, {y}", "{M} the {d}th {y}", "{dd}.{m}.{y}", "{d}-{m}-{y}", "{m}/{dd}", "{y}"),
    card_forms=(
        lambda c: f"{c[:4]} {c[4:10]} {c[10:]}",
        lambda c: ".".join(c[i : i + 4] for i in range(0, 16, 4)),
        lambda c: f"{spoken(c[:8])}, {spoken(c[8:])}",
        lambda c: c,
    ),
    identities=(
        "social security number",
        "NHS number",
        "National Insurance number",
        "passport number",
        "DNI",
        "codice fiscale",
    ),
)
