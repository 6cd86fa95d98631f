"""Batches of near-equal lengths under a token budget, drawn without end from the corpus."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer

from pretraining.tasks import TASKS, Example, corrupt
from pretraining.text import SHARES, Dialogue, new_names, rename, render, window

MAX_SOURCE = 400  # tokens
MAX_TARGET = 120  # tokens
POOL = 4096  # examples sorted together: larger is less padding and batches more alike
KINDS = ("span", "summary", "report", "copy", "continue")


@dataclass(frozen=True)
class Pair:
    """Token ids of one example, both ending in `</s>`."""

    kind: str
    source: list[int]
    target: list[int]


@dataclass(frozen=True)
class Batch:
    """Padded tensors; `labels` holds -100 where the target is padding, `kind` an index into `KINDS` a row."""

    source: torch.Tensor  # (batch, source_len)
    mask: torch.Tensor  # (batch, source_len), 1 = real
    decoder: torch.Tensor  # (batch, target_len): the target moved right, begun by <pad>
    labels: torch.Tensor  # (batch, target_len)
    kind: torch.Tensor  # (batch,)
    tokens: int  # real positions of both sides


def keep_labels(source: str) -> float:
    """Probability that the speakers of a source keep their own labels: the built-in dialogues have names already."""
    return 0.45 if source == "dialogues" else 0.12


def draw(corpus: dict[str, list[Dialogue]], rng: random.Random) -> Dialogue:
    """A window of a dialogue of a random source, its speakers relabelled."""
    names = [name for name in SHARES if corpus.get(name)]
    name = rng.choices(names, [SHARES[n] for n in names])[0]
    turns = window(rng.choice(corpus[name]), rng, rng.randint(40, 200))
    return rename(turns, new_names(turns, rng, keep_labels(name)))


def make_example(turns: Dialogue, rng: random.Random) -> Example | None:
    """An instruction task, or `None` for span corruption (also when three tasks in a row cannot be asked)."""
    tasks, weights = list(TASKS), list(TASKS.values())
    if rng.random() >= sum(weights):
        return None
    for task in rng.choices(tasks, weights, k=3):
        if example := task(turns, rng):
            return example
    return None


def make_pairs(corpus: dict[str, list[Dialogue]], tokenizer: Tokenizer, rng: random.Random, count: int) -> list[Pair]:
    """`count` examples or a little fewer: what is too long or too short is left out."""
    drawn = [draw(corpus, rng) for _ in range(count)]
    made = [make_example(turns, rng) for turns in drawn]
    texts = [render(turns) if example is None else example.source for turns, example in zip(drawn, made, strict=True)]
    sources = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    targets = iter(tokenizer.encode_batch([example.target for example in made if example]))
    pairs = []
    for ids, example in zip(sources, made, strict=True):
        if example is None:
            body = ids[: MAX_SOURCE - 1] if len(ids) > MAX_SOURCE else ids[:-1]
            if len(body) >= 12:
                pairs.append(Pair("span", *corrupt(body, rng)))
        else:
            target = next(targets).ids
            if len(ids) <= MAX_SOURCE and len(target) <= MAX_TARGET:
                pairs.append(Pair(example.kind, ids, target))
    return pairs


def collate(pairs: list[Pair]) -> Batch:
    """Pad to the longest of each side."""
    width, height = max(len(p.source) for p in pairs), max(len(p.target) for p in pairs)
    source = torch.zeros(len(pairs), width, dtype=torch.long)
    mask = torch.zeros(len(pairs), width, dtype=torch.long)
    labels = torch.full((len(pairs), height), -100)
    decoder = torch.zeros(len(pairs), height, dtype=torch.long)
    for row, pair in enumerate(pairs):
        source[row, : len(pair.source)] = torch.tensor(pair.source)
        mask[row, : len(pair.source)] = 1
        labels[row, : len(pair.target)] = torch.tensor(pair.target)
        decoder[row, 1 : len(pair.target)] = torch.tensor(pair.target[:-1])
    kind = torch.tensor([KINDS.index(p.kind) for p in pairs])
    return Batch(source, mask, decoder, labels, kind, sum(len(p.source) + len(p.target) for p in pairs))


def group(pairs: list[Pair], budget: int) -> list[list[Pair]]:
    """Groups whose padded size (both sides) stays within `budget` tokens, of near-equal lengths on both sides."""
    ordered = sorted(pairs, key=lambda p: (round(math.log(len(p.source)) / 0.12), len(p.target)))  # sources within 12 %
    groups: list[list[Pair]] = []
    current: list[Pair] = []
    width = height = 0
    for pair in ordered:
        wide, high = max(width, len(pair.source)), max(height, len(pair.target))
        if current and (len(current) + 1) * (wide + high) > budget:
            groups.append(current)
            current, wide, high = [], len(pair.source), len(pair.target)
        current.append(pair)
        width, height = wide, high
    return [*groups, current] if current else groups


def batches(corpus: dict[str, list[Dialogue]], tokenizer: Tokenizer, seed: int, budget: int) -> Iterator[Batch]:
    """Without end; the same seed gives the same batches."""
    rng = random.Random(seed)
    while True:
        groups = group(make_pairs(corpus, tokenizer, rng, POOL), budget)
        rng.shuffle(groups)
        for pairs in groups:
            yield collate(pairs)
