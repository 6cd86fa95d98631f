"""A scene: the speakers, facts and turns of one dialogue while a situation writes it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from . import values
from .grammar import expand, fill, listing, tidy, with_article
from .people import MEN, PRONOUNS, RELATIONS, SURNAMES, WOMEN, Pool
from .phrases import ASIDES, CLOSERS, FAMILIAR_PREAMBLES, FILLERS, HELLOS, OPENERS, PREAMBLES, SIDE_TALK

RESERVED_SHARE = 0.2  # of the values drawn for a test dialogue
ANONYMOUS_SHARE = 0.25  # dialogues whose speakers are #Person1#, #Person2#, ...
SHORT_SHARE, LONG_SHARE = 0.18, 0.06
ASIDE_SHARE = {"short": 0.0, "mid": 0.09, "long": 0.06}
PAUSE = ("", "")  # a place in the core turns where side talk may go
MAX_TURNS = 40


@dataclass
class Person:
    """Somebody who speaks or is spoken about."""

    first: str
    last: str
    gender: str
    role: str = ""
    """A label such as "Receptionist" instead of a name."""
    title: str = ""
    """"Dr." or "Mr.", shown with the surname."""
    present: bool = True

    @property
    def label(self) -> str:
        """The speaker label of a dialogue that is not anonymised."""
        return self.role or self.spoken

    @property
    def spoken(self) -> str:
        """The name others say."""
        return f"{self.title} {self.last}" if self.title else self.first


class Scene:
    """Collects what a situation says; `finish` turns it into dialogue text and summaries."""

    def __init__(self, rng: random.Random, split: str) -> None:
        self.rng = rng
        self.split = split
        self.cast: dict[str, Person] = {}
        self.facts: dict[str, str] = {}
        self.turns: list[tuple[str, str]] = []
        self.register = "friend"
        self.staff: set[str] = set()
        self.anonymous = rng.random() < ANONYMOUS_SHARE
        self.size = rng.choices(("short", "mid", "long"), (SHORT_SHARE, 1 - SHORT_SHARE - LONG_SHARE, LONG_SHARE))[0]
        self.patterns: list[str] = []
        self.topics = ""
        self.private: list[str] = []
        self.indirect = False
        self.currency = rng.choice("$£€")
        self.used: set[str] = set()
        self.greeting = ""
        self.by_phone = False
        self.first_matter = True

    # Drawing

    def pick(self, source: Pool | Sequence[str], avoid: Sequence[str] = ()) -> str:
        """One value of a pool or sequence, none of `avoid`; sometimes a reserved one in the test split."""
        if isinstance(source, Pool):
            reserved = source.reserved and self.split == "test" and self.rng.random() < RESERVED_SHARE
            everyday = source.common
            source = source.reserved if reserved else everyday
            if all(v in avoid for v in source):
                source = everyday
        return self.rng.choice([v for v in source if v not in avoid])

    def several(self, source: Pool | Sequence[str], count: int) -> list[str]:
        """`count` different values."""
        chosen: list[str] = []
        for _ in range(count):
            chosen.append(self.pick(source, chosen))
        return chosen

    def chance(self, share: float) -> bool:
        """True in this share of dialogues."""
        return self.rng.random() < share

    def maybe(self) -> bool:
        """Whether to add an optional exchange: rarely in short dialogues, nearly always in long ones."""
        return self.chance({"short": 0.1, "mid": 0.55, "long": 0.95}[self.size])

    def money(self, low: int, high: int, step: int = 1) -> str:
        """An amount in the dialogue's currency."""
        return f"{self.currency}{self.rng.randrange(low, high + 1, step):,}"

    def amounts(self, low: int, high: int, step: int, count: int) -> list[str]:
        """Different amounts, smallest first."""
        return [f"{self.currency}{n:,}" for n in sorted(self.rng.sample(range(low, high + 1, step), count))]

    def put(self, **facts: str | int) -> None:
        """Set slots."""
        self.facts.update({key: str(value) for key, value in facts.items()})

    def months_apart(self) -> tuple[str, str]:
        """A month and a later one."""
        first = self.rng.randrange(12)
        return values.MONTHS[first], values.MONTHS[(first + self.rng.randint(1, 3)) % 12]

    def brief(self) -> bool:
        """Whether to tell the whole matter in four or five turns."""
        return self.size == "short" and self.chance(0.75)

    # People

    def person(self, key: str, role: str = "", title: str = "", gender: str = "", present: bool = True) -> Person:
        """Add a speaker (or, with `present=False`, somebody spoken about) under a slot such as "A"."""
        gender = gender or self.rng.choice("fm")
        taken = [p.first for p in self.cast.values()]
        surname = self.pick(SURNAMES, [p.last for p in self.cast.values()])
        if title == "Mr.":
            title = "Mr." if gender == "m" else "Ms."
        self.cast[key] = Person(
            self.pick(WOMEN if gender == "f" else MEN, taken), surname, gender, role, title, present
        )
        if role:
            self.staff.add(key)
        return self.cast[key]

    def friends(self, count: int) -> list[str]:
        """Add `count` speakers A, B, C, ... and return their slots."""
        keys = list("ABCDE"[:count])
        for key in keys:
            self.person(key)
        return keys

    def relative(self, key: str = "R") -> None:
        """Add an absent relative: slots {rel} and {R.he}, {R.his}, {R.him}."""
        self.facts["rel"], gender = self.rng.choice(RELATIONS)
        self.person(key, gender=gender, present=False)

    # Personal data

    def secret(self, value: str) -> str:
        """Note a personal datum; rows list those that are really said."""
        self.private.append(value)
        return value

    def phone(self) -> str:
        """A telephone number, noted as personal."""
        return self.secret(values.phone(self.rng))

    def email(self, key: str) -> str:
        """A mail address of a person, noted as personal."""
        return self.secret(values.email(self.rng, self.cast[key].first, self.cast[key].last))

    def address(self) -> str:
        """A street address, noted as personal."""
        return self.secret(values.street_address(self.rng, self.pick(values.STREETS)))

    # Talking

    def talk(self, script: str, **voices: str) -> None:
        """Add the turns of a script: `A: text` lines, continuation lines without a slot, `--` where talk may drift.

        `voices` maps a letter of the script to the slot that speaks it, where that depends on how many are present.
        """
        turns: list[tuple[str, str]] = []
        for line in script.strip().splitlines():
            line = line.strip()
            key, colon, text = line.partition(": ")
            if line == "--":
                turns.append(PAUSE)
            elif colon and (key in voices or key in self.cast):
                turns.append((voices.get(key, key), text))
            else:
                turns[-1] = (turns[-1][0], f"{turns[-1][1]} {line}")
        for key, text in turns:
            if not key:
                self.turns.append(PAUSE)
                continue
            # a filler before some turns, but never as an answer to nothing
            if len(self.turns) > 3 and not text.startswith("[") and self.chance(0.07):
                text = f"{self.rng.choice(FILLERS)} {text}"
            if self.first_matter:
                self.first_matter = False
                if self.size != "short" and self.register != "formal" and key not in self.staff and self.chance(0.35):
                    known = FAMILIAR_PREAMBLES if self.register in ("friend", "work") else ()
                    text = f"{self.rng.choice(PREAMBLES + known)} {text}"
            elif len(self.turns) > 3 and not text.rstrip("].").endswith("?") and self.chance(ASIDE_SHARE[self.size]):
                text = f"{text} {self._choose(ASIDES)}"
            if self.greeting:
                other = next((k for k, p in self.cast.items() if p.present and k != key), key)
                text, self.greeting = f"{self.greeting.replace('{,Y}', f'{{,{other}}}')} {text}", ""
            self.turns.append((key, self.render(text, speech=True)))

    def open(self, first: str, second: str, kind: str) -> None:
        """Greetings of a kind ("friend", "phone", "desk", ...); brief dialogues just say "Hello." before the matter."""
        self.by_phone = kind == "phone"
        if self.size == "short" or (self.size == "mid" and self.chance(0.25)):
            self.greeting = HELLOS["group" if kind == "group" else "friend" if self.register == "friend" else "service"]
        else:
            self._exchange(self._choose(OPENERS[kind]), first, second)

    def close(self, first: str, second: str, kind: str = "") -> None:
        """A farewell, left out in some dialogues."""
        if self.chance({"short": 0.25, "mid": 0.55, "long": 0.9}[self.size]):
            kind = kind or ("friend" if self.register == "friend" else "service")
            self._exchange(self._choose(CLOSERS[kind]), first, second)

    def summarise(self, patterns: str) -> None:
        """Add summary patterns, each starting with `- `."""
        for line in patterns.strip().splitlines():
            line = line.strip()
            if line.startswith("- "):
                self.patterns.append(line[2:])
            else:
                self.patterns[-1] += f" {line}"

    def topic(self, template: str) -> None:
        """Set the alternatives of the topic, separated by `|`."""
        self.topics = f"[{template}]"

    def _choose(self, options: Sequence[str]) -> str:
        choice = self.pick(options, list(self.used)) if len(set(options) - self.used) > 0 else self.pick(options)
        self.used.add(choice)
        return choice

    def _exchange(self, script: str, first: str, second: str) -> None:
        self.turns += self._render_exchange(script, first, second)

    def _render_exchange(self, script: str, first: str, second: str) -> list[tuple[str, str]]:
        """Turns of a generic script whose speakers are X and Y."""
        turns = []
        for line in script.split(" / "):
            key, _, text = line.strip().partition(": ")
            text = text.replace("{,X}", f"{{,{first}}}").replace("{,Y}", f"{{,{second}}}")
            text = text.replace("{X}", f"{{{first}}}").replace("{Y}", f"{{{second}}}")
            text = text.replace("{X.", f"{{{first}.").replace("{Y.", f"{{{second}.")
            turns.append((first if key == "X" else second, self.render(text, speech=True)))
        return turns

    # Rendering

    def render(self, template: str, speech: bool) -> str:
        """Expand and fill a template, as spoken words or as words of a summary."""
        return tidy(self._resolve(template, self._spoken_slot if speech else self._summary_slot))

    def _resolve(self, template: str, look_up: Callable[[str, str, str], str]) -> str:
        """Expand and fill until nothing is left, as facts may be templates too."""
        while "[" in template or "{" in template:
            template = fill(expand(template, self.rng), look_up)
        return template

    def _spoken_slot(self, mark: str, key: str, form: str) -> str:
        person = self.cast.get(key)
        if person is None:
            return with_article(self.facts[key]) if mark == "a:" else self.facts[key]
        if mark == ",":
            # nobody is called by name where names are hidden or only a role is known
            return "" if self.anonymous or person.role else f", {person.spoken}"
        if form in PRONOUNS["f"]:
            return PRONOUNS[person.gender][form]
        return {"full": f"{person.first} {person.last}", "last": person.last}.get(form, person.spoken)

    def _summary_slot(self, mark: str, key: str, form: str) -> str:
        person = self.cast.get(key)
        if person is None:
            return with_article(self.facts[key]) if mark == "a:" else self.facts[key]
        if not person.present:
            return PRONOUNS[person.gender].get(form, person.spoken)
        label = self.labels[key]
        if not self.anonymous and not person.role and form in PRONOUNS["f"]:
            return PRONOUNS[person.gender][form]
        if person.role and not self.anonymous:
            label = f"the {label.lower()}"
        return f"{label}'s" if form in ("his", "poss") else label

    def _with_side_talk(self) -> list[tuple[str, str]]:
        core = self.turns
        goal = {
            "short": 0,
            "mid": self.rng.choice((0, 0, 0, 0, 11, 13)),
            "long": self.rng.randint(25, 37),
        }[self.size]
        spots = [i for i, turn in enumerate(core) if turn == PAUSE and 0 < i < len(core) - 1]
        inserted: dict[int, list[tuple[str, str]]] = {i: [] for i in spots}
        speakers = [k for k, p in self.cast.items() if p.present]
        length = sum(turn != PAUSE for turn in core)
        attempts = 0
        while spots and length < goal and attempts < 60:
            attempts += 1
            # the emptiest place first, so that the matter is never far away
            spot = min(spots, key=lambda i: (len(inserted[i]), self.rng.random()))
            before = (inserted[spot] or [t for t in core[:spot] if t != PAUSE])[-1][0]
            after = next((t for t in core[spot:] if t != PAUSE), PAUSE)[0]
            pairs = [(x, y) for x in speakers for y in speakers if x not in (before, y) and y != after]
            if not pairs:
                continue
            first, second = self.rng.choice(pairs)
            kind = self.register
            if kind == "service":
                side = "staff" if first in self.staff else "customer"
                kind = f"{side} {'on the phone' if self.by_phone else 'at the desk'}"
            options = [s for s in SIDE_TALK[kind] if s not in self.used]
            if not options:
                continue
            new = self._render_exchange(self._choose(options), first, second)
            inserted[spot] += new
            length += len(new)
        return [t for i, turn in enumerate(core) for t in (inserted.get(i, []) if turn == PAUSE else [turn])]

    def finish(self, references: int) -> dict[str, object]:
        """The row's text: `dialogue`, `summaries`, `topic`, `pii`, and what statistics need."""
        merged: list[tuple[str, str]] = []
        for key, text in self._with_side_talk():
            if merged and merged[-1][0] == key:
                merged[-1] = (key, f"{merged[-1][1]} {text}")
            else:
                merged.append((key, text))
        order = list(dict.fromkeys(key for key, _ in merged))
        self.labels = {
            key: f"#Person{i}#" if self.anonymous else self.cast[key].label for i, key in enumerate(order, 1)
        }
        dialogue = "\n".join(f"{self.labels[key]}: {text}" for key, text in merged)
        patterns = self.rng.sample(self.patterns, references)
        return {
            "dialogue": dialogue,
            "summaries": [self.render(p, speech=False) for p in patterns],
            "topic": self._topic(),
            "pii": list(dict.fromkeys(v for v in self.private if v in dialogue)),
            "speakers": len(order),
            "turns": len(merged),
            "indirect": self.indirect,
        }

    def _topic(self) -> str:
        """A topic of two to five words; long nouns rule some alternatives out."""
        while not 2 <= len((topic := self.render(self.topics, speech=False).lower()).split()) <= 5:
            pass
        return topic

    def all_names(self, keys: Sequence[str]) -> str:
        """Slots of several people as a list: "{A}, {B} and {C}"."""
        return listing([f"{{{k}}}" for k in keys])
