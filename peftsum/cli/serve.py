"""``peftsum serve``."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from peftsum.cli.output import json_option, print_json, redact_option
from peftsum.exceptions import UsageError

EXTRA = ("fastapi", "uvicorn", "prometheus_client")
MIB = 1 << 20

EPILOG = """
Example:

\b
    peftsum serve adapters --load tiny-summary
    curl -s http://127.0.0.1:8000/v1/summaries -H 'Content-Type: application/json' \\
      -d '{"adapter": "tiny-summary", "dialogue": "Ann: Lunch at one?\\nBob: Yes, at the Copper Pot."}'

The page is at http://127.0.0.1:8000/, what the API takes at /openapi.json. Ctrl-C finishes what was taken; a second one
ends at once. An API key is read from --api-key-file or from the variable PEFTSUM_API_KEY, and has to be there for any
address that can be reached from elsewhere.
"""


@click.command(epilog=EPILOG)
@click.argument("folder", type=click.Path(path_type=Path), default="adapters")
@click.option("--base", help="Base of the adapters; by default the one that they name.")
@click.option("--load", multiple=True, metavar="NAME", help="Adapter to load at once, not on first use. Repeatable.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port; 0 takes a free one."
)
@click.option("--uds", metavar="PATH", help="Listen at a Unix socket instead.")
@click.option("--api-key-file", type=click.Path(path_type=Path), help="File with the key that clients have to send.")
@click.option("--queue", type=click.IntRange(1), default=64, show_default=True, help="Summaries that may wait.")
@click.option("--batch", type=click.IntRange(1), default=32, show_default=True, help="Rows written side by side.")
@click.option(
    "--timeout", type=click.FloatRange(0.1), default=60.0, show_default=True, help="Seconds a request may take."
)
@click.option(
    "--max-body", type=click.FloatRange(0.001), default=4.0, show_default=True, help="MiB a request may have."
)
@click.option("--adapter-memory", type=click.FloatRange(0.001), help="MiB of adapters in memory; by default no limit.")
@click.option("--quantize", type=click.Choice(["none", "int8", "nf4"]), help="Hold the base in 8 or 4 bits.")
@click.option("--precision", type=click.Choice(["auto", "bf16", "fp32"]), help="Arithmetic of the base.")
@redact_option
@json_option
@click.pass_context
def serve(context: click.Context, /, as_json: bool, **options: Any) -> None:
    """Answer requests for summaries over HTTP, by the adapters in FOLDER."""
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        names = ", ".join(name.replace("_", "-") for name in missing)
        raise UsageError(f"peftsum serve needs {names}", hint="pip install -c constraints.txt 'peftsum[serve]'")
    from peftsum.redaction import parse_kinds
    from peftsum.server.limits import Limits
    from peftsum.server.run import Wanted, serve

    memory = options["adapter_memory"]
    wanted = Wanted(
        folder=options["folder"],
        base=options["base"],
        load=options["load"],
        host=options["host"],
        port=options["port"],
        uds=options["uds"],
        key_file=options["api_key_file"],
        quantize=options["quantize"],
        precision=options["precision"],
        adapter_bytes=None if memory is None else int(memory * MIB),
        limits=Limits(
            queue=options["queue"],
            batch=options["batch"],
            timeout_s=options["timeout"],
            body_bytes=int(options["max_body"] * MIB),
            redact=parse_kinds(options["redact"]) if options["redact"] is not None else (),
        ),
    )

    def ready(address: str) -> None:
        if as_json:
            print_json({"address": address, "pid": os.getpid()})
        else:
            click.echo(f"listening at {address}")

    context.exit(serve(wanted, ready))
