"""Contrastive training, as it was measured: a margin where a summary made wrong parts from the good one.

It is no option of peftsum, since it cost ROUGE in a training of some length; see ``docs/better-training.md``. At the
first token in which a wrong summary differs both follow the same words, so that the decoder's states for the good one
serve both: ``weight max(0, margin - (log p(good token) - log p(wrong token)))`` is added to the cross-entropy, for each
kind of error that has a place in the summary. ``contrasted`` puts that into peftsum's training model for a while.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from better.corruption import KINDS, corruptions
from peftsum.batching import Encoded, encode
from peftsum.data import load_split
from peftsum.model import load_tokenizer
from peftsum.recipe import Recipe
from peftsum.speakers import speaker_view
from peftsum.training_model import TrainingModel

Tokens = tuple[int, ...]


@contextmanager
def contrasted(recipe: Recipe, weight: float, margin: float) -> Iterator[None]:
    """Train what is trained inside with the term, on a recipe's training dialogues.

    Args:
        recipe: of the training.
        weight: of the term.
        margin: in nats.
    """
    wrong_of = _wrong_targets(recipe)
    real_batch, real_forward = TrainingModel.batch, TrainingModel.forward

    def batch(self: TrainingModel, examples: Sequence[Encoded], device: Any, *rest: Any) -> Any:
        self.partings = partings(  # type: ignore[assignment]  # for the forward pass that follows
            [e.target for e in examples], [wrong_of.get((tuple(e.source), tuple(e.target)), []) for e in examples]
        )
        return real_batch(self, examples, device, *rest)

    def forward(self: TrainingModel, batch: Any) -> torch.Tensor:
        positions, wrong = getattr(self, "partings", ([], []))
        if not positions:
            return real_forward(self, batch)
        states, labels = self.states(batch)
        return self._loss(states, labels) + weight * shortfall(states, self.head, labels, positions, wrong, margin)

    TrainingModel.batch, TrainingModel.forward = batch, forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        TrainingModel.batch, TrainingModel.forward = real_batch, real_forward  # type: ignore[method-assign]


def partings(targets: Sequence[Sequence[int]], wrong: Sequence[Sequence[Sequence[int]]]) -> tuple[list[int], list[int]]:
    """Return the positions, targets end to end, at which wrong targets part from the good ones, and their tokens there.

    Args:
        targets: the good target of each dialogue.
        wrong: any number of wrong ones of each; none is the beginning of the good one, since all have their end.
    """
    positions, tokens, start = [], [], 0
    for good, others in zip(targets, wrong, strict=True):
        for other in others:
            place = next(i for i, (one, two) in enumerate(zip(good, other, strict=False)) if one != two)
            positions.append(start + place)
            tokens.append(other[place])
        start += len(good)
    return positions, tokens


def shortfall(
    states: torch.Tensor,
    head: nn.Module,
    labels: torch.Tensor,
    positions: Sequence[int],
    wrong: Sequence[int],
    margin: float,
) -> torch.Tensor:
    """Return what the leads of good tokens over wrong ones lack to the margin, summed, in nats.

    Args:
        states: (positions, d_model), the decoder's output at real targets.
        head: from states to logits.
        labels: (positions,), the good tokens.
        positions: where summaries part.
        wrong: the wrong token of each.
        margin: in nats.
    """
    places = torch.tensor(positions)
    logits = head(states[places]).float()  # (partings, vocabulary)
    good, bad = (logits.gather(-1, tokens.unsqueeze(-1)) for tokens in (labels[places], torch.tensor(wrong)))
    return (margin - (good - bad)).clamp_min(0).sum()


def _wrong_targets(recipe: Recipe) -> dict[tuple[Tokens, Tokens], list[list[int]]]:
    """Return source and good target, as token ids, to the wrong targets."""
    tokenizer = load_tokenizer(recipe.model)
    most = recipe.data.max_target_tokens
    examples = load_split(recipe.data, "train").examples
    encoded = encode(
        examples,
        tokenizer,
        recipe.prompt,
        max_source_tokens=recipe.data.max_source_tokens,
        max_target_tokens=most,
    )
    found = {}
    for example, one in zip(examples, encoded, strict=True):
        view = speaker_view(example.dialogue, recipe.prompt.speakers)
        texts = corruptions(example.references[0], example.dialogue, KINDS, recipe.train.seed, example.id).values()
        targets = [tokenizer(text_target=view.write(text), verbose=False)["input_ids"] for text in texts]
        # longer ones would part behind the cut
        found[tuple(one.source), tuple(one.target)] = [t for t in targets if t != one.target and len(t) <= most]
    return found
