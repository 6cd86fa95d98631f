"""A base by its configuration alone: from its folder, from the sizes shipped here, or from the Hub."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftsum.model import local_folder, read_config
from peftsum.recipe import Model, Recipe

if TYPE_CHECKING:
    from transformers import PretrainedConfig

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
HEAD = "lm_head.weight"


def base_config(model: Model) -> tuple[PretrainedConfig, bool]:
    """Return the configuration of a base, and whether its head is a matrix of its own.

    transformers 5 ties the head of every T5 that it makes from a configuration; one loaded from files that hold a head
    keeps it. No weights are read.

    Raises:
        ModelError: nothing is there, or it is no model folder.
        HubError: a Hub id whose sizes are not shipped here, and the Hub cannot be reached.
    """
    known = _shipped()["bases"].get(model.base)
    if known is not None:
        from transformers import T5Config

        return T5Config(**_shipped()["common"], **known), True
    config = read_config(model)
    folder = local_folder(model.base)
    own_head = HEAD in _names(folder) if folder is not None else not getattr(config, "scale_decoder_outputs", True)
    return config, own_head


def least_weight_bytes(recipe: Recipe) -> float:
    """Return what the weights of a T5 and their optimizer take at the least, by arithmetic: a bound, not a forecast.

    Layers that quantization leaves out (``wo``, embeddings, head) are counted at two bytes a weight, as in bf16.

    Raises:
        ModelError, HubError: as for :func:`base_config`.
    """
    config, own_head = base_config(recipe.model)
    inner, wide = config.num_heads * config.d_kv, config.d_ff * config.d_model
    gates = 2 if config.feed_forward_proj.startswith("gated") else 1
    layers = config.num_layers + config.num_decoder_layers
    attention = 4 * config.d_model * inner * (config.num_layers + 2 * config.num_decoder_layers)
    linear, left_out = attention + gates * wide * layers, wide * layers
    words = config.vocab_size * config.d_model * (2 if own_head else 1)
    if not recipe.method.frozen_base:
        moments = 8 if recipe.train.optimizer == "adamw" else 0
        return float((4 + moments) * (linear + left_out + words))
    packed = {"none": 2.0, "int8": 1.0, "nf4": 0.5}[recipe.model.quantize]
    return float(packed * linear + 2 * (left_out + words))


@lru_cache(maxsize=1)
def _shipped() -> dict[str, Any]:
    text = (files("peftsum.forecast") / "bases.json").read_text(encoding="utf-8")
    shipped: dict[str, Any] = json.loads(text)
    return shipped


def _names(folder: Path) -> set[str]:
    """Return the names of the tensors in a model folder; only the files' headers are read."""
    from safetensors import safe_open

    index = folder / INDEX
    if index.is_file():
        return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"])
    if not (folder / WEIGHTS).is_file():
        return {HEAD}  # a folder of a configuration alone: as Flan-T5
    with safe_open(str(folder / WEIGHTS), framework="np") as weights:
        return set(weights.keys())
