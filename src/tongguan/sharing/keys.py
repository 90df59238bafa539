"""API keys: who calls, and what for.

A key is ``tgk_<id>_<secret>``. The id finds it; the secret is 256 random bits, shown once and kept
as its SHA-256. That is enough: slow hashes (argon2, scrypt) protect what people choose and others
guess, and 256 random bits cannot be guessed, while a slow hash would cost every request
milliseconds. Scopes are the code table ``scope``.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psycopg

from tongguan import codes
from tongguan.sharing import companies
from tongguan.sharing.companies import instant
from tongguan.sharing.rules import Problem, Refused

STEPS = [
    """
    CREATE TABLE api_key (
        id text PRIMARY KEY,
        company text NOT NULL REFERENCES company (code),
        digest bytea NOT NULL,
        scopes text[] NOT NULL,
        issued_at bigint NOT NULL,
        issued_by text NOT NULL,
        expires_at bigint,
        revoked_at bigint
    );
    CREATE INDEX api_key_company ON api_key (company);
    """
]
"""Steps of room "keys"; they stand on those of the registry."""

_FORM = re.compile(r"tgk_([0-9a-f]{12})_([0-9a-f]{64})")
_NOBODY = hashlib.sha256(b"").digest()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who presented a key: the key, the code its company is filed under, what it may do."""

    key_id: str
    company: str
    scopes: frozenset[str]


class UnknownKey(LookupError):  # noqa: N818 - a look-up that found nothing
    """There is no key of that id."""


def usual_scopes() -> tuple[str, ...]:
    """What a key is for unless something else is said."""
    return tuple(scope.code for scope in codes.table("scope") if scope.more["usual"] == "yes")


def issue(
    conn: psycopg.Connection,
    company: str,
    scopes: Iterable[str],
    at_ms: int,
    expires_ms: int | None = None,
    by: str = "operator",
) -> tuple[str, Caller]:
    """A new key of a company: the key itself, which is not kept, and the caller it makes.

    company: either of its codes; expires_ms: from then on it is void. Raises UnknownCompany, and
    Refused: a scope that does not exist or that only other roles are given, an end in the past, a
    company that is filed provisionally only.
    """
    main = companies.find(conn, company)
    wanted = sorted(set(scopes))
    if problems := _problems(conn, main, wanted, at_ms, expires_ms):
        raise Refused(problems)
    key_id, secret = secrets.token_hex(6), secrets.token_hex(32)
    conn.execute(
        """INSERT INTO api_key (id, company, digest, scopes, issued_at, issued_by, expires_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s)""",
        (key_id, main, _digest(secret), wanted, at_ms, by, expires_ms),
    )
    facts = {"key": key_id, "scopes": wanted}
    facts |= {} if expires_ms is None else {"expires": instant(expires_ms)}
    companies.record(conn, main, "key issued", facts, by, at_ms)
    return f"tgk_{key_id}_{secret}", Caller(key_id, main, frozenset(wanted))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _problems(
    conn: psycopg.Connection, company: str, scopes: list[str], at_ms: int, expires_ms: int | None
) -> list[Problem]:
    sql = "SELECT role FROM company_role WHERE code = %s AND NOT provisional"
    roles = {row[0] for row in conn.execute(sql, (company,))}
    found = []
    if not roles:
        cure = f"file it: `tongguan company file {company} --name … --role …`"
        found.append(Problem("company", "a filed company", "a provisional filing", cure))
    table = codes.table("scope")
    if not scopes:
        expected = f"one or several of {', '.join(sorted(table.codes))}"
        found.append(Problem("scope", expected, "none", "say what the key is for"))
    for scope in scopes:
        if scope not in table:
            expected = f"one of {', '.join(sorted(table.codes))}"
            found.append(Problem("scope", expected, scope, "correct it"))
        elif (only := set(table.get(scope).more["roles"].split())) and not only & roles:
            actual = f"{company}, filed as {', '.join(sorted(roles)) or 'nothing'}"
            cure = "leave the scope out, or file the company in that role"
            expected = f"for {scope} a company filed as {' or '.join(sorted(only))}"
            found.append(Problem("scope", expected, actual, cure))
    if expires_ms is not None and expires_ms <= at_ms:
        expected = f"a time after {instant(at_ms)}"
        found.append(Problem("expires", expected, instant(expires_ms), "give a later one"))
    return found


def authenticate(conn: psycopg.Connection, presented: str, at_ms: int) -> Caller | None:
    """Who presents a key at a time; None for whatever is no key in force, without saying why.

    Takes the same steps whether or not the id exists, and compares in constant time. A revoked
    key stays void whichever way the clock is moved.
    """
    form = _FORM.fullmatch(presented)
    key_id, secret = (form[1], form[2]) if form else ("", "")
    sql = """SELECT digest, company, scopes, coalesce(expires_at > %(at)s, true)
            AND revoked_at IS NULL
        FROM api_key WHERE id = %(id)s"""
    row = conn.execute(sql, {"id": key_id, "at": at_ms}).fetchone()
    kept, company, scopes, in_force = row or (_NOBODY, "", [], False)
    same = hmac.compare_digest(_digest(secret), bytes(kept))
    return Caller(key_id, company, frozenset(scopes)) if same and in_force else None


def revoke(conn: psycopg.Connection, key_id: str, at_ms: int, by: str = "operator") -> None:
    """Make a key void from now on; one that is revoked already stays so. Raises UnknownKey."""
    sql = "SELECT company, revoked_at FROM api_key WHERE id = %s FOR UPDATE"
    row = conn.execute(sql, (key_id,)).fetchone()
    if row is None:
        raise UnknownKey(f"no key {key_id!r}: `tongguan keys list CODE` shows a company's keys")
    if row[1] is None:
        conn.execute("UPDATE api_key SET revoked_at = %s WHERE id = %s", (at_ms, key_id))
        companies.record(conn, row[0], "key revoked", {"key": key_id}, by, at_ms)


def listed(conn: psycopg.Connection, company: str | None = None) -> list[dict[str, Any]]:
    """The keys of a company (by either code), or all, oldest first: facts, never secrets.

    Times are ISO 8601. Raises UnknownCompany.
    """
    main = None if company is None else companies.find(conn, company)
    sql = """SELECT id, company, scopes, issued_by, issued_at, expires_at, revoked_at FROM api_key
        WHERE %(company)s::text IS NULL OR company = %(company)s ORDER BY issued_at, id"""
    return [
        {"key": key_id, "company": code, "scopes": list(scopes), "by": by}
        | {
            name: None if at is None else instant(at)
            for name, at in zip(("issued", "expires", "revoked"), times, strict=True)
        }
        for key_id, code, scopes, by, *times in conn.execute(sql, {"company": main})
    ]
