"""The front over real connections: bodies too long, too slow or broken off; polls; ends."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from dossiers import NOON, PLATFORM, message, order
from processes import SECRETS, Process, free_port, ready
from psycopg.conninfo import make_conninfo

from tongguan import messages, store
from tongguan.client import Client, Retrying, TurnedAway
from tongguan.sharing import companies, keys
from tongguan.sharing.heads import Signer
from tongguan.window import rules, running
from tongguan.window.worker import Worker

SMALL = {
    "TONGGUAN_LIMIT_REQUEST_BYTES": "100000",
    "TONGGUAN_LIMIT_OTHER_BYTES": "1000",
    "TONGGUAN_LIMIT_PAUSE_SECONDS": "1",
    "TONGGUAN_LIMIT_BODY_SECONDS": "2",
    "TONGGUAN_LIMIT_HEADER_SECONDS": "1",
    "TONGGUAN_LIMIT_HEADER_BYTES": "9000",
    "TONGGUAN_LIMIT_POLLS": "3",
}


@dataclass
class Served:
    """A gateway process on a database of its own, and a worker in this process."""

    database: store.Database
    port: int
    key: str
    worker: Worker
    gateway: Process

    @property
    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/xml"}
        address = f"http://127.0.0.1:{self.port}"
        return httpx.Client(base_url=address, headers=headers, timeout=30, verify=False)

    def raw(self, data: bytes, *more: tuple[float, bytes], end: bool = False) -> bytes:
        """Bytes as they are, some after a pause; end: break off then. What comes back."""
        with socket.create_connection(("127.0.0.1", self.port), 15) as connection:
            # The gateway may answer and close before all is sent.
            with suppress(OSError):
                connection.sendall(data)
            for pause, piece in more:
                time.sleep(pause)
                with suppress(OSError):
                    connection.sendall(piece)
            if end:
                return b""
            received = b""
            with suppress(OSError):
                while piece := connection.recv(65536):
                    received += piece
                    if b"\r\n\r\n" in received and b"content-length" in received.lower():
                        break
            return received

    def head(self, length: int, path: str = "/api/messages") -> bytes:
        return (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.key}\r\n"
            f"Content-Type: application/xml\r\nContent-Length: {length}\r\n\r\n"
        ).encode()


@pytest.fixture(scope="module")
def served(server: store.Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    name = "front"
    with server.connect(autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}")
    url = make_conninfo(server.url, dbname=name)
    with store.open(url) as database:
        running.prepare(database)
        key = store.transact(database, file_platform)
        worker = Worker(
            database,
            store.Vault(bytes.fromhex(SECRETS["TONGGUAN_DATA_KEY"])),
            Signer(bytes.fromhex(SECRETS["TONGGUAN_EVIDENCE_KEY"])),
            messages.Limits(),
        )
        port = free_port()
        folder = tmp_path_factory.mktemp("front")
        gateway = start(folder, url, port)
        ready(port)
        made = Served(database, port, key, worker, gateway)
        try:
            yield made
            assert made.gateway.stop() == 0
        finally:
            made.gateway.kill()
        worker.close()
    with psycopg.connect(server.url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


def file_platform(conn: psycopg.Connection) -> str:
    code, name = PLATFORM
    companies.file(conn, code, name, ["platform"], "test", 1)
    at = datetime.fromisoformat(NOON)
    rules.lay_down(conn, rules.Rules("ignored", "open", stands_at=at))
    return keys.issue(conn, code, ["messages:send", "receipts:read"], 1)[0]


def start(folder: Path, url: str, port: int, name: str = "gateway") -> Process:
    words = ["gateway", "--port", str(port)]
    home = {"DATABASE_URL": url, "TONGGUAN_HOME": str(folder)}
    return Process(words, SMALL | home, folder, name)


def test_a_body_that_is_told_to_be_too_long_is_refused_before_it_is_read(served: Served) -> None:
    reply = served.raw(served.head(100001) + b"x")
    assert reply.startswith(b"HTTP/1.1 413")
    assert b'"name":"request_bytes","most":100000,"actual":100001' in reply


def test_a_client_hears_why_a_body_is_refused_that_it_is_still_sending(served: Served) -> None:
    """The connection is closed with most of the body unread; the answer must not be lost by it."""
    with Client(
        f"http://127.0.0.1:{served.port}", served.key, Retrying(patience_seconds=0.0)
    ) as client:
        for _ in range(5):
            with pytest.raises(TurnedAway, match="at most 100000 bytes"):
                client.send(b"x" * 20_000_000)


def test_a_body_of_unknown_length_is_cut_off_at_the_limit(served: Served) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(200):
            yield b"x" * 1000

    with served.client as client:
        try:
            reply = client.post("/api/messages", content=endless())
        except httpx.WriteError:
            return  # the answer came, and the connection was closed, while we were writing
    assert reply.status_code == 413


def test_other_bodies_are_small(served: Served) -> None:
    reply = served.raw(served.head(1001, "/api/webhooks") + b"x" * 1001)
    assert reply.startswith(b"HTTP/1.1 413")
    assert b"other_bytes" in reply


def test_a_body_that_pauses_too_long_is_given_up(served: Served) -> None:
    began = time.monotonic()
    reply = served.raw(served.head(1000) + b"<")
    assert reply.startswith(b"HTTP/1.1 408")
    assert b"pause_seconds" in reply
    assert 0.9 < time.monotonic() - began < 10


def test_a_body_that_trickles_is_given_up_when_its_time_is_over(served: Served) -> None:
    reply = served.raw(served.head(1000), *((0.4, b"<") for _ in range(7)))
    assert reply.startswith(b"HTTP/1.1 408")
    assert b"body_seconds" in reply


def test_a_body_that_breaks_off_leaves_nothing(served: Served) -> None:
    served.raw(served.head(1000) + b"<a/>", end=True)
    with served.client as client:
        data = message(order(90))
        assert client.post("/api/messages", content=data).status_code == 202
    with served.database.connect(autocommit=True) as conn:
        sizes = conn.execute("SELECT bytes FROM submission").fetchall()
    assert (len(data),) in sizes
    assert all(size > 100 for (size,) in sizes)


def test_headers_that_are_too_long_or_too_slow_are_not_waited_for(served: Served) -> None:
    long = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 10000 + b"\r\n\r\n"
    reply = served.raw(long)
    assert reply.startswith(b"HTTP/1.1 431")
    assert b"header_bytes" in reply
    far = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 1_000_000 + b"\r\n\r\n"
    assert not served.raw(far).startswith(b"HTTP/1.1 200")
    began = time.monotonic()
    assert not served.raw(b"GET /health/live HTTP/1.1\r\nHost").startswith(b"HTTP/1.1 200")
    assert time.monotonic() - began < 10


def test_nobody_without_a_key_has_a_big_body_read(served: Served) -> None:
    head = served.head(90000).replace(served.key.encode(), b"tgk_000000000000_" + b"0" * 64)
    assert served.raw(head).startswith(b"HTTP/1.1 401")


def test_what_is_no_http_at_all_harms_nobody(served: Served) -> None:
    for rubbish in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0" * 100, b"GET\r\n\r\n"):
        assert not served.raw(rubbish + b"\r\n\r\n").startswith(b"HTTP/1.1 200")
    with served.client as client:
        assert client.get("/health/live").status_code == 200
        assert client.get("/%FF/%00/é?%ff=%zz").status_code in (400, 404)


def test_a_header_with_an_underscore_is_not_taken_for_the_real_one(served: Served) -> None:
    reply = httpx.get(
        f"http://127.0.0.1:{served.port}/api/receipts",
        headers={"Authorization_": "x", "authorization_": f"Bearer {served.key}"},
    )
    assert reply.status_code == 401


def test_a_poll_waits_and_wakes_when_receipts_come(served: Served) -> None:
    with served.client as client:
        after = client.get("/api/receipts", params={"limit": 500}).json()["next"]
        got: dict[str, Any] = {}

        def poll() -> None:
            got["began"] = time.monotonic()
            got["reply"] = client.get("/api/receipts", params={"after": after, "wait": 20})
            got["ended"] = time.monotonic()

        thread = threading.Thread(target=poll)
        thread.start()
        time.sleep(0.7)
        with served.client as sender:
            assert sender.post("/api/messages", content=message(order(91))).status_code == 202
        while served.worker.once():
            pass
        thread.join()
    assert [each["message"] for each in got["reply"].json()["receipts"]][-1] == "CEB312"
    assert 0.6 < got["ended"] - got["began"] < 15


def test_a_poll_without_news_ends_in_time_with_the_same_cursor(served: Served) -> None:
    with served.client as client:
        after = client.get("/api/receipts", params={"limit": 500}).json()["next"]
        began = time.monotonic()
        reply = client.get("/api/receipts", params={"after": after, "wait": 1})
        assert 0.9 < time.monotonic() - began < 8
        assert reply.json() == {"next": after, "receipts": []}


def test_polls_are_bounded_and_those_who_leave_make_room(served: Served) -> None:
    query = "/api/receipts?after=999999&wait=30"
    head = f"GET {query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {served.key}\r\n\r\n".encode()
    held = []
    for _ in range(3):
        held.append(socket.create_connection(("127.0.0.1", served.port)))
        held[-1].sendall(head)
    time.sleep(1)
    assert served.raw(head).startswith(b"HTTP/1.1 429")
    with served.client as client:
        # Polls that wait hold up nobody.
        assert client.get("/health/ready").status_code == 200
    for each in held:
        each.close()
    time.sleep(1)
    with served.client as client:
        assert client.get("/api/receipts?after=999999&wait=1").status_code == 200


def test_a_second_gateway_takes_over_without_a_refused_message(
    served: Served, tmp_path: Path
) -> None:
    """Senders that come and go all the time; the first gateway is replaced by another meanwhile."""
    statuses: list[int] = []
    broken: list[str] = []
    stop = threading.Event()

    def send(number: int) -> None:
        for n in range(10_000):
            if stop.is_set():
                return
            data = message(order(1000 * number + n))
            try:
                with served.client as client:
                    statuses.append(client.post("/api/messages", content=data).status_code)
            except httpx.TransportError as problem:
                broken.append(repr(problem))

    senders = [threading.Thread(target=send, args=(number,)) for number in (1, 2, 3)]
    for each in senders:
        each.start()
    url = served.database.url
    second = start(tmp_path, url, served.port, "second")
    deadline = time.monotonic() + 60
    while not second.events("answered"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert served.gateway.stop() == 0
    time.sleep(0.3)
    stop.set()
    for each in senders:
        each.join()
    served.gateway = second
    assert set(statuses) == {202}
    # A connection may be reset that the kernel had given to the old one in its last instant.
    assert len(broken) <= 1, broken


def test_the_log_holds_no_key_no_body_and_no_number_of_a_parcel(served: Served) -> None:
    with served.client as client:
        client.get("/api/parcels/O0000091")
    log = served.gateway.log
    assert "/api/parcels/{key}" in log
    for secret in (served.key.split("_")[2], "13900000001", "O0000091", "安娜", "<ceb"):
        assert secret not in log
