"""The window's time: the one place of it that reads the clock of the machine."""

from datetime import datetime, timedelta

import psycopg

from tongguan.clearance import ZONE

EPOCH = datetime.fromtimestamp(0, ZONE)


def moment(conn: psycopg.Connection) -> datetime:
    """The present, in Asia/Shanghai.

    The time at which ``tongguan up --at`` lets it stand, else where the sandbox's clock stands,
    else that of the machine.
    """
    sql = "SELECT coalesce((SELECT stands_at FROM window_rules), (SELECT at FROM clock))"
    row = conn.execute(sql).fetchone()
    if row is not None and row[0] is not None:
        return EPOCH + timedelta(milliseconds=row[0])
    return real()


def real() -> datetime:
    """The time of the machine, wherever the window's clock stands: for pauses between tries."""
    return datetime.now(ZONE)


def milliseconds(at: datetime) -> int:
    """Milliseconds since 1970 UTC, exactly."""
    return (at - EPOCH) // timedelta(milliseconds=1)


def iso(at_ms: int) -> str:
    """A time as answers write it: ISO 8601 in Asia/Shanghai."""
    return (EPOCH + timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds")
