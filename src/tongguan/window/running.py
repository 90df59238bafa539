"""Starting the window: its tables, its first key, and each of its processes."""

import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg

from tongguan import clearance, messages, store
from tongguan.sharing import companies, keys
from tongguan.sharing.heads import Signer
from tongguan.window import clock, journal, rules, supervising, tracing
from tongguan.window.delivery import Delivery
from tongguan.window.gateway import gateway as made
from tongguan.window.gateway import name_of
from tongguan.window.limits import Limits
from tongguan.window.models import STEPS
from tongguan.window.serving import Tls, serve_until_stopped, when_orphaned
from tongguan.window.supervising import Part, Supervisor
from tongguan.window.worker import Worker

LOOPBACK = ("127.0.0.1", "::1", "localhost")
OPERATOR = ("0000000000", "试验综试区运营方")
"""Who the first key is for, in a window where nobody is filed yet."""


def prepare(database: store.Database) -> None:
    """Bring the tables of the window, and of the rooms it stands on, up to date."""
    clearance.prepare_database(database)
    with database.borrow() as conn:
        store.migrate(conn, "window", STEPS)
        conn.commit()


@dataclass(frozen=True, slots=True)
class FirstKey:
    """A key that is shown once. company: whose."""

    key: str
    company: str
    scopes: tuple[str, ...]


def first_key(database: store.Database) -> FirstKey | None:
    """A key of the operator, in a window that has no key yet; else None."""

    def work(conn: psycopg.Connection) -> FirstKey | None:
        conn.execute("SELECT pg_advisory_xact_lock(hashtext('first key'))")
        row = conn.execute("SELECT EXISTS (SELECT FROM api_key)").fetchone()
        if row and row[0]:
            return None
        at_ms = clock.milliseconds(clock.moment(conn))
        code, name = OPERATOR
        companies.file(conn, code, name, ["operator"], "tongguan up", at_ms)
        scopes = (*keys.usual_scopes(), "operate")
        key, caller = keys.issue(conn, code, scopes, at_ms, by="tongguan up")
        return FirstKey(key, caller.company, tuple(sorted(caller.scopes)))

    return store.transact(database, work)


@dataclass(frozen=True, slots=True)
class Plan:
    """What ``up`` starts. threads of the gateway and workers are processes' own business."""

    host: str
    port: int
    workers: int
    rules: rules.Rules
    tls: Tls | None = None


def up(
    database: store.Database,
    reopen: Callable[[], store.Database],
    plan: Plan,
    ready: Callable[[], None],
) -> None:
    """Start gateway and workers and look after them until SIGTERM; closes the database."""
    journal.to_standard_error("up")
    with database.borrow() as conn:
        rules.lay_down(conn, plan.rules)
        name = name_of(conn)
        conn.commit()
    address = (plan.host, plan.port)
    secure = plan.tls is not None
    supervising.check_port(address, name, secure)
    environment = supervising.environment(database.url)
    words = ["gateway", "--host", plan.host, "--port", str(plan.port), *_tls_words(plan.tls)]
    loopback = ["--loopback"] if plan.host in LOOPBACK else []
    parts = [Part(f"worker-{n + 1}", ["work", *loopback], environment) for n in range(plan.workers)]
    gateway_part = Part("gateway", words, environment)
    Supervisor(database, reopen, gateway_part, parts, address, secure).run(ready)


def _tls_words(tls: Tls | None) -> Sequence[str]:
    if tls is None:
        return []
    words = ["--tls-certificate", str(tls.certificate), "--tls-key", str(tls.key)]
    return words if tls.authority is None else [*words, "--tls-clients", str(tls.authority)]


def serve(database: store.Database, host: str, port: int, tls: Tls | None = None) -> None:
    """Serve as one gateway until SIGTERM."""
    journal.to_standard_error("gateway")
    tracing.start("tongguan-gateway")
    limits = Limits.of()
    with database.connect(autocommit=True) as conn:
        supervising.check_port((host, port), name_of(conn), tls is not None)
    vault = store.Vault.open(store.home_folder())
    end = threading.Event()
    _end_with_parent(end, lambda: os.kill(os.getpid(), signal.SIGTERM))
    loopback = host in LOOPBACK
    clearance.collect_seldom()
    serve_until_stopped(made(database, vault, limits, loopback=loopback), host, port, tls)
    tracing.stop()


def work(database: store.Database, *, loopback: bool) -> None:
    """Work as one worker until SIGTERM. loopback: whether webhooks may lead to this machine."""
    journal.to_standard_error("worker")
    tracing.start("tongguan-worker")
    end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    _end_with_parent(end, end.set)
    home = store.home_folder()
    vault = store.Vault.open(home)
    limits = messages.Limits(bytes=Limits.of().message_bytes)
    delivery = Delivery(database, vault, loopback=loopback)
    delivery.start()
    clearance.collect_seldom()
    try:
        Worker(database, vault, Signer.open(home), limits).run(end)
    finally:
        delivery.close()
        tracing.stop()
        journal.journal.info("stopped")


def _end_with_parent(end: threading.Event, act: Callable[[], None]) -> None:
    """Stop when the ``up`` that started this process is gone."""
    parent = os.environ.get("TONGGUAN_PARENT", "")
    if parent.isdecimal() and int(parent) == os.getppid():
        when_orphaned(end, int(parent), act)
