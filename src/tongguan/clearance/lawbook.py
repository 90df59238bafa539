"""The policy of a database: the built-in law and the table editions that were loaded into it.

Editions are kept in the database, so that every worker decides under the same law, and none is
ever removed: a decision names the hash of the policy it was made under, and ``explain`` builds
that policy again.
"""

from functools import lru_cache

import psycopg

from tongguan import policy

Edition = policy.TariffEdition | policy.PositiveListEdition
TARIFF, POSITIVE_LIST = "tariff", "positive-list"


class UnknownPolicy(LookupError):  # noqa: N818 - a look-up that found nothing
    """A policy of that hash can no longer be built: the program's own parameters differ."""


def _kind(edition: Edition) -> str:
    return TARIFF if isinstance(edition, policy.TariffEdition) else POSITIVE_LIST


def add(conn: psycopg.Connection, edition: Edition) -> bool:
    """Put an edition in force in place of the one of its name; whether it differs from that.

    A tariff is named by the day it takes effect, a positive list by its version.
    """
    kind = _kind(edition)
    name = edition.effective.isoformat() if kind == TARIFF else edition.name
    conn.execute("SELECT pg_advisory_xact_lock(hashtext('policy_edition'))")
    sql = "SELECT digest FROM policy_edition WHERE table_kind = %s AND name = %s AND in_force"
    row = conn.execute(sql, (kind, name)).fetchone()
    if row and row[0] == edition.hash:
        return False
    conn.execute(
        "UPDATE policy_edition SET in_force = false WHERE table_kind = %s AND name = %s",
        (kind, name),
    )
    conn.execute(
        """INSERT INTO policy_edition (table_kind, name, effective, digest, content, in_force)
        VALUES (%s, %s, %s, %s, %s, true)""",
        (kind, name, edition.effective, edition.hash, edition.to_bytes()),
    )
    return True


@lru_cache(maxsize=8)
def _build(contents: tuple[tuple[str, bytes], ...]) -> policy.Policy:
    return policy.load(
        tariffs=[policy.TariffEdition.from_bytes(c) for kind, c in contents if kind == TARIFF],
        positive_lists=[
            policy.PositiveListEdition.from_bytes(c) for kind, c in contents if kind != TARIFF
        ],
    )


def current(conn: psycopg.Connection) -> policy.Policy:
    """The policy in force; its composition is remembered under its hash."""
    sql = "SELECT id, table_kind, content FROM policy_edition WHERE in_force ORDER BY id"
    rows = conn.execute(sql).fetchall()
    built = _build(tuple((kind, bytes(content)) for _, kind, content in rows))
    conn.execute(
        "INSERT INTO policy_version (digest, editions) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (built.hash, [row[0] for row in rows]),
    )
    return built


def nearest(conn: psycopg.Connection, digest: str) -> policy.Policy:
    """The tables a decision was made under, on the parameters of this program.

    Its hash is ``digest`` unless the parameters have changed since.
    """
    sql = """SELECT e.table_kind, e.content FROM policy_version v
        JOIN policy_edition e ON e.id = ANY(v.editions) WHERE v.digest = %s ORDER BY e.id"""
    rows = conn.execute(sql, (digest,)).fetchall()
    return _build(tuple((kind, bytes(content)) for kind, content in rows))


def by_hash(conn: psycopg.Connection, digest: str) -> policy.Policy:
    """The policy a decision was made under. Raises UnknownPolicy."""
    built = nearest(conn, digest)
    if built.hash != digest:
        raise UnknownPolicy(
            f"the decision was made under policy {digest[:12]}, but this program's parameters "
            f"and the editions kept give {built.hash[:12]}; use the version that decided"
        )
    return built
