"""Training data in which what an earlier adapter got most wrong, by the detectors, stands twice.

With nine summaries in ten flagged, a flag tells no dialogue from another; the detectors' probabilities do. A dialogue
whose probabilities sum to more than the median's stands twice.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

from peftsum import Summarizer
from peftsum.artifacts import write_text
from peftsum.data import load_split
from peftsum.metrics.errors import find_errors
from peftsum.recipe import Data
from peftsum.targets import resolve_target


def write_oversampled(source: str, run: Path, out: Path) -> Path:
    """Write the splits of a data source, its training dialogues weighed by what a run makes of them; return the folder.

    Args:
        source: a data source.
        run: a finished run, whose adapter summarises the training dialogues.
        out: the folder.
    """
    for split in ("validation", "train"):
        path = out / f"{split}.jsonl"
        if path.exists():
            continue
        examples = load_split(Data(source=source), split).examples
        rows = [{"id": e.id, "dialogue": e.dialogue, "summary": e.references[0]} for e in examples]
        if split == "train":
            made = resolve_target(run).adapter
            assert made is not None
            summaries = Summarizer(adapters=[made]).summarize([e.dialogue for e in examples], title="to be weighed")
            weights = [
                sum(f.probability or 0.0 for f in find_errors(s, e.dialogue, e.references))
                for s, e in zip(summaries, examples, strict=True)
            ]
            middle = median(weights)
            rows += [
                row | {"id": f"{row['id']}-again"} for row, weight in zip(rows, weights, strict=True) if weight > middle
            ]
        write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return out
