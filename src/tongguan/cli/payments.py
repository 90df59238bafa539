"""Verbs of original payment data: ask a platform, see what came; and a platform to try with."""

import signal
import threading
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from tongguan import clearance, console, messages, store
from tongguan.arguments import At, By, DatabaseUrl, Json, milliseconds, this_user
from tongguan.cli.application import (
    INPUT_HAS_ERRORS,
    USAGE,
    fail,
    moment_in,
    now_or,
    opened,
    payments_app,
    sandbox_app,
    write_json,
)
from tongguan.sharing import companies
from tongguan.sharing.payment_data import asking, carrying, platform, sandbox
from tongguan.sharing.payment_data.protocol import UPLOAD_PATH
from tongguan.sharing.rules import Refused

ANSWER_SECONDS = "payment-data.answer-seconds"
WINDOW = f"http://127.0.0.1:8000{UPLOAD_PATH}"


@payments_app.command("register")
def payments_register(
    code: Annotated[str, typer.Argument(metavar="CODE", help="The platform's code.")],
    url: Annotated[str, typer.Argument(metavar="URL", help="Where its platDataOpen is reached.")],
    by: By = None,
    at: At = None,
    database: DatabaseUrl = None,
) -> None:
    """Record where a platform is asked for original payment data."""
    try:
        with opened(database) as base:
            at_ms, said_by = milliseconds(moment_in(base, at)), by or this_user()
            store.transact(base, lambda conn: asking.register(conn, code, url, said_by, at_ms))
    except (Refused, companies.UnknownCompany) as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    console.out.print(f"{code} is asked at {url}")
    return None


@payments_app.command("ask")
def payments_ask(
    order: Annotated[str, typer.Argument(metavar="ORDER", help="The number of the order.")],
    of: Annotated[
        str | None,
        typer.Option(
            "--platform", metavar="CODE", help="Whose order; else that of the order we hold."
        ),
    ] = None,
    by: By = None,
    at: At = None,
    json_file: Json = None,
    database: DatabaseUrl = None,
) -> None:
    """Ask a platform for the original payment data of an order; it has two minutes to upload."""
    try:
        with opened(database) as base:
            moment, said_by = moment_in(base, at), by or this_user()
            law = clearance.settings(base, moment).law
            within_ms = int(law.value(ANSWER_SECONDS).number) * 1000
            request = store.transact(
                base,
                lambda conn: _ask(conn, order, of, said_by, milliseconds(moment), within_ms),
            )
            try:
                reply, trouble = carrying.post(request.url, request.form()), ""
            except carrying.NotReached as problem:
                reply, trouble = None, str(problem)
            later = milliseconds(moment_in(base, at))
            taken = store.transact(
                base, lambda conn: asking.opened(conn, request.session_id, later, reply, trouble)
            )
            with base.reading() as conn:
                [facts] = asking.shown(conn, request.session_id, later)
    except (Refused, companies.UnknownCompany) as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    if json_file is not None:
        write_json(facts, json_file)
    else:
        console.out.print(console.payment_request(facts))
    if not taken:
        raise typer.Exit(INPUT_HAS_ERRORS)
    return None


def _ask(
    conn: Any, order: str, of: str | None, by: str, at_ms: int, within_ms: int
) -> asking.Request:
    held = clearance.declared_payments(conn, order)
    if of is not None:
        main = companies.find(conn, of)
        held = [each for each in held if companies.find(conn, each.platform) == main]
    elif len(held) != 1:
        found = "no such order is held" if not held else "several platforms have such an order"
        raise typer.BadParameter(f"{found}: name the platform with --platform")
    declared = None
    if held:
        declared = asking.Declared(held[0].pay_code, held[0].transaction, held[0].amount)
    whose = of or held[0].platform
    return asking.ask(conn, whose, order, by, at_ms, within_ms, declared)


@payments_app.command("show")
def payments_show(
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="A session or an order number.")],
    original: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the upload itself, as it came.")
    ] = None,
    at: At = None,
    json_file: Json = None,
    database: DatabaseUrl = None,
) -> None:
    """What was asked under a number and what came: answered, late, refused, silent."""
    try:
        with opened(database) as base:
            now_ms = milliseconds(moment_in(base, at))
            with base.reading() as conn:
                rows = asking.shown(conn, number, now_ms)
                if original is not None:
                    vault = store.Vault.open(store.home_folder())
                    original.write_bytes(asking.original(conn, vault, rows[-1]["session"]))
    except asking.UnknownRequest as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    if json_file is not None:
        return write_json(rows, json_file)
    for facts in rows:
        console.out.print(console.payment_request(facts))
    return None


@sandbox_app.command("platform")
def sandbox_platform(
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="0: a free one.")],
    keys: Annotated[
        Path,
        typer.Option(
            exists=True, file_okay=False, metavar="DIR", help="certificate.pem and key.pem."
        ),
    ],
    orders: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            metavar="FILE",
            help="CEB311 and CEB411, a file or a folder; without it any order has a payment.",
        ),
    ] = None,
    late: Annotated[int, typer.Option(min=0, metavar="SECONDS", help="Wait before uploading.")] = 0,
    wrong_signature: Annotated[
        bool, typer.Option("--wrong-signature", help="Sign something else than is sent.")
    ] = False,
    window: Annotated[
        str, typer.Option(metavar="URL", help="Where to upload to: realTimeDataUpload.")
    ] = WINDOW,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
) -> None:
    """A platform that answers requests for payment data, until it is stopped."""
    try:
        signer = messages.Signer.load(keys)
        sources = [] if orders is None else clearance.sources([orders])
        known = platform.book(source.path.read_bytes() for source in sources)
    except (messages.NotUsable, ValueError) as problem:
        return fail(USAGE, str(problem))
    if orders is None:
        known.invents = signer.certificate.common_name or ""
    made = platform.Platform(signer, known, wrong_signature)
    stopped = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: stopped.set())
    with sandbox.Sandbox(made, window, _present_ms, late, _tell, host, port) as stands:
        _tell(f"asked at {stands.url}, uploads to {window}")
        # Another thread may be given the signal: then nothing else wakes this one.
        while not stopped.wait(0.2):
            pass
    _tell("stopped")
    return None


def _tell(words: str) -> None:
    console.out.print(Text(words), soft_wrap=True)


def _present_ms() -> int:
    return milliseconds(now_or(None))
