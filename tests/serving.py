"""A server in this process, without a socket: what is asked goes through the real application and engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI

from peftsum.generate import Summarizer
from peftsum.server.app import create_app
from peftsum.server.engine import Engine
from peftsum.server.folder import AdapterFolder
from peftsum.server.guards import Guarded
from peftsum.server.limits import Limits
from peftsum.server.metrics import Metrics

Asked = tuple[str, str, dict[str, Any]]
"""Method, path, and options of httpx."""


@dataclass
class Served:
    """A server, and ways to ask it."""

    app: FastAPI
    engine: Engine
    metrics: Metrics
    summarizer: Summarizer
    started: bool = field(default=False)

    def start(self) -> None:
        """Let the engine begin."""
        self.engine.start()
        self.started = True

    def ask_all(self, asked: Sequence[Asked], host: str = "localhost") -> list[httpx2.Response]:
        """Ask all at once, and return the answers in order."""

        async def ask() -> list[httpx2.Response]:
            transport = httpx2.ASGITransport(app=self.app, raise_app_exceptions=False)
            async with httpx2.AsyncClient(transport=transport, base_url=f"http://{host}", timeout=120) as client:
                return list(await asyncio.gather(*(client.request(m, path, **how) for m, path, how in asked)))

        return asyncio.run(ask())

    def ask(self, method: str, path: str, **how: Any) -> httpx2.Response:
        """Ask once."""
        return self.ask_all([(method, path, how)])[0]

    def post(self, body: dict[str, Any]) -> httpx2.Response:
        """Ask for summaries."""
        return self.ask("POST", "/v1/summaries", json=body)

    def value(self, name: str, **labels: str) -> float:
        """Return a metric's value."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@contextmanager
def served(
    base: Path | str,
    folder: Path,
    limits: Limits | None = None,
    *,
    start: bool = True,
    rules: dict[str, Any] | None = None,
    **options: Any,
) -> Iterator[Served]:
    """Make a server, and end its engine after use."""
    limits, metrics = limits or Limits(batch=8), Metrics()
    summarizer = Summarizer(str(base), **{"precision": "fp32", **options})
    adapters = AdapterFolder(folder)
    engine = Engine(summarizer, adapters, limits, metrics)
    guarded = Guarded(**{"body_bytes": limits.body_bytes, "upload_s": 5.0, "key": None, "hosts": None, **(rules or {})})
    made = Served(create_app(engine, adapters, limits, metrics, guarded), engine, metrics, summarizer)
    if start:
        made.start()
    try:
        yield made
    finally:
        if made.started:
            engine.stop()
