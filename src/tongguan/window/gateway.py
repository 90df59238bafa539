"""What every answer of the gateway is made from: one object, given to each view."""

import hashlib
import os
import threading
from dataclasses import dataclass, field
from datetime import date

import psycopg

from tongguan import messages, store
from tongguan.window import clock
from tongguan.window.access import Rates
from tongguan.window.connections import Connections
from tongguan.window.limits import Limits
from tongguan.window.metrics import Metrics
from tongguan.window.submissions import Committer

CORES = os.cpu_count() or 1


@dataclass(slots=True)
class Gateway:
    """The parts of a gateway. loopback: whether webhooks may lead to this machine. desks: to be
    held while messages are read; as many as cores, since more trees at once only crowd the cache.
    """

    database: store.Database
    vault: store.Vault
    limits: Limits
    connections: Connections
    committer: Committer
    rates: Rates
    metrics: Metrics
    loopback: bool
    name: str
    draining: threading.Event = field(default_factory=threading.Event)
    desks: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(CORES))

    @property
    def message_limits(self) -> messages.Limits:
        return messages.Limits(bytes=self.limits.message_bytes)

    def moment(self, conn: psycopg.Connection) -> tuple[int, date]:
        """The present: milliseconds since 1970 UTC, and the day in Asia/Shanghai."""
        at = clock.moment(conn)
        return clock.milliseconds(at), at.date()

    def close(self) -> None:
        """Finish what was taken, and let go of the database."""
        self.committer.close()
        self.connections.close()


def name_of(conn: psycopg.Connection) -> str:
    """Which window this is: the same for every process on one database, and tells nothing else."""
    sql = """SELECT (SELECT system_identifier FROM pg_control_system()) || '/' ||
        (SELECT oid FROM pg_database WHERE datname = current_database())"""
    row = conn.execute(sql).fetchone()
    return hashlib.sha256(str(row).encode()).hexdigest()[:16]


def gateway(
    database: store.Database,
    vault: store.Vault,
    limits: Limits,
    *,
    loopback: bool,
) -> Gateway:
    """A gateway on a database whose tables are there. Close it."""
    with database.connect(autocommit=True) as conn:
        name = name_of(conn)
    return Gateway(
        database,
        vault,
        limits,
        Connections(database),
        Committer(database, limits),
        Rates(limits),
        Metrics(),
        loopback,
        name,
    )
