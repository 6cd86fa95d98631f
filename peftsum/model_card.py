"""The README.md of an adapter or tuned model: what it is, how it was made, what it cost, how to use it."""

from __future__ import annotations

from pathlib import Path

from peftsum.artifacts import AdapterRecord
from peftsum.cost.card import card_line, card_metadata
from peftsum.cost.readings import Reading, Readings
from peftsum.model import HUB_ID
from peftsum.prompts import Speakers
from peftsum.units import format_bytes, format_count, format_joules, format_seconds

FORMATS = {"s": format_seconds, "B": format_bytes, "J": format_joules}


def model_card(folder_name: str, record: AdapterRecord, costs: Readings | None, *, whole: bool = False) -> str:
    """Return a model card in the Hub's form: front matter, then Markdown.

    Args:
        folder_name: what the folder is called.
        record: of the training.
        costs: of the training; None leaves them out.
        whole: True for a model that needs no base: fully tuned, or merged.
    """
    recipe = record.recipe
    base = shown_place(recipe.model.base)
    how = "made" if not record.parts else f"added up ({_sum_of(record)})"
    trained, total = record.trainable_params, record.total_params
    train = recipe.train
    kind = "model" if not recipe.method.frozen_base else "adapter, merged into its base," if whole else "adapter"
    lines = [
        "---",
        *([f"base_model: {base}"] if _is_hub_id(recipe.model.base) else []),
        f"library_name: {'transformers' if whole else 'peft'}",
        "pipeline_tag: summarization",
        *([f"datasets: [{recipe.data.source}]"] if _is_hub_id(recipe.data.source) else []),
        "tags: [peftsum, summarization, dialogue]",
        *([] if costs is None else card_metadata(costs, recipe.cost)),
        "---",
        "",
        f"# {recipe.name}",
        "",
        f"A {recipe.method.label()} {kind} for dialogues on `{base}` (revision `{record.base_revision}`), "
        f"{how} by peftsum {record.peftsum_version} on {record.created[:10]}.",
        "",
        "| | |",
        "|---|---|",
        f"| trained on | `{shown_place(recipe.data.source)}` (fingerprint `{record.data_fingerprint}`) |",
        f"| trained parameters | {format_count(trained)} of {format_count(total)} ({trained / total:.2%}) |",
        f"| base in training | {recipe.model.quantize if recipe.model.quantize != 'none' else 'not quantized'} |",
        *(
            []
            if record.parts
            else [f"| epochs, peak rate, optimizer | {train.epochs:g}, {recipe.learning_rate:g}, {train.optimizer} |"]
        ),
        *(f"| {name.replace('_', ' ')} (sample) | {value:.4f} |" for name, value in record.validation.items()),
        *_cost_lines(costs),
        "",
        *([] if costs is None else ["## Energy and carbon", "", card_line(costs, recipe.cost), ""]),
        "## Intended use",
        "",
        _USES.format(data=shown_place(recipe.data.source)),
        "",
        "## Out of scope",
        "",
        _NOT_FOR,
        "",
        "## Data",
        "",
        *_data_lines(record),
        "",
        "## Scores",
        "",
        SCORES_BEGIN,
        "",
        "Not evaluated yet: `peftsum evaluate` or `peftsum compare` on the test split fills this in.",
        "",
        SCORES_END,
        "",
        "## Use",
        "",
        "```bash",
        f"peftsum summarize dialogue.txt --{'base' if whole else 'adapter'} {folder_name}",
        "```",
        "",
        *_speaker_lines(recipe.prompt.speakers),
        "The dialogue goes into this prompt, in training and in use:",
        "",
        "```text",
        recipe.prompt.text,
        "```",
        "",
    ]
    lines += ["Without peftsum:", "", "```python", *_plain_code(folder_name, base, whole), "```", ""]
    return "\n".join([*lines, "## Limits", "", _LIMITS, "", "## A wrong summary", "", _CORRECTION, ""])


def _speaker_lines(speakers: Speakers) -> list[str]:
    """Return what a user without peftsum has to know of the names of speakers."""
    if speakers == "as_written":
        return []
    return [
        "The model reads #Person1#, #Person2#, … for the names of speakers, in the order in which they first speak, "
        "and writes them. peftsum puts them there and puts the names back; who uses the weights without it has to.",
        "",
    ]


def _data_lines(record: AdapterRecord) -> list[str]:
    """Return what the weights were trained on, and what was taken out of it."""
    data = record.recipe.data
    counts = ", ".join(f"{kind} {number}" for kind, number in record.redacted.items())
    limit = "" if data.limit_train is None else f", {data.limit_train} dialogues of it drawn with the seed"
    size = "" if record.training_dialogues is None else f": {record.training_dialogues} dialogues"
    return [
        f"- Training: `{shown_place(data.source)}`, train split{size}{limit} (fingerprint "
        f"`{record.data_fingerprint}`). "
        "Weights were kept by its validation split, or a tenth of the training rows where there is none.",
        f"- Redacted before training: {counts}." if counts else "- Redacted before training: nothing.",
        f"- Dialogues are cut to {data.max_source_tokens} tokens with the prompt, summaries to "
        f"{data.max_target_tokens}.",
        "- What the base was pretrained on is told by its own card.",
    ]


def _plain_code(folder_name: str, base: str, whole: bool) -> list[str]:
    if whole:
        return [
            "from transformers import AutoModelForSeq2SeqLM",
            "",
            f'model = AutoModelForSeq2SeqLM.from_pretrained("{folder_name}")',
        ]
    note = "  # the folder peftsum/builtin/tiny" if base == "builtin:tiny" else ""
    return [
        "from peft import PeftModel",
        "from transformers import AutoModelForSeq2SeqLM",
        "",
        f'base = AutoModelForSeq2SeqLM.from_pretrained("{base}"){note}',
        f'model = PeftModel.from_pretrained(base, "{folder_name}")',
    ]


def _sum_of(record: AdapterRecord) -> str:
    return " + ".join(f"{part.weight:g} of `{part.name}`" for part in record.parts)


def _is_hub_id(base: str) -> bool:
    return bool(HUB_ID.match(base)) and not base.startswith(".") and not Path(base).exists()


def shown_place(name: str) -> str:
    """Return a Hub id or built-in as it is, and the last part of a path: where it lay on this machine helps no one."""
    path = Path(name).expanduser()
    return path.resolve().name if path.is_absolute() or name.startswith(".") else name


SCORES_BEGIN, SCORES_END = "<!-- scores -->", "<!-- end of scores -->"
_USES = (
    "Drafts of summaries of dialogues like those of `{data}`, read by somebody who has the dialogue at hand. "
    "Whoever uses it "
    "tells those who speak that it is used, and marks its summaries as written by AI."
)
_NOT_FOR = (
    "Decisions about people without a person who reads the dialogue: hiring, credit, benefits, grading, policing, "
    "diagnosis, "
    "treatment. Minutes that bind anybody. Dialogues recorded without consent. Other languages than that of the "
    "training "
    "data, and dialogues of another kind, where nothing was measured."
)
_CORRECTION = (
    "Keep the dialogue as long as its summary is used, and let those it is about read both. Write the corrected "
    "summary "
    "beside the dialogue, tell those who got the wrong one, and collect corrections: `peftsum train` on them is how "
    "the next "
    "adapter learns. `peftsum summarize --explain` shows which turns a sentence rests on, and which have none."
)
_LIMITS = (
    "Summaries can state what nobody said, name the wrong speaker and drop what matters. Read them beside the dialogue "
    "where something hangs on them. Quality was measured on dialogues like those of the training data, on no others."
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
