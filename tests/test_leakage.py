"""Dialogues in two splits: planted copies are found, unrelated dialogues are not, and the exact measure decides."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peftsum.data import Example, Split, load_split
from peftsum.leakage import NEAR, find_all_leakage, find_leakage, find_repeats, words_said
from peftsum.minhash import NGRAM, jaccard, minima, near_pairs, ngrams
from peftsum.recipe import Data

DIALOGSUM = Path(__file__).resolve().parents[2] / "shared" / "data" / "dialogsum"
VOCABULARY = [f"w{i}" for i in range(400)]


def text(rng: random.Random, words: int = 120) -> list[str]:
    return rng.choices(VOCABULARY, k=words)


def edited(words: list[str], edits: int, rng: random.Random) -> list[str]:
    """Return a copy with words put in place of others, dropped or added."""
    copy = list(words)
    for _ in range(edits):
        place = rng.randrange(len(copy) + 1)
        copy[place : place + rng.randint(0, 1)] = rng.choices(VOCABULARY, k=rng.randint(0, 1))
    return copy


def by_brute_force(queries: list[list[str]], corpus: list[list[str]]) -> list[tuple[int, int, float]]:
    scored = [(i, j, jaccard(ngrams(a), ngrams(b))) for i, a in enumerate(queries) for j, b in enumerate(corpus)]
    return [pair for pair in scored if pair[2] >= NEAR]


@pytest.mark.parametrize("seed", range(3))
def test_the_pairs_found_are_those_of_comparing_all_with_all(seed: int) -> None:
    rng = random.Random(seed)
    corpus = [text(rng, rng.choice([1, 3, 4, 5, 30, 120])) for _ in range(80)]
    queries = [edited(rng.choice(corpus), rng.randint(0, 12), rng) or ["w1"] for _ in range(60)]
    queries += [text(rng) for _ in range(20)]
    expected = by_brute_force(queries, corpus)
    assert 10 < len({query for query, _, _ in expected}) < len(queries) - 20
    assert near_pairs(queries, corpus, NEAR) == expected


def test_the_share_of_equal_minima_estimates_the_jaccard_similarity() -> None:
    rng = random.Random(1)
    errors = []
    for edits in range(0, 40, 2):
        one = text(rng)
        other = edited(one, edits, rng)
        rows = minima([one, other])
        errors.append((rows[0] == rows[1]).mean() - jaccard(ngrams(one), ngrams(other)))
    assert np.abs(errors).max() < 0.15  # a standard error is at most 0.5 / sqrt(192) = 0.036
    assert abs(np.mean(errors)) < 0.03  # and no bias


@given(st.permutations(range(12)), st.permutations(range(8)))
@settings(max_examples=20, deadline=None)
def test_the_order_of_rows_does_not_matter(corpus_order: list[int], query_order: list[int]) -> None:
    rng = random.Random(2)
    corpus = [text(rng, 40) for _ in range(12)]
    queries = [edited(corpus[i], i, rng) for i in range(8)]
    found = near_pairs([queries[i] for i in query_order], [corpus[j] for j in corpus_order], NEAR)
    back = sorted((query_order[i], corpus_order[j], similarity) for i, j, similarity in found)
    assert back == near_pairs(queries, corpus, NEAR)
    assert back


def test_nothing_to_compare_is_no_error() -> None:
    assert near_pairs([], [["a"]], NEAR) == near_pairs([["a"]], [], NEAR) == []
    assert near_pairs([["a"]], [["b"]], NEAR) == []
    assert near_pairs([["a"]], [["a"]], NEAR) == [(0, 0, 1.0)]
    assert len(ngrams(["a"])) == len(ngrams(["a"] * NGRAM)) == 1


def split_of(name: str, dialogues: dict[str, str]) -> Split:
    return Split("somewhere", name, [Example(i, dialogue, ("s",)) for i, dialogue in dialogues.items()])


ORDER = "Ann: Hi! I'd like two tickets for the early train to Bath.\nBob: That's 12 pounds, please. Cash or card?"
COPIES = {
    "case": ORDER.upper(),
    "names": ORDER.replace("Ann", "#Person1#").replace("Bob", "Ticket Office"),
    "punctuation": ORDER.replace("!", ".").replace(",", " ,").replace("?", ""),
    "apostrophes": ORDER.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}"),
    "line breaks": ORDER.replace("\n", " \r\n\r\n"),
}


@pytest.mark.parametrize("kind", list(COPIES))
def test_a_copy_that_differs_in_no_word_is_exact(kind: str) -> None:
    found = find_leakage(split_of("test", {"t": COPIES[kind]}), split_of("train", {"other": "Ann: No.", "a": ORDER}))
    assert (found.exact, found.near) == (1, 0)
    (leak,) = found.pairs
    assert (leak.id, leak.other_id, leak.kind, leak.similarity) == ("t", "a", "exact", 1.0)


def test_a_changed_word_makes_a_near_copy_and_another_order_at_the_same_counter_none() -> None:
    train = split_of("train", {"a": ORDER})
    changed = ORDER.replace("Bath", "York")
    other = "Ann: I'd like a ticket for the late train.\nBob: That's 9 pounds, please. Anything else?"
    found = find_leakage(split_of("test", {"changed": changed, "other": other}), train)
    assert (found.dialogues, found.exact, found.near, found.ids) == (2, 0, 1, ["changed"])
    (leak,) = found.pairs
    assert leak.kind == "near"
    assert leak.similarity == jaccard(ngrams(words_said(changed)), ngrams(words_said(ORDER)))
    assert NEAR <= leak.similarity < 1


def test_one_dialogue_counts_once_and_its_pairs_are_all_listed_best_first() -> None:
    train = split_of("train", {"near": ORDER.replace("Bath", "York"), "a": ORDER, "again": ORDER.lower()})
    found = find_leakage(split_of("test", {"t": ORDER, "u": "Ann: Bye."}), train)
    assert (found.dialogues, found.exact, found.near) == (2, 1, 0)
    assert [(leak.other_id, leak.kind) for leak in found.pairs] == [
        ("a", "exact"),
        ("again", "exact"),
        ("near", "near"),
    ]


def test_each_later_split_is_held_against_each_earlier_one() -> None:
    splits = [split_of(name, {f"{name}-0": ORDER}) for name in ("train", "validation", "test")]
    found = [(leakage.split, leakage.other, leakage.exact) for leakage in find_all_leakage(splits)]
    assert found == [("validation", "train", 1), ("test", "train", 1), ("test", "validation", 1)]
    assert find_all_leakage(splits[:1]) == []


def test_repeats_in_a_split_are_named_with_the_first_of_their_kind() -> None:
    split = split_of("train", {"a": ORDER, "b": "Ann: No.", "c": ORDER.upper(), "d": "Bob: No!", "e": ORDER})
    assert [(leak.id, leak.other_id) for leak in find_repeats(split)] == [("c", "a"), ("e", "a"), ("d", "b")]


def test_dialogues_without_a_word_are_equal_only_to_the_letter() -> None:
    train = split_of("train", {"a": "Ann: ?", "b": "😀"})
    assert find_leakage(split_of("test", {"t": "Ann: !", "u": "😂"}), train).pairs == []
    assert find_leakage(split_of("test", {"t": "Ann: ?"}), train).ids == ["t"]


def test_the_built_in_dialogues_do_not_leak() -> None:
    splits = [load_split(Data(), name) for name in ("train", "validation", "test")]
    assert [(found.exact, found.near) for found in find_all_leakage(splits)] == [(0, 0)] * 3
    assert not any(find_repeats(split) for split in splits)


@pytest.mark.skipif(not DIALOGSUM.is_dir(), reason=f"no DialogSum at {DIALOGSUM}")
def test_of_dialogsum_100_validation_dialogues_stand_in_train() -> None:
    data = Data(source=str(DIALOGSUM))
    train, validation = load_split(data, "train"), load_split(data, "validation")
    found = find_leakage(validation, train)
    assert (found.dialogues, found.exact, found.near) == (500, 43, 57)
    assert len(found.ids) == 100
    texts = {example.id: words_said(example.dialogue) for example in [*train.examples, *validation.examples]}
    for leak in found.pairs:  # no false alarm: each is what it says
        assert (texts[leak.id] == texts[leak.other_id]) is (leak.kind == "exact")
        assert leak.similarity == jaccard(ngrams(texts[leak.id]), ngrams(texts[leak.other_id])) >= NEAR
    assert len(find_repeats(train)) == 12460 - 11529
