"""The `train.engine:` section of a recipe: which of the engine's parts are on."""

from __future__ import annotations

from typing import Literal

from peftsum.section import Section


class Engine(Section):
    """How a step is computed. Every part can be switched off; with all off a step is transformers' and peft's own."""

    packing: Literal["auto"] | bool = "auto"
    """Dialogues lie end to end in one row without padding, and none attends to another. `auto` packs on a CPU, where
    it is faster in fp32 and about as fast in bf16 (docs/performance.md), and pads length-grouped batches on a GPU."""
    fused: bool = True
    """The LoRA update inside the layer's own matrix product, norm and gated GELU in fewer passes over memory."""
    real_targets: bool = True
    """Logits and cross-entropy on real target positions only, in blocks, instead of all padded ones at once."""
    cheap_dropout: bool = True
    """On a CPU, dropout from four decisions a random 64-bit word instead of one draw each."""
    keep_memory: bool = True
    """On Linux, keep freed blocks for the next step instead of giving them back to the kernel."""

    def packs(self, device: str) -> bool:
        """Tell whether batches are packed on the device ("cpu", "cuda", …)."""
        return device == "cpu" if self.packing == "auto" else self.packing


PLAIN = Engine(packing=False, fused=False, real_targets=False, cheap_dropout=False, keep_memory=False)
"""The reference that the engine is compared with."""
