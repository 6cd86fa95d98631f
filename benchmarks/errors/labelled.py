"""Summaries with people's labels: what is read of the two sets, and which label means which of our errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Labelled:
    """One summary that people judged."""

    group: str
    """Its dialogue: never on both sides of a fit."""
    system: str
    dialogue: str
    reference: str
    summary: str
    has_error: bool
    labels: frozenset[str]
    """In the set's own words."""


@dataclass(frozen=True)
class LabelledSet:
    """A set and the meaning of its labels."""

    name: str
    rows: list[Labelled]
    meaning: Mapping[str, frozenset[str]]
    """Our error to the set's labels; an error that the set does not label is absent. ``error_any`` is any of all."""

    def truth(self, error: str) -> list[bool] | None:
        """Return whether each summary has the error, or None where the set does not label it."""
        if error == "error_any":
            return [row.has_error for row in self.rows]
        wanted = self.meaning.get(error)
        return None if wanted is None else [not wanted.isdisjoint(row.labels) for row in self.rows]


FACEVAL = {
    "error_speaker": frozenset(["SubObjE"]),
    "error_pronoun": frozenset(["ProE"]),
    "error_negation": frozenset(["NegE"]),
    "error_circumstance": frozenset(["ParE"]),
    "error_hallucination": frozenset(["HalE"]),
}
CORRECTIONS = {
    "error_speaker": frozenset(["Ent:ObjE", "Ent:SubjE"]),
    "error_pronoun": frozenset(["CorefE"]),
    "error_circumstance": frozenset(["CircE", "NumE", "Ent:AttrE"]),
    "error_predicate": frozenset(["Pred:VerbE"]),
}
"""Seven summaries have its negation label and six its label for links: too few to check a detector on. It has no label
for what is made up."""


def read_sets(folder: Path) -> list[LabelledSet]:
    """Return the sets that are in ``human_errors``.

    Raises:
        FileNotFoundError: one of them is not there.
    """
    faceval = [
        Labelled(
            group=row["samsum_id"].split("-")[0],
            system=row["model"],
            dialogue=row["dialogue"],
            reference=row["reference"],
            summary=row["prediction"],
            has_error=bool(row["has_error"]),
            labels=frozenset(label for label, found in row["labels"].items() if found),
        )
        for row in _rows(folder / "faceval.jsonl")
    ]
    corrections = [
        Labelled(
            group=row["source_id"].split("-")[0],
            system=str(row["system_index"]),
            dialogue=row["dialogue"],
            reference=row["reference"],
            summary=row["prediction"],
            has_error=bool(row["has_error"]),
            labels=frozenset(row["error_types"]),
        )
        for row in _rows(folder / "dialsummfactcorr.jsonl")
    ]
    return [LabelledSet("faceval", faceval, FACEVAL), LabelledSet("dialsummfactcorr", corrections, CORRECTIONS)]


def _rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
