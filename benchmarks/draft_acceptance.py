"""Would drafting from the dialogue's own words pay? How often such a draft is right, and what checking it costs.

    python benchmarks/draft_acceptance.py --adapter adapters/tiny-summary --data builtin:dialogues

Prompt lookup (Saxena 2023): where the last words of a summary stand in its source, the words behind them there are a
draft, and one forward pass of the decoder checks all of it. Greedy search writes the same with it or without, so the
summaries are written once and then read: at each step, how many words of a draft would have been right. The cost is
that of real steps of the decode loop's state with one position a row, and with a draft's. It pays where the words a
pass exceed the cost of a pass.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]  # the peftsum of this checkout
os.environ.setdefault("HF_HUB_OFFLINE", "1")

LONGEST_MATCH = 3  # words of the summary that are looked up, else fewer
ROUNDS = 15


def main(arguments: Sequence[str] | None = None) -> None:
    """Write summaries, print how many words a pass drafts of each length would give, and what a pass costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapter", type=Path, default=ROOT / "adapters" / "tiny-summary", help="its folder")
    parser.add_argument("--data", default="builtin:dialogues", help="a data source")
    parser.add_argument("--split", default="validation", help="of it")
    parser.add_argument("--dialogues", type=int, default=32, help="how many to summarize")
    options = parser.parse_args(arguments)
    from peftsum import Summarizer
    from peftsum.data import load_split
    from peftsum.decoding import decode_ids
    from peftsum.recipe import Data, Generation

    summarizer = Summarizer(adapters=[options.adapter], precision="fp32")
    name = options.adapter.name
    examples = load_split(Data(source=options.data), options.split).sample(options.dialogues, 13).examples
    sources = summarizer.encode([example.dialogue for example in examples], name)
    bank = summarizer._resident.bank
    factors, slots = bank.stacked([bank.names[0]] * len(sources))
    model = summarizer._resident._base.model
    found = decode_ids(model, sources, Generation(num_beams=1), factors=factors, slots=slots)
    lengths = [len(source) for source in sources]
    words = sum(len(decoded.ids) for decoded in found)
    print(
        f"{len(sources)} dialogues, {sum(lengths) / len(lengths):.0f} tokens; {words / len(found):.1f} written to each"
    )
    for rows in (1, 8, 32):
        alone = step_seconds(model, rows, int(median(lengths)), 1)
        for size in (2, 4):
            passes, drafted, right = 0, 0, 0
            for source, decoded in zip(sources, found, strict=True):
                some = follow(source, decoded.ids, size)
                passes, drafted, right = passes + some[0], drafted + some[1], right + some[2]
            cost = step_seconds(model, rows, int(median(lengths)), 1 + size) / alone
            print(
                f"rows {rows:3}, drafts of {size}: right {right / max(1, drafted):.1%} of {drafted} words drafted, "
                f"{words / passes:.3f} words a pass, which costs {cost:.2f}: {words / passes / cost:.2f} times as fast"
            )


def follow(source: list[int], written: list[int], size: int) -> tuple[int, int, int]:
    """Return the passes that writing takes with drafts, the words drafted and those of them that were right."""
    at, passes, drafted, right = 0, 0, 0, 0
    while at < len(written):
        guess = draft(source, written[:at], size)
        good = 0
        while good < len(guess) and at + good < len(written) and guess[good] == written[at + good]:
            good += 1
        passes, drafted, right = passes + 1, drafted + len(guess), right + good
        at += good + 1  # the pass itself gives one word more
    return passes, drafted, right


def draft(source: list[int], written: list[int], size: int) -> list[int]:
    """Return what stands in the source behind the longest run of last words, at most ``size`` tokens."""
    for length in range(min(LONGEST_MATCH, len(written)), 0, -1):
        tail = written[-length:]
        for start in range(len(source) - length):
            if source[start : start + length] == tail:
                return source[start + length : start + length + size]
    return []


def step_seconds(model: object, rows: int, source_tokens: int, tokens: int) -> float:
    """Return the shortest processor time of a step with so many positions a row, in seconds."""
    import torch

    from peftsum.decoding.encoder import Encoder
    from peftsum.decoding.plan import Plan
    from peftsum.decoding.state import DecoderState

    with torch.inference_mode():
        plan = Plan(model, many=True)  # type: ignore[arg-type]
        state = DecoderState(plan, rows, 1, source_tokens, 40)
        state.admit(Encoder(plan, source_tokens)([[5] * source_tokens] * rows, [0] * rows), [0] * rows)
        ids = torch.full((rows, tokens), 5)
        positions = torch.arange(20, 20 + tokens).expand(rows, tokens).contiguous()
        taken = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            for _ in range(5):
                state.step(ids, positions, 19 + tokens)
            taken.append(time.perf_counter() - started)
        return min(taken) / 5


if __name__ == "__main__":
    main()
