"""The README.md of an adapter or tuned model: what it is, how it was made, what it cost, how to use it."""

from __future__ import annotations

from peftsum.artifacts import AdapterRecord
from peftsum.cost.readings import Reading, Readings
from peftsum.units import format_bytes, format_count, format_joules, format_seconds

FORMATS = {"s": format_seconds, "B": format_bytes, "J": format_joules}


def model_card(folder_name: str, record: AdapterRecord, costs: Readings | None) -> str:
    """Return a model card in the Hub's form: front matter, then Markdown."""
    recipe = record.recipe
    full = not recipe.method.frozen_base
    share = record.trainable_params / record.total_params
    kind = "model" if full else "adapter"
    lines = [
        "---",
        *([] if recipe.model.base.startswith("builtin:") else [f"base_model: {recipe.model.base}"]),
        f"library_name: {'transformers' if full else 'peft'}",
        "tags: [peftsum, summarization, dialogue]",
        "---",
        "",
        f"# {recipe.name}",
        "",
        f"A {recipe.method.label()} {kind} for dialogues on `{recipe.model.base}` (revision `{record.base_revision}`), "
        f"made by peftsum {record.peftsum_version} on {record.created[:10]}.",
        "",
        "| | |",
        "|---|---|",
        f"| trained on | `{recipe.data.source}` (fingerprint `{record.data_fingerprint}`) |",
        f"| trained parameters | {format_count(record.trainable_params)} of {format_count(record.total_params)} ({share:.2%}) |",
        f"| base in training | {recipe.model.quantize if recipe.model.quantize != 'none' else 'not quantized'} |",
        f"| epochs, peak rate, optimizer | {recipe.train.epochs:g}, {recipe.learning_rate:g}, {recipe.train.optimizer} |",
        *(f"| {name.replace('_', ' ')} (sample) | {value:.4f} |" for name, value in record.validation.items()),
        *_cost_lines(costs),
        "",
        "## Use",
        "",
        "```bash",
        f"peftsum summarize dialogue.txt --adapter {folder_name}"
        if not full
        else f"peftsum evaluate {folder_name} --data DATA",
        "```",
        "",
        "The dialogue goes into this prompt, in training and in use:",
        "",
        "```text",
        recipe.prompt.text,
        "```",
        "",
    ]
    if not full:
        lines += [
            "Without peftsum:",
            "",
            "```python",
            "from peft import PeftModel",
            "from transformers import AutoModelForSeq2SeqLM",
            "",
            f'base = AutoModelForSeq2SeqLM.from_pretrained("{recipe.model.base}")  # builtin:tiny is the folder peftsum/builtin/tiny',
            f'model = PeftModel.from_pretrained(base, "{folder_name}")',
            "```",
            "",
        ]
    return "\n".join([*lines, "## Limits", "", _LIMITS, ""])


_LIMITS = (
    "Summaries can state what nobody said, name the wrong speaker and drop what matters. Read them beside the dialogue "
    "where something hangs on them. Quality was measured on dialogues like those of the training data, and on no others."
)


def _cost_lines(costs: Readings | None) -> list[str]:
    if costs is None:
        return []
    rows = {"training time": costs.wall_s, "peak memory": costs.peak_memory_bytes, "training energy": costs.energy_j}
    return [f"| {name} | {_shown(reading)} |" for name, reading in rows.items()]


def _shown(reading: Reading) -> str:
    if reading.value is None:
        return f"not measured: {reading.reason}"
    text = f"{FORMATS[reading.unit](reading.value)} ({reading.scope}; {reading.source})"
    if reading.low is not None and reading.high is not None:
        text += f", range {FORMATS[reading.unit](reading.low)} to {FORMATS[reading.unit](reading.high)}"
    return text
