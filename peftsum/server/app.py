"""The routes, and the OpenAPI page that says what they do."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, FastAPI, Request
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from peftsum.answers import restored
from peftsum.dialogue_text import parse_turns
from peftsum.exceptions import PeftsumError
from peftsum.redaction import parse_kinds
from peftsum.server.engine import Engine
from peftsum.server.folder import AdapterFolder
from peftsum.server.guards import Guarded, Guards
from peftsum.server.incoming import Incoming, take_in
from peftsum.server.limits import LONGEST_NAME, MOST_SUMMARIES, Limits
from peftsum.server.metrics import Metrics
from peftsum.server.refusals import Refusal, failed, too_late
from peftsum.server.schemas import (
    AdapterInfo,
    AdaptersResponse,
    Health,
    Problem,
    SummariesRequest,
    SummariesResponse,
    Summary,
    Turns,
)
from peftsum.server.work import Ask, Outcome, Ticket
from peftsum.support import supporting_turn
from peftsum.version import __version__

PAGE = Path(__file__).parent / "page"
PAGE_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
DESCRIPTION = """Summaries of dialogues by adapters on one base. Requests of all adapters share a batch.

Every refusal is `{"error": …, "hint": …}`."""

T = TypeVar("T")
Told = TypeVar("Told", Summary, Turns)
Name = Annotated[str, InPath(min_length=1, max_length=LONGEST_NAME, description="Of a folder in the adapters' folder.")]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the refusals of a route for its page."""
    told = {
        400: "Not JSON, or not UTF-8",
        401: "No key, or a wrong one",
        403: "A page of another site asked",
        404: "No such adapter",
        408: "The body took too long",
        409: "It cannot be done now, or beside what is loaded",
        413: "The body is too large",
        415: "Not application/json",
        421: "The server is not known by that name",
        422: "Not what is asked for",
        429: "The queue is full",
        500: "A fault of the server",
        503: "The server is stopping",
        504: "Not written in time",
    }
    header = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}}
    return {
        status: {"model": Problem, "description": told[status]} | ({"headers": header} if status in {429, 503} else {})
        for status in statuses
    }


ALWAYS = (401, 403, 421)


class Routes:
    """The routes of one engine.

    Args:
        engine: writes the summaries.
        folder: of the adapters.
        limits: of a request.
        metrics: what ``/metrics`` shows.
    """

    def __init__(self, engine: Engine, folder: AdapterFolder, limits: Limits, metrics: Metrics) -> None:
        self._engine, self._folder, self._limits, self._metrics = engine, folder, limits, metrics
        self.router = router = APIRouter()
        body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/SummariesRequest"}}}}
        router.add_api_route(
            "/v1/summaries",
            self.summaries,
            methods=["POST"],
            response_model=SummariesResponse,
            responses=problems(400, *ALWAYS, 404, 408, 409, 413, 415, 422, 429, 500, 503, 504),
            openapi_extra={"requestBody": body | {"required": True}},
        )
        adapters = {"response_model": AdapterInfo, "responses": problems(*ALWAYS, 404, 408, 409, 413, 422, 500, 503)}
        router.add_api_route(
            "/v1/adapters",
            self.adapters,
            methods=["GET"],
            response_model=AdaptersResponse,
            responses=problems(*ALWAYS, 500, 503),
        )
        router.add_api_route("/v1/adapters/{name}", self.load, methods=["POST"], **adapters)  # type: ignore[arg-type]
        router.add_api_route("/v1/adapters/{name}", self.unload, methods=["DELETE"], **adapters)  # type: ignore[arg-type]
        stopping: dict[int | str, dict[str, Any]] = {503: {"model": Health, "description": "The server is stopping"}}
        router.add_api_route(
            "/healthz",
            self.health,
            methods=["GET"],
            response_model=Health,
            responses=stopping | problems(403, 421),
        )
        text: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
        router.add_api_route(
            "/metrics",
            self.metrics,
            methods=["GET"],
            response_class=Response,
            responses=text | problems(*ALWAYS),
        )
        router.add_api_route("/", self.page, methods=["GET"], include_in_schema=False)
        router.add_api_route("/page/{name}", self.page, methods=["GET"], include_in_schema=False)

    async def summaries(self, request: Request) -> Response:
        """Summarize each dialogue by each adapter.

        Answered once all of them are written. Dialogues times adapters may be 64. An adapter that is not in memory is
        loaded first.
        """
        started = time.perf_counter()
        asked = await _read(request)
        kinds = parse_kinds([*self._limits.redact, *asked.redact])
        taken = await asyncio.to_thread(lambda: [take_in(identity, text, kinds) for identity, text in asked.texts])
        ticket = self._engine.submit(self._asks(asked, taken))
        outcome = await self._outcome(request, ticket)
        if outcome is None:
            return Response(status_code=499)  # nobody reads it
        summaries, turns = outcome.summaries, _turns(taken)
        if asked.restore:
            each = [d for d in taken for _ in asked.names]
            summaries = [_restored(summary, d) for summary, d in zip(summaries, each, strict=True)]
            turns = [_restored(said, d) for said, d in zip(turns, taken, strict=True)]
        response = SummariesResponse(
            summaries=summaries,
            dialogues=turns if asked.settings.explain else None,
            seconds=time.perf_counter() - started,
            energy=outcome.energy,
        )
        return Response(response.model_dump_json(), media_type="application/json")

    async def adapters(self) -> Response:
        """List the adapters of the folder, and what of them is in memory."""
        found = await asyncio.to_thread(lambda: {name: self._folder.describe(name) for name in self._folder.names()})
        base, adapters = await _done(self._engine.describe(found), tuple)
        return _json(AdaptersResponse(base=base, adapters=adapters))

    async def load(self, name: Name) -> Response:
        """Load an adapter ahead of its first use; one that is there stays as it is."""
        self._folder.path(name)
        await asyncio.wrap_future(self._engine.load(name))
        return await self._one(name)

    async def unload(self, name: Name) -> Response:
        """Unload an adapter, whose memory goes back; summaries that were asked of it are written before."""
        self._folder.path(name)
        await asyncio.wrap_future(self._engine.unload(name))
        return await self._one(name)

    async def health(self) -> Response:
        """Tell whether requests are taken."""
        stopping = self._engine.refusing
        found = Health(
            status="stopping" if stopping else "ok", queued=self._engine.queued, running=self._engine.running
        )
        return _json(found, 503 if stopping else 200)

    async def metrics(self) -> Response:
        """Tell counts and times in Prometheus' format."""
        return Response(self._metrics.text(), media_type=self._metrics.content_type)

    async def page(self, name: str = "index.html") -> Response:
        """Return a file of the page."""
        kind = PAGE_TYPES.get(Path(name).suffix)
        path = PAGE / name
        if kind is None or path.name != name or not path.is_file():
            raise Refusal(404, "no such page", hint="the API is at /v1/summaries; /openapi.json describes it")
        return Response(path.read_bytes(), media_type=kind, headers={"cache-control": "no-cache"})

    async def _one(self, name: str) -> Response:
        _, (found,) = await _done(self._engine.describe({name: self._folder.describe(name)}), tuple)
        return _json(found)

    def _asks(self, asked: SummariesRequest, taken: Sequence[Incoming]) -> list[Ask]:
        names = asked.names
        for name in names:
            if name is not None:
                self._folder.path(name)
        if len(taken) * len(names) > MOST_SUMMARIES:
            text = f"{len(taken)} dialogues by {len(names)} adapters are more than {MOST_SUMMARIES} summaries"
            raise Refusal(422, text, hint="ask in several requests")
        settings = asked.settings.overrides()
        explain = asked.settings.explain
        return [Ask(d.identity, name, d.text, settings, explain, d.redactor) for d in taken for name in names]

    async def _outcome(self, request: Request, ticket: Ticket) -> Outcome | None:
        """Wait for the summaries; None where the client goes away before."""
        answered = asyncio.wrap_future(ticket.future)
        gone = asyncio.ensure_future(_gone(request))
        try:
            waited: set[asyncio.Future[Any]] = {answered, gone}
            await asyncio.wait(waited, timeout=self._limits.timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if answered.done():
                return answered.result()
            if gone.done():
                return None
            raise too_late(self._limits.timeout_s)
        finally:
            gone.cancel()
            if not answered.done():
                self._engine.give_up(ticket)
            with suppress(asyncio.CancelledError):
                await gone


def create_app(engine: Engine, folder: AdapterFolder, limits: Limits, metrics: Metrics, rules: Guarded) -> FastAPI:
    """Return the application of an engine.

    Args:
        engine: is started and stopped by the caller.
        folder: of the adapters.
        limits: of a request.
        metrics: of the engine.
        rules: of what is let through.
    """
    # docs_url: FastAPI's page of the API fetches its script from another host, which nothing here may do
    app = FastAPI(title="peftsum", version=__version__, description=DESCRIPTION, docs_url=None, redoc_url=None)
    app.include_router(Routes(engine, folder, limits, metrics).router)
    app.openapi = _openapi_of(app, app.openapi, locked=rules.key is not None)  # type: ignore[method-assign]
    app.add_exception_handler(PeftsumError, _refused)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_middleware(Guards, rules=rules, metrics=metrics)
    return app


async def _read(request: Request) -> SummariesRequest:
    """Return a request's body, checked; nothing of what it said stands in the refusal but where it is wrong."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refusal(415, "the body is not application/json", hint="send the header Content-Type: application/json")
    try:
        document = json.loads((await request.body()).decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise Refusal(400, f"byte {error.start} is not UTF-8", hint="send UTF-8: iconv -f latin1 -t utf-8") from None
    except json.JSONDecodeError as error:
        hint = "python -m json.tool FILE shows where"
        raise Refusal(400, f"not JSON: {error.msg}, line {error.lineno}, column {error.colno}", hint=hint) from None
    except (ValueError, RecursionError):  # digits without end, brackets without end, NaN
        raise Refusal(400, "not JSON that anyone can read", hint="python -m json.tool FILE shows where") from None
    try:
        return SummariesRequest.model_validate(document)
    except ValidationError as error:
        raise _wrong(error.errors(include_input=False, include_url=False, include_context=False)) from None


def _restored(part: Told, dialogue: Incoming) -> Told:
    """Return a part of an answer with the dialogue's values back in it."""
    return part if dialogue.redactor is None else restored(part, dialogue.redactor)


def _turns(taken: Sequence[Incoming]) -> list[Turns]:
    return [Turns(id=d.identity, turns=[*map(supporting_turn, parse_turns(d.text))]) for d in taken]


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _wrong(errors: Any) -> Refusal:
    """Return the refusal of a document that is not what it should be: where, and why, without its words."""
    first = errors[0]
    place = ".".join(str(part)[:40] for part in first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    hint = "/openapi.json describes what is asked for"
    return Refusal(422, f"{place}: {message}{more}" if place else f"{message}{more}", hint=hint)


async def _gone(request: Request) -> None:
    """Return once the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _done(future: Future[object], kind: type[T]) -> T:
    found = await asyncio.wrap_future(future)
    assert isinstance(found, kind), "the engine's orders say what they return"
    return found


def _json(record: Any, status: int = 200) -> Response:
    return Response(record.model_dump_json(), status_code=status, media_type="application/json")


async def _refused(request: Request, error: Exception) -> Response:
    refusal = error if isinstance(error, Refusal) else failed()
    headers = {} if refusal.retry_after is None else {"retry-after": str(refusal.retry_after)}
    return JSONResponse({"error": refusal.message, "hint": refusal.hint}, refusal.status, headers)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    hint = "/openapi.json describes what there is"
    return JSONResponse({"error": str(error.detail).lower(), "hint": hint}, error.status_code, error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return await _refused(request, _wrong(error.errors()))


def _openapi_of(app: FastAPI, plain: Callable[[], dict[str, Any]], *, locked: bool) -> Callable[[], dict[str, Any]]:
    """Return what makes the page: FastAPI's own, with the request that we read ourselves, and the key where asked."""

    def page() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        document = plain()
        schema = SummariesRequest.model_json_schema(ref_template="#/components/schemas/{model}")
        parts = document.setdefault("components", {}).setdefault("schemas", {})
        parts.update(schema.pop("$defs", {}))
        parts["SummariesRequest"] = schema
        for name in ("HTTPValidationError", "ValidationError"):
            parts.pop(name, None)
        if locked:
            document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            for path, routes in document["paths"].items():
                for route in routes.values() if path.startswith("/v1/") or path == "/metrics" else ():
                    route["security"] = [{"key": []}]
        return document

    return page
