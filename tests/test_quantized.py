"""8- and 4-bit bases through bitsandbytes, on the CPU: training, generation, and NF4's trap."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from trainings import make_recipe, watch_fit

from peftsum import Summarizer, train
from peftsum import model as model_module
from peftsum.model import Base, count_parameters, keep_nf4_plain, load_base, quantization
from peftsum.recipe import Model

bitsandbytes = pytest.importorskip("bitsandbytes")

DIALOGUE = "Ann: Lunch at 3?\nBob: Yes, at the park."
KINDS = {"int8": "Linear8bitLt", "nf4": "Linear4bit"}


@pytest.fixture(scope="module")
def wide_base(byte_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The byte base at 64 dimensions: what the CPU repacks must fill whole blocks of 64."""
    from transformers import AutoTokenizer, T5Config, T5ForConditionalGeneration

    folder = tmp_path_factory.mktemp("wide-base")
    AutoTokenizer.from_pretrained(byte_base).save_pretrained(folder)
    torch.manual_seed(0)
    config = T5Config.from_pretrained(byte_base, d_model=64, d_kv=16, d_ff=128, num_layers=1, num_decoder_layers=1)
    net = T5ForConditionalGeneration(config)
    net.lm_head = torch.nn.Linear(64, config.vocab_size, bias=False)
    net.save_pretrained(folder)
    return folder


def load(base: Path, quantize: Literal["none", "int8", "nf4"]) -> Base:
    return load_base(Model(base=str(base), quantize=quantize), frozen=True, device="cpu")


def ask(base: Base) -> torch.Tensor:
    """Return the logits of a forward pass in eval mode."""
    inputs = base.tokenizer(DIALOGUE, return_tensors="pt")
    with torch.no_grad():
        return base.model.eval()(**inputs, decoder_input_ids=torch.tensor([[0]])).logits.float()


@pytest.mark.parametrize("quantize", ["int8", "nf4"])
def test_a_quantized_base_trains_and_generates(
    quantize: str, byte_base: Path, dialogues: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = {"quantize": quantize, "precision": "bf16"}
    seen = watch_fit(monkeypatch)
    record = train(make_recipe(byte_base, dialogues, model=model, train={"max_steps": 2}))
    changed = {name for name in seen.after if not torch.equal(seen.before[name], seen.after[name])}
    assert changed == seen.trained
    assert record.status == "done"
    summarizer = Summarizer(adapters=["adapters/run"])
    assert any(type(m).__name__ == KINDS[quantize] for m in summarizer.model.modules())  # answers as it was trained
    answers = summarizer.summarize([DIALOGUE, DIALOGUE + "\nAnn: Good."])
    assert [type(answer) for answer in answers] == [str, str]
    bare = summarizer.summarize([DIALOGUE], adapter="__base__")
    summarizer.unload("run")
    assert summarizer.summarize([DIALOGUE]) == bare


@pytest.mark.parametrize("quantize", ["int8", "nf4"])
def test_wo_and_the_head_stay_unquantized(quantize: Literal["int8", "nf4"], wide_base: Path) -> None:
    net = load(wide_base, quantize).model
    kinds: dict[str, set[str]] = {}
    for name, module in net.named_modules():
        if isinstance(module, torch.nn.Linear):
            kinds.setdefault(name.rpartition(".")[2], set()).add(type(module).__name__)
    quantized = {name: {KINDS[quantize]} for name in ("q", "k", "v", "o", "wi_0", "wi_1")}
    assert kinds == {**quantized, "wo": {"Linear"}, "lm_head": {"Linear"}}


@pytest.mark.parametrize("quantize", ["int8", "nf4"])
def test_a_quantized_base_answers_nearly_as_the_plain_one(quantize: Literal["int8", "nf4"], wide_base: Path) -> None:
    plain, quantized = ask(load(wide_base, "none")), ask(load(wide_base, quantize))
    relative = (plain - quantized).norm() / plain.norm()
    assert 0 < relative < (0.1 if quantize == "int8" else 0.3)


def test_four_bit_weights_are_counted_one_by_one(wide_base: Path) -> None:
    assert count_parameters(load(wide_base, "nf4").model)[1] == count_parameters(load(wide_base, "none").model)[1]


def dequantized(base: Base) -> dict[str, torch.Tensor]:
    net = base.model.dequantize()
    return {
        name: module.weight.detach().float() for name, module in net.named_modules() if name.endswith((".q", ".wi_0"))
    }


def worst_error(wide_base: Path) -> float:
    """Return the largest relative error of a dequantized matrix that an eval-mode forward pass causes."""
    untouched = dequantized(load(wide_base, "nf4"))
    asked = load(wide_base, "nf4")
    ask(asked)
    after = dequantized(asked)
    assert untouched.keys() == after.keys()
    return max(float((after[name] - w).norm() / w.norm()) for name, w in untouched.items())


def test_nf4_weights_survive_a_forward_pass_in_eval_mode(wide_base: Path) -> None:
    assert worst_error(wide_base) == 0


def test_without_the_guard_nf4_weights_do_not_survive(wide_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the trap that the test above holds closed is there."""
    if not bitsandbytes.functional.has_avx512bf16():
        pytest.skip("this CPU has no AVX512-BF16, for which alone bitsandbytes repacks NF4 weights")
    monkeypatch.setattr(model_module, "keep_nf4_plain", lambda net: None)
    assert worst_error(wide_base) > 0.1


def test_the_guard_reaches_every_nf4_layer(wide_base: Path) -> None:
    net = load(wide_base, "nf4").model
    layers = [m for m in net.modules() if type(m).__name__ == "Linear4bit"]
    assert layers
    assert not any(m.support_avx512bf16_for_cpu for m in layers)
    for layer in layers:
        layer.support_avx512bf16_for_cpu = True
    keep_nf4_plain(net)
    assert not any(m.support_avx512bf16_for_cpu for m in layers)


@pytest.mark.parametrize(("device", "place"), [("cpu", "cpu"), ("cuda", 0), ("cuda:1", 1)])
def test_a_quantized_base_is_placed_where_accelerate_will_look(device: str, place: Any) -> None:
    assert quantization("int8", device)["device_map"] == {"": place}
    assert quantization("none", device) == {}


def test_an_adapter_on_nf4_answers_the_same_before_and_after_another_is_loaded(
    byte_base: Path, dialogues: Path, in_tmp: Path
) -> None:
    """Attaching to a base that has answered is where repacked weights would show."""
    for name, seed in (("one", 13), ("two", 14)):
        model = {"quantize": "nf4", "precision": "bf16"}
        train(make_recipe(byte_base, dialogues, name, model=model, train={"seed": seed, "max_steps": 2}))
    summarizer = Summarizer(adapters=["adapters/one"])
    before = summarizer.summarize([DIALOGUE], adapter="one")
    summarizer.load("adapters/two")
    assert summarizer.summarize([DIALOGUE], adapter="one") == before
    assert Summarizer(adapters=["adapters/one"]).summarize([DIALOGUE]) == before


def test_quantizing_changes_no_parameter_count(byte_base: Path, dialogues: Path, in_tmp: Path) -> None:
    plain = train(make_recipe(byte_base, dialogues, "plain", train={"max_steps": 1}))
    int8 = train(make_recipe(byte_base, dialogues, "int8", model={"quantize": "int8"}, train={"max_steps": 1}))
    assert (int8.trainable_params, int8.total_params) == (plain.trainable_params, plain.total_params)


def test_dora_on_8_bit_trains_and_answers_more_than_once(byte_base: Path, dialogues: Path, in_tmp: Path) -> None:
    # peft moves the weight in each pass, after which bitsandbytes would forget the scales
    method = {"kind": "lora", "rank": 4, "dora": True}
    record = train(make_recipe(byte_base, dialogues, model={"quantize": "int8"}, method=method, train={"max_steps": 3}))
    assert record.status == "done"
    summarizer = Summarizer(adapters=["adapters/run"])
    first = summarizer.summarize([DIALOGUE])
    assert summarizer.summarize([DIALOGUE]) == first


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="this system does not list mapped files")
def test_an_8_bit_base_does_not_hold_the_file_it_came_from(byte_base: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(byte_base, tmp_path / "base"))
    loaded = load_base(Model(base=str(folder), quantize="int8"), frozen=True, device="cpu")
    assert any(tensor.is_floating_point() for tensor in loaded.model.parameters())  # there is what could hold it
    assert str(folder) not in Path("/proc/self/maps").read_text()
