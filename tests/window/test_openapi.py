"""The description is true: requests made from it never meet an error of the window."""

from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from dossiers import PLATFORM
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from zones import Zone

from tongguan.window import openapi, site
from tongguan.window.routes import ROUTES, Route

DOCUMENT = openapi.document()
EXAMPLES = 8


def test_every_route_is_described_with_its_right() -> None:
    described = {
        (method.upper(), path): operation
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    }
    assert set(described) == {(route.method, route.path) for route in ROUTES}
    for route in ROUTES:
        operation = described[route.method, route.path]
        assert operation.get("x-scope", "") == route.scope
        assert ("security" in operation) == bool(route.scope)
    ids = [operation["operationId"] for operation in described.values()]
    assert len(set(ids)) == len(ids)


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_requests_made_from_the_description_meet_no_error_of_the_window(
    zone: Zone, route: Route
) -> None:
    """Zero 5xx, and every answer is one that is described."""
    key = zone.operator() if route.scope in ("operate", "payments:179") else zone.key(PLATFORM[0])
    zone.gateway.rates._rate = zone.gateway.rates._burst = 10**9

    def application(environment: dict[str, Any], start: Callable[..., Any]) -> Any:
        asked = environment | {site.GATEWAY: zone.gateway}
        asked["HTTP_AUTHORIZATION"] = f"Bearer {key}"
        asked.setdefault("CONTENT_LENGTH", "0")
        return zone.application(asked, start)

    schema = schemathesis.openapi.from_wsgi("/api/openapi.json", application)
    made = schema[route.path][route.method].as_strategy()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    @given(case=made)
    def run(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS)

    run()
