"""Who a document names, and who sent it: the rules party.unknown and party.mandate."""

from datetime import date

import polars as pl
import psycopg

from tongguan.clearance import findings as f
from tongguan.clearance.intake import Body
from tongguan.sharing import registry

ROLES: dict[str, tuple[tuple[str, str | None, str], ...]] = {
    "order": (("ebpCode", "ebpName", "platform"), ("ebcCode", "ebcName", "seller")),
    "payment": (("payCode", "payName", "payment"),),
    "waybill": (("logisticsCode", "logisticsName", "logistics"),),
    "waybill-status": (("logisticsCode", "logisticsName", "logistics"),),
    "inventory": (
        ("ebpCode", "ebpName", "platform"),
        ("ebcCode", "ebcName", "seller"),
        ("logisticsCode", "logisticsName", "logistics"),
        ("agentCode", "agentName", "declarant"),
        ("assureCode", None, "guarantor"),
    ),
    "cancellation": (("agentCode", "agentName", "declarant"),),
    "return": (("agentCode", "agentName", "declarant"),),
    "delivery": (("operatorCode", "operatorName", "site"),),
}
"""Who must be filed, in what role: element of the code, element of the name, role."""

SENDERS: dict[str, tuple[str, ...]] = {
    "order": ("ebpCode", "ebcCode"),
    "payment": ("payCode",),
    "waybill": ("logisticsCode",),
    "waybill-status": ("logisticsCode",),
    "inventory": ("agentCode", "ebcCode"),
    "cancellation": ("agentCode", "ebcCode"),
    "return": ("agentCode", "ebcCode"),
    "delivery": ("operatorCode",),
}
"""Whose document it is: these companies may send it, or whoever holds a mandate of the first."""


def pairs(bodies: dict[str, Body]) -> pl.DataFrame:
    """The companies the documents name, each with the role it is named in: code, role."""
    frames = [
        bodies[kind].heads.select(code=pl.col(code).unique(), role=pl.lit(role))
        for kind, roles in ROLES.items()
        if kind in bodies
        for code, _, role in roles
    ]
    return pl.concat([pl.DataFrame(schema=registry.PAIRS), *frames]).drop_nulls().unique()


def mentions(
    documents: pl.DataFrame, bodies: dict[str, Body], wanted: pl.DataFrame
) -> pl.DataFrame:
    """Where valid documents name the wanted companies (registry.PARTIES), in order of arrival.

    wanted: code, role.
    """
    valid = documents.filter("valid").select("doc")
    frames = [
        bodies[kind]
        .heads.join(valid, on="doc", how="semi")
        .select(
            "doc",
            document=pl.lit(kind),
            field=pl.lit(code),
            role=pl.lit(role),
            code=code,
            name=name if name else pl.lit(None, dtype=pl.String),
        )
        .join(wanted, on=["code", "role"], how="semi")
        for kind, roles in ROLES.items()
        if kind in bodies
        for code, name, role in roles
    ]
    return pl.concat([pl.DataFrame(schema=registry.PARTIES), *frames]).sort(
        "doc", maintain_order=True
    )


def party_unknown(named: pl.DataFrame, *, opened: bool) -> pl.DataFrame:
    """party.unknown: an error in a closed registry; in an open one a warning, once a company.

    named: mentions of companies that are not filed.
    """
    if opened:
        named = named.unique(["code", "role"], keep="first", maintain_order=True)
    expected = "a company filed as {}" + (" (now filed provisionally)" if opened else "")
    return f.shaped(
        named.select(
            "document",
            "field",
            case="doc",
            expected=pl.format(expected, pl.col("role")),
            actual="code",
        ),
        rule="party.unknown",
        severity=f.WARNING if opened else f.ERROR,
        law="GACC notice 2018-194: platforms, payment and logistics firms and agents register",
    )


def party_mandate(
    conn: psycopg.Connection,
    documents: pl.DataFrame,
    bodies: dict[str, Body],
    senders: pl.DataFrame,
    day: date,
) -> pl.DataFrame:
    """party.mandate: the transmitting company is a party of the document or holds its mandate.

    senders: message, sender (copCode of BaseTransfer). Only a closed registry knows mandates.
    """
    found = []
    for kind, elements in SENDERS.items():
        if kind not in bodies:
            continue
        named = (
            documents.filter("valid")
            .select("doc", "message")
            .join(bodies[kind].heads.select("doc", *elements), on="doc")
            .join(senders, on="message")
        )
        sent = named.filter(_by_another(conn, named, elements)).select(
            "doc", principal=elements[0], agent="sender"
        )
        bare = registry.without_mandate(conn, sent.select("principal", "agent"), day)
        refused = sent.join(bare, on=["principal", "agent"], how="semi")
        found.append(
            f.shaped(
                refused.select(
                    case="doc",
                    expected=pl.format("{} itself, or a company it has mandated", "principal"),
                    actual="agent",
                ),
                rule="party.mandate",
                severity=f.ERROR,
                document=kind,
                field="copCode",
                law="GACC notice 2018-194: data are sent by the company or whom it entrusts",
            )
        )
    return f.together(found)


def _by_another(
    conn: psycopg.Connection, named: pl.DataFrame, elements: tuple[str, ...]
) -> pl.Series:
    """Whether the sender is none of these companies, each by whichever of its codes."""
    columns = [pl.col(name) for name in ("sender", *elements)]
    given = named.select(*columns)
    main = registry.main_codes(conn, pl.concat([given[name] for name in given.columns]))
    if main:
        given = given.select(column.replace(main) for column in columns)
    return given.select(
        pl.all_horizontal(pl.col("sender").ne_missing(pl.col(e)) for e in elements)
    ).to_series()
