"""Full fine-tuning: every weight of the base is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from peftsum.methods.base import MethodSection

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Full(MethodSection):
    """Train all weights; the yardstick every adapter is compared with. The result is a model, not an adapter."""

    kind: Literal["full"] = "full"
    frozen_base: ClassVar[bool] = False
    mergeable: ClassVar[bool] = False

    def attach(self, model: PreTrainedModel, adapter: str = "default") -> PreTrainedModel:
        """Return the model itself with every parameter trainable."""
        return model.requires_grad_(True)
