"""What is in a data source: counts and lengths a split."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from peftsum.data import Split, available_splits, load_split
from peftsum.exceptions import UsageError
from peftsum.recipe import Data
from peftsum.section import Record


class SplitSummary(Record):
    """Figures of one split; words are split at white space."""

    split: str
    dialogues: int
    bad_rows: int
    repeated_dialogues: int
    """Dialogues that stand in the split before."""
    turns_median: float
    words_median: float
    words_max: int
    summary_words_median: float
    references_max: int
    fingerprint: str


def summarize_source(source: str, fields: Sequence[str] = (), *, skip_bad_rows: bool = False) -> list[SplitSummary]:
    """Read every split of a source and return its figures.

    Args:
        source: a data source.
        fields: ``name=column`` for id, dialogue or summary.
        skip_bad_rows: count bad rows instead of raising at the first.
    """
    named = dict(field.partition("=")[::2] for field in fields)
    unknown = [name for name, column in named.items() if name not in {"id", "dialogue", "summary"} or not column]
    if unknown:
        raise UsageError(
            f"--field {unknown[0]}: not of the form dialogue=COLUMN", hint="the names are id, dialogue and summary"
        )
    data = Data.model_validate({"source": source, "fields": named, "on_bad_row": "skip" if skip_bad_rows else "error"})
    return [_figures(load_split(data, split)) for split in available_splits(source)]


def _figures(split: Split) -> SplitSummary:
    examples = split.examples
    words = [len(e.dialogue.split()) for e in examples]
    return SplitSummary(
        split=split.name,
        dialogues=len(examples),
        bad_rows=split.skipped,
        repeated_dialogues=len(examples) - len({e.dialogue for e in examples}),
        turns_median=median(len(e.dialogue.splitlines()) for e in examples),
        words_median=median(words),
        words_max=max(words),
        summary_words_median=median(len(e.references[0].split()) for e in examples),
        references_max=max(len(e.references) for e in examples),
        fingerprint=split.fingerprint,
    )
