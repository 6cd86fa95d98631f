"""The model card of the built-in base, written from what the run recorded."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

SOURCES = (  # name, what, licence, attribution
    ("sgd", "task dialogues", "CC BY-SA 4.0",
     "Schema-Guided Dialogue (Rastogi et al. 2020), google-research-datasets/dstc8-schema-guided-dialogue"),
    ("topical_chat", "open-domain chat", "CDLA-Sharing 1.0 (results of use are free)",
     "Topical-Chat (Gopalakrishnan et al. 2019), alexa/Topical-Chat"),
    ("qmsum_transcripts", "meetings", "MIT", "QMSum training transcripts (Zhong et al. 2021), Yale-LILY/QMSum"),
    ("taskmaster4", "orders at a coffee shop", "CC BY 4.0", "Taskmaster-4, google-research-datasets/Taskmaster"),
    ("clinical", "doctor and patient", "CC BY 4.0",
     "ACI-Bench (Yim et al. 2023), wyim/aci-bench; "
     "PriMock57 (Papadopoulos Korfiatis et al. 2022), babylonhealth/primock57"),
    ("dialogues", "`builtin:dialogues`, train split, dialogues only", "Apache-2.0",
     "tools/make_dialogues.py of this repository"),
)  # fmt: skip

# Watts of one busy core of a server CPU with its share of the package: 350 W TDP over 48 to 64 cores, and a virtual
# core that is half a physical one or a whole one. No counter is readable on a virtual machine.
CORE_W = (4.0, 8.0, 12.0)


def cpu_name() -> str:
    """The processor as the kernel names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def energy_text(joules: float | None, wall_s: float, threads: int) -> str:
    """Energy of the run: the RAPL counter (J), or an estimate with its model and range."""
    if joules is not None:
        return f"{joules / 3600:.1f} Wh, CPU packages, RAPL counter"
    low, mid, high = (watts * threads * wall_s / 3600 for watts in CORE_W)
    return (
        f"{mid:.1f} Wh (range {low:.1f} to {high:.1f}), estimate: {CORE_W[1]:g} W a busy core (range {CORE_W[0]:g} to "
        f"{CORE_W[2]:g}) times {threads} cores times {wall_s / 60:.0f} minutes; no counter (RAPL) is readable here"
    )


HISTORY = "training.json"


def session(run: dict[str, Any], curve: list[dict[str, Any]]) -> dict[str, Any]:
    """What the card of a later run that goes on from these weights has to tell of this one."""
    kept = (
        "steps",
        "tokens",
        "wall_s",
        "threads",
        "cpu",
        "precision",
        "optimizer",
        "seed",
        "energy",
        "mix",
        "held_out",
    )
    return {**{name: run[name] for name in kept}, "curve": curve}


def read_history(folder: Path) -> list[dict[str, Any]]:
    """The sessions that made the weights of a folder, oldest first; none where it has no record of them."""
    path = folder / HISTORY
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def write_history(folder: Path, sessions: list[dict[str, Any]]) -> None:
    """Write the sessions beside the weights they made."""
    (folder / HISTORY).write_text(json.dumps(sessions) + "\n", encoding="utf-8")


def earlier_text(sessions: list[dict[str, Any]]) -> str:
    """A paragraph a session on which this one was built, with totals; empty where there was none."""
    if not sessions:
        return ""
    lines = [
        f"- session {n}: {s['steps']:,} steps, {s['tokens']:,} tokens, {s['wall_s'] / 60:.0f} minutes on "
        f"{s['threads']} cores ({s['cpu']}), {s['precision']}, {s['optimizer']}, seed {s['seed']}. Energy: {s['energy']}."
        for n, s in enumerate(sessions, 1)
    ]
    return (
        "Trained in several sessions, each from the weights of the one before with a new optimiser and rate. Before "
        "the one in the table below:\n\n" + "\n".join(lines) + "\n\n"
    )


def card(run: dict, curve: list[dict]) -> str:
    """Markdown of the card; `run` holds the totals, `curve` rows of the loss by time."""
    rows = "\n".join(
        f"| {name} | {what} | {run['sources'].get(name, 0)} | {run['shares'].get(name, 0):.0%} | {licence} | {who} |"
        for name, what, licence, who in SOURCES
        if run["sources"].get(name)
    )
    mix = "\n".join(f"| {kind} | {share:.0%} |" for kind, share in run["mix"].items())
    kinds = list(run["mix"])
    loss = "\n".join(
        f"| {r['minutes']:.0f} | {r['steps']} | {r['tokens'] / 1e6:.2f} | "
        + " | ".join(f"{r['loss'][k]:.2f}" if k in r["loss"] else "" for k in kinds)
        + " |"
        for r in curve
    )
    held = ", ".join(f"{kind} {value:.3f}" for kind, value in run["held_out"].items())
    s = run["shape"]
    return f"""---
license: cc-by-sa-4.0
language: en
library_name: transformers
pipeline_tag: text2text-generation
---
# builtin:tiny

A T5 v1.1 of Flan-T5's structure (gated GELU, untied head, unscaled decoder output): d_model {s["d_model"]},
{s["num_layers"]} encoder and {s["num_decoder_layers"]} decoder layers, {s["num_heads"]} heads
of {s["d_kv"]}, d_ff {s["d_ff"]}, vocabulary {s["vocab_size"]}, {run["parameters"]:,} parameters, saved in bf16.
It was pretrained from nothing by
`tools/pretrain_tiny.py` so that peftsum trains, swaps and scores adapters without a hub.

**State of this file: {run["state"]}**, {run["minutes"]:.0f} minutes of {run["planned"]} done.

## Intended use and limits

A base to fine-tune, in quick starts and tests. Untuned it does not summarise. Tuned on a thousand dialogues it writes
well-formed sentences which may name the wrong person or invent facts: never use its summaries unread. English only; it
knows little of the world, and carries what bias its sources have. It is no stand-in for Flan-T5's quality.

## Data

It was **not** trained on DialogSum or SAMSum (it is measured on them), nor on QMSum's validation, MTS-Dialog or any
human-written summary. Only dialogues were read.

| source | what | dialogues | share of examples | licence | attribution |
|---|---|---|---|---|---|
{rows}

Speakers were often renamed: to first names, to roles or letters, or to `#Person1#`, `#Person2#` …, a common convention
for anonymised speakers, whose labels are single tokens of the vocabulary.

**Licence.** The largest source is share-alike (CC BY-SA 4.0). Whether weights are an adaptation of their training text
is not settled; to be safe, weights, tokenizer and this card are offered under
[CC BY-SA 4.0](https://creativecommons.org/licenses/by-sa/4.0/), with the attribution above. The code which made them is
Apache-2.0. The texts were changed: cleaned, cut into windows, relabelled.

## Training

| objective | share of examples |
|---|---|
{mix}

*span*: span corruption (15 %, mean span 3). *summary*: the one or two most central turns (word overlap with the rest),
taken out, are the target of "Summarize this conversation:", as reported speech where rules can say it. *report*: turns
in reported speech. *copy*: who said, repeat, finish, list names, numbers, times. *continue*: the last turn.

{earlier_text(run.get("history", []))}| | |
|---|---|
| length | {run["steps"]:,} steps, {run["tokens"]:,} tokens (both sides, no padding), {run["wall_s"] / 60:.0f} minutes |
| machine | {run["threads"]} cores, {run["cpu"]} |
| speed | {run["tokens"] / max(run["wall_s"], 1):,.0f} tokens a second, {run["precision"]} |
| optimiser | {run["optimizer"]} |
| seed | {run["seed"]} |

Energy: {run["energy"]}.

Training loss (nats a target token, mean since the row before):

| minutes | steps | M tokens | {" | ".join(kinds)} |
|---|---|---|{"---|" * len(kinds)}
{loss}

Held-out dialogues, nats a target token: {held or "not measured yet"}.
"""
