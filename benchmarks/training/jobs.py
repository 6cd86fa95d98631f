"""What a worker process is asked to do and what it answers, as JSON files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SYSTEMS = {
    "common": "Seq2SeqTrainer + peft as most run it: fp32, random batches of 8 padded to the longest, SDPA, dropout",
    "tuned": "the same, tuned: bf16 where faster here, grouped by length, the faster attention and batch size probed",
    "tuned_nodrop": "tuned, with dropout 0",
    "peftsum": "peftsum.train.train with its defaults",
}


@dataclass(frozen=True)
class TrainerSettings:
    """How a Seq2SeqTrainer is set up."""

    batch_size: int = 8
    attention: str = "sdpa"  # what transformers takes by default
    bf16: bool = False
    grouped: bool = False
    dropout: float | None = None
    """None: the base's own, 0.1."""
    lora_dropout: float = 0.05
    """On the input of the update; what the widely used tutorials for Flan-T5 have."""
    checkpointing: bool = False
    """Gradient checkpointing, which ``prepare_model_for_kbit_training`` turns on by default."""


@dataclass(frozen=True)
class Job:
    """One piece of work for one process."""

    task: str
    """``probe`` candidates, or ``train`` one system."""
    shape: str
    base: str
    method: str = "lora"
    data: str = ""
    """Folder of the workload."""
    system: str = ""
    examples: int = 0
    """Dialogues to train on."""
    seed: int = 13
    batch_tokens: int = 2048
    held_out: int = 0
    """Dialogues whose loss is taken afterwards."""
    out: str = ""
    """Empty folder for what is saved."""
    trainer: TrainerSettings = TrainerSettings()
    candidates: list[TrainerSettings] = field(default_factory=list)
    """What a probe tries."""

    @property
    def warm_up(self) -> int:
        """Dialogues before the timed steps, at least; the first step is always among them."""
        return max(1, self.examples // 8)

    def write(self, path: Path) -> None:
        """Write the job."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Job:
        """Return a job written by :meth:`write`."""
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        values["trainer"] = TrainerSettings(**values["trainer"])
        values["candidates"] = [TrainerSettings(**c) for c in values["candidates"]]
        return cls(**values)


@dataclass
class Trained:
    """What a system did, step by step."""

    steps: list[list[tuple[int, int]]]
    """(source, target) tokens of each dialogue of each optimizer step, without padding."""
    positions: list[int] | None
    """Source and target positions of each step, padding included; None where they cannot be seen."""
    loss: float | None
    """Mean training loss over the last part, in nats a target token."""
    loss_steps: tuple[int, int] | None
    """First and last step of that part."""
    arithmetic: str
    settings: dict[str, Any]
    saved: str
    """Folder of the adapter, or of the model after full tuning."""
