"""Numbered steps of SQL, each room its own series, each step applied once."""

import hashlib
from collections.abc import Sequence

import psycopg

_LEDGER = """
CREATE TABLE IF NOT EXISTS store_step (
    room text NOT NULL,
    step integer NOT NULL,
    digest text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (room, step)
)
"""
#: One lock for all rooms: a step of one room may look at tables of another.
_LOCK = 0x746F6E67  # "tong"


class StepError(RuntimeError):
    """The steps in the database are not those of this program: changed, or newer."""


def migrate(connection: psycopg.Connection, room: str, steps: Sequence[str]) -> int:
    """Applies the steps of ``room`` that the database does not have; returns how many.

    Step n is ``steps[n - 1]``: any number of SQL statements, without parameters. All of them land
    in one transaction, under an advisory lock that lasts until it ends, or none does. Raises
    StepError when a step already applied was changed, or the database has steps that this program
    lacks.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute(_LEDGER)
        query = "SELECT digest FROM store_step WHERE room = %s ORDER BY step"
        applied = [row[0] for row in connection.execute(query, (room,))]
        _must_agree(room, applied, steps)
        for number, step in enumerate(steps[len(applied) :], len(applied) + 1):
            connection.execute(step.encode())
            connection.execute(
                "INSERT INTO store_step (room, step, digest) VALUES (%s, %s, %s)",
                (room, number, _digest(step)),
            )
    return len(steps) - len(applied)


def _must_agree(room: str, applied: Sequence[str], steps: Sequence[str]) -> None:
    if len(applied) > len(steps):
        raise StepError(
            f"the database has {len(applied)} steps of {room}, this program knows {len(steps)}: "
            "it was used by a newer version; install that one"
        )
    for number, (found, step) in enumerate(zip(applied, steps, strict=False), 1):
        if found != _digest(step):
            raise StepError(f"step {number} of {room} was changed after it had been applied")


def _digest(step: str) -> str:
    """Of the words only: re-indenting a step does not change it."""
    return hashlib.sha256(" ".join(step.split()).encode()).hexdigest()
