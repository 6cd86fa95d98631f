"""The rate's course, the optimizers, the plan of steps and the loss."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from peftsum.batching import Encoded
from peftsum.exceptions import RecipeError
from peftsum.methods import Lora
from peftsum.model import load_base
from peftsum.optimization import build_optimizer, plan_steps, rate_course, summed_loss
from peftsum.recipe import Model, Train
from peftsum.recipe_file import parse_recipe

schedules = st.sampled_from(["linear", "cosine", "constant"])


@given(schedule=schedules, warmup=st.floats(0, 0.99), steps=st.integers(1, 300))
def test_the_rate_rises_to_its_peak_then_never_rises_again(schedule: str, warmup: float, steps: int) -> None:
    factor = rate_course(Train(schedule=schedule, warmup_ratio=warmup), steps)
    course = [factor(step) for step in range(steps)]
    assert all(0 < value <= 1 for value in course)  # no step is wasted
    peak = course.index(max(course))
    assert course[peak] == pytest.approx(1.0)
    assert course[: peak + 1] == sorted(course[: peak + 1])
    assert course[peak:] == sorted(course[peak:], reverse=True)
    assert peak <= max(1, round(warmup * steps))


@pytest.mark.parametrize(("schedule", "middle"), [("linear", 0.5), ("cosine", 0.5), ("constant", 1.0)])
def test_the_rate_ends_where_its_schedule_says(schedule: str, middle: float) -> None:
    factor = rate_course(Train(schedule=schedule, warmup_ratio=0.1), 1010)
    assert factor(0) == pytest.approx(1 / 101)
    assert factor(101 + 909 // 2) == pytest.approx(middle, abs=0.01)
    assert factor(1010) == pytest.approx(0.0 if schedule != "constant" else 1.0, abs=1e-9)


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("adafactor", torch.optim.Adafactor)])
def test_the_optimizer_of_the_recipe_moves_trainable_weights_alone(
    name: str, kind: type[torch.optim.Optimizer]
) -> None:
    free, frozen = (torch.nn.Parameter(torch.ones(4, 4)) for _ in range(2))
    frozen.requires_grad_(False)
    optimizer = build_optimizer([("a", free), ("b", frozen)], Train(optimizer=name, weight_decay=0.5), 0.1)
    assert type(optimizer) is kind
    assert [p is free for group in optimizer.param_groups for p in group["params"]] == [True]
    (free * torch.arange(16.0).view(4, 4)).sum().backward()
    optimizer.step()
    assert (free < 1).all()
    assert (frozen == 1).all()


def test_b_learns_at_its_own_rate(byte_base: Path) -> None:
    base = load_base(Model(base=str(byte_base), precision="fp32"), frozen=True, device="cpu", dropout=0.0)
    model = Lora(rank=2, targets=["q", "lm_head"]).attach(base.model)
    optimizer = build_optimizer(model.named_parameters(), Train(lora_plus=4.0), 0.1)
    rate_of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    rates = {n: rate_of[id(p)] for n, p in model.named_parameters() if p.requires_grad}
    assert rates == {name: 0.4 if ".lora_B." in name else 0.1 for name in rates}
    assert any("lm_head.lora_B" in name for name in rates)
    with pytest.raises(RecipeError, match=r"train.lora_plus needs method.kind: lora"):
        parse_recipe("name: a\nmethod: {kind: full}\ntrain: {lora_plus: 4}\n")


@given(
    lengths=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 20)), min_size=1, max_size=40),
    epochs=st.sampled_from([0.1, 0.5, 1.0, 1.5, 3.0]),
    accumulate=st.integers(1, 4),
)
def test_a_plan_reads_every_example_as_often_as_the_epochs_say(
    lengths: list[tuple[int, int]], epochs: float, accumulate: int
) -> None:
    examples = [Encoded([5] * source, [5] * target) for source, target in lengths]
    train = Train(epochs=epochs, accumulate=accumulate, batch_tokens=120)
    steps = plan_steps(examples, train)
    assert steps == plan_steps(examples, train)  # a resumed run finds its place
    assert all(1 <= len(step) <= accumulate for step in steps)
    seen = [i for step in steps for batch in step for i in batch]
    counts = {seen.count(i) for i in range(len(examples))}
    assert counts <= {int(epochs), int(epochs) + 1}
    if epochs == int(epochs):
        assert counts == {int(epochs)}
    assert plan_steps(examples, Train(epochs=epochs, accumulate=accumulate, batch_tokens=120, max_steps=2)) == steps[:2]


def test_the_loss_leaves_out_padding_and_is_summed_in_fp32() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 7)
    labels = torch.tensor([[1, 2, -100], [3, -100, -100]])
    by_hand = sum(-logits[i, j].log_softmax(-1)[labels[i, j]] for i, j in ((0, 0), (0, 1), (1, 0)))
    assert summed_loss(logits, labels).item() == pytest.approx(by_hand.item(), rel=1e-6)
    assert summed_loss(logits.bfloat16(), labels).dtype == torch.float32
