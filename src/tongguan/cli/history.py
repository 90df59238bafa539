"""Verbs of history: written to files, and decided anew under a draft."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tongguan import codes, console, policy, replay
from tongguan.arguments import At, DatabaseUrl, Json, day
from tongguan.cli.application import (
    ENVIRONMENT_FAILED,
    INPUT_HAS_ERRORS,
    app,
    export_app,
    fail,
    opened,
    write_json,
)

From = Annotated[
    date | None,
    typer.Option("--from", parser=day, metavar="DAY", help="First day of acceptance."),
]
To = Annotated[
    date | None,
    typer.Option("--to", parser=day, metavar="DAY", help="Last day, inclusive."),
]


Messages = Annotated[
    list[Path] | None,
    typer.Option(exists=True, metavar="PATH", help="Clear these message files anew instead."),
]
Engine = Annotated[
    Literal["local", "spark"], typer.Option(help="spark: on a cluster, as --master says.")
]
Master = Annotated[
    str | None, typer.Option(metavar="URL", help="Spark master: spark://host:7077, local[2] …")
]


@export_app.command("history")
def export_history(
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder.")],
    since: From = None,
    until: To = None,
    messages: Messages = None,
    at: At = None,
    engine: Engine = "local",
    master: Master = None,
    database: DatabaseUrl = None,
) -> None:
    """Write what was decided to Parquet files by zone and month, without personal data."""
    sources(engine, master, messages, at, since or until or database)
    try:
        if messages:
            facts = from_archive(messages, at, out, master)
        else:
            with opened(database) as base:
                facts = replay.export(base, out, since, until)
    except FileExistsError as problem:
        raise typer.BadParameter(str(problem)) from None
    except replay.NoSpark as problem:
        return fail(ENVIRONMENT_FAILED, str(problem))
    rows = facts["rows"]
    console.out.print(
        f"{rows['parcels']:,} parcels, {rows['lines']:,} lines, {rows['returns']:,} rows of "
        f"returns; schema version {facts['version']}"
    )
    return None


def sources(
    engine: str,
    master: str | None,
    messages: list[Path] | None,
    at: datetime | None,
    others: object,
) -> None:
    """Which options go together. Raises typer.BadParameter."""
    if (engine == "spark") != (master is not None):
        raise typer.BadParameter("--engine spark and --master URL go together")
    if bool(messages) != (at is not None):
        raise typer.BadParameter("--messages PATH and --at TIME go together")
    if messages and others:
        raise typer.BadParameter("--messages are cleared alone: without --history, --database, …")


def from_archive(
    messages: list[Path], at: datetime | None, out: Path, master: str | None
) -> dict[str, Any]:
    assert at is not None
    cluster = None if master is None else replay.spark_archive_engine(master)
    return replay.clear_archive(out, messages, at, cluster)


@app.command("replay")
def replay_history(
    draft: Annotated[
        Path | None,
        typer.Option(
            "--policy",
            exists=True,
            dir_okay=False,
            metavar="FILE",
            help="A draft policy (YAML). Without it: whether the record is reproduced.",
        ),
    ] = None,
    since: From = None,
    until: To = None,
    zone: Annotated[
        str | None, typer.Option(metavar="CODE", help="Only this pilot zone (its code or name).")
    ] = None,
    json_file: Json = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report, one HTML file.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every figure as one table.")
    ] = None,
    history: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, metavar="DIR", help="History files; else the database."
        ),
    ] = None,
    messages: Messages = None,
    at: At = None,
    database: DatabaseUrl = None,
    engine: Engine = "local",
    master: Master = None,
) -> None:
    """What a draft policy would have done: recorded parcels decided anew, before and after."""
    sources(engine, master, messages, at, history or database)
    view = replay.View(since, until, zone_code(zone))
    try:
        with ExitStack() as open_:
            files = open_.enter_context(source(history, database, view, messages, at, master))
            advance = open_.enter_context(progress_bar())
            runs = replay.local_engine(advance) if master is None else replay.spark_engine(master)
            answer = replay.replay(files, draft, view, runs)
    except replay.NoSpark as problem:
        return fail(ENVIRONMENT_FAILED, str(problem))
    except (policy.DraftErrors, replay.BadHistory) as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    if json_file is not None:
        write_json(answer.facts, json_file)
    if html is not None:
        html.write_text(replay.page(answer), encoding="utf-8")
    if csv is not None:
        csv.write_text(replay.sheet(answer), encoding="utf-8-sig")
    if json_file is None or str(json_file) != "-":
        console.out.print(console.replayed(answer.facts))
    if not answer.reproduced:
        return fail(INPUT_HAS_ERRORS, f"not reproduced: {answer.facts['first_difference']}")
    return None


def zone_code(name: str | None) -> str | None:
    """The code of a pilot zone, given by code or name. Raises typer.BadParameter."""
    if name is None or name == codes.UNKNOWN_ZONE:
        return name
    for zone in codes.table("zone"):
        if name in (zone.code, zone.name_zh, zone.name_en):
            return zone.code
    raise typer.BadParameter(f"no pilot zone is called {name!r}: give its name, or its code")


@contextmanager
def source(
    history: Path | None,
    database: str | None,
    view: replay.View,
    messages: list[Path] | None,
    at: datetime | None,
    master: str | None,
) -> Iterator[replay.History]:
    if messages:
        with tempfile.TemporaryDirectory(prefix="tongguan-history-") as folder:
            from_archive(messages, at, Path(folder) / "history", master)
            yield replay.History.open(Path(folder) / "history")
        return
    if history is not None:
        if database is not None:
            raise typer.BadParameter("give --history or --database, not both")
        yield replay.History.open(history)
        return
    with opened(database) as base, replay.from_database(base, view) as files:
        yield files


@contextmanager
def progress_bar() -> Iterator[replay.Progress]:
    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console.err, transient=True) as bar:
        task = bar.add_task("replaying", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
