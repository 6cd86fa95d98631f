"""What is in a data source: counts and lengths a split."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from peftsum.data import Split, available_splits, data_section, load_split
from peftsum.exceptions import DataError
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
        fields: ``name=column`` for id, dialogue, summary or topic.
        skip_bad_rows: count bad rows instead of raising at the first.
    """
    data = data_section(source, fields, skip_bad_rows=skip_bad_rows)
    splits = available_splits(source)
    if not splits:
        raise DataError(f"{source} has no data", hint="put train.jsonl, validation.jsonl and test.jsonl there")
    return [_figures(load_split(data, split)) for split in splits]


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
