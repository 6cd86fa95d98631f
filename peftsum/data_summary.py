"""What is in a data source: counts, lengths, speakers, repeats, and what stands in two splits."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from statistics import median

from peftsum.data import Example, Split, available_splits, data_section, load_split
from peftsum.dialogue_text import parse_turns
from peftsum.exceptions import DataError, UsageError
from peftsum.leakage import Leak, Leakage, find_all_leakage, find_repeats
from peftsum.model import load_tokenizer
from peftsum.prompts import Prompt
from peftsum.recipe import Data, Model, Recipe
from peftsum.section import Record
from peftsum.speakers import SpeakerView, speaker_view

CHUNK = 1000  # texts tokenized at once


class TokenLengths(Record):
    """Lengths of n texts in tokens, the end-of-sequence token included."""

    median: float
    p95: int
    """19 of 20 texts have at most this many."""
    max: int
    limit: int
    """What longer texts are cut to in training."""
    cut: int
    """Texts that are longer."""


class SplitSummary(Record):
    """Figures of one split; words are split at white space."""

    split: str
    dialogues: int
    bad_rows: int
    repeated_dialogues: int
    """Dialogues that say, word for word, what one before them in the split says."""
    repeats: list[Leak]
    """Those, each with the first of its kind."""
    speakers: dict[int, int]
    """Number of speakers → dialogues; 0 where no turn has a name."""
    turns_median: float
    turns_max: int
    words_median: float
    words_max: int
    summary_words_median: float
    references_max: int
    source_tokens: TokenLengths
    """Of the dialogue in its prompt."""
    target_tokens: TokenLengths
    """Of the first reference, which is what training takes."""
    fingerprint: str
    redacted: dict[str, int]
    """Personal values found and redacted, by kind; empty where none were looked for."""


class DataSummary(Record):
    """Figures of a data source."""

    source: str
    tokenizer: str
    """The base whose tokens are counted."""
    prompt: Prompt
    splits: list[SplitSummary]
    leakage: list[Leakage]
    """Of each later split in each earlier one (train, validation, test)."""


def summarize_source(
    source: str | None = None,
    fields: Sequence[str] = (),
    *,
    skip_bad_rows: bool = False,
    recipe: Recipe | None = None,
    base: str | None = None,
    redact: str | None = None,
) -> DataSummary:
    """Read every split of a source and return its figures.

    Args:
        source: a data source; None takes the recipe's.
        fields: ``name=column`` for id, dialogue, summary or topic.
        skip_bad_rows: count bad rows instead of raising at the first.
        recipe: for columns, prompt, limits and tokenizer; None takes the defaults of a recipe.
        base: whose tokenizer counts, instead of the recipe's.
        redact: kinds of personal values to look for and redact, separated by commas; None takes the recipe's.

    Raises:
        UsageError: neither a source nor a recipe.
        DataError, HubError, ModelError: the source, or the base's tokenizer, cannot be read.
    """
    data = _section(source, fields, skip_bad_rows, recipe, redact)
    prompt = recipe.prompt if recipe else Prompt()
    model = recipe.model if recipe and base in (None, recipe.model.base) else Model(base=base or Model().base)
    names = available_splits(data.source)
    if not names:
        raise DataError(f"{data.source} has no data", hint="put train.jsonl, validation.jsonl and test.jsonl there")
    splits = [load_split(data, name) for name in names]
    count = _Counter(model, prompt, data)
    return DataSummary(
        source=data.source,
        tokenizer=model.base,
        prompt=prompt,
        splits=[_figures(split, count) for split in splits],
        leakage=find_all_leakage(splits),
    )


def _section(
    source: str | None, fields: Sequence[str], skip_bad_rows: bool, recipe: Recipe | None, redact: str | None
) -> Data:
    if source is None and recipe is None:
        raise UsageError("no data source is named", hint="name one, or a recipe with --recipe")
    data = recipe.data if recipe else Data()
    asked = data_section(source if source is not None else data.source, fields, redact=redact)
    bad_rows = "skip" if skip_bad_rows else data.on_bad_row
    changes = {"source": asked.source, "fields": data.fields | asked.fields, "on_bad_row": bad_rows}
    if redact is not None:
        changes["redact"] = asked.redact
    return data.model_copy(update=changes)


class _Counter:
    """Counts tokens as training would have them."""

    def __init__(self, model: Model, prompt: Prompt, data: Data) -> None:
        self._tokenizer = load_tokenizer(model)
        self._prompt = prompt
        self._data = data

    def sources(self, examples: Sequence[Example]) -> TokenLengths:
        texts = [self._prompt.render(self._view(e).dialogue) for e in examples]
        return _lengths(self._tokens(texts), self._data.max_source_tokens)

    def targets(self, examples: Sequence[Example]) -> TokenLengths:
        texts = [self._view(e).write(e.references[0]) for e in examples]
        return _lengths(self._tokens(texts), self._data.max_target_tokens)

    def _view(self, example: Example) -> SpeakerView:
        return speaker_view(example.dialogue, self._prompt.speakers)

    def _tokens(self, texts: Sequence[str]) -> list[int]:
        chunks = (texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK))
        return [len(ids) for chunk in chunks for ids in self._tokenizer(chunk, verbose=False)["input_ids"]]


def _lengths(tokens: list[int], limit: int) -> TokenLengths:
    ranked = sorted(tokens)
    return TokenLengths(
        median=median(ranked),
        p95=ranked[math.ceil(0.95 * len(ranked)) - 1],
        max=ranked[-1],
        limit=limit,
        cut=sum(count > limit for count in ranked),
    )


def _figures(split: Split, count: _Counter) -> SplitSummary:
    examples = split.examples
    words = [len(e.dialogue.split()) for e in examples]
    turns = [parse_turns(e.dialogue) for e in examples]
    speakers = Counter(len({turn.speaker for turn in those} - {None}) for those in turns)
    repeats = find_repeats(split)
    return SplitSummary(
        split=split.name,
        redacted=dict(split.redacted or {}),
        dialogues=len(examples),
        bad_rows=split.skipped,
        repeated_dialogues=len(repeats),
        repeats=repeats,
        speakers=dict(sorted(speakers.items())),
        turns_median=median(map(len, turns)),
        turns_max=max(map(len, turns)),
        words_median=median(words),
        words_max=max(words),
        summary_words_median=median(len(e.references[0].split()) for e in examples),
        references_max=max(len(e.references) for e in examples),
        source_tokens=count.sources(examples),
        target_tokens=count.targets(examples),
        fingerprint=split.fingerprint,
    )


def leak_lines(summary: DataSummary) -> str:
    """Return every repeated or leaked dialogue as a JSON object a line.

    ``split`` and ``id`` name the dialogue, ``other_split`` and ``other_id`` the one it repeats; in a split repeated
    dialogues stand before leaked ones.
    """
    pairs = [(split.split, split.split, leak) for split in summary.splits for leak in split.repeats]
    pairs += [(leakage.split, leakage.other, leak) for leakage in summary.leakage for leak in leakage.pairs]
    rows = [{"split": split, "other_split": other, **leak.model_dump()} for split, other, leak in pairs]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
