"""Verbs of the law: what a basket costs, the law through time, its tables."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from tongguan import clearance, console, policy, store
from tongguan.arguments import DatabaseUrl, Effective, File, Json, amount, day
from tongguan.cli.application import (
    INPUT_HAS_ERRORS,
    app,
    fail,
    now_or,
    opened,
    policy_app,
    show,
)
from tongguan.policy import words

DraftFile = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        exists=True,
        dir_okay=False,
        metavar="FILE",
        help="A draft policy (YAML) laid on the law known.",
    ),
]


@app.command()
def quote(
    hs: Annotated[list[str], typer.Option(help="Ten-digit code; once per line of the basket.")],
    price: Annotated[
        list[Decimal], typer.Option(parser=amount, help="Price of one unit in yuan, per line.")
    ],
    on: Annotated[
        date | None,
        typer.Option("--date", parser=day, metavar="DAY", help="Day of acceptance; default today."),
    ] = None,
    qty: Annotated[
        list[Decimal] | None, typer.Option(parser=amount, help="Units of sale, per line.")
    ] = None,
    qty1: Annotated[
        list[Decimal] | None, typer.Option(parser=amount, help="First legal quantity, per line.")
    ] = None,
    unit1: Annotated[list[str] | None, typer.Option(help="Its unit code, per line.")] = None,
    qty2: Annotated[
        list[Decimal] | None, typer.Option(parser=amount, help="Second legal quantity, per line.")
    ] = None,
    unit2: Annotated[list[str] | None, typer.Option(help="Its unit code, per line.")] = None,
    freight: Annotated[Decimal, typer.Option(parser=amount, help="Freight in yuan.")] = Decimal(0),
    insurance: Annotated[Decimal, typer.Option(parser=amount, help="Insurance in yuan.")] = Decimal(
        0
    ),
    used: Annotated[
        Decimal, typer.Option(parser=amount, help="Yuan the buyer's year already holds.")
    ] = Decimal(0),
    mode: Annotated[str, typer.Option(help="Trade mode: 1210, 1239 or 9610.")] = "1210",
    draft: DraftFile = None,
    json_file: Json = None,
    database: DatabaseUrl = None,
) -> None:
    """What a basket costs on a day, line by line, with the paragraph for each number."""
    columns: dict[str, list[Any] | None] = {
        "qty": qty,
        "qty1": qty1,
        "unit1": unit1,
        "qty2": qty2,
        "unit2": unit2,
    }
    for name, given in {"price": price, **columns}.items():
        if given and len(given) != len(hs):
            raise typer.BadParameter(f"--{name} is given {len(given)} times, --hs {len(hs)} times")
    goods = [
        policy.Goods(code, price[i], **{name: given[i] for name, given in columns.items() if given})
        for i, code in enumerate(hs)
    ]
    try:
        known = known_policy(database)
        laid = known if draft is None else policy.draft(draft, known).policy
        at = on or now_or(None).date()
        result = policy.quote(laid, at, goods, freight, insurance, used, mode)
    except (policy.QuoteErrors, policy.DraftErrors) as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    return show(result.facts(), json_file, lambda: console.quote(result))


def known_policy(url: str | None) -> policy.Policy:
    """The policy of the database, if there is one already; else the built-in law alone."""
    if not store.exists(url):
        return policy.load()
    with opened(url) as base:
        return store.transact(base, clearance.current_policy)


@policy_app.command("timeline")
def policy_timeline(
    of: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PARAMETER]...",
            help="Only these: ids or their beginnings, such as vat or retail-import.limit.",
        ),
    ] = None,
    json_file: Json = None,
    database: DatabaseUrl = None,
) -> None:
    """Every parameter, list and tariff: every change, its paragraph, confirmed or not."""
    known = known_policy(database)
    values = [v for v in known.timeline() if not of or v.parameter.startswith(tuple(of))]
    if not values:
        raise typer.BadParameter(f"no parameter begins with {' or '.join(of or [])}")
    return show(
        [value.facts() for value in values],
        json_file,
        lambda: console.timeline(values, known.parameters),
    )


@policy_app.command("diff")
def policy_diff(
    before: Annotated[date | None, typer.Argument(parser=day, metavar="DAY")] = None,
    after: Annotated[date | None, typer.Argument(parser=day, metavar="DAY")] = None,
    draft: DraftFile = None,
    json_file: Json = None,
    database: DatabaseUrl = None,
) -> None:
    """What is not the same on two days, or what a draft would change: in words and in tax."""
    if draft is not None and before is None:
        return draft_diff(draft, json_file, database)
    if before is None or after is None or draft is not None:
        raise typer.BadParameter("give two days, or --policy FILE alone")
    known = known_policy(database)
    differences = known.diff(before, after)
    return show(
        [words.facts(each, known.parameters) for each in differences],
        json_file,
        lambda: console.diff(differences, known, before, after),
    )


def draft_diff(file: Path, json_file: Path | None, database: str | None) -> None:
    try:
        drafted = policy.draft(file, known_policy(database))
    except policy.DraftErrors as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    return show(drafted.facts(), json_file, lambda: console.draft(drafted))


@policy_app.command("goods")
def policy_goods(
    code: Annotated[str, typer.Argument(help="A tariff code of eight or ten digits.")],
    on: Annotated[
        date | None,
        typer.Option("--date", parser=day, metavar="DAY", help="Day of acceptance; default today."),
    ] = None,
    ordered: Annotated[
        date | None, typer.Option(parser=day, metavar="DAY", help="Day of the order.")
    ] = None,
    entered: Annotated[
        date | None,
        typer.Option(parser=day, metavar="DAY", help="Day bonded goods entered their zone."),
    ] = None,
    mode: Annotated[str, typer.Option(help="Trade mode: 1210, 1239 or 9610.")] = "1210",
    city: Annotated[
        str | None, typer.Option(metavar="NAME", help="Where bonded goods entered, such as 杭州.")
    ] = None,
    draft: DraftFile = None,
    json_file: Json = None,
    database: DatabaseUrl = None,
) -> None:
    """Whether goods are on the positive list of a day, with a remark, withdrawn, in transition."""
    known = known_policy(database)
    declared = policy.Declared(on or now_or(None).date(), ordered, entered, mode, city)
    try:
        laid = known if draft is None else policy.draft(draft, known)
        found = policy.goods_status(laid, code, declared)
    except policy.DraftErrors as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    except ValueError as problem:
        raise typer.BadParameter(str(problem)) from None
    return show(found.facts(), json_file, lambda: console.goods_status(found))


@policy_app.command("load-tariff")
def load_tariff(file: File, effective: Effective, database: DatabaseUrl = None) -> None:
    """Load a tariff (CSV or XLSX) in place of the one of that day, whole or not at all."""
    try:
        edition = policy.read_tariff(file, effective)
    except policy.TableErrors as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    for found in edition.findings:
        console.err.print(Text(f"counts as unknown: {found}", style="yellow"))
    return put_in_force(edition, database, f"tariff of {effective}, {edition.frame.height:,} codes")


@policy_app.command("load-positive-list")
def load_positive_list(
    file: File,
    version: Annotated[str, typer.Option(metavar="NAME", help="The name of the version.")],
    effective: Effective,
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help="Rows are known to be missing.")
    ] = False,
    database: DatabaseUrl = None,
) -> None:
    """Load a positive list (CSV or XLSX) in place of that version, whole or not at all."""
    try:
        edition = policy.read_positive_list(file, version, effective, not incomplete)
    except policy.TableErrors as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    rows = f"{edition.frame.height:,} rows"
    return put_in_force(edition, database, f"positive list {version} of {effective}, {rows}")


def put_in_force(
    edition: policy.TariffEdition | policy.PositiveListEdition, url: str | None, name: str
) -> None:
    with opened(url) as base:
        changed = store.transact(base, lambda conn: clearance.add_edition(conn, edition))
    console.out.print(f"{name}: {'in force' if changed else 'the same was in force already'}")
