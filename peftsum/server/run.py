"""The server's process: what it binds to, its key, its signals and its end."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Literal

import uvicorn

from peftsum.exceptions import EXIT_INTERRUPTED, AdapterError, StorageError, UsageError
from peftsum.generate import Summarizer
from peftsum.imports import quick_imports
from peftsum.server.folder import AdapterFolder
from peftsum.server.guards import Guarded, names_of
from peftsum.server.limits import Limits
from peftsum.server.metrics import Metrics

if TYPE_CHECKING:
    from peftsum.server.engine import Engine

KEY_VARIABLE = "PEFTSUM_API_KEY"
SHORTEST_KEY = 16
LAST_WORDS_S = 10  # for clients to read their answers, once all summaries are written
MOST_CONNECTIONS = 1000  # open at once; each may hold a body while it is read

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """What a server is asked to be."""

    folder: Path
    """The only one that adapters come from."""
    base: str | None = None
    """None takes the one base that all adapters of the folder name."""
    load: tuple[str, ...] = ()
    """Adapters to load before the first request."""
    host: str = "127.0.0.1"
    port: int = 8000
    uds: str | None = None
    """A Unix socket's path, instead of host and port."""
    key_file: Path | None = None
    """That holds the API key; None asks the environment."""
    quantize: Literal["none", "int8", "nf4"] | None = None
    precision: Literal["auto", "bf16", "fp32"] | None = None
    adapter_bytes: int | None = None
    """Most memory of adapters; beyond it the least recently used ones leave."""
    limits: Limits = field(default_factory=Limits)


def serve(wanted: Wanted, ready: Callable[[str], object]) -> int:
    """Serve until a signal ends it, and return the exit code: 0, or 130 where a second signal cut it short.

    Args:
        wanted: what to serve.
        ready: called with the address once requests are taken.

    Raises:
        UsageError: it would be reachable from elsewhere without a key, or the key or folder cannot be used.
        AdapterError, ModelError, HubError: the base or an adapter cannot be loaded.
        StorageError: the address is taken.
    """
    key = read_key(wanted.key_file)
    alone = wanted.uds is not None or is_loopback(wanted.host)
    if key is None and not alone:
        raise UsageError(
            f"{wanted.host} can be reached from elsewhere, and there is no API key",
            hint=f"put one into a file for --api-key-file, or into {KEY_VARIABLE}; or bind to 127.0.0.1",
        )
    folder = AdapterFolder(wanted.folder)
    # These bring torch, transformers and peft, seconds that a refusal need not take.
    with quick_imports():
        from peftsum.server.app import create_app
        from peftsum.server.engine import Engine

    summarizer = Summarizer(
        wanted.base or common_base(folder),
        quantize=wanted.quantize,
        precision=wanted.precision,
        adapter_bytes=wanted.adapter_bytes,
    )
    for name in wanted.load:
        summarizer.load(folder.path(name), name)
    metrics = Metrics()
    engine = Engine(summarizer, folder, wanted.limits, metrics)
    hosts = frozenset(names_of(wanted.host)) if alone and wanted.uds is None else None
    rules = Guarded(wanted.limits.body_bytes, wanted.limits.upload_s, key, hosts)
    app = create_app(engine, folder, wanted.limits, metrics, rules)
    logging.getLogger("peftsum.long_dialogues").setLevel(logging.ERROR)  # each answer says what was read
    config = uvicorn.Config(
        app,
        host=wanted.host,
        port=wanted.port,
        uds=wanted.uds,
        log_config=None,
        lifespan="off",
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=LAST_WORDS_S,
        limit_concurrency=MOST_CONNECTIONS,
    )
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    server = _Server(config, engine, ready)
    try:
        server.run()
    except SystemExit:  # uvicorn's way to say that it could not start
        raise StorageError(
            f"cannot listen at {wanted.uds or f'{wanted.host}:{wanted.port}'}", hint="is it taken? give another --port"
        ) from None
    return server.code


def read_key(file: Path | None) -> bytes | None:
    """Return the API key of a file, or of the environment where no file is given; None where there is none.

    Raises:
        UsageError: the file cannot be read, or the key is too short or has spaces.
    """
    source = str(file) if file is not None else KEY_VARIABLE
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise UsageError(f"cannot read the API key from {file}", hint="name a text file that holds it") from None
    else:
        text = os.environ.pop(KEY_VARIABLE, "")  # children need not know it
        if not text:
            return None
    key = text.strip()
    if len(key) < SHORTEST_KEY or not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(
            f"the API key in {source} is no key: at least {SHORTEST_KEY} letters, digits or signs",
            hint="make one: python -c 'import secrets; print(secrets.token_urlsafe())'",
        )
    return key.encode()


def is_loopback(host: str) -> bool:
    """Tell whether an address can be reached from this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def common_base(folder: AdapterFolder) -> str:
    """Return the base that all adapters of a folder name.

    Raises:
        AdapterError: there is no adapter, or they name several.
    """
    bases = sorted({base for base in (folder.describe(name).base for name in folder.names()) if base})
    if len(bases) == 1:
        return bases[0]
    what = f"adapters of several bases: {', '.join(bases)}" if bases else "no adapter that names a base"
    raise AdapterError(f"{folder.root.name} holds {what}", hint="say which: --base builtin:tiny")


class _Server(uvicorn.Server):
    """Uvicorn that at a signal refuses what is new and finishes what was taken, and at a second one ends."""

    def __init__(self, config: uvicorn.Config, engine: Engine, ready: Callable[[str], object]) -> None:
        super().__init__(config)
        self._engine, self._ready = engine, ready
        self.code = 0

    async def startup(self, sockets: object = None) -> None:
        """Listen, and say so."""
        self._engine.start()
        await super().startup()
        if not self.should_exit:
            self._ready(self._address())

    async def shutdown(self, sockets: object = None) -> None:
        """Close connections once their answers are sent, and end the engine."""
        await super().shutdown()
        if not self.force_exit:
            await asyncio.to_thread(self._engine.stop)

    async def on_tick(self, counter: int) -> bool:
        """End once nothing that was taken is left."""
        if self._engine.refusing and self._engine.idle:
            self.should_exit = True
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop gracefully at the first signal, at once at the second."""
        if not self._engine.refusing:
            logger.info("stopping: finishing what was taken; once more ends it at once")
            self._engine.refuse()
            return
        self.code = EXIT_INTERRUPTED if sig == signal.SIGINT else 128 + sig
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # that requests are cut off is what was asked for
        self.should_exit = self.force_exit = True

    def _address(self) -> str:
        if self.config.uds:
            return f"unix:{self.config.uds}"
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
