"""The evidence log beside bare SHA-256 of the same leaves.

Leaves are appended in batches as clearing does it, sequenced after each commit (positions, tiles,
stream, signed head), proved and read back as the gateway does it. The limit is what cannot be done
without: one hash for each leaf and one for each node above. Then what the leaves of real messages
and receipts cost: cutting and hashing them beside SHA-256 of their bytes alone.
"""

import hashlib
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from benchmarks.clearance import Cost, measured, part, postmaster

from tongguan import clearance, messages, store
from tongguan.sharing import evidence, heads, leaves, merkle

BATCH = 1_500
MOST = 60_000
COMPANIES = 20
PAGE = 500
PARCELS = 2_000
ROUNDS = 5
GOAL_US = 10


def main(scale: int) -> None:
    """Measure on 1.5 leaves a parcel, at most MOST, and print µs a leaf and the ratios."""
    count = max(BATCH, min(scale * 3 // 2, MOST) // BATCH * BATCH)
    with tempfile.TemporaryDirectory(prefix="tg-bench-") as name:
        home = Path(name)
        home.chmod(0o711)
        with store.open(home=home) as database:
            clearance.prepare_database(database)
            log(database, heads.Signer.open(home), count)
        pieces([path.read_bytes() for path in part(home, 1, min(scale, PARCELS))])


def log(database: store.Database, signer: heads.Signer, count: int) -> None:
    """Append, sequence, prove and follow so many leaves."""
    data = [f"receipt {n}".encode().ljust(65, b".") for n in range(count)]
    bare = least(lambda: hash_all(data))
    hashed = [merkle.leaf_hash(each) for each in data]
    print(f"{count:,} leaves, {BATCH:,} a batch; bare SHA-256 {bare / count * 1e6:.2f} µs a leaf")
    append, sequence = grown(database, signer, hashed)
    for what, cost in (("append", append), ("sequence", sequence)):
        print(
            f"{what:9} {cost.wall / count * 1e6:6.2f} µs wall a leaf, "
            f"{cost.own / count * 1e6:6.2f} own CPU, {cost.server / count * 1e6:6.2f} server CPU"
        )
    both = append.cpu + sequence.cpu
    print(
        f"together  {both / count * 1e6:6.2f} µs CPU a leaf (goal: below {GOAL_US}), "
        f"{both / bare:.1f}x bare SHA-256"
    )
    read(database, count)


def grown(database: store.Database, signer: heads.Signer, hashed: list[bytes]) -> tuple[Cost, Cost]:
    """What appending and sequencing batch after batch cost; the root must be the right one."""
    server = postmaster(database)
    append = sequence = Cost(0, 0, 0, 0)
    for batch, start in enumerate(range(0, len(hashed), BATCH), 1):
        ids = range(start, start + BATCH)
        mine, whose = hashed[start : start + BATCH], [f"C{n % COMPANIES}" for n in ids]
        kept = (batch, evidence.RECEIPT, ids, mine, whose)
        appending = partial(store.transact, database, lambda conn, kept=kept: keep(conn, *kept))
        append = added(append, measured(appending, server))
        sequencing = partial(evidence.sequence, database, signer, batch)
        sequence = added(sequence, measured(sequencing, server))
    with database.connect() as conn:
        head = evidence.head(conn)
    assert head is not None
    assert head.is_signed
    assert head.root == merkle.root(hashed)
    return append, sequence


def keep(conn: psycopg.Connection, batch: int, kind: int, *leaves: Any) -> None:
    evidence.append(conn, batch, kind, *leaves)


def read(database: store.Database, count: int) -> None:
    """What proofs and the stream cost, at places all over the log."""
    pages = [range(start, min(start + PAGE, count)) for start in range(0, count, 10 * PAGE)]
    asked, server = sum(map(len, pages)), postmaster(database)
    with database.connect(autocommit=True) as conn:
        many = measured(lambda: [evidence.proofs_of(conn, page) for page in pages], server)
        one = measured(lambda: [evidence.proof_of(conn, page[0]) for page in pages], server)
        next_ = measured(lambda: [stream(conn, page[0]) for page in pages], server)
    print(
        f"proofs    {many.cpu / asked * 1e6:6.2f} µs CPU a leaf, {PAGE} at once; "
        f"{one.cpu / len(pages) * 1e6:,.0f} µs one alone; the stream of one company "
        f"{next_.cpu / len(pages) * 1e6:,.0f} µs a page"
    )


def stream(conn: psycopg.Connection, position: int) -> None:
    """As receipts_after finds them, without the receipts, which this benchmark does not write."""
    conn.execute(
        "SELECT positions, receipts FROM evidence_address WHERE addressee = 'C1' AND last > %s "
        "ORDER BY last LIMIT 100",
        (position,),
    ).fetchone()


def pieces(files: list[bytes]) -> None:
    """What the leaf of a message costs at intake, of as many parcels."""
    read = [(data, messages.parse(data)) for data in files]
    documents = sum(parsed.documents for _, parsed in read)
    bare = least(lambda: [hashlib.sha256(data).digest() for data, _ in read])
    digests = [hashlib.sha256(data).digest() for data, _ in read]

    def leaf() -> None:
        for (data, parsed), digest in zip(read, digests, strict=True):
            parts = leaves.message_parts(data, digest, parsed)
            leaves.message_leaf(leaves.blinded(parts, b"secret"))

    cost = least(leaf)
    print(
        f"messages  {cost / documents * 1e6:6.2f} µs a document cut and hashed, "
        f"{cost / documents * 4e6:.1f} a parcel of four; {cost / bare:.1f}x bare SHA-256"
    )


def hash_all(data: list[bytes]) -> None:
    """One hash a leaf, one for each node."""
    sha256 = hashlib.sha256
    for each in data:
        sha256(each).digest()
        sha256(each).digest()


def least(work: Callable[[], object]) -> float:
    """The least CPU seconds of some rounds."""
    found = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def added(one: Cost, other: Cost) -> Cost:
    return Cost(
        one.wall + other.wall,
        one.own + other.own,
        one.second + other.second,
        one.server + other.server,
    )


if __name__ == "__main__":
    main(40_000)
