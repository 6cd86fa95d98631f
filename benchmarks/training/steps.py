"""Steps of the training engine by hand, without the rest of a run: for benchmarks of the step alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.shapes import METHODS

ROOT = Path(__file__).resolve().parents[2]
DIALOGSUM = ROOT.parent / "shared" / "data" / "dialogsum"
DATA = str(DIALOGSUM) if DIALOGSUM.is_dir() else "builtin:dialogues"
MOST = 600  # dialogues to draw batches from


def load_examples(source: str) -> list[Any]:
    """Return dialogues of a training split, encoded by the builtin tokenizer: its ids fit every shape here."""
    from peftsum.batching import encode
    from peftsum.data import load_split
    from peftsum.model import load_tokenizer
    from peftsum.prompts import Prompt
    from peftsum.recipe import Data, Model

    dialogues = load_split(Data(source=source), "train").sample(MOST, 13).examples
    return list(encode(dialogues, load_tokenizer(Model()), Prompt(), max_source_tokens=512, max_target_tokens=128))


@dataclass
class Stepper:
    """A model on the CPU with its method, its optimizer, and the batches it takes."""

    training: Any
    optimizer: Any
    autocast: bool
    examples: Sequence[Any]
    batches: list[list[int]]

    def step(self, number: int) -> tuple[float, int]:
        """Return the seconds and the real tokens of one step."""
        import torch

        batch = [self.examples[i] for i in self.batches[number % len(self.batches)]]
        started = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.autocast):
            loss = self.training(self.training.batch(batch, "cpu"))
        (loss / sum(len(e.target) for e in batch)).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return time.perf_counter() - started, sum(len(e.source) + len(e.target) for e in batch)


def make_stepper(
    base: str,
    method: str,
    engine: Any,
    examples: Sequence[Any],
    batch_tokens: int,
    *,
    attention: str = "auto",
    precision: str = "auto",
    dropout: float | None = 0.0,
    fused_optimizer: bool = True,
) -> Stepper:
    """Load a base of its own, attach a method and group the batches.

    Args:
        base: folder, or ``builtin:tiny``.
        method: key of :data:`training.shapes.METHODS`.
        engine: the parts of the engine to use.
        examples: encoded dialogues.
        batch_tokens: of a batch.
        attention: as a recipe has it.
        precision: as a recipe has it.
        dropout: of the base; None keeps its own.
        fused_optimizer: take AdamW's fused kernel.
    """
    import torch

    from peftsum.batching import epoch_batches, packed_batches
    from peftsum.methods import Full, Lora
    from peftsum.model import load_base
    from peftsum.recipe import Model
    from peftsum.training_model import TrainingModel

    tuning = METHODS[method]
    kind = Lora(targets=tuning.targets) if tuning.frozen else Full()  # type: ignore[arg-type]
    section = Model(base=base, quantize=tuning.quantize, attention=attention, precision=precision)  # type: ignore[arg-type]
    loaded = load_base(section, frozen=tuning.frozen, device="cpu", dropout=dropout)
    training = TrainingModel(kind.attach(loaded.model), engine, "cpu", loaded.tokenizer.pad_token_id).train()
    trained = [p for p in training.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=fused_optimizer)
    make = packed_batches if training.packs else epoch_batches
    return Stepper(training, optimizer, loaded.autocast, examples, make(examples, batch_tokens, 13, 0))
