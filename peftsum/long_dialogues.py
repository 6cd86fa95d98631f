"""Dialogues longer than the context: cut off, and said so, or read in parts whose summaries are summarised in turn.

Stages as in Summ^N (Zhang et al. 2022): parts are summarised, the summaries stand for the dialogue, and that goes on
until they are as short as is asked. All parts of all dialogues of a stage are decoded together, so that those of one
length share a batch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from peftsum.batching import encode_source
from peftsum.prompts import Prompt
from peftsum.recipe import Generation
from peftsum.speakers import speaker_view
from peftsum.splitting import Part, split_dialogue

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

MOST_STAGES = 8  # each stage shortens a text about tenfold

Strategy = Literal["truncate", "staged"]
Decode = Callable[[Sequence[list[int]], str], list[str]]
"""Token ids of prompts and a title for the progress bar in, summaries out, in order."""
Writing = Generator[tuple[list[list[int]], str], list[str], "list[Written]"]
"""Yields what :data:`Decode` takes, is sent what it returns, and ends with the summaries."""


@dataclass(frozen=True, slots=True)
class Written:
    """A summary, and what of the dialogue was read for it."""

    text: str
    source: list[int]
    """Token ids of the prompt that the text was written from; of several stages, of the last."""
    strategy: Strategy
    source_tokens: int
    """Of the prompt with the whole dialogue."""
    read_tokens: int
    """Of those, how many were read; fewer only where the end was cut off."""
    parts: int = 1
    """That the dialogue was read in."""
    stages: int = 1
    """Rounds of summaries, the last included."""
    cut_turns: int = 0
    """Turns longer than the context, which were cut between sentences."""
    joined: bool = False
    """The text is summaries one after the other, since the parts' were not summarised in turn."""
    as_written: str = ""
    """The text as the model wrote it, before names of speakers were put back."""

    @property
    def whole(self) -> bool:
        """Whether the model read the whole dialogue at once."""
        return self.parts == 1 and self.read_tokens >= self.source_tokens


class PromptCounter:
    """Counts tokens of dialogues in a prompt."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> None:
        self.tokenizer, self.prompt = tokenizer, prompt

    def in_prompt(self, text: str) -> int:
        """Return the tokens of the prompt with this text as its dialogue, special tokens included."""
        return len(self.tokenizer(self.prompt.render(text), verbose=False)["input_ids"])

    def alone(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text by itself, without special tokens."""
        if not texts:
            return []
        return [len(ids) for ids in self.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]]


def write_summaries(
    dialogues: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    prompt: Prompt,
    limit: int,
    generation: Generation,
    decode: Decode,
    *,
    title: str = "",
) -> list[Written]:
    """Return a summary for each dialogue, in order, by the strategy of ``generation``.

    Args:
        dialogues: texts, a turn a line.
        tokenizer: of the base.
        prompt: that a dialogue, a part, or the summaries of parts are put in.
        limit: most tokens of a prompt with its dialogue.
        generation: ``strategy``, ``overlap_turns`` and ``joined_tokens``.
        decode: from token ids to summaries.
        title: shown with a progress bar when given.

    Raises:
        RecipeError: the prompt leaves no room for a dialogue.
    """
    steps = writing(dialogues, tokenizer, prompt, limit, generation, title=title)
    try:
        asked = next(steps)
        while True:
            asked = steps.send(decode(*asked))
    except StopIteration as end:
        found: list[Written] = end.value
        return found


def writing(
    dialogues: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    prompt: Prompt,
    limit: int,
    generation: Generation,
    *,
    title: str = "",
) -> Writing:
    """Do what :func:`write_summaries` does for a caller who decodes in a time of its own."""
    views = [speaker_view(dialogue, prompt.speakers) for dialogue in dialogues]
    read = [view.dialogue for view in views]
    if generation.strategy == "truncate":
        found = yield from _truncated(read, tokenizer, prompt, limit, title)
    else:
        found = yield from _Stages(read, PromptCounter(tokenizer, prompt), limit, generation).run(title)
    return [replace(w, text=view.restore(w.text), as_written=w.text) for w, view in zip(found, views, strict=True)]


def encode_truncated(
    tokenizer: PreTrainedTokenizerBase, prompt: Prompt, dialogues: Sequence[str], limit: int
) -> tuple[list[list[int]], list[int]]:
    """Return the token ids of dialogues, as the model is to read them, in their prompt, ends cut where they must be.

    Beside them the tokens cut off each. What was cut is warned of, with counts.
    """
    counter = PromptCounter(tokenizer, prompt)
    encoded = [encode_source(tokenizer, prompt, dialogue, limit) for dialogue in dialogues]
    lost = [
        counter.in_prompt(dialogue) - len(ids) if cut else 0
        for dialogue, (ids, cut) in zip(dialogues, encoded, strict=True)
    ]
    cut = sum(count > 0 for count in lost)
    if cut:
        total = sum(len(ids) for ids, _ in encoded) + sum(lost)
        logger.warning(
            "%d of %d dialogues are longer than %d tokens; their end was cut: %d of %d tokens (%.1f %%) were not read. "
            "--strategy staged reads them whole",
            *(cut, len(encoded), limit, sum(lost), total, 100 * sum(lost) / total),
        )
    return [ids for ids, _ in encoded], lost


def _truncated(
    dialogues: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    prompt: Prompt,
    limit: int,
    title: str,
) -> Writing:
    sources, lost = encode_truncated(tokenizer, prompt, dialogues, limit)
    texts = yield sources, title
    return [
        Written(text, source, "truncate", len(source) + missing, len(source))
        for text, source, missing in zip(texts, sources, lost, strict=True)
    ]


class _Stages:
    """The stages of a set of dialogues."""

    def __init__(self, dialogues: Sequence[str], counter: PromptCounter, limit: int, generation: Generation) -> None:
        self.counter, self.limit, self.generation = counter, limit, generation
        self.texts = list(dialogues)  # what stands for each dialogue by now
        self.written: list[Written | None] = [None] * len(dialogues)

    def run(self, title: str) -> Writing:
        """Write a summary for each dialogue."""
        pending = list(range(len(self.texts)))
        for stage in range(1, MOST_STAGES + 1):
            if not pending:
                break
            shown = title if stage == 1 else f"{title}, stage {stage}" if title else ""
            pending = yield from self._stage(pending, stage, shown)
        found = [written for written in self.written if written is not None]
        self._announce(found)
        return found

    def _stage(
        self, pending: list[int], stage: int, title: str
    ) -> Generator[tuple[list[list[int]], str], list[str], list[int]]:
        """Summarise the parts of what is pending; return those whose summaries are to be summarised in turn."""
        overlap = self.generation.overlap_turns if stage == 1 else 0  # summaries repeat nothing that a reader needs
        parts = {i: split_dialogue(self.texts[i], self.counter, self.limit, overlap) for i in pending}
        sources = [self._encode(part) for i in pending for part in parts[i]]
        texts_of_parts = yield sources, title
        answers = iter(zip(texts_of_parts, sources, strict=True))
        again = []
        for i in pending:
            found = [next(answers) for _ in parts[i]]
            self._note(i, parts[i], stage, found[-1][1])
            texts = [" ".join(text.split()) for text, _ in found]
            if len(found) == 1:
                self._finish(i, found[0][0])
            elif sum(self.counter.alone(texts)) <= self.generation.joined_tokens:
                self._finish(i, " ".join(filter(None, texts)), joined=True)
            elif stage == MOST_STAGES or not self._shortened(i, texts):
                self._finish(i, " ".join(filter(None, texts)), joined=True)
                logger.warning(
                    "the summaries of %d parts are no shorter than what they summarise; they stand one after the other",
                    len(texts),
                )
            else:
                self.texts[i] = "\n".join(filter(None, texts))
                again.append(i)
        return again

    def _encode(self, part: Part) -> list[int]:
        ids: list[int] = self.counter.tokenizer(self.counter.prompt.render(part.text), verbose=False)["input_ids"]
        return ids

    def _shortened(self, i: int, texts: Sequence[str]) -> bool:
        """Whether another stage has less to read than this one had."""
        joined = "\n".join(filter(None, texts))
        return bool(joined) and self.counter.in_prompt(joined) < self.counter.in_prompt(self.texts[i])

    def _note(self, i: int, parts: Sequence[Part], stage: int, source: list[int]) -> None:
        before = self.written[i]
        if before is not None:
            self.written[i] = replace(before, stages=stage, source=source)
            return
        tokens = self.counter.in_prompt(self.texts[i])
        cut = {turn for part in parts for turn in part.cut_turns}
        self.written[i] = Written("", source, "staged", tokens, tokens, len(parts), stage, len(cut))

    def _finish(self, i: int, text: str, *, joined: bool = False) -> None:
        written = self.written[i]
        assert written is not None  # noted in this stage
        self.written[i] = replace(written, text=text, joined=joined)

    def _announce(self, found: Sequence[Written]) -> None:
        long = [written for written in found if written.parts > 1]
        if not long:
            return
        counts = [written.parts for written in long]
        cut = sum(written.cut_turns for written in long)
        logger.info(
            "%d of %d dialogues are longer than %d tokens; read whole in %d parts (%d to %d each) and %d stages%s",
            *(len(long), len(found), self.limit, sum(counts), min(counts), max(counts), max(w.stages for w in long)),
            f"; {cut} turns are longer than that alone and were cut between sentences" if cut else "",
        )
