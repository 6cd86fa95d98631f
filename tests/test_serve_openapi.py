"""The OpenAPI page is true: what schemathesis makes of it, right or wrong, is answered as it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from serving import served

from peftsum.server.limits import Limits

ADAPTERS = Path(__file__).parent.parent / "adapters"
ROUTES = [
    ("POST", "/v1/summaries"),
    ("GET", "/v1/adapters"),
    ("POST", "/v1/adapters/{name}"),
    ("DELETE", "/v1/adapters/{name}"),
    ("GET", "/healthz"),
    ("GET", "/metrics"),
]


@pytest.fixture(scope="module")
def api() -> Iterator[Any]:
    """The page of a server on the built-in base with the committed adapters."""
    with served("builtin:tiny", ADAPTERS, Limits(queue=1000, batch=8)) as server:
        yield schemathesis.openapi.from_asgi("/openapi.json", server.app)


def hold(api: Any, method: str, path: str, mode: GenerationMode, examples: int) -> None:
    """Ask what schemathesis draws, and let it judge the answers."""

    @given(case=api[path][method].as_strategy(generation_mode=mode))
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate),
    )
    def judged(case: Any) -> None:
        case.call_and_validate(timeout=120)  # tens of dialogues with five beams, on a machine that others use

    judged()


def test_the_page_has_these_routes(api: Any) -> None:
    found = [(r.ok().method.upper(), r.ok().path) for r in api.get_all_operations()]
    assert sorted(found) == sorted(ROUTES)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_what_the_page_says_is_true(method: str, path: str, api: Any) -> None:
    hold(api, method, path, GenerationMode.POSITIVE, 6 if path == "/v1/summaries" else 3)


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if "{" in route[1] or route[0] == "POST"])
def test_what_the_page_rules_out_is_refused(method: str, path: str, api: Any) -> None:
    hold(api, method, path, GenerationMode.NEGATIVE, 12 if path == "/v1/summaries" else 4)


@pytest.mark.slow
@pytest.mark.parametrize("mode", GenerationMode)
def test_many_requests_are_answered_as_the_page_says(mode: GenerationMode, api: Any) -> None:
    hold(api, "POST", "/v1/summaries", mode, 150)
