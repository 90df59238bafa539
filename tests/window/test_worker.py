"""Workers: a sender's order, a poisoned message, several at once, what is recorded just once."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from dossiers import AGENT, CARRIER, PAYMENT, PLATFORM, message, order, parcel
from psycopg import errors
from zones import Zone

from tongguan import clearance, messages, store
from tongguan.sharing import subscriptions
from tongguan.sharing.heads import Signer
from tongguan.window import queue, worker
from tongguan.window.worker import Worker


@pytest.fixture
def other(zone: Zone) -> Iterator[Worker]:
    """A second worker on the same window."""
    made = Worker(zone.database, zone.vault, Signer(bytes(range(32))), messages.Limits())
    yield made
    made.close()


def test_a_batch_mixes_senders_and_takes_all_that_waits(zone: Zone) -> None:
    zone.lay_down(registry="open")
    for paper in parcel(1):
        zone.post(zone.key(paper.sender[0]), message(paper))
    assert zone.worker.once() == 4
    assert zone.rows("SELECT count(DISTINCT batch_id) FROM message") == [(1,)]


def test_two_workers_never_have_one_sender_at_once(zone: Zone, other: Worker) -> None:
    for firm in (PLATFORM, PAYMENT, CARRIER, AGENT):
        for number in (1, 2, 3):
            zone.post(zone.key(firm[0]), f"<no{number}/>".encode())
    _register(zone.worker, other)
    with zone.database.connect() as first, zone.database.connect() as second:
        mine, theirs = queue.take(first), queue.take(second)
        assert mine
        assert theirs
        assert not {each.company for each in mine} & {each.company for each in theirs}
        assert len(mine) + len(theirs) == 12
        for taken in (mine, theirs):
            assert [each.n for each in taken] == sorted(each.n for each in taken)


def test_a_worker_takes_more_of_a_sender_only_behind_what_it_has_in_hand(
    zone: Zone, other: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "MOST_MESSAGES", 2)
    for firm in (PLATFORM, PAYMENT, CARRIER, AGENT):
        for number in (1, 2, 3):
            zone.post(zone.key(firm[0]), f"<no{number}/>".encode())
    _register(zone.worker, other)
    with zone.database.connect(True) as first, zone.database.connect(True) as second:
        before = queue.take(first)
        behind = queue.take(first, before)
        theirs = queue.take(second)
        assert [len(before), len(behind), len(theirs)] == [2, 2, 2]
        assert not {each.n for each in before} & {each.n for each in behind}
        mine = {each.company for each in (*before, *behind)}
        # Half of the senders, for there are two workers.
        assert len(mine) <= 2
        assert not mine & {each.company for each in theirs}
        queue.release(first, before)
        shared = {each.company for each in before} & {each.company for each in behind}
        assert not shared & {each.company for each in queue.take(second, theirs)}
        queue.release(first, behind)
        queue.release(second, theirs)


@pytest.fixture
def hurried(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """A worker to which two messages are a large batch."""
    monkeypatch.setattr(queue, "MOST_MESSAGES", 2)
    monkeypatch.setattr(worker, "AHEAD_BYTES", 1)
    monkeypatch.setattr(worker, "BESIDE_BYTES", 1)
    return zone.worker


def test_large_batches_are_prepared_by_a_second_process_while_one_is_recorded(
    zone: Zone, hurried: Worker
) -> None:
    zone.lay_down(registry="open")
    for number in (1, 2):
        for paper in parcel(number):
            zone.post(zone.key(paper.sender[0]), message(paper))
    assert hurried.once(ahead=True) == 2
    process = hurried._beside._process
    assert process is not None
    while hurried.once(ahead=True):
        pass
    assert zone.rows("SELECT DISTINCT status FROM document WHERE kind = 621") == [(800,)]
    assert zone.rows("SELECT count(*), count(DISTINCT batch_id) FROM message") == [(8, 4)]
    assert zone.rows("SELECT count(*) FROM taking") == [(0,)]
    hurried.close()
    assert process.returncode is not None


def test_a_worker_whose_second_process_is_killed_prepares_itself(
    zone: Zone, hurried: Worker
) -> None:
    key = zone.key(PLATFORM[0])
    for number in (1, 2, 3, 4, 5, 6):
        zone.post(key, message(order(number)))
    assert hurried.once(ahead=True) == 2
    assert hurried._ahead is not None
    hurried._ahead.result()
    process = hurried._beside._process
    assert process is not None
    process.kill()
    process.wait()
    while hurried.once(ahead=True):
        pass
    told = [each["key"]["orderNo"] for each in zone.receipts(key)]
    assert told == [f"O000000{number}" for number in (1, 2, 3, 4, 5, 6)]


def test_what_was_prepared_behind_a_batch_that_failed_is_taken_again(
    zone: Zone, hurried: Worker
) -> None:
    """Else a sender's later messages would be recorded before its earlier ones."""
    key = zone.key(PLATFORM[0])
    for number in (1, 2, 3, 4):
        zone.post(key, message(order(number)))

    def away(*anything: Any) -> Any:
        raise store.Unavailable("the database is away")

    with patch.object(clearance, "record", away), pytest.raises(store.Unavailable):
        hurried.once(ahead=True)
    assert zone.rows("SELECT count(*) FROM taking") == [(0,)]
    while hurried.once():
        pass
    told = [each["key"]["orderNo"] for each in zone.receipts(key)]
    assert told == [f"O000000{number}" for number in (1, 2, 3, 4)]


def test_workers_that_meet_record_in_turn_from_then_on(zone: Zone) -> None:
    zone.lay_down(registry="open")
    key = zone.key(PLATFORM[0])
    record, began = clearance.record, []

    def meets(conn: Any, batch: Any, *more: Any) -> Any:
        locks = "SELECT count(*) FROM pg_locks WHERE classid = %s AND granted"
        began.append(conn.execute(locks, (queue.TURN,)).fetchone()[0])
        if len(began) == 1:
            raise errors.SerializationFailure("another worker changed what this one has read")
        return record(conn, batch, *more)

    with patch.object(clearance, "record", meets):
        for number in (1, 2):
            zone.post(key, message(order(number)))
            assert zone.worker.once() == 1
    assert began == [0, 1, 1]


def _register(*workers: Worker) -> None:
    for one in workers:
        one._ready()


def test_what_another_worker_has_recorded_is_not_recorded_again(zone: Zone, other: Worker) -> None:
    """A worker whose claim was lost goes on with what it had in hand, and fails as a whole."""
    zone.post(zone.key(PLATFORM[0]), message(order(1)))
    with zone.database.connect() as conn:
        taken = queue.take(conn)
    assert zone.worker.once() == 1
    _register(other)
    claims, reader = other._ready()
    with pytest.raises(queue.Overtaken):
        other._record(other._prepared(claims, taken, other._under(reader)))
    assert zone.rows("SELECT count(*) FROM document") == [(1,)]
    assert zone.rows("SELECT count(*) FROM taking") == [(0,)]


@contextmanager
def poisoned(number: str) -> Iterator[None]:
    """Recording fails for any batch that holds a document of that number."""
    record = clearance.record

    def fails(conn: Any, batch: Any, *more: Any) -> Any:
        if number in batch.documents["key_b"].to_list():
            raise ZeroDivisionError("a fault of the window")
        return record(conn, batch, *more)

    with patch.object(clearance, "record", fails):
        yield


def test_a_poisoned_message_holds_up_nobody_and_is_kept_for_the_operator(zone: Zone) -> None:
    zone.lay_down(registry="open")
    key = zone.key(PLATFORM[0])
    ids = [zone.post(key, message(order(number))).json["id"] for number in (1, 2, 3)]
    with poisoned("O0000002"):
        assert zone.work() == 3
    states = [zone.ask("GET", f"/api/messages/{id_}", key).json["state"] for id_ in ids]
    assert states == ["done", "set-aside", "done"]
    told = [(e["message"], e["key"].get("orderNo")) for e in zone.receipts(key)]
    assert sorted(told, key=str) == [
        ("CEB312", "O0000001"),
        ("CEB312", "O0000003"),
        ("CEB900", None),
    ]
    [(why, sealed)] = zone.rows("SELECT why, sealed FROM submission WHERE state = 'set-aside'")
    assert why == "ZeroDivisionError"
    assert sealed is not None
    assert zone.rows("SELECT count(*) FROM taking") == [(0,)]


def test_a_message_with_which_workers_die_is_tried_alone_and_then_given_up(zone: Zone) -> None:
    zone.lay_down(registry="open")
    key = zone.key(PLATFORM[0])
    for number in (1, 2):
        zone.post(key, message(order(number)))
    [(first,), (second,)] = zone.rows("SELECT n FROM submission ORDER BY n")
    with zone.database.connect(autocommit=True) as conn:
        for _ in range(queue.SUSPECT):
            conn.execute(
                "INSERT INTO taking (worker, submissions) VALUES (1, %s)", ([first, second],)
            )
        for _ in range(queue.HOPELESS - queue.SUSPECT):
            conn.execute("INSERT INTO taking (worker, submissions) VALUES (1, %s)", ([second],))
    zone.work()
    assert zone.rows("SELECT state FROM submission ORDER BY n") == [("done",), ("set-aside",)]
    assert zone.rows("SELECT count(DISTINCT batch_id) FROM message") == [(2,)]


def test_lists_whose_documents_came_with_two_workers_are_caught_up_with(zone: Zone) -> None:
    """Neither of two batches at once sees the other; who comes after decides what is complete."""
    zone.lay_down(registry="open")
    papers = parcel(1)
    under = clearance.settings(zone.database, zone.moment(), "ignored", "open")
    batches = []
    with zone.database.connect(autocommit=True) as conn:
        desk = clearance.desk(conn, zone.vault, under)
        for part in (papers[:3], papers[3:]):
            handed = [clearance.Handed(p.kind, message(p), p.sender[0]) for p in part]
            batches.append(clearance.prepare_handed(handed, desk, messages.Limits(), "ignored"))
    with zone.database.connect() as one, zone.database.connect() as two:
        # Who named whom is noted by both, and would let the second wait for the first.
        with patch.object(subscriptions, "meet"):
            for conn, batch in ((one, batches[0]), (two, batches[1])):
                conn.execute("SET lock_timeout = '10s'")
                clearance.record(conn, batch, under, zone.vault.seal)
        one.commit()
        two.commit()
    assert zone.rows("SELECT status FROM document WHERE kind = 621") == [(2,)]
    assert AGENT[0] in clearance.catch_up(zone.database, under)
    assert zone.rows("SELECT status FROM document WHERE kind = 621") == [(800,)]
    assert clearance.catch_up(zone.database, under) == []


def test_what_falls_due_is_done_when_the_clock_has_gone_on(zone: Zone) -> None:
    zone.lay_down(registry="open")
    zone.post(zone.key(AGENT[0]), message(parcel(1)[3]))
    zone.work()
    assert zone.rows("SELECT status FROM document") == [(2,)]
    zone.lay_down(at="2022-07-20T12:00:00+08:00", registry="open")
    zone.work()
    assert zone.rows("SELECT status FROM document") == [(100,)]
    assert [e["status"] for e in zone.receipts(zone.key(AGENT[0]))] == [2, 100]
