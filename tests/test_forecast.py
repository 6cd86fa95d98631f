"""The forecast: its parts add up, follow what the recipe asks for, and agree with what real models hold."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from peftsum.exceptions import HubError, ModelError
from peftsum.forecast import shortcut
from peftsum.forecast.core import forecast
from peftsum.forecast.live import LiveStorages
from peftsum.forecast.skeleton import build_skeleton
from peftsum.forecast.step import StepCost, run_step, step_cost
from peftsum.forecast.target import Target
from peftsum.forecast.workload import Workload, full_workload, workload_of
from peftsum.model import load_base
from peftsum.recipe import Recipe
from peftsum.training_model import TrainingModel, checkpoint_gradients
from peftsum.units import format_bytes

BATCH = ((60, 12), (41, 20))
LORA: dict[str, Any] = {"kind": "lora", "rank": 8}
FULL: dict[str, Any] = {"kind": "full"}
CPU = Target(name="cpu", title="a CPU", kind="cpu", bf16=False)
GPU = Target(name="8GB", title="a GPU with 8 GB", kind="cuda", memory_bytes=8 * 10**9)


def recipe(method: dict[str, Any] = LORA, base: str = "builtin:tiny", quantize: str = "none", **train: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "x",
            "model": {"base": base, "quantize": quantize, "precision": "auto" if quantize == "nf4" else "fp32"},
            "method": method,
            "train": train,
        }
    )


def workload(batch: Any = BATCH, **values: Any) -> Workload:
    return Workload(batches=(batch,), steps=10, **values)


def counted(made: Recipe, kind: str = "cpu", batch: Any = BATCH) -> StepCost:
    return step_cost(made, batch, kind=kind, bf16=made.model.quantize == "nf4")


METHODS = [LORA, {**LORA, "dora": True}, {"kind": "ia3"}, FULL]


@pytest.mark.parametrize("target", [CPU, GPU], ids=lambda target: target.kind)
@pytest.mark.parametrize("method", METHODS, ids=["lora", "dora", "ia3", "full"])
def test_the_parts_add_up_to_the_peak(method: dict[str, Any], target: Target) -> None:
    made = forecast(recipe(method), target, workload(checks=((50, 10), (30, 12)), validations=2))
    for end in ("value", "low", "high"):
        together = sum(getattr(item.amount, end) for item in made.memory)
        assert together == pytest.approx(getattr(made.peak_memory_bytes, end))
    assert all(item.amount.source for item in made.memory)


@pytest.mark.parametrize("quantize", ["none", "int8", "nf4"])
@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_a_larger_batch_takes_more(kind: str, quantize: str) -> None:
    peaks = [counted(recipe(quantize=quantize), kind, BATCH[:1] * n).peak.total_bytes for n in (1, 2)]
    assert peaks == sorted(set(peaks))


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_checkpointing_keeps_fewer_activations(kind: str) -> None:
    batch = BATCH * 2
    kept = counted(recipe(), kind, batch).peak
    again = counted(recipe(gradient_checkpointing=True), kind, batch).peak
    assert again.parts["activations"] < 0.6 * kept.parts["activations"]
    assert again.total_bytes < kept.total_bytes


def test_gradients_and_optimizer_are_those_of_the_trainable_weights() -> None:
    cost = counted(recipe(accumulate=4))  # from the second batch on all gradients are there
    trainable = cost.counts["trainable"]
    assert cost.counts["adapters"] == trainable
    assert cost.peak.parts["gradients"] == trainable * 4
    assert cost.held["adapters"] == trainable * 4
    assert cost.held["optimizer"] == pytest.approx(trainable * 8, rel=0.01)


def test_adafactor_keeps_less_than_adamw() -> None:
    adamw, adafactor = (counted(recipe(FULL, optimizer=name)).held["optimizer"] for name in ("adamw", "adafactor"))
    assert adafactor < 0.05 * adamw


@pytest.mark.parametrize(
    ("method", "train"),
    [
        (LORA, {}),
        (LORA, {"gradient_checkpointing": True}),
        ({**LORA, "dora": True}, {}),
        ({"kind": "ia3"}, {}),
        (FULL, {}),
        (FULL, {"gradient_checkpointing": True, "optimizer": "adafactor"}),
        (LORA, {"engine": {"packing": False, "real_targets": False}}),
        (LORA, {"engine": {"packing": False}}),
    ],
    ids=["lora", "checkpointing", "dora", "ia3", "full", "adafactor", "plain", "padded"],
)
def test_fake_tensors_live_as_real_ones_do(method: dict[str, Any], train: dict[str, Any]) -> None:
    """The peak of a step on fake tensors is the peak of the same step on real ones."""
    made = recipe(method, **train)
    fake = counted(made)
    base = load_base(made.model, frozen=made.method.frozen_base, device="cpu", dropout=made.dropout)
    model = made.method.attach(base.model)
    if made.train.gradient_checkpointing:
        checkpoint_gradients(model)
    with LiveStorages() as live:
        real = run_step(TrainingModel(model, made.train.engine, "cpu", 0), made, BATCH, live)
    assert fake.held == pytest.approx(real.held, rel=1e-4)
    assert fake.peak.total_bytes == pytest.approx(real.peak.total_bytes, rel=0.02)


SHORTCUTS: list[Any] = [
    ("cpu", LORA, "none", False, {"gradient_checkpointing": True}),
    ("cuda", LORA, "int8", True, {}),
    ("cpu", FULL, "none", True, {"optimizer": "adafactor"}),
    pytest.param(
        "cuda", {**LORA, "dora": True}, "none", True, {"engine": {"real_targets": False}}, marks=pytest.mark.slow
    ),
    pytest.param("cpu", LORA, "nf4", True, {}, marks=pytest.mark.slow),
    pytest.param("cuda", FULL, "none", False, {"gradient_checkpointing": True}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("kind", "method", "quantize", "bf16", "train"), SHORTCUTS)
def test_the_shortcut_through_the_fake_mode_counts_what_the_whole_way_does(
    kind: str,
    method: dict[str, Any],
    quantize: str,
    bf16: bool,
    train: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bytes, parts, operations with their layouts, calls: all of it, when nothing is known yet and when all is."""
    made = recipe(method, quantize=quantize, **train)

    def count() -> StepCost:
        cost = step_cost(made, BATCH, kind=kind, bf16=bf16, decoded=((50, 10),) * 2, scored=BATCH)
        # the profiler's mark around an optimizer's step holds an object of its own each time
        work = {op: n for op, n in cost.optimizer_work.items() if getattr(op.call, "namespace", "") != "profiler"}
        return replace(cost, optimizer_work=work)

    monkeypatch.setattr(shortcut, "_known", {})
    first, again = count(), count()
    monkeypatch.setattr(shortcut.Shortcut, "run", lambda _, call, args, kwargs: (call(*args, **kwargs), None))
    assert first == again == count()


@pytest.mark.parametrize(
    ("quantize", "bf16"), [("none", False), ("none", True), ("int8", False), ("int8", True), ("nf4", True)]
)
def test_a_base_holds_the_bytes_that_a_real_one_does(quantize: Any, bf16: bool) -> None:
    made = recipe(quantize=quantize)
    made = made.model_copy(update={"model": made.model.model_copy(update={"precision": "bf16" if bf16 else "fp32"})})
    real = load_base(made.model, frozen=True, device="cpu").model
    bytes_of: Counter[str] = Counter()
    for parameter in real.parameters():
        packed = type(parameter).__name__ in {"Int8Params", "Params4bit"}
        bytes_of["quantization" if packed else "weights"] += parameter.nbytes
        if type(parameter).__name__ == "Int8Params":
            bytes_of["quantization"] += parameter.SCB.nbytes
        elif packed:
            state = parameter.quant_state
            nested = state.state2
            for tensor in (state.absmax, state.code, state.offset, nested.absmax, nested.code):
                bytes_of["quantization"] += tensor.nbytes
    held = step_cost(made, BATCH, kind="cpu", bf16=bf16).held
    assert {part: held[part] for part in bytes_of} == dict(bytes_of)  # type: ignore[index]


@pytest.mark.parametrize(
    ("size", "parameters"),
    # what transformers counts in the published checkpoints
    [("small", 76_961_152), ("base", 247_577_856), ("large", 783_150_080), ("xl", 2_849_757_184)],
)
def test_flan_t5_is_known_without_the_hub(size: str, parameters: int) -> None:
    made = recipe(FULL, base=f"google/flan-t5-{size}")
    model = build_skeleton(made, bf16=False, mode=FakeTensorMode())
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_a_base_that_is_nowhere_is_refused() -> None:
    with pytest.raises((ModelError, HubError)):
        forecast(recipe(base="./no-such-base"), CPU, workload())


def test_a_gpu_never_has_the_scores_whole() -> None:
    batch = ((120, 30),) * 2
    made = recipe()
    attention = {kind: counted(made, kind, batch).peak.parts["attention"] for kind in ("cpu", "cuda")}
    assert attention["cuda"] < 0.5 * attention["cpu"]


def test_a_validation_that_takes_more_than_a_step_is_the_peak() -> None:
    made = recipe(gradient_checkpointing=True)
    checks = ((400, 10),) * 16
    with_checks = forecast(made, CPU, workload(checks=checks, validations=2))
    without = forecast(made, CPU, workload())
    assert with_checks.peak_memory_bytes.value > without.peak_memory_bytes.value
    assert any("validation" in note for note in with_checks.notes)
    assert not any("validation" in note for note in without.notes)


def test_it_says_when_8_bit_takes_more_than_bf16() -> None:
    """On a GPU bitsandbytes keeps its inputs, and peft's 8-bit LoRA copies them in fp32: long batches pay for it."""
    int8 = recipe(base="google/flan-t5-small", quantize="int8")
    made = forecast(int8, GPU, workload(((200, 40),) * 2))
    plain = int8.model_copy(update={"model": int8.model.model_copy(update={"quantize": "none", "precision": "bf16"})})
    more = made.peak_memory_bytes.value - forecast(plain, GPU, workload(((200, 40),) * 2)).peak_memory_bytes.value
    assert f"8-bit takes {format_bytes(more)} more memory here than bfloat16 weights would" in made.notes
    assert not any("8-bit takes" in note for note in forecast(recipe(), GPU, workload()).notes)


def test_without_known_data_every_batch_is_full() -> None:
    made = recipe(batch_tokens=2048, epochs=2.0, accumulate=2)
    full = full_workload(made, dialogues=1000)
    (batch,) = full.batches
    assert set(batch) == {(512, 128)}
    assert len(batch) == 3
    assert full.steps == -(-2000 // 6)
    assert full_workload(made.model_copy(update={"train": made.train.model_copy(update={"max_steps": 7})})).steps == 7


def test_the_workload_is_that_of_the_training() -> None:
    made = recipe(max_steps=3, batch_tokens=1024)
    found = workload_of(made, "cpu")
    assert found.steps == len(found.batches) == 3
    assert all(sum(s + t for s, t in batch) <= 1024 for batch in found.batches)
    assert found.validations
    assert found.checks


def test_time_here_is_measured_and_elsewhere_looked_up() -> None:
    here = CPU.model_copy(update={"name": "this machine", "here": True})
    short = workload(BATCH[:1])
    made = forecast(recipe(), here, short)
    assert made.step_s is not None
    assert made.wall_s is not None
    assert made.energy_j is not None
    assert made.wall_s.value == pytest.approx(10 * made.step_s.value)
    assert forecast(recipe(), GPU, short).step_s is None
    rates = {"flops": {"float32": 8e12, "bfloat16": 65e12}, "bytes_per_s": 3e11, "watts": 70.0}
    known = GPU.model_copy(update=rates)
    faster = known.model_copy(update={"flops": {"float32": 8e14, "bfloat16": 65e14}, "bytes_per_s": 3e13})
    slow, fast = (forecast(recipe(), target, short).step_s for target in (known, faster))
    assert slow is not None
    assert fast is not None
    assert fast.value <= slow.value


def test_storages_are_followed_until_they_go() -> None:
    with LiveStorages() as live:
        kept = torch.zeros(100)
        view = kept[10:]
        gone = torch.zeros(50)
        assert live.total_bytes == 600
        del gone
        assert live.total_bytes == 400
        del kept
        assert live.total_bytes == 400  # the view keeps it
        del view
    assert live.total_bytes == 0
    assert live.peak.total_bytes == 600
