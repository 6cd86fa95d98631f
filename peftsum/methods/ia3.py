"""IA3: learned scales on keys, values and the feed-forward's inner activations."""

from __future__ import annotations

from typing import Literal

from peftsum.methods.base import PeftMethodSection


class Ia3(PeftMethodSection):
    """Three learned vectors a layer (Liu et al. 2022): by far the smallest adapter, and the weakest."""

    kind: Literal["ia3"] = "ia3"

    def peft_config(self) -> object:
        """Return peft's ``IA3Config`` for T5: k, v, and the input of wo (Liu et al. 2022, section 3.3)."""
        from peft import IA3Config

        return IA3Config(task_type="SEQ_2_SEQ_LM", target_modules=["k", "v", "wo"], feedforward_modules=["wo"])
