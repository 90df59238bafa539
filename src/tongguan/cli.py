"""The command line: one verb, one function; what it does stands in the rooms.

Exit status: 0 done; 1 the input has errors, all of them reported; 2 usage; 3 the environment
failed (database, disk) and nothing is half done.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from tongguan import __version__, clearance, console, messages, policy, store, twin
from tongguan.clearance import SIGNATURES, ZONE

INPUT_HAS_ERRORS, USAGE, ENVIRONMENT_FAILED = 1, 2, 3

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Tongguan 通关: the open single window for cross-border e-commerce pilot zones.",
)
policy_app = typer.Typer(no_args_is_help=True, help="The law through time, and its tables.")
messages_app = typer.Typer(no_args_is_help=True, help="The message standard.")
app.add_typer(policy_app, name="policy")
app.add_typer(messages_app, name="messages")


def moment(text: str) -> datetime:
    """An aware time from ISO 8601. Raises typer.BadParameter."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise typer.BadParameter(
            f"{text!r} is not a time with a zone; write 2022-06-01T12:00:00+08:00"
        )
    return at


def day(text: str) -> date:
    """A calendar day from ISO 8601. Raises typer.BadParameter."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a day; write 2022-06-01") from None


def amount(text: str) -> Decimal:
    """An exact decimal number. Raises typer.BadParameter."""
    try:
        return Decimal(text)
    except InvalidOperation:
        raise typer.BadParameter(f"{text!r} is not a number; write 129.00") from None


def share(text: str) -> Fraction:
    """A share between 0 and 1, exact. Raises typer.BadParameter."""
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise typer.BadParameter(f"{text!r} is not a share; write 0.1 or 1/10") from None


Paths = Annotated[list[Path], typer.Argument(exists=True, help="Files or folders of messages.")]
At = Annotated[
    datetime | None,
    typer.Option(
        parser=moment, metavar="TIME", help="The clock, ISO 8601 with zone; now if left out."
    ),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="PostgreSQL to use; else $DATABASE_URL, else the embedded one in $TONGGUAN_HOME.",
    ),
]
Json = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write the facts as JSON; - prints.")
]
Report = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write JSON lines, one object per document.")
]


def now_or(at: datetime | None) -> datetime:
    return at or datetime.now(ZONE)


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
    receipts: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write each receipt message here.")
    ] = None,
    report: Report = None,
    signatures: Annotated[
        str,
        typer.Option(
            metavar="|".join(SIGNATURES),
            help="required: refuse what is not signed; checked: remark on it; ignored.",
        ),
    ] = "checked",
    registry: Annotated[
        str,
        typer.Option(
            metavar="open|closed",
            help="open: file a company not seen before provisionally; closed: refuse it.",
        ),
    ] = "open",
    database: DatabaseUrl = None,
) -> None:
    """Clear messages: parse, match, decide, release, answer."""
    if signatures not in SIGNATURES or registry not in clearance.REGISTRIES:
        raise typer.BadParameter(
            f"--signatures is one of {', '.join(SIGNATURES)}; "
            f"--registry one of {', '.join(clearance.REGISTRIES)}"
        )
    if signatures == "required":
        raise typer.BadParameter("this version cannot verify signatures: use checked or ignored")
    found = clearance.sources(paths)
    with opened(database) as base:
        vault = store.Vault.open(store.home_folder())
        under = clearance.settings(base, now_or(at), signatures, registry)
        with progress_bar(len(found)) as advance:
            run = clearance.clear(base, vault, found, under, receipts, advance)
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


File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="FILE")]
Effective = Annotated[
    date, typer.Option(parser=day, metavar="DAY", help="The day it takes effect.")
]


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
