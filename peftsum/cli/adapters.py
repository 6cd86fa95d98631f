"""``peftsum adapters``."""

from __future__ import annotations

from pathlib import Path

import click

from peftsum.cli.output import json_option, print_json

EPILOG = """
Example:

\b
    peftsum adapters
    peftsum adapters my-adapters --json
"""


@click.command(epilog=EPILOG)
@click.argument("folder", type=click.Path(path_type=Path), default=Path("adapters"), metavar="[DIR]")
@json_option
@click.pass_context
def adapters(context: click.Context, folder: Path, as_json: bool) -> None:
    """List the adapters in DIR (default adapters/) and verify each; a damaged one makes the exit code 1."""
    from peftsum.adapters import list_adapters
    from peftsum.units import format_bytes

    found = list_adapters(folder)
    if as_json:
        print_json([listing.model_dump(mode="json") for listing in found])
    else:
        width = max((len(listing.name) for listing in found), default=4)
        for listing in found:
            size, state = format_bytes(listing.weight_bytes), listing.problem or "ok"
            click.echo(f"{listing.name:{width}}  {listing.method:20}  {listing.base or '?':20}  {size:>8}  {state}")
        if not found:
            click.echo(f"no adapters in {folder}", err=True)
    if any(listing.problem for listing in found):
        context.exit(1)
