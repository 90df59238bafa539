"""Verbs of signatures: development certificates, their filing and revoking; sign, diagnose."""

from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Any

import typer

from tongguan import console, messages, store
from tongguan.arguments import At, By, DatabaseUrl, File, Json, day, milliseconds, this_user
from tongguan.clearance import ZONE
from tongguan.cli.application import (
    INPUT_HAS_ERRORS,
    USAGE,
    app,
    fail,
    keys_app,
    moment_in,
    opened,
    show,
    write_json,
)
from tongguan.sharing import certificates
from tongguan.sharing.rules import Refused

LAST_SECOND = time(23, 59, 59)
Code = Annotated[str, typer.Argument(metavar="CODE", help="The company's code.")]


@keys_app.command("certificate")
def keys_certificate(
    code: Code,
    algorithm: Annotated[messages.KeyKind, typer.Option(help="The kind of key.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where certificate.pem and key.pem go.")],
    name: Annotated[str, typer.Option(help="The company's name, for the certificate.")] = "",
    since: Annotated[
        date | None,
        typer.Option("--from", parser=day, metavar="DAY", help="The first day; else 2015-01-01."),
    ] = None,
    until: Annotated[
        date | None,
        typer.Option("--to", parser=day, metavar="DAY", help="The last day; else 2049-12-31."),
    ] = None,
    by: By = None,
    at: At = None,
    database: DatabaseUrl = None,
) -> None:
    """Make a development key with a certificate, and file the certificate for the company."""
    try:
        days = {
            **({} if since is None else {"valid_from": datetime.combine(since, time(), ZONE)}),
            **({} if until is None else {"valid_to": datetime.combine(until, LAST_SECOND, ZONE)}),
        }
        signer = messages.issue(code, name, algorithm, **days)
        with opened(database) as base:
            at_ms, said_by = milliseconds(moment_in(base, at)), by or this_user()
            with base.borrow() as conn:
                certificates.file(conn, code, signer.certificate, said_by, at_ms)
                signer.save(out)
                conn.commit()
    except Refused as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    except (ValueError, FileExistsError) as problem:
        return fail(USAGE, str(problem))
    console.out.print(
        f"certificate {signer.certificate.serial} of {code}, {algorithm}, is filed; it lies in "
        f"{out} with its key"
    )
    return None


@keys_app.command("file-certificate")
def keys_file_certificate(
    paths: Annotated[
        list[Path], typer.Argument(exists=True, help="Certificates (PEM or DER), or folders.")
    ],
    company: Annotated[
        str | None,
        typer.Option(
            metavar="CODE", help="Whose they are; else the common name of each must be a code."
        ),
    ] = None,
    by: By = None,
    at: At = None,
    database: DatabaseUrl = None,
) -> None:
    """File certificates that were issued elsewhere: those of a twin, of a card, of an authority."""
    try:
        read = [messages.read_certificate_file(path) for path in _certificate_files(paths)]
        with opened(database) as base:
            at_ms, said_by = milliseconds(moment_in(base, at)), by or this_user()

            def file(conn: Any) -> int:
                return sum(
                    certificates.file(conn, company or one.common_name or "", one, said_by, at_ms)
                    for one in read
                )

            new = store.transact(base, file)
    except (Refused, messages.NotUsable, certificates.AnotherCompanys) as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    console.out.print(f"{new} certificates filed, {len(read) - new} were filed already")
    return None


def _certificate_files(paths: list[Path]) -> list[Path]:
    """The files named, and every certificate.pem below the folders named."""
    found = []
    for path in paths:
        found += sorted(path.rglob("certificate.pem")) if path.is_dir() else [path]
    return found


@keys_app.command("certificates")
def keys_certificates(
    code: Annotated[
        str | None, typer.Argument(metavar="CODE", help="One company's; else all.")
    ] = None,
    json_file: Json = None,
    database: DatabaseUrl = None,
) -> None:
    """The certificates of a company, or all: serial number, kind, from when to when, revoked."""
    with opened(database) as base, base.reading() as conn:
        rows = [one.facts() for one in certificates.of_company(conn, code)]
    return show(rows, json_file, lambda: console.certificates(rows))


@keys_app.command("revoke-certificate")
def keys_revoke_certificate(
    code: Code,
    serial: Annotated[str, typer.Argument(metavar="SERIAL", help="Its serial number, hex.")],
    because: Annotated[str, typer.Option(help="Why.")],
    by: By = None,
    at: At = None,
    database: DatabaseUrl = None,
) -> None:
    """Let a certificate count no more from now, or --at, on. What it signed before stays."""
    try:
        with opened(database) as base:
            at_ms, said_by = milliseconds(moment_in(base, at)), by or this_user()
            changed = store.transact(
                base,
                lambda conn: certificates.revoke(conn, code, serial, because, said_by, at_ms),
            )
    except certificates.UnknownCertificate as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    since = datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(ZONE).isoformat()
    words = f"counts no more from {since} on" if changed else "was revoked before"
    console.out.print(f"certificate {serial} of {code} {words}")
    return None


@app.command()
def sign(
    file: File,
    keys: Annotated[
        Path,
        typer.Option(
            exists=True,
            file_okay=False,
            metavar="DIR",
            help="certificate.pem and key.pem, or a folder of them for each sender.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the signed message goes.")],
    scheme: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"{', '.join(messages.SCHEMES)}; default rsa-sha256 or sm2-sm3, by the key.",
        ),
    ] = None,
) -> None:
    """Sign a message as the standard prescribes; a signature that is there is replaced."""
    data = file.read_bytes()
    try:
        signer = messages.find_signer(keys, data)
        signed = messages.sign(data, signer, scheme)
    except (messages.CannotSign, messages.NotUsable) as problem:
        return fail(INPUT_HAS_ERRORS, str(problem))
    out.write_bytes(signed.message)
    console.err.print(f"signed with certificate {signer.certificate.serial}")
    return None


@app.command()
def diagnose(
    file: File,
    canonical: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            metavar="FILE",
            help="The bytes you hashed, or the SignedInfo you signed; compared byte by byte.",
        ),
    ] = None,
    json_file: Json = None,
) -> None:
    """Why the signature of a message fails: what differs, where first, what you may have done."""
    theirs = None if canonical is None else canonical.read_bytes()
    found = messages.diagnose(file.read_bytes(), theirs)
    if json_file is not None:
        write_json(found.facts(), json_file)
    else:
        console.out.print(console.diagnosis(found))
    if found.verdict not in ("verifies", "unsigned"):
        raise typer.Exit(INPUT_HAS_ERRORS)
