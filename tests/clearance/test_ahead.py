"""A second process prepares the batches: nothing that is decided tells whether it did."""

import hashlib
import os
import signal
import socket
import threading
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from dossiers import Window, inventory, message, order, parcel, payment, waybill
from polars.testing import assert_frame_equal

from tongguan import clearance, messages, store
from tongguan.clearance import ahead, intake, second_process


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> list[ahead.Preparer]:
    """Has every run of more than one batch use a second process; those that were started."""
    started: list[ahead.Preparer] = []
    begin = ahead.Preparer.__init__

    def noted(self: ahead.Preparer, *words: Any) -> None:
        begin(self, *words)
        started.append(self)

    monkeypatch.setattr(ahead.Preparer, "__init__", noted)
    monkeypatch.setattr(ahead, "PROCESS_FROM_BYTES", 0)
    monkeypatch.setattr(intake, "BATCH_FILES", 2)
    return started


FRAME = pl.DataFrame(
    {
        "text": ["", None, "浙\n", "a" * 40],
        "money": ["1.00001", None, "-3", "99999999999999.99999"],
        "number": [1, None, -1, 2**62],
        "yes": [True, None, False, True],
        "day": ["2022-06-01", None, "2016-04-08", "2019-01-01"],
        "bytes": [b"", None, b"\0\xff", b"x" * 40],
        "none": [None] * 4,
    }
).with_columns(pl.col("money").cast(pl.Decimal(19, 5)), pl.col("day").str.to_date())


@pytest.mark.parametrize("frame", [FRAME, FRAME.clear(), FRAME.slice(1, 2)])
def test_a_frame_arrives_as_it_was_sent(frame: pl.DataFrame) -> None:
    here, there = socket.socketpair()
    with here, there:
        thing = {"frame": frame, "text": "y" * 1000}
        thread = threading.Thread(target=second_process.send, args=(here, thing))
        thread.start()
        got = second_process.receive(there)
        thread.join()
    assert got["text"] == "y" * 1000
    assert_frame_equal(got["frame"], frame)


def test_what_the_second_process_sealed_is_opened_here(
    window: Window, two: list[ahead.Preparer]
) -> None:
    papers = [*map(message, parcel(1)), b"<nothing", b"", *map(message, parcel(2))]
    done = window.clear(*papers, cut=True)
    assert len(two) == 1
    assert two[0]._process.returncode is not None, "the second process outlived the run"
    assert done.run.messages == len(papers)
    sealed = window.rows("SELECT digest, sealed FROM message")
    for digest, packed in sealed:
        opened = pa.BufferReader(window.vault.unseal(bytes(packed)))
        data = pa.CompressedInputStream(opened, "zstd").read()
        assert hashlib.sha256(data).hexdigest() == digest
    assert [name[-10:-4] for name, _ in done.receipts].count("CEB900") == 2
    again = window.clear(*papers, cut=True)
    assert (again.run.messages, again.run.repeated) == (0, len(papers))


@pytest.mark.parametrize("second", [True, False])
def test_the_outcome_is_that_of_one_process(
    window: Window, two: list[ahead.Preparer], monkeypatch: pytest.MonkeyPatch, second: bool
) -> None:
    if not second:
        monkeypatch.setattr(ahead, "PROCESS_FROM_BYTES", 1 << 60)
    papers = [*parcel(1), *reversed(parcel(2)), order(3), payment(3, amountPaid="1"), waybill(3)]
    window.clear(*papers, inventory(3), cut=True)
    assert len(two) == second
    assert [window.status(inventory(n)) for n in (1, 2, 3)] == [
        [(800, True)],
        [(800, True)],
        [(100, True)],
    ]


def test_a_second_process_that_is_killed_is_told_as_a_failure_of_the_environment(
    window: Window, two: list[ahead.Preparer], monkeypatch: pytest.MonkeyPatch
) -> None:
    papers = [paper for n in range(1, 9) for paper in parcel(n)]
    found = window.write([message(paper) for paper in papers])

    def kill(files: int, run: clearance.Run) -> None:
        os.kill(two[0]._process.pid, signal.SIGKILL)

    with pytest.raises(store.Unavailable, match="ended too early"):
        clearance.clear(window.database, window.vault, found, window.settings(), progress=kill)
    monkeypatch.setattr(ahead, "PROCESS_FROM_BYTES", 1 << 60)
    run = clearance.clear(window.database, window.vault, found, window.settings())
    assert run.repeated < len(papers)
    assert {window.status(inventory(n))[-1] for n in range(1, 9)} == {(800, True)}


def test_what_fails_in_the_second_process_is_raised_in_the_first(
    window: Window, two: list[ahead.Preparer]
) -> None:
    found = window.write([message(paper) for paper in parcel(1)])
    found[-1].path.unlink()
    with pytest.raises(FileNotFoundError, match=found[-1].path.name):
        clearance.clear(window.database, window.vault, found, window.settings())
    assert len(two) == 1


def test_the_second_process_ends_when_nobody_listens(
    window: Window, database: store.Database
) -> None:
    cuts = [window.write([message(*parcel(1)[:1])]) for _ in range(3)]
    under = window.settings()
    limits = messages.Limits()
    order = ahead.Order(database.url, window.vault, under.at, under.signatures, limits)
    other = ahead.Preparer(order, cuts)
    assert len(other.next().incoming) == 1
    other._socket.close()
    assert other._process.wait(timeout=20) == 0
