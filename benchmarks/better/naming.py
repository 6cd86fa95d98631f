"""Whom summaries name: the speakers that the references name, in their order, and nobody from elsewhere.

Wrong-speaker detectors are made for summaries that are nearly right. A base this small errs so often that they flag
half of them whatever the arm, and more of those that name more speakers; what is counted here needs no judgement.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from better.arms import ARMS, Setting
from better.table import shown_p
from peftsum.artifacts import PREDICTIONS_FILE, read_predictions
from peftsum.data import Example, load_split
from peftsum.metrics.errors.readings import DialogueReading
from peftsum.metrics.paired import holm, randomization_p_values
from peftsum.metrics.words import tokens
from peftsum.recipe import Data
from peftsum.redaction.words import ROLES

RESTORED = "restored.jsonl"  # of an arm whose view was undone behind peftsum
MEASURES = ("speakers as a reference (F1)", "first one as in a reference", "a name that is not in the dialogue")
WORD = re.compile(r"[A-Z][a-z]+")


def arm_naming(name: str, seeds: Sequence[int], setting: Setting) -> NDArray[np.float64]:
    """Return (seeds, dialogues, measures) of an arm."""
    examples = {e.id: e for e in load_split(Data(source=setting.data), setting.split).examples}
    names = _names(load_split(Data(source=setting.data), "train").examples)
    found = []
    for seed in seeds:
        folder = setting.folder(name, seed)
        path = folder / RESTORED if (folder / RESTORED).is_file() else folder / PREDICTIONS_FILE
        found.append(_of_predictions(path, examples, names))
    return np.asarray(found)


def print_naming(found: dict[str, NDArray[np.float64]], against: str) -> None:
    """Print a row an arm, in per cent: the mean over seeds and dialogues, and p."""
    others = [name for name in found if name != against]
    raw = [
        float(p)
        for name in others
        for p in (randomization_p_values((found[name] - found[against]).mean(0)) if against in found else ())
    ]
    corrected = iter(holm(raw))
    print(f"\n| arm | {' | '.join(MEASURES)} |\n|---|{'---|' * len(MEASURES)}")
    for name, values in found.items():
        means = 100 * values.mean(axis=(0, 1))
        ps = [f", p {shown_p(next(corrected))}" if raw and name != against else "" for _ in MEASURES]
        print(f"| {ARMS[name].about} | {' | '.join(f'{m:.1f}{p}' for m, p in zip(means, ps, strict=True))} |")


def _names(examples: Sequence[Example]) -> frozenset[str]:
    """Return the first names that speakers have in the training dialogues."""
    firsts = {s.split()[0] for e in examples for s in DialogueReading(e.dialogue).speakers}
    return frozenset(name for name in firsts if WORD.fullmatch(name) and name.lower() not in ROLES)


def _of_predictions(path: Path, examples: dict[str, Example], names: frozenset[str]) -> list[tuple[float, ...]]:
    rows = {p.id: p.prediction for p in read_predictions(path)}
    found = []
    for identity, example in examples.items():
        reading = DialogueReading(example.dialogue)
        said = _named(rows[identity], reading)
        wanted = [_named(reference, reading) for reference in example.references]
        overlap = max(2 * len({*said} & {*one}) / max(1, len({*said}) + len({*one})) for one in wanted)
        first = bool(said) and any(one[:1] == said[:1] for one in wanted)
        foreign = any(w in names and w not in example.dialogue for w in WORD.findall(rows[identity]))
        found.append((overlap, float(first), float(foreign)))
    return found


def _named(text: str, reading: DialogueReading) -> list[str]:
    return [speaker for token in tokens(text) if (speaker := reading.speaker_of(token))]
