"""What every command prints with: JSON on stdout, messages and errors on stderr."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

import click

from peftsum.ranks import is_main

CHATTY = (
    *("transformers", "datasets", "peft", "accelerate", "bitsandbytes"),
    *("huggingface_hub", "filelock", "urllib3", "httpx", "httpx2"),
)


def report_error(message: str, hint: str) -> None:
    """Print the two lines of an expected failure; several problems of a recipe have a line each."""
    for line in message.splitlines():
        click.echo(f"error: {line}", err=True)
    click.echo(f"hint: {hint}", err=True)


def quiet_libraries() -> None:
    """Send our messages to stderr and keep the libraries' chatter off it."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("peftsum").setLevel(logging.INFO if is_main() else logging.CRITICAL)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("BITSANDBYTES_NOWELCOME", "1")


def print_json(document: Any) -> None:
    """Print one JSON document on stdout; records of ours are written out in full precision."""
    if hasattr(document, "model_dump"):
        document = document.model_dump(mode="json")
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def json_option(function: Any) -> Any:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")(function)


def set_option(function: Any) -> Any:
    """Add ``--set a.b=c``."""
    text = "Override a recipe key, for example --set train.epochs=2; the value is read as YAML. Repeatable."
    return click.option("--set", "overrides", multiple=True, metavar="A.B=C", help=text)(function)


def ignore_forecast_option(function: Any) -> Any:
    """Add ``--ignore-forecast``, which every command that trains has: a refusal names it."""
    text = "Train even where the forecast says that the memory cannot suffice."
    return click.option("--ignore-forecast", is_flag=True, help=text)(function)


def fields_option(function: Any) -> Any:
    """Add ``--field`` and ``--skip-bad-rows``, the parts of a recipe's `data` section that other commands need."""
    text = "Column that holds id, dialogue, summary or topic, for example --field summary=topic. Repeatable."
    function = click.option(
        "--skip-bad-rows", is_flag=True, help="Leave bad rows out and count them, instead of stopping at the first."
    )(function)
    return click.option("--field", "fields", multiple=True, metavar="NAME=COLUMN", help=text)(function)


def redact_option(function: Any) -> Any:
    """Add ``--redact``."""
    text = (
        "Replace personal values by placeholders before anything else reads them: phone, email, address, card, iban, "
        "identity, birth, name, separated by commas; all is every kind but name."
    )
    return click.option("--redact", metavar="KINDS", help=text)(function)


def with_redaction(overrides: tuple[str, ...], redact: str | None) -> tuple[str, ...]:
    """Return the overrides of a recipe with what ``--redact`` says, which is the same as its key ``data.redact``."""
    if redact is None:
        return overrides
    from peftsum.redaction.kinds import parse_kinds

    return (*overrides, f"data.redact=[{', '.join(parse_kinds(redact))}]")


def references_option(function: Any) -> Any:
    """Add ``--references``."""
    text = "How several references of one dialogue count; by default their mean."
    return click.option("--references", type=click.Choice(["first", "mean", "max"]), help=text)(function)


def strategy_option(function: Any) -> Any:
    """Add ``--strategy``."""
    text = (
        "For a dialogue beyond the context: truncate cuts its end, and says so; staged reads it whole, in parts, and "
        "summarizes their summaries. Default: the recipe's."
    )
    return click.option("--strategy", type=click.Choice(["truncate", "staged"]), help=text)(function)


def print_scores(scores: Any) -> None:
    """Print a score report as a small table."""
    click.echo(f"{'':28}{'score':>8}   95 % interval")
    for name, label in (
        ("rouge1", "ROUGE-1"),
        ("rouge2", "ROUGE-2"),
        ("rougeL", "ROUGE-L"),
        ("rougeLsum", "ROUGE-Lsum"),
    ):
        value = getattr(scores, name)
        click.echo(f"{label:28}{100 * value.f:>8.2f}   {100 * value.low:.2f} to {100 * value.high:.2f}")
    for name, rate in scores.error_rates.items():
        click.echo(f"{name:28}{100 * rate.rate:>6.1f} %   {100 * rate.low:.1f} to {100 * rate.high:.1f} %")
    for name, score in scores.further.items():
        interval = "" if score.low is None else f"   {score.low:.3g} to {score.high:.3g}"
        click.echo(f"{name:28}{score.mean:>8.3g}{interval}")
    lengths = scores.lengths
    click.echo(
        f"{'words a summary':28}{lengths.prediction_words_mean:>8.1f}   references {lengths.reference_words_mean:.1f}"
    )
    click.echo(f"{scores.n} dialogues; references: {scores.references}; {scores.signature}")
