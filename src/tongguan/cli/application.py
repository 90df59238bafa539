"""What every verb uses: the application, its database, its time, and how it fails."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import typer
from rich.console import RenderableType
from rich.text import Text

from tongguan import clearance, console, store
from tongguan.clearance import ZONE
from tongguan.sharing import heads

INPUT_HAS_ERRORS, USAGE, ENVIRONMENT_FAILED = 1, 2, 3

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Tongguan 通关: the open single window for cross-border e-commerce pilot zones.",
)
policy_app = typer.Typer(no_args_is_help=True, help="The law through time, and its tables.")
messages_app = typer.Typer(no_args_is_help=True, help="The message standard.")
guarantee_app = typer.Typer(no_args_is_help=True, help="Guarantees for the tax of parcels.")
company_app = typer.Typer(
    no_args_is_help=True, help="Companies: their filing, and who may send for whom."
)
log_app = typer.Typer(no_args_is_help=True, help="The evidence log: its key, heads and proofs.")
keys_app = typer.Typer(no_args_is_help=True, help="API keys and development certificates.")
export_app = typer.Typer(no_args_is_help=True, help="What this window knows, as files.")
payments_app = typer.Typer(
    no_args_is_help=True, help="Original payment data, asked of platforms (notice 2018-179)."
)
sandbox_app = typer.Typer(no_args_is_help=True, help="The other sides, to try with.")
park_app = typer.Typer(no_args_is_help=True, help="What happens on site.")
app.add_typer(policy_app, name="policy")
app.add_typer(guarantee_app, name="guarantee")
app.add_typer(export_app, name="export")
app.add_typer(park_app, name="park")
app.add_typer(company_app, name="company")
app.add_typer(keys_app, name="keys")
app.add_typer(payments_app, name="payments")
app.add_typer(sandbox_app, name="sandbox")
app.add_typer(messages_app, name="messages")
app.add_typer(log_app, name="log")


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
    return clearance.settings(base, moment_in(base, at), signatures, registry, arrivals)


def moment_in(base: store.Database, at: datetime | None) -> datetime:
    """The time of a command: the one it was given, else that of the sandbox's clock, else now."""
    if at is None:
        with base.reading() as conn:
            at = clearance.clock(conn)
    return now_or(at)


@contextmanager
def opened(url: str | None) -> Iterator[store.Database]:
    """The database with its tables in place; what fails of it inside is store.Unavailable."""
    with store.environment(), store.open(url) as database:
        clearance.prepare_database(database)
        yield database


def signer() -> heads.Signer:
    """Who signs the heads of the evidence log: the key of this installation."""
    return heads.Signer.open(store.home_folder())


def fail(status: int, text: str) -> None:
    console.err.print(Text(text, style="red"))
    raise typer.Exit(status)


def write_json(facts: Any, target: Path) -> None:
    text = json.dumps(facts, ensure_ascii=False)
    if str(target) == "-":
        sys.stdout.write(text + "\n")
    else:
        target.write_text(text + "\n", encoding="utf-8")


def show(facts: Any, json_file: Path | None, table: Callable[[], RenderableType]) -> None:
    """Write facts as JSON where that is asked for, else print them as a table."""
    if json_file is not None:
        write_json(facts, json_file)
    else:
        console.out.print(table())


def fen(yuan: Decimal) -> int:
    """Yuan as fen. Raises typer.BadParameter for what is finer or not positive."""
    whole = yuan * 100
    if whole != whole.to_integral_value() or whole <= 0:
        raise typer.BadParameter(f"{yuan} is not an amount of yuan and fen above 0")
    return int(whole)
