"""Fold an adapter into its base in full precision, and measure what that changed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from peftsum.adapters import save_full_model
from peftsum.artifacts import AdapterRecord
from peftsum.data import load_split
from peftsum.exceptions import AdapterError, UsageError
from peftsum.generate import Summarizer
from peftsum.model import quiet_load
from peftsum.recipe import Data
from peftsum.section import Record
from peftsum.targets import Target, resolve_target

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

SAMPLE = 32  # dialogues the drift is measured on, where the user gives no other number


class Drift(Record):
    """What merging changed, measured on a sample of dialogues."""

    out: str
    adapter: str
    sample: int
    """Dialogues compared."""
    data: str
    max_logit_difference: float
    """Largest absolute difference of any logit, both models reading the unmerged one's summaries."""
    max_logit: float
    """Largest absolute logit, to hold the difference against."""
    equal_summaries: float
    """Share of the dialogues whose summaries are the same text."""
    unmerged: str
    """How the unmerged model held its base."""


def merge(
    adapter: str | Path,
    out: str | Path,
    *,
    data: str | Data = "builtin:dialogues",
    split: str = "test",
    sample: int = SAMPLE,
    base: str | None = None,
) -> Drift:
    """Write a plain transformers folder: the adapter folded into the full-precision base.

    An adapter trained on an 8- or 4-bit base is merged into the full-precision one too, since merging into quantized
    weights rounds them a second time. The drift is against the model as it was trained, on its quantized base.

    Args:
        adapter: adapter folder, or a run that has one.
        out: the folder to write; it must not exist, or be empty.
        data: dialogues the drift is measured on.
        split: which split of it.
        sample: how many.
        base: instead of the base that the adapter names.

    Raises:
        AdapterError: missing, damaged, of another base, or of a method that cannot be merged.
        UsageError: ``out`` is taken, or the sample is empty.
    """
    if sample < 1:
        raise UsageError("the drift needs a dialogue or more to be measured on", hint="pass a sample of 1 or more")
    target = resolve_target(adapter, base)
    if target.adapter is None and not Path(adapter).exists():
        raise AdapterError(f"no adapter at {adapter}", hint="`peftsum adapters` lists what is there")
    if target.adapter is None:
        raise UsageError(f"{adapter} is no adapter", hint="a fully tuned model is a plain transformers folder already")
    check_mergeable(target)
    out = free_folder(out)
    section = data if isinstance(data, Data) else Data(source=data)
    dialogues = [e.dialogue for e in load_split(section, split).examples[:sample]]
    before = Summarizer(
        target.model.base,
        [target.adapter],
        quantize=target.model.quantize,
        precision="fp32" if target.model.quantize != "nf4" else None,
    )
    sources = before.encode(dialogues, before.adapters[0])
    summaries = before.summarize(dialogues)
    logits = _logits(before, sources, summaries)
    merge_into_full_precision(target.model.base, target.adapter, out, target.record)
    after = Summarizer(str(out), quantize="none", precision="fp32")
    merged_summaries = after.summarize(dialogues, prompt=target.prompt, generation=target.generation)
    merged_logits = _logits(after, sources, summaries)
    differences = [float((a - b).abs().max()) for a, b in zip(logits, merged_logits, strict=True)]
    same = sum(a == b for a, b in zip(summaries, merged_summaries, strict=True))
    return Drift(
        out=str(out),
        adapter=str(adapter),
        sample=len(dialogues),
        data=f"{section.source} ({split})",
        max_logit_difference=max(differences),
        max_logit=max(float(a.abs().max()) for a in logits),
        equal_summaries=same / len(dialogues),
        unmerged="fp32" if target.model.quantize == "none" else f"{target.model.quantize} base",
    )


def check_mergeable(target: Target) -> None:
    """Refuse an adapter of a method that cannot be folded into weights."""
    if target.record is not None and not target.record.recipe.method.mergeable:
        kind = target.record.recipe.method.variant
        raise AdapterError(f"{target.adapter}: {kind} cannot be merged", hint="use it unmerged")


def free_folder(out: str | Path) -> Path:
    """Return the path of a folder to write.

    Raises:
        UsageError: something is there already.
    """
    path = Path(out)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(f"{path} is there already", hint="name another --out, or delete it")
    return path


def merge_into_full_precision(base: str, adapter: Path, out: Path, record: AdapterRecord | None) -> None:
    """Write the folder of a base in full precision with an adapter folded in."""
    summarizer = Summarizer(base, [adapter], quantize="none", precision="fp32", device="cpu")
    with quiet_load():  # it would call T5's untied head news
        merged = summarizer.model.merge_and_unload(safe_merge=True)
    if record is not None:  # the folder is a full-precision model now, whatever the base was in training
        model = record.recipe.model.model_copy(update={"quantize": "none"})
        record = record.model_copy(update={"recipe": record.recipe.model_copy(update={"model": model})})
    save_full_model(merged, summarizer.tokenizer, out, record)


def _logits(summarizer: Summarizer, sources: Sequence[list[int]], summaries: Sequence[str]) -> list[torch.Tensor]:
    """Return the logits, (target_len, vocabulary) each, while the model reads given summaries."""
    import torch

    tokenizer, model = summarizer.tokenizer, summarizer.model
    found = []
    with torch.inference_mode():
        for source, summary in zip(sources, summaries, strict=True):
            target = tokenizer(text_target=summary, verbose=False)["input_ids"]
            tensors = {"input_ids": source, "decoder_input_ids": [tokenizer.pad_token_id, *target[:-1]]}
            inputs = {name: torch.tensor([ids], device=model.device) for name, ids in tensors.items()}
            found.append(model(**inputs, use_cache=False).logits[0].float().cpu())
    return found
