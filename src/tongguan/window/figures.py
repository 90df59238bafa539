"""The figures that are counted in the database: the queue, its age, the workers."""

import psycopg

from tongguan.window import queue
from tongguan.window.metrics import Metrics


def waiting(conn: psycopg.Connection) -> int:
    """How many messages wait to be recorded."""
    row = conn.execute("SELECT count(*) FROM submission WHERE state = 'waiting'").fetchone()
    return int(row[0]) if row else 0


def measure(conn: psycopg.Connection, metrics: Metrics, at_ms: int) -> None:
    """Set the gauges to what the database says now."""
    sql = """SELECT count(*), min(at) FROM submission WHERE state = 'waiting'"""
    count, oldest = conn.execute(sql).fetchone() or (0, None)
    metrics.waiting.set(count)
    metrics.oldest.set(max(0, at_ms - oldest) / 1000 if oldest is not None else 0)
    sql = """SELECT (SELECT count(*) FROM submission WHERE state = 'set-aside'),
        (SELECT count(*) FROM webhook WHERE failures > 0)"""
    aside, failing = conn.execute(sql).fetchone() or (0, 0)
    metrics.set_aside.set(aside)
    metrics.webhooks_failing.set(failing)
    metrics.workers.set(queue.workers(conn))
