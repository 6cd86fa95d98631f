"""``peftsum init``."""

from __future__ import annotations

from pathlib import Path

import click

from peftsum.cli.output import json_option, print_json

EPILOG = """
Example:

\b
    peftsum init my-project
    peftsum train my-project/tiny/lora.yaml
"""


@click.command(epilog=EPILOG)
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@json_option
def init(folder: Path, as_json: bool) -> None:
    """Write the starter recipes to DIR; files that are there are left alone."""
    from peftsum.starter import write_starter_recipes

    written, kept = write_starter_recipes(folder)
    if as_json:
        print_json({"written": [str(path) for path in written], "kept": [str(path) for path in kept]})
        return
    for path in written:
        click.echo(path)
    if kept:
        click.echo(f"{len(kept)} files were there already and are unchanged", err=True)
