"""Contrastive training: what is made wrong is wrong and the same again, the loss by its formula, and a resumed run."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_resume import interrupt
from torch.nn.functional import cross_entropy
from trainings import adapter_weights, at_step, make_recipe, same_weights

from peftsum import train
from peftsum.batching import Encoded, collate
from peftsum.corruption import CORRUPTIONS, NUMBER, corrupt, corruptions
from peftsum.data import load_split
from peftsum.engine.settings import PLAIN, Engine
from peftsum.exceptions import RecipeError, TrainingInterrupted
from peftsum.methods import Full, Lora
from peftsum.model import load_base
from peftsum.prepare import prepare
from peftsum.recipe import Data, Model
from peftsum.recipe_file import parse_recipe
from peftsum.training_model import Contraster, TrainingModel

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
EXAMPLES = [
    Encoded([20, 30, 40, 50, 1], [60, 70, 1], wrong=([60, 75, 80, 1], [61, 1])),
    Encoded([25, 35, 1], [80, 90, 95, 99, 1]),
    Encoded([45, 35, 22, 1], [33, 44, 1], wrong=([33, 1],)),
]
PARTINGS = [[(1, 75), (0, 61)], [], [(1, 1)]]  # place in the target and the wrong token there, by hand


@pytest.mark.parametrize(("kind", "good", "wrong"), CASES)
def test_a_summary_made_wrong_says_one_thing_else(kind: Any, good: str, wrong: set[str]) -> None:
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
def test_no_text_is_too_odd_to_be_made_wrong(summary: str, dialogue: str, kind: Any) -> None:
    made = corrupt(summary, dialogue, kind, random.Random(0))
    assert made is None or made != summary


def models(byte_base: Path, method: Lora | Full, engine: Engine) -> tuple[Any, TrainingModel]:
    base = load_base(Model(base=str(byte_base), precision="fp32"), frozen=method.frozen_base, device="cpu", dropout=0.0)
    torch.manual_seed(0)
    model = method.attach(base.model)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.03)
    return model, TrainingModel(model, engine, "cpu", pad_token_id=0)


@pytest.mark.parametrize(
    "engine", [Engine(packing=True), Engine(packing=False), PLAIN], ids=["packed", "padded", "plain"]
)
@pytest.mark.parametrize("method", [Lora(rank=4), Full()], ids=["lora", "full"])
def test_the_loss_is_that_of_the_formula(engine: Engine, method: Lora | Full, byte_base: Path) -> None:
    weight, margin = 0.7, 2.0
    model, training = models(byte_base, method, engine)
    loss = training(training.batch(EXAMPLES, "cpu", None, Contraster(weight, margin)))
    loss.backward()
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad and p.grad is not None}
    model.zero_grad()

    reference = torch.zeros(())
    for example, places in zip(EXAMPLES, PARTINGS, strict=True):
        tensors = collate([example], 0)
        words = model(**tensors, use_cache=False).logits[0].log_softmax(-1)
        reference = reference + cross_entropy(words, tensors["labels"][0], reduction="sum")
        for place, token in places:
            lead = words[place, example.target[place]] - words[place, token]
            reference = reference + weight * (margin - lead).clamp_min(0)
    reference.backward()
    assert loss.item() == pytest.approx(reference.item(), rel=1e-5)
    wanted = {n: p.grad for n, p in model.named_parameters() if p.requires_grad and p.grad is not None}
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5)


def test_a_step_pushes_good_and_wrong_apart(byte_base: Path) -> None:
    """The contrastive term alone: what it adds to the gradient of the cross-entropy; a margin long met adds nothing."""
    model, training = models(byte_base, Lora(rank=4), Engine())
    parameters = [p for p in model.parameters() if p.requires_grad]
    example, ((place, token),) = EXAMPLES[2], PARTINGS[2]

    def lead() -> float:
        with torch.no_grad():
            words = model(**collate([example], 0), use_cache=False).logits[0].log_softmax(-1)
        return float(words[place, example.target[place]] - words[place, token])

    def gradients(aside: Contraster | None) -> list[torch.Tensor]:
        return list(torch.autograd.grad(training(training.batch([example], "cpu", None, aside)), parameters))

    before, plain = lead(), gradients(None)
    for both, alone in zip(gradients(Contraster(1.0, before - 1.0)), plain, strict=True):
        torch.testing.assert_close(both, alone)
    pushed = gradients(Contraster(1.0, before + 1.0))
    with torch.no_grad():
        for parameter, both, alone in zip(parameters, pushed, plain, strict=True):
            parameter -= 1e-2 * (both - alone)
    assert lead() > before + 0.01


def test_an_example_without_a_wrong_target_is_plain(byte_base: Path) -> None:
    _, training = models(byte_base, Lora(rank=4), Engine())
    plain = training(training.batch(EXAMPLES[1:2], "cpu"))
    assert training(training.batch(EXAMPLES[1:2], "cpu", None, Contraster(1.0, 9.0))).item() == plain.item()


@pytest.mark.parametrize("packing", [True, False])
def test_interrupted_and_resumed_equals_uninterrupted(
    packing: bool, byte_base: Path, dialogues: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = {"max_steps": 6, "eval_examples": 0, "checkpoint_every": 1, "engine": {"packing": packing}}
    recipe = make_recipe(byte_base, dialogues, train={**course, "objective": {"kind": "contrastive"}})
    train(recipe, "straight", "straight-adapter")
    with at_step(monkeypatch, 3, interrupt), pytest.raises(TrainingInterrupted):
        train(recipe)
    train(recipe, resume=True)
    assert same_weights(adapter_weights(Path("adapters/run")), adapter_weights(Path("straight-adapter")))
    train(make_recipe(byte_base, dialogues, train=course), "plain", "plain-adapter")
    assert not same_weights(adapter_weights(Path("plain-adapter")), adapter_weights(Path("straight-adapter")))


def test_each_dialogue_has_wrong_targets_that_fit_the_limit(byte_base: Path, dialogues: Path) -> None:
    recipe = make_recipe(byte_base, dialogues, train={"objective": {"kind": "contrastive"}})
    prepared = prepare(recipe)
    assert prepared.examples == prepare(recipe).examples
    assert any(example.wrong for example in prepared.examples)
    for example in prepared.examples:
        assert example.target not in example.wrong
        assert all(len(target) <= recipe.data.max_target_tokens for target in example.wrong)
    assert not any(example.wrong for example in prepared.encoded_checks)


def test_what_does_not_fit_is_refused(byte_base: Path, dialogues: Path, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"dialogue": "It rains", "summary": "Rain"}\n' * 10, encoding="utf-8")
    recipe = make_recipe(byte_base, tmp_path, train={"objective": {"kind": "contrastive"}, "eval_examples": 0})
    with pytest.raises(RecipeError, match=r"no training summary of .* has a place for speakers or numbers"):
        prepare(recipe)
    text = "name: a\nmethod: {kind: lora}\ntrain: {objective: {kind: contrastive, %s}}\n"
    for settings, words in (
        ("corruptions: [speaker]", "speakers"),
        ("corruptions: []", "at least 1"),
        ("margin: 0", "0"),
    ):
        with pytest.raises(RecipeError, match=words):
            parse_recipe(text % settings)
