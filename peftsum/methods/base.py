"""What every tuning method is: a recipe section that attaches itself to a base model."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, ClassVar

from peftsum.exceptions import RecipeError
from peftsum.section import Section

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class MethodSection(Section):
    """How the base is tuned. Subclasses stand one a file and are listed in ``METHODS``."""

    kind: str
    frozen_base: ClassVar[bool] = True
    """True where the base's weights do not change, so that they may be 8-bit or bf16 and the adapter lies apart."""
    mergeable: ClassVar[bool] = True
    """True where the adapter can be folded into the base's weights."""

    def attach(self, model: PreTrainedModel, adapter: str = "default") -> PreTrainedModel:
        """Return the model with this method's trainable parameters; everything else is frozen.

        Args:
            model: the base, weights loaded.
            adapter: the name the adapter gets inside the model.
        """
        raise NotImplementedError  # abstract: every method in METHODS overrides it

    def caches_encoder(self) -> bool:
        """Tell whether the encoder runs once and its states are read from disk after that."""
        return False

    @property
    def variant(self) -> str:
        """What the method is called where it is shown: its kind, or the variant of it, such as ``dora``."""
        return self.kind

    def label(self) -> str:
        """Return the method with its size, as a report shows it."""
        return self.variant


class PeftMethodSection(MethodSection):
    """A method that the peft library attaches."""

    def peft_config(self) -> object:
        """Return the peft configuration object."""
        raise NotImplementedError  # abstract: every peft method overrides it

    def attach(self, model: PreTrainedModel, adapter: str = "default") -> PreTrainedModel:
        """Return a ``PeftModel`` around the frozen base; adapter weights are fp32 whatever the base's precision.

        Raises:
            RecipeError: the base has no layer that this method's settings name.
        """
        from peft import get_peft_model

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # peft calls what transformers has renamed
                if _has_own_head(model):  # peft goes by the configuration, which says of every T5 that it is tied
                    warnings.filterwarnings("ignore", message="Model has `tie_word_embeddings=True`")
                return get_peft_model(model, self.peft_config(), adapter_name=adapter, autocast_adapter_dtype=True)
        except ValueError as error:
            text = str(error).splitlines()[0][:200]
            raise RecipeError(f"method: {self.kind} does not fit the base: {text}", hint="mend `method`") from error


def _has_own_head(model: PreTrainedModel) -> bool:
    """Tell whether the output layer has weights of its own, as Flan-T5's has."""
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    return head is not None and embedding is not None and head.weight is not embedding.weight
