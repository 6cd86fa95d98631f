"""Dialogues to pretrain on: read, cleaned, cut into windows of whole turns, and given other speaker labels."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SHARES = {  # share of examples by source: `sgd` is 57 % of the text and the most alike, so it is held down
    "sgd": 0.38,
    "topical_chat": 0.20,
    "qmsum_transcripts": 0.16,
    "taskmaster4": 0.05,
    "clinical": 0.05,
    "dialogues": 0.16,
}

_MEN = """
Adam Alan Alex Andrew Anthony Arthur Ben Bill Bob Brian Carl Charles Chris Colin Daniel David Dennis Ed Eric Felix
Frank Fred Gary George Greg Harry Henry Hugo Ian Ivan Jack Jake James Jason Jeff Jim Joe John Jonas Karl Keith Ken
Kevin Larry Leo Liam Louis Luke Marco Mark Martin Max Michael Mike Nathan Neil Nick Noah Oliver Oscar Owen Patrick
Paul Peter Phil Ralph Ray Richard Rob Robert Ron Ryan Sam Scott Sean Simon Stan Steve Ted Theo Thomas Tim Tom Tony
Victor Will
"""
_WOMEN = """
Abby Alice Amanda Amy Andrea Angela Ann Anna Barbara Bella Beth Carla Carol Caroline Cathy Chloe Claire Cindy Daisy
Diana Donna Dora Ella Ellen Emily Emma Erica Eva Fiona Gina Grace Hannah Heather Helen Holly Irene Jane Janet Jean
Jenny Jessica Jill Joan Judy Julia Karen Kate Kelly Laura Lena Linda Lisa Lucy Maggie Maria Martha Mary May Megan Mia
Molly Monica Nancy Nina Nora Olivia Pam Paula Rachel Rita Rose Ruth Sally Sandra Sara Sofia Sophie Sue Susan Tina Vera
Wendy Zoe
"""
MEN, WOMEN = tuple(_MEN.split()), tuple(_WOMEN.split())
ROLES = (
    ("Customer", "Agent"), ("Man", "Woman"), ("Student", "Teacher"), ("A", "B"), ("M", "W"), ("Speaker 1", "Speaker 2"),
    ("Guest", "Clerk"), ("Caller", "Operator"), ("User", "Assistant"), ("Boss", "Employee"), ("Doctor", "Patient"),
)  # fmt: skip


def word_set(text: str) -> frozenset[str]:
    """The words of `text`."""
    return frozenset(text.split())


@dataclass(frozen=True)
class Turn:
    """One turn: who speaks and what is said."""

    speaker: str
    text: str

    def __str__(self) -> str:
        return f"{self.speaker}: {self.text}"


Dialogue = tuple[Turn, ...]


def render(turns: Sequence[Turn]) -> str:
    """The dialogue as a user would give it: one turn a line."""
    return "\n".join(map(str, turns))


def speakers(turns: Sequence[Turn]) -> list[str]:
    """Distinct speakers, first to speak first."""
    return list(dict.fromkeys(turn.speaker for turn in turns))


_LINE = re.compile(r"^(?:\[(?P<role>[^\]\n]{1,30})\]|(?P<name>[^:\n]{1,40}):)\s+(?P<text>.+)$")


def clean(text: str) -> str:
    """Undo corpus tokenisation: spaces before punctuation, split contractions, noise tags, missing capitals."""
    text = re.sub(r"[{<][a-zA-Z_ ]{1,30}[}>]", " ", text)
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r" ([,.;:?!%)])", r"\1", text)
    text = re.sub(r"(\w) ('(?:s|m|re|ve|ll|d|t)\b)", r"\1\2", text)
    text = re.sub(r"(\w) (n't\b)", r"\1\2", text)
    text = re.sub(r"(\w) - (\w)", r"\1-\2", text)
    text = re.sub(r"[,;]+([.?!])", r"\1", text)
    text = re.sub(r"([,.?!])(?:[ ,]*\1)+", r"\1", text)
    text = re.sub(r"\bi\b(?=[ ,.?!']|$)", "I", text)
    return re.sub(r"(^|[.?!] )([a-z])", lambda m: m[1] + m[2].upper(), text).strip(" ,")


def parse(dialogue: str) -> Dialogue:
    """Turns of a dialogue written one a line as `Name: text` or `[name] text`.

    A line of neither kind joins the turn before.
    """
    turns: list[Turn] = []
    for line in dialogue.split("\n"):
        match = _LINE.match(line.strip())
        if match:
            speaker = match["name"] or match["role"].replace("_", " ").capitalize()
            if text := clean(match["text"]):
                turns.append(Turn(speaker.strip(), text))
        elif turns and line.strip():
            turns[-1] = Turn(turns[-1].speaker, f"{turns[-1].text} {clean(line)}")
    return tuple(turns)


def read_dialogues(path: Path) -> list[Dialogue]:
    """The `dialogue` field of every row, and no other: summaries and topics are not looked at."""
    with path.open(encoding="utf-8") as lines:
        parsed = (parse(json.loads(line)["dialogue"]) for line in lines if line.strip())
        return [turns for turns in parsed if len(turns) >= 2]


def read_corpus(text_dir: Path, dialogues: Path | None) -> dict[str, list[Dialogue]]:
    """Every source by name; `dialogues` is the train split of the built-in dialogues."""
    corpus = {path.stem: read_dialogues(path) for path in sorted(text_dir.glob("*.jsonl")) if path.stem in SHARES}
    if dialogues is not None:
        corpus["dialogues"] = read_dialogues(dialogues)
    return corpus


def window(turns: Dialogue, rng: random.Random, max_words: int) -> Dialogue:
    """A run of whole turns of at most `max_words` words; a turn that is longer alone is cut at a word."""
    lengths = [len(turn.text.split()) + 2 for turn in turns]
    total = sum(lengths)
    start = 0
    if total > max_words:
        slack, last = total - max_words, 0
        while last < len(turns) - 2 and slack > lengths[last]:
            slack -= lengths[last]
            last += 1
        start = rng.randint(0, last)
    end, used = start, 0
    while end < len(turns) and (used + lengths[end] <= max_words or end == start):
        used += lengths[end]
        end += 1
    if lengths[start] > max_words:
        words = turns[start].text.split()[: max_words - 2]
        return (Turn(turns[start].speaker, " ".join(words)),)
    return turns[start:end]


def rename(turns: Dialogue, names: dict[str, str]) -> Dialogue:
    """Give speakers other labels, also where a turn speaks of one by name (not by role: roles are also plain words)."""
    vocative = {old: new for old, new in names.items() if re.fullmatch(r"[A-Z][a-z]+", old) and old not in _ROLE_WORDS}
    if not vocative:
        return tuple(Turn(names[turn.speaker], turn.text) for turn in turns)
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, vocative)) + r")\b")
    return tuple(Turn(names[t.speaker], pattern.sub(lambda m: vocative[m[1]], t.text)) for t in turns)


_ROLE_WORDS = {word for pair in ROLES for word in pair} | {
    "System",
    "Marketing",
    "Professor",
    "Nurse",
    "Father",
    "Mother",
}


def new_names(turns: Dialogue, rng: random.Random, keep: float) -> dict[str, str]:
    """A label for every speaker: their own (with probability `keep`), first names, `#Person1#`…, or a pair of roles."""
    old = speakers(turns)
    draw = rng.random()
    if draw < keep or len(old) > 8:
        return {name: name for name in old}
    draw = (draw - keep) / (1 - keep)
    if draw < 0.58:
        taken = rng.sample(MEN + WOMEN, len(old))
    elif draw < 0.86 or len(old) != 2:
        taken = [f"#Person{n}#" for n in range(1, len(old) + 1)]
    else:
        pair = rng.choice(ROLES)
        taken = list(pair if rng.random() < 0.5 else pair[::-1])
    return dict(zip(old, taken, strict=True))
