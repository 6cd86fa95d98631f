"""What benchmarks/better_training.py makes wrong is wrong, the same again, and weighed where it parts from the good."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trainings import adapter_weights, make_recipe, same_weights

from peftsum import train
from peftsum.data import load_split
from peftsum.recipe import Data

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from better.contrast import contrasted, partings, shortfall
from better.corruption import CORRUPTIONS, NUMBER, corrupt, corruptions

DIALOGUE = (
    "Ann Lee: I'll lend you £48 until Friday, Ben.\nClerk: It was £38, and 9:15 am.\nBen: Thanks! See you on Monday.\n"
    "Ann Lee: Then at 7:05 am."
)
CASES = [
    # kind, good, every text that may be made of it
    (
        "speakers",
        "Ann lends Ben money.",
        {"Ben lends Ann money.", "The clerk lends Ben money.", "Ann lends the clerk money."},
    ),
    (
        "speakers",
        "The clerk tells Ann Lee.",
        {"Ann tells the clerk.", "Ben tells Ann Lee.", "The clerk tells Ben."},
    ),
    ("speakers", "It rains.", set()),
    ("numbers", "She lends him £48.", {"She lends him £38."}),
    ("numbers", "They meet at 7:05 am.", {"They meet at 9:15 am."}),
    ("numbers", "They meet on Friday.", {"They meet on Monday."}),
    ("numbers", "They meet again.", set()),
    ("negation", "Ann won't pay, Ben can't.", {"Ann will pay, Ben can't."}),
    ("negation", "Ann will pay.", {"Ann will not pay."}),
    ("negation", "Ann cannot pay.", {"Ann can pay."}),
    ("negation", "Ann does not pay.", {"Ann does pay."}),
    ("negation", "Ann watches films.", {"Ann doesn't watch films."}),
    ("negation", "Ann carries bags.", {"Ann doesn't carry bags."}),
    ("negation", "A short talk.", set()),
    ("dropped", "Ann meets Dr. Lee. Ben goes home.", {"Ann meets Dr. Lee.", "Ben goes home."}),
    ("dropped", "Ann meets Ben at noon, and they have lunch together.", {"Ann meets Ben at noon."}),
    ("dropped", "Ann meets Ben.", set()),
]


@pytest.mark.parametrize(("kind", "good", "wrong"), CASES)
def test_a_summary_made_wrong_says_one_thing_else(kind: str, good: str, wrong: set[str]) -> None:
    made = {corrupt(good, DIALOGUE, kind, random.Random(seed)) for seed in range(30)}
    assert made == (wrong or {None})


def test_the_builtin_summaries_are_made_wrong_alike_each_time() -> None:
    """Nearly every one has a place for each kind, and what is made differs in just what it is to differ in."""
    examples = load_split(Data(source="builtin:dialogues"), "validation").examples
    counts = dict.fromkeys(CORRUPTIONS, 0)
    for example in examples:
        good = example.references[0]
        made = corruptions(good, example.dialogue, list(CORRUPTIONS), 13, example.id)
        assert made == corruptions(good, example.dialogue, list(CORRUPTIONS), 13, example.id)
        for kind, text in made.items():
            counts[kind] += 1
            assert text != good
            if kind == "numbers":
                assert len(text.split()) == len(good.split())
            else:
                assert set(NUMBER.findall(text)) <= set(NUMBER.findall(good))
            if kind == "dropped":
                assert set(text.rstrip(".").split()) <= {word.rstrip(".,;:") for word in good.split()} | {*good.split()}
    assert min(counts.values()) > 0.9 * len(examples)


@given(summary=st.text(max_size=60), dialogue=st.text(max_size=60), kind=st.sampled_from(list(CORRUPTIONS)))
def test_no_text_is_too_odd_to_be_made_wrong(summary: str, dialogue: str, kind: str) -> None:
    made = corrupt(summary, dialogue, kind, random.Random(0))
    assert made is None or made != summary


def test_the_term_is_what_the_leads_lack_to_the_margin() -> None:
    """Partings by hand; the gradient raises the good token over the wrong one, and is none once the margin is met."""
    positions, wrong = partings([[60, 70, 1], [80, 1], [33, 44, 1]], [[[60, 75, 1], [61, 1]], [], [[33, 1]]])
    assert (positions, wrong) == ([1, 0, 6], [75, 61, 1])
    torch.manual_seed(0)
    head, states, labels = (
        torch.nn.Linear(4, 90, bias=False),
        torch.randn(8, 4),
        torch.tensor([60, 70, 1, 80, 1, 33, 44, 1]),
    )
    states.requires_grad_()
    words = head(states).log_softmax(-1)
    leads = [words[p, labels[p]] - words[p, w] for p, w in zip(positions, wrong, strict=True)]
    term = shortfall(states, head, labels, positions, wrong, 2.0)
    assert term.item() == pytest.approx(sum(max(0.0, 2.0 - lead.item()) for lead in leads), rel=1e-5)
    term.backward()
    assert set(states.grad.abs().sum(1).nonzero().flatten().tolist()) <= {0, 1, 6}
    assert shortfall(states, head, labels, positions, wrong, -50.0).item() == 0


def test_a_contrasted_training_ends_elsewhere_and_leaves_nothing_behind(
    byte_base: Path, dialogues: Path, in_tmp: Path
) -> None:
    recipe = make_recipe(byte_base, dialogues, train={"max_steps": 2, "eval_examples": 0})
    train(recipe, "before", "adapter-before")
    with contrasted(recipe, 1.0, 3.0):
        train(recipe, "within", "adapter-within")
    train(recipe, "after", "adapter-after")
    before, within, after = (adapter_weights(Path(f"adapter-{name}")) for name in ("before", "within", "after"))
    assert same_weights(before, after)
    assert not same_weights(before, within)
