"""Verbs of keys: API keys are issued, listed, revoked."""

from datetime import date, datetime, time, timedelta
from typing import Annotated

import typer
from rich.text import Text

from tongguan import console, store
from tongguan.arguments import At, By, DatabaseUrl, Json, day, milliseconds, this_user, words
from tongguan.clearance import ZONE
from tongguan.cli.application import (
    INPUT_HAS_ERRORS,
    fail,
    keys_app,
    moment_in,
    opened,
    show,
    write_json,
)
from tongguan.sharing import companies, keys
from tongguan.sharing.rules import Refused

Code = Annotated[str, typer.Argument(metavar="CODE", help="The company's code.")]


@keys_app.command("issue")
def keys_issue(
    code: Code,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="What the key is for: messages:send, receipts:read, webhooks:manage (these if "
            "none is named), payments:179, operate; several with commas, or the option again."
        ),
    ] = None,
    expires: Annotated[
        date | None, typer.Option(parser=day, metavar="DAY", help="The last day; else no end.")
    ] = None,
    by: By = None,
    at: At = None,
    json_file: Json = None,
    database: DatabaseUrl = None,
) -> None:
    """Issue an API key. It is shown this once: what is kept of it does not give it again."""
    scopes = words(scope) if scope else list(keys.usual_scopes())
    try:
        with opened(database) as base:
            at_ms, said_by = milliseconds(moment_in(base, at)), by or this_user()
            end = None if expires is None else milliseconds(end_of(expires))
            key, caller = store.transact(
                base, lambda conn: keys.issue(conn, code, scopes, at_ms, end, said_by)
            )
    except (Refused, companies.UnknownCompany) as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    granted = sorted(caller.scopes)
    if json_file is not None:
        facts = {"key": key, "id": caller.key_id, "company": caller.company, "scopes": granted}
        return write_json(facts, json_file)
    console.out.print(Text(key, style="bold"), soft_wrap=True)
    console.err.print(f"key {caller.key_id} of {caller.company} for {', '.join(granted)}; keep it")
    return None


def end_of(last: date) -> datetime:
    """The first moment after a day in Asia/Shanghai."""
    return datetime.combine(last + timedelta(days=1), time(), ZONE)


@keys_app.command("list")
def keys_list(
    code: Annotated[
        str | None, typer.Argument(metavar="CODE", help="One company's keys; else all.")
    ] = None,
    json_file: Json = None,
    database: DatabaseUrl = None,
) -> None:
    """The keys of a company, or all: scopes, since when, until when, revoked or not."""
    try:
        with opened(database) as base, base.reading() as conn:
            rows = keys.listed(conn, code)
    except companies.UnknownCompany as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    return show(rows, json_file, lambda: console.keys(rows))


@keys_app.command("revoke")
def keys_revoke(
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="The id of the key, as keys list has it.")
    ],
    by: By = None,
    at: At = None,
    database: DatabaseUrl = None,
) -> None:
    """Make a key void at once, and for good."""
    try:
        with opened(database) as base:
            at_ms, said_by = milliseconds(moment_in(base, at)), by or this_user()
            store.transact(base, lambda conn: keys.revoke(conn, key, at_ms, said_by))
    except keys.UnknownKey as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    console.out.print(f"key {key} is void")
    return None
