"""Adapters with random weights, strong enough to change words, as peft saves them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import IA3Config, LoraConfig, get_peft_model

from peftsum.model import load_base
from peftsum.recipe import Model

KINDS: dict[str, dict[str, Any]] = {
    "wide": {"r": 8, "lora_alpha": 40, "target_modules": "all-linear"},
    "thin": {"r": 2, "lora_alpha": 12, "target_modules": ["q", "v"]},
    "root": {"r": 4, "lora_alpha": 12, "target_modules": ["o", "wi_0"], "use_rslora": True},
    "late": {"r": 3, "lora_alpha": 20, "target_modules": r".*decoder\.block\..*\.(q|k|wo)"},
    "uneven": {"r": 4, "lora_alpha": 20, "target_modules": ["v", "wo"], "rank_pattern": {"wo": 6}},
}
DORA: dict[str, Any] = {"r": 2, "target_modules": ["q"], "use_dora": True}
IA3: dict[str, Any] = {"target_modules": ["k", "v", "wo"], "feedforward_modules": ["wo"]}


def write_adapters(base: Path, folder: Path, kinds: Mapping[str, Mapping[str, Any]]) -> dict[str, Path]:
    """Write an adapter a kind, LoRA unless it has ``feedforward_modules``, and return their folders by name."""
    made = {}
    for i, (name, settings) in enumerate(kinds.items()):
        torch.manual_seed(i)
        net = load_base(Model(base=str(base), precision="fp32"), frozen=True, device="cpu").model
        kind = IA3Config if "feedforward_modules" in settings else LoraConfig
        start = {"init_ia3_weights" if kind is IA3Config else "init_lora_weights": False}
        tuned = get_peft_model(net, kind(task_type="SEQ_2_SEQ_LM", **start, **settings))
        for key, parameter in tuned.named_parameters():
            if "lora_" in key or "ia3_" in key:
                parameter.data.normal_(std=0.5)
        tuned.save_pretrained(str(folder / name), save_embedding_layers=False)
        made[name] = folder / name
    return made
