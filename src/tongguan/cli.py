"""The command line: one verb, one function; what it does stands in the rooms.

Exit status: 0 done; 1 the input has errors, all of them reported; 2 usage; 3 the environment
failed (database, disk) and nothing is half done.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from tongguan import __version__, clearance, console, messages, policy, store, twin
from tongguan.arguments import (
    Arrivals,
    At,
    DatabaseUrl,
    Effective,
    File,
    Json,
    Paths,
    Receipts,
    Registry,
    Report,
    Signatures,
    Yuan,
    amount,
    day,
    moment,
    share,
)
from tongguan.clearance import ZONE

INPUT_HAS_ERRORS, USAGE, ENVIRONMENT_FAILED = 1, 2, 3

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Tongguan 通关: the open single window for cross-border e-commerce pilot zones.",
)
policy_app = typer.Typer(no_args_is_help=True, help="The law through time, and its tables.")
messages_app = typer.Typer(no_args_is_help=True, help="The message standard.")
guarantee_app = typer.Typer(no_args_is_help=True, help="Guarantees for the tax of parcels.")
park_app = typer.Typer(no_args_is_help=True, help="What happens on site.")
app.add_typer(policy_app, name="policy")
app.add_typer(guarantee_app, name="guarantee")
app.add_typer(park_app, name="park")
app.add_typer(messages_app, name="messages")


def now_or(at: datetime | None) -> datetime:
    return at or datetime.now(ZONE)


def under(
    base: store.Database,
    at: datetime | None,
    signatures: clearance.Signatures = "checked",
    registry: clearance.Registry = "open",
    arrivals: clearance.Arrivals = "assumed",
) -> clearance.Settings:
    """The settings of a command: its time, else that of the sandbox's clock, else now."""
    if at is None:
        with base.borrow() as conn:
            at = clearance.clock(conn)
            conn.rollback()
    return clearance.settings(base, now_or(at), signatures, registry, arrivals)


@contextmanager
def opened(url: str | None) -> Iterator[store.Database]:
    """The database with its tables in place; what fails of it inside is store.Unavailable."""
    with store.environment(), store.open(url) as database:
        clearance.prepare_database(database)
        yield database


def fail(status: int, text: str) -> None:
    console.err.print(Text(text, style="red"))
    raise typer.Exit(status)


def write_json(facts: Any, target: Path) -> None:
    text = json.dumps(facts, ensure_ascii=False)
    if str(target) == "-":
        sys.stdout.write(text + "\n")
    else:
        target.write_text(text + "\n", encoding="utf-8")


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
    if signatures == "required":
        raise typer.BadParameter("this version cannot verify signatures: use checked or ignored")
    found = clearance.sources(paths)
    with opened(database) as base:
        vault = store.Vault.open(store.home_folder())
        settings = under(base, at, signatures, registry, arrivals)
        with progress_bar(len(found)) as advance:
            run = clearance.clear(base, vault, found, settings, receipts, advance)
        with store.environment(), base.borrow() as conn:
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
def check(paths: Paths, at: At = None, json_file: Json = None) -> None:
    """Every finding in messages or dossiers, without a database."""
    law = policy.load().on(now_or(at).astimezone(ZONE).date())
    found = clearance.examine(clearance.sources(paths), law)
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
        with opened(database) as base, base.borrow() as conn:
            explanations = clearance.explain(conn, key)
    except (clearance.UnknownKey, clearance.Differs, clearance.UnknownPolicy) as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    if json_file is not None:
        return write_json([each.facts() for each in explanations], json_file)
    for each in explanations:
        console.out.print(console.explanation(each))
    return None


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
        result = policy.quote(
            known_policy(database), on or now_or(None).date(), goods, freight, insurance, used, mode
        )
    except policy.QuoteErrors as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    if json_file is not None:
        return write_json(result.facts(), json_file)
    console.out.print(console.quote(result))
    return None


def known_policy(url: str | None) -> policy.Policy:
    """The policy of the database, if there is one already; else the built-in law alone."""
    if not store.exists(url):
        return policy.load()
    with opened(url) as base:
        return store.transact(base, clearance.current_policy)


@policy_app.command("timeline")
def policy_timeline(json_file: Json = None, database: DatabaseUrl = None) -> None:
    """Every parameter, list and tariff: every change, its paragraph, confirmed or not."""
    values = known_policy(database).timeline()
    if json_file is not None:
        return write_json([value_facts(value) for value in values], json_file)
    console.out.print(console.timeline(values))
    return None


@policy_app.command("diff")
def policy_diff(
    before: Annotated[date, typer.Argument(parser=day, metavar="DAY")],
    after: Annotated[date, typer.Argument(parser=day, metavar="DAY")],
    json_file: Json = None,
    database: DatabaseUrl = None,
) -> None:
    """What is not the same on two days."""
    differences = known_policy(database).diff(before, after)
    if json_file is not None:
        facts = [
            {
                "parameter": each.parameter,
                "before": value_facts(each.before),
                "after": value_facts(each.after),
            }
            for each in differences
        ]
        return write_json(facts, json_file)
    console.out.print(console.diff(differences, before, after))
    return None


def value_facts(value: policy.Value | None) -> dict[str, Any] | None:
    if value is None:
        return None
    return {
        "parameter": value.parameter,
        "value": value.text,
        "unit": value.unit,
        "since": value.since.isoformat(),
        "law": value.law,
        "confirmed": value.confirmed,
    }


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


@messages_app.command("xsd")
def messages_xsd(
    type_: Annotated[str, typer.Argument(metavar="TYPE", help="CEB621 …")],
    edition: Annotated[str, typer.Option(help=" or ".join(messages.EDITIONS))] = "202205",
) -> None:
    """The XML schema of a message type, made from the catalogue."""
    try:
        sys.stdout.write(messages.xsd(type_, edition))
    except messages.UnknownType as problem:
        fail(USAGE, str(problem))


@messages_app.command("doc")
def messages_doc(
    type_: Annotated[str, typer.Argument(metavar="TYPE", help="CEB621 …")],
) -> None:
    """The page of a message type, made from the catalogue (Markdown)."""
    try:
        sys.stdout.write(messages.documentation(type_))
    except messages.UnknownType as problem:
        fail(USAGE, str(problem))


@app.command("twin")
def make_twin(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where messages/ and expected.jsonl go.")
    ],
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 1,
    parcels: Annotated[int, typer.Option(min=1, help="How many parcels.")] = 1000,
    faults: Annotated[
        Fraction,
        typer.Option(parser=share, metavar="RATE", help="Share of faulty parcels."),
    ] = Fraction(1, 10),
    on: Annotated[
        date | None,
        typer.Option("--date", parser=day, metavar="DAY", help="Default 2022-06-01."),
    ] = None,
    documents: Annotated[
        int | None, typer.Option(min=1, max=100, help="Documents per message; random if left out.")
    ] = None,
    in_order: Annotated[
        bool, typer.Option("--in-order", help="Orders first, lists last; else any order.")
    ] = False,
    positive_list: Annotated[
        bool,
        typer.Option("--positive-list", help="Also write a complete positive list to be loaded."),
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="Only this fault; may be given several times.")
    ] = None,
) -> None:
    """Messages of a synthetic zone, and the outcome each parcel must get."""
    try:
        summary = twin.write(
            out,
            seed=seed,
            parcels=parcels,
            faults=faults,
            **({} if on is None else {"day": on}),
            documents_per_message=documents,
            shuffle=not in_order,
            positive_list=positive_list,
            only=only,
        )
    except (ValueError, FileExistsError) as problem:
        return fail(USAGE, str(problem))
    console.out.print(
        f"{summary.parcels:,} parcels, {summary.documents:,} documents in {summary.files:,} files"
    )
    return None


@app.command()
def settle(
    at: At = None, receipts: Receipts = None, report: Report = None, database: DatabaseUrl = None
) -> None:
    """Do all that falls due: expiries, tax bills into payments, late fees, claims."""
    with opened(database) as base:
        done = clearance.settle(base, under(base, at), receipts)
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


def fen(yuan: Decimal) -> int:
    """Yuan as fen. Raises typer.BadParameter for what is finer or not positive."""
    whole = yuan * 100
    if whole != whole.to_integral_value() or whole <= 0:
        raise typer.BadParameter(f"{yuan} is not an amount of yuan and fen above 0")
    return int(whole)


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
        with opened(database) as base, base.borrow() as conn:
            facts = clearance.guarantee_facts(conn, code)
            conn.rollback()
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
    if json_file is not None:
        return write_json(facts, json_file)
    console.out.print(console.guarantee(facts))
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
            about = clearance.arrive(base, under(base, at), key, receipts)
            with base.borrow() as conn:
                lines = clearance.document_lines(conn, about)
                conn.rollback()
    except clearance.UnknownArrival as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    console.out.print(console.parcels(lines, 0))
    return None


@app.command()
def allowance(
    number: Annotated[str, typer.Argument(metavar="IDNUMBER", help="The buyer's identity number.")],
    year: Annotated[int, typer.Option(help="The calendar year.")],
    json_file: Json = None,
    database: DatabaseUrl = None,
) -> None:
    """A buyer's year: every debit and credit with its parcel."""
    with opened(database) as base, base.borrow() as conn:
        vault = store.Vault.open(store.home_folder())
        facts = clearance.statement(conn, vault, number, year)
        conn.rollback()
    if json_file is not None:
        return write_json(facts, json_file)
    console.out.print(console.statement(facts))
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


def version(asked: bool) -> None:
    if asked:
        console.out.print(f"tongguan {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool,
        typer.Option("--version", callback=version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; failures of the environment end with 3, others loudly."""
    try:
        app()
    except store.Unavailable as problem:
        console.err.print(Text(f"{problem}", style="red"))
        sys.exit(ENVIRONMENT_FAILED)
    except policy.OutsideKnown as problem:
        console.err.print(Text(f"{problem}", style="red"))
        sys.exit(USAGE)
    except (OSError, store.StepError) as problem:
        console.err.print(Text(f"{problem}", style="red"))
        sys.exit(ENVIRONMENT_FAILED)
