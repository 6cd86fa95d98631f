"""LoRA and its variants DoRA and rsLoRA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from peftsum.exceptions import RecipeError
from peftsum.methods.base import PeftMethodSection
from peftsum.registry import nearest

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TARGET_SETS: dict[str, str | list[str]] = {
    "all-linear": "all-linear",  # peft's word for q, k, v, o, wi_0, wi_1, wo; lm_head stays out
    "attention": ["q", "k", "v", "o"],
    "qv": ["q", "v"],
    "decoder": r".*decoder\.block\..*\.(q|k|v|o|wi|wi_0|wi_1|wo)",  # peft takes a text as a pattern of the whole name
}

LISTED = 8  # names of layers that a label shows


class Lora(PeftMethodSection):
    """A low-rank update BA beside frozen weights (Hu et al. 2021)."""

    kind: Literal["lora"] = "lora"
    rank: int = Field(16, gt=0, le=1024)
    """Rank r of the update BA (Hu et al. 2021, section 4.1)."""
    alpha: float = Field(32.0, gt=0)
    """Scale: the update is multiplied by alpha/r, or alpha/sqrt(r) with `rslora`."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the update's input. On a CPU its random numbers cost a third of a step; 0 is the default."""
    targets: Literal["all-linear", "attention", "qv", "decoder"] | list[str] = "all-linear"
    """Layers that get an update: all linear layers (learns most), `attention` (q, k, v, o), `qv`, all of the `decoder`,
    or module names."""
    cache_encoder: bool = False
    """With `targets: decoder`: run the frozen encoder once, keep its states on disk, and train the decoder alone in
    later epochs. Faster from the second epoch on; costs quality (docs/performance.md)."""
    dora: bool = False
    """Learn the magnitude of each output apart from its direction (Liu et al. 2024). Slower; better at low rank."""
    rslora: bool = False
    """Scale by alpha/sqrt(r), which keeps high ranks stable (Kalajdzievski 2023)."""

    @model_validator(mode="after")
    def _targets_named(self) -> Self:
        if isinstance(self.targets, list) and not self.targets:
            raise ValueError("`targets` names no layer; take all-linear, attention, qv or a list of module names")
        if self.cache_encoder and self.targets != "decoder":
            raise ValueError("`cache_encoder` needs `targets: decoder`: an encoder that is trained changes its states")
        return self

    def attach(self, model: PreTrainedModel, adapter: str = "default") -> PreTrainedModel:
        """Attach as every peft method does, once each layer named is known to be there: peft passes over others."""
        if isinstance(self.targets, list):
            names = {part for name, _ in model.named_modules() for part in _endings(name)}
            for target in self.targets:
                if target not in names:
                    guess = nearest(target, {name for name in names if name.isidentifier()})
                    raise RecipeError(
                        f"method.targets: the base has no layer named {target!r}",
                        hint=f"did you mean {guess!r}?" if guess else "T5 has q, k, v, o, wi_0, wi_1, wo",
                    )
        return super().attach(model, adapter)

    def peft_config(self) -> object:
        """Return peft's ``LoraConfig``."""
        from peft import LoraConfig

        targets = self.targets if isinstance(self.targets, list) else TARGET_SETS[self.targets]
        return LoraConfig(
            task_type="SEQ_2_SEQ_LM",
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=targets,
            use_dora=self.dora,
            use_rslora=self.rslora,
            bias="none",
        )

    def caches_encoder(self) -> bool:
        """Tell whether the encoder runs once and its states are read from disk after that."""
        return self.cache_encoder

    @property
    def variant(self) -> str:
        """``lora``, ``dora``, ``rslora`` or ``dora+rslora``."""
        return "+".join(name for name in ("dora", "rslora") if getattr(self, name)) or self.kind

    def label(self) -> str:
        """Return for example ``lora r16 all-linear``, or ``dora r8 qv``."""
        targets = self.targets if isinstance(self.targets, str) else ",".join(self.targets)
        if len(self.targets) > LISTED and not isinstance(self.targets, str):
            targets = f"{len(self.targets)} layers"
        return f"{self.variant} r{self.rank} {targets}"


def _endings(name: str) -> list[str]:
    """Return what a target may call a module: its name, or any of the name's ends at a dot."""
    parts = name.split(".")
    return [".".join(parts[i:]) for i in range(len(parts))]
