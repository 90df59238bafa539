"""PostgreSQL: the embedded server or any other, columns in and out, transactions, personal data.

``open`` gives a Database; ``transact`` runs work in one transaction, again when two met; ``copy``
and ``fetch`` move whole frames, ``stream`` moves long results in parts, ``behind`` and
``copy_behind`` write while the caller goes on; ``migrate`` applies a
room's numbered steps; ``Vault`` seals personal data. What fails for reasons of the environment
raises Unavailable.
"""

from tongguan.store.columns import (
    Rows,
    copy,
    copy_behind,
    encode,
    encode_binary,
    fetch,
    keys,
    numbers,
    stream,
    unnest,
)
from tongguan.store.connection import Connection, Work, behind, settle
from tongguan.store.database import Database, exists, open, transact
from tongguan.store.home import home_folder
from tongguan.store.migrations import StepError, migrate
from tongguan.store.secret import secret_key
from tongguan.store.trouble import Unavailable, environment, unavailable
from tongguan.store.vault import SealBroken, Vault

__all__ = [
    "Connection",
    "Database",
    "Rows",
    "SealBroken",
    "StepError",
    "Unavailable",
    "Vault",
    "Work",
    "behind",
    "copy",
    "copy_behind",
    "encode",
    "encode_binary",
    "environment",
    "exists",
    "fetch",
    "home_folder",
    "keys",
    "migrate",
    "numbers",
    "open",
    "secret_key",
    "settle",
    "stream",
    "transact",
    "unavailable",
    "unnest",
]
