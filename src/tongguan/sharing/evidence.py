"""The evidence log: every message and every receipt is a leaf of a Merkle tree that only grows.

A batch *appends* its leaves in its own transaction, one row for all of a kind, without a position.
Right after the commit they are *sequenced*: under a lock, in a transaction of its own, whatever is
committed and has no position yet gets the next ones (by batch, then in the order within it), and a
tree head is signed. What a crash leaves unsequenced, the next sequencing takes. So positions become
visible in their order: whoever has read all receipts up to a position never misses one before it.

Of the tree, the hashes of every fourth level are kept, sixteen a row (a *tile*); a proof computes
the few between them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg

from tongguan import store
from tongguan.sharing import merkle
from tongguan.sharing.heads import Head, Signer, signed

MESSAGE, RECEIPT = 1, 2
"""Kinds of leaves; the subject is the id of the message or of the receipt."""

BEGINNING = -1
"""The position before the first."""

STEPS = [
    """
    CREATE TABLE evidence_log (
        one boolean PRIMARY KEY CHECK (one),
        origin text NOT NULL
    );
    INSERT INTO evidence_log VALUES (true, 'tongguan/' || gen_random_uuid());

    -- Who signs, from which size on.
    CREATE TABLE evidence_key (
        since bigint PRIMARY KEY,
        public bytea NOT NULL
    );

    -- The leaves that a batch added at once. leaves: 32 bytes each, those of subjects, in order.
    -- first: the position of the first of them.
    CREATE SEQUENCE evidence_run_id;
    CREATE TABLE evidence_run (
        id bigint PRIMARY KEY,
        batch_id bigint NOT NULL,
        kind smallint NOT NULL,
        subjects bigint[] NOT NULL,
        addressees text[],
        leaves bytea NOT NULL,
        first bigint,
        CHECK (octet_length(leaves) = 32 * cardinality(subjects)),
        CHECK (cardinality(addressees) = cardinality(subjects))
    );
    CREATE INDEX evidence_run_batch ON evidence_run (batch_id);
    CREATE INDEX evidence_run_waiting ON evidence_run (batch_id, id) WHERE first IS NULL;
    CREATE UNIQUE INDEX evidence_run_first ON evidence_run (first);

    CREATE TABLE evidence_tile (
        level smallint NOT NULL,
        place bigint NOT NULL,
        hashes bytea NOT NULL CHECK (octet_length(hashes) <= 512),
        PRIMARY KEY (level, place)
    );

    CREATE TABLE evidence_head (
        size bigint PRIMARY KEY,
        peaks bytea NOT NULL,
        at bigint NOT NULL,
        public bytea NOT NULL,
        signature bytea NOT NULL
    );

    -- The receipts of one addressee in one run, by position; last: the last of the positions.
    CREATE TABLE evidence_address (
        addressee text NOT NULL,
        last bigint NOT NULL,
        positions bigint[] NOT NULL,
        receipts bigint[] NOT NULL,
        PRIMARY KEY (addressee, last)
    );

    CREATE VIEW evidence_leaf AS
        SELECT r.first + s.place - 1 AS position, r.kind, s.subject, r.batch_id,
            substring(r.leaves FROM 32 * (s.place - 1)::integer + 1 FOR 32) AS leaf
        FROM evidence_run r CROSS JOIN unnest(r.subjects) WITH ORDINALITY AS s (subject, place);

    CREATE FUNCTION evidence_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'evidence_run' THEN
            IF OLD.first IS NULL AND NEW.first IS NOT NULL
                AND (OLD.id, OLD.batch_id, OLD.kind, OLD.subjects, OLD.leaves)
                    = (NEW.id, NEW.batch_id, NEW.kind, NEW.subjects, NEW.leaves) THEN
                RETURN NEW;
            END IF;
        ELSIF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'evidence_tile' THEN
            IF substring(NEW.hashes FOR octet_length(OLD.hashes)) = OLD.hashes THEN
                RETURN NEW;
            END IF;
        END IF;
        RAISE EXCEPTION 'table % only grows', TG_TABLE_NAME USING ERRCODE = 'check_violation';
    END $$;
    CREATE TRIGGER evidence_run_only_grows BEFORE UPDATE OR DELETE ON evidence_run
        FOR EACH ROW EXECUTE FUNCTION evidence_only_grows();
    CREATE TRIGGER evidence_tile_only_grows BEFORE UPDATE OR DELETE ON evidence_tile
        FOR EACH ROW EXECUTE FUNCTION evidence_only_grows();
    CREATE TRIGGER evidence_head_only_grows BEFORE UPDATE OR DELETE ON evidence_head
        FOR EACH ROW EXECUTE FUNCTION evidence_only_grows();
    CREATE TRIGGER evidence_address_only_grows BEFORE UPDATE OR DELETE ON evidence_address
        FOR EACH ROW EXECUTE FUNCTION evidence_only_grows();
    """
]

_LOCK = 0x65766964  # "evid"
_TILE_LEVELS = 4
_TILE = 1 << _TILE_LEVELS
_BYTES = merkle.HASH_BYTES


class UnknownPosition(LookupError):  # noqa: N818 - a look-up that found nothing
    """The log has no leaf there, or no head of that size."""


# --- adding ---------------------------------------------------------------------------------------


def append(
    conn: psycopg.Connection,
    batch_id: int,
    kind: int,
    subjects: Sequence[int],
    leaves: Sequence[bytes],
    addressees: Sequence[str | None] | None = None,
) -> None:
    """Add leaves in the transaction that makes true what they are about; they wait for a position.

    kind: MESSAGE or RECEIPT; subjects: the ids; leaves: their leaf hashes (merkle.leaf_hash).
    addressees, of receipts: who may read each; one without an addressee is read by nobody.
    """
    if not subjects:
        return
    [run_id] = store.numbers(conn, "evidence_run_id", 1)
    conn.execute(
        """INSERT INTO evidence_run (id, batch_id, kind, subjects, addressees, leaves)
        VALUES (%s, %s, %s, %s, %s, %b)""",
        (
            *(run_id, batch_id, kind, _numbers(subjects)),
            *(None if addressees is None else _texts(addressees), b"".join(leaves)),
        ),
    )


def _numbers(values: Sequence[int]) -> str:
    """An array literal; what psycopg makes of a list costs ten times as much."""
    return f"{{{','.join(map(str, values))}}}"


def _texts(values: Sequence[str | None]) -> str:
    known: dict[str | None, str] = {None: "NULL"}
    for value in set(values):
        if value is not None:
            known[value] = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{{{','.join([known[value] for value in values])}}}"


def sequence(database: store.Database, signer: Signer, at_ms: int) -> Head | None:
    """Give every committed leaf that has none its position, and sign the head; None if none waits.

    To be called after a commit, in no transaction. Raises store.Unavailable, also if the log is
    signed by another key than this signer's.
    """
    return store.transact(database, lambda conn: sequenced(conn, signer, at_ms))


def sequenced(conn: psycopg.Connection, signer: Signer, at_ms: int) -> Head | None:
    """``sequence`` in the transaction that is open on ``conn``; it must have written nothing."""
    conn.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    runs = [
        _Run(*row)
        for row in conn.execute(
            """SELECT id, kind, subjects, addressees, leaves FROM evidence_run
            WHERE first IS NULL ORDER BY batch_id, id""",
            binary=True,
        )
    ]
    if not runs:
        return None
    origin, size, peaks = _state(conn, signer)
    leaves = [
        run.leaves[place : place + _BYTES]
        for run in runs
        for place in range(0, len(run.leaves), _BYTES)
    ]
    levels = list(merkle.grown(size, peaks, leaves))
    peaks = list(merkle.peaks_after(size, peaks, levels))
    _write_places(conn, runs, size)
    _write_tiles(conn, levels)
    head = signed(origin, size + len(leaves), merkle.root_of(peaks), at_ms, signer)
    conn.execute(
        "INSERT INTO evidence_head (size, peaks, at, public, signature) "
        "VALUES (%s, %s, %s, %s, %s)",
        (head.size, b"".join(peaks), at_ms, head.public, head.signature),
    )
    return head


class _Run(NamedTuple):
    id: int
    kind: int
    subjects: list[int]
    addressees: list[str | None] | None
    leaves: bytes


def _state(conn: psycopg.Connection, signer: Signer) -> tuple[str, int, list[bytes]]:
    """Origin, size and peaks of the log, and that it is this signer's. Raises store.Unavailable."""
    check_key(conn, signer)
    row = conn.execute(
        """SELECT origin, coalesce(h.size, 0), coalesce(h.peaks, '') FROM evidence_log LEFT JOIN
        (SELECT size, peaks FROM evidence_head ORDER BY size DESC LIMIT 1) AS h ON true"""
    ).fetchone()
    assert row is not None
    origin, size, peaks = row
    if not size:
        conn.execute("INSERT INTO evidence_key (since, public) VALUES (0, %s)", (signer.public,))
    return origin, size, _cut(peaks)


def check_key(conn: psycopg.Connection, signer: Signer) -> None:
    """That the log, if it has begun, is signed with this key. Raises store.Unavailable."""
    row = conn.execute("SELECT public FROM evidence_key ORDER BY since DESC LIMIT 1").fetchone()
    if row is not None and row[0] != signer.public:
        raise store.Unavailable(
            "the evidence key is not the one that signs this log: put the right one into "
            "TONGGUAN_EVIDENCE_KEY, or evidence.key of the right folder into $TONGGUAN_HOME"
        )


def _cut(hashes: bytes) -> list[bytes]:
    return [hashes[place : place + _BYTES] for place in range(0, len(hashes), _BYTES)]


def _write_places(conn: psycopg.Connection, runs: Sequence[_Run], size: int) -> None:
    firsts = []
    streams: list[tuple[str, int, str, str]] = []
    for run in runs:
        firsts.append(size)
        if run.addressees is not None:
            streams += _streams(run.subjects, run.addressees, size)
        size += len(run.subjects)
    conn.execute(
        """UPDATE evidence_run r SET first = k.first
        FROM unnest(%s::bigint[], %s::bigint[]) AS k (id, first) WHERE r.id = k.id""",
        ([run.id for run in runs], firsts),
    )
    if streams:
        with conn.cursor() as cursor:
            cursor.executemany("INSERT INTO evidence_address VALUES (%s, %s, %s, %s)", streams)


def _streams(
    subjects: Sequence[int], addressees: Sequence[str | None], first: int
) -> list[tuple[str, int, str, str]]:
    found: dict[str, tuple[list[int], list[int]]] = {}
    for position, (subject, addressee) in enumerate(zip(subjects, addressees, strict=True), first):
        if addressee is not None:
            positions, receipts = found.setdefault(addressee, ([], []))
            positions.append(position)
            receipts.append(subject)
    return [
        (who, positions[-1], _numbers(positions), _numbers(ids))
        for who, (positions, ids) in found.items()
    ]


def _write_tiles(conn: psycopg.Connection, levels: Sequence[tuple[int, int, list[bytes]]]) -> None:
    rows = []
    for level, start, hashes in levels:
        if level % _TILE_LEVELS:
            continue
        end = start + len(hashes)
        for place in range(start // _TILE, (end - 1) // _TILE + 1):
            low, high = max(start, place * _TILE), min(end, (place + 1) * _TILE)
            rows.append((level, place, b"".join(hashes[low - start : high - start])))
    conn.execute(
        """INSERT INTO evidence_tile AS t (level, place, hashes)
        SELECT * FROM unnest(%s::smallint[], %s::bigint[], %b::bytea[])
        ON CONFLICT (level, place) DO UPDATE SET hashes = t.hashes || excluded.hashes""",
        tuple(list(column) for column in zip(*rows, strict=True)),
    )


# --- reading --------------------------------------------------------------------------------------


class Received(NamedTuple):
    """A receipt of the stream. xml: in clear, None where it is sealed (CEB900)."""

    position: int
    id: int
    type: str
    receiver: str | None
    documents: int
    xml: str | None
    sealed: bytes | None


def receipts_after(
    conn: psycopg.Connection, addressees: Sequence[str], position: int, limit: int
) -> list[Received]:
    """The next receipts of some addressees behind a position (BEGINNING: all), in their order.

    Costs what the answer holds, however long the log is. A caller that continues behind the last
    position of the answer never misses one: what comes later stands behind it.
    """
    sql = """SELECT f.position, r.id, r.type, r.receiver, r.documents, r.xml, r.sealed
        FROM (
            SELECT e.position, e.receipt FROM unnest(%(who)s::text[]) AS w (addressee)
            CROSS JOIN LATERAL (
                SELECT a.positions, a.receipts FROM evidence_address a
                WHERE a.addressee = w.addressee AND a.last > %(after)s
                ORDER BY a.last LIMIT %(limit)s
            ) AS a
            CROSS JOIN LATERAL unnest(a.positions, a.receipts) AS e (position, receipt)
            WHERE e.position > %(after)s ORDER BY e.position LIMIT %(limit)s
        ) AS f
        CROSS JOIN LATERAL (SELECT * FROM receipt WHERE id = f.receipt OFFSET 0) AS r
        ORDER BY f.position"""
    asked = {"who": sorted(set(addressees)), "after": position, "limit": limit}
    return [Received(*row) for row in conn.execute(sql, asked, binary=True)]


def head(conn: psycopg.Connection, size: int | None = None) -> Head | None:
    """The last signed head, or the one of that size; None if there is none."""
    sql = """SELECT l.origin, h.size, h.peaks, h.at, h.public, h.signature
        FROM evidence_log l CROSS JOIN evidence_head h WHERE h.size = coalesce(%(size)s::bigint,
            (SELECT max(size) FROM evidence_head))"""
    row = conn.execute(sql, {"size": size}).fetchone()
    if row is None:
        return None
    origin, count, peaks, at_ms, public, signature = row
    return Head(origin, count, merkle.root_of(_cut(peaks)), at_ms, public, signature)


def origin(conn: psycopg.Connection) -> str:
    """The name of this log."""
    row = conn.execute("SELECT origin FROM evidence_log").fetchone()
    assert row is not None
    return str(row[0])


def positions(conn: psycopg.Connection, kind: int, subjects: Mapping[int, int]) -> dict[int, int]:
    """Positions of the leaves about some subjects (id: its batch); of those that have one."""
    sql = """SELECT s.subject, r.first + s.place - 1 FROM evidence_run r
        CROSS JOIN unnest(r.subjects) WITH ORDINALITY AS s (subject, place)
        WHERE r.batch_id = ANY(%s) AND r.kind = %s AND s.subject = ANY(%s)
            AND r.first IS NOT NULL"""
    return dict(conn.execute(sql, (sorted(set(subjects.values())), kind, list(subjects))))


@dataclass(frozen=True, slots=True)
class Leaf:
    position: int
    kind: int
    subject: int
    hash: bytes


def leaf(conn: psycopg.Connection, position: int) -> Leaf:
    """The leaf at a position. Raises UnknownPosition."""
    row = conn.execute(
        """SELECT kind, subjects[%(at)s - first + 1],
            substring(leaves FROM (32 * (%(at)s - first))::integer + 1 FOR 32)
        FROM (SELECT * FROM evidence_run WHERE first <= %(at)s ORDER BY first DESC LIMIT 1) AS r
        WHERE %(at)s < first + cardinality(subjects)""",
        {"at": position},
    ).fetchone()
    if row is None:
        raise UnknownPosition(f"the log has no leaf at {position}")
    return Leaf(position, *row)


def proof(conn: psycopg.Connection, position: int, size: int) -> list[bytes]:
    """The hashes that prove a leaf to be in the tree of a size. Raises UnknownPosition."""
    return proofs(conn, [position], size)[position]


def consistency(conn: psycopg.Connection, old: int, new: int) -> list[bytes]:
    """The hashes that prove the tree of ``new`` leaves to begin with that of ``old``.

    Raises UnknownPosition for sizes that the log has not had.
    """
    last = head(conn)
    if not 0 < old <= new <= (last.size if last else 0):
        raise UnknownPosition(f"the log has no trees of {old} and then {new} leaves")
    spans = merkle.consistency_spans(old, new)
    return merkle.path(spans, _hashes(conn, merkle.nodes_of(spans)))


def growth(conn: psycopg.Connection, since: int | None) -> tuple[Head, dict[str, Any]]:
    """The last head, and as JSON values the proof that the head of a size is its beginning.

    since: the size of the older head; None: the last itself. Raises UnknownPosition.
    """
    new = head(conn)
    old = new if since is None else head(conn, since)
    if new is None or old is None:
        size = "any" if since is None else f"{since}"
        raise UnknownPosition(f"the log has no head of {size} leaves")
    path = [each.hex() for each in consistency(conn, old.size, new.size)]
    return new, {"old": old.facts(), "new": new.facts(), "path": path}


def proof_of(conn: psycopg.Connection, position: int) -> dict[str, Any]:
    """The proof of one leaf under the last head, as JSON values. Raises UnknownPosition."""
    return proofs_of(conn, [position])[position]


def proofs_of(conn: psycopg.Connection, positions: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Proofs of leaves under the last head, by position, as JSON values; bytes in hex.

    Many at once cost less than one by one: neighbours share their hashes. Raises UnknownPosition.
    """
    last = head(conn)
    if last is None:
        raise UnknownPosition("the log has no leaves yet")
    found = proofs(conn, positions, last.size)
    leaves = _hashes(conn, {(0, position) for position in positions})
    return {
        position: {
            "position": position,
            "size": last.size,
            "leaf": leaves[0, position].hex(),
            "path": [each.hex() for each in found[position]],
            "head": last.facts(),
        }
        for position in positions
    }


def proofs(conn: psycopg.Connection, positions: Sequence[int], size: int) -> dict[int, list[bytes]]:
    last = head(conn)
    most = min(size, last.size if last else 0)
    if wrong := [position for position in positions if not 0 <= position < most]:
        raise UnknownPosition(f"the tree of {size} leaves has no leaf at {wrong[0]}")
    peaks = merkle.peak_nodes(size)
    beside = {node for position in positions for node in merkle.inclusion_nodes(position, size)}
    hashes = _hashes(conn, {*peaks, *beside})
    beyond = merkle.beyond_peaks(size, [hashes[peak] for peak in peaks])
    return {
        position: merkle.inclusion_path(position, size, hashes, beyond) for position in positions
    }


def _hashes(conn: psycopg.Connection, nodes: set[merkle.Node]) -> dict[merkle.Node, bytes]:
    """Hashes of perfect subtrees, from the tiles."""
    wanted = {_tile(node) for node in nodes}
    sql = """SELECT t.level, t.place, t.hashes
        FROM unnest(%s::smallint[], %s::bigint[]) AS k (level, place)
        CROSS JOIN LATERAL (SELECT * FROM evidence_tile
            WHERE level = k.level AND place = k.place OFFSET 0) AS t"""
    asked = [list(column) for column in zip(*wanted, strict=True)] or [[], []]
    known: dict[merkle.Node, bytes] = {}
    for level, place, hashes in conn.execute(sql, asked, binary=True):
        known |= {(level, place * _TILE + n): each for n, each in enumerate(_cut(hashes))}
    return {node: _computed(node, known) for node in nodes}


def _tile(node: merkle.Node) -> tuple[int, int]:
    level, place = node
    above = level % _TILE_LEVELS
    return level - above, (place << above) // _TILE


def _computed(node: merkle.Node, known: dict[merkle.Node, bytes]) -> bytes:
    """The hash of a node from those of the level of its tile; kept in ``known``."""
    if node not in known:
        level, place = node
        left, right = (_computed((level - 1, 2 * place + side), known) for side in (0, 1))
        known[node] = merkle.node_hash(left, right)
    return known[node]
