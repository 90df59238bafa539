"""Whatever lies in the folder: read without harm, answered, and the good messages are cleared."""

import json
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import hostile
import pytest
from lxml import etree

from tongguan import messages, store, twin
from tongguan.clearance.kinds import BY_MESSAGE
from window import check_books, check_told, digest, files, schema, stored_receipts, window

LIMITS = messages.Limits()
SECONDS = 2.0
"""Processor time for one input, with room to spare: the slowest takes a twentieth of it."""
GOOD_PARCELS = 40
SECRET = "canary-" + "7f3a9c51"


@pytest.mark.parametrize("count", [250, pytest.param(5000, marks=pytest.mark.faults_full)])
def test_hostile_inputs(count: int, tally: Callable[[str], None]) -> None:
    with window(batch_files=100) as made, listener() as (lure, visits):
        canary = made.home / "canary"
        canary.write_text(SECRET)
        dealt = list(hostile.inputs(count, count, lure, str(canary)))
        slowest = max(read_alone(one) for one in dealt)
        folder = made.home / "in"
        for one in dealt:
            one.write(os.fsencode(folder))
        twin.write(made.home / "good", seed=77, parcels=GOOD_PARCELS, faults=0)
        for number, path in enumerate(sorted((made.home / "good/messages").iterdir())):
            path.rename(folder / f"{number * 997 % 10_000:04d}-good-{number}.xml")
        done = made.clear(folder)
        assert done.status == 1, (done.status, done.err[-3000:])
        assert "Traceback" not in done.err
        assert not visits, "something was fetched"
        with store.open(home=made.home) as database, database.connect(autocommit=True) as conn:
            check_books(conn)
            stored = stored_receipts(conn, store.Vault.open(made.home))
            found = answers(conn)
        written = files(made.receipts)
        check_told(stored, written, whole=True)
        check_receipts(written)
        report = (made.home / "report.jsonl").read_text("utf-8")
        check_report(report, found)
        assert SECRET not in report + done.out + done.err
        assert not any(SECRET.encode() in data for data in written.values())
    refused = check_answers(dealt, found)
    released = [f for name, f in found.values() if "-good-" in name]
    assert {status for good in released for status in good["lists"]} == {800}
    assert sum(len(good["lists"]) for good in released) == GOOD_PARCELS
    tally(
        f"hostile inputs: {count} inputs of {len({one.family for one in dealt})} families, "
        f"{refused} messages refused whole, {GOOD_PARCELS} good parcels beside them all cleared; "
        f"slowest {slowest:.2f} s of processor time"
    )


@contextmanager
def listener() -> Iterator[tuple[str, list[Any]]]:
    """An address to be tempted by, and who came."""
    visits: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            with suppress(OSError):
                while True:
                    visitor, address = server.accept()
                    visits.append(address)
                    visitor.close()

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/", visits
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def read_alone(one: hostile.Input) -> float:
    """Read and check one input in this process; the processor time it took."""
    data = one.read(LIMITS.bytes + 1)
    began = time.process_time()
    parsed = messages.parse(data, LIMITS)
    about = [each for each in parsed.findings if each.severity == "error"]
    errors = len(about)
    if not parsed.refused:
        for batch in messages.collect([parsed]).values():
            errors += messages.check(batch).findings.filter(severity="error").height
    took = time.process_time() - began
    assert took < SECONDS, f"{one.family}: {took:.1f} s for {len(data)} bytes: {data[:300]!r}"
    refused = parsed.refused or parsed.type not in BY_MESSAGE
    met = {"refused": refused, "found": refused or errors, "answered": True}
    assert met[one.must], f"{one.family} was to be {one.must}: {data[:3000]!r}"
    assert not parsed.refused or about, f"{one.family}: refused, and no reason given"
    return took


def answers(conn: Any) -> dict[str, tuple[str, dict[str, Any]]]:
    """By digest of what was read: the file's name and what became of the message."""
    sql = """SELECT digest, name, refused, documents,
            ARRAY(SELECT rule FROM finding WHERE message_id = m.id AND severity = 'error'),
            ARRAY(SELECT status FROM document WHERE message_id = m.id AND kind = 621)
        FROM message m"""
    return {
        row[0]: (
            row[1],
            dict(zip(("refused", "documents", "rules", "lists"), row[2:], strict=True)),
        )
        for row in conn.execute(sql)
    }


def check_answers(dealt: list[hostile.Input], found: dict[str, tuple[str, dict[str, Any]]]) -> int:
    """Every input was recorded, and met with what it deserves; how many were refused whole."""
    refused = 0
    for one in dealt:
        _, fate = found[digest(one.read(LIMITS.bytes + 1))]
        refused += fate["refused"]
        if one.must == "refused":
            assert fate["refused"], one
        if one.must != "answered":
            assert fate["rules"], one
        assert not fate["refused"] or "message.format" in fate["rules"], one
    return refused


def check_receipts(written: dict[str, bytes]) -> None:
    """Receipts are well-formed and keep our schema, even those that answer nonsense."""
    schemas: dict[str, etree.XMLSchema] = {}
    for name, data in written.items():
        type_ = name.removesuffix(".xml").rpartition("-")[2]
        root = etree.fromstring(data)
        if type_ == "CEB900":
            valid = schemas.setdefault(type_, schema(type_))
            assert valid.validate(root), (name, str(valid.error_log)[:1000], data[:500])


def check_report(report: str, found: dict[str, tuple[str, dict[str, Any]]]) -> None:
    """Every message refused whole has its line, with a finding; every document has one."""
    lines = [json.loads(line) for line in report.split("\n") if line]
    whole = Counter(line["key"]["file"] for line in lines if line["document"] == "message")
    assert whole == Counter(name for name, fate in found.values() if fate["refused"])
    assert all(line["findings"] for line in lines if line["document"] == "message")
    documents = sum(fate["documents"] for _, fate in found.values() if not fate["refused"])
    assert len(lines) - whole.total() == documents


def test_every_family_is_dealt() -> None:
    dealt = {one.family for one in hostile.inputs(1, 120, "http://127.0.0.1:9/", "/nowhere")}
    assert set(hostile.FAMILIES) <= dealt


def test_the_same_seed_deals_the_same() -> None:
    once, again = (
        [digest(one.data) for one in hostile.inputs(5, 100, "http://127.0.0.1:9/", "/nowhere")]
        for _ in range(2)
    )
    assert once == again


def test_the_listener_notices_visits() -> None:
    with listener() as (lure, visits):
        with socket.create_connection(("127.0.0.1", int(lure.rstrip("/").rpartition(":")[2]))):
            pass
        until = time.monotonic() + 5
        while not visits and time.monotonic() < until:
            time.sleep(0.01)
    assert visits


def test_names_that_are_no_text_are_kept(tmp_path: Path) -> None:
    """The odd names really lie in the folder as they are meant."""
    one = hostile.Input(b"caf\xe9/\xe4\xb8.xml", "x", "refused", b"")
    one.write(os.fsencode(tmp_path))
    assert os.listdir(os.fsencode(tmp_path)) == [b"caf\xe9"]
