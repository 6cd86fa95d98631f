"""Few-shot prompts: solved examples from the training split before the dialogue, as many as the context holds.

No example repeats the dialogue that it stands before, exactly or nearly (:mod:`peftsum.leakage`), and nothing is cut
without being counted: an example goes in whole or not at all, and a :class:`Sent` prompt names those that went in.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from peftsum.batching import render_within
from peftsum.data import Example, Split
from peftsum.exceptions import RecipeError, UsageError
from peftsum.leakage import find_leakage, words_said
from peftsum.prompts import EXAMPLE_SEPARATOR, Prompt
from peftsum.section import Record, Section
from peftsum.similarity import TextIndex
from peftsum.speakers import speaker_view

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

JOINT = 8  # tokens that a joint may take or save: parts are counted apart to tell what cannot fit, the whole decides


class FewShot(Section):
    """Which solved examples stand before a dialogue, and how many."""

    choose: Literal["random", "similar", "index"] = "random"
    """Drawn anew for each dialogue with the seed; the most alike by their words (TF-IDF), the most alike one last, next
    to the question; or those of `indices`, the same for every dialogue."""
    shots: int | None = Field(None, gt=0)
    """Most examples; none means as many as the context holds."""
    indices: tuple[int, ...] = ()
    """Places in the training split, from 0, in the order they stand in; only with `choose: index`."""
    seed: int = Field(13, ge=0)
    """Of the random choice."""

    @model_validator(mode="after")
    def _indices_fit_choice(self) -> Self:
        if (self.choose == "index") != bool(self.indices):
            raise ValueError("`indices` goes with `choose: index`, and only with it")
        if len(set(self.indices)) < len(self.indices):
            raise ValueError("an index stands twice in `indices`")
        return self


class Sent(Record):
    """One prompt as the model reads it."""

    id: str
    """Of the dialogue to be summarized."""
    text: str
    tokens: int
    examples: list[str] = Field(default_factory=list)
    """Ids of the solved examples in it, in the order they stand."""
    left_out: int = 0
    """Examples that were asked for by index and are not in it: too long for what room was left, or a copy of the
    dialogue."""
    cut: bool = False
    """The dialogue alone is too long: no example is in it, and the dialogue's end was cut."""


def make_prompt(
    in_context_indices: Sequence[int],
    test_index: int,
    *,
    train: Sequence[Example],
    test: Sequence[Example],
    prompt: Prompt | None = None,
) -> str:
    r"""Return a prompt of solved examples and the dialogue to be summarized, three newlines between them.

    It is as long as it is: :class:`FewShotPrompts` is what keeps to a context.

    Args:
        in_context_indices: places in ``train`` of the examples, in the order they stand; none gives the plain prompt.
        test_index: place in ``test`` of the dialogue to be summarized.
        train: where examples come from.
        test: where the dialogue comes from.
        prompt: the words around each dialogue; None takes the structured ones.

    Raises:
        UsageError: an index names no example.

    Example:
        >>> from peftsum.data import Example
        >>> lunch = Example("1", "Ann: Lunch?\nBob: Yes.", ("They have lunch.",))
        >>> tea = Example("2", "Cleo: Tea?\nDan: No.", ("Dan wants no tea.",))
        >>> print(make_prompt([0], 0, train=[lunch], test=[tea], prompt=Prompt(kind="instruct")))
        Summarize this conversation:
        <BLANKLINE>
        Ann: Lunch?
        Bob: Yes.
        <BLANKLINE>
        They have lunch.
        <BLANKLINE>
        <BLANKLINE>
        Summarize this conversation:
        <BLANKLINE>
        Cleo: Tea?
        Dan: No.
    """
    wording = prompt or Prompt()
    solved = [_at(train, index, "training") for index in in_context_indices]
    return _join(wording, solved, _question(wording, _at(test, test_index, "test")))


def _at(examples: Sequence[Example], index: int, name: str) -> Example:
    if not 0 <= index < len(examples):
        raise UsageError(f"there is no {name} dialogue {index}", hint=f"indices go from 0 to {len(examples) - 1}")
    return examples[index]


def _join(wording: Prompt, solved: Sequence[Example], question: str) -> str:
    return EXAMPLE_SEPARATOR.join([*(_solved(wording, example) for example in solved), question])


def _question(wording: Prompt, example: Example) -> str:
    return wording.render(speaker_view(example.dialogue, wording.speakers).dialogue)


def _solved(wording: Prompt, example: Example) -> str:
    view = speaker_view(example.dialogue, wording.speakers)
    return wording.solve(view.dialogue, view.write(example.references[0]))


@dataclass
class FewShotPrompts:
    """Makes the prompts of a split, with examples of the training split, within a context.

    Args:
        train: where examples come from.
        test: the dialogues to be summarized.
        tokenizer: of the base.
        limit: the context, tokens.
    """

    train: Split
    test: Split
    tokenizer: PreTrainedTokenizerBase
    limit: int
    _lengths_by_wording: dict[Prompt, list[int]] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def leaks(self) -> dict[str, set[str]]:
        """Id of a dialogue to the ids of the training examples that repeat it, exactly or nearly."""
        found: dict[str, set[str]] = {}
        for pair in find_leakage(self.test, self.train).pairs:
            found.setdefault(pair.id, set()).add(pair.other_id)
        return found

    @cached_property
    def _said(self) -> list[tuple[str, ...]]:
        return [words_said(example.dialogue) for example in self.train.examples]

    @cached_property
    def _index(self) -> TextIndex:
        return TextIndex(self._said)

    def plain(self, wording: Prompt) -> list[Sent]:
        """Return each dialogue in its wording, without examples."""
        return [self._plain(wording, example) for example in self.test.examples]

    def few_shot(self, wording: Prompt, few: FewShot) -> list[Sent]:
        """Return each dialogue with its examples.

        Raises:
            UsageError: an index names no training example.
            RecipeError: an example that was asked for by index does not fit the context even alone.
        """
        self._check(wording, few)
        return [self._with_examples(wording, few, example) for example in self.test.examples]

    def _check(self, wording: Prompt, few: FewShot) -> None:
        """Refuse examples by index that no prompt could ever hold."""
        for index in few.indices:
            example = _at(self.train.examples, index, "training")
            tokens = self._tokens(_join(wording, [example], wording.render("")))
            if tokens >= self.limit:
                raise RecipeError(
                    f"training example {index} ({example.id}) takes {tokens} of the {self.limit} tokens of the context",
                    hint="take a shorter example, or raise data.max_source_tokens",
                )

    def _plain(self, wording: Prompt, example: Example) -> Sent:
        dialogue = speaker_view(example.dialogue, wording.speakers).dialogue
        text, ids, cut = render_within(self.tokenizer, wording, dialogue, self.limit)
        return Sent(id=example.id, text=text, tokens=len(ids), cut=cut)

    def _with_examples(self, wording: Prompt, few: FewShot, example: Example) -> Sent:
        sent = self._plain(wording, example)
        if sent.cut:
            return sent.model_copy(update={"left_out": len(few.indices)})
        most = few.shots or len(self.train.examples)
        lengths = self._lengths(wording)
        shortest = min(lengths)
        chosen: list[int] = []
        for candidate in self._candidates(few, example):
            room = self.limit - sent.tokens + JOINT
            if len(chosen) == most or room < shortest:
                break
            if lengths[candidate] > room or self._repeats(candidate, chosen, example):
                continue
            # the most alike one stands last
            tried = [candidate, *chosen] if few.choose == "similar" else [*chosen, candidate]
            solved = [self.train.examples[place] for place in tried]
            text = _join(wording, solved, _question(wording, example))
            if (tokens := self._tokens(text)) <= self.limit:
                chosen = tried
                sent = Sent(id=example.id, text=text, tokens=tokens, examples=[e.id for e in solved])
        wanted = min(len(few.indices), most)
        return sent.model_copy(update={"left_out": wanted - len(chosen) if few.indices else 0})

    def _lengths(self, wording: Prompt) -> list[int]:
        """Return the tokens of each training example solved, alone and without the end of the sequence."""
        if wording not in self._lengths_by_wording:
            texts = [_solved(wording, example) for example in self.train.examples]
            ids = self.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
            self._lengths_by_wording[wording] = [len(one) for one in ids]
        return self._lengths_by_wording[wording]

    def _candidates(self, few: FewShot, example: Example) -> Iterator[int]:
        """Yield places in the training split, those to be taken first coming first."""
        if few.choose == "index":
            yield from few.indices
        elif few.choose == "similar":
            yield from self._index.nearest(words_said(example.dialogue))
        else:
            draw, taken = random.Random(f"{few.seed}-{example.id}"), set[int]()
            while len(taken) < len(self.train.examples):  # few are ever drawn, so a shuffle of all would be waste
                place = draw.randrange(len(self.train.examples))
                if place not in taken:
                    taken.add(place)
                    yield place

    def _repeats(self, candidate: int, chosen: Sequence[int], example: Example) -> bool:
        """Tell whether a candidate says what the dialogue itself says, or an example that is in already."""
        if self.train.examples[candidate].id in self.leaks.get(example.id, ()):
            return True
        return any(self._said[candidate] == self._said[place] for place in chosen)

    def _tokens(self, text: str) -> int:
        return len(self.tokenizer(text, verbose=False)["input_ids"])
