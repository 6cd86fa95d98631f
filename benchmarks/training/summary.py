"""From the answers of the workers to figures with their spread, ratios, and a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from training.jobs import SYSTEMS, TrainerSettings

FIGURES = (
    "tokens_per_s",
    "useful_flops_per_s",
    "peak_rss_bytes",
    "imported_rss_bytes",
    "peak_gpu_bytes",
    "peak_gpu_reserved_bytes",
    "train_loss",
    "held_out_loss",
    "matmul_peak_flops_per_s",
    "share_of_matmul_peak",
    "padding_share",
    "timed_s",
)
HEADLINES = {  # what design.md promises: of the small shape, on DialogSum's lengths where it is there
    "lora_vs_common": "lora_vs_common",
    "lora_vs_tuned": "lora_vs_tuned",
    "lora_memory_vs_common": "lora_memory_vs_common",
    "full_vs_common": "full_vs_common",
    "int8_vs_common": "int8_vs_common",
    "share_of_matmul_peak": "lora_share_of_matmul_peak",
}
HEADLINE_SHAPE = "small"


@dataclass
class Cell:
    """One shape, method and data: the answers of every system, a repeat an entry (None where it failed)."""

    shape: str
    method: str
    data: str
    answers: dict[str, list[dict[str, Any] | None]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    """What a system said when it failed."""
    probes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    chosen: dict[str, TrainerSettings] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As in the names of ratios."""
        return f"{self.shape}_{self.data}_{self.method}"


def spread(values: Sequence[float | None]) -> dict[str, Any] | None:
    """Return median, lowest and highest of what was measured, and all values; None where nothing was."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return {"median": median(known), "low": min(known), "high": max(known), "values": known}


def system_record(cell: Cell, system: str) -> dict[str, Any]:
    """Return a system's figures with their spread, and what it ran with."""
    answers = [answer for answer in cell.answers.get(system, []) if answer is not None]
    if not answers:
        return {"failed": cell.failures.get(system, "not run")}
    record: dict[str, Any] = {name: spread([answer.get(name) for answer in answers]) for name in FIGURES}
    record["peak_over_imports_bytes"] = spread([a["peak_rss_bytes"] - a["imported_rss_bytes"] for a in answers])
    last = ("timed_steps", "timed_source_tokens", "timed_target_tokens", "steps", "examples", "train_loss_steps")
    record |= {name: [answer[name] for answer in answers] for name in last}
    record |= {name: answers[-1][name] for name in ("useful_flops", "arithmetic", "settings")}
    if system in cell.failures:
        record["failed_once"] = cell.failures[system]
    return record


def cell_ratios(cell: Cell) -> dict[str, dict[str, Any]]:
    """Return peftsum against each competitor; the median of the ratios within each repeat."""
    ratios: dict[str, dict[str, Any]] = {}
    ours = cell.answers.get("peftsum", [])
    for rival in SYSTEMS:
        if rival == "peftsum" or rival not in cell.answers:
            continue
        pairs = [(a, b) for a, b in zip(ours, cell.answers[rival], strict=False) if a is not None and b is not None]
        ratios[f"{cell.method}_vs_{rival}"] = _ratio(
            [a["tokens_per_s"] / b["tokens_per_s"] for a, b in pairs], cell, rival
        )
        ratios[f"{cell.method}_memory_vs_{rival}"] = _ratio([_memory(b) / _memory(a) for a, b in pairs], cell, rival)
    shares = [answer["share_of_matmul_peak"] for answer in ours if answer is not None]
    ratios[f"{cell.method}_share_of_matmul_peak"] = _ratio(shares, cell, "peftsum")
    return ratios


def all_ratios(cells: Sequence[Cell], headline_data: str) -> dict[str, dict[str, Any]]:
    """Return the headline ratios under design.md's names, then every cell's under its own."""
    named: dict[str, dict[str, Any]] = {}
    by_cell = {(c.shape, c.method, c.data): cell_ratios(c) for c in cells}
    for headline, ratio in HEADLINES.items():
        method = ratio.split("_")[0]
        found = by_cell.get((HEADLINE_SHAPE, method, headline_data), {}).get(ratio)
        reason = f"the {HEADLINE_SHAPE} shape with {method} on {headline_data} was not run"
        named[headline] = found if found is not None else {"median": None, "reason": reason}
    for (shape, _, data), ratios in by_cell.items():
        named |= {f"{shape}_{data}_{name}": ratio for name, ratio in ratios.items()}
    return named


def table(cells: Sequence[Cell]) -> str:
    """Return the figures as a table: medians, with lowest and highest of the speed."""
    head = ("system", "batch", "tokens/s", "low..high", "pad", "peak MB", "over imports", "GFLOP/s", "of peak",
            "loss", "held out", "speed of peftsum")  # fmt: skip
    rows: list[Sequence[str]] = []
    for cell in cells:
        rows += [(f"[{cell.shape}, {cell.method}, {cell.data}]",), head]
        ratios = cell_ratios(cell)
        for system in cell.answers:
            record = system_record(cell, system)
            if "failed" in record:
                rows.append((f"{system}: failed, {record['failed']}",))
                continue
            speed, ratio = record["tokens_per_s"], ratios.get(f"{cell.method}_vs_{system}", {})
            memory = record["peak_gpu_bytes"] or record["peak_rss_bytes"]
            rows.append(
                (
                    system,
                    _setup(record, cell.chosen.get(system)),
                    f"{speed['median']:.0f}",
                    f"{speed['low']:.0f}..{speed['high']:.0f}",
                    _shown(record["padding_share"], 1, ".2f"),
                    _shown(memory, 1e-6, ".0f"),
                    _shown(record["peak_over_imports_bytes"], 1e-6, ".0f"),
                    _shown(record["useful_flops_per_s"], 1e-9, ".0f"),
                    _shown(record["share_of_matmul_peak"], 1, ".2f"),
                    _shown(record["train_loss"], 1, ".3f"),
                    _shown(record["held_out_loss"], 1, ".3f"),
                    "" if ratio.get("median") is None
                    else f"x{ratio['median']:.2f} ({ratio['low']:.2f}..{ratio['high']:.2f})",
                )
            )  # fmt: skip
        rows.append(("",))
    widths = [max((len(row[i]) for row in rows if len(row) > 1), default=0) for i in range(len(head))]
    lines = []
    for row in rows:
        cells_of_row = [text.ljust(w) if i < 2 else text.rjust(w) for i, (text, w) in enumerate(zip(row, widths))]  # noqa: B905  # titles are short
        lines.append("  ".join(cells_of_row).rstrip() if len(row) > 1 else row[0])
    return "\n".join(lines)


def _setup(record: dict[str, Any], chosen: TrainerSettings | None) -> str:
    settings = record["settings"]
    if "train" in settings:
        return f"{settings['train']['batch_tokens']} tok {record['arithmetic']}"
    return f"{settings['batch_size']} {settings['attention']} {record['arithmetic']}"


def _shown(figure: dict[str, Any] | None, factor: float, form: str) -> str:
    return "-" if figure is None else format(figure["median"] * factor, form)


def _memory(answer: dict[str, Any]) -> float:
    """Return the peak of the GPU where the model was there, else of the whole process."""
    return float(answer.get("peak_gpu_bytes") or answer["peak_rss_bytes"])


def _ratio(values: Sequence[float], cell: Cell, rival: str) -> dict[str, Any]:
    found = spread(values)
    if found is not None:
        return found
    failed = [f"{name} failed: {cell.failures[name]}" for name in ("peftsum", rival) if name in cell.failures]
    return {"median": None, "reason": "; ".join(failed) or "not run"}
