"""``peftsum evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from peftsum.cli.output import (
    fields_option,
    json_option,
    print_json,
    print_scores,
    redact_option,
    references_option,
    strategy_option,
)

EPILOG = """
Example:

\b
    peftsum evaluate adapters/tiny-summary --data builtin:dialogues
    peftsum evaluate adapters/tiny-topic --data builtin:dialogues --field summary=topic
    peftsum evaluate runs/lora --data my-dialogues/ --split validation --json
    peftsum evaluate adapters/tiny-summary --data builtin:long-dialogues --strategy staged
"""


@click.command(epilog=EPILOG)
@click.argument("target")
@click.option("--data", "source", required=True, help="Hub id, file, folder or builtin:dialogues.")
@click.option("--split", default="test", show_default=True, help="Split of the data.")
@click.option("--limit", type=click.IntRange(min=1), help="The first dialogues only.")
@fields_option
@redact_option
@references_option
@strategy_option
@click.option("--out", type=click.Path(path_type=Path), help="Folder for predictions.jsonl; a run takes its own.")
@click.option("--base", help="Base to take instead of the one the adapter names.")
@json_option
def evaluate(
    target: str,
    source: str,
    split: str,
    limit: int | None,
    fields: tuple[str, ...],
    skip_bad_rows: bool,
    redact: str | None,
    references: Literal["first", "mean", "max"] | None,
    strategy: Literal["truncate", "staged"] | None,
    out: Path | None,
    base: str | None,
    as_json: bool,
) -> None:
    """Generate summaries with TARGET (adapter, model folder, Hub id, builtin:tiny or run) and score them.

    The card of an adapter gets the scores of a whole split of the data it was trained on.
    """
    from peftsum.card_scores import evaluate_with_card
    from peftsum.data import data_section

    evaluation = evaluate_with_card(
        target,
        data_section(source, fields, skip_bad_rows=skip_bad_rows, redact=redact),
        split,
        limit=limit,
        references=references,
        strategy=strategy,
        out=out,
        base=base,
    )
    if as_json:
        print_json(
            {
                **evaluation.scores.model_dump(mode="json"),
                **evaluation.model_dump(mode="json", exclude={"scores", "statistics"}),
            }
        )
    else:
        print_scores(evaluation.scores)
