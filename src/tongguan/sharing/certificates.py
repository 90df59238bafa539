"""Certificates: with which keys a company signs, since when, until when, and which are revoked.

A certificate belongs to one company, the one that transmits (copCode). Nothing is deleted: a
revoked certificate stays, with the moment from which it no longer counts. What was said, when and
by whom stands in the history of the company (table ``filing``).
Source: CEB specification 202205 §6 (X.509 certificate of the enterprise, known by its serial
number).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl
import psycopg

from tongguan import messages
from tongguan.sharing import companies, registry
from tongguan.sharing.rules import Refused, code_problem

ROOM = "certificates"
STEPS = [
    """
    CREATE TABLE certificate (
        fingerprint text PRIMARY KEY,
        company text NOT NULL,
        serial text NOT NULL,
        algorithm text NOT NULL,
        valid_from bigint NOT NULL,
        valid_to bigint NOT NULL,
        der bytea NOT NULL,
        filed_at bigint NOT NULL,
        filed_by text NOT NULL,
        revoked_at bigint,
        revoked_because text,
        CHECK (valid_from < valid_to),
        CHECK ((revoked_at IS NULL) = (revoked_because IS NULL))
    );
    CREATE INDEX certificate_serial ON certificate (company, serial);
    """
]


@dataclass(frozen=True, slots=True)
class Filed:
    """A certificate in the registry. Times in milliseconds since 1970 UTC; validity inclusive."""

    fingerprint: str
    company: str
    serial: str
    algorithm: str
    valid_from: int
    valid_to: int
    filed_at: int
    filed_by: str
    revoked_at: int | None
    revoked_because: str | None

    def facts(self) -> dict[str, str | None]:
        """As JSON values, times in ISO 8601."""
        times = {name: getattr(self, name) for name in ("valid_from", "valid_to", "revoked_at")}
        return {
            "company": self.company,
            "serial": self.serial,
            "algorithm": self.algorithm,
            "fingerprint": self.fingerprint,
            "filed_by": self.filed_by,
            **{name: None if at is None else shown(at) for name, at in times.items()},
            "revoked_because": self.revoked_because,
        }


_COLUMNS = (
    "fingerprint, company, serial, algorithm, valid_from, valid_to, filed_at, filed_by, "
    "revoked_at, revoked_because"
)


class AnotherCompanys(ValueError):  # noqa: N818 - whose it is
    """The certificate is filed for another company."""


class UnknownCertificate(LookupError):  # noqa: N818 - a look-up that found nothing
    """The company has filed no certificate of that serial number."""


def shown(at_ms: int) -> str:
    """Milliseconds since 1970 as ISO 8601 in UTC, without fractions."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).isoformat()


def milliseconds(at: datetime) -> int:
    return int(at.timestamp()) * 1000


def file(
    conn: psycopg.Connection,
    company: str,
    certificate: messages.Certificate,
    by: str,
    at_ms: int,
) -> bool:
    """File a certificate for a company; False if it was already.

    company: either of its codes; it need not be filed yet. Raises Refused for what is no code,
    AnotherCompanys.
    """
    problem = code_problem("code", company)
    if problem:
        raise Refused([problem])
    company = registry.main_codes(conn, pl.Series([company])).get(company, company)
    row = conn.execute(
        """INSERT INTO certificate
            (fingerprint, company, serial, algorithm, valid_from, valid_to, der, filed_at, filed_by)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING 1""",
        (
            *(certificate.fingerprint, company, certificate.serial, certificate.algorithm),
            *(milliseconds(certificate.valid_from), milliseconds(certificate.valid_to)),
            *(certificate.der, at_ms, by),
        ),
    ).fetchone()
    if row is not None:
        facts = {"serial": certificate.serial, "fingerprint": certificate.fingerprint}
        companies.record(conn, company, "certificate filed", facts, by, at_ms)
        return True
    holder = filed(conn, [certificate.fingerprint])[certificate.fingerprint].company
    if holder != company:
        raise AnotherCompanys(
            f"certificate {certificate.serial} is filed for {holder}, it cannot be {company}'s too"
        )
    return False


def revoke(
    conn: psycopg.Connection, company: str, serial: str, because: str, by: str, at_ms: int
) -> list[Filed]:
    """Let certificates of a company count no more from a time on; those that changed.

    One that is revoked already keeps the earlier time. Raises UnknownCertificate.
    """
    company = registry.main_codes(conn, pl.Series([company])).get(company, company)
    number = messages.serial_of(serial) or serial
    if not any(one.serial == number for one in of_company(conn, company)):
        raise UnknownCertificate(f"{company} has filed no certificate {serial}")
    rows = conn.execute(
        f"""UPDATE certificate SET revoked_at = %(at)s, revoked_because = %(because)s
        WHERE company = %(company)s AND serial = %(serial)s
            AND (revoked_at IS NULL OR revoked_at > %(at)s) RETURNING {_COLUMNS}""".encode(),
        {"at": at_ms, "because": because, "company": company, "serial": number},
    )
    changed = [Filed(*row) for row in rows]
    for one in changed:
        facts = {"serial": one.serial, "fingerprint": one.fingerprint, "because": because}
        companies.record(conn, company, "certificate revoked", facts, by, at_ms)
    return changed


def of_company(conn: psycopg.Connection, company: str | None) -> list[Filed]:
    """The certificates of a company (by the code it is filed under), or all; the oldest first."""
    sql = f"""SELECT {_COLUMNS} FROM certificate WHERE company = %(company)s
        OR %(company)s::text IS NULL ORDER BY company, valid_from, fingerprint"""
    return [Filed(*row) for row in conn.execute(sql.encode(), {"company": company})]


def filed(conn: psycopg.Connection, fingerprints: Iterable[str]) -> Mapping[str, Filed]:
    """Those of the certificates that are filed, by fingerprint."""
    wanted = sorted(set(fingerprints))
    if not wanted:
        return {}
    sql = f"SELECT {_COLUMNS} FROM certificate WHERE fingerprint = ANY(%s)"
    return {row[0]: Filed(*row) for row in conn.execute(sql.encode(), (wanted,))}


def named(conn: psycopg.Connection, company: str, serial: str) -> bytes | None:
    """The certificate (DER) that a company means by a serial number: its latest of that number."""
    company = registry.main_codes(conn, pl.Series([company])).get(company, company)
    row = conn.execute(
        """SELECT der FROM certificate WHERE company = %s AND serial = %s
        ORDER BY valid_to DESC, fingerprint LIMIT 1""",
        (company, serial),
    ).fetchone()
    return None if row is None else bytes(row[0])
