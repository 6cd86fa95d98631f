"""The base: its untied head, precision, dropout, revision, and files that are not as they should be."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from peftsum import model as model_module
from peftsum.adapters import save_full_model
from peftsum.exceptions import HubError, ModelError, PeftsumError
from peftsum.model import (
    Base,
    attention_kernel,
    base_revision,
    count_parameters,
    has_bf16,
    load_base,
    load_tokenizer,
    precision,
    set_dropout,
)
from peftsum.recipe import Model

SOURCE = [[40, 41, 42, 43, 44, 1]]
TARGET = [[0, 50, 51, 52]]
# Logits of the base below, whose weights follow from a formula. They move when T5's structure does: a head tied to the
# embedding again, a scaled decoder output, another relative bias. Made by: python -m pytest tests/test_model.py
# -k golden -rP
GOLDEN = [
    [0.4017, -0.4887, 0.4951, -0.4199, 0.2755],
    [-0.6843, 0.4905, -0.2158, -0.0944, 0.3891],
    [-2.8673, 1.9943, -0.7925, -0.54, 1.7834],
    [-1.2501, 1.9601, -2.3469, 2.3469, -1.96],
]


def load(base: Path | str, **options: str) -> Base:
    return load_base(Model(base=str(base), **{"precision": "fp32", **options}), frozen=True, device="cpu")


def logits(net: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = net.eval()(
            input_ids=torch.tensor(SOURCE), decoder_input_ids=torch.tensor(TARGET), use_cache=False
        ).logits
    return found


def fill(net: torch.nn.Module) -> None:
    """Set every weight by a formula that does not depend on torch's random numbers."""
    with torch.no_grad():
        for number, (_, parameter) in enumerate(sorted(net.named_parameters())):
            values = torch.arange(parameter.numel(), dtype=torch.float64) * 0.7 + number
            wave = values.sin().float().view_as(parameter)
            parameter.copy_(1 + 0.1 * wave if parameter.dim() == 1 else 0.3 * wave)


def test_golden_logits_of_an_untied_unscaled_t5(byte_base: Path, tmp_path: Path) -> None:
    base = load(byte_base)
    fill(base.model)
    save_full_model(base.model, base.tokenizer, tmp_path / "copy", None)
    found = logits(load(tmp_path / "copy").model)[0, :, :5]
    print([[round(value, 4) for value in row] for row in found.tolist()])
    torch.testing.assert_close(found, torch.tensor(GOLDEN), rtol=0, atol=2e-3)


def test_the_head_stays_apart_from_the_embedding_through_save_and_load(byte_base: Path, tmp_path: Path) -> None:
    base = load(byte_base)
    save_full_model(base.model, base.tokenizer, tmp_path / "copy", None)
    copy = load(tmp_path / "copy").model
    for net in (base.model, copy):
        assert net.lm_head.weight.data_ptr() != net.shared.weight.data_ptr()
        assert not torch.equal(net.lm_head.weight, net.shared.weight)
    assert torch.equal(logits(base.model), logits(copy))


def test_the_decoder_output_goes_into_the_head_unscaled(byte_base: Path) -> None:
    net = load(byte_base).model.eval()
    with torch.no_grad():
        encoded = net.encoder(input_ids=torch.tensor(SOURCE)).last_hidden_state
        decoded = net.decoder(input_ids=torch.tensor(TARGET), encoder_hidden_states=encoded).last_hidden_state
        torch.testing.assert_close(net.lm_head(decoded), logits(net))


def test_the_built_in_base_is_untied_and_unscaled() -> None:
    net = load("builtin:tiny").model
    assert net.lm_head.weight.data_ptr() != net.shared.weight.data_ptr()
    assert not torch.equal(net.lm_head.weight, net.shared.weight)
    assert not net.config.scale_decoder_outputs


@pytest.mark.parametrize(("dropout", "random"), [(None, True), (0.0, False), (0.5, True)])
def test_dropout_is_set_in_every_layer_and_not_saved(dropout: float | None, random: bool, byte_base: Path) -> None:
    base = load_base(Model(base=str(byte_base), precision="fp32"), frozen=True, device="cpu", dropout=dropout)
    net = base.model.train()
    inputs = {"input_ids": torch.tensor(SOURCE), "decoder_input_ids": torch.tensor(TARGET)}
    first, second = net(**inputs).logits, net(**inputs).logits
    assert torch.equal(first, second) is not random
    rates = {m.p for m in net.modules() if isinstance(m, torch.nn.Dropout)}
    rates |= {m.dropout for m in net.modules() if isinstance(getattr(m, "dropout", None), float)}
    assert rates == {0.1 if dropout is None else dropout}
    assert net.config.dropout_rate == 0.1


def test_dropout_can_be_turned_on_where_a_config_has_a_whole_0(byte_base: Path) -> None:
    net = load(byte_base).model
    attention = [m for m in net.modules() if type(m).__name__ == "T5Attention"]
    for module in attention:
        module.dropout = 0  # as a config.json with "dropout_rate": 0 makes it
    set_dropout(net, 0.25)
    assert {module.dropout for module in attention} == {0.25}


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("wanted", ["bf16", "fp32"])
def test_a_frozen_base_is_held_in_bf16_and_a_trained_one_in_fp32(wanted: str, frozen: bool, byte_base: Path) -> None:
    base = load_base(Model(base=str(byte_base), precision=wanted), frozen=frozen, device="cpu")
    types = {p.dtype for p in base.model.parameters()}
    assert base.autocast is (wanted == "bf16" and not frozen)
    assert (torch.bfloat16 in types) is (wanted == "bf16" and frozen)
    assert types <= {torch.bfloat16, torch.float32}


def test_automatic_precision_is_what_the_device_computes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    assert precision("auto", "cpu") == ("bf16" if has_bf16("cpu") else "fp32")
    for capable, chosen in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(model_module, "has_bf16", lambda device, capable=capable: capable)
        assert precision("auto", "cuda") == chosen
        assert (precision("bf16", "cpu"), precision("fp32", "cpu")) == ("bf16", "fp32")


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_attention_is_ours_unless_told_and_gives_what_the_others_give(byte_base: Path, kernel: Any) -> None:
    assert attention_kernel("auto") == attention_kernel("shared") == "shared_bias"
    ours, theirs = load(byte_base).model, load(byte_base, attention=kernel).model
    assert (ours.config._attn_implementation, theirs.config._attn_implementation) == ("shared_bias", kernel)
    torch.testing.assert_close(logits(theirs), logits(ours), rtol=1e-4, atol=1e-4)


def cut_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])


def drop_the_head(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["lm_head.weight"], tensors["encoder.block.0.layer.0.SelfAttention.q.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def change_config(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        (folder / "config.json").write_text(json.dumps(config | changes), encoding="utf-8")

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_weights, "damaged"),
        (drop_the_head, "lack . of its weights, for example .*SelfAttention.q|lack . of its weights"),
        (change_config(d_ff=96), "cannot load"),
        (change_config(model_type="bert"), "cannot load"),
        (lambda folder: (folder / "model.safetensors").unlink(), "cannot load"),
        (lambda folder: (folder / "config.json").unlink(), r"no config\.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot load"),
        (lambda folder: shutil.rmtree(folder), "no model at"),
    ],
    ids=[
        "weights cut short",
        "weights missing",
        "other shapes",
        "not a T5",
        "no weights",
        "no config",
        "config",
        "gone",
    ],
)
def test_a_base_that_is_not_whole_is_refused_with_a_remedy(
    damage: Callable[[Path], None], message: str, byte_base: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "base"
    shutil.copytree(byte_base, folder)
    damage(folder)
    with pytest.raises(ModelError, match=message) as caught:
        load(folder)
    assert caught.value.hint
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("builtin:tny", ModelError, "did you mean builtin:tiny"),
        ("./nowhere", ModelError, "check the path"),
        ("google/flan-t5-base", HubError, "builtin:tiny"),  # tests run offline
    ],
)
def test_a_base_that_cannot_be_had_is_named(name: str, kind: type[PeftsumError], words: str, in_tmp: Path) -> None:
    for attempt in (lambda: load(name), lambda: load_tokenizer(Model(base=name))):
        with pytest.raises(kind) as caught:
            attempt()
        assert name in caught.value.message
        assert words in caught.value.hint


def test_the_revision_is_of_the_content_wherever_it_lies(byte_base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(byte_base, folder)
    weights = folder / "model.safetensors"
    os.utime(weights, (1, 1))
    original, copied = (base_revision(Model(base=str(path))) for path in (byte_base, folder))
    assert original == copied
    tensors = load_file(weights)
    tensors["lm_head.weight"][0, 0] += 1
    save_file(tensors, weights, metadata={"format": "pt"})
    assert base_revision(Model(base=str(folder))) != original


def test_parameters_are_counted_once(byte_base: Path) -> None:
    net = load(byte_base).model.requires_grad_(False)
    net.lm_head.requires_grad_(True)
    stored = load_file(byte_base / "model.safetensors")
    assert count_parameters(net) == (stored["lm_head.weight"].numel(), sum(t.numel() for t in stored.values()))
