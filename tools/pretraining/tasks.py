"""Self-supervised tasks: span corruption, the central turn as a summary, and instructions that teach copying."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pretraining.reported import report
from pretraining.text import Dialogue, Turn, render, speakers, word_set
from pretraining.tokenizer import EOS, sentinel

NOISE_DENSITY = 0.15  # share of tokens taken out (Raffel et al. 2020, section 3.3.4)
MEAN_SPAN = 3.0  # tokens
EOS_ID = 1

SUMMARY_PROMPTS = (
    "Summarize this conversation:\n\n{}\n\nSummary:",
    "Summarize this conversation:\n\n{}",
    "Summarize the following conversation.\n\n{}\n\nSummary:",
    "Summarize this dialogue:\n\n{}\n\nSummary:",
    "Dialogue:\n\n{}\n\nWhat is this conversation about?",
    "{}\n\nSummarize the conversation above.",
    "Summarize this conversation: {}",
    "Write a short summary of this conversation.\n\n{}\n\nSummary:",
)
STOP = word_set(
    """
    a an and are as at be been but by can could did do does for from had has have he her him his how i if in is it
    its just like me my no not of oh ok okay on or our she so some that the their them then there they this to up us
    was we well were what when where which who will with would yes yeah you your i'm it's that's don't i'll i've
    you're let's uh um know think get got one go going want please thanks thank sure right really good about out any
    all
    """
)
_WORD = re.compile(r"[a-z0-9#']+")
_NUMBERS = re.compile(
    r"\$?\d[\d,]*(?:[.:]\d+)?"
    r"(?:\s?(?:am|pm|a\.m|p\.m|AM|PM|percent|%|dollars|euros|pounds|minutes|hours|days|weeks|months|years))?"
)
_TIMES = re.compile(
    r"\b\d{1,2}:\d\d(?:\s?[ap]\.?m\b)?|\b\d{1,2}\s?[ap]\.?m\b|\bhalf past \w+|\bquarter (?:to|past) \w+|\b\w+ o'clock|"
    r"\b(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day\b|\btomorrow\b|\btonight\b|\bnext week\b|"
    r"\b(?:January|February|March|April|June|July|August|September|October|November|December)"
    r"(?: \d+(?:st|nd|rd|th)?)?\b",
    re.IGNORECASE,
)
_NAMES = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+(?: [A-Z][a-z]+)*")


@dataclass(frozen=True)
class Example:
    """A text pair; `kind` is what the loss log groups by."""

    kind: str
    source: str
    target: str


def words(text: str) -> list[str]:
    """Lower-case words without the commonest ones: what overlap is measured on."""
    return [w for w in _WORD.findall(text.lower()) if w not in STOP]


def central_turns(turns: Sequence[Turn], least: int = 4) -> list[int]:
    """Indices of turns, most central first, by the overlap F1 of a turn's words with all others (PEGASUS, section 3.1).

    Turns of fewer than `least` counted words are left out: a greeting sums up nothing.
    """
    bags = [Counter(words(turn.text)) for turn in turns]
    total: Counter[str] = Counter()
    for bag in bags:
        total.update(bag)
    scored = []
    for index, bag in enumerate(bags):
        size = bag.total()
        if size < least:
            continue
        rest = total.total() - size
        common = sum(min(count, total[word] - count) for word, count in bag.items())
        scored.append((2 * common / (size + min(rest, 4 * size) + 1e-9), index))
    return [index for _, index in sorted(scored, key=lambda pair: (-pair[0], pair[1]))]


def listed(items: Sequence[str]) -> str:
    """`Tom`, `Tom and Anna`, `Tom, Anna and Bob`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def instruct(instruction: str, turns: Sequence[Turn], rng: random.Random) -> str:
    """An instruction and a dialogue as one prompt: mostly the instruction first."""
    text = render(turns)
    draw = rng.random()
    if draw < 0.7:
        return f"{instruction}\n\n{text}"
    return f"{instruction}\n\n{text}\n\nAnswer:" if draw < 0.85 else f"{text}\n\n{instruction}"


def _other(turns: Sequence[Turn], index: int) -> str | None:
    """Whom a turn speaks to: the only other speaker, or whoever spoke last before it."""
    names = speakers(turns)
    if len(names) == 2:
        return names[1] if names[0] == turns[index].speaker else names[0]
    before = [t.speaker for t in turns[:index] if t.speaker != turns[index].speaker]
    return before[-1] if before else None


def summary(turns: Dialogue, rng: random.Random) -> Example | None:
    """The one or two most central turns, taken out, are the target; as reported speech where the rules can say it."""
    order = central_turns(turns)
    if len(turns) < 4 or not order:
        return None
    count = 2 if len(turns) >= 8 and len(order) >= 2 and rng.random() < 0.5 else 1
    taken = sorted(order[:count])
    told = []
    for index in taken:
        turn = turns[index]
        said = report(turn, _other(turns, index), rng)
        told.append(said if said and rng.random() < 0.9 else f"{turn.speaker} says: {turn.text}")
    rest = tuple(turn for index, turn in enumerate(turns) if index not in taken)
    return Example("summary", rng.choice(SUMMARY_PROMPTS).format(render(rest)), " ".join(told))


def _rare(turn: Turn, turns: Sequence[Turn]) -> str | None:
    """A word which only this turn of the dialogue has."""
    elsewhere = {w for other in turns if other is not turn for w in words(other.text)}
    own = [w for w in words(turn.text) if w not in elsewhere and len(w) > 3]
    return max(own, key=len) if own else None


def who_said(turns: Dialogue, rng: random.Random) -> Example | None:
    """A turn, or a run of its words, is quoted; its speaker is the answer."""
    turn = rng.choice(turns)
    said = turn.text.split()
    if len(said) < 3 or len(speakers(turns)) < 2:
        return None
    length = min(len(said), rng.randint(3, 12))
    start = rng.randint(0, len(said) - length)
    quote = " ".join(said[start : start + length])
    ask = rng.choice(("Who said: {}", 'Who said "{}"?', "Who says this? {}"))
    return Example("copy", instruct(ask.format(quote), turns, rng), turn.speaker)


def repeat_about(turns: Dialogue, rng: random.Random) -> Example | None:
    """The turn with a word that no other turn has."""
    turn = rng.choice(turns)
    word = _rare(turn, turns)
    if word is None:
        return None
    ask = rng.choice(("Repeat what {s} says about {w}.", "What does {s} say about {w}?", "Quote {s} on {w}."))
    return Example("copy", instruct(ask.format(s=turn.speaker, w=word), turns, rng), turn.text)


def report_about(turns: Dialogue, rng: random.Random) -> Example | None:
    """The turn with a word that no other turn has, in reported speech."""
    index = rng.randrange(len(turns))
    turn = turns[index]
    word, said = _rare(turn, turns), report(turn, _other(turns, index), rng)
    if word is None or said is None:
        return None
    ask = rng.choice(
        ("Report what {s} says about {w}.", "Summarize what {s} says about {w}.", "What is said about {w}?")
    )
    return Example("report", instruct(ask.format(s=turn.speaker, w=word), turns, rng), said)


def report_turn(turns: Dialogue, rng: random.Random) -> Example | None:
    """The first, last or most central turn, in reported speech; the turn stays in the dialogue."""
    order = central_turns(turns)
    which = rng.choice(("first", "last", "most important", "most important", "most important"))
    index = 0 if which == "first" else len(turns) - 1 if which == "last" else order[0] if order else None
    said = None if index is None else report(turns[index], _other(turns, index), rng)
    if said is None:
        return None
    ask = "What is the most important thing said?" if which == "most important" else f"Report the {which} turn."
    return Example("report", instruct(ask, turns, rng), said)


def report_all(turns: Dialogue, rng: random.Random) -> Example | None:
    """The two to four most central turns in reported speech, in their order: a plain extractive summary."""
    order = central_turns(turns, least=3)[: rng.randint(2, 4)]
    told = [said for index in sorted(order) if (said := report(turns[index], _other(turns, index), rng))]
    if len(told) < 2:
        return None
    return Example("report", instruct("Report this conversation:", turns, rng), " ".join(told))


def mentioned(turns: Dialogue, rng: random.Random) -> Example | None:
    """All times, numbers or names of the dialogue, each once, in order."""
    kind, pattern, limit = rng.choice((("times", _TIMES, 6), ("numbers", _NUMBERS, 6), ("names", _NAMES, 8)))
    found = list(dict.fromkeys(m[0].strip(" ,") for turn in turns for m in pattern.finditer(turn.text)))
    if not found or len(found) > limit:
        return None
    ask = rng.choice(("What {} are mentioned?", "List the {} in this conversation.", "Which {} are mentioned here?"))
    return Example("copy", instruct(ask.format(kind), turns, rng), ", ".join(found))


def mentioned_by(turns: Dialogue, rng: random.Random) -> Example | None:
    """Who mentions a given number, time or name."""
    owners: dict[str, set[str]] = {}
    for turn in turns:
        for pattern in (_TIMES, _NUMBERS, _NAMES):
            for match in pattern.finditer(turn.text):
                owners.setdefault(match[0].strip(" ,"), set()).add(turn.speaker)
    single = [(what, next(iter(who))) for what, who in owners.items() if len(who) == 1 and what]
    if not single:
        return None
    what, speaker = rng.choice(single)
    return Example("copy", instruct(f"Who mentions {what}?", turns, rng), speaker)


def who_speaks(turns: Dialogue, rng: random.Random) -> Example | None:
    """All speakers, first to speak first."""
    names = speakers(turns)
    if len(names) > 5:
        return None
    ask = rng.choice(("Who speaks in this conversation?", "Name the speakers.", "Who takes part in this conversation?"))
    return Example("copy", instruct(ask, turns, rng), f"{listed(names)}.")


def nth_turn(turns: Dialogue, rng: random.Random) -> Example | None:
    """The first or last turn, or the answer to a quoted one, word by word with its speaker."""
    draw = rng.random()
    if draw < 0.3 or len(turns) < 3:
        index, ask = (0, "Repeat the first turn.") if rng.random() < 0.5 else (len(turns) - 1, "Repeat the last turn.")
    else:
        index = rng.randrange(1, len(turns))
        ask = f"What comes after this turn? {turns[index - 1]}"
    return Example("copy", instruct(ask, turns, rng), str(turns[index]))


def finish_turn(turns: Dialogue, rng: random.Random) -> Example | None:
    """A sentence begun in the instruction is finished from the dialogue."""
    turn = rng.choice(turns)
    said = turn.text.split()
    if len(said) < 8:
        return None
    cut = rng.randint(3, len(said) // 2)
    ask = f"Finish what {turn.speaker} says: {' '.join(said[:cut])} ..."
    return Example("copy", instruct(ask, turns, rng), " ".join(said[cut:]))


def next_turn(turns: Dialogue, rng: random.Random) -> Example | None:
    """The last turn is taken out and continues the dialogue."""
    if len(turns) < 4:
        return None
    return Example("continue", instruct("Continue this conversation:", turns[:-1], rng), str(turns[-1]))


Task = Callable[[Dialogue, random.Random], Example | None]
TASKS: dict[Task, float] = {  # share of examples; what is missing to 1 is span corruption
    summary: 0.14,
    report_about: 0.10,
    report_turn: 0.06,
    report_all: 0.10,
    repeat_about: 0.06,
    nth_turn: 0.04,
    finish_turn: 0.03,
    who_said: 0.04,
    mentioned: 0.03,
    mentioned_by: 0.02,
    who_speaks: 0.01,
    next_turn: 0.02,
}


def corrupt(ids: Sequence[int], rng: random.Random) -> tuple[list[int], list[int]]:
    """T5 span corruption: source with sentinels, target of sentinels and the spans they stand for; both end in `</s>`.

    Spans cover `NOISE_DENSITY` of the tokens, their mean length is `MEAN_SPAN`, and no two touch.
    """
    length = len(ids)
    noise = min(max(round(length * NOISE_DENSITY), 1), length - 1)
    spans = min(max(round(noise / MEAN_SPAN), 1), 100, length - noise)
    cuts = [0, *sorted(rng.sample(range(1, noise), spans - 1)), noise] if spans > 1 else [0, noise]
    kept = length - noise
    gaps = [0, *sorted(rng.sample(range(1, kept), spans - 1)), kept] if spans > 1 else [0, kept]
    source: list[int] = []
    target: list[int] = []
    at = 0
    for n in range(spans):
        keep, drop = gaps[n + 1] - gaps[n], cuts[n + 1] - cuts[n]
        source += [*ids[at : at + keep], sentinel(n)]
        target += [sentinel(n), *ids[at + keep : at + keep + drop]]
        at += keep + drop
    return [*source, EOS_ID], [*target, EOS_ID]


__all__ = ["EOS", "TASKS", "Example", "central_turns", "corrupt", "instruct", "listed", "words"]
