"""Fused operations give what the plain ones give, forward and backward."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM

from peftsum.kernels import FusedLoraLinear, FusedRMSNorm, fuse
from peftsum.methods import Full, Lora, MethodSection


def gradients(base: Path, method: MethodSection, *, fused: bool) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    model = method.attach(AutoModelForSeq2SeqLM.from_pretrained(base, attn_implementation="eager"))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)  # zero at the start, where any mistake would be hidden
    if fused:
        fuse(model)
    model.eval()
    ids = torch.arange(3, 43).view(2, 20)  # (batch, source_len)
    logits = model(input_ids=ids, decoder_input_ids=ids[:, :8]).logits
    logits.square().mean().backward()
    return logits.detach(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    "method", [Full(), Lora(rank=4), Lora(rank=4, dora=True), Lora(rank=4, rslora=True)], ids=lambda m: m.label()
)
def test_fused_logits_and_gradients_equal_the_plain_ones(byte_base: Path, method: MethodSection) -> None:
    plain, plain_gradients = gradients(byte_base, method, fused=False)
    fused, fused_gradients = gradients(byte_base, method, fused=True)
    torch.testing.assert_close(fused, plain, rtol=1e-4, atol=1e-5)
    assert fused_gradients.keys() == plain_gradients.keys()
    for name, gradient in plain_gradients.items():
        torch.testing.assert_close(fused_gradients[name], gradient, rtol=1e-3, atol=1e-6, msg=name)


def test_fusing_reaches_every_norm_and_every_lora_layer_and_keeps_names(byte_base: Path) -> None:
    model = Lora(rank=4).attach(AutoModelForSeq2SeqLM.from_pretrained(byte_base))
    before = list(model.state_dict())
    fuse(model)
    kinds = [type(module) for module in model.modules()]
    assert (
        kinds.count(FusedRMSNorm) == 2 * 2 + 1 + 2 * 3 + 1
    )  # two a block in the encoder, three in the decoder, two last
    assert kinds.count(FusedLoraLinear) == 2 * 7 + 2 * 11
    assert list(model.state_dict()) == before
