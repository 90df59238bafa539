"""When the environment fails: one exception, with a text that says what to do."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg


class Unavailable(RuntimeError):  # noqa: N818 - a state of the world, not a mistake of the caller
    """The database or the disk cannot be used. Nothing was left half done.

    The text says what could not be reached and what to do. The command line ends with exit 3.
    """


DISK_FULL = "the disk is full: free some space, then run it again"
_ADVICE_BY_STATE = {
    "53100": DISK_FULL,
    "53200": "the database server is out of memory",
    "53300": "the database server has no free connection: raise max_connections",
    "25006": "the database is read-only: point --database or DATABASE_URL at the primary server",
    "42501": "the database user lacks a permission it needs",
    "28P01": "the database refused the password: check --database or DATABASE_URL",
    "28000": "the database refused this user: check --database or DATABASE_URL",
    "3D000": "there is no such database on that server: create it, or check DATABASE_URL",
    "57P01": "the database server was shut down: start it and run the command again",
    "57P02": "the database server crashed: run the command again",
    "57P03": "the database server is still starting: run the command again in a moment",
    "58030": "the database server cannot read or write its files",
    "XX001": "the database is damaged: restore it from a backup",
    "XX002": "an index of the database is damaged: REINDEX it or restore a backup",
}
#: Classes of SQLSTATE that tell of the environment: connection, resources, operator, system.
_ADVICE_BY_CLASS = {
    "08": "the connection to the database was lost: run the command again",
    "53": "the database server has run out of a resource",
    "57": "the database server stopped answering: run the command again",
    "58": "the database server has trouble with its machine",
    "XX": "the database server failed inside",
}
#: A cancelled statement (lock or statement time-out) is the business of who set the time.
_NOT_ENVIRONMENT = {"57014"}
_ADVICE_BY_ERRNO = {
    errno.ENOSPC: DISK_FULL,
    errno.EDQUOT: "the disk quota is used up: free some space, then run it again",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EIO: "the disk cannot be read or written",
    errno.EMFILE: "too many open files: raise the limit (ulimit -n)",
    errno.ENFILE: "too many open files on this machine",
}
_SECRET = re.compile(
    r"""(password\s*=\s*)(?:'(?:[^'\\]|\\.)*'|\S+)|(://[^:/@\s]*:)[^\s/]*(?=@)""", re.IGNORECASE
)


def without_secret(text: str) -> str:
    """The text with passwords of connection strings struck out."""
    return _SECRET.sub(lambda found: f"{found[1] or found[2]}***", text)


def _of_database(error: psycopg.Error) -> str | None:
    state = error.sqlstate
    if state is None:
        # No SQLSTATE: the client library itself lost or never reached the server.
        lost = isinstance(error, psycopg.OperationalError)
        return "the database cannot be reached, or the connection was lost" if lost else None
    if state in _NOT_ENVIRONMENT:
        return None
    return _ADVICE_BY_STATE.get(state) or _ADVICE_BY_CLASS.get(state[:2])


def unavailable(error: BaseException) -> Unavailable | None:
    """``error`` as Unavailable if it tells of the environment, else None.

    A lost connection, a full or read-only disk, a missing permission are; a constraint that fails,
    a wrong statement or a lock that timed out are not.
    """
    if isinstance(error, Unavailable):
        return error
    if isinstance(error, psycopg.Error):
        advice = _of_database(error)
        reason = error.diag.message_primary or str(error)
    elif isinstance(error, OSError):
        advice = _ADVICE_BY_ERRNO.get(error.errno or 0)
        reason = str(error)
    else:
        return None
    return Unavailable(f"{advice} ({without_secret(reason.strip())})") if advice else None


@contextmanager
def environment() -> Iterator[None]:
    """Turns failures of the environment inside the block into Unavailable; all else passes."""
    try:
        yield
    except (psycopg.Error, OSError) as error:
        failed = unavailable(error)
        if failed is None:
            raise
        raise failed from error
