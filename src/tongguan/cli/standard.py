"""Verbs of the message standard, and the synthetic zone that speaks it."""

import sys
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from tongguan import console, messages, twin
from tongguan.arguments import day, share
from tongguan.cli.application import USAGE, app, fail, messages_app


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
    sign: Annotated[
        messages.KeyKind | None,
        typer.Option(help="Sign each message; keys and certificates go to DIR/keys/CODE."),
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
            sign=sign,
        )
    except (ValueError, FileExistsError) as problem:
        return fail(USAGE, str(problem))
    console.out.print(
        f"{summary.parcels:,} parcels, {summary.documents:,} documents in {summary.files:,} files"
    )
    return None
