"""Assembles the splits: sizes, balance, and no dialogue or set of facts twice."""

from __future__ import annotations

import json
import random
import re
from itertools import count

from .scene import MAX_TURNS, Scene
from .situations import SITUATIONS

SIZES = {"train": 1600, "validation": 160, "test": 200}
REFERENCES = {"train": 1, "validation": 1, "test": 3}
NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")

Row = dict[str, object]


def check_row(situation: str, made: dict[str, object]) -> None:
    """Raise `ValueError` where a template went wrong, so that a slip never reaches the shipped files."""
    dialogue, summaries, topic = str(made["dialogue"]), made["summaries"], str(made["topic"])
    assert isinstance(summaries, list)
    said = set(NUMBER.findall(re.sub(r"#Person\d#", "", dialogue)))
    for summary in summaries:
        missing = set(NUMBER.findall(re.sub(r"#Person\d#", "", summary))) - said
        if missing:
            raise ValueError(f"{situation}: {missing} is in the summary only\n{dialogue}\n{summary}")
    for text in (dialogue, topic, *summaries):
        if re.search(r"[\[\]{}|]|  | [,.?!]|,,|\.\.(?!\.)(?<!\.\.\.)", text):
            raise ValueError(f"{situation}: a template shows in {text!r}")
    if not 2 <= len(topic.split()) <= 5 or topic != topic.lower():
        raise ValueError(f"{situation}: topic {topic!r}")


def build(seed: int) -> dict[str, list[Row]]:
    """All rows of all splits; the test split comes first, so that later splits avoid its facts."""
    seen_dialogues: set[str] = set()
    seen_facts: set[tuple[str, str]] = set()
    splits: dict[str, list[Row]] = {}
    for split in ("test", "validation", "train"):
        names = list(SITUATIONS) * (SIZES[split] // len(SITUATIONS))
        random.Random(f"{seed}-{split}").shuffle(names)
        rows: list[Row] = []
        for situation in names:
            for attempt in count():
                # a generator a row: a change to one situation leaves the rows of the others as they are
                scene = Scene(random.Random(f"{seed}-{split}-{len(rows)}-{attempt}"), split)
                SITUATIONS[situation](scene)
                made = scene.finish(REFERENCES[split])
                if not 4 <= int(str(made["turns"])) <= MAX_TURNS:
                    continue
                facts = (situation, json.dumps(scene.facts, sort_keys=True))
                if made["dialogue"] in seen_dialogues or facts in seen_facts:
                    continue
                break
            check_row(situation, made)
            seen_dialogues.add(str(made["dialogue"]))
            seen_facts.add(facts)
            rows.append(_row(f"{split}-{len(rows) + 1:04d}", situation, made))
        splits[split] = rows
    return {split: splits[split] for split in SIZES}


def _row(identifier: str, situation: str, made: dict[str, object]) -> Row:
    summaries = made["summaries"]
    assert isinstance(summaries, list)
    fields = (
        {"summary": summaries[0]} if len(summaries) == 1 else {f"summary{i}": s for i, s in enumerate(summaries, 1)}
    )
    return {
        "id": identifier,
        "dialogue": made["dialogue"],
        **fields,
        "topic": made["topic"],
        "situation": situation,
        "pii": made["pii"],
    }


def as_lines(rows: list[Row]) -> str:
    """Rows as JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
