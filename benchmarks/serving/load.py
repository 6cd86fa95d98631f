"""Requests to a server: as many at once as it can take, or at a rate that does not wait for it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx2

from serving.process import Server

MANY = httpx2.Limits(max_connections=2000, max_keepalive_connections=200)
SAMPLE_S = 1.0


@dataclass(frozen=True)
class Answer:
    """What became of one request."""

    asked_s: float
    """Since the load began."""
    seconds: float
    status: int | None
    """None where no answer came."""
    retry_after: int | None


@dataclass
class Load:
    """Asks for one summary a request, by a random adapter of a random dialogue.

    Args:
        server: that is asked.
        names: of its adapters.
        dialogues: texts.
        seed: of the draws.
    """

    server: Server
    names: Sequence[str]
    dialogues: Sequence[str]
    seed: int

    def closed(self, clients: int, seconds: float) -> list[Answer]:
        """Ask with so many clients, each again as soon as it is answered."""
        return asyncio.run(self._closed(clients, seconds))

    def open(self, rate: float, seconds: float) -> tuple[list[Answer], list[tuple[float, int]]]:
        """Ask at random times, so many a second in the mean (Poisson); return answers and (second, resident bytes)."""
        return asyncio.run(self._open(rate, seconds))

    async def _closed(self, clients: int, seconds: float) -> list[Answer]:
        began = time.perf_counter()
        found: list[Answer] = []

        async def ask_on(client: httpx2.AsyncClient, rng: random.Random) -> None:
            while True:
                found.append(await self._ask(client, rng, began))
                if time.perf_counter() - began >= seconds:
                    return

        async with httpx2.AsyncClient(limits=MANY, timeout=300) as client:
            await asyncio.gather(*(ask_on(client, random.Random(f"{self.seed}/{i}")) for i in range(clients)))
        return found

    async def _open(self, rate: float, seconds: float) -> tuple[list[Answer], list[tuple[float, int]]]:
        began, due = time.perf_counter(), 0.0
        rng = random.Random(self.seed)
        sizes: list[tuple[float, int]] = []

        async def sample() -> None:
            while True:
                sizes.append((time.perf_counter() - began, self.server.rss_bytes()))
                await asyncio.sleep(SAMPLE_S)

        async with httpx2.AsyncClient(limits=MANY, timeout=300) as client:
            sampler = asyncio.ensure_future(sample())
            tasks = []
            while (due := due + rng.expovariate(rate)) < seconds:
                await asyncio.sleep(max(0.0, began + due - time.perf_counter()))
                tasks.append(asyncio.ensure_future(self._ask(client, rng, began)))
            answers = await asyncio.gather(*tasks)
            sampler.cancel()
        return list(answers), sizes

    async def _ask(self, client: httpx2.AsyncClient, rng: random.Random, began: float) -> Answer:
        body: dict[str, Any] = {"adapter": rng.choice(self.names), "dialogue": rng.choice(self.dialogues)}
        asked = time.perf_counter()
        status, retry = None, None
        try:
            response = await client.post(f"{self.server.address}/v1/summaries", json=body)
            status = response.status_code
            retry = int(response.headers["retry-after"]) if "retry-after" in response.headers else None
            if status == 200 and len(response.json()["summaries"]) != 1:
                status = None
        except httpx2.HTTPError:
            pass
        return Answer(asked - began, time.perf_counter() - asked, status, retry)
