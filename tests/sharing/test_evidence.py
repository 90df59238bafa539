"""The evidence log: positions in commit order, signed heads, proofs, the stream of receipts."""

import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from random import Random

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tongguan import clearance, store
from tongguan.sharing import evidence, heads, merkle

SIGNER = heads.Signer(bytes(range(32)))
AT = 1_654_056_000_000


@pytest.fixture
def log(database: store.Database) -> Iterator[store.Database]:
    with database.connect() as conn:
        store.migrate(conn, "evidence", evidence.STEPS)
    return database


def leaves(*names: object) -> list[bytes]:
    return [merkle.leaf_hash(str(name).encode()) for name in names]


def add(conn: psycopg.Connection, batch: int, *subjects: int, kind: int = evidence.MESSAGE) -> None:
    evidence.append(conn, batch, kind, subjects, leaves(*subjects))


def logged(database: store.Database) -> list[int]:
    """The subjects of the log by position."""
    with database.connect(autocommit=True) as conn:
        rows = conn.execute("SELECT position, subject, leaf FROM evidence_leaf WHERE position >= 0")
        found = sorted(rows.fetchall())
    assert [position for position, _, _ in found] == list(range(len(found)))
    assert [leaf for *_, leaf in found] == leaves(*(subject for _, subject, _ in found))
    return [subject for _, subject, _ in found]


def test_a_head_is_over_the_leaves_of_all_batches_in_their_order(log: store.Database) -> None:
    assert evidence.sequence(log, SIGNER, AT) is None
    for batch, subjects in ((1, (10, 11)), (2, (20,))):
        store.transact(log, lambda conn, b=batch, s=subjects: add(conn, b, *s))
    head = evidence.sequence(log, SIGNER, AT)
    assert head is not None
    assert head.is_signed
    assert (head.size, head.at_ms, head.public) == (3, AT, SIGNER.public)
    assert head.root == merkle.root(leaves(10, 11, 20))
    assert logged(log) == [10, 11, 20]
    with log.connect() as conn:
        assert evidence.head(conn) == evidence.head(conn, 3) == head
        assert evidence.head(conn, 2) is None
    assert evidence.sequence(log, SIGNER, AT) is None


def test_a_transaction_that_fails_leaves_no_leaf(log: store.Database) -> None:
    with log.connect() as conn:
        add(conn, 1, 10)
        conn.rollback()
    assert evidence.sequence(log, SIGNER, AT) is None


def test_what_commits_later_stands_later_whatever_its_number(log: store.Database) -> None:
    with log.connect() as slow, log.connect() as fast:
        add(slow, 1, 10, 11)
        add(fast, 2, 20)
        fast.commit()
        assert evidence.sequence(log, SIGNER, AT)
        slow.commit()
    assert logged(log) == [20]
    head = evidence.sequence(log, SIGNER, AT)
    assert logged(log) == [20, 10, 11]
    assert head is not None
    assert head.root == merkle.root(leaves(20, 10, 11))


def test_what_a_crash_left_waiting_is_taken_by_the_next(log: store.Database) -> None:
    """Committed, and then nothing: no position and no head until somebody sequences again."""
    store.transact(log, lambda conn: add(conn, 1, 10))
    assert logged(log) == []
    store.transact(log, lambda conn: add(conn, 2, 20))
    head = evidence.sequence(log, SIGNER, AT)
    assert head is not None
    assert (head.size, logged(log)) == (2, [10, 20])


def test_a_crash_while_sequencing_leaves_nothing_of_it(log: store.Database) -> None:
    store.transact(log, lambda conn: add(conn, 1, 10))
    with log.connect() as conn:
        assert evidence.sequenced(conn, SIGNER, AT)
        conn.rollback()
    head = evidence.sequence(log, SIGNER, AT + 1)
    assert head is not None
    assert (head.size, head.at_ms, logged(log)) == (1, AT + 1, [10])


def test_another_key_does_not_sign_the_same_log(log: store.Database) -> None:
    store.transact(log, lambda conn: add(conn, 1, 10))
    assert evidence.sequence(log, SIGNER, AT)
    store.transact(log, lambda conn: add(conn, 2, 20))
    with pytest.raises(store.Unavailable, match="evidence key is not the one"):
        evidence.sequence(log, heads.Signer(bytes(32)), AT)
    assert logged(log) == [10]


def test_the_log_only_grows(log: store.Database) -> None:
    store.transact(log, lambda conn: add(conn, 1, *range(20)))
    evidence.sequence(log, SIGNER, AT)
    for statement in (
        "UPDATE evidence_run SET leaves = leaves || leaves, subjects = subjects || subjects",
        "UPDATE evidence_run SET first = 7",
        "DELETE FROM evidence_run",
        "UPDATE evidence_tile SET hashes = substring(hashes FOR 32)",
        "DELETE FROM evidence_tile",
        "UPDATE evidence_head SET at = 0",
        "DELETE FROM evidence_head",
    ):
        with (
            log.connect() as conn,
            pytest.raises(psycopg.errors.CheckViolation, match="only grows"),
        ):
            conn.execute(statement.encode())


@given(st.lists(st.integers(1, 90), min_size=1, max_size=9), st.randoms(use_true_random=False))
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_every_leaf_is_proved_under_every_head_and_heads_are_consistent(
    log: store.Database, counts: list[int], rng: Random
) -> None:
    with log.connect() as conn:
        conn.execute("TRUNCATE evidence_run, evidence_tile, evidence_head, evidence_key")
        names: list[int] = []
        found = []
        for batch, count in enumerate(counts):
            subjects = range(len(names), len(names) + count)
            add(conn, batch, *subjects)
            names += subjects
            found.append(evidence.sequenced(conn, SIGNER, AT))
        made = leaves(*names)
        for head in found:
            assert head.root == merkle.root(made[: head.size])
            for position in {0, head.size - 1, *rng.sample(range(head.size), min(5, head.size))}:
                proof = evidence.proof(conn, position, head.size)
                assert merkle.is_included(position, head.size, made[position], proof, head.root)
        for old, new in pairwise(found):
            proof = evidence.consistency(conn, old.size, new.size)
            assert merkle.is_consistent(old.size, new.size, old.root, new.root, proof)
        told = evidence.proofs_of(conn, range(found[-1].size))
        for position, facts in told.items():
            path = [bytes.fromhex(each) for each in facts["path"]]
            assert facts["leaf"] == made[position].hex()
            assert (
                merkle.root_from(position, facts["size"], made[position], path).hex()
                == (facts["head"]["root"])
            )
        conn.rollback()


def test_what_the_log_does_not_hold_is_unknown(log: store.Database) -> None:
    with log.connect() as conn:
        with pytest.raises(evidence.UnknownPosition, match="no leaves yet"):
            evidence.proof_of(conn, 0)
        add(conn, 1, 10, 11)
        evidence.sequenced(conn, SIGNER, AT)
        assert evidence.leaf(conn, 1) == evidence.Leaf(1, evidence.MESSAGE, 11, leaves(11)[0])
        for ask in (
            lambda: evidence.leaf(conn, 2),
            lambda: evidence.leaf(conn, -1),
            lambda: evidence.proof(conn, 2, 2),
            lambda: evidence.proof(conn, 1, 1),
            lambda: evidence.proof(conn, 2, 3),
            lambda: evidence.proof_of(conn, -1),
            lambda: evidence.consistency(conn, 1, 3),
            lambda: evidence.consistency(conn, 0, 2),
        ):
            with pytest.raises(evidence.UnknownPosition):
                ask()
        conn.rollback()


# --- the stream of receipts -----------------------------------------------------------------------

ODD = 'say "\\{C}, NULL' + "\\"
WHO = ("A", "B", ODD, None, "NULL")
"""Addressees, one of them as awkward as a text can be, and nobody."""


@pytest.fixture
def stream(database: store.Database) -> store.Database:
    clearance.prepare_database(database)
    return database


def tell(conn: psycopg.Connection, batch: int, *addressees: str | None) -> list[int]:
    """Receipts as a batch writes them; their ids."""
    ids = store.numbers(conn, "receipt_id", len(addressees))
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO receipt (id, batch_id, receiver, type, documents, xml) "
            "VALUES (%s, %s, %s, 'CEB312', 1, %s)",
            [(n, batch, who, f"<{n}/>") for n, who in zip(ids, addressees, strict=True)],
        )
    evidence.append(conn, batch, evidence.RECEIPT, ids, leaves(*ids), addressees)
    return ids


def read(
    conn: psycopg.Connection, who: list[str], page: int, after: int = evidence.BEGINNING
) -> list[evidence.Received]:
    """All that is there for some addressees behind a position, page by page."""
    found: list[evidence.Received] = []
    for _ in range(10_000):
        part = evidence.receipts_after(conn, who, after, page)
        found += part
        if len(part) < page:
            return found
        after = part[-1].position
    raise AssertionError("the stream does not end")


def test_an_addressee_reads_its_own_receipts_in_order(stream: store.Database) -> None:
    rng = Random("stream")
    wanted: dict[str | None, list[int]] = {who: [] for who in WHO}
    for batch in range(1, 30):
        addressees = rng.choices(WHO, k=rng.randint(1, 12))
        ids = store.transact(stream, lambda conn, b=batch, a=addressees: tell(conn, b, *a))
        for who, number in zip(addressees, ids, strict=True):
            wanted[who].append(number)
        if rng.random() < 0.4:
            evidence.sequence(stream, SIGNER, AT)
    evidence.sequence(stream, SIGNER, AT)
    with stream.connect(autocommit=True) as conn:
        for who in ("A", "B", ODD, "NULL"):
            for page in (1, 3, 1000):
                found = read(conn, [who], page)
                assert [one.id for one in found] == wanted[who]
                assert {one.receiver for one in found} == {who}
        both = read(conn, ["A", ODD, "A"], 4)
        assert [one.position for one in both] == sorted({one.position for one in both})
        assert sorted(one.id for one in both) == sorted(wanted["A"] + wanted[ODD])
        assert both[0].xml == f"<{both[0].id}/>"
        middle = both[len(both) // 2].position
        assert read(conn, ["A", ODD], 5, middle) == [one for one in both if one.position > middle]
        assert evidence.receipts_after(conn, ["nobody"], evidence.BEGINNING, 10) == []
        assert evidence.receipts_after(conn, [], evidence.BEGINNING, 10) == []


def test_a_reader_misses_nothing_of_workers_that_commit_out_of_order(
    stream: store.Database,
) -> None:
    """Two workers with transactions of any length, a reader that only ever goes forward."""
    wanted: list[int] = []
    numbers = iter(range(1, 1000))
    lock, done = threading.Lock(), threading.Event()

    def work(seed: str) -> None:
        rng = Random(seed)
        with stream.connect() as conn:
            for _ in range(40):
                with lock:
                    batch = next(numbers)
                ids = tell(conn, batch, *["A"] * rng.randint(1, 4))
                time.sleep(rng.random() * 0.004)
                conn.commit() if rng.random() < 0.9 else conn.rollback()
                if conn.execute("SELECT 1 FROM receipt WHERE id = %s", (ids[0],)).fetchone():
                    with lock:
                        wanted.extend(ids)
                conn.rollback()
                if rng.random() < 0.7:
                    evidence.sequence(stream, SIGNER, AT)

    seen: list[evidence.Received] = []

    def follow() -> None:
        with stream.connect(autocommit=True) as conn:
            while True:
                last = done.is_set()
                after = seen[-1].position if seen else evidence.BEGINNING
                seen.extend(read(conn, ["A"], 3, after))
                if last:
                    return

    workers = [threading.Thread(target=work, args=(seed,)) for seed in ("one", "two")]
    reader = threading.Thread(target=follow)
    for each in (*workers, reader):
        each.start()
    for each in workers:
        each.join()
    evidence.sequence(stream, SIGNER, AT)
    done.set()
    reader.join()
    assert len(wanted) > 60
    assert sorted(one.id for one in seen) == sorted(wanted)
    assert [one.position for one in seen] == list(range(len(seen)))
    with stream.connect() as conn:
        sizes = [row[0] for row in conn.execute("SELECT size FROM evidence_head ORDER BY size")]
        for old, new in pairwise(evidence.head(conn, size) for size in sizes):
            proof = evidence.consistency(conn, old.size, new.size)
            assert merkle.is_consistent(old.size, new.size, old.root, new.root, proof)


def test_positions_are_found_by_subject(stream: store.Database) -> None:
    with stream.connect() as conn:
        ids = tell(conn, 3, "A", None)
        add(conn, 3, 77)
        evidence.sequenced(conn, SIGNER, AT)
        later = tell(conn, 4, "A")
        asked = dict.fromkeys(ids, 3) | {later[0]: 4, 5: 3}
        assert evidence.positions(conn, evidence.RECEIPT, asked) == {ids[0]: 0, ids[1]: 1}
        assert evidence.positions(conn, evidence.MESSAGE, {77: 3}) == {77: 2}
        conn.rollback()
