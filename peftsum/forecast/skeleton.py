"""A model without weights: the base from its configuration, quantized, with its method attached, on fake tensors.

Everything that has a say in which tensors there are is the real code: transformers' choice of layers to quantize,
peft's adapters, the engine's layers. Only the numbers are missing.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from peftsum.forecast.bases import base_config
from peftsum.forecast.quantized import Quantized, stand_in
from peftsum.model import attention_kernel, quantization, set_dropout
from peftsum.recipe import Recipe
from peftsum.training_model import checkpoint_gradients


def build_skeleton(recipe: Recipe, *, bf16: bool, mode: FakeTensorMode) -> nn.Module:
    """Return the model of a recipe as training has it, its parameters fake tensors on the CPU.

    Args:
        recipe: what is to be trained.
        bf16: whether the arithmetic is bf16; a frozen base is then held in it.
        mode: that the fake tensors belong to.
    """
    from transformers import AutoModelForSeq2SeqLM

    config, own_head = base_config(recipe.model)
    dtype = torch.bfloat16 if bf16 and recipe.method.frozen_base else torch.float32
    with torch.device("meta"), _quiet():
        net = AutoModelForSeq2SeqLM.from_config(
            config, dtype=dtype, attn_implementation=attention_kernel(recipe.model.attention)
        )
        if own_head:
            net.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False, dtype=dtype)
        if recipe.model.quantize != "none":
            _quantize(net, recipe)
        if (dropout := recipe.dropout) is not None:
            set_dropout(net, dropout)
        model = cast("nn.Module", recipe.method.attach(net))
        if recipe.train.gradient_checkpointing:
            checkpoint_gradients(cast("Any", model))
    _make_fake(model, mode)
    return model


def _quantize(net: Any, recipe: Recipe) -> None:
    """Exchange the layers that transformers would load in 8 or 4 bits, and mark the model as it would."""
    from transformers.integrations.bitsandbytes import replace_with_bnb_linear
    from transformers.quantizers.base import HfQuantizer

    config: Any = quantization(recipe.model.quantize, "cpu")["quantization_config"]
    kept = HfQuantizer.get_modules_to_not_convert(net, config.llm_int8_skip_modules, net._keep_in_fp32_modules)
    replace_with_bnb_linear(net, modules_to_not_convert=kept, quantization_config=config)
    for module in net.modules():
        stand_in(module)
    setattr(net, "is_loaded_in_8bit" if recipe.model.quantize == "int8" else "is_loaded_in_4bit", True)
    net.is_quantized = True


def _make_fake(model: nn.Module, mode: FakeTensorMode) -> None:
    """Exchange every parameter and buffer for a fake one on the CPU; what is shared stays shared."""
    made: dict[int, Any] = {}

    def fake(old: torch.Tensor) -> torch.Tensor:
        if id(old) not in made:
            empty = torch.empty(old.shape, dtype=old.dtype, device="cpu")
            made[id(old)] = (old, empty)  # the old one is kept, so that no other takes its id
            if isinstance(old, nn.Parameter):
                made[id(old)] = (old, nn.Parameter(empty, requires_grad=old.requires_grad))
        return cast("torch.Tensor", made[id(old)][1])

    with mode:
        for module in model.modules():
            held: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
            for tensors in held:
                for name, tensor in tensors.items():
                    if tensor is not None:
                        tensors[name] = fake(tensor)
            if isinstance(module, Quantized):
                module.make_state()


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what is said of weights on the meta device."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
