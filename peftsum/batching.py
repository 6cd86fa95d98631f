"""From examples to tokens, and from tokens to batches under a token budget, of near-equal lengths."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peftsum.data import Example
from peftsum.exceptions import RecipeError
from peftsum.prompts import Prompt
from peftsum.speakers import speaker_view

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

IGNORED = -100  # what cross-entropy leaves out; the pad token would be learnt as a word
POOL = 50  # batches' worth of examples sorted together: near-equal lengths, and still a random order


@dataclass(frozen=True, slots=True)
class Encoded:
    """One example as token ids."""

    source: list[int]
    target: list[int]
    source_cut: bool = False
    target_cut: bool = False


def encode_source(
    tokenizer: PreTrainedTokenizerBase, prompt: Prompt, dialogue: str, limit: int
) -> tuple[list[int], bool]:
    """Return the token ids of a dialogue, as the model is to read it, in its prompt, and whether it was cut.

    Where it is too long the dialogue loses its end, and the words around it stay.

    Raises:
        RecipeError: the prompt alone is longer than ``limit``.
    """
    _, ids, cut = render_within(tokenizer, prompt, dialogue, limit)
    return ids, cut


def render_within(
    tokenizer: PreTrainedTokenizerBase, prompt: Prompt, dialogue: str, limit: int
) -> tuple[str, list[int], bool]:
    """Return a dialogue in its prompt as text and as token ids, and whether it was cut; see :func:`encode_source`."""
    text = prompt.render(dialogue)
    ids: list[int] = tokenizer(text, verbose=False)["input_ids"]
    if len(ids) <= limit:
        return text, ids, False
    offsets = tokenizer(dialogue, return_offsets_mapping=True, add_special_tokens=False, verbose=False)[
        "offset_mapping"
    ]
    keep = len(offsets) - (len(ids) - limit)
    while keep > 0:  # joints may tokenize differently, so count again
        text = prompt.render(dialogue[: offsets[keep - 1][1]])
        ids = tokenizer(text, verbose=False)["input_ids"]
        if len(ids) <= limit:
            return text, ids, True
        keep -= len(ids) - limit
    raise RecipeError(
        f"the prompt leaves no room for a dialogue in {limit} tokens",
        hint="shorten prompt.template or raise data.max_source_tokens",
    )


def encode(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    prompt: Prompt,
    *,
    max_source_tokens: int,
    max_target_tokens: int,
) -> list[Encoded]:
    """Return the examples as token ids; the first reference is the target."""
    encoded = []
    for example in examples:
        view = speaker_view(example.dialogue, prompt.speakers)
        source, source_cut = encode_source(tokenizer, prompt, view.dialogue, max_source_tokens)
        summary = view.write(example.references[0])
        target: list[int] = tokenizer(text_target=summary, verbose=False)["input_ids"]
        target_cut = len(target) > max_target_tokens
        if target_cut:
            target = [*target[: max_target_tokens - 1], target[-1]]  # the end-of-sequence token stays
        encoded.append(Encoded(source, target, source_cut, target_cut))
    return encoded


def token_budget_batches(lengths: Sequence[tuple[int, int]], budget: int) -> list[list[int]]:
    """Cut examples, in the order given, into batches of at most ``budget`` padded positions.

    Args:
        lengths: (source, target) tokens of each example.
        budget: most positions of a batch, source and target together, padding included. An example that is longer
            alone makes a batch of its own.

    Returns:
        Indices into ``lengths``, batch by batch, each once.
    """
    batches: list[list[int]] = []
    current: list[int] = []
    widest_source = widest_target = 0
    for index, (source, target) in enumerate(lengths):
        wider_source, wider_target = max(widest_source, source), max(widest_target, target)
        if current and (wider_source + wider_target) * (len(current) + 1) > budget:
            batches.append(current)
            current, wider_source, wider_target = [], source, target
        current.append(index)
        widest_source, widest_target = wider_source, wider_target
    if current:
        batches.append(current)
    return batches


def epoch_batches(examples: Sequence[Encoded], budget: int, seed: int, epoch: int) -> list[list[int]]:
    """Return one epoch's batches as indices: random pools, sorted by length inside, in random order.

    The same arguments always give the same batches, which is what lets a resumed run find its place.
    """
    rng = random.Random(f"{seed}-{epoch}")
    order = list(range(len(examples)))
    rng.shuffle(order)
    mean_length = sum(len(e.source) + len(e.target) for e in examples) / max(1, len(examples))
    pool_size = max(1, int(POOL * budget / max(1.0, mean_length)))
    batches: list[list[int]] = []
    for start in range(0, len(order), pool_size):
        pool = sorted(
            order[start : start + pool_size], key=lambda i: (len(examples[i].source), len(examples[i].target))
        )
        lengths = [(len(examples[i].source), len(examples[i].target)) for i in pool]
        batches += [[pool[i] for i in batch] for batch in token_budget_batches(lengths, budget)]
    rng.shuffle(batches)
    return batches


def packed_batches(examples: Sequence[Encoded], budget: int, seed: int, epoch: int) -> list[list[int]]:
    """Return one epoch's batches for packing: the shuffled examples, cut so that each batch comes near the budget.

    Lengths need not be alike, since packed rows have no padding. As in :func:`epoch_batches`, the same arguments always
    give the same batches.
    """
    order = list(range(len(examples)))
    random.Random(f"{seed}-{epoch}").shuffle(order)
    batches: list[list[int]] = []
    room = 0
    for index in order:
        tokens = len(examples[index].source) + len(examples[index].target)
        if not batches or tokens > room:
            batches.append([])
            room = budget
        batches[-1].append(index)
        room -= tokens
    return batches


def length_sorted_batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Yield batches of indices for inference, longest first, so that a lack of memory shows at once.

    Args:
        lengths: source tokens of each example.
        budget: most source positions of a batch, padding included.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    for batch in token_budget_batches([(lengths[i], 0) for i in order], budget):
        yield [order[i] for i in batch]


def collate(examples: Sequence[Encoded], pad_token_id: int) -> dict[str, torch.Tensor]:
    """Return padded tensors.

    ``input_ids`` and ``attention_mask`` are (batch, source_len); ``decoder_input_ids`` and ``labels`` are
    (batch, target_len).

    The decoder starts with the pad token, as T5 has it, and reads the labels one step late.
    """
    return {
        **collate_sources([e.source for e in examples], pad_token_id),
        "decoder_input_ids": _padded([[pad_token_id, *e.target[:-1]] for e in examples], pad_token_id),
        "labels": _padded([e.target for e in examples], IGNORED),  # -100 = ignored
    }


def collate_sources(sources: Sequence[Sequence[int]], pad_token_id: int) -> dict[str, torch.Tensor]:
    """Return input_ids and attention_mask, both (batch, source_len)."""
    return {
        "input_ids": _padded(sources, pad_token_id),
        "attention_mask": _padded([[1] * len(s) for s in sources], 0),
    }


def _padded(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    import torch

    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows], dtype=torch.long)
