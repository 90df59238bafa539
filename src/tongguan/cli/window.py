"""Verbs of the window: up, one more gateway, one more worker."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from tongguan import console, store, window
from tongguan.arguments import Arrivals, At, DatabaseUrl, Registry, Signatures
from tongguan.cli.application import app

Host = Annotated[str, typer.Option(metavar="ADDRESS", help="The address to listen at.")]
Port = Annotated[int, typer.Option(min=1, max=65535, metavar="N", help="The port.")]
Certificate = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="TLS: the certificate (PEM).")
]
Key = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="TLS: its private key (PEM).")
]
Clients = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        help="TLS: the authority (PEM) whose certificate every client must show.",
    ),
]


@app.command()
def up(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    registry: Registry = "closed",
    signatures: Signatures = "required",
    arrivals: Arrivals = "assumed",
    at: At = None,
    workers: Annotated[int, typer.Option(min=0, max=64, help="Workers on this machine.")] = 1,
    tls_certificate: Certificate = None,
    tls_key: Key = None,
    tls_clients: Clients = None,
    database: DatabaseUrl = None,
) -> None:
    """The whole window on this machine: database, gateway, workers; until it is stopped."""
    tls = _tls(tls_certificate, tls_key, tls_clients)
    rules = window.Rules(signatures, registry, arrivals, at)
    with store.environment():
        base = store.open(database)
        window.prepare(base)
        first = window.first_key(base)
        plan = window.Plan(host, port, workers, rules, tls)
        window.up(base, lambda: store.open(database), plan, lambda: _tell(plan, base, first))


def _tell(plan: window.Plan, base: store.Database, first: window.FirstKey | None) -> None:
    scheme = "http" if plan.tls is None else "https"
    shown = f"[{plan.host}]" if ":" in plan.host else plan.host
    root = f"{scheme}://{shown}:{plan.port}"
    rules = plan.rules
    stands = "runs" if rules.stands_at is None else f"stands at {rules.stands_at.isoformat()}"
    lines = [
        f"messages  {root}/api/messages",
        f"receipts  {root}/api/receipts",
        f"API       {root}/api/openapi.json",
        f"health    {root}/health/ready",
        f"database  {base.address}",
        f"rules     registry {rules.registry}, signatures {rules.signatures}; the clock {stands}",
    ]
    if first is not None:
        lines.append(f"key       {first.key}")
        what = ", ".join(first.scopes)
        lines.append(f"          of {first.company}, for {what}; shown this once")
    for line in lines:
        console.out.print(Text(line), soft_wrap=True)


@app.command()
def gateway(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    tls_certificate: Certificate = None,
    tls_key: Key = None,
    tls_clients: Clients = None,
    database: DatabaseUrl = None,
) -> None:
    """One more gateway against a shared PostgreSQL; several may share a port of one machine."""
    tls = _tls(tls_certificate, tls_key, tls_clients)
    with store.environment(), store.open(database) as base:
        window.prepare(base)
        window.serve(base, host, port, tls)


def _tls(certificate: Path | None, key: Path | None, clients: Path | None) -> window.Tls | None:
    if (certificate is None) != (key is None) or (clients is not None and certificate is None):
        raise typer.BadParameter("--tls-certificate and --tls-key go together, --tls-clients too")
    return None if certificate is None or key is None else window.Tls(certificate, key, clients)


@app.command()
def work(
    loopback: Annotated[
        bool,
        typer.Option(
            "--loopback", help="Let webhooks lead to this machine: for development alone."
        ),
    ] = False,
    database: DatabaseUrl = None,
) -> None:
    """One more worker against a shared PostgreSQL, until it is stopped."""
    with store.environment(), store.open(database) as base:
        window.prepare(base)
        window.work(base, loopback=loopback)
