"""Verbs of money: what falls due, payments, guarantees, a buyer's year."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tongguan import clearance, console, store
from tongguan.arguments import At, DatabaseUrl, Json, Receipts, Report, Yuan
from tongguan.cli.application import (
    INPUT_HAS_ERRORS,
    USAGE,
    app,
    fail,
    fen,
    guarantee_app,
    opened,
    show,
    signer,
    under,
)


@app.command()
def settle(
    at: At = None, receipts: Receipts = None, report: Report = None, database: DatabaseUrl = None
) -> None:
    """Do all that falls due: expiries, tax bills into payments, late fees, claims."""
    with opened(database) as base:
        done = clearance.settle(base, under(base, at), receipts, signer())
    if report is not None:
        lines = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in done.lines)
        report.write_text(lines, encoding="utf-8")
    console.out.print(console.payments(done.lines))
    console.out.print(f"{len(done.lines):,} payments, {done.receipts:,} receipts")


@app.command()
def pay(
    bill: Annotated[str, typer.Argument(help="The number of the payment, as settle shows it.")],
    amount: Yuan,
    reference: Annotated[str, typer.Option(help="The bank's reference.")],
    at: At = None,
    database: DatabaseUrl = None,
) -> None:
    """Record the payment of a bill, in full."""
    try:
        with opened(database) as base:
            done = clearance.pay(base, under(base, at), bill, fen(amount), reference)
    except clearance.PAYMENT_PROBLEMS as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    words = "was paid already" if done.repeated else "paid"
    console.out.print(
        f"{done.number} {words}: {clearance.money(done.amount_fen)} yuan of {done.guarantor}, "
        f"of it late fee {clearance.money(done.fee_fen)}; guarantee freed "
        f"{clearance.money(done.freed_fen)}"
    )
    return None


Company = Annotated[str, typer.Argument(metavar="CODE", help="The guarantor's code.")]


@guarantee_app.command("open")
def guarantee_open(
    code: Company,
    amount: Yuan,
    kind: Annotated[str, typer.Option(help="deposit, letter or electronic.")],
    at: At = None,
    json_file: Json = None,
    database: DatabaseUrl = None,
) -> None:
    """Open a guarantee, or raise one that is open by an amount."""
    try:
        with opened(database) as base:
            facts = clearance.open_guarantee(base, under(base, at), code, kind, fen(amount))
    except ValueError as problem:
        return fail(USAGE, str(problem))
    return show_guarantee(facts, json_file)


@guarantee_app.command("show")
def guarantee_show(code: Company, json_file: Json = None, database: DatabaseUrl = None) -> None:
    """What a guarantee is worth: held, posted, free."""
    try:
        with opened(database) as base, base.reading() as conn:
            facts = clearance.guarantee_facts(conn, code)
    except LookupError as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    return show_guarantee(facts, json_file)


@guarantee_app.command("freeze")
def guarantee_freeze(
    code: Company,
    thaw: Annotated[bool, typer.Option("--thaw", help="Let it serve again.")] = False,
    at: At = None,
    json_file: Json = None,
    database: DatabaseUrl = None,
) -> None:
    """Freeze a guarantee: no list is released on it any more."""
    try:
        with opened(database) as base:
            facts = clearance.freeze_guarantee(base, under(base, at), code, frozen=not thaw)
    except LookupError as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    return show_guarantee(facts, json_file)


def show_guarantee(facts: dict[str, Any], json_file: Path | None) -> None:
    return show(facts, json_file, lambda: console.guarantee(facts))


@app.command()
def allowance(
    number: Annotated[str, typer.Argument(metavar="IDNUMBER", help="The buyer's identity number.")],
    year: Annotated[int, typer.Option(help="The calendar year.")],
    json_file: Json = None,
    database: DatabaseUrl = None,
) -> None:
    """A buyer's year: every debit and credit with its parcel."""
    with opened(database) as base, base.reading() as conn:
        vault = store.Vault.open(store.home_folder())
        facts = clearance.statement(conn, vault, number, year)
    return show(facts, json_file, lambda: console.statement(facts))
