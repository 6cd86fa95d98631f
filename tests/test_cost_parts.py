"""The bytes of a model's parts: by hand for a layer, and of the built-in base trained by each method."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from peftsum.cost.meters import measure
from peftsum.cost.parts import count_parts
from peftsum.cost.section import Cost
from peftsum.methods import Full, Lora
from peftsum.model import load_base
from peftsum.recipe import Model


def step(model: nn.Module, loss: torch.Tensor) -> torch.optim.Optimizer:
    """One step of AdamW, the gradients kept."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    loss.backward()
    optimizer.step()
    return optimizer


def test_a_layer_by_hand() -> None:
    model = nn.Sequential(nn.Linear(10, 10, bias=False), nn.BatchNorm1d(10, affine=False))
    optimizer = step(model, model(torch.randn(4, 10)).square().sum())
    assert count_parts(model) == {"weights": 400, "gradients": 400, "buffers": 4 * (10 + 10) + 8}
    # two moments of each weight, and the number of steps
    assert count_parts(model, optimizer)["optimizer"] == 2 * 400 + 4


def test_what_is_shared_counts_once() -> None:
    model = nn.ModuleList([nn.Linear(10, 10, bias=False), nn.Linear(10, 10, bias=False)])
    model[1].weight = model[0].weight
    assert count_parts(model) == {"weights": 400}
    model[1].weight = nn.Parameter(model[0].weight.detach())  # another parameter on the same memory
    assert count_parts(model) == {"weights": 400}


@pytest.mark.parametrize("quantize", ["none", "int8", "nf4"])
def test_adapters_on_a_frozen_base(quantize: str) -> None:
    base = load_base(Model(quantize=quantize), frozen=True, device="cpu")  # type: ignore[arg-type]
    model = Lora().attach(base.model)
    ids = torch.tensor([[5, 6, 7, 1]])
    optimizer = step(model, model(input_ids=ids, labels=ids).loss)
    parts = count_parts(model, optimizer)
    adapters = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    frozen = sum(p.numel() * p.element_size() for p in model.parameters() if not p.requires_grad)
    assert parts["adapters"] == parts["gradients"] == adapters
    assert 2 * adapters <= parts["optimizer"] < 2.1 * adapters
    assert parts["weights"] == frozen
    model.requires_grad_(False)  # as it answers later
    assert count_parts(model)["adapters"] == adapters
    if quantize == "none":
        assert "quantization" not in parts
    else:  # a scale a row of int8, a scale in 8 bits for 64 values of NF4
        assert 0 < parts["quantization"] < 0.1 * parts["weights"]


def test_full_tuning_has_no_adapters() -> None:
    base = load_base(Model(), frozen=False, device="cpu")
    model = Full().attach(base.model)
    parts = count_parts(model)
    assert set(parts) == {"weights"}
    assert parts["weights"] == sum(p.numel() * p.element_size() for p in model.parameters())


def test_a_count_that_fails_costs_itself_only() -> None:
    with measure(Cost(energy=False), "cpu") as measurement:
        measurement.count_parts(None)  # type: ignore[arg-type]
    assert measurement.readings.memory_parts == {}
    assert measurement.readings.wall_s.value is not None
