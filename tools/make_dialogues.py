"""Write the built-in dialogues (`builtin:dialogues`).

    python tools/make_dialogues.py            # write the three splits
    python tools/make_dialogues.py --check    # regenerate, compare with what is on disk byte for byte
    python tools/make_dialogues.py --stats    # also print lengths, shares and ROUGE-L of trivial summaries

Everything comes from templates and pools in `tools/dialogues/` and one seed; nothing is copied from a corpus.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).resolve().parent))

from dialogues.build import as_lines, build  # noqa: E402 -- the path above comes first
from dialogues.stats import report  # noqa: E402 -- as above


def main(argv: list[str] | None = None) -> int:
    """Run the command; 1 where `--check` finds a difference."""
    parser = argparse.ArgumentParser(description="Write the built-in dialogues.")
    parser.add_argument("--out", type=Path, default=ROOT / "peftsum" / "builtin" / "dialogues", help="folder to write")
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--check", action="store_true", help="compare with the files in --out instead of writing")
    parser.add_argument("--stats", action="store_true", help="print figures of the dialogues")
    args = parser.parse_args(argv)

    splits = build(args.seed)
    changed = []
    for split, rows in splits.items():
        path, text = args.out / f"{split}.jsonl", as_lines(rows).encode()
        if args.check:
            if not path.is_file() or path.read_bytes() != text:
                changed.append(path)
            continue
        args.out.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_bytes(text)
        os.replace(partial, path)
    if args.stats:
        print(report(splits))
    for path in changed:
        print(f"{path} differs from what seed {args.seed} gives", file=sys.stderr)
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
