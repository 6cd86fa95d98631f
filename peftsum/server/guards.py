"""What stands before the routes: size and time of a body, the key, where a request may come from, headers, counting.

Plain ASGI, so that a client that goes away is seen by the route (Starlette's BaseHTTPMiddleware hides it).
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from peftsum.server.metrics import Metrics
from peftsum.server.refusals import Refusal, failed, where

logger = logging.getLogger(__name__)

SECURITY_HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
LOOPBACK_NAMES = {"localhost", "127.0.0.1", "[::1]", "::1"}


@dataclass(frozen=True)
class Guarded:
    """What is let through."""

    body_bytes: int
    upload_s: float
    key: bytes | None
    """That requests to ``/v1/`` and ``/metrics`` have to bear; None asks for none."""
    hosts: frozenset[str] | None
    """Names that a request may call the server by; None allows any. Only its own ones stop a web page whose name
    was turned to 127.0.0.1 (DNS rebinding)."""


class Guards:
    """Refuses what must not reach the routes, and answers it itself.

    Args:
        app: what comes behind.
        rules: what is let through.
        metrics: count what is answered.
    """

    def __init__(self, app: ASGIApp, rules: Guarded, metrics: Metrics) -> None:
        self._app, self._rules, self._metrics = app, rules, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 499

        async def with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = {name.lower() for name, _ in message.get("headers", ())}
                added = [(k.encode(), v.encode()) for k, v in SECURITY_HEADERS.items() if k.encode() not in own]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        try:
            self._check(scope)
            body = await self._body(scope, receive)
            await self._app(scope, _again(body, receive), with_headers)
        except Refusal as refusal:
            await answer(refusal, with_headers)
        except _GoneError:
            pass
        except Exception as error:  # its words stay out of the log, for they might quote a dialogue
            logger.error("a request failed: %s", where(error))
            if status == 499:
                await answer(failed(), with_headers)
        finally:
            self._count(scope, status, time.perf_counter() - started)

    def _check(self, scope: Scope) -> None:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if self._rules.hosts is not None and _name_of(host) not in self._rules.hosts:
            raise Refusal(421, "the server is not known by that name", hint="call it by localhost or 127.0.0.1")
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin.decode("latin-1")).netloc != host:
            raise Refusal(403, "a page of another site asked", hint="ask from the server's own page, or without Origin")
        if self._rules.key is not None and _is_locked(scope["path"]) and not self._has_key(headers):
            raise Refusal(401, "no key, or a wrong one", hint="send the header Authorization: Bearer KEY")

    def _has_key(self, headers: dict[bytes, bytes]) -> bool:
        assert self._rules.key is not None
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._rules.key)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """Return the whole body.

        Raises:
            Refusal: it is too large (413) or takes too long (408).
        """
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if length.isdigit() and int(length) > self._rules.body_bytes:
            raise self._too_large()
        parts: list[bytes] = []
        size, more = 0, True
        try:
            async with asyncio.timeout(self._rules.upload_s):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _GoneError
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    more = message.get("more_body", False)
                    if size > self._rules.body_bytes:
                        raise self._too_large()
        except TimeoutError:
            raise Refusal(408, f"the body took longer than {self._rules.upload_s:g} s", hint="send it faster") from None
        return b"".join(parts)

    def _too_large(self) -> Refusal:
        text = f"the body is larger than {self._rules.body_bytes:,} bytes"
        return Refusal(413, text, hint="send fewer dialogues at once")

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in {"GET", "POST", "DELETE", "HEAD"} else "other"
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)


class _GoneError(Exception):
    """The client went away while it sent."""


async def answer(refusal: Refusal, send: Send) -> None:
    """Send a refusal as JSON."""
    headers: list[tuple[bytes, bytes]] = [(b"content-type", b"application/json")]
    if refusal.retry_after is not None:
        headers.append((b"retry-after", str(refusal.retry_after).encode()))
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if refusal.status in {408, 413}:
        headers.append((b"connection", b"close"))  # the rest of the body is not read
    body = json.dumps({"error": refusal.message, "hint": refusal.hint}).encode()
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _again(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that gives a body once, and then what the server says: that the client went."""
    given = False

    async def read() -> Message:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return read


def _is_locked(path: str) -> bool:
    return path.startswith("/v1/") or path == "/metrics"


def _name_of(host: str) -> str:
    """Return a Host header without its port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].lower()


def names_of(host: str) -> Sequence[str]:
    """Return the names by which a server bound to this machine alone may be called."""
    return sorted({*LOOPBACK_NAMES, host.lower()})
