"""The gateway against the physical limit: signed parcels from HTTP to durable receipts.

Real processes: a gateway and workers, on an embedded server with fsync on; eight senders, a process
of their own, post signed messages over kept connections, each company in its order. A parcel counts
once everything it was told has its place in the evidence log. The clock runs from the first post
until that is so of the last parcel; before it, other parcels have warmed the processes up.

The limit is measured in the same run on the same bytes and rows by bare loops, one thing after the
other: libxml2 parses each message, writes its canonical form, the digest is taken, the RSA-2048
signature verified, and COPY writes the very rows of the run with as many commits.

Then: two workers against one; the time of a single parcel, from posting its list to the receipt of
its release, while the window works at half of its rate; and, as the rival, an intake that commits
each message by itself.
"""

import base64
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from benchmarks.clearance import (
    bare_copy,
    bare_tables,
    children,
    measured,
    postmaster,
    rows_of,
    server_cpu,
)
from benchmarks.sending import Senders
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509 import load_der_x509_certificate
from lxml import etree

from tongguan import messages, store, twin
from tongguan.sharing import certificates, companies, keys
from tongguan.window import clock, rules, running, submissions
from tongguan.window.limits import Limits

MOST = 16_000
WARM = 4_000
"""Parcels that are sent before the clock starts."""
WAITING = 250
"""Messages that wait at most for each worker: some 6,000 parcels."""
SINGLES = 2_000
ALONE = 400
"""Parcels whose time is taken."""
RIVAL = 600
GOAL = 2.2
AT = datetime.fromisoformat("2022-06-01T12:00:00+08:00")
PROGRAM = [sys.executable, "-c", "from tongguan.cli import main; main()"]
ROLES = ["platform", "seller", "payment", "logistics", "declarant", "guarantor"]
SENDER = re.compile(rb"<(?:\w+:)?copCode>([^<]+)<")
DS = "{http://www.w3.org/2000/09/xmldsig#}"


@dataclass(frozen=True)
class Traffic:
    """Signed messages in their order, each with the company that sends it."""

    parcels: int
    messages: list[tuple[str, bytes]]


def main(scale: int) -> None:
    """Print rates, their ratio to the limit, the speed-up of a second worker, and latencies."""
    parcels = min(scale, MOST)
    with tempfile.TemporaryDirectory(prefix="tg-gate-") as name:
        home = Path(name)
        home.chmod(0o755)
        signers: dict[str, messages.Signer] = {}
        bulk = traffic(home / "bulk", 1, parcels, 100, signers)
        warm = traffic(home / "warm", 3, min(WARM, parcels), 100, signers)
        single = traffic(home / "single", 2, min(SINGLES, max(ALONE * 4, parcels)), 1, signers)
        rates = {}
        for workers in (1, 2):
            with window(home / f"w{workers}", signers, workers) as running_window:
                rate(running_window, warm)
                before = batches(running_window.database)
                rates[workers] = rate(running_window, bulk, told=True)
                print(
                    f"{workers} worker{'s' * (workers > 1)}: {rates[workers]:7,.0f} signed "
                    "parcels/s from HTTP to durable receipts",
                    flush=True,
                )
                if workers == 1:
                    limit = bare(running_window.database, bulk, before)
                    ratio = limit / rates[1]
                    print(
                        f"limit: {limit:,.0f} parcels/s by bare loops; ratio {ratio:.2f}x wall "
                        f"(goal: at most {GOAL}x)",
                        flush=True,
                    )
                    latency(running_window, single)
                    rival(running_window.database, single)
        print(f"two workers against one: {rates[2] / rates[1]:.2f}x")


def traffic(
    folder: Path, seed: int, parcels: int, documents: int, signers: dict[str, messages.Signer]
) -> Traffic:
    """Messages of the twin, each signed by its sender."""
    twin.write(folder, seed=seed, parcels=parcels, faults=0, documents_per_message=documents)
    signed = []
    for file in sorted((folder / "messages").iterdir()):
        data = file.read_bytes()
        found = SENDER.search(data)
        assert found is not None
        code = found[1].decode()
        if code not in signers:
            since, until = datetime(2020, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC)
            signers[code] = messages.issue(code, "", "rsa", since, until)
        signed.append((code, messages.sign(data, signers[code]).message))
    shutil.rmtree(folder)
    return Traffic(parcels, signed)


# --- the window -----------------------------------------------------------------------------------


@dataclass
class Window:
    """Gateway and workers at work."""

    database: store.Database
    port: int
    keys: dict[str, str]
    processes: list[tuple[str, int]]

    def connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def post(self, connection: http.client.HTTPConnection, code: str, data: bytes) -> None:
        headers = {"Authorization": f"Bearer {self.keys[code]}", "Content-Type": "application/xml"}
        while True:
            connection.request("POST", "/api/messages", data, headers)
            reply = connection.getresponse()
            body = reply.read()
            if reply.status == 202:
                return
            assert reply.status == 429, (reply.status, body)
            time.sleep(0.05)

    def request(self, code: str, data: bytes) -> bytes:
        """The bytes of a post."""
        head = (
            f"POST /api/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/xml\r\n"
            f"Authorization: Bearer {self.keys[code]}\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        return head.encode() + data

    def await_all(self, conn: psycopg.Connection) -> None:
        """Wait until all that was handed in is recorded and told."""
        sql = """SELECT EXISTS (SELECT FROM submission WHERE state = 'waiting')
            OR EXISTS (SELECT FROM evidence_run WHERE first IS NULL)"""
        while conn.execute(sql).fetchone() != (False,):
            time.sleep(0.02)

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far of gateway, workers (with their second processes) and server."""
        found = {"gateway": 0.0, "workers": 0.0}
        for name, pid in self.processes:
            found[name] += sum(map(cpu_of, {pid, *children(pid)}))
        return found | {"server": server_cpu(postmaster(self.database))}


def cpu_of(pid: int) -> float:
    """CPU seconds of a process, with those of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def window(home: Path, signers: dict[str, messages.Signer], workers: int) -> Iterator[Window]:
    with store.open(home=home) as database:
        running.prepare(database)
        with database.connect() as conn:
            rules.lay_down(conn, rules.Rules("required", "open", stands_at=AT))
            at_ms = clock.milliseconds(AT)
            issued = {}
            for code, signer in signers.items():
                companies.file(conn, code, "n", ROLES, "bench", at_ms)
                certificates.file(conn, code, signer.certificate, "bench", at_ms)
                issued[code], _ = keys.issue(conn, code, ("messages:send", "receipts:read"), at_ms)
            conn.commit()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = os.environ | {
            "DATABASE_URL": database.url,
            "TONGGUAN_HOME": str(home),
            # As ``tongguan up`` starts them.
            "POLARS_MAX_THREADS": "1",
            "TONGGUAN_LIMIT_RATE": "1000000",
            "TONGGUAN_LIMIT_BURST": "1000000",
        }
        words = [["gateway", "--port", str(port)], *[["work"]] * workers]
        with (home / "log").open("wb") as log:
            processes = [
                subprocess.Popen([*PROGRAM, *each], env=environment, stderr=log) for each in words
            ]
        try:
            names = ["gateway", *["workers"] * workers]
            pids = [process.pid for process in processes]
            made = Window(database, port, issued, list(zip(names, pids, strict=True)))
            _await(lambda: made.connect().close(), 60)
            with database.connect(autocommit=True) as conn:
                _await(lambda: _working(conn, workers), 60)
            yield made
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for process in processes:
                process.wait()


def _await(act: Callable[[], object], seconds: float) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            act()
        except (OSError, AssertionError):
            assert time.monotonic() < end
            time.sleep(0.1)
        else:
            return


def _working(conn: psycopg.Connection, workers: int) -> None:
    from tongguan.window import queue

    assert queue.workers(conn) == workers


# --- what is measured -----------------------------------------------------------------------------

SENDERS = 8
PARCELS_AT_ONCE = 48
"""Single parcels under way at most: enough that none is sent late because another one waits."""


def rate(at: Window, load: Traffic, *, told: bool = False) -> float:
    """Parcels a second, from the first post until all is told."""
    queues: dict[int, list[bytes]] = defaultdict(list)
    places: dict[str, int] = {}
    for code, data in load.messages:
        place = places.setdefault(code, len(places) % SENDERS)
        queues[place].append(at.request(code, data))
    workers = sum(name == "workers" for name, _ in at.processes)
    waiting = WAITING * workers
    senders = Senders(at.database.url, at.port, list(queues.values()), waiting)
    before = at.cpu()
    began = time.perf_counter()
    sending = senders.send()
    with at.database.connect(autocommit=True) as conn:
        at.await_all(conn)
    seconds = time.perf_counter() - began
    if told:
        spent = {name: cpu - before[name] for name, cpu in at.cpu().items()} | {"senders": sending}
        parts = ", ".join(f"{name} {cpu / load.parcels * 1e6:,.0f}" for name, cpu in spent.items())
        print(f"CPU, µs a parcel: {parts}; {1e6 * seconds / load.parcels:,.0f} of wall time")
    return load.parcels / seconds


def batches(database: store.Database) -> list[int]:
    """The batches in which messages were recorded."""
    with database.connect() as conn:
        return [row[0] for row in conn.execute("SELECT DISTINCT batch_id FROM message")]


def bare(database: store.Database, load: Traffic, before: Sequence[int]) -> float:
    """Parcels a second by bare loops over the same bytes and rows. before: batches of others."""
    keys_of: dict[bytes, rsa.RSAPublicKey] = {}

    def verify() -> None:
        for _, data in load.messages:
            root = etree.fromstring(data)
            signature = root[-1]
            info = signature.find(f"{DS}SignedInfo")
            value = base64.b64decode(signature.findtext(f"{DS}SignatureValue") or "")
            text = signature.findtext(f".//{DS}X509Certificate") or ""
            der = base64.b64decode("".join(text.split()))
            if der not in keys_of:
                public = load_der_x509_certificate(der).public_key()
                assert isinstance(public, rsa.RSAPublicKey)
                keys_of[der] = public
            form = etree.tostring(info, method="c14n")
            root.remove(signature)
            hashlib.sha256(etree.tostring(root, method="c14n")).digest()
            keys_of[der].verify(value, form, padding.PKCS1v15(), hashes.SHA256())

    server = postmaster(database)
    signed = measured(verify, server)
    with database.connect() as conn:
        mine = sorted(set(batches(database)) - set(before))
        rows = rows_of(conn, mine)
        bare_tables(conn, keys=False)
        copied = measured(lambda: bare_copy(conn, rows, len(mine)), server)
        conn.execute("DROP SCHEMA bare CASCADE")
        conn.commit()
    print(
        f"bare loops: parse, c14n, digest, verify {signed.wall / load.parcels * 1e6:,.0f} µs, copy "
        f"{copied.wall / load.parcels * 1e6:,.0f} µs a parcel; {len(mine)} batches"
    )
    return load.parcels / (signed.wall + copied.wall)


def latency(at: Window, load: Traffic) -> None:
    """Single parcels, one message a document, at half of the rate that such messages reach."""
    by_order: dict[bytes, list[tuple[str, bytes]]] = defaultdict(list)
    number = re.compile(rb"<(?:\w+:)?orderNo>([^<]+)<")
    for code, data in load.messages:
        found = number.search(data)
        assert found is not None
        by_order[found[1]].append((code, data))
    parcels = list(by_order.values())
    first, rest = parcels[: len(parcels) // 2], parcels[len(parcels) // 2 :]
    full = rate_of_singles(at, first)
    print(f"single parcels, four messages each: {full:,.0f} parcels/s at full load")
    began = time.perf_counter()
    times = sorted(_timed(at, rest[:ALONE], full / 2))
    pace = len(times) / (time.perf_counter() - began)
    p50, p99 = (times[len(times) * part // 100] * 1000 for part in (50, 99))
    print(
        f"a single parcel at half load ({pace:,.0f} parcels/s), from its list to its release: "
        f"p50 {p50:,.0f} ms, p99 {p99:,.0f} ms"
    )


def rate_of_singles(at: Window, parcels: list[list[tuple[str, bytes]]]) -> float:
    with at.database.connect(autocommit=True) as conn:
        pieces = [parcels[place::SENDERS] for place in range(SENDERS)]

        def send(part: list[list[tuple[str, bytes]]]) -> None:
            connection = at.connect()
            for parcel in part:
                for code, data in parcel:
                    at.post(connection, code, data)

        threads = [threading.Thread(target=send, args=(part,)) for part in pieces]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        at.await_all(conn)
        seconds = time.perf_counter() - began
    return len(parcels) / seconds


def _timed(at: Window, parcels: list[list[tuple[str, bytes]]], pace: float) -> list[float]:
    """Seconds from posting the last message of each parcel to the receipt of its release."""
    times: list[float] = []
    begun = time.perf_counter()
    lock = threading.Lock()
    waiting = iter(enumerate(parcels))

    def one() -> None:
        sender, reader = at.connect(), at.connect()
        while True:
            with lock:
                place, parcel = next(waiting, (0, []))
            if not parcel:
                return
            ordered = sorted(parcel, key=lambda each: b"CEB621Message" in each[1][:400])
            time.sleep(max(0.0, begun + place / pace - time.perf_counter()))
            for code, data in ordered[:-1]:
                at.post(sender, code, data)
            code, data = ordered[-1]
            cursor = _end(at, reader, code)
            sent = time.perf_counter()
            at.post(sender, code, data)
            _released(at, reader, code, cursor, data)
            with lock:
                times.append(time.perf_counter() - sent)

    threads = [threading.Thread(target=one) for _ in range(PARCELS_AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def _get(at: Window, reader: http.client.HTTPConnection, code: str, path: str) -> dict[str, object]:
    reader.request("GET", path, headers={"Authorization": f"Bearer {at.keys[code]}"})
    reply = reader.getresponse()
    body = reply.read()
    assert reply.status == 200, body
    found: dict[str, object] = json.loads(body)
    return found


def _end(at: Window, reader: http.client.HTTPConnection, code: str) -> str:
    head = _get(at, reader, code, "/api/evidence/head")["head"]
    assert isinstance(head, dict)
    return str(head["size"] - 1)


def _released(
    at: Window, reader: http.client.HTTPConnection, code: str, cursor: str, data: bytes
) -> None:
    """Follow receipts until the list is told to be released."""
    found = re.search(rb"<(?:\w+:)?copNo>([^<]+)<", data)
    assert found is not None
    own = found[1].decode()
    while True:
        page = _get(at, reader, code, f"/api/receipts?after={cursor}&wait=20")
        entries = page["receipts"]
        assert isinstance(entries, list)
        assert entries, f"no receipt for {own}"
        cursor = str(page["next"])
        if any(each["key"].get("copNo") == own and each["status"] == 800 for each in entries):
            return


def rival(database: store.Database, load: Traffic) -> None:
    """Making messages durable, without HTTP: a commit for all who wait, and a commit for each."""
    data = [data for _, data in load.messages[:RIVAL]]

    def handed(kind: str) -> list[submissions.HandedIn]:
        return [
            submissions.HandedIn(
                "bench",
                "k",
                hashlib.sha256(kind.encode() + each).hexdigest(),
                1,
                None,
                0,
                len(each),
                each,
            )
            for each in data
        ]

    alone = handed("alone")
    with database.connect(autocommit=True) as conn:
        began = time.perf_counter()
        for each in alone:
            submissions.keep(conn, [each])
        single = len(alone) / (time.perf_counter() - began)
        committer = submissions.Committer(database, Limits())
        together = handed("together") + handed("again") + handed("more")
        pieces = [together[place::32] for place in range(32)]
        threads = [
            threading.Thread(target=lambda part=part: [committer.hand_in([e]) for e in part])
            for part in pieces
        ]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        group = len(together) / (time.perf_counter() - began)
        committer.close()
        conn.execute("DELETE FROM submission WHERE company = 'bench'")
    print(
        f"intake of messages, 32 who wait: {group:,.0f}/s with one commit for all, "
        f"{single:,.0f}/s with one each (rival); {group / single:.1f}x"
    )


if __name__ == "__main__":
    main(MOST)
