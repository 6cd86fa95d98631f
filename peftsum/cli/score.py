"""``peftsum score``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from peftsum.cli.output import fields_option, json_option, print_json, print_scores, redact_option, references_option

ERRORS_HELP = "Write what the error detectors point at here: a JSON object for each error found, with words and turns."
EXCHANGE_HELP = "Flag summaries that this adapter or model finds likelier with two speakers exchanged. Slow."
ENTAILMENT_HELP = "Flag summaries with a sentence that this NLI model (folder or Hub id) finds in no part of it."
EPILOG = """
Example:

\b
    peftsum score predictions.jsonl --data builtin:dialogues
    peftsum score predictions.jsonl --data my-dialogues/ --references max --json
    peftsum score predictions.jsonl --data my-dialogues/ --errors errors.jsonl
"""


@click.command(epilog=EPILOG)
@click.argument("predictions", type=click.Path(path_type=Path))
@click.option("--data", "source", required=True, help="Hub id, file, folder or builtin:dialogues.")
@click.option("--split", default="test", show_default=True, help="Split of the data.")
@fields_option
@redact_option
@references_option
@click.option("--exchange-model", metavar="TARGET", help=EXCHANGE_HELP)
@click.option("--entailment-model", metavar="MODEL", help=ENTAILMENT_HELP)
@click.option("--errors", type=click.Path(path_type=Path), metavar="FILE", help=ERRORS_HELP)
@json_option
def score(
    predictions: Path,
    source: str,
    split: str,
    fields: tuple[str, ...],
    skip_bad_rows: bool,
    redact: str | None,
    references: Literal["first", "mean", "max"] | None,
    exchange_model: str | None,
    entailment_model: str | None,
    errors: Path | None,
    as_json: bool,
) -> None:
    """Score PREDICTIONS, made by anything: a JSON object a line with "id" and "prediction".

    Needs no model, save those that are named as judges.
    """
    from peftsum.data import data_section
    from peftsum.evaluate import score as score_file
    from peftsum.judges import EntailmentJudge, ExchangeJudge, Judge

    judges: list[Judge] = [ExchangeJudge(exchange_model)] if exchange_model else []
    judges += [EntailmentJudge(entailment_model)] if entailment_model else []
    scored = score_file(
        predictions,
        data_section(source, fields, skip_bad_rows=skip_bad_rows, redact=redact),
        split,
        references=references,
        errors=errors,
        judges=judges,
    )
    if as_json:
        print_json(scored.scores)
    else:
        print_scores(scored.scores)
