"""A gateway without a network: its application, a worker, companies with keys."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import psycopg
from dossiers import AGENT, CARRIER, NOON, PAYMENT, PLATFORM, SELLER

from tongguan import store
from tongguan.sharing import companies, keys
from tongguan.window import clock, rules, running, site
from tongguan.window.gateway import Gateway
from tongguan.window.worker import Worker

ROLES = {
    PLATFORM: ["platform", "guarantor"],
    SELLER: ["seller"],
    PAYMENT: ["payment"],
    CARRIER: ["logistics"],
    AGENT: ["declarant"],
}
ALL = ("messages:send", "receipts:read", "webhooks:manage")


@dataclass
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Zone:
    """A window of a test: the application behind the front, and one worker."""

    database: store.Database
    vault: store.Vault
    gateway: Gateway
    worker: Worker
    application: Callable[..., Any]

    def key(self, company: str, *scopes: str) -> str:
        """A key of a filed company."""
        wanted = scopes or ALL
        return store.transact(
            self.database, lambda conn: keys.issue(conn, company, wanted, at_ms=1)[0]
        )

    def operator(self) -> str:
        """A key of the zone's operator, for its figures."""

        def work(conn: psycopg.Connection) -> str:
            companies.file(conn, *running.OPERATOR, ["operator"], "test", 1)
            return keys.issue(conn, running.OPERATOR[0], ["operate", "payments:179"], 1)[0]

        return store.transact(self.database, work)

    def moment(self) -> datetime:
        with self.database.connect(autocommit=True) as conn:
            return clock.moment(conn)

    def mandate(self, principal: str, agent: str, since: str, until: str | None = None) -> None:
        first = date.fromisoformat(since)
        last = None if until is None else date.fromisoformat(until)
        store.transact(
            self.database,
            lambda conn: companies.mandate(conn, principal, agent, first, last, "test", 1),
        )

    def ask(
        self,
        method: str,
        path: str,
        key: str | None = None,
        body: bytes = b"",
        kind: str = "application/xml",
        **headers: str,
    ) -> Reply:
        """One request, as the front hands it to Django."""
        address, _, query = path.partition("?")
        environment: dict[str, Any] = {
            site.GATEWAY: self.gateway,
            "REQUEST_METHOD": method,
            "PATH_INFO": address,
            "QUERY_STRING": query,
            "SERVER_NAME": "gateway",
            "SERVER_PORT": "0",
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": kind,
            "wsgi.input": io.BytesIO(body),
            "wsgi.url_scheme": "http",
            **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
        }
        if key is not None:
            environment["HTTP_AUTHORIZATION"] = f"Bearer {key}"
        response = self.application(environment, lambda *said: None)
        return Reply(response.status_code, dict(response.headers), response.content)

    def post(self, key: str | None, body: bytes, **more: Any) -> Reply:
        return self.ask("POST", "/api/messages", key, body, **more)

    def work(self) -> int:
        """Record all that waits, and do what is due; how many messages it was."""
        done = 0
        self.worker._caught_up = 0.0
        while count := self.worker.once():
            done += count
        return done

    def receipts(self, key: str, **query: Any) -> list[dict[str, Any]]:
        """All entries of a company, page by page."""
        found: list[dict[str, Any]] = []
        after = "0.0"
        while True:
            asked = "&".join(f"{name}={value}" for name, value in {"after": after, **query}.items())
            page = self.ask("GET", f"/api/receipts?{asked}", key).json
            if not page["receipts"]:
                return found
            found += page["receipts"]
            after = page["next"]

    def rows(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        with self.database.connect(autocommit=True) as conn:
            return conn.execute(sql, params or None).fetchall()

    def lay_down(self, at: str = NOON, **how: Any) -> None:
        said = {"signatures": "ignored", "registry": "closed"} | how
        with self.database.connect(autocommit=True) as conn:
            rules.lay_down(conn, rules.Rules(**said, stands_at=datetime.fromisoformat(at)))
