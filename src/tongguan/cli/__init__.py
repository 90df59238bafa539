"""The command line: one verb, one function; what it does stands in the rooms.

Exit status: 0 done; 1 the input has errors, all of them reported; 2 usage; 3 the environment
failed (database, disk) and nothing is half done.
"""

import sys
from typing import Annotated

import typer
from rich.text import Text

import tongguan.memory  # noqa: F401 - before all that takes memory
from tongguan import __version__, console, policy, store
from tongguan.cli import (  # noqa: F401 - they add their verbs
    certificates,
    clearing,
    companies,
    evidence,
    history,
    keys,
    law,
    money,
    payments,
    standard,
    window,
)
from tongguan.cli.application import ENVIRONMENT_FAILED, USAGE, app


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
