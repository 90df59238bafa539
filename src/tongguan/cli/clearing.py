"""Verbs of the job: clear, check, explain, what arrives on site, the sandbox's clock."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tongguan import clearance, console, policy, store
from tongguan.arguments import (
    Arrivals,
    At,
    DatabaseUrl,
    Json,
    Paths,
    Receipts,
    Registry,
    Report,
    Signatures,
    moment,
)
from tongguan.clearance import ZONE
from tongguan.cli.application import (
    INPUT_HAS_ERRORS,
    app,
    fail,
    now_or,
    opened,
    park_app,
    signer,
    under,
    write_json,
)


@app.command()
def clear(
    paths: Paths,
    at: At = None,
    receipts: Receipts = None,
    report: Report = None,
    signatures: Signatures = "checked",
    registry: Registry = "open",
    arrivals: Arrivals = "assumed",
    database: DatabaseUrl = None,
) -> None:
    """Clear messages: parse, match, decide, release, answer."""
    found = clearance.sources(paths)
    with opened(database) as base:
        vault = store.Vault.open(store.home_folder())
        settings = under(base, at, signatures, registry, arrivals)
        with progress_bar(len(found)) as advance:
            run = clearance.clear(base, vault, found, settings, receipts, advance, signer=signer())
        with store.environment(), base.reading() as conn:
            shown = clearance.finish(conn, run, report, console.PARCELS_SHOWN)
    console.out.print(console.outcomes(shown.outcomes))
    console.out.print(console.parcels(shown.parcels, shown.more))
    console.out.print(
        f"{run.messages:,} messages, {run.documents:,} documents, {run.receipts:,} receipts"
        + (f"; {run.repeated:,} files had come before" if run.repeated else "")
    )
    if shown.errors:
        raise typer.Exit(INPUT_HAS_ERRORS)


@contextmanager
def progress_bar(total: int) -> Iterator[clearance.Progress]:
    columns = (TextColumn("clearing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console.err, transient=True) as bar:
        task = bar.add_task("clearing", total=total)
        yield lambda files, run: bar.update(task, completed=files)


@app.command()
def check(
    paths: Paths, at: At = None, signatures: Signatures = "checked", json_file: Json = None
) -> None:
    """Every finding in messages or dossiers, without a database."""
    now = now_or(at)
    law = policy.load().on(now.astimezone(ZONE).date())
    found = clearance.examine(clearance.sources(paths), law, mode=signatures, at=now)
    if json_file is not None:
        write_json(found.facts(), json_file)
    elif found.findings.height:
        console.out.print(console.findings(found.findings))
    console.err.print(
        f"{found.files:,} files, {found.documents:,} documents, "
        f"{found.dossiers:,} complete dossiers, {found.errors:,} errors"
    )
    if found.errors:
        raise typer.Exit(INPUT_HAS_ERRORS)


@app.command()
def explain(
    key: Annotated[str, typer.Argument(help="orderNo, copNo or invtNo of a parcel.")],
    json_file: Json = None,
    database: DatabaseUrl = None,
) -> None:
    """One parcel: documents, compared values, law, tax line by line, computed again."""
    try:
        with opened(database) as base, base.reading() as conn:
            explanations = clearance.explain(conn, key)
    except (clearance.UnknownKey, clearance.Differs, clearance.UnknownPolicy) as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    if json_file is not None:
        return write_json([each.facts() for each in explanations], json_file)
    for each in explanations:
        console.out.print(console.explanation(each))
    return None


@park_app.command("arrive")
def park_arrive(
    key: Annotated[str, typer.Argument(help="copNo of a return; or a number of a list.")],
    at: At = None,
    receipts: Receipts = None,
    database: DatabaseUrl = None,
) -> None:
    """Returned goods, or a direct-purchase parcel, are on site."""
    try:
        with opened(database) as base:
            about = clearance.arrive(base, under(base, at), key, receipts, signer())
            with base.reading() as conn:
                lines = clearance.document_lines(conn, about)
    except clearance.UnknownArrival as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    console.out.print(console.parcels(lines, 0))
    return None


@app.command()
def clock(
    to: Annotated[
        datetime | None, typer.Argument(parser=moment, metavar="TIME", help="Where to move it.")
    ] = None,
    database: DatabaseUrl = None,
) -> None:
    """Read or move the sandbox's clock."""
    with opened(database) as base, base.borrow() as conn:
        if to is not None:
            clearance.set_clock(conn, to)
        at = clearance.clock(conn)
        conn.commit()
    console.out.print(at.isoformat() if at else "not set: commands take the present time")
