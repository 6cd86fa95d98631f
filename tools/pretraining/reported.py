"""Reported speech by rule: "Tom: I'd like to pay." becomes "Tom would like to pay".

The rules know the commonest openings of spoken English and refuse what they do not know, so that what they say is
mostly grammatical. It leads the decoder to third-person sentences which name the speaker, as summaries are written.
"""

from __future__ import annotations

import random
import re

from pretraining.text import MEN, WOMEN, Turn, word_set

_IRREGULAR = {"am": "is", "are": "is", "'m": "is", "have": "has", "do": "does", "go": "goes", "don't": "doesn't",
              "haven't": "hasn't", "was": "was", "were": "was", "'ve": "has"}  # fmt: skip
_VERBS = word_set(
    """
    want need think know like love hope guess have feel live work believe understand see prefer hate enjoy remember
    wonder agree mean suppose use usually get go do own plan wish appreciate play drink eat study teach listen watch
    read always often really never also just still only send find check make take call pay buy come leave keep look
    bet doubt imagine say tell give ask try speak run start help stay travel drive cook order book bring meet sleep
    wear visit write expect consider care recommend apologize promise worry miss owe deserve hold follow
    """
)
_ADVERBS = word_set("usually always often really never also just still only actually definitely")
_PAST = word_set(
    """
    was had did went saw got heard read thought knew took bought made came found told said gave lost left met forgot
    used started wanted liked loved tried watched worked lived played called paid booked ordered studied learned
    felt could will would can should might must may can't won't couldn't wouldn't shouldn't didn't cannot wasn't
    hadn't
    """
)
_OPENERS = re.compile(
    r"^(?:(?:oh|ok|okay|yes|yeah|no|well|so|sure|hi|hello|hey|right|great|good|fine|alright|all right|thanks|"
    r"thank you|uh|um|actually|and|but|nope|yep|yup|cool|wow|perfect|exactly|true|sorry|"
    r"hmm|mm-hmm|please|that's great|nice)\b[,.! ]+)+",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_IMPERATIVES = word_set(
    """
    please check make confirm verify give tell let book find show take call play send look try wait come go get help
    call put bring keep read open close turn order remember listen think
    """
)
_AUX = "can|could|will|would|do|did|are|have|were|should"


def third_person(verb: str) -> str:
    """`want` → `wants`, `go` → `goes`, `am` → `is`."""
    if verb in _IRREGULAR:
        return _IRREGULAR[verb]
    if verb.endswith(("s", "sh", "ch", "x", "z", "o")):
        return verb + "es"
    return verb[:-1] + "ies" if re.search(r"[^aeiou]y$", verb) else verb + "s"


def _pronouns(name: str, rng: random.Random) -> tuple[str, str, str]:
    """Subject, object, possessive for later mentions of `name`; the label itself where a pronoun would be a guess."""
    if name in MEN and rng.random() < 0.7:
        return "he", "him", "his"
    if name in WOMEN and rng.random() < 0.7:
        return "she", "her", "her"
    return name, name, f"{name}'s"


def _inflect(words: list[str]) -> list[str]:
    """The verb at the head of `words` (after adverbs) in the third person."""
    at = 0
    while at < len(words) - 1 and words[at] in _ADVERBS:
        at += 1
    if words[at] in _PAST or words[at] not in _VERBS | _IRREGULAR.keys():
        return words
    return [*words[:at], third_person(words[at]), *words[at + 1 :]]


def _verb(match: re.Match[str], subject: str) -> str:
    """Subject and verb, in the third person unless an auxiliary stands before them."""
    before, verb = match[1] or "", match[2]
    return f"{before}{subject} {verb if before else ' '.join(_inflect([verb]))}"


def _shift(text: str, me: tuple[str, str, str], you: tuple[str, ...]) -> str:
    """First and second person of a clause to the third; `me` and `you` are (subject, object, possessive)."""
    text = re.sub(r"\bI'm\b|\bI am\b", f"{me[0]} is", text)
    text = re.sub(r"\bI've\b|\bI have\b", f"{me[0]} has", text)
    text = re.sub(r"\bI'll\b", f"{me[0]} will", text)
    text = re.sub(r"\bI'd\b", f"{me[0]} would", text)
    text = re.sub(rf"(\b(?:{_AUX}) )?\bI ([a-z']+)", lambda m: _verb(m, me[0]), text)
    text = re.sub(r"\bI\b", me[0], text)
    text = re.sub(r"\bmyself\b", me[1], text)
    text = re.sub(r"\bme\b", me[1], text)
    text = re.sub(r"\bmy\b|\bmine\b", me[2], text, flags=re.IGNORECASE)
    text = re.sub(r"\byou're\b|\byou are\b", f"{you[0]} is", text, flags=re.IGNORECASE)
    text = re.sub(r"\byou've\b|\byou have\b", f"{you[0]} has", text, flags=re.IGNORECASE)
    text = re.sub(r"\byou'll\b", f"{you[0]} will", text, flags=re.IGNORECASE)
    text = re.sub(r"\byou'd\b", f"{you[0]} would", text, flags=re.IGNORECASE)
    text = re.sub(r"\b(for|to|with|of|about|at|from|than|help|tell|give|show|see|let) you\b", rf"\1 {you[1]}", text)
    text = re.sub(rf"(\b(?:{_AUX}) )?\byou ([a-z']+)", lambda m: _verb(m, you[0]), text)
    text = re.sub(r"\byou\b", you[1], text, flags=re.IGNORECASE)
    text = re.sub(r"\byours?\b", you[2], text, flags=re.IGNORECASE)
    for first, third in (("we're", "they are"), ("we've", "they have"), ("we'll", "they will"), ("we", "they"),
                         ("us", "them"), ("our", "their")):  # fmt: skip
        text = re.sub(rf"\b{first}\b", third, text, flags=re.IGNORECASE)
    return text


def _lower_first(text: str) -> str:
    """Lower-case the first letter of a common word; `I` and names in capitals stay."""
    return text if re.match(r"(?:I\b|I'|[A-Z][A-Z]|#)", text) else text[:1].lower() + text[1:]


def _question(body: str, name: str, other: str, me: tuple[str, str, str], you: tuple[str, str, str]) -> str | None:
    """`Can you come?` → `Tom asks if Anna can come.` Word order is turned only where the subject is a pronoun."""
    low = _lower_first(body)
    if match := re.match(r"(?:can|could|would|will) you (?:please )?([a-z]+ .+)$", low):
        return f"{name} asks {other} to {_shift(match[1], me, (other, you[1], you[2]))}."
    if match := re.match(rf"({_AUX}) (you|I|we) (.+)$", low):
        aux, who, rest = match.groups()
        subject = {"you": other, "I": me[0], "we": "they"}[who]
        rest = _shift(rest, me, you)
        if aux == "do":
            return f"{name} asks if {subject} {rest if who == 'we' else ' '.join(_inflect(rest.split()))}."
        if aux == "did":
            told = re.match(r"(?:you )?know (?:that )?(.+)$", rest)
            return f"{name} tells {other} that {told[1]}." if told and who == "you" else None
        aux = aux if who == "we" else _IRREGULAR.get(aux, aux)
        return f"{name} asks if {subject} {aux} {rest}."
    if match := re.match(rf"((?:what|where|when|how|which|why|who)(?: [a-z]+){{0,3}}?) ({_AUX}) (you|I|we) (.+)$", low):
        lead, aux, who, rest = match.groups()
        subject = {"you": other, "I": me[0], "we": "they"}[who]
        rest = _shift(rest, me, you)
        if aux == "do":
            told = rest if who == "we" else " ".join(_inflect(rest.split()))
            return f"{name} asks {other} {lead} {subject} {told}."
        aux = "" if aux == "did" else (aux if who == "we" else _IRREGULAR.get(aux, aux)) + " "
        return f"{name} asks {other} {lead} {subject} {aux}{rest}."
    if match := re.match(
        r"(what|where|when|how|who|how much|how many) (is|are|was) ((?!in |on |at |for )(?:\w+ ){0,3}\w+)$", low
    ):
        return f"{name} asks {other} {match[1]} {_shift(match[3], me, you)} {match[2]}."
    if match := re.match(r"(?:how|what) about (.+)$", low):
        return f"{name} suggests {_shift(match[1], me, you)}."
    if match := re.match(r"(is|are|was|does) (it|there|that|this|he|she|they) (.+)$", low):
        rest = _shift(match[3], me, you)
        rest = " ".join(_inflect(rest.split())) if match[1] == "does" else f"{match[1]} {rest}"
        return f"{name} asks {other} if {match[2]} {rest}."
    return None


def _statement(body: str, name: str, me: tuple[str, str, str], you: tuple[str, ...], rng: random.Random) -> str | None:
    """`I'd like to pay.` → `Tom would like to pay.`; anything else → `Tom says …`."""
    for pattern, verb in (
        (r"I(?:'m| am) (.+)$", "is"), (r"I(?:'ll| will) (.+)$", "will"), (r"I(?:'ve| have) (.+)$", "has"),
        (r"I(?:'d| would) (.+)$", "would"),
    ):  # fmt: skip
        if match := re.match(pattern, body):
            return f"{name} {verb} {_shift(match[1], me, you)}."
    if match := re.match(r"I (.+)$", body):
        words = match[1].split()
        told = _inflect(words)
        if told == words and words[0] not in _PAST and not words[0].endswith("ed"):
            return None
        return f"{name} {_shift(' '.join(told), me, you)}."
    if match := re.match(r"(?:let's|let us) (.+)$", body, re.IGNORECASE):
        return f"{name} suggests that they {_shift(match[1], me, you)}."
    if match := re.match(r"we (.+)$", body, re.IGNORECASE):
        return f"{name} says they {_shift(match[1], me, you)}."
    order = re.sub(r"^please ", "", _lower_first(body))
    if order.split()[0] in _IMPERATIVES and not order.startswith("let me"):
        return f"{name} asks {you[3]} to {_shift(order, me, you)}."
    lead = rng.choice(("says", "says", "says that", f"tells {you[3]} that"))
    return f"{name} {lead} {_shift(_lower_first(body), me, you)}."


def report(turn: Turn, other: str | None, rng: random.Random) -> str | None:
    """A turn in reported speech, its first one or two sentences; `None` where the rules cannot say it.

    `other` is the person spoken to. The speaker's label is copied as it stands.
    """
    text = _OPENERS.sub("", turn.text).strip()
    sentences = [s for s in _SENTENCE.split(text) if len(s.split()) >= 3]
    if not sentences:
        return None
    name, them = turn.speaker, other or "the other"
    me, you = _pronouns(name, rng), _pronouns(them, rng)
    you_named = (them, them, f"{them}'s")
    told: list[str] = []
    for sentence in sentences[:2]:
        if len(sentence.split()) > 30:
            continue
        body = _OPENERS.sub("", sentence)
        asks, body = body.endswith("?"), body.rstrip(".?! ,")
        if len(body.split()) < 3:
            continue
        subject = name if not told else me[0][:1].upper() + me[0][1:]
        body = body[0].upper() + body[1:] if re.match(r"i\b", body) else body
        to = you_named if not told else you
        if asks:
            said = _question(body, subject, to[0] if not told else you[1], me, to)
        else:
            said = _statement(body, subject, me, (*to, to[1]), rng)
        if said is None and not told:
            continue
        if said:
            told.append(re.sub(r"\s+", " ", said))
    return " ".join(told) or None
