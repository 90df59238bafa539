"""Verbs of the registry: filing companies, showing them, who may send for whom."""

from datetime import date
from typing import Annotated

import typer

from tongguan import console, store
from tongguan.arguments import At, By, DatabaseUrl, Json, day, milliseconds, this_user, words
from tongguan.cli.application import (
    INPUT_HAS_ERRORS,
    company_app,
    fail,
    moment_in,
    opened,
    show,
)
from tongguan.sharing import companies, subscriptions
from tongguan.sharing.rules import Refused

Code = Annotated[str, typer.Argument(metavar="CODE", help="Customs code or social credit code.")]
Principal = Annotated[
    str, typer.Argument(metavar="PRINCIPAL", help="The company that others send for.")
]
Agent = Annotated[str, typer.Argument(metavar="AGENT", help="The company that sends.")]


@company_app.command("file")
def company_file(
    code: Code,
    name: Annotated[str, typer.Option(help="The name as it is registered.")],
    role: Annotated[
        list[str],
        typer.Option(
            help="platform, seller, payment, logistics, declarant, guarantor, site, operator: "
            "several with commas between, or the option again."
        ),
    ],
    credit_code: Annotated[
        str | None,
        typer.Option(
            metavar="CODE", help="Its social credit code, where CODE is its customs code."
        ),
    ] = None,
    zone: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="The pilot zone, 001 to 181.")
    ] = None,
    dxp_id: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Its address at the exchange platform, DXPENT…"),
    ] = None,
    by: By = None,
    at: At = None,
    database: DatabaseUrl = None,
) -> None:
    """File a company in its roles, or add roles to one that is filed."""
    try:
        with opened(database) as base:
            at_ms = milliseconds(moment_in(base, at))
            said_by, roles = by or this_user(), words(role)
            main = store.transact(
                base,
                lambda conn: companies.file(
                    conn, code, name, roles, said_by, at_ms, credit_code, zone, dxp_id
                ),
            )
    except Refused as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    console.out.print(f"{main} {name.strip()} is filed as {', '.join(roles)}")
    return None


@company_app.command("show")
def company_show(code: Code, json_file: Json = None, database: DatabaseUrl = None) -> None:
    """One company: roles, mandates, and all that was said of it, when and by whom."""
    try:
        with opened(database) as base, base.reading() as conn:
            facts = companies.shown(conn, code)
    except companies.UnknownCompany as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    return show(facts, json_file, lambda: console.company(facts))


@company_app.command("list")
def company_list(json_file: Json = None, database: DatabaseUrl = None) -> None:
    """Every company with its roles."""
    with opened(database) as base, base.reading() as conn:
        rows = companies.listed(conn)
    return show(rows, json_file, lambda: console.companies(rows))


@company_app.command("mandate")
def company_mandate(
    principal: Principal,
    agent: Agent,
    since: Annotated[date, typer.Option(parser=day, metavar="DAY", help="The first day.")],
    until: Annotated[
        date | None, typer.Option(parser=day, metavar="DAY", help="The last day; else no end.")
    ] = None,
    by: By = None,
    at: At = None,
    database: DatabaseUrl = None,
) -> None:
    """Let AGENT send for PRINCIPAL, from day to day, both included."""
    try:
        with opened(database) as base:
            at_ms, said_by = milliseconds(moment_in(base, at)), by or this_user()
            store.transact(
                base,
                lambda conn: companies.mandate(
                    conn, principal, agent, since, until, said_by, at_ms
                ),
            )
    except (Refused, companies.UnknownCompany) as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    end = f"to {until}" if until else "on"
    console.out.print(f"{agent} may send for {principal} from {since} {end}")
    return None


@company_app.command("end-mandate")
def company_end_mandate(
    principal: Principal,
    agent: Agent,
    last: Annotated[
        date,
        typer.Option("--on", parser=day, metavar="DAY", help="The last day on which it holds."),
    ],
    by: By = None,
    at: At = None,
    database: DatabaseUrl = None,
) -> None:
    """End a mandate; one that has not begun ends on the day before it begins."""
    try:
        with opened(database) as base:
            at_ms, said_by = milliseconds(moment_in(base, at)), by or this_user()
            store.transact(
                base,
                lambda conn: companies.end_mandate(conn, principal, agent, last, said_by, at_ms),
            )
    except (Refused, companies.UnknownCompany) as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    console.out.print(f"{agent} may send for {principal} to {last}, and no longer")
    return None


@company_app.command("subscriptions")
def company_subscriptions(code: Code, json_file: Json = None, database: DatabaseUrl = None) -> None:
    """Who is told of whose receipts: those CODE lets others have, and those it has of others."""
    try:
        with opened(database) as base, base.reading() as conn:
            rows = subscriptions.listed(conn, code)
    except companies.UnknownCompany as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    return show(rows, json_file, lambda: console.subscriptions(rows))


@company_app.command("unsubscribe")
def company_unsubscribe(
    publisher: Annotated[str, typer.Argument(help="The company whose receipts they are.")],
    subscriber: Annotated[str, typer.Argument(help="The company that is told no longer.")],
    by: By = None,
    at: At = None,
    database: DatabaseUrl = None,
) -> None:
    """End what messages so far said: SUBSCRIBER gets no more receipts of PUBLISHER."""
    try:
        with opened(database) as base:
            at_ms, said_by = milliseconds(moment_in(base, at)), by or this_user()
            ended = store.transact(
                base,
                lambda conn: subscriptions.end(conn, publisher, subscriber, said_by, at_ms),
            )
    except (Refused, companies.UnknownCompany) as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    console.out.print(f"{subscriber} gets no more receipts of {publisher}: {ended:,} messages")
    return None
