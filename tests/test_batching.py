"""Batches: every example once, within the budget, the same for the same seed, little padding; cuts keep the prompt."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

from peftsum.batching import (
    IGNORED,
    Encoded,
    collate,
    collate_sources,
    encode,
    encode_source,
    epoch_batches,
    length_sorted_batches,
    token_budget_batches,
)
from peftsum.data import Example
from peftsum.exceptions import RecipeError
from peftsum.prompts import Prompt

LENGTHS = st.lists(st.tuples(st.integers(1, 300), st.integers(1, 90)), max_size=120)
BUDGETS = st.integers(1, 4096)
TOKENS = st.lists(st.integers(2, 99), min_size=1, max_size=12)


def examples_of(lengths: list[tuple[int, int]]) -> list[Encoded]:
    return [Encoded([5] * source, [6] * target) for source, target in lengths]


def positions(batch: list[int], lengths: list[tuple[int, int]]) -> int:
    """Return the positions of a padded batch, source and target together."""
    return len(batch) * (max(lengths[i][0] for i in batch) + max(lengths[i][1] for i in batch))


@given(LENGTHS, BUDGETS, st.integers(0, 5), st.integers(0, 5))
@settings(deadline=None)
def test_an_epoch_has_every_example_once_and_keeps_the_budget(
    lengths: list[tuple[int, int]], budget: int, seed: int, epoch: int
) -> None:
    batches = epoch_batches(examples_of(lengths), budget, seed, epoch)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or positions(batch, lengths) <= budget for batch in batches)


@given(LENGTHS, BUDGETS)
@settings(deadline=None)
def test_a_batch_is_closed_only_when_the_next_example_does_not_fit(lengths: list[tuple[int, int]], budget: int) -> None:
    batches = token_budget_batches(lengths, budget)
    assert [i for batch in batches for i in batch] == list(range(len(lengths)))
    for batch, following in pairwise(batches):
        assert positions([*batch, following[0]], lengths) > budget


@given(LENGTHS, st.integers(0, 99))
@settings(deadline=None)
def test_the_same_seed_and_epoch_give_the_same_batches(lengths: list[tuple[int, int]], seed: int) -> None:
    examples = examples_of(lengths)
    assert epoch_batches(examples, 512, seed, 3) == epoch_batches(examples, 512, seed, 3)


def test_another_seed_or_epoch_gives_other_batches() -> None:
    rng = random.Random(0)
    examples = examples_of([(rng.randint(1, 300), rng.randint(1, 60)) for _ in range(300)])
    orders = [str(epoch_batches(examples, 1024, seed, epoch)) for seed in range(3) for epoch in range(3)]
    assert len(set(orders)) == len(orders)


def test_little_of_an_epoch_is_padding_and_the_order_of_lengths_is_random() -> None:
    rng = random.Random(1)
    lengths = [(min(512, int(rng.lognormvariate(5.2, 0.6)) + 8), rng.randint(10, 60)) for _ in range(3000)]
    batches = epoch_batches(examples_of(lengths), 2048, seed=0, epoch=0)
    padded = sum(len(batch) * max(lengths[i][0] for i in batch) for batch in batches)
    assert 1 - sum(source for source, _ in lengths) / padded < 0.05
    longest = [max(lengths[i][0] for i in batch) for batch in batches]
    rising = sum(a <= b for a, b in pairwise(longest)) / len(longest)
    assert 0.35 < rising < 0.65


@given(st.lists(st.integers(1, 400), max_size=100), BUDGETS)
@settings(deadline=None)
def test_inference_batches_have_every_index_once_longest_first_within_the_budget(
    lengths: list[int], budget: int
) -> None:
    batches = list(length_sorted_batches(lengths, budget))
    order = [i for batch in batches for i in batch]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[i] for i in order] == sorted(lengths, reverse=True)
    assert all(len(b) == 1 or len(b) * max(lengths[i] for i in b) <= budget for b in batches)
    restored = [0] * len(lengths)
    for batch in batches:
        for i in batch:
            restored[i] = lengths[i]
    assert restored == lengths


@given(st.lists(st.tuples(TOKENS, TOKENS), min_size=1, max_size=8))
@settings(deadline=None)
def test_a_batch_is_padded_with_what_attention_and_loss_leave_out(pairs: list[tuple[list[int], list[int]]]) -> None:
    tensors = collate([Encoded(source, target) for source, target in pairs], pad_token_id=0)
    assert {t.dtype for t in tensors.values()} == {torch.long}
    for i, (source, target) in enumerate(pairs):
        assert tensors["attention_mask"][i].sum() == len(source)
        assert tensors["input_ids"][i, : len(source)].tolist() == source
        assert (tensors["input_ids"][i, len(source) :] == 0).all()
        assert tensors["labels"][i, : len(target)].tolist() == target
        assert (tensors["labels"][i, len(target) :] == IGNORED).all()
        assert tensors["decoder_input_ids"][i, : len(target)].tolist() == [0, *target[:-1]]
        assert (tensors["decoder_input_ids"][i, len(target) :] == 0).all()
    sources = collate_sources([source for source, _ in pairs], 0)
    assert all(torch.equal(sources[name], tensors[name]) for name in ("input_ids", "attention_mask"))


def test_the_decoder_reads_what_t5_itself_makes_of_the_labels(byte_base: Path) -> None:
    from transformers import AutoModelForSeq2SeqLM

    model = AutoModelForSeq2SeqLM.from_pretrained(byte_base)
    tensors = collate([Encoded([5, 6, 1], [7, 8, 1]), Encoded([5, 1], [9, 1])], pad_token_id=0)
    own = model._shift_right(tensors["labels"])
    counted = tensors["labels"] != IGNORED  # behind them the two differ, and nothing reads it
    assert torch.equal(own[counted], tensors["decoder_input_ids"][counted])


@pytest.fixture(scope="module")
def tokenizer(byte_base: Path) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(byte_base)


CLOSING = "\n\nSummary:"
PROMPT = Prompt(kind="template", template=f"Sum up: {{dialogue}}{CLOSING}")


@given(text=st.text(min_size=1, max_size=120), limit=st.integers(40, 160))
@settings(deadline=None, max_examples=60)
def test_a_cut_keeps_the_words_around_the_dialogue_and_loses_its_end(
    tokenizer: PreTrainedTokenizerBase, text: str, limit: int
) -> None:
    ids, cut = encode_source(tokenizer, PROMPT, text, limit)
    assert len(ids) <= limit
    assert ids[-1] == 1  # end of sequence
    decoded = tokenizer.decode(ids, skip_special_tokens=True)
    assert decoded.startswith("Sum up: ")
    assert decoded.endswith(CLOSING)
    inner = decoded.removeprefix("Sum up: ").removesuffix(CLOSING)
    assert text.startswith(inner)
    assert cut == (inner != text)


def test_a_cut_takes_no_more_than_it_must(tokenizer: PreTrainedTokenizerBase) -> None:
    ids, cut = encode_source(tokenizer, PROMPT, "a" * 500, 64)
    assert cut
    assert len(ids) == 64


def test_the_builtin_tokenizer_keeps_the_words_around_the_dialogue_too() -> None:
    from peftsum.model import load_tokenizer
    from peftsum.recipe import Model

    tokenizer = load_tokenizer(Model(base="builtin:tiny"))
    rng = random.Random(2)
    words = ["Ann:", "we", "could", "meet", "at", "the", "library's", "café,", "3:15", "p.m.?", "£4.50", "each!\nBob:"]
    for limit in (32, 48, 64):
        for _ in range(20):
            dialogue = " ".join(rng.choices(words, k=120))
            ids, cut = encode_source(tokenizer, Prompt(kind="structured"), dialogue, limit)
            assert cut
            assert len(ids) <= limit
            decoded = tokenizer.decode(ids, skip_special_tokens=True)
            assert decoded.startswith("Summarize this conversation:")
            assert decoded.endswith("Summary:")


def test_a_prompt_that_leaves_no_room_is_an_error(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(RecipeError, match="no room") as raised:
        encode_source(tokenizer, PROMPT, "Ann: Hi", 16)
    assert "max_source_tokens" in raised.value.hint


def test_a_summary_that_is_too_long_keeps_its_end_of_sequence(tokenizer: PreTrainedTokenizerBase) -> None:
    examples = [Example("a", "A: x", ("s" * 50, "other")), Example("b", "B: y", ("short",))]
    long, short = encode(examples, tokenizer, PROMPT, max_source_tokens=99, max_target_tokens=10)
    assert (len(long.target), long.target[-1], long.target_cut) == (10, 1, True)
    assert (short.target_cut, tokenizer.decode(short.target, skip_special_tokens=True)) == (False, "short")
