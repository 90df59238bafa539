"""Verbs of evidence: packs and proofs, the log's key and heads, verifying a file offline."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from tongguan import clearance, console, store
from tongguan.arguments import At, DatabaseUrl, File, Json
from tongguan.cli.application import (
    INPUT_HAS_ERRORS,
    USAGE,
    app,
    fail,
    log_app,
    opened,
    signer,
    under,
    write_json,
)
from tongguan.sharing import evidence as log
from tongguan.sharing import heads

Out = Annotated[Path | None, typer.Option(metavar="FILE", help="Write it here; else it is shown.")]


@app.command("evidence")
def evidence(
    key: Annotated[str, typer.Argument(help="orderNo, copNo or invtNo of a parcel.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Write the pack here.")],
    at: At = None,
    database: DatabaseUrl = None,
) -> None:
    """The evidence pack of a parcel: documents, receipts, decision, and the proofs of them."""
    try:
        with opened(database) as base:
            who, vault = signer(), store.Vault.open(store.home_folder())
            clearance.sign_head(base, who, under(base, at))
            with base.reading() as conn:
                body = clearance.pack(conn, vault, key)
    except (
        clearance.UnknownKey,
        clearance.Differs,
        clearance.UnknownPolicy,
        log.UnknownPosition,
    ) as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    out.touch(0o600)
    out.write_bytes(clearance.sealed(body, who))
    console.err.print(
        f"{len(body['parcels'])} parcels, {len(body['messages'])} messages, "
        f"{len(body['receipts'])} receipts; it holds the documents in clear, pass it on with care"
    )
    return None


@app.command("verify")
def verify(
    file: File,
    key: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            metavar="FILE",
            help="The log's public key, if you know it.",
        ),
    ] = None,
    json_file: Json = None,
) -> None:
    """Check a receipt, a pack or two heads offline: every hash, proof, signature and decision."""
    try:
        known = None if key is None else heads.public_from(key.read_text("utf-8"))
    except (heads.Malformed, UnicodeDecodeError) as problem:
        return fail(USAGE, f"{key}: {problem}")
    beside = file.with_name(f"{file.name}{clearance.PROOF_SUFFIX}")
    proof = beside.read_bytes() if file.suffix == ".xml" and beside.exists() else None
    checks = clearance.verify(file.read_bytes(), known, proof)
    if json_file is not None:
        write_json([clearance.check_facts(each) for each in checks.made], json_file)
    else:
        console.out.print(console.checks(checks.made), soft_wrap=True)
    failed = len(checks.failed)
    console.err.print(f"{len(checks.made):,} checks, {failed:,} failed")
    if failed:
        raise typer.Exit(INPUT_HAS_ERRORS)
    return None


@log_app.command("key")
def log_key(out: Out = None, database: DatabaseUrl = None) -> None:
    """The public key of the log: give it to who is to verify, by a way he trusts."""
    with opened(database) as base, base.reading() as conn:
        who = signer()
        log.check_key(conn, who)
        text = heads.public_text(log.origin(conn), who.public)
    if out is None:
        console.out.print(Text(text), soft_wrap=True)
    else:
        out.write_text(text + "\n", "utf-8")


@log_app.command("head")
def log_head(
    since: Annotated[
        int | None,
        typer.Option(min=1, metavar="SIZE", help="Also prove that an older head is its beginning."),
    ] = None,
    out: Out = None,
    at: At = None,
    database: DatabaseUrl = None,
) -> None:
    """The last signed head; with --since a file that proves an older one to be its beginning."""
    try:
        with opened(database) as base:
            clearance.sign_head(base, signer(), under(base, at))
            with base.reading() as conn:
                head, facts = log.growth(conn, since)
    except log.UnknownPosition as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    if out is not None:
        return write_json(facts, out)
    console.out.print(Text(head.note.rstrip("\n")), soft_wrap=True)
    return None


@log_app.command("prove")
def log_prove(
    paths: Annotated[
        list[Path], typer.Argument(exists=True, help="Receipt files of --receipts, or folders.")
    ],
    at: At = None,
    database: DatabaseUrl = None,
) -> None:
    """Write the proof of each receipt file beside it, so that it can be verified offline."""
    with opened(database) as base:
        vault = store.Vault.open(store.home_folder())
        clearance.sign_head(base, signer(), under(base, at))
        with base.reading() as conn:
            proved, problems = clearance.prove_files(conn, vault, paths)
    console.err.print(f"{proved:,} receipts proved, {len(problems):,} not")
    if problems:
        return fail(INPUT_HAS_ERRORS, "\n".join(problems))
    return None
