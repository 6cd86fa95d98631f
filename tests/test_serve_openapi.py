"""The OpenAPI page is true: what schemathesis makes of it is answered as it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from serving import served

from peftsum.server.limits import Limits

ADAPTERS = Path(__file__).parent.parent / "adapters"


@pytest.fixture(scope="module")
def api() -> Iterator[Any]:
    """The page of a server on the built-in base with the committed adapters."""
    with served("builtin:tiny", ADAPTERS, Limits(queue=1000, batch=8)) as server:
        yield schemathesis.openapi.from_asgi("/openapi.json", server.app)


page = schemathesis.pytest.from_fixture("api")
COMMON: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": list(HealthCheck),
    "phases": (Phase.explicit, Phase.generate),
}


@page.parametrize()
@settings(max_examples=8, **COMMON)
def test_the_page_is_true(case: schemathesis.Case) -> None:
    case.call_and_validate()


@pytest.mark.slow
@page.parametrize()
@settings(max_examples=150, **COMMON)
def test_the_page_is_true_for_many_requests(case: schemathesis.Case) -> None:
    case.call_and_validate()
