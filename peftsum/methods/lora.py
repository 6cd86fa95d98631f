"""LoRA and its variants DoRA and rsLoRA."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from peftsum.methods.base import PeftMethodSection

TARGET_SETS: dict[str, str | list[str]] = {
    "all-linear": "all-linear",  # peft's word for q, k, v, o, wi_0, wi_1, wo; lm_head stays out
    "attention": ["q", "k", "v", "o"],
    "qv": ["q", "v"],
}


class Lora(PeftMethodSection):
    """A low-rank update BA beside frozen weights (Hu et al. 2021)."""

    kind: Literal["lora"] = "lora"
    rank: int = Field(16, gt=0, le=1024)
    """Rank r of the update BA (Hu et al. 2021, section 4.1)."""
    alpha: float = Field(32.0, gt=0)
    """Scale: the update is multiplied by alpha/r, or alpha/sqrt(r) with `rslora`."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the update's input. On a CPU its random numbers cost a third of a step; 0 is the default."""
    targets: Literal["all-linear", "attention", "qv"] | list[str] = "all-linear"
    """Layers that get an update: all linear layers (learns most), `attention` (q, k, v, o), `qv`, or module names."""
    dora: bool = False
    """Learn the magnitude of each output apart from its direction (Liu et al. 2024). Slower, a little better at low rank."""
    rslora: bool = False
    """Scale by alpha/sqrt(r), which keeps high ranks stable (Kalajdzievski 2023)."""

    @model_validator(mode="after")
    def _targets_named(self) -> Self:
        if isinstance(self.targets, list) and not self.targets:
            raise ValueError("`targets` names no layer; take all-linear, attention, qv or a list of module names")
        return self

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

    def label(self) -> str:
        """Return for example ``lora r16 all-linear``, or ``dora r8 qv``."""
        name = "dora" if self.dora else "rslora" if self.rslora else "lora"
        targets = ",".join(self.targets) if isinstance(self.targets, list) else self.targets
        return f"{name} r{self.rank} {targets}"
