"""The shapes of T5 that are timed, the ways to tune them, and a folder with each base."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

TINY = "builtin:tiny"
RANK, ALPHA = 16, 32.0  # of every LoRA here: peftsum's default


@dataclass(frozen=True)
class Shape:
    """The sizes of a T5 with a gated MLP and a head of its own."""

    d_model: int
    d_ff: int
    d_kv: int
    heads: int
    encoder_layers: int
    decoder_layers: int
    vocabulary: int

    @property
    def inner(self) -> int:
        """Width of queries, keys and values, all heads together."""
        return self.heads * self.d_kv


@dataclass(frozen=True)
class Tuning:
    """One way to tune, as a recipe has it."""

    targets: str | None
    """LoRA's targets, peftsum's word; None tunes all weights."""
    quantize: str = "none"

    @property
    def frozen(self) -> bool:
        """True where only an adapter is trained."""
        return self.targets is not None

    def recipe_method(self) -> dict[str, object]:
        """Return the recipe's section."""
        if self.targets is None:
            return {"kind": "full"}
        return {"kind": "lora", "rank": RANK, "alpha": ALPHA, "targets": self.targets}


# The builtin tokenizer has 8 192 words, so its ids fit every vocabulary here: only lengths matter to random weights.
SHAPES = {
    "minute": Shape(32, 64, 16, 2, 1, 1, 8192),  # for the test of this benchmark
    "tiny": Shape(256, 512, 32, 8, 4, 3, 8192),  # the real builtin:tiny
    "small": Shape(512, 1024, 64, 6, 8, 8, 32128),  # google/flan-t5-small and so on, with random weights
    "base": Shape(768, 2048, 64, 12, 12, 12, 32128),
    "large": Shape(1024, 2816, 64, 16, 24, 24, 32128),
    "xl": Shape(2048, 5120, 64, 32, 24, 24, 32128),
}
METHODS = {
    "full": Tuning(None),
    "lora": Tuning("all-linear"),
    "lora_qv": Tuning("qv"),  # peft's own default targets
    "int8": Tuning("all-linear", "int8"),
}


def base_of(shape: str, bases: Path) -> str:
    """Return what a recipe calls the base of a shape."""
    return TINY if shape == "tiny" else str(bases / shape)


def read_shape(folder: Path) -> Shape:
    """Return the shape in a model folder's config."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    names = ("d_model", "d_ff", "d_kv", "num_heads", "num_layers", "num_decoder_layers", "vocab_size")
    return Shape(*(int(config[name]) for name in names))


def build_base(name: str, folder: Path) -> None:
    """Write a base of random fp32 weights in Flan-T5's structure, with the builtin tokenizer."""
    import torch
    from transformers import AutoTokenizer, T5Config, T5ForConditionalGeneration
    from transformers.utils.logging import disable_progress_bar

    from peftsum.model import local_folder

    shape = SHAPES[name]
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=shape.vocabulary,
        d_model=shape.d_model,
        d_kv=shape.d_kv,
        d_ff=shape.d_ff,
        num_layers=shape.encoder_layers,
        num_decoder_layers=shape.decoder_layers,
        num_heads=shape.heads,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
        dropout_rate=0.1,
    )
    model = T5ForConditionalGeneration(config)
    # T5Config re-ties; Flan-T5 has a head of its own, and a loaded folder with one stays untied
    model.lm_head = torch.nn.Linear(shape.d_model, shape.vocabulary, bias=False)
    torch.nn.init.normal_(model.lm_head.weight, std=shape.d_model**-0.5)
    disable_progress_bar()
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(str(local_folder(TINY))).save_pretrained(folder)
