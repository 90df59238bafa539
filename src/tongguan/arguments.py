"""What commands take: how an argument is read, what it is called, what its help says."""

import getpass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from tongguan import clearance


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


def day(text: str | date) -> date:
    """A calendar day from ISO 8601, or the default of an option. Raises typer.BadParameter."""
    if isinstance(text, date):
        return text
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


def milliseconds(at: datetime) -> int:
    """Milliseconds since 1970 UTC, exactly.

    >>> milliseconds(moment("2022-06-01T12:00:00.250+08:00"))
    1654056000250
    """
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def words(given: list[str]) -> list[str]:
    """An option that may be repeated, or hold several with commas between, as single words.

    >>> words(["platform,seller", "payment"])
    ['platform', 'seller', 'payment']
    """
    parts = (part.strip() for text in given for part in text.split(","))
    return list(dict.fromkeys(part for part in parts if part))


def this_user() -> str:
    """Who gives the command, as this machine knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "operator"


Paths = Annotated[list[Path], typer.Argument(exists=True, help="Files or folders of messages.")]
At = Annotated[
    datetime | None,
    typer.Option(
        parser=moment,
        metavar="TIME",
        help="The clock, ISO 8601 with zone; else the sandbox's clock, else now.",
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
Receipts = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Write each receipt message here.")
]
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="FILE")]
Effective = Annotated[
    date, typer.Option(parser=day, metavar="DAY", help="The day it takes effect.")
]
Yuan = Annotated[Decimal, typer.Option(parser=amount, metavar="YUAN", help="Yuan and fen.")]
By = Annotated[
    str | None, typer.Option(metavar="WHO", help="Who says so; else the user of this machine.")
]
Signatures = Annotated[
    clearance.Signatures,
    typer.Option(
        help="required: refuse what is not signed; checked: verify what is; ignored: look at none."
    ),
]
Registry = Annotated[
    clearance.Registry,
    typer.Option(help="open: file a company not seen before provisionally; closed: refuse it."),
]
Arrivals = Annotated[
    clearance.Arrivals,
    typer.Option(help="required: direct purchases wait at 400 until they are on site (CEB711)."),
]
