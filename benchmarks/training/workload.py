"""The dialogues that every system trains on: drawn once, written to a temporary folder, tokenized once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peftsum.data import Example

BUILTIN = "builtin:dialogues"
MAX_SOURCE, MAX_TARGET = 512, 128  # tokens; peftsum's defaults
SEED = 13
TOKENS = "tokens.json"


@dataclass(frozen=True)
class Workload:
    """Dialogues as token ids, (source, target) each."""

    train: list[tuple[list[int], list[int]]]
    held_out: list[tuple[list[int], list[int]]]

    @property
    def lengths(self) -> list[tuple[int, int]]:
        """(source, target) tokens of each training dialogue."""
        return [(len(source), len(target)) for source, target in self.train]


def write_workload(source: str, pool: int, held_out: int, folder: Path) -> dict[str, float]:
    """Draw dialogues from a source into a data folder, with their token ids beside it; return what they are like.

    Args:
        source: a data source with the splits train and validation.
        pool: training dialogues to draw.
        held_out: validation dialogues to draw.
        folder: gets train.jsonl, validation.jsonl and tokens.json.
    """
    from peftsum.batching import encode
    from peftsum.data import load_split
    from peftsum.model import load_tokenizer
    from peftsum.prompts import Prompt
    from peftsum.recipe import Data, Model

    folder.mkdir(parents=True)
    tokenizer, data = load_tokenizer(Model()), Data(source=source)
    tokens: dict[str, list[tuple[list[int], list[int]]]] = {}
    for split, count in (("train", pool), ("validation", held_out)):
        examples = load_split(data, split).sample(count, SEED).examples
        _write_rows(folder / f"{split}.jsonl", examples)
        encoded = encode(examples, tokenizer, Prompt(), max_source_tokens=MAX_SOURCE, max_target_tokens=MAX_TARGET)
        tokens[split] = [(e.source, e.target) for e in encoded]
    (folder / TOKENS).write_text(json.dumps(tokens), encoding="utf-8")
    sources, targets = zip(*(map(len, pair) for pair in tokens["train"]), strict=True)
    return {
        "training_dialogues": len(sources),
        "source_tokens_mean": round(sum(sources) / len(sources), 1),
        "source_tokens_longest": max(sources),
        "target_tokens_mean": round(sum(targets) / len(targets), 1),
        "target_tokens_longest": max(targets),
        "held_out_dialogues": len(tokens["validation"]),
    }


def read_workload(folder: Path) -> Workload:
    """Return what :func:`write_workload` wrote."""
    tokens = json.loads((folder / TOKENS).read_text(encoding="utf-8"))
    pairs = {split: [(source, target) for source, target in rows] for split, rows in tokens.items()}
    return Workload(pairs["train"], pairs["validation"])


def _write_rows(path: Path, examples: Sequence[Example]) -> None:
    rows = [{"id": e.id, "dialogue": e.dialogue, "summary": e.references[0]} for e in examples]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
