"""Dialogues rewritten so that who speaks is easier to read: normalised names, marked turns, speakers exchanged.

A view is tried on data files before anything of it goes into peftsum: the arm is trained and asked on rewritten
dialogues, and its summaries get the names of the dialogue back before they are scored against the untouched references.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from peftsum.artifacts import PREDICTIONS_FILE, read_predictions, write_predictions, write_text
from peftsum.data import Example, load_split
from peftsum.dialogue_text import parse_turns
from peftsum.recipe import Data

Rewritten = tuple[str, str, Mapping[str, str]]
"""Dialogue, summary, and from each name of the view to the name it stands for."""


def _speakers(dialogue: str) -> list[str]:
    return list(dict.fromkeys(turn.speaker for turn in parse_turns(dialogue) if turn.speaker))


def _exchange(text: str, names: Mapping[str, str]) -> str:
    """Replace whole names, all at once, the longest first."""
    if not names:
        return text
    longest = sorted(map(re.escape, names), key=len, reverse=True)
    return re.sub(rf"(?<![\w#])(?:{'|'.join(longest)})(?![\w#])", lambda match: names[match[0]], text)


def normalised(dialogue: str, summary: str, _: str) -> Rewritten:
    """Call the speakers #Person1#, #Person2#, … in the order in which they first speak."""
    names = {name: f"#Person{i}#" for i, name in enumerate(_speakers(dialogue), start=1)}
    forms = {**{name.split()[0]: new for name, new in names.items() if len(name.split()) == 2}, **names}
    back = {new: name for name, new in names.items()}
    return _exchange(dialogue, forms), _exchange(summary, forms), back


def marked(dialogue: str, summary: str, _: str) -> Rewritten:
    """Put the number of each turn before it."""
    turns = parse_turns(dialogue)
    lines = [f"({t.index + 1}) {t.speaker + ': ' if t.speaker else ''}{t.text}" for t in turns]
    return "\n".join(lines), summary, {}


def swapped(dialogue: str, summary: str, identity: str) -> Rewritten:
    """Let two speakers of every second dialogue, by its id, change names, in the dialogue and in its summary."""
    speakers = _speakers(dialogue)
    if len(speakers) < 2 or random.Random(identity).random() < 0.5:
        return dialogue, summary, {}
    one, other = speakers[:2]
    names = {one: other, other: one}
    return _exchange(dialogue, names), _exchange(summary, names), {}


VIEWS: dict[str, Callable[[str, str, str], Rewritten]] = {
    "normalised": normalised,
    "marked": marked,
    "swapped": swapped,
}
TRAINING_ONLY = {"swapped"}


def write_view(view: str, source: str, out: Path) -> Path:
    """Write the splits of a data source as a view has them, and return the folder."""
    for split in ("train", "validation", "test"):
        path = out / f"{split}.jsonl"
        if path.exists():
            continue
        rows = []
        try:
            examples = load_split(Data(source=source), split).examples
        except Exception as error:  # DialogSum here has no test split
            print(f"{source} has no {split}: {error}")
            continue
        for example in examples:
            rewrite = VIEWS[view] if split == "train" or view not in TRAINING_ONLY else _as_is
            rows.append(_row(example, rewrite))
        write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return out


def restore(view: str, source: str, split: str, folder: Path) -> Path:
    """Put the names of the dialogues back into the predictions of a run; return the file."""
    examples = {e.id: e for e in load_split(Data(source=source), split).examples}
    restored = []
    for prediction in read_predictions(folder / PREDICTIONS_FILE):
        example = examples[prediction.id]
        back = VIEWS[view](example.dialogue, "", example.id)[2] if view not in TRAINING_ONLY else {}
        restored.append(prediction.model_copy(update={"prediction": _exchange(prediction.prediction, back)}))
    path = folder / "restored.jsonl"
    write_predictions(path, restored)
    return path


def _as_is(dialogue: str, summary: str, _: str) -> Rewritten:
    return dialogue, summary, {}


def _row(example: Example, rewrite: Callable[[str, str, str], Rewritten]) -> dict[str, Any]:
    row: dict[str, Any] = {"id": example.id, "dialogue": rewrite(example.dialogue, "", example.id)[0]}
    texts = [rewrite(example.dialogue, reference, example.id)[1] for reference in example.references]
    names = ["summary"] if len(texts) == 1 else [f"summary{i}" for i in range(1, len(texts) + 1)]
    return row | dict(zip(names, texts, strict=True))
