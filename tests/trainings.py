"""Small recipes and trainings for tests, on the byte base: a second or two each."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch._subclasses import FakeTensor

from peftsum.metrics.selection import selectable_scores
from peftsum.model import Base, load_base
from peftsum.prepare import Prepared, prepare
from peftsum.ranks import fresh_accelerate_state
from peftsum.recipe import Recipe
from peftsum.training_model import TrainingModel

# `peftsum.train` is the function; what stands around it in the module is wanted here
train_module = importlib.import_module("peftsum.train")
fitting = importlib.import_module("peftsum.fitting")

LORA: dict[str, Any] = {"kind": "lora", "rank": 2, "alpha": 8}

# A row a way to tune. A new method needs one here: test_every_method_has_a_row holds it.
TUNINGS: dict[str, dict[str, Any]] = {
    "full": {"method": {"kind": "full"}, "train": {"learning_rate": 1e-2}},
    "lora": {"method": LORA},
    "dora": {"method": {**LORA, "dora": True}},
    "rslora": {"method": {**LORA, "rslora": True}},
    "ia3": {"method": {"kind": "ia3"}, "train": {"learning_rate": 0.2}},
    "lora-int8": {"method": LORA, "model": {"quantize": "int8"}},
    "lora-decoder-cached": {"method": {**LORA, "targets": "decoder", "cache_encoder": True}},
}

DEFAULTS: dict[str, dict[str, Any]] = {
    "model": {"precision": "fp32"},
    "data": {"max_source_tokens": 192, "max_target_tokens": 64},
    "train": {
        "epochs": 3,
        "max_steps": 4,
        "batch_tokens": 512,
        "learning_rate": 2e-2,
        "eval_every": 2,
        "eval_examples": 4,
        "warmup_ratio": 0.0,
    },
    "generation": {"max_new_tokens": 8},
}


def make_recipe(base: Path | str, data: Path | str, name: str = "run", **sections: dict[str, Any]) -> Recipe:
    """Return a recipe of a few small steps; ``sections`` are laid over :data:`DEFAULTS`."""
    values: dict[str, Any] = {"name": name, "method": LORA}
    for section in {*DEFAULTS, *sections}:
        if section == "method":
            values["method"] = sections["method"]
        else:
            values[section] = {**DEFAULTS.get(section, {}), **sections.get(section, {})}
    values["model"]["base"] = str(base)
    values["data"]["source"] = str(data)
    return Recipe.model_validate(values)


def metrics(run_dir: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def adapter_weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def weights_of(run_dir: Path, adapter_dir: Path) -> dict[str, torch.Tensor]:
    """Return what a training saved: the adapter's weights, or the whole model's."""
    model = run_dir / "model" / "model.safetensors"
    return load_file(model) if model.is_file() else adapter_weights(adapter_dir)


def same_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Tell whether two sets of weights are equal to the last bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def snapshot(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


@dataclass
class Seen:
    """What went through ``fit`` in a training."""

    before: dict[str, torch.Tensor] = field(default_factory=dict)
    after: dict[str, torch.Tensor] = field(default_factory=dict)
    trained: set[str] = field(default_factory=set)
    calls: int = 0


def watch_fit(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Note the model's weights before and after the loop of every training from here on; change nothing."""
    seen, fit = Seen(), train_module.fit

    def watched(model: Any, *arguments: Any) -> Any:
        seen.calls += 1
        seen.before = snapshot(model)
        seen.trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        position = fit(model, *arguments)
        seen.after = snapshot(model)
        return position

    monkeypatch.setattr(train_module, "fit", watched)
    return seen


def scripted_validation(monkeypatch: pytest.MonkeyPatch, losses: list[float], **scores: list[float]) -> None:
    """Let the validations of a training give these losses and scores, one after the other; the other scores are 0."""
    columns = {f"val_{name}": iter(values) for name, values in ({"loss": losses} | scores).items()}

    def validate(*_: Any) -> dict[str, float]:
        zeros = {f"val_{name}": 0.0 for name in selectable_scores()}
        return zeros | {name: next(values) for name, values in columns.items()}

    monkeypatch.setattr(fitting, "validate", validate)


def is_forecast(model: torch.nn.Module) -> bool:
    """Tell whether a model is the one of a forecast, which has no numbers."""
    return isinstance(next(model.parameters()), FakeTensor)


def forbid_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make any optimizer step an error."""
    real = TrainingModel.forward

    def refuse(model: TrainingModel, *arguments: Any) -> Any:
        if is_forecast(model):
            return real(model, *arguments)
        raise AssertionError("this trained a step")

    monkeypatch.setattr(TrainingModel, "forward", refuse)


@contextmanager
def at_step(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], None]) -> Iterator[None]:
    """Call ``act`` in the forward pass of the given batch, counted from 1."""
    real, count = TrainingModel.forward, 0

    def counted(model: TrainingModel, *arguments: Any) -> Any:
        nonlocal count
        if is_forecast(model):
            return real(model, *arguments)
        count += 1
        if count == number:
            act()
        return real(model, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingModel, "forward", counted)
        yield


def attached(recipe: Recipe) -> tuple[Any, Base, Prepared]:
    """Return the model that ``train`` would fit, its base, and the data made ready."""
    prepared = prepare(recipe)
    fresh_accelerate_state()
    train_module._seed(recipe.train.seed)
    base = load_base(recipe.model, frozen=recipe.method.frozen_base, device="cpu", dropout=0.0)
    return recipe.method.attach(base.model), base, prepared
