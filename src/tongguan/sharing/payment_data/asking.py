"""Our window asks a platform for the original payment data of an order, and takes the upload.

A request has a session, an address and a time by which it must be answered. Everything that
happens to it is an event that is never changed: asked, opened or not opened, answered, refused,
late. What came is kept sealed, for it holds what buyer and payment firm told each other. Times are
arguments, milliseconds since 1970 UTC. Source: GACC notices 2018-165 and 2018-179.
"""

import hashlib
import re
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg.types.json import Jsonb

from tongguan import messages, store
from tongguan.sharing import certificates, companies
from tongguan.sharing.companies import instant
from tongguan.sharing.payment_data import protocol
from tongguan.sharing.payment_data.protocol import Unreadable, Upload
from tongguan.sharing.rules import Problem, Refused

STEPS = [
    """
    CREATE TABLE payment_address (
        company text PRIMARY KEY REFERENCES company (code),
        url text NOT NULL
    );
    CREATE TABLE payment_request (
        session_id text PRIMARY KEY,
        platform text NOT NULL,
        order_no text NOT NULL,
        declared jsonb,
        url text NOT NULL,
        asked_by text NOT NULL,
        asked_at bigint NOT NULL,
        due_at bigint NOT NULL
    );
    CREATE INDEX payment_request_order ON payment_request (order_no);
    CREATE TABLE payment_event (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        session_id text NOT NULL,
        at bigint NOT NULL,
        what text NOT NULL CHECK (
            what IN ('asked', 'opened', 'not opened', 'answered', 'refused', 'late')),
        facts jsonb NOT NULL,
        digest text,
        sealed bytea
    );
    CREATE INDEX payment_event_session ON payment_event (session_id, id);
    CREATE UNIQUE INDEX payment_event_answered ON payment_event (session_id)
        WHERE what = 'answered';
    CREATE FUNCTION payment_event_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'table % only grows', TG_TABLE_NAME USING ERRCODE = 'check_violation';
    END $$;
    CREATE TRIGGER payment_event_never_changes BEFORE UPDATE OR DELETE OR TRUNCATE
        ON payment_event FOR EACH STATEMENT EXECUTE FUNCTION payment_event_only_grows();
    CREATE TRIGGER payment_request_never_changes BEFORE UPDATE OR DELETE OR TRUNCATE
        ON payment_request FOR EACH STATEMENT EXECUTE FUNCTION payment_event_only_grows();
    """
]
"""Steps of room "payment-data"; they stand on those of the registry."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What the order and its payment say: the upload is compared with it. amount: yuan."""

    pay_code: str | None
    transaction: str | None
    amount: Decimal | None


@dataclass(frozen=True, slots=True)
class Request:
    """A request: to be posted to ``url``, to be answered by ``due_at`` (inclusive)."""

    session_id: str
    platform: str
    order_no: str
    url: str
    asked_at: int
    due_at: int

    def form(self) -> bytes:
        """The body to post."""
        return protocol.OpenRequest(self.order_no, self.session_id, self.asked_at).form()


class UnknownRequest(LookupError):  # noqa: N818 - a look-up that found nothing
    """Nothing was asked under that session or order number."""


# ── asking ──────────────────────────────────────────────────────────────────────────────────


def register(conn: psycopg.Connection, company: str, url: str, by: str, at_ms: int) -> None:
    """Record where a platform's platDataOpen is reached. Raises Refused, UnknownCompany."""
    main = companies.find(conn, company)
    found = []
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        cure = "give the whole address, as http://pay.example.cn/platDataOpen"
        found.append(Problem("url", "an address of http or https", url, cure))
    sql = "SELECT FROM company_role WHERE code = %s AND role = 'platform' AND NOT provisional"
    if conn.execute(sql, (main,)).fetchone() is None:
        cure = f"file it: `tongguan company file {main} --name … --role platform`"
        found.append(Problem("company", "a company filed as platform", main, cure))
    if found:
        raise Refused(found)
    conn.execute(
        """INSERT INTO payment_address (company, url) VALUES (%s, %s)
        ON CONFLICT (company) DO UPDATE SET url = excluded.url""",
        (main, url),
    )
    companies.record(conn, main, "payment data opened", {"url": url}, by, at_ms)


def ask(
    conn: psycopg.Connection,
    platform: str,
    order_no: str,
    by: str,
    at_ms: int,
    within_ms: int,
    declared: Declared | None = None,
) -> Request:
    """Note a request, to be posted once it is committed. Raises Refused, UnknownCompany.

    platform: either of its codes; within_ms: the time it has to upload.
    """
    main = companies.find(conn, platform)
    sql = "SELECT url FROM payment_address WHERE company = %s"
    row = conn.execute(sql, (main,)).fetchone()
    if row is None:
        cure = f"`tongguan payments register {main} URL`; by notice 2018-179 it must open them"
        problem = Problem("platform", "a platform that opens its payment data", main, cure)
        raise Refused([problem])
    session = str(uuid.UUID(bytes=secrets.token_bytes(16), version=4)).upper()
    request = Request(session, main, order_no, row[0], at_ms, at_ms + within_ms)
    facts = None
    if declared is not None:
        facts = Jsonb({name: _plain(value) for name, value in asdict(declared).items()})
    conn.execute(
        """INSERT INTO payment_request
            (session_id, platform, order_no, declared, url, asked_by, asked_at, due_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s)""",
        (session, main, order_no, facts, row[0], by, at_ms, request.due_at),
    )
    _note(conn, session, at_ms, "asked", {"by": by})
    return request


def _plain(value: Any) -> Any:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else value


def opened(
    conn: psycopg.Connection, session_id: str, at_ms: int, reply: bytes | None, trouble: str = ""
) -> bool:
    """Note what the platform answered a request; whether it took it.

    reply: the body of its answer; None: there was none, and ``trouble`` says why.
    """
    code = None
    if reply is not None:
        code, trouble = _reply(reply)
    taken = code == protocol.OPENED
    facts = {"code": code} | ({} if taken else {"why": trouble})
    _note(conn, session_id, at_ms, "opened" if taken else "not opened", facts)
    return taken


def _reply(reply: bytes) -> tuple[str | None, str]:
    try:
        facts = protocol.object_of(reply[: protocol.BODY_MOST], "its answer")
    except Unreadable as problem:
        return None, str(problem)
    code, message = facts.get("code"), facts.get("message")
    said = f"it answered {code!r}: {message!r}"
    plain = isinstance(code, str) and code.isalnum()
    return (code if plain else None), said[:300]


def _note(
    conn: psycopg.Connection,
    session_id: str,
    at_ms: int,
    what: str,
    facts: dict[str, Any],
    digest: str | None = None,
    sealed: bytes | None = None,
) -> None:
    conn.execute(
        """INSERT INTO payment_event (session_id, at, what, facts, digest, sealed)
        VALUES (%s, %s, %s, %s, %s, %s)""",
        (session_id, at_ms, what, Jsonb(facts), digest, sealed),
    )


# ── the upload ──────────────────────────────────────────────────────────────────────────────


def receive_upload(
    conn: psycopg.Connection, vault: store.Vault, body: bytes, now_ms: int
) -> dict[str, Any]:
    """Take an upload (the body of the form) and say what to answer it, in JSON.

    All in one transaction of the caller's. The first sound upload of a session within its time
    answers it; the same bytes again get the same answer. A refused or late one is recorded if the
    session is ours, and sealed; of an unknown session nothing is kept, for anybody can make one up.
    """
    try:
        upload = protocol.read_upload(body)
    except Unreadable as problem:
        return protocol.answer("unreadable", now_ms, str(problem)[:300])
    request = _request(conn, upload.session_id)
    if request is None:
        return protocol.answer("session", now_ms)
    digest = hashlib.sha256(body).hexdigest()
    sql = "SELECT digest FROM payment_event WHERE session_id = %s AND what = 'answered'"
    before = conn.execute(sql, (upload.session_id,)).fetchone()
    if before is not None:
        return protocol.answer("taken" if before[0] == digest else "session", now_ms)
    what, reason, facts = _judged(conn, request, upload, now_ms)
    sealed = vault.seal(body, upload.session_id.encode())
    _note(conn, upload.session_id, now_ms, what, facts, digest, sealed)
    if "problems" in facts and what == "refused":
        return protocol.answer(reason, now_ms, "; ".join(facts["problems"])[:2000])
    return protocol.answer(reason, now_ms)


def _request(conn: psycopg.Connection, session_id: str) -> Request | None:
    """The request of a session, locked, so that of two uploads at once the second waits."""
    sql = """SELECT session_id, platform, order_no, url, asked_at, due_at FROM payment_request
        WHERE session_id = %s FOR UPDATE"""
    if not _SESSION.fullmatch(session_id):
        return None
    row = conn.execute(sql, (session_id,)).fetchone()
    return None if row is None else Request(*row)


_SESSION = re.compile(r"[0-9A-F-]{36}")

Judged = tuple[str, str, dict[str, Any]]
"""What happened, the reason of the answer, facts."""


def _judged(conn: psycopg.Connection, request: Request, upload: Upload, now_ms: int) -> Judged:
    certificate = _certificate(conn, request.platform, upload.certificate_no, now_ms)
    if isinstance(certificate, str):
        return "refused", "certificate", {"problems": [certificate]}
    signed = protocol.verified_form(upload, certificate.verifies)
    if signed is None:
        said = "the signature does not verify over sessionID, head, lists and serviceTime"
        serial = {"certificate": certificate.serial}
        return "refused", "signature", {"problems": [said]} | serial
    form, hash_name = signed
    facts = {"certificate": certificate.serial, "form": protocol.FORMS.index(form)}
    facts |= {"hash": hash_name} if certificate.algorithm == "rsa" else {}
    if found := protocol.problems(upload):
        return "refused", "fields", facts | {"problems": [str(each) for each in found]}
    if found := _elsewhere(conn, request, upload):
        return "refused", "other", facts | {"problems": [str(each) for each in found]}
    facts |= {
        "orders": [order["orderNo"] for order in upload.orders],
        "transaction": upload.head["payTransactionId"],
        "amount": _plain(Decimal(upload.head["totalAmount"])),
        "differs": [str(each) for each in differences(_declared(conn, request), upload)],
    }
    if now_ms > request.due_at:
        late = now_ms - request.due_at
        return "late", "late", facts | {"late_ms": late}
    return "answered", "taken", facts


def _certificate(
    conn: psycopg.Connection, platform: str, number: str, now_ms: int
) -> messages.Certificate | str:
    """The certificate a platform means by a number, in force; else what is wrong with it."""
    serial = messages.serial_of(number)
    der = None if serial is None else certificates.named(conn, platform, serial)
    if der is None:
        return f"certNo: expected a certificate that {platform} has filed, found {number[:64]!r}"
    certificate = messages.read_certificate(der)
    filed = certificates.filed(conn, [certificate.fingerprint])[certificate.fingerprint]
    if not filed.valid_from <= now_ms <= filed.valid_to:
        return (
            f"certNo: {serial} is valid from {instant(filed.valid_from)} "
            f"to {instant(filed.valid_to)}, not at {instant(now_ms)}"
        )
    if filed.revoked_at is not None and filed.revoked_at <= now_ms:
        return f"certNo: {serial} was revoked at {instant(filed.revoked_at)}"
    return certificate


def _elsewhere(conn: psycopg.Connection, request: Request, upload: Upload) -> list[Problem]:
    """Another platform or order than was asked for."""
    found = []
    try:
        same = companies.find(conn, upload.head["ebpCode"]) == request.platform
    except companies.UnknownCompany:
        same = False
    if not same:
        cure = "upload under the code of the platform that was asked"
        actual = upload.head["ebpCode"]
        found.append(Problem("payExchangeInfoHead.ebpCode", request.platform, actual, cure))
    orders = [order["orderNo"] for order in upload.orders]
    if request.order_no not in orders:
        cure = "return every order of that payment, the one asked for among them"
        actual = ", ".join(orders)[:200]
        field = "payExchangeInfoLists.orderNo"
        found.append(Problem(field, request.order_no, actual, cure))
    return found


def _declared(conn: psycopg.Connection, request: Request) -> Declared:
    sql = "SELECT declared FROM payment_request WHERE session_id = %s"
    [facts] = conn.execute(sql, (request.session_id,)).fetchone() or [None]
    if facts is None:
        return Declared(None, None, None)
    amount = facts["amount"]
    return Declared(
        facts["pay_code"], facts["transaction"], None if amount is None else Decimal(amount)
    )


def differences(declared: Declared, upload: Upload) -> list[Problem]:
    """In what the original payment differs from what was declared; what is not known is equal."""
    head = upload.head
    compared = (
        ("payCode", declared.pay_code, head["payCode"]),
        ("payTransactionId", declared.transaction, head["payTransactionId"]),
    )
    cure = "ask platform and payment firm which is right"
    found = [
        Problem(f"payExchangeInfoHead.{name}", said, actual, cure)
        for name, said, actual in compared
        if said is not None and said != actual
    ]
    paid = Decimal(head["totalAmount"])
    if declared.amount is not None and len(upload.orders) == 1 and paid != declared.amount:
        expected, actual = _plain(declared.amount), _plain(paid)
        found.append(Problem("payExchangeInfoHead.totalAmount", expected, actual, cure))
    return found


# ── reading ─────────────────────────────────────────────────────────────────────────────────


def shown(conn: psycopg.Connection, number: str, now_ms: int) -> list[dict[str, Any]]:
    """The requests of a session or an order number, oldest first, as of a time.

    state: asked, opened, not opened, answered, late; silent when the time is over and no sound
    upload came. events: at, what, facts. Raises UnknownRequest.
    """
    sql = """SELECT session_id, platform, order_no, url, asked_at, due_at FROM payment_request
        WHERE session_id = %(number)s OR order_no = %(number)s ORDER BY asked_at, session_id"""
    requests = [Request(*row) for row in conn.execute(sql, {"number": number})]
    if not requests:
        raise UnknownRequest(f"nothing was asked under the number {number!r}")
    return [_facts(request, _events(conn, request.session_id), now_ms) for request in requests]


def _events(conn: psycopg.Connection, session_id: str) -> list[dict[str, Any]]:
    sql = "SELECT at, what, facts FROM payment_event WHERE session_id = %s ORDER BY id"
    return [
        {"at": instant(at), "what": what, "facts": facts}
        for at, what, facts in conn.execute(sql, (session_id,))
    ]


def _facts(request: Request, events: Sequence[dict[str, Any]], now_ms: int) -> dict[str, Any]:
    happened = [event["what"] for event in events]
    state = "answered" if "answered" in happened else "late" if "late" in happened else None
    if state is None:
        last = next(what for what in reversed(happened) if what != "refused")
        state = "silent" if now_ms > request.due_at and last != "not opened" else last
    return {
        "session": request.session_id,
        "platform": request.platform,
        "order": request.order_no,
        "state": state,
        "asked": instant(request.asked_at),
        "due": instant(request.due_at),
        "events": list(events),
    }


def original(conn: psycopg.Connection, vault: store.Vault, session_id: str) -> bytes:
    """The bytes of the upload that answered a session, or came late. Raises UnknownRequest."""
    sql = """SELECT sealed FROM payment_event WHERE session_id = %s
        AND what IN ('answered', 'late') ORDER BY what, id LIMIT 1"""
    row = conn.execute(sql, (session_id,)).fetchone()
    if row is None:
        raise UnknownRequest(f"no upload answers session {session_id!r}")
    return vault.unseal(row[0], session_id.encode())
