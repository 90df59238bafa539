"""One window under attack: its home, its commands as processes, and what must hold of its books."""

import hashlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from lxml import etree

from tongguan import messages, store
from tongguan.clearance.kinds import BY_NUMBER
from tongguan.clearance.transitions import is_legal
from tongguan.sharing import evidence, leaves, merkle
from tongguan.store import embedded

DRIVER = Path(__file__).with_name("driver.py")
AT = "2022-06-01T12:00:00+08:00"
PATIENCE_SECONDS = 120
"""A command that takes longer hangs."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended. status: negative for a signal."""

    status: int
    out: str
    err: str
    seconds: float


@dataclass
class Window:
    """home: $TONGGUAN_HOME, short, and open to the server's user. plan: see driver.py."""

    home: Path
    plan: dict[str, Any] = field(default_factory=dict)

    @property
    def receipts(self) -> Path:
        return self.home / "receipts"

    @property
    def cluster(self) -> Path:
        return self.home / str(json.loads((self.home / "database.json").read_text())["cluster"])

    @property
    def pid(self) -> Path:
        return self.cluster / "postmaster.pid"

    def start(self, *words: str, ready: int | None = None, **plan: Any) -> subprocess.Popen[str]:
        """A tongguan command as a process of its own."""
        plan = {**self.plan, **plan} | ({} if ready is None else {"ready": ready})
        environment = {k: v for k, v in os.environ.items() if k not in _NOT_PASSED}
        environment |= {"TONGGUAN_HOME": str(self.home)} | plan.pop("environment", {})
        return subprocess.Popen(
            [sys.executable, str(DRIVER), json.dumps(plan), *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=() if ready is None else (ready,),
            cwd=self.home,
        )

    def run(self, *words: str, **plan: Any) -> Done:
        return finished(self.start(*words, **plan))

    def clear(self, folder: Path, *words: str, at: str = AT, **plan: Any) -> Done:
        return self.run(*self.words(folder, at), *words, **plan)

    def words(self, folder: Path, at: str = AT) -> tuple[str, ...]:
        named = ("--receipts", str(self.receipts), "--report", str(self.home / "report.jsonl"))
        return ("clear", str(folder), "--at", at, "--signatures", "ignored", *named)

    def reset(self, database: store.Database) -> None:
        """An empty database on the server that runs, and no receipts."""
        url = database.url.replace(f"/{embedded.DATABASE}?", "/postgres?")
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(f"DROP DATABASE IF EXISTS {embedded.DATABASE} WITH (FORCE)")
            conn.execute(f"CREATE DATABASE {embedded.DATABASE}")
        shutil.rmtree(self.receipts, ignore_errors=True)


_NOT_PASSED = {"DATABASE_URL", "TONGGUAN_DATA_KEY", "TONGGUAN_HOME"}


def finished(process: subprocess.Popen[str]) -> Done:
    began = time.monotonic()
    try:
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"a command hung for {PATIENCE_SECONDS} s; it said: {err}") from None
    return Done(process.returncode, out, err, time.monotonic() - began)


@contextmanager
def readiness() -> Iterator[tuple[int, int]]:
    """A pipe by which a command says that it begins: (read, write)."""
    read, write = os.pipe()
    try:
        yield read, write
    finally:
        os.close(read)


def wait_until_ready(read: int, write: int) -> None:
    os.close(write)
    assert select.select([read], [], [], PATIENCE_SECONDS)[0], "the command did not begin"
    os.read(read, 1)


@contextmanager
def window(**plan: Any) -> Iterator[Window]:
    """A new window; afterwards no server of it runs, and nothing of it is left."""
    home = Path(tempfile.mkdtemp(prefix="tg-", dir="/tmp"))
    home.chmod(0o711)
    made = Window(home, plan)
    try:
        yield made
    finally:
        left = stop_server(made)
        shutil.rmtree(home)
    assert not left, f"the server still ran: {left}"


def stop_server(made: Window) -> list[int]:
    """Stop a server that nobody uses any more; the processes that were still there."""
    if not (made.home / "database.json").exists():
        return []
    found = server_processes(made.cluster)
    if found and made.pid.exists():
        os.kill(int(made.pid.read_text().split("\n", 1)[0]), signal.SIGQUIT)
    until = time.monotonic() + 20
    while server_processes(made.cluster) and time.monotonic() < until:
        time.sleep(0.05)
    return server_processes(made.cluster)


def server_processes(cluster: Path) -> list[int]:
    """Processes that were started for that cluster or work in its folder (Linux)."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            here = os.readlink(folder / "cwd")
        except OSError:
            continue
        if here == str(cluster) or os.fsencode(cluster) in words:
            found.append(int(folder.name))
    return found


def paragraph(done: Done) -> str:
    """What a command that failed for its surroundings says: status 3 and one clear paragraph."""
    assert done.status == 3, (done.status, done.err, done.out)
    assert "Traceback" not in done.err, done.err
    said = done.err.strip()
    assert said, "nothing was said"
    assert "\n\n" not in said, said
    assert len(said) < 1500, said
    return re.sub(r"\s+", " ", said)


# --- the books ------------------------------------------------------------------------------------

MUST_BE_EMPTY = {
    "a key has one current document": """SELECT kind, key_a, key_b FROM document WHERE current
        GROUP BY kind, key_a, key_b HAVING count(*) > 1 AND key_b IS NOT NULL""",
    "each file was recorded once": "SELECT digest FROM message GROUP BY 1 HAVING count(*) > 1",
    "all documents of a message are there": """SELECT m.id FROM message m
        WHERE m.documents <> (SELECT count(*) FROM document d WHERE d.message_id = m.id)""",
    "no document without its message": """SELECT d.id FROM document d
        LEFT JOIN message m ON m.id = d.message_id WHERE m.id IS NULL""",
    "events are numbered from one without a gap": """SELECT document_id FROM event
        GROUP BY 1 HAVING min(seq) <> 1 OR max(seq) <> count(*)""",
    "each event begins where the last one ended, and later": """SELECT * FROM (
        SELECT before, at, coalesce(lag(after) OVER w, 0) AS ended, lag(at) OVER w AS ended_at
        FROM event WINDOW w AS (PARTITION BY document_id ORDER BY seq)) AS e
        WHERE before <> ended OR at <= ended_at""",
    "a document is where its last event says": """SELECT d.id FROM document d LEFT JOIN event e
        ON e.document_id = d.id AND e.seq = d.seq WHERE e.after IS DISTINCT FROM d.status
        OR d.seq <> (SELECT max(seq) FROM event WHERE document_id = d.id)""",
    "no event without its document": """SELECT e.document_id FROM event e
        LEFT JOIN document d ON d.id = e.document_id WHERE d.id IS NULL""",
    "every event is told in a receipt of its batch": """SELECT * FROM
        (SELECT batch_id, count(*) AS events FROM event GROUP BY 1) AS e FULL JOIN
        (SELECT batch_id, sum(documents) AS told FROM receipt
         WHERE type NOT IN ('CEB816', 'CEB818', 'CEB900') GROUP BY 1)
        AS r USING (batch_id) WHERE events IS DISTINCT FROM told""",
    "every message refused as a whole has its CEB900": """SELECT * FROM
        (SELECT batch_id, count(*) AS refused FROM message WHERE refused GROUP BY 1) AS m FULL JOIN
        (SELECT batch_id, count(*) AS told FROM receipt WHERE type = 'CEB900' GROUP BY 1)
        AS r USING (batch_id) WHERE refused IS DISTINCT FROM told""",
    "a list is released by a decision, and with a number": """SELECT d.id FROM document d
        LEFT JOIN decision t ON t.document_id = d.id
        WHERE d.kind = 621 AND d.status = 800 AND (t.refused IS NOT FALSE OR d.invt_no IS NULL)""",
    "a year holds the counted fen of released lists": """SELECT * FROM
        (SELECT buyer, year, used_fen FROM allowance) AS a FULL JOIN
        (SELECT t.buyer, extract(year FROM t.day)::smallint AS year, sum(t.counted_fen) AS counted
         FROM decision t JOIN document d ON d.id = t.document_id
         WHERE d.status = 800 AND t.counted_fen > 0 GROUP BY 1, 2)
        AS c USING (buyer, year) WHERE used_fen IS DISTINCT FROM counted""",
    "a list released with tax has its bill, and no other has one": """SELECT * FROM
        (SELECT t.document_id, t.total_fen FROM decision t JOIN document d ON d.id = t.document_id
         WHERE d.status IN (800, 899) AND t.total_fen > 0) AS t FULL JOIN
        (SELECT document_id, total_fen FROM bill) AS b USING (document_id)
        WHERE t.total_fen IS DISTINCT FROM b.total_fen""",
    "every bill is told in a CEB816 of its batch": """SELECT * FROM
        (SELECT batch_id, count(*) AS bills FROM bill GROUP BY 1) AS b FULL JOIN
        (SELECT batch_id, sum(documents) AS told FROM receipt WHERE type = 'CEB816' GROUP BY 1)
        AS r USING (batch_id) WHERE bills IS DISTINCT FROM told""",
    "an account holds what was moved": """SELECT * FROM
        (SELECT id, balance_fen FROM account WHERE balance_fen <> 0) AS a FULL JOIN
        (SELECT id, sum(fen) AS moved FROM (SELECT debit AS id, -amount_fen AS fen
            FROM transfer
            UNION ALL SELECT credit, amount_fen FROM transfer) AS side
         GROUP BY 1 HAVING sum(fen) <> 0)
        AS m USING (id) WHERE balance_fen IS DISTINCT FROM moved""",
    "every message and every receipt is one leaf, and no leaf is of anything else": """SELECT * FROM
        (SELECT 1 AS kind, id AS subject, batch_id FROM message
         UNION ALL SELECT 2, id, batch_id FROM receipt) AS said FULL JOIN
        (SELECT kind, subject, batch_id, count(*) AS leaves FROM evidence_leaf GROUP BY 1, 2, 3)
        AS logged USING (kind, subject, batch_id) WHERE leaves IS DISTINCT FROM 1
            OR said.subject IS NULL""",
    "positions are without gap and as many as the head says": """SELECT * FROM
        (SELECT count(*) AS leaves, coalesce(max(position) + 1, 0) AS end
         FROM evidence_leaf WHERE position IS NOT NULL) AS l,
        (SELECT coalesce(max(size), 0) AS size FROM evidence_head) AS h
        WHERE leaves <> size OR l.end <> size""",
    "every receipt with a position is in the stream of its company": """SELECT * FROM
        (SELECT l.position, l.subject, r.company FROM evidence_leaf l
         JOIN receipt r ON r.id = l.subject AND l.kind = 2
         WHERE l.position IS NOT NULL AND r.company IS NOT NULL) AS said FULL JOIN
        (SELECT e.position, e.subject, a.addressee AS company FROM evidence_address a
         CROSS JOIN unnest(a.positions, a.receipts) AS e (position, subject))
        AS streamed USING (position, subject, company)
        WHERE said.position IS NULL OR streamed.position IS NULL""",
    "tax lines belong to decisions": """SELECT l.document_id FROM tax_line l
        LEFT JOIN decision t USING (document_id) WHERE t.document_id IS NULL""",
}


def check_books(conn: psycopg.Connection) -> None:
    """Whatever happened, these hold of the database between two transactions."""
    for name, sql in MUST_BE_EMPTY.items():
        found = conn.execute(sql).fetchmany(5)
        assert not found, f"not so: {name}: {found}"
    for kind, before, after in conn.execute("SELECT DISTINCT kind, before, after FROM event"):
        assert is_legal(BY_NUMBER[kind].name, before, after), (kind, before, after)
    check_log(conn)


def check_log(conn: psycopg.Connection) -> None:
    """The heads are signed and over the leaves, and the leaves say what the receipts say."""
    rows = conn.execute("SELECT leaf FROM evidence_leaf WHERE position >= 0 ORDER BY position")
    logged = [bytes(row[0]) for row in rows]
    sizes = [row[0] for row in conn.execute("SELECT size FROM evidence_head ORDER BY size")]
    for size in {*sizes[:2], *sizes[-2:]}:
        head = evidence.head(conn, size)
        assert head is not None
        assert head.is_signed, size
        assert head.root == merkle.root(logged[:size]), size
    said = conn.execute(
        """SELECT r.id, r.type, r.documents, r.xml, l.leaf FROM receipt r
        JOIN evidence_leaf l ON l.kind = 2 AND l.subject = r.id WHERE r.xml IS NOT NULL"""
    )
    for number, type_, documents, xml, leaf in said:
        digests = leaves.receipt_digests(xml.encode(), type_, documents)
        assert leaves.receipt_leaf(number, digests) == leaf, number


def stored_receipts(conn: psycopg.Connection, vault: store.Vault) -> dict[str, bytes]:
    """Every receipt of the database by the name of its file."""
    rows = conn.execute("SELECT id, type, xml, sealed FROM receipt")
    return {
        f"{number:012d}-{type_}.xml": xml.encode() if sealed is None else vault.unseal(sealed)
        for number, type_, xml, sealed in rows
    }


def files(folder: Path) -> dict[str, bytes]:
    """The receipts of a folder; not those whose writing was cut off (.part)."""
    if not folder.exists():
        return {}
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix != ".part"}


def check_told(stored: dict[str, bytes], written: dict[str, bytes], *, whole: bool) -> None:
    """No receipt without its fact; and, if ``whole``, no fact without its receipt."""
    unknown = sorted(set(written) - set(stored))
    assert not unknown, f"receipts that tell nothing the database knows: {unknown[:5]}"
    wrong = [name for name, data in written.items() if data != stored[name]]
    assert not wrong, f"receipts that are not what was stored: {wrong[:5]}"
    if whole:
        lacking = sorted(set(stored) - set(written))
        assert not lacking, f"{len(lacking)} receipts were never written: {lacking[:5]}"


def outcome(conn: psycopg.Connection, vault: store.Vault, report: Path) -> dict[str, Counter[Any]]:
    """All that a run decided and told, without the numbers that come from sequences."""
    lines = [json.loads(line) for line in report.read_text("utf-8").split("\n") if line]
    for line in lines:
        line["key"] = {k: v for k, v in line["key"].items() if k not in ("preNo", "invtNo")}
    told = stored_receipts(conn, vault).values()
    years = conn.execute("SELECT buyer, year, used_fen, limit_fen FROM allowance").fetchall()
    events = conn.execute(
        """SELECT m.digest, d.position, d.kind, d.current, e.seq, e.before, e.after, e.at, e.info
        FROM event e JOIN document d ON d.id = e.document_id
        JOIN message m ON m.id = d.message_id"""
    )
    return {
        "report": Counter(json.dumps(line, sort_keys=True) for line in lines),
        "returns": Counter(told_in for xml in told for told_in in _returns(xml)),
        "years": Counter(years),
        "events": Counter(events.fetchall()),
    }


_NUMBERED = {"guid", "preNo", "invtNo"}


def _returns(xml: bytes) -> Iterator[tuple[Any, ...]]:
    root = etree.fromstring(xml)
    for one in root:
        values = ((etree.QName(leaf).localname, leaf.text) for leaf in one)
        yield etree.QName(root).localname, *(pair for pair in values if pair[0] not in _NUMBERED)


def same(found: dict[str, Counter[Any]], wanted: dict[str, Counter[Any]]) -> None:
    """Both outcomes are equal; if not, the first few differences of each part."""
    for part, counted in wanted.items():
        more, less = found[part] - counted, counted - found[part]
        assert found[part] == counted, (
            f"{part}: {sum(more.values())} too many, such as {list(more)[:2]}; "
            f"{sum(less.values())} lacking, such as {list(less)[:2]}"
        )


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def schema(type_: str) -> etree.XMLSchema:
    """Our own schema of a message type, to check what the window says."""
    return etree.XMLSchema(etree.fromstring(messages.xsd(type_).encode()))
