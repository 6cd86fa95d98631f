"""The engine computes what transformers and peft compute: every part against the plain reference, in fp32."""

from __future__ import annotations

import os
import platform
import random
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from trainings import make_recipe
from transformers import AutoModelForSeq2SeqLM, MT5Config, MT5ForConditionalGeneration, T5ForConditionalGeneration

from peftsum.batching import Encoded
from peftsum.encoder_cache import drop_cache, fill_cache, open_cache
from peftsum.engine.allocator import KERNEL_CACHES, bound_kernel_caches
from peftsum.engine.attention import SHARED, register
from peftsum.engine.dropout import CheapDropout, keep_mask
from peftsum.engine.elementwise import FusedRMSNorm
from peftsum.engine.layers import FusedGatedDense, FusedLoraLinear, exchange_layers
from peftsum.engine.loss import blocked_cross_entropy
from peftsum.engine.settings import PLAIN, Engine
from peftsum.exceptions import StorageError
from peftsum.methods import Full, Ia3, Lora, MethodSection
from peftsum.model import load_base, set_dropout
from peftsum.optimization import plan_steps
from peftsum.prepare import prepare
from peftsum.recipe import Model
from peftsum.training_model import TrainingModel

METHODS: dict[str, tuple[MethodSection, str]] = {
    "full": (Full(), "none"),
    "lora": (Lora(rank=4), "none"),
    "lora-qv": (Lora(rank=4, targets="qv"), "none"),
    "rslora": (Lora(rank=4, rslora=True), "none"),
    "dora": (Lora(rank=4, dora=True), "none"),
    "ia3": (Ia3(), "none"),
    "lora-int8": (Lora(rank=4), "int8"),
}


def examples(count: int = 7, seed: int = 0) -> list[Encoded]:
    """Dialogues of very different lengths, one of a single token."""
    rng = random.Random(seed)

    def tokens(length: int) -> list[int]:
        return [rng.randrange(3, 200) for _ in range(length - 1)] + [1]

    return [Encoded(tokens(rng.randrange(2, 60)), tokens(rng.randrange(2, 20))) for _ in range(count)] + [
        Encoded([1], [1])
    ]


def gradients(
    base: Path,
    method: MethodSection,
    engine: Engine,
    *,
    quantize: Any = "none",
    precision: Any = "fp32",
    checkpointing: bool = False,
) -> tuple[float, dict[str, torch.Tensor]]:
    """Return the loss summed over the examples, and the gradient of every trained parameter by name."""
    torch.manual_seed(0)
    loaded = load_base(
        Model(base=str(base), quantize=quantize, precision=precision, attention="eager"),
        frozen=method.frozen_base,
        device="cpu",
        dropout=0.0,
    )
    model = method.attach(loaded.model)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.03)  # zero at the start, where any mistake would be hidden
    if checkpointing:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    training = TrainingModel(model, engine, "cpu", pad_token_id=0).train()
    loss = training(training.batch(examples(), "cpu"))
    loss.backward()
    grads = {n: p.grad for n, p in model.named_parameters() if p.requires_grad and p.grad is not None}
    return loss.item(), grads


def apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Return the distance of two sets of gradients relative to the length of the second."""
    square = sum(float((one[n] - other[n]).square().sum()) for n in other)
    return (square / sum(float(g.square().sum()) for g in other.values())) ** 0.5


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], tolerance: float = 1e-4) -> None:
    """Compare by tensor: the distance between the two, relative to their length, is that of fp32 rounding."""
    assert one.keys() == other.keys()
    longest = max(float(gradient.norm()) for gradient in other.values())
    for name, gradient in other.items():
        error = float((one[name] - gradient).norm()) / (float(gradient.norm()) + 1e-4 * longest)
        assert error < tolerance, f"{name}: {error:.1e}"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "engine",
    [Engine(packing=True), Engine(packing=False), Engine(packing=True, fused=False, real_targets=False)],
    ids=["all", "padded", "packing-alone"],
)
def test_loss_and_gradients_equal_the_plain_reference(byte_base: Path, method: str, engine: Engine) -> None:
    section, quantize = METHODS[method]
    loss, grads = gradients(byte_base, section, engine, quantize=quantize)
    plain_loss, plain = gradients(byte_base, section, PLAIN, quantize=quantize)
    assert loss == pytest.approx(plain_loss, rel=1e-5)
    assert plain
    assert_same(grads, plain)


@pytest.mark.parametrize("method", METHODS)
def test_packed_and_unpacked_gradients_agree(byte_base: Path, method: str) -> None:
    section, quantize = METHODS[method]
    packed_loss, packed = gradients(byte_base, section, Engine(packing=True), quantize=quantize)
    padded_loss, padded = gradients(byte_base, section, Engine(packing=False), quantize=quantize)
    assert packed_loss == pytest.approx(padded_loss, rel=1e-5)
    assert_same(packed, padded)


def test_checkpointed_gradients_equal_the_kept_ones(byte_base: Path) -> None:
    kept = gradients(byte_base, Lora(rank=4), Engine(packing=True))
    again = gradients(byte_base, Lora(rank=4), Engine(packing=True), checkpointing=True)
    assert again[0] == pytest.approx(kept[0])
    assert_same(again[1], kept[1])


def test_a_dialogue_does_not_see_its_neighbours(byte_base: Path) -> None:
    model = load_base(Model(base=str(byte_base), precision="fp32"), frozen=True, device="cpu").model
    training = TrainingModel(model, Engine(packing=True), "cpu", pad_token_id=0).eval()
    several = examples()
    with torch.no_grad():
        together = training(training.batch(several, "cpu")).item()
        apart = sum(training(training.batch([e], "cpu")).item() for e in several)
    assert together == pytest.approx(apart, rel=1e-5)


def test_bf16_base_with_fp32_adapter_learns_the_same(byte_base: Path) -> None:
    """The update is added inside a bf16 product: no further from fp32 than peft's own way, which casts to and fro."""
    exact = gradients(byte_base, Lora(rank=4), PLAIN)
    engine, plain = (gradients(byte_base, Lora(rank=4), e, precision="bf16") for e in (Engine(), PLAIN))
    assert all(gradient.dtype == torch.float32 for gradient in engine[1].values())
    assert engine[0] == pytest.approx(exact[0], rel=2e-2)
    assert 0 < apart(engine[1], exact[1]) < 1.3 * apart(plain[1], exact[1])


def test_exchange_reaches_every_layer_and_keeps_names(byte_base: Path) -> None:
    model = Lora(rank=4).attach(AutoModelForSeq2SeqLM.from_pretrained(byte_base))
    before = list(model.state_dict())
    exchange_layers(model, Engine(), "cpu")
    kinds = [type(module) for module in model.modules()]
    assert kinds.count(FusedRMSNorm) == 2 * 2 + 1 + 2 * 3 + 1
    assert kinds.count(FusedLoraLinear) == 2 * 7 + 2 * 11
    assert kinds.count(FusedGatedDense) == 4
    assert list(model.state_dict()) == before


def test_nothing_is_exchanged_when_all_is_off(byte_base: Path) -> None:
    model = Lora(rank=4).attach(AutoModelForSeq2SeqLM.from_pretrained(byte_base))
    exchange_layers(model, PLAIN, "cpu")
    ours = [type(m).__name__ for m in model.modules() if type(m).__module__.startswith("peftsum")]
    assert ours == []


@pytest.fixture
def eager_and_shared(byte_base: Path) -> tuple[T5ForConditionalGeneration, T5ForConditionalGeneration]:
    register()
    return tuple(AutoModelForSeq2SeqLM.from_pretrained(byte_base, attn_implementation=a) for a in ("eager", SHARED))


def test_shared_attention_equals_eager_with_padding_and_gradients(eager_and_shared: Any) -> None:
    ids = torch.randint(3, 200, (3, 17))
    mask = torch.ones_like(ids)
    mask[0, 9:] = 0
    mask[2, 3:] = 0
    results = []
    for model in eager_and_shared:
        model.eval()
        logits = model(input_ids=ids, attention_mask=mask, decoder_input_ids=ids[:, :6]).logits
        logits.square().mean().backward()
        results.append((logits.detach(), {n: p.grad for n, p in model.named_parameters()}))
    (eager, eager_grads), (shared, shared_grads) = results
    torch.testing.assert_close(shared, eager, rtol=1e-4, atol=1e-5)
    assert_same(shared_grads, eager_grads)


@pytest.mark.parametrize("beams", [1, 3])
def test_shared_attention_generates_what_eager_generates(eager_and_shared: Any, beams: int) -> None:
    ids = torch.randint(3, 200, (3, 17), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    eager, shared = (
        m.eval().generate(input_ids=ids, attention_mask=mask, max_new_tokens=12, num_beams=beams, do_sample=False)
        for m in eager_and_shared
    )
    assert torch.equal(eager, shared)


def test_the_bias_is_made_once_for_all_layers(eager_and_shared: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import peftsum.engine.attention as attention

    sums = []
    real = attention._added

    def noted(*arguments: Any) -> Any:
        sums.append(real(*arguments))
        return sums[-1]

    monkeypatch.setattr(attention, "_added", noted)
    ids = torch.randint(3, 200, (2, 9))
    mask = torch.ones_like(ids)
    mask[0, 4:] = 0
    eager_and_shared[1](input_ids=ids, attention_mask=mask, decoder_input_ids=ids[:, :4])
    own_encoder, own_decoder, cross = sums[:2], sums[2::2], sums[3::2]
    for kind in (own_encoder, own_decoder, cross):
        assert all(a is b for a, b in pairwise(kind))


def test_no_gradient_below_the_first_adapter(byte_base: Path) -> None:
    """With adapters in the decoder alone nothing of the encoder is kept for a backward pass."""
    model = load_base(Model(base=str(byte_base), precision="fp32"), frozen=True, device="cpu", dropout=0.0).model
    names = [n for n, m in model.named_modules() if n.startswith("decoder") and n.endswith(("q", "v"))]
    training = TrainingModel(Lora(rank=2, targets=names).attach(model), Engine(packing=True), "cpu", pad_token_id=0)
    seen: list[bool] = []
    inner = training.model.get_base_model()
    inner.encoder.final_layer_norm.register_forward_hook(lambda _m, _i, output: seen.append(output.requires_grad))
    training(training.batch(examples(), "cpu")).backward()
    assert seen == [False]


@pytest.mark.parametrize("dropout", [0.1, 0.5])
def test_training_with_dropout_runs_and_is_seeded(byte_base: Path, dropout: float) -> None:
    model = load_base(Model(base=str(byte_base), precision="fp32"), frozen=False, device="cpu").model
    set_dropout(model, dropout)
    training = TrainingModel(model, Engine(packing=True), "cpu", pad_token_id=0).train()
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append(training(training.batch(examples(), "cpu")).item())
    assert losses[0] == losses[1] != losses[2]


def test_cached_encoder_states_give_the_same_loss_and_gradients(byte_base: Path, tmp_path: Path) -> None:
    for packing in (True, False):
        results = []
        for cached in (False, True):
            torch.manual_seed(0)
            base = load_base(Model(base=str(byte_base), precision="fp32"), frozen=True, device="cpu", dropout=0.0)
            model = Lora(rank=4, targets="decoder").attach(base.model)
            assert not any("encoder" in n for n, p in model.named_parameters() if p.requires_grad)
            training = TrainingModel(model, Engine(packing=packing), "cpu", pad_token_id=0).train()
            chosen = [2, 0, 5]
            batch = [examples()[i] for i in chosen]
            fill_cache(tmp_path / str(packing), training, examples(), "content", batch_tokens=64)
            cache = open_cache(tmp_path / str(packing), training, examples())
            loss = training(training.batch(batch, "cpu", cache.states(chosen) if cached else None))
            loss.backward()
            results.append(
                (loss.item(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
            )
        assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
        assert_same(results[1][1], results[0][1])


def test_a_cache_is_filled_once_and_anew_for_other_content(byte_base: Path, tmp_path: Path) -> None:
    base = load_base(Model(base=str(byte_base), precision="fp32"), frozen=True, device="cpu", dropout=0.0)
    training = TrainingModel(Lora(targets="decoder").attach(base.model), Engine(), "cpu", pad_token_id=0)
    calls = []
    encode = training.encode
    training.encode = lambda batch: calls.append(len(batch)) or encode(batch)  # type: ignore[method-assign]
    for content, filled in (("a", 8), ("a", 8), ("b", 16)):
        fill_cache(tmp_path, training, examples(), content, batch_tokens=64)
        assert sum(calls) == filled
    drop_cache(tmp_path)
    assert not list(tmp_path.iterdir())


def test_states_that_do_not_fit_on_the_disk_are_refused_before_they_are_made(
    byte_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = load_base(Model(base=str(byte_base), precision="fp32"), frozen=True, device="cpu", dropout=0.0)
    training = TrainingModel(Lora(targets="decoder").attach(base.model), Engine(), "cpu", pad_token_id=0)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1 << 20))
    with pytest.raises(StorageError, match="states take"):
        fill_cache(tmp_path, training, examples(), "a", batch_tokens=64)


@pytest.mark.parametrize("probability", [0.1, 0.25, 0.5])
def test_cheap_dropout_has_the_statistics_of_dropout(probability: float) -> None:
    torch.manual_seed(3)
    mask = keep_mask(torch.empty(400, 1000), probability)
    dropped = mask == 0
    n = mask.numel()
    error = (probability * (1 - probability) / n) ** 0.5
    assert abs(float(dropped.float().mean()) - probability) < 4 * error + 1 / (1 << 17)
    assert mask[~dropped].unique().tolist() == [pytest.approx(1 / (1 - probability), rel=1e-4)]
    assert float(mask.mean()) == pytest.approx(1.0, abs=0.01)
    # rows, columns and neighbours are independent: their counts vary as a binomial's do, and no pair is correlated
    for along in (0, 1):
        counts = dropped.float().sum(along)
        wanted = dropped.shape[along] * probability * (1 - probability)
        assert float(counts.var()) == pytest.approx(wanted, rel=0.25)
    flat = dropped.flatten().float() - probability
    for distance in (1, 2, 3, 4, 5, 8, 64, 1000):
        correlation = float((flat[:-distance] * flat[distance:]).mean()) / (probability * (1 - probability))
        assert abs(correlation) < 5 / n**0.5


def test_cheap_dropout_follows_torchs_seed_and_is_the_identity_in_eval() -> None:
    layer, x = CheapDropout(0.5), torch.ones(64, 64)
    torch.manual_seed(1)
    first, second = layer(x), layer(x)
    torch.manual_seed(1)
    assert torch.equal(layer(x), first)
    assert not torch.equal(first, second)
    assert layer.eval()(x) is x


def test_blocked_loss_equals_cross_entropy_beyond_one_block() -> None:
    torch.manual_seed(0)
    states, head = torch.randn(300, 16, requires_grad=True), torch.randn(50, 16, requires_grad=True)
    labels = torch.randint(50, (300,))
    results = []
    for loss in (
        lambda: blocked_cross_entropy(states, head, labels),
        lambda: torch.nn.functional.cross_entropy(states @ head.t(), labels, reduction="sum"),
    ):
        value = loss()
        results.append((value.detach(), *torch.autograd.grad(value / 7, (states, head))))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_freed_memory_is_kept_where_the_c_library_can_until_the_next_work_begins() -> None:
    """In a process of its own: blocks freed together leave the resident set as it was at its peak."""
    script = """
import torch
from peftsum.cost.memory import resident_bytes
from peftsum.engine.allocator import forget_earlier_work, keep_freed_memory
print(keep_freed_memory())
before = resident_bytes()
blocks = [torch.ones(2_000_000) for _ in range(30)]
peak = resident_bytes()
del blocks
print(resident_bytes() > 0.95 * peak)
model = torch.nn.ModuleList([torch.nn.Linear(1000, 2000) for _ in range(30)])
model.itself = [model]  # as modules that know their parents
del model
forget_earlier_work()
print(resident_bytes() < before + 0.1 * (peak - before))
"""
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("the C library is not glibc")
    assert out.split() == ["True"] * 3


def test_a_relative_of_t5_is_grouped_by_length_since_it_reads_no_packed_rows(
    byte_base: Path, dialogues: Path, tmp_path: Path
) -> None:
    shutil.copytree(byte_base, tmp_path / "mt5")
    shape = {"vocab_size": 259, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_heads": 4}
    model = MT5ForConditionalGeneration(MT5Config(**shape, feed_forward_proj="gated-gelu", decoder_start_token_id=0))
    model.save_pretrained(tmp_path / "mt5")
    prepared = prepare(make_recipe(tmp_path / "mt5", dialogues))
    assert prepared.steps == plan_steps(prepared.examples, prepared.recipe.train)
    assert prepare(make_recipe(byte_base, dialogues)).steps != prepared.steps
    loaded = load_base(prepared.recipe.model, frozen=True, device="cpu", dropout=0.0)
    training = TrainingModel(Lora(rank=2).attach(loaded.model), Engine(), "cpu", pad_token_id=0)
    batch = training.batch([prepared.examples[i] for i in prepared.steps[0][0]], "cpu")
    assert isinstance(batch, dict)
    assert training(batch).isfinite()


def test_kernel_caches_are_bounded_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRU_CACHE_CAPACITY", "7")
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8")
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY")
    bound_kernel_caches()
    assert os.environ["LRU_CACHE_CAPACITY"] == "7"
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == KERNEL_CACHES["ONEDNN_PRIMITIVE_CACHE_CAPACITY"]
