"""Which of two summaries a model finds likelier: the reference, or the same one made wrong, by kind of error.

What contrastive training aims at, on dialogues that it has not seen. Both are judged by the mean log-probability
of a token, which the length of a summary does not decide.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from better.arms import ARMS, Setting
from better.corruption import KINDS, corruptions
from better.table import shown_p
from better.views import TRAINING_ONLY, VIEWS
from peftsum.artifacts import write_text
from peftsum.batching import Encoded
from peftsum.data import load_split
from peftsum.generate import Summarizer
from peftsum.likelihood import token_log_likelihoods
from peftsum.metrics.paired import holm, randomization_p_values
from peftsum.recipe import Data
from peftsum.speakers import speaker_view
from peftsum.targets import resolve_target

PAIRS = "pairs.json"
SEED = 1  # other errors than any training of this benchmark sees


def judge_pairs(view: str | None, source: str, split: str, run: Path) -> dict[str, list[float]]:
    """Return by kind, a number a pair: by how many nats a token the reference is likelier; it is kept in the run."""
    kept = run / PAIRS
    if kept.is_file():
        found: dict[str, list[float]] = json.loads(kept.read_text(encoding="utf-8"))
        return found
    resolved = resolve_target(run)
    summarizer = Summarizer(resolved.model.base, [resolved.adapter] if resolved.adapter is not None else [])
    rewrite: Callable[[str, str, str], Any] | None = VIEWS.get(view or "") if view not in TRAINING_ONLY else None
    pairs: list[tuple[str, float]] = []
    encoded: list[Encoded] = []
    for example in load_split(Data(source=source), split).examples:
        good = example.references[0]
        wrong = corruptions(good, example.dialogue, KINDS, SEED, example.id)
        texts = [good, *wrong.values()]
        dialogue = example.dialogue
        read = speaker_view(dialogue, resolved.prompt.speakers)
        if rewrite is not None:
            texts = [rewrite(dialogue, text, example.id)[1] for text in texts]
            dialogue = rewrite(dialogue, "", example.id)[0]
        (ids,) = summarizer.encode([dialogue], prompt=resolved.prompt, max_source_tokens=resolved.max_source_tokens)
        encoded += [Encoded(ids, summarizer.tokenizer(text_target=read.write(text))["input_ids"]) for text in texts]
        pairs += [(kind, len(encoded) - len(texts)) for kind in ("", *wrong)]
    values = token_log_likelihoods(summarizer.model, summarizer.tokenizer.pad_token_id, encoded, title="pairs")
    found = {kind: [] for kind in KINDS}
    for (kind, good_at), value in zip(pairs, values, strict=True):
        if kind:
            found[kind].append(values[good_at] - value)
    write_text(kept, json.dumps(found))
    return found


def arm_pairs(name: str, seeds: Sequence[int], setting: Setting) -> dict[str, NDArray[np.float64]]:
    """Return by kind, (seeds, pairs): 1 where the reference is the likelier one."""
    found = [judge_pairs(ARMS[name].view, setting.data, setting.split, setting.folder(name, seed)) for seed in seeds]
    return {kind: np.asarray([np.asarray(of_seed[kind]) > 0 for of_seed in found], dtype=float) for kind in KINDS}


def pair_tests(pairs: Mapping[str, Mapping[str, NDArray[np.float64]]], against: str) -> dict[str, dict[str, float]]:
    """Return an arm and a kind to the corrected p of its difference to an arm, all of them one family."""
    others = [name for name in pairs if name != against]
    if against not in pairs or not others:
        return {}
    asked = [(name, kind) for name in others for kind in KINDS]
    raw = [
        float(randomization_p_values((pairs[name][kind].mean(0) - pairs[against][kind].mean(0))[:, None])[0])
        for name, kind in asked
    ]
    found: dict[str, dict[str, float]] = {name: {} for name in others}
    for (name, kind), p in zip(asked, holm(raw), strict=True):
        found[name][kind] = float(p)
    return found


def print_pairs(pairs: Mapping[str, Mapping[str, NDArray[np.float64]]], against: str) -> None:
    """Print a row an arm, in per cent: the mean over seeds, their range in brackets, and p."""
    if not pairs:
        return
    tests = pair_tests(pairs, against)
    print(f"\n| arm | {' | '.join(KINDS)} |\n|---|{'---|' * len(KINDS)}")
    for name, of_kind in pairs.items():
        cells = []
        for kind in KINDS:
            of_seeds = 100 * of_kind[kind].mean(axis=1)
            p = f", p {shown_p(tests[name][kind])}" if name in tests else ""
            cells.append(f"{of_seeds.mean():.1f} ({of_seeds.min():.1f} to {of_seeds.max():.1f}){p}")
        print(f"| {ARMS[name].about} | {' | '.join(cells)} |")
