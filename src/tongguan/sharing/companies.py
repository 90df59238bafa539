"""Filing companies and mandates by a person: examined, recorded with who said it and when.

The tables are those of ``registry``; ``filing`` beside them only grows and holds everything that
was ever said. Nobody is filed by halves: what is wrong is reported all at once as ``Refused``.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from tongguan.sharing import registry
from tongguan.sharing.rules import Problem, Refused, filing_problems


class UnknownCompany(LookupError):  # noqa: N818 - a look-up that found nothing
    """No company is filed under that code."""

    def __init__(self, code: str) -> None:
        super().__init__(
            f"no company is filed under {code!r}: file it with "
            f"`tongguan company file {code} --name … --role …`"
        )


def record(
    conn: psycopg.Connection, company: str, what: str, facts: dict[str, Any], by: str, at_ms: int
) -> None:
    """Add to the history of a company; what stands there is never changed."""
    conn.execute(
        "INSERT INTO filing (company, what, facts, said_by, at) VALUES (%s, %s, %s, %s, %s)",
        (company, what, Jsonb(facts), by, at_ms),
    )


def find(conn: psycopg.Connection, code: str) -> str:
    """The code a company is filed under, by either of its codes. Raises UnknownCompany."""
    sql = "SELECT code FROM company WHERE code = %(code)s OR credit_code = %(code)s"
    row = conn.execute(sql, {"code": code}).fetchone()
    if row is None:
        raise UnknownCompany(code)
    return str(row[0])


def file(
    conn: psycopg.Connection,
    code: str,
    name: str,
    roles: Sequence[str],
    by: str,
    at_ms: int,
    credit_code: str | None = None,
    zone: str | None = None,
    dxp_id: str | None = None,
) -> str:
    """File a company, or add to its filing; returns the code it is filed under.

    code: customs code or social credit code; credit_code: the second code of one filed by the
    first; zone: its number in table ``zone``; dxp_id: its address at the exchange platform; by: who
    says so. A provisional filing becomes a full one, also one under the second code. Raises Refused
    with every problem.
    """
    problems = filing_problems(code, name, roles, credit_code, zone, dxp_id)
    problems += _taken(conn, code, credit_code) + _taken_address(conn, code, dxp_id)
    if problems:
        raise Refused(problems)
    sql = "SELECT code FROM company WHERE credit_code = %s"
    other = conn.execute(sql, (code,)).fetchone()
    main = str(other[0]) if other else code
    if credit_code is not None:
        _absorb(conn, credit_code)
    more = {"credit_code": credit_code, "zone": zone, "dxp_id": dxp_id}
    registry.file_company(conn, main, name.strip(), roles, at_ms, **more)
    facts = {"name": name.strip(), "roles": list(roles)}
    facts |= {field: value for field, value in more.items() if value is not None}
    record(conn, main, "filed", facts, by, at_ms)
    return main


def _taken(conn: psycopg.Connection, code: str, credit_code: str | None) -> list[Problem]:
    """Codes that belong together otherwise than said."""
    if credit_code is None:
        return []
    found = []
    row = conn.execute("SELECT credit_code FROM company WHERE code = %s", (code,)).fetchone()
    if row and row[0] not in (None, credit_code):
        cure = "a company has one; correct it, or the first code"
        found.append(Problem("credit-code", f"{row[0]}, as filed before", credit_code, cure))
    sql = """SELECT c.code FROM company c WHERE c.code <> %(code)s AND (c.credit_code = %(credit)s
        OR c.code = %(credit)s AND EXISTS (
            SELECT FROM company_role r WHERE r.code = c.code AND NOT r.provisional))"""
    row = conn.execute(sql, {"code": code, "credit": credit_code}).fetchone()
    if row:
        cure = f"`tongguan company show {row[0]}` shows whose it is"
        found.append(
            Problem("credit-code", "a code that is nobody else's", f"that of {row[0]}", cure)
        )
    return found


def _taken_address(conn: psycopg.Connection, code: str, dxp_id: str | None) -> list[Problem]:
    sql = (
        "SELECT code FROM company WHERE dxp_id = %s AND %s NOT IN (code, coalesce(credit_code, ''))"
    )
    row = conn.execute(sql, (dxp_id, code)).fetchone()
    if row is None:
        return []
    cure = f"receipts go there: `tongguan company show {row[0]}` shows whose it is"
    return [Problem("dxp-id", "an address that is nobody else's", f"that of {row[0]}", cure)]


def _absorb(conn: psycopg.Connection, credit_code: str) -> None:
    """Take away a provisional filing under what turns out to be a second code."""
    conn.execute("DELETE FROM company_role WHERE code = %s AND provisional", (credit_code,))
    conn.execute("DELETE FROM company WHERE code = %s", (credit_code,))


# ── mandates ────────────────────────────────────────────────────────────────────────────────


def mandate(
    conn: psycopg.Connection,
    principal: str,
    agent: str,
    since: date,
    until: date | None,
    by: str,
    at_ms: int,
) -> None:
    """Record that ``agent`` may send for ``principal``, from day to day, both inclusive.

    Raises Refused (also for days that another mandate of the two holds already), UnknownCompany.
    """
    principal, agent = find(conn, principal), find(conn, agent)
    problems = []
    if principal == agent:
        cure = "a company needs no mandate of its own"
        problems.append(Problem("agent", "another company than the principal", agent, cure))
    if until is not None and until < since:
        cure = "give the last day on which it holds"
        problems.append(Problem("until", f"{since} or later", str(until), cure))
    sql = """SELECT since, until FROM mandate WHERE principal = %s AND agent = %s
        AND since <= coalesce(%s, 'infinity'::date) AND coalesce(until, 'infinity'::date) >= %s
        AND coalesce(until, 'infinity'::date) >= since ORDER BY since"""
    for first, last in conn.execute(sql, (principal, agent, until, since)):
        cure = "end that one first: `tongguan company end-mandate`"
        held = f"one from {first} {f'to {last}' if last else 'on, without end'}"
        problems.append(Problem("since", "days without a mandate of these two", held, cure))
    if problems:
        raise Refused(problems)
    conn.execute(
        """DELETE FROM mandate WHERE principal = %s AND agent = %s AND since = %s
        AND until < since""",
        (principal, agent, since),
    )
    registry.grant_mandate(conn, principal, agent, since, until)
    facts = {"agent": agent, "since": str(since), "until": str(until) if until else None}
    record(conn, principal, "mandate given", facts, by, at_ms)


def end_mandate(
    conn: psycopg.Connection, principal: str, agent: str, last: date, by: str, at_ms: int
) -> None:
    """Let ``last`` be the last day of the mandate that holds on it, or begins the day after.

    Raises Refused when there is none, UnknownCompany.
    """
    principal, agent = find(conn, principal), find(conn, agent)
    done = conn.execute(
        """UPDATE mandate SET until = %(last)s WHERE principal = %(principal)s
        AND agent = %(agent)s AND since <= %(last)s::date + 1
        AND (until IS NULL OR until > %(last)s)
        RETURNING since""",
        {"principal": principal, "agent": agent, "last": last},
    ).fetchall()
    if not done:
        held = [row for row in mandates(conn, principal) if row["agent"] == agent]
        actual = "; ".join(f"{row['since']} to {row['until'] or 'no end'}" for row in held)
        cure = f"`tongguan company show {principal}` lists its mandates"
        problem = Problem("on", "a day on which the mandate holds", actual or "no mandate", cure)
        raise Refused([problem])
    facts = {"agent": agent, "since": str(done[0][0]), "until": str(last)}
    record(conn, principal, "mandate ended", facts, by, at_ms)


def mandates(conn: psycopg.Connection, company: str) -> list[dict[str, Any]]:
    """The mandates a company gave or holds: principal, agent, since, until (days or None)."""
    sql = """SELECT principal, agent, since, until FROM mandate
        WHERE principal = %(company)s OR agent = %(company)s
        ORDER BY principal, agent, since"""
    return [
        {"principal": p, "agent": a, "since": str(since), "until": str(until) if until else None}
        for p, a, since, until in conn.execute(sql, {"company": company})
    ]


# ── reading ─────────────────────────────────────────────────────────────────────────────────


def listed(conn: psycopg.Connection) -> list[dict[str, Any]]:
    """All companies in order of their code: code, name, credit_code, zone, dxp_id, roles,
    provisional.

    roles: filed ones; provisional: roles nobody has examined.
    """
    return _companies(conn, None)


def _companies(conn: psycopg.Connection, code: str | None) -> list[dict[str, Any]]:
    sql = """SELECT c.code, c.name, c.credit_code, c.zone, c.dxp_id,
            coalesce(array_agg(r.role ORDER BY r.role) FILTER (WHERE NOT r.provisional), '{}'),
            coalesce(array_agg(r.role ORDER BY r.role) FILTER (WHERE r.provisional), '{}')
        FROM company c LEFT JOIN company_role r USING (code)
        WHERE %(code)s::text IS NULL OR c.code = %(code)s
        GROUP BY c.code ORDER BY c.code"""
    names = ("code", "name", "credit_code", "zone", "dxp_id", "roles", "provisional")
    return [dict(zip(names, row, strict=True)) for row in conn.execute(sql, {"code": code})]


def shown(conn: psycopg.Connection, code: str) -> dict[str, Any]:
    """One company with its mandates and its whole history. Raises UnknownCompany."""
    main = find(conn, code)
    [facts] = _companies(conn, main)
    return facts | {"mandates": mandates(conn, main), "history": history(conn, main)}


def history(conn: psycopg.Connection, company: str) -> list[dict[str, Any]]:
    """What was said of a company, oldest first: at (ISO 8601, UTC), what, by, facts."""
    sql = "SELECT at, what, said_by, facts FROM filing WHERE company = %s ORDER BY id"
    return [
        {"at": instant(at), "what": what, "by": by, "facts": facts}
        for at, what, by, facts in conn.execute(sql, (company,))
    ]


def instant(at_ms: int) -> str:
    """Milliseconds since 1970 UTC as ISO 8601.

    >>> instant(1654056000000)
    '2022-06-01T04:00:00+00:00'
    """
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)).isoformat()
