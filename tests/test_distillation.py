"""Distillation and starts: the loss by its formula, packed as padded, resumed as uninterrupted, and refusals."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from test_resume import interrupt
from torch.nn.functional import cross_entropy, kl_div
from trainings import LORA, adapter_weights, at_step, make_recipe, same_weights

from peftsum import combine, plan, train
from peftsum.adapters import check_adapter
from peftsum.artifacts import RUN_FILE, RunRecord, read_record
from peftsum.batching import Encoded, collate
from peftsum.engine.settings import Engine
from peftsum.exceptions import RecipeError, TrainingInterrupted, UsageError
from peftsum.methods import Full, Lora
from peftsum.model import load_base
from peftsum.recipe import Model, Recipe
from peftsum.recipe_file import parse_recipe
from peftsum.training_model import Teacher, TrainingModel

EXAMPLES = [Encoded([20, 30, 40, 50, 1], [60, 70, 1]), Encoded([25, 35, 1], [80, 90, 95, 99, 1])]


@pytest.fixture(scope="module")
def full_run(byte_base: Path, dialogues: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a full fine-tune of a few steps."""
    run = tmp_path_factory.mktemp("full") / "run"
    train(
        make_recipe(byte_base, dialogues, method={"kind": "full"}, train={"learning_rate": 1e-2, "max_steps": 6}), run
    )
    return run


def student_recipe(base: Path, data: Path, **course: Any) -> Recipe:
    return make_recipe(
        base, data, method=LORA, train={"max_steps": 6, "eval_every": 2, "checkpoint_every": 1, **course}
    )


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("method", [Lora(rank=4), Full()], ids=["lora", "full"])
def test_the_loss_is_that_of_the_formula(packing: bool, method: Lora | Full, byte_base: Path, full_run: Path) -> None:
    weight, temperature, engine = 0.3, 2.0, Engine(packing=packing)
    models = [
        load_base(Model(base=str(place), precision="fp32"), frozen=method.frozen_base, device="cpu", dropout=0.0).model
        for place in (byte_base, full_run / "model")
    ]
    torch.manual_seed(0)
    student = method.attach(models[0])
    for name, parameter in student.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.03)
    training = TrainingModel(student, engine, "cpu", pad_token_id=0)
    teacher = Teacher(models[1], engine, "cpu", 0, weight, temperature)
    loss = training(training.batch(EXAMPLES, "cpu", None, teacher))
    loss.backward()
    found = {n: p.grad.clone() for n, p in student.named_parameters() if p.requires_grad and p.grad is not None}
    student.zero_grad()

    tensors = collate(EXAMPLES, 0)
    labels = tensors.pop("labels")
    real = labels >= 0
    logits = student(**tensors, use_cache=False).logits[real]
    with torch.no_grad():
        expected = models[1](**tensors, use_cache=False).logits[real]
    soft = kl_div(
        (logits / temperature).log_softmax(-1),
        (expected / temperature).log_softmax(-1),
        log_target=True,
        reduction="sum",
    )
    reference = (1 - weight) * cross_entropy(logits, labels[real], reduction="sum") + weight * temperature**2 * soft
    reference.backward()
    assert loss.item() == pytest.approx(reference.item(), rel=1e-5)
    wanted = {n: p.grad for n, p in student.named_parameters() if p.requires_grad and p.grad is not None}
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5)
    assert not any(p.requires_grad for p in models[1].parameters())


def test_interrupted_and_resumed_equals_uninterrupted(
    byte_base: Path, dialogues: Path, full_run: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught = {"objective": {"kind": "distill", "teacher": str(full_run)}, "start_from": str(full_run)}
    recipe = student_recipe(byte_base, dialogues, **taught)
    train(recipe, "straight", "straight-adapter")
    with at_step(monkeypatch, 3, interrupt), pytest.raises(TrainingInterrupted):
        train(recipe)
    train(recipe, resume=True)
    assert same_weights(adapter_weights(Path("adapters/run")), adapter_weights(Path("straight-adapter")))
    plain = train(student_recipe(byte_base, dialogues, start_from=str(full_run)), "plain", "plain-adapter")
    assert not same_weights(adapter_weights(Path("plain-adapter")), adapter_weights(Path("straight-adapter")))
    record = read_record(Path("runs/run") / RUN_FILE, RunRecord)
    assert record.leans_on.keys() == {"teacher", "start"}
    assert plain.leans_on.keys() == {"start"}


def test_another_teacher_under_the_same_name_makes_a_run_stale(
    byte_base: Path, dialogues: Path, full_run: Path, in_tmp: Path
) -> None:
    shutil.copytree(full_run, "teacher")
    objective = {"kind": "distill", "teacher": "teacher"}
    recipe = student_recipe(byte_base, dialogues, objective=objective, max_steps=1, eval_examples=0)
    first = train(recipe)
    assert train(recipe).created == first.created
    shutil.rmtree("teacher")
    train(
        make_recipe(byte_base, dialogues, method={"kind": "full"}, train={"learning_rate": 1e-2, "max_steps": 1}),
        "teacher",
    )
    assert train(recipe).leans_on != first.leans_on


def test_a_start_is_the_update_itself(byte_base: Path, dialogues: Path, full_run: Path, in_tmp: Path) -> None:
    combine([full_run], "cut", rank=2)
    still = {"max_steps": 1, "eval_examples": 0, "learning_rate": 1e-12}
    wide = {**LORA, "rank": 3, "rslora": True}
    for place in (str(full_run), "cut"):
        for method in (LORA, wide):
            name = f"{Path(place).name}-{method['rank']}"
            train(make_recipe(byte_base, dialogues, name, method=method, train={**still, "start_from": place}))
    cut = product("cut", 1.0)
    for name, scale in (("run-2", 8 / 2), ("cut-2", 8 / 2), ("cut-3", 8 / 3**0.5)):
        for layer, update in product(f"adapters/{name}", scale).items():
            torch.testing.assert_close(update, cut[layer], rtol=0, atol=1e-5)
    near, nearer = product("adapters/run-2", 4.0), product("adapters/run-3", 8 / 3**0.5)
    assert any(not torch.allclose(near[layer], nearer[layer], atol=1e-4) for layer in near)


def product(folder: str, scale: float) -> dict[str, torch.Tensor]:
    tensors = check_adapter(Path(folder))
    ends = (".lora_A.weight", ".lora_B.weight")
    names = {key.removesuffix(ends[0]) for key in tensors if key.endswith(ends[0])}
    return {name: scale * tensors[name + ends[1]] @ tensors[name + ends[0]] for name in names}


def test_what_does_not_fit_is_refused_before_anything_is_trained(
    byte_base: Path, dialogues: Path, full_run: Path, in_tmp: Path
) -> None:
    def attempt(**course: Any) -> None:
        train(student_recipe(byte_base, dialogues, **course))

    with pytest.raises(RecipeError, match="another vocabulary"):
        attempt(objective={"kind": "distill", "teacher": "builtin:tiny"})
    adapter = Path(__file__).parents[1] / "adapters" / "tiny-topic"
    with pytest.raises(RecipeError, match="is no full fine-tune"):
        attempt(objective={"kind": "distill", "teacher": str(adapter)})
    with pytest.raises(RecipeError, match="was trained on builtin:tiny"):
        attempt(start_from=str(adapter))
    narrow = {**LORA, "targets": ["q"]}
    combine([full_run], "wide", rank=2)
    with pytest.raises(RecipeError, match="are no target of this method"):
        train(make_recipe(byte_base, dialogues, method=narrow, train={"start_from": "wide"}))
    train(make_recipe(byte_base, dialogues, method=narrow, train={"start_from": str(full_run), "max_steps": 1}))
    recipe = student_recipe(byte_base, dialogues, objective={"kind": "distill", "teacher": str(full_run)})
    with pytest.raises(UsageError, match="distill is not forecast"):
        plan(recipe)
    text = "name: a\nmethod: {kind: %s}\ntrain: {%s}\n"
    for method, course, words in (
        ("full", "start_from: x", "train.start_from needs method.kind: lora"),
        ("lora", "objective: {kind: destill}", "no objective (got 'destill'; did you mean distill?"),
        ("lora", "objective: {kind: distill, teacher: x, weigt: 1.0}", "did you mean weight?"),
        ("lora", "objective: {kind: distill}", "train.objective.teacher is missing"),
    ):
        with pytest.raises(RecipeError) as caught:
            parse_recipe(text % (method, course))
        assert words in str(caught.value)


def test_a_plain_recipe_keeps_the_fingerprint_that_it_had(byte_base: Path, dialogues: Path) -> None:
    assert parse_recipe("name: a\nmethod: {kind: lora}\n").fingerprint == "d1dce84cc6519f14"
