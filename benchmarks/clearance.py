"""Clearing against the physical limit: files in, durable decisions and receipts out.

The limit is measured in the same run, on the same bytes and the same rows, by a bare loop: libxml2
builds the tree of every message, and COPY writes the very rows the run wrote, with as many
commits, fsync on. Once into tables without index or constraint (the bare limit), once into tables
that have the run's keys and constraints, which rows that can be found again cannot do without.

Ratios are given for time on the wall (the run may use both cores, the bare loop does one thing
after the other) and for CPU of process and server together. Absolute times on a busy machine are
noise, a ratio is not.

``SCALE`` parcels are cleared in parts of PART parcels, each made by the twin just before and
emptied afterwards; a database that has grown must not make a parcel dearer, so the last part is
compared with the first. Files are emptied, not removed, until the end: ext4 without a journal does
not use an inode again for some minutes after its file was removed, and looks at all such inodes
for each new file (20 µs become 500).
"""

import os
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from lxml import etree

from tongguan import clearance, messages, policy, store, twin
from tongguan.clearance import dossier, intake, receipts, rounds, service, writing

PART = 50_000
AT = "2022-06-01T12:00:00+08:00"
Stages = tuple[tuple[str, Any, str], ...]
TICKS = os.sysconf("SC_CLK_TCK")
INTAKE: Stages = (
    ("parse", messages, "parse"),
    ("collect", messages, "collect"),
    ("check", messages, "check"),
)
RECORDING: Stages = (
    ("accept", rounds, "accept"),
    ("find what belongs together", dossier, "complete"),
    ("assess", policy, "assess"),
    ("write bodies", writing, "write_bodies"),
    ("write documents and events", writing, "write_documents"),
    ("write decisions", writing, "write_decisions"),
    ("put receipts into words", receipts, "make"),
    ("write receipts", receipts, "write"),
    ("receipts to files", receipts, "to_files"),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a piece of work took: seconds on the wall, of CPU of this process, of those it started
    and waited for, of the server."""

    wall: float
    own: float
    second: float
    server: float

    @property
    def cpu(self) -> float:
        return self.own + self.second + self.server


def children(pid: int) -> Iterator[int]:
    """The processes below one, and itself (Linux)."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from children(int(child))


def server_cpu(postmaster: int) -> float:
    """CPU seconds of the server: of its living processes and of those it has waited for."""
    total = 0
    for pid in children(postmaster):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(field) for field in fields[11:15])
    return total / TICKS


def postmaster(database: store.Database) -> int:
    with database.borrow() as conn:
        pid = conn.info.backend_pid
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[1])


def waited_for() -> float:
    """CPU seconds of the processes that this one started and waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(work: Callable[[], object], server: int) -> Cost:
    clocks = (time.perf_counter, time.process_time, waited_for, lambda: server_cpu(server))
    before = [clock() for clock in clocks]
    work()
    return Cost(*(clock() - began for clock, began in zip(clocks, before, strict=True)))


@contextmanager
def staged(stages: Stages) -> Iterator[dict[str, float]]:
    """Wall seconds spent inside the stages, each in its own thread, stages inside others apart."""
    spent: dict[str, float] = defaultdict(float)
    kept = []

    def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return work(*args, **kwargs)
            finally:
                spent[name] += time.perf_counter() - began

        return run

    for name, room, attribute in stages:
        kept.append((room, attribute, getattr(room, attribute)))
        setattr(room, attribute, timed(name, getattr(room, attribute)))
    try:
        yield spent
    finally:
        for room, attribute, original in kept:
            setattr(room, attribute, original)


def bare_parse(files: list[Path]) -> None:
    for file in files:
        etree.fromstring(file.read_bytes())


TABLES = (
    *("message", "document", "event", "finding", "receipt", "decision", "tax_line", "allowance"),
    *("order_head", "order_line", "payment_head", "waybill_head"),
    *("inventory_head", "inventory_line"),
)


def rows_of(conn: psycopg.Connection, batches: list[int]) -> dict[str, list[bytes]]:
    """The rows the batches wrote, as the text COPY takes, cut as the batches were."""
    found: dict[str, list[bytes]] = {}
    new = "(SELECT document_id FROM event WHERE batch_id = {} AND seq = 1)"
    for table in TABLES:
        if table == "document":
            where = f"id IN {new}"
        elif table in ("message", "event", "receipt", "decision"):
            where = "batch_id = {}"
        elif table == "allowance":
            # A buyer is one row however many batches met him: all rows come with the first batch.
            where = f"{{}} = {batches[0]}"
        elif table == "tax_line":
            where = "document_id IN (SELECT document_id FROM decision WHERE batch_id = {})"
        elif table == "finding":
            where = "message_id IN (SELECT id FROM message WHERE batch_id = {})"
        else:
            where = f"document_id IN {new}"
        found[table] = []
        for batch in batches:
            with conn.cursor().copy(
                f"COPY (SELECT * FROM {table} WHERE {where.format(batch)}) TO STDOUT"
            ) as source:
                found[table].append(b"".join(bytes(row) for row in source))
    return found


def bare_copy(conn: psycopg.Connection, rows: dict[str, list[bytes]], batches: int) -> None:
    for number in range(batches):
        for table, parts in rows.items():
            with conn.cursor().copy(f"COPY bare.{table} FROM STDIN") as sink:
                sink.write(parts[number])
        conn.commit()


def bare_tables(conn: psycopg.Connection, *, keys: bool) -> None:
    conn.execute("DROP SCHEMA IF EXISTS bare CASCADE")
    conn.execute("CREATE SCHEMA bare")
    including = "INCLUDING ALL" if keys else "INCLUDING STORAGE"
    for table in TABLES:
        conn.execute(f"CREATE TABLE bare.{table} (LIKE {table} {including})")
    conn.commit()


def per_parcel(seconds: float, parcels: int) -> str:
    return f"{seconds / parcels * 1e6:7.0f} µs"


def part(folder: Path, number: int, parcels: int) -> list[Path]:
    twin.write(
        folder, seed=number, parcels=parcels, faults=0, documents_per_message=100, shuffle=False
    )
    return sorted((folder / "messages").iterdir())


def main(scale: int) -> None:
    """Clear ``scale`` parcels and print rates, stages, memory, and the ratio to the limit."""
    with tempfile.TemporaryDirectory(prefix="tg-bench-") as name:
        home = Path(name)
        home.chmod(0o711)
        with store.open(home=home / "home") as database:
            clearance.prepare_database(database)
            vault = store.Vault.open(home / "home")
            under = clearance.settings(database, datetime.fromisoformat(AT), "ignored")
            run(home, database, vault, under, scale)


def run(
    home: Path,
    database: store.Database,
    vault: store.Vault,
    under: clearance.Settings,
    scale: int,
) -> None:
    server = postmaster(database)
    costs: list[tuple[int, Cost]] = []
    for number, begin in enumerate(range(0, scale, PART), 1):
        parcels = min(PART, scale - begin)
        folder = home / f"part{number}"
        files = part(folder, number, parcels)
        if number == 1:
            limit_parse = measured(lambda files=files: bare_parse(files), server)
        found = intake.sources([folder / "messages"])

        def work(found: list[clearance.Source] = found, folder: Path = folder) -> None:
            clearance.clear(database, vault, found, under, folder / "receipts")

        if number == 1:
            with staged(RECORDING) as stages:
                costs.append((parcels, measured(work, server)))
            intake_stages(database, vault, under, found)
            first(database, server, parcels, costs[0][1], limit_parse, stages)
        else:
            costs.append((parcels, measured(work, server)))
        written = sum(1 for _ in (folder / "receipts").iterdir())
        for file in folder.rglob("*"):
            if file.is_file():
                os.truncate(file, 0)
        cost = costs[-1][1]
        print(
            f"part {number}: {parcels:,} parcels, {parcels / cost.wall:,.0f} parcels/s, "
            f"{per_parcel(cost.own, parcels)} own, {per_parcel(cost.second, parcels)} second "
            f"process, {per_parcel(cost.server, parcels)} server CPU a parcel, {written:,} receipt "
            "files",
            flush=True,
        )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    second = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak memory of the process {memory:,.0f} MiB, of the second one {second:,.0f} MiB")
    if len(costs) > 1:
        (n1, c1), (n2, c2) = costs[0], costs[-1]
        print(
            f"cost of a parcel at {scale:,} stored against the first {n1:,}: "
            f"{(c2.cpu / n2) / (c1.cpu / n1):.2f}× CPU, {(c2.wall / n2) / (c1.wall / n1):.2f}× wall"
        )


def intake_stages(
    database: store.Database,
    vault: store.Vault,
    under: clearance.Settings,
    found: list[clearance.Source],
) -> None:
    """Print what preparing a batch takes, which the run left to a second process."""
    [cut, *_] = intake.batches(found)
    limits = messages.Limits()
    parcels = len(cut) * 25
    with database.connect(autocommit=True) as conn, staged(INTAKE) as stages:
        desk = service.desk(conn, vault, under)
        never_seen = replace(desk, known=lambda digests: set())
        began = time.thread_time()
        intake.prepare(intake.read(cut, limits), never_seen, limits, under.signatures)
        stages["all of preparing, CPU"] = time.thread_time() - began
    for stage, seconds in stages.items():
        print(f"  {stage:30s} {per_parcel(seconds, parcels)} a parcel, one batch by itself")


def first(
    database: store.Database,
    server: int,
    parcels: int,
    cost: Cost,
    limit_parse: Cost,
    stages: dict[str, float],
) -> None:
    """Print the stages and the ratio to the limit of the first part."""
    for stage, seconds in stages.items():
        print(f"  {stage:30s} {per_parcel(seconds, parcels)} wall a parcel, in its thread")
    with database.connect() as conn:
        batches = [row[0] for row in conn.execute("SELECT DISTINCT batch_id FROM message")]
        rows = rows_of(conn, batches)
        copies = {}
        for keys in (False, True):
            bare_tables(conn, keys=keys)
            copies[keys] = measured(lambda: bare_copy(conn, rows, len(batches)), server)
        conn.execute("DROP SCHEMA bare CASCADE")
        conn.commit()
    size = sum(len(part) for parts in rows.values() for part in parts)
    print(
        f"limit: parse {per_parcel(limit_parse.cpu, parcels)}, copy {size / parcels:,.0f} bytes "
        f"{per_parcel(copies[False].cpu, parcels)} bare, {per_parcel(copies[True].cpu, parcels)} "
        "with keys, CPU a parcel"
    )
    for name, keys in (("the bare limit", False), ("the limit with keys", True)):
        wall = cost.wall / (limit_parse.wall + copies[keys].wall)
        cpu = cost.cpu / (limit_parse.cpu + copies[keys].cpu)
        print(f"ratio to {name}: {wall:.2f}x wall, {cpu:.2f}x CPU")
