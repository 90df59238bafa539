"""Who may do what: every endpoint against every kind of key, and nobody sees what is another's."""

import itertools
import json
import re
from typing import Any

import pytest
from dossiers import AGENT, CARRIER, PAYMENT, PLATFORM, SELLER, message, order
from zones import ALL, Zone

from tongguan import store
from tongguan.sharing import keys
from tongguan.window.routes import PUBLIC, ROUTES, Route

SCOPES = (*ALL, "operate", "payments:179")
KEYS: dict[str, tuple[str, ...] | None] = {
    "no key": None,
    **{scope: (scope,) for scope in ALL},
    "all usual": ALL,
}


def called(route: Route) -> str:
    """The address of a route, with an id nobody has."""
    path = re.sub(r"\{\w+\}", "0" * 32, route.path)
    query = "&".join(f"{each.name}=1" for each in route.parameters if each.required)
    return f"{path}?{query}" if query else path


def name(route: Route) -> str:
    return f"{route.method} {route.path}"


def body(route: Route) -> dict[str, Any]:
    kinds = list(route.body or {})
    if "application/json" in kinds:
        return {"body": b'{"url":"https://example.com/","after":"0.0"}', "kind": kinds[0]}
    return {"body": b"<no/>", "kind": kinds[0]} if kinds else {}


@pytest.mark.parametrize("route", ROUTES, ids=name)
def test_only_a_key_with_the_scope_of_a_route_opens_it(zone: Zone, route: Route) -> None:
    """Default deny: 401 without a key, 403 without the scope, for every route there is."""
    for label, scopes in KEYS.items():
        key = None if scopes is None else zone.key(PLATFORM[0], *scopes)
        status = zone.ask(route.method, called(route), key, **body(route)).status
        if route.scope == PUBLIC:
            assert status == 200, label
        elif scopes is None:
            assert status == 401, label
        elif route.scope not in scopes:
            assert status == 403, label
        else:
            assert status not in (401, 403), label


def test_every_route_says_its_scope_and_few_are_public() -> None:
    public = {route.path for route in ROUTES if route.scope == PUBLIC}
    # An upload is signed by its platform, and answers a question of ours or leaves nothing.
    upload = "/ceb2grab/grab/realTimeDataUpload"
    assert public == {"/api/openapi.json", "/health/live", "/health/ready", upload}
    assert {route.scope for route in ROUTES} - {PUBLIC} == set(SCOPES)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic dXNlcjpwYXNz",
        "Bearer tgk_000000000000_" + "0" * 64,
        "Bearer tgk_" + "x" * 5000,
        "Bearer tgk_\u00e9",
        "Bearer \0",
    ],
)
def test_what_is_no_key_opens_nothing(zone: Zone, header: str) -> None:
    reply = zone.ask("GET", "/api/receipts", authorization=header)
    assert reply.status == 401
    assert reply.headers["WWW-Authenticate"] == "Bearer"


def test_a_revoked_key_and_an_expired_one_open_nothing(zone: Zone) -> None:
    key = zone.key(PLATFORM[0])
    assert zone.ask("GET", "/api/receipts", key).status == 200
    store.transact(zone.database, lambda conn: keys.revoke(conn, key.split("_")[1], 2))
    assert zone.ask("GET", "/api/receipts", key).status == 401
    noon_ms = 1_654_056_000_000
    short, _ = store.transact(
        zone.database,
        lambda conn: keys.issue(conn, PLATFORM[0], ALL, 1, expires_ms=noon_ms + 1),
    )
    assert zone.ask("GET", "/api/receipts", short).status == 200
    zone.lay_down(at="2022-06-01T12:00:00.001+08:00")
    assert zone.ask("GET", "/api/receipts", short).status == 401


def test_nobody_reads_what_is_anothers(zone: Zone) -> None:
    """Tenant isolation: of each company's things every other company finds nothing."""
    firms = (PLATFORM, SELLER, PAYMENT, CARRIER, AGENT)
    key_of = {code: zone.key(code) for code, _ in firms}
    own = message(order(1))
    id_ = zone.post(key_of[PLATFORM[0]], own).json["id"]
    hook = zone.ask(
        "POST",
        "/api/webhooks",
        key_of[PLATFORM[0]],
        b'{"url":"https://example.com/r"}',
        "application/json",
    ).json["id"]
    zone.lay_down(registry="open")
    zone.work()
    addresses = [
        ("GET", f"/api/messages/{id_}"),
        ("GET", "/api/parcels/O0000001"),
        ("POST", f"/api/webhooks/{hook}/replay"),
        ("DELETE", f"/api/webhooks/{hook}"),
        ("GET", f"/api/receipts?company={PLATFORM[0]}"),
    ]
    replay: dict[str, Any] = {"body": b'{"after":"0.0"}', "kind": "application/json"}
    for (code, _), (method, address) in itertools.product(firms[1:], addresses):
        more = replay if method == "POST" else {}
        assert zone.ask(method, address, key_of[code], **more).status == 404, (code, address)
    for code, _ in firms[1:]:
        assert zone.receipts(key_of[code]) == []
        assert zone.ask("GET", "/api/webhooks", key_of[code]).json == {"webhooks": []}
    for method, address in addresses:
        more = replay if method == "POST" else {}
        status = zone.ask(method, address, key_of[PLATFORM[0]], **more).status
        assert status in (200, 204), address


def test_another_ones_receipts_are_read_with_its_mandate(zone: Zone) -> None:
    own, agent = zone.key(PLATFORM[0]), zone.key(AGENT[0])
    zone.post(own, message(order(1)))
    zone.lay_down(registry="open")
    zone.work()
    zone.mandate(PLATFORM[0], AGENT[0], "2022-06-01", "2022-06-01")
    assert zone.receipts(agent, company=PLATFORM[0]) == zone.receipts(own) != []
    zone.lay_down(at="2022-06-02T12:00:00+08:00")
    assert zone.ask("GET", f"/api/receipts?company={PLATFORM[0]}", agent).status == 404


def test_figures_need_an_operators_key(zone: Zone) -> None:
    assert zone.ask("GET", "/metrics", zone.key(PLATFORM[0])).status == 403
    zone.post(zone.key(PLATFORM[0]), message(order(1)))
    reply = zone.ask("GET", "/metrics", zone.operator())
    assert reply.status == 200
    lines = reply.body.decode().splitlines()
    assert "tongguan_submissions_waiting 1.0" in lines
    assert 'tongguan_messages_total{outcome="accepted"} 1.0' in lines
    assert not any(code in reply.body.decode() for code, _ in (PLATFORM, SELLER))


@pytest.mark.parametrize("path", ["/", "/api", "/api/", "/admin/", "/api/receipts/", "/api/keys"])
def test_there_is_no_other_door(zone: Zone, path: str) -> None:
    reply = zone.ask("GET", path, zone.key(PLATFORM[0]))
    assert reply.status == 404
    assert json.loads(reply.body)["title"] == "Not Found"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_a_method_that_a_route_does_not_know(zone: Zone, method: str) -> None:
    reply = zone.ask(method, "/api/messages", zone.key(PLATFORM[0]))
    assert reply.status == 405
    assert reply.headers["Allow"] == "POST"


def test_answers_are_kept_by_nobody_and_shown_in_no_frame(zone: Zone) -> None:
    for path in ("/health/live", "/api/receipts", "/nothing"):
        headers = zone.ask("GET", path).headers
        assert headers.get("Cache-Control", "no-store") == "no-store"
        assert headers.get("X-Content-Type-Options", "nosniff") == "nosniff"
