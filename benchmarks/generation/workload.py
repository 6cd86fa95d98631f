"""Dialogues, the lengths their summaries are to have, and random adapters on a base with random weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

ADAPTERS = 8
RANK, ALPHA = 16, 32.0  # peftsum's defaults
MAX_SOURCE, MAX_NEW = 512, 100
SEED = 13


@dataclass(frozen=True)
class Workload:
    """Dialogues as token ids, in file order."""

    sources: list[list[int]]
    ends: list[int]
    """Tokens of each human summary, its end token counted: random weights would never end, so all competitors are
    made to end there."""

    def first(self, count: int) -> Workload:
        """Return the first dialogues."""
        return Workload(self.sources[:count], self.ends[:count])


def read_workload(source: str, split: str, count: int) -> Workload:
    """Draw dialogues, and keep the order of the file.

    Args:
        source: a data source.
        split: of it.
        count: how many to draw.
    """
    from peftsum.batching import encode
    from peftsum.data import load_split
    from peftsum.model import load_tokenizer
    from peftsum.prompts import Prompt
    from peftsum.recipe import Data, Model

    examples = load_split(Data(source=source), split).sample(count, SEED).examples
    encoded = encode(
        examples, load_tokenizer(Model()), Prompt(), max_source_tokens=MAX_SOURCE, max_target_tokens=MAX_NEW
    )
    return Workload([e.source for e in encoded], [len(e.target) for e in encoded])


def write_adapters(base: str, folder: Path) -> list[Path]:
    """Write random LoRA adapters of all linear layers for a base, as peft saves them, and return their folders."""
    import torch
    from peft import LoraConfig, get_peft_model

    from peftsum.model import load_base
    from peftsum.recipe import Model

    paths = []
    model: Any = load_base(Model(base=base, precision="fp32"), frozen=True, device="cpu").model
    for number in range(ADAPTERS):
        torch.manual_seed(number)
        config = LoraConfig(task_type="SEQ_2_SEQ_LM", r=RANK, lora_alpha=ALPHA, target_modules="all-linear")
        tuned = get_peft_model(model, config)
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name:
                parameter.data.normal_(std=0.1)
        paths.append(folder / f"adapter-{number}")
        tuned.save_pretrained(str(paths[-1]), save_embedding_layers=False)
        model = tuned.unload()
    return paths
