"""The trainings whose forecast is compared with a real run, and those that the constants were fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

METHODS: dict[str, dict[str, Any]] = {
    "full": {"kind": "full"},
    "lora": {"kind": "lora"},
    "lora_qv": {"kind": "lora", "targets": "qv"},
    "dora": {"kind": "lora", "dora": True},
    "ia3": {"kind": "ia3"},
}


@dataclass(frozen=True)
class Combination:
    """One training."""

    shape: str
    method: str
    quantize: str
    checkpointing: bool
    batch_tokens: int

    @property
    def name(self) -> str:
        """For the table."""
        parts = [self.shape, self.method, self.quantize, "checkpointing" if self.checkpointing else "", ""]
        return " ".join(part for part in parts if part) + f" {self.batch_tokens}"

    def recipe(self, base: str, source: str, steps: int) -> dict[str, Any]:
        """Return it as a recipe: defaults, without validation.

        Args:
            base: folder or name of the base.
            source: of the data.
            steps: optimizer steps.
        """
        return {
            "name": "forecast",
            "model": {"base": base, "quantize": self.quantize},
            "data": {"source": source},
            "method": METHODS[self.method],
            "train": {
                "max_steps": steps,
                "batch_tokens": self.batch_tokens,
                "gradient_checkpointing": self.checkpointing,
                "eval_examples": 0,
                "checkpoint_every": 1_000_000,
            },
        }


def _combinations(text: str) -> list[Combination]:
    rows = [line.split() for line in text.strip().splitlines()]
    return [Combination(s, m, q, c == "checkpointing", int(b)) for s, m, q, c, b in rows]


JUDGED = _combinations("""
tiny  full    none kept          1024
tiny  lora    none kept          1024
tiny  full    none kept          4096
tiny  full    none checkpointing 4096
tiny  lora    none kept          4096
tiny  lora    none checkpointing 4096
tiny  lora_qv none kept          4096
tiny  dora    none kept          2048
tiny  ia3     none kept          2048
tiny  lora    int8 kept          2048
tiny  lora    int8 checkpointing 4096
tiny  dora    int8 kept          2048
tiny  ia3     int8 kept          2048
small full    none kept          1024
small full    none checkpointing 2048
small lora    none kept          1024
small lora    none kept          4096
small lora    none checkpointing 4096
small lora_qv none kept          2048
small dora    none kept          1024
small ia3     none kept          2048
small lora    int8 kept          1024
small lora    int8 checkpointing 4096
small ia3     int8 kept          2048
small dora    int8 checkpointing 1024
base  lora    none kept          1024
base  lora    int8 checkpointing 2048
""")
QUICK = [JUDGED[i] for i in (0, 4, 5, 8, 9, 15, 22)]  # a few of each kind; what is left of 5 minutes on a slow day
FITTED = _combinations("""
tiny  full    none kept          2048
tiny  lora    none kept          2048
tiny  lora    int8 kept          1024
small full    none kept          2048
small lora    none kept          2048
small lora    none checkpointing 2048
small lora    int8 kept          2048
small ia3     none kept          1024
""")
