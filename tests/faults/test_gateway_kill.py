"""kill -9 of gateway, worker or database at any moment, under load from several senders.

``tongguan up`` runs for real, on a server that waits for its disk. Senders hand in parcels message
by message; who gets no answer either sends again or goes on without. What was answered must be
recorded exactly once, what was not is absent or complete, and each sender must have been told the
same of every document, in the same order, as by a run of ``clear`` over the same messages that
nobody disturbed.
"""

import os
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from random import Random

import httpx
import psycopg
import pytest
from dossiers import NOON, Buyer, identity, message, parcel
from processes import SECRETS, Process, free_port, ready

from tongguan import clearance, store
from tongguan.sharing import companies, keys
from tongguan.sharing.heads import Signer
from tongguan.window import running, stream
from window import check_books, digest, server_processes

ROUNDS = [
    pytest.param(4, 3, id="sample"),
    pytest.param(200, 8, id="full", marks=pytest.mark.faults_full),
]
VICTIMS = ("gateway", "worker", "database")
Told = dict[tuple[str, str], list[tuple[int | None, str]]]
"""What a sender was told of each document (message, its own number): statuses in order."""


@dataclass
class Window:
    """One ``tongguan up``, and who is filed in it."""

    home: Path
    port: int
    keys: dict[str, str]
    up: Process

    def pid(self, victim: str) -> int:
        """The process to kill, as it is now."""
        if victim == "database":
            return int((self.home / "database/postmaster.pid").read_text().split("\n", 1)[0])
        begun = [line for line in self.up.events("starts") if line["part"] == victim]
        return int(begun[-1]["pid"])

    def client(self, code: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.keys[code]}", "Content-Type": "application/xml"}
        address = f"http://127.0.0.1:{self.port}"
        # Without certificates to load, which would take longer than to send a message.
        return httpx.Client(base_url=address, headers=headers, timeout=20, verify=False)

    def told(self, code: str) -> tuple[Told, list[str]]:
        """All a sender is told by the gateway, and the numbers of its documents as first told."""
        entries = []
        with self.client(code) as client:
            after = "0.0"
            while True:
                page = client.get("/api/receipts", params={"after": after}).json()
                if not page["receipts"]:
                    return _told(entries)
                entries += page["receipts"]
                after = page["next"]


def _told(entries: list[dict[str, object]]) -> tuple[Told, list[str]]:
    found: Told = defaultdict(list)
    for entry in entries:
        key = entry["key"]
        assert isinstance(key, dict)
        # A bill has only numbers that the window gives, and another run gives others.
        names = (
            name
            for name in ("copNo", "orderNo", "payTransactionId", "logisticsNo")
            if key.get(name)
        )
        own = next((key[name] for name in names), "a bill")
        status = entry["status"]
        assert status is None or isinstance(status, int)
        # What an acceptance says holds a guid of the document, which is the same in both runs.
        found[str(entry["message"]), own].append((status, str(entry["info"])))
    firsts = [own for type_, own in found if type_ in ("CEB312", "CEB412", "CEB512", "CEB622")]
    return dict(found), firsts


@dataclass
class Sender:
    """A company that sends parcel after parcel until it is stopped."""

    code: str
    number: int
    rng: Random
    answered: list[bytes] = field(default_factory=list)
    unanswered: list[bytes] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)

    def messages(self) -> Iterator[bytes]:
        for n in range(1, 100_000):
            no = self.number * 100_000 + n
            buyer = Buyer("安娜", identity(serial=n % 1000, place=f"1101{self.number:02d}"), "139")
            buyer = replace(buyer, phone=f"139{no:08d}")
            for paper in parcel(no, buyer=buyer):
                yield message(replace(paper, sender=(self.code, "送报企业")))

    def run(self, window: Window, stop: threading.Event) -> None:
        with window.client(self.code) as client:
            for data in self.messages():
                if stop.is_set():
                    return
                while not self._post(client, data):
                    if self.rng.random() < 0.05 or stop.is_set():
                        self.unanswered.append(data)
                        break
                    time.sleep(0.05)

    def _post(self, client: httpx.Client, data: bytes) -> bool:
        """Send once; whether it was answered for."""
        try:
            reply = client.post("/api/messages", content=data)
        except httpx.TransportError:
            return False
        if reply.status_code == 202:
            self.answered.append(data)
            return True
        if reply.status_code not in (429, 503):
            self.refused.append((reply.status_code, reply.text))
        return False


@pytest.fixture
def window(senders: int) -> Iterator[Window]:
    home = Path(tempfile.mkdtemp(prefix="tg-up-", dir="/tmp"))
    home.chmod(0o755)
    codes = [f"330196{number:04d}" for number in range(1, senders + 1)]
    with store.open(home=home / "data") as database:
        running.prepare(database)
        issued = {code: store.transact(database, _filed(code)) for code in codes}
    port = free_port()
    words = ["up", "--port", str(port), "--registry", "open", "--signatures", "ignored"]
    words += ["--at", NOON, "--workers", "2"]
    environment = {"TONGGUAN_HOME": str(home / "data"), "TONGGUAN_LIMIT_RATE": "10000"}
    up = Process(words, environment, home, "up")
    try:
        ready(port)
        yield Window(home / "data", port, issued, up)
        assert up.stop() == 0
    finally:
        up.kill()
        for process in server_processes(home / "data/database"):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        shutil.rmtree(home)


def _filed(code: str) -> Callable[[object], str]:
    def work(conn: object) -> str:
        companies.file(conn, code, "送报企业", ["platform"], "test", 1)  # type: ignore[arg-type]
        return keys.issue(conn, code, ["messages:send", "receipts:read"], 1)[0]  # type: ignore[arg-type]

    return work


@pytest.mark.parametrize(("rounds", "senders"), ROUNDS)
def test_kill_anything_under_load(
    window: Window,
    database: store.Database,
    rounds: int,
    senders: int,
    tally: Callable[[str], None],
    tmp_path: Path,
) -> None:
    rng = Random(f"gateway {rounds}")
    loads = [
        Sender(code, number, Random(f"sender {number}"))
        for number, code in enumerate(window.keys, 1)
    ]
    stop = threading.Event()
    threads = [threading.Thread(target=each.run, args=(window, stop)) for each in loads]
    for each in threads:
        each.start()
    killed = Counter[str]()
    for number in range(rounds):
        victim = rng.choice(VICTIMS) if number >= len(VICTIMS) else VICTIMS[number]
        time.sleep(rng.random() * 0.6)
        _kill(window, victim)
        killed[victim] += 1
        _goes_on(window, loads)
    stop.set()
    for each in threads:
        each.join()
    ready(window.port)
    _drained(window, loads[0].code)
    _check(window, loads, database, tmp_path)
    answered, unanswered = (
        sum(len(getattr(each, name)) for each in loads) for name in ("answered", "unanswered")
    )
    tally(
        f"gateway: {dict(killed)} killed under load from {senders} senders; {answered} messages "
        f"answered, {unanswered} not; each recorded once or not at all, all told as undisturbed"
    )


def _kill(window: Window, victim: str) -> None:
    """Kill a process; one that is only just being started again, as soon as it is there."""
    end = time.monotonic() + 60
    while True:
        try:
            return os.kill(window.pid(victim), signal.SIGKILL)
        except (ProcessLookupError, FileNotFoundError):
            assert time.monotonic() < end, f"no {victim} to kill"
            time.sleep(0.05)


def _goes_on(window: Window, loads: list[Sender]) -> None:
    """Wait until messages are answered again."""
    before = sum(len(each.answered) for each in loads)
    end = time.monotonic() + 90
    while sum(len(each.answered) for each in loads) < before + 3:
        assert time.monotonic() < end, window.up.log[-3000:]
        time.sleep(0.02)


def _drained(window: Window, code: str) -> None:
    """Wait until nothing waits any more and everything has its place in the log."""
    end = time.monotonic() + 120
    sql = """SELECT (SELECT count(*) FROM submission WHERE state = 'waiting'),
        (SELECT count(*) FROM evidence_run WHERE first IS NULL)"""
    with store.open(home=window.home) as database:
        while True:
            with suppress(store.Unavailable), database.connect(autocommit=True) as conn:
                if conn.execute(sql).fetchone() == (0, 0):
                    return
            assert time.monotonic() < end, window.up.log[-3000:]
            time.sleep(0.1)


def _check(window: Window, loads: list[Sender], still: store.Database, folder: Path) -> None:
    with store.open(home=window.home) as database, database.connect(autocommit=True) as conn:
        check_books(conn)
        rows = conn.execute("SELECT company, digest, state, documents FROM submission ORDER BY n")
        kept = rows.fetchall()
        recorded = dict(conn.execute("SELECT digest, documents FROM message").fetchall())
    assert {state for _, _, state, _ in kept} == {"done"}
    assert len({(company, sha) for company, sha, _, _ in kept}) == len(kept)
    assert recorded == {sha: documents for _, sha, _, documents in kept}
    for each in loads:
        assert not each.refused, each.refused[:3]
        own = [sha for company, sha, _, _ in kept if company == each.code]
        sent = [digest(data) for data in each.answered]
        lacking = Counter(sent) - Counter(own)
        assert not lacking, f"{each.code}: {len(lacking)} answered messages are gone"
        extra = set(own) - set(sent) - {digest(data) for data in each.unanswered}
        assert not extra
    bodies = {digest(data): data for each in loads for data in [*each.answered, *each.unanswered]}
    undisturbed = _undisturbed(window, still, [bodies[sha] for _, sha, _, _ in kept], folder)
    for each in loads:
        told, firsts = window.told(each.code)
        expected, in_order = undisturbed[each.code]
        assert told == expected, each.code
        assert sorted(firsts) == sorted(in_order)
        for type_ in ("CEB312", "CEB412", "CEB512", "CEB622"):
            mine = [own for kind, own in told if kind == type_]
            assert mine == [own for kind, own in expected if kind == type_], type_


def _undisturbed(
    window: Window, database: store.Database, messages: list[bytes], folder: Path
) -> dict[str, tuple[Told, list[str]]]:
    """What ``clear`` tells of the same messages in the order in which they became durable."""
    inbox = folder / "in"
    inbox.mkdir()
    for n, data in enumerate(messages):
        (inbox / f"{n:06d}.xml").write_bytes(data)
    vault = store.Vault(bytes.fromhex(SECRETS["TONGGUAN_DATA_KEY"]))
    signer = Signer(bytes.fromhex(SECRETS["TONGGUAN_EVIDENCE_KEY"]))
    running.prepare(database)
    under = clearance.settings(database, datetime.fromisoformat(NOON), "ignored")
    clearance.clear(database, vault, clearance.sources([inbox]), under, signer=signer)
    with database.connect(autocommit=True) as conn:
        return {code: _told(_entries(conn, vault, code)) for code in window.keys}


def _entries(conn: psycopg.Connection, vault: store.Vault, code: str) -> list[dict[str, object]]:
    found = stream.after(conn, vault, [code], stream.BEGINNING, 1_000_000, proofs=False)
    return [
        {"key": each.key, "status": each.status, "info": each.info, "message": each.message}
        for one in found
        for each in stream.entries(one, stream.BEGINNING)
    ]
