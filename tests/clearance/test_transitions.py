"""The table of steps, and the database that writes no other."""

from collections import deque
from collections.abc import Iterator

import psycopg
import pytest
from dossiers import Window, inventory, order, parcel, payment
from psycopg.errors import CheckViolation

from tongguan import codes
from tongguan.clearance.transitions import cancellable, is_legal, legal_steps, transitions

STATUSES = (-621004, -1, 0, 1, 2, 3, 100, 120, 300, 399, 400, 500, 600, 700, 800, 899)
ROAD = [(0, 2), (2, 120), (120, 399), (399, 800), (800, 899)]
"""A list that nothing stops."""


def test_the_table_is_what_the_procedure_says() -> None:
    assert set(ROAD) < legal_steps("inventory")
    side = {(0, 1), (0, -1), (2, 100), (120, 300), (120, 500), (300, 500), (300, 399), (300, 100)}
    side |= {(500, 399), (500, 100), (399, 400), (400, 800)}
    withdrawn = {(120, 100), (399, 100), (400, 100)}
    assert legal_steps("inventory") == set(ROAD) | side | withdrawn
    assert cancellable() == {2, 120, 300, 399, 400, 500}
    about = {(0, 1), (0, 2), (0, -1), (2, 100), (2, 120), (120, 399)}
    assert legal_steps("cancellation") == about
    assert legal_steps("return") == about | {(399, 899), (399, 100)}
    for kind in ("order", "payment", "waybill"):
        assert legal_steps(kind) == {(0, 1), (0, 2), (0, -1), (2, 120)}


def test_every_kind_may_be_saved_declared_or_refused() -> None:
    for kind in codes.KINDS:
        assert {(0, 1), (0, 2), (0, -1)} <= legal_steps(kind)


def test_no_step_stands_twice_and_nothing_returns_to_the_start() -> None:
    steps = [(t.kind, t.before, t.after) for t in transitions()]
    assert len(steps) == len(set(steps))
    assert all(t.after != 0 and t.trigger and t.actor for t in transitions())


def test_every_status_that_is_left_was_reached_before() -> None:
    for kind in codes.KINDS:
        reached = {after for _, after in legal_steps(kind)} | {0}
        assert {before for before, _ in legal_steps(kind)} <= reached


def test_every_negative_code_is_a_refusal_for_the_form() -> None:
    assert is_legal("order", 0, -301008)
    assert not is_legal("order", 2, -301008)


# ── the database ────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def conn(window: Window) -> Iterator[psycopg.Connection]:
    with window.database.connect() as connection:
        yield connection


INSERT = """INSERT INTO event (document_id, seq, kind, before, after, at, batch_id)
    VALUES (%s, %s, %s, %s, %s, %s, 1)"""


def road_to(kind: str, status: int) -> list[tuple[int, int]] | None:
    """The steps that bring a new document of a kind to a status."""
    ways: dict[int, list[tuple[int, int]]] = {0: []}
    queue = deque([0])
    while queue:
        here = queue.popleft()
        for before, after in sorted(legal_steps(kind)):
            if before == here and after not in ways:
                ways[after] = [*ways[here], (before, after)]
                queue.append(after)
    return ways.get(status)


@pytest.mark.parametrize("kind", list(codes.KINDS))
def test_the_database_writes_legal_steps_and_no_other(conn: psycopg.Connection, kind: str) -> None:
    number = codes.KINDS[kind]
    document = 0
    for before in STATUSES:
        road = road_to(kind, before)
        for after in STATUSES:
            document += 1
            steps = [*(road or []), (before, after)]
            for seq, step in enumerate(steps[:-1], 1):
                conn.execute(INSERT, (document, seq, number, *step, 1000 + seq))
            last = (document, len(steps), number, before, after, 2000)
            if is_legal(kind, before, after):
                conn.execute(INSERT, last)
                continue
            with pytest.raises(CheckViolation) as refused, conn.transaction():
                conn.execute(INSERT, last)
            assert refused.value.diag.constraint_name == "event_is_a_legal_transition"


@pytest.mark.parametrize(
    "second",
    [
        (7, 2, 621, 120, 399, 2000),  # the first step led to 2
        (7, 3, 621, 2, 120, 2000),  # one number is left out
        (7, 2, 621, 2, 120, 1001),  # at the same time
        (7, 2, 621, 2, 120, 900),  # back in time
        (8, 2, 621, 2, 120, 2000),  # a document without a beginning
    ],
)
def test_a_history_continues(conn: psycopg.Connection, second: tuple[int, ...]) -> None:
    conn.execute(INSERT, (7, 1, 621, 0, 2, 1001))
    with pytest.raises(CheckViolation, match="does not continue its history"), conn.transaction():
        conn.execute(INSERT, second)
    conn.execute(INSERT, (7, 2, 621, 2, 120, 1002))


def test_steps_written_together_continue_too(conn: psycopg.Connection) -> None:
    rows = "(9,1,621,0,2,1,1), (9,2,621,2,120,2,1), (9,3,621,120,399,2,1)"
    columns = "document_id, seq, kind, before, after, at, batch_id"
    with pytest.raises(CheckViolation, match="event 3 of document 9"), conn.transaction():
        conn.execute(f"INSERT INTO event ({columns}) VALUES {rows}")
    later = rows.replace("399,2,1", "399,3,1")
    conn.execute(f"INSERT INTO event ({columns}) VALUES {later}")


@pytest.mark.parametrize(
    "change", ["status = 800", "status = 100, seq = 2", "seq = 2", "at = at + 1", "kind = 311"]
)
def test_a_document_is_where_its_last_event_says(
    window: Window, conn: psycopg.Connection, change: str
) -> None:
    window.clear(inventory())
    with pytest.raises(CheckViolation, match="not what its last event says"), conn.transaction():
        conn.execute(f"UPDATE document SET {change}")
    assert conn.execute("SELECT status, seq FROM document").fetchall() == [(2, 1)]


def test_no_document_without_an_event(conn: psycopg.Connection) -> None:
    with pytest.raises(CheckViolation, match="not what its last event says"), conn.transaction():
        conn.execute(
            """INSERT INTO document (id, kind, message_id, position, status, seq, at, current)
            VALUES (1, 311, 1, 0, 2, 1, 1, false)"""
        )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET info = 'x'",
        "DELETE FROM event",
        "UPDATE receipt SET xml = '<x/>'",
        "DELETE FROM receipt",
        "DELETE FROM document",
    ],
)
def test_nothing_that_a_receipt_was_given_for_goes(
    window: Window, conn: psycopg.Connection, statement: str
) -> None:
    window.clear(*parcel())
    with pytest.raises(CheckViolation, match="only grows"), conn.transaction():
        conn.execute(statement)


def test_one_document_of_a_key_is_current(window: Window, conn: psycopg.Connection) -> None:
    window.clear(order(), payment())
    sql = """INSERT INTO event VALUES (99, 1, 311, 0, 2, 5, NULL, 1);
        INSERT INTO document
            (id, kind, message_id, position, key_a, key_b, status, seq, at, current)
        SELECT 99, kind, 1, 0, key_a, key_b, 2, 1, 5, true FROM document WHERE kind = 311"""
    with pytest.raises(psycopg.errors.UniqueViolation), conn.transaction():
        conn.execute(sql)


def test_a_year_never_holds_more_than_its_limit(window: Window, conn: psycopg.Connection) -> None:
    window.clear(*parcel())
    for used in ("limit_fen + 1", "-1"):
        with pytest.raises(CheckViolation), conn.transaction():
            conn.execute(f"UPDATE allowance SET used_fen = {used}")
