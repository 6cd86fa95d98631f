"""From evaluations to the table: means over seeds, their spread, and paired tests over dialogues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from better.arms import ARMS, EVALUATION, Setting
from peftsum.artifacts import RUN_FILE, RunRecord, read_record
from peftsum.evaluate import Evaluation
from peftsum.metrics.paired import holm, randomization_p_values

ROUGES = ("rouge1_f", "rouge2_f", "rougeL_f")
ERRORS = ("error_any", "error_speaker", "error_negation", "error_circumstance", "error_hallucination")


@dataclass(frozen=True)
class Row:
    """An arm over its seeds."""

    arm: str
    about: str
    statistics: dict[str, NDArray[np.float64]]
    """(seeds, dialogues) a column."""
    val_loss: list[float]
    source_tokens: list[int]
    wall_s: list[float | None]

    def mean(self, column: str) -> float:
        """Return the mean over seeds and dialogues."""
        return float(self.statistics[column].mean())

    def of_seeds(self, column: str) -> list[float]:
        """Return the mean over dialogues of each seed."""
        return [float(value) for value in self.statistics[column].mean(axis=1)]

    def as_json(self) -> dict[str, Any]:
        """Return the figures."""
        return {
            "arm": self.arm,
            "about": self.about,
            **{column: self.of_seeds(column) for column in (*ROUGES, *ERRORS)},
            "val_loss": self.val_loss,
            "source_tokens": self.source_tokens,
            "wall_s": self.wall_s,
        }


def arm_rows(names: Sequence[str], seeds: Sequence[int], setting: Setting) -> list[Row]:
    """Read what the arms left in their runs."""
    rows = []
    for name in names:
        folders = [setting.folder(name, seed) for seed in seeds]
        found = [Evaluation.model_validate_json((folder / EVALUATION).read_bytes()) for folder in folders]
        runs = [read_record(folder / RUN_FILE, RunRecord) for folder in folders]
        columns = {c: np.asarray([e.statistics[c] for e in found]) for c in (*ROUGES, *ERRORS)}
        rows.append(
            Row(
                name,
                ARMS[name].about,
                columns,
                [run.validation["val_loss"] for run in runs],
                [run.source_tokens for run in runs],
                [run.train.wall_s.value if run.train else None for run in runs],
            )
        )
    return rows


def compare_arms(rows: Sequence[Row], against: str) -> dict[str, dict[str, dict[str, float]]]:
    """Return, a column and an arm, the difference to an arm with its interval over dialogues and its corrected p."""
    reference = next((row for row in rows if row.arm == against), None)
    others = [row for row in rows if row is not reference]
    if reference is None or not others:
        return {}
    found: dict[str, dict[str, dict[str, float]]] = {}
    for column in (*ROUGES, "error_any"):
        base = reference.statistics[column].mean(axis=0)
        differences = np.stack([row.statistics[column].mean(axis=0) - base for row in others], axis=1)
        raw = randomization_p_values(differences)
        rng = np.random.default_rng(13)
        drawn = rng.integers(0, len(base), size=(2000, len(base)))
        low, high = np.quantile(differences[drawn].mean(axis=1), [0.025, 0.975], axis=0)
        found[column] = {
            row.arm: {
                "difference": float(differences[:, i].mean()),
                "low": float(low[i]),
                "high": float(high[i]),
                "p": float(raw[i]),
                "p_holm": float(p),
            }
            for i, (row, p) in enumerate(zip(others, holm(raw), strict=True))
        }
    return found


def print_table(rows: Sequence[Row], tests: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print the arms as Markdown: points of ROUGE, errors in per cent, the range over seeds in brackets."""
    print("| arm | ROUGE-1 | ROUGE-2 | ROUGE-L (seeds) | its difference, 95 %, p | val. loss | any error | time |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        seeds = row.of_seeds("rougeL_f")
        test = tests.get("rougeL_f", {}).get(row.arm)
        shown = (
            f"{100 * test['difference']:+.1f} ({100 * test['low']:+.1f} to {100 * test['high']:+.1f}), "
            f"{shown_p(test['p_holm'])}"
            if test
            else ""
        )
        times = [t for t in row.wall_s if t is not None]
        print(
            f"| {row.about} | {100 * row.mean('rouge1_f'):.1f} | {100 * row.mean('rouge2_f'):.1f} "
            f"| {100 * row.mean('rougeL_f'):.1f} ({100 * min(seeds):.1f} to {100 * max(seeds):.1f}) | {shown} "
            f"| {np.mean(row.val_loss):.3f} | {100 * row.mean('error_any'):.0f} % "
            f"| {np.mean(times) if times else float('nan'):.0f} s |"
        )


def shown_p(p: float) -> str:
    """Return a p as a table has it."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"
