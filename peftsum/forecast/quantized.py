"""Stand-ins for bitsandbytes' linear layers on fake tensors: the same bytes held, saved and passed through.

The library's own kernels need data (int8 looks for outliers) or a GPU, so what they hold and allocate is written down
here by shape, read from bitsandbytes 0.50 (``nn/modules.py``, ``autograd/_functions.py``). That the bytes held are
those of a real load is tested.
"""

from __future__ import annotations

from typing import Any

import torch
from bitsandbytes import nn as bnb
from torch import nn

from peftsum.engine.place import kind_of

NF4_BLOCK = 64  # weights that share a scale
NESTED_BLOCK = 256  # scales that share a scale of their own ("double quantization", Dettmers et al. 2023, section 3)
NF4_LEVELS, NESTED_LEVELS = 16, 256  # of the code books kept beside each weight, fp32


class Quantized:
    """What the stand-ins have in common."""

    state: Any
    """Scales and code books beside the packed weight."""

    def make_state(self) -> None:
        """Make them, under the fake mode of the weight."""
        raise NotImplementedError  # abstract: both stand-ins override it

    def held(self) -> list[torch.Tensor]:
        """Return all that the layer holds."""
        raise NotImplementedError  # abstract: both stand-ins override it


class Linear8bitLt(Quantized, bnb.Linear8bitLt):  # type: ignore[misc]  # bitsandbytes ships no types
    """8-bit rows with a scale each; the engine knows it by its name."""

    def make_state(self) -> None:
        """As ``Int8Params`` has it: one fp32 scale a row."""
        self.weight.SCB = torch.empty(self.weight.shape[0], dtype=torch.float32)

    def held(self) -> list[torch.Tensor]:
        """Return weight and scales."""
        return [self.weight, self.weight.SCB]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (…, out)."""
        out: torch.Tensor = _Int8Product.apply(x, self.weight, self.weight.SCB)  # type: ignore[no-untyped-call]
        return out


class Linear4bit(Quantized, bnb.Linear4bit):  # type: ignore[misc]  # bitsandbytes ships no types
    """Two 4-bit weights a byte, 8-bit scales, and scales of the scales."""

    def make_state(self) -> None:
        """As ``QuantState`` has it under double quantization."""
        scales = -(-self.in_features * self.out_features // NF4_BLOCK)
        self.state_tensors = [
            torch.empty(scales, dtype=torch.uint8),
            torch.empty(NF4_LEVELS),
            torch.empty(()),  # the scales' mean
            torch.empty(-(-scales // NESTED_BLOCK)),
            torch.empty(NESTED_LEVELS),
        ]

    def held(self) -> list[torch.Tensor]:
        """Return weight, scales and code books."""
        return [self.weight, *self.state_tensors]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (…, out) in the input's precision, computed in the layer's own."""
        shape = (self.out_features, self.in_features)
        out: torch.Tensor = _Nf4Product.apply(x.to(self.compute_dtype), self.weight, shape)  # type: ignore[no-untyped-call]
        return out.to(x.dtype)


def stand_in(layer: Any) -> None:
    """Turn a layer that transformers made for 8 or 4 bits into its stand-in, its weight as after loading, in place."""
    if type(layer) is bnb.Linear8bitLt:
        packed = torch.empty(layer.weight.shape, dtype=torch.int8, device="meta")
        layer.weight = nn.Parameter(packed, requires_grad=False)
        layer.__class__ = Linear8bitLt
    elif type(layer) is bnb.Linear4bit:
        known = layer.weight
        packed = torch.empty(-(-known.numel() // 2), 1, dtype=torch.uint8, device="meta")
        layer.weight = nn.Parameter(packed, requires_grad=False)
        layer.weight.compress_statistics, layer.weight.quant_type = known.compress_statistics, known.quant_type
        layer.__class__ = Linear4bit


class _Int8Product(torch.autograd.Function):
    """``MatMul8bitFp`` on a CPU, ``MatMul8bitLt`` on a GPU."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(weight, scale)
        ctx.shape, ctx.dtype = x.shape, x.dtype
        rows = x.flatten(0, -2)
        ctx.kept = rows  # the library keeps its input on the context, where checkpointing cannot free it
        if kind_of(x) == "cpu":
            return (rows @ _dense(weight, scale, x.dtype).t()).view(*x.shape[:-1], -1)
        packed = rows.to(torch.float16).to(torch.int8)
        row_scales = rows.new_empty(rows.shape[0], dtype=torch.float32)
        product = torch.mm(rows.to(torch.int8), weight.t()).to(torch.int32)
        out = (product * row_scales.unsqueeze(1)).to(x.dtype)
        del packed
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        weight, scale = ctx.saved_tensors
        dense = _dense(weight, scale, ctx.dtype)
        return (grad.flatten(0, -2).to(ctx.dtype) @ dense).view(ctx.shape), None, None


class _Nf4Product(torch.autograd.Function):
    """``MatMul4Bit``: the whole weight is unpacked for the product, forward and backward."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        ctx.weight_shape = shape
        return (x.flatten(0, -2) @ x.new_empty(shape).t()).view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        rows = grad.flatten(0, -2) @ grad.new_empty(ctx.weight_shape)
        return rows.view(*grad.shape[:-1], -1), None, None


def _dense(weight: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return weight.to(dtype).mul_(scale.to(dtype).unsqueeze(-1))
