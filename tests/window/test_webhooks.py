"""Webhooks: signed, in order, until they are taken; and no way into the inner network."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest.mock import patch

import pytest
from dossiers import PAYMENT, PLATFORM, message, order
from zones import Zone

from tongguan.window import addresses, delivery
from tongguan.window.delivery import Delivery


@dataclass
class Receiver:
    """A receiver of deliveries; answers: statuses to answer with, the last one for good."""

    answers: list[int] = field(default_factory=lambda: [200])
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.got.append((dict(self.headers), body))
            status = made.answers.pop(0) if len(made.answers) > 1 else made.answers[0]
            self.send_response(status)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()

        def log_message(self, *about: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        made.url = f"http://127.0.0.1:{server.server_port}/receipts?x=1"
        yield made
        server.shutdown()
        thread.join()


def hook(zone: Zone, key: str, url: str, **more: str) -> dict[str, Any]:
    body = json.dumps({"url": url, **more}).encode()
    reply = zone.ask("POST", "/api/webhooks", key, body, "application/json")
    assert reply.status == 201, reply.body
    return reply.json


def deliver(zone: Zone, *, loopback: bool = True) -> int:
    """Tell all webhooks, whether or not their pause is over; how many deliveries it was."""
    done = 0
    zone.rows("UPDATE webhook SET due_at = 0 RETURNING 1")
    made = Delivery(zone.database, zone.vault, loopback=loopback)
    with zone.database.connect(autocommit=True) as conn:
        while made.once(conn):
            done += 1
    return done


def told(zone: Zone, key: str, number: int) -> None:
    zone.lay_down(registry="open")
    assert zone.post(key, message(order(number))).status == 202
    zone.work()


def test_receipts_are_pushed_signed_from_now_on(zone: Zone, receiver: Receiver) -> None:
    key = zone.key(PLATFORM[0])
    told(zone, key, 1)
    made = hook(zone, key, receiver.url)
    assert deliver(zone) == 0
    told(zone, key, 2)
    assert deliver(zone) == 1
    [(headers, body)] = receiver.got
    entries = json.loads(body)["receipts"]
    assert [e["key"]["orderNo"] for e in entries] == ["O0000002"]
    assert entries[0]["xml"] == zone.receipts(key)[1]["xml"]
    assert entries[0]["proof"]["position"] == int(entries[0]["cursor"].split(".")[0])
    assert headers["Tongguan-Webhook"] == made["id"]
    seconds, signature = (part.split("=")[1] for part in headers["Tongguan-Signature"].split(","))
    signed = f"{seconds}.".encode() + body
    assert signature == hmac.new(made["secret"].encode(), signed, hashlib.sha256).hexdigest()


def test_the_secret_is_shown_once_and_kept_sealed(zone: Zone, receiver: Receiver) -> None:
    key = zone.key(PLATFORM[0])
    made = hook(zone, key, receiver.url)
    assert made["secret"].startswith("tgs_")
    [listed] = zone.ask("GET", "/api/webhooks", key).json["webhooks"]
    assert "secret" not in listed
    [(kept,)] = zone.rows("SELECT secret FROM webhook")
    assert made["secret"].encode() not in kept


def test_what_is_not_taken_is_tried_again_after_growing_pauses_and_nothing_is_skipped(
    zone: Zone, receiver: Receiver
) -> None:
    key = zone.key(PLATFORM[0])
    hook(zone, key, receiver.url, after="0.0")
    receiver.answers = [500, 302, 200]
    told(zone, key, 1)
    pauses = []
    for _ in range(2):
        assert deliver(zone) == 1
        [(failures, trouble, due)] = zone.rows("SELECT failures, trouble, due_at FROM webhook")
        pauses.append(due)
    assert (failures, trouble) == (2, "status 302")
    assert pauses == sorted(pauses)
    told(zone, key, 2)
    assert deliver(zone) == 1
    orders = [
        [e["key"]["orderNo"] for e in json.loads(body)["receipts"]] for _, body in receiver.got
    ]
    assert orders == [["O0000001"], ["O0000001"], ["O0000001", "O0000002"]]
    [listed] = zone.ask("GET", "/api/webhooks", key).json["webhooks"]
    assert "failures" not in listed
    assert [delivery.pause_ms(n) for n in (1, 2, 3, 13, 99)] == [
        1000,
        2000,
        4000,
        3_600_000,
        3_600_000,
    ]


def test_a_replay_tells_again_from_a_cursor(zone: Zone, receiver: Receiver) -> None:
    key = zone.key(PLATFORM[0])
    made = hook(zone, key, receiver.url, after="0.0")
    told(zone, key, 1)
    told(zone, key, 2)
    deliver(zone)
    cursor = zone.receipts(key)[0]["cursor"]
    body = json.dumps({"after": cursor}).encode()
    reply = zone.ask("POST", f"/api/webhooks/{made['id']}/replay", key, body, "application/json")
    assert reply.json["cursor"] == cursor
    deliver(zone)
    last = json.loads(receiver.got[-1][1])["receipts"]
    assert [e["key"]["orderNo"] for e in last] == ["O0000002"]


def test_a_webhook_that_was_removed_is_told_nothing_more(zone: Zone, receiver: Receiver) -> None:
    key = zone.key(PLATFORM[0])
    made = hook(zone, key, receiver.url, after="0.0")
    told(zone, key, 1)
    assert zone.ask("DELETE", f"/api/webhooks/{made['id']}", key).status == 204
    assert deliver(zone) == 0
    assert receiver.got == []


def test_each_company_has_so_many_webhooks(zone: Zone) -> None:
    key, other = zone.key(PLATFORM[0]), zone.key(PAYMENT[0])
    for _ in range(zone.gateway.limits.webhooks):
        hook(zone, key, "https://example.com/")
    reply = zone.ask(
        "POST", "/api/webhooks", key, b'{"url":"https://example.com/"}', "application/json"
    )
    assert reply.status == 409
    assert reply.json["limit"]["name"] == "webhooks"
    hook(zone, other, "https://example.com/")


FORBIDDEN = [
    "http://example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "//example.com/",
    "example.com",
    "https://",
    "https://user@example.com/",
    "https://user:secret@example.com/",
    "https://example.com/#there",
    "https://exa mple.com/",
    "https://example.com/\r\nHost: inside",
    "https://例子.com/",
    "https://127.0.0.1/",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://017700000001/",
    "https://localhost/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[2002:0a00:0001::]/",
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.64.0.1/",
    "https://0.0.0.0/",
    "https://224.0.0.1/",
    "https://[fe80::1]/",
    "https://[fc00::1]/",
    "https://[ff02::1]/",
    "https://example.com:99999/",
    "https://" + "a" * 2001,
]


@pytest.mark.parametrize("url", FORBIDDEN)
def test_no_url_leads_into_the_inner_network(url: str) -> None:
    with pytest.raises(addresses.Forbidden):
        addresses.check(url, loopback=False)


@pytest.mark.parametrize("url", [url for url in FORBIDDEN if "127" in url or "10.0.0.1" in url][:4])
def test_a_forbidden_url_is_refused_when_it_is_made(zone: Zone, url: str) -> None:
    zone.gateway.loopback = False
    body = json.dumps({"url": url}).encode()
    reply = zone.ask("POST", "/api/webhooks", zone.key(PLATFORM[0]), body, "application/json")
    assert reply.status == 400
    assert "url" in reply.json["detail"]


@pytest.mark.parametrize("number", ["10.0.0.1", "127.0.0.1", "169.254.169.254", "::1", "fd00::1"])
def test_a_name_that_leads_inside_is_not_called_whatever_it_led_to_before(number: str) -> None:
    """Also if only one of its addresses is inside: the look-up that counts is that of the call."""
    answers = [(0, 0, 0, "", ("93.184.216.34", 443)), (0, 0, 0, "", (number, 443))]
    with (
        patch.object(addresses.socket, "getaddrinfo", return_value=answers),
        pytest.raises(addresses.Forbidden),
    ):
        addresses.target("https://example.com/", loopback=False)


def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    answers = [(0, 0, 0, "", ("93.184.216.34", 443))]
    with patch.object(addresses.socket, "getaddrinfo", return_value=answers):
        found = addresses.target("https://example.com/x?y=1", loopback=False)
    assert found == addresses.Target(True, "example.com", "93.184.216.34", 443, "/x?y=1")


def test_a_worker_that_may_not_post_to_this_machine_says_so(zone: Zone, receiver: Receiver) -> None:
    key = zone.key(PLATFORM[0])
    hook(zone, key, receiver.url, after="0.0")
    told(zone, key, 1)
    assert deliver(zone, loopback=False) == 1
    assert receiver.got == []
    [listed] = zone.ask("GET", "/api/webhooks", key).json["webhooks"]
    assert "this machine" in listed["trouble"]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'{"url":"https://example.com/","more":1}', "application/json", 400),
        (b'{"url":5}', "application/json", 400),
        (b"{}", "application/json", 400),
        (b"[", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"url":"https://example.com/","after":"x"}', "application/json", 400),
        (b'{"url":"https://example.com/"}', "text/plain", 415),
        (b'{"url":"https://example.com/"}', "", 415),
    ],
)
def test_a_body_is_checked(zone: Zone, body: bytes, kind: str, status: int) -> None:
    assert zone.ask("POST", "/api/webhooks", zone.key(PLATFORM[0]), body, kind).status == status
