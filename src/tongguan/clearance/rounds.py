"""Rounds: how the documents of one batch are taken and decided as if they came one by one.

A round ends before a change, a deletion or a re-sent list whose list could already have been
decided, so that the outcome does not depend on how many documents share a batch.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import psycopg

from tongguan import finance, policy, store
from tongguan.clearance import arrivals, cancellation, dossier, returns, steps, texts, writing
from tongguan.clearance import findings as f
from tongguan.clearance.accept import KEY, KEYLESS, NEW, Accepted, accept
from tongguan.clearance.decide import Decisions, Standing, buyer_key, decide
from tongguan.clearance.intake import Body
from tongguan.clearance.kinds import KINDS
from tongguan.clearance.round import DECIDED, Round
from tongguan.clearance.rules import Dossiers
from tongguan.clearance.settings import Settings
from tongguan.clearance.steps import ACCEPTED, AWAITED, PASSED, RECEIVED, REFUSED, RELEASED

INVENTORY = KINDS["inventory"].number
FOLLOWING = {
    KINDS["cancellation"].number: cancellation.apply,
    KINDS["return"].number: returns.apply,
}
"""Kinds that are about a list and what has become of it; a round has one of them, or none."""
RECEIVED_AT_ONCE = (KINDS["waybill-status"].number, KINDS["delivery"].number)
"""Kinds that customs receives as they are, without a list to match them."""


def rounds(
    conn: psycopg.Connection, declared: pl.DataFrame, settings: Settings
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Cut declared documents, in order of arrival, into rounds; with each, the documents it meets.

    A document whose fate depends on how far an earlier one has gone (a change, a deletion, a list
    sent again, a waybill number used anew) begins a round if a list it may belong to could have
    been decided by a document before it in this round. A round that came before must be written
    when the next is asked for.

    Cancellations and returns are about lists as they stand, and a cancellation changes what others
    meet (the buyer's year): each of these kinds has rounds of its own.
    """
    if declared.is_empty():
        return
    following = pl.col("kind").is_in(list(FOLLOWING))
    if not declared.select(following.any()).item():
        yield from _rounds(conn, declared, settings)
        return
    apart = pl.when(following).then("kind").otherwise(0).rle_id()
    # A key that was just refused for its form may come again.
    again = (following & ~pl.struct(KEY).is_first_distinct()).cum_sum()
    grouped = declared.with_columns(apart=apart, again=again)
    for part in grouped.partition_by("apart", "again", maintain_order=True):
        store.settle(conn)
        yield from _rounds(conn, part.drop("apart", "again"), settings)


def _rounds(
    conn: psycopg.Connection, declared: pl.DataFrame, settings: Settings
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    met = _met(conn, declared, settings)
    cuts = [] if int(declared["kind"][0]) in FOLLOWING else _cuts(conn, declared, met)
    if not cuts:
        yield declared, met
        return
    for start, end in pairwise([-1, *cuts, int(declared["case"].max()) + 1]):  # type: ignore[arg-type]
        part = declared.filter(pl.col("case").is_between(start, end, closed="left"))
        store.settle(conn)
        yield part, _met(conn, part, settings)


def _cuts(conn: psycopg.Connection, declared: pl.DataFrame, met: pl.DataFrame) -> list[int]:
    """The cases with which a round begins, the first round's excepted."""
    here = declared.select("case", "kind", *_PAIRS, "order_no", "app_type")
    held = met.filter(((pl.col("kind") == INVENTORY) & (pl.col("status") == 2)) | "released")
    sent_twice = (pl.col("kind") == INVENTORY) & (pl.len().over(KEY) > 1) & ~KEYLESS
    again = here.with_columns(sent_twice=sent_twice).join(
        held.select(*KEY, held=pl.lit(value=True)), on=KEY, how="left", maintain_order="left"
    )
    depends = (pl.col("app_type") != NEW) | "sent_twice" | pl.col("held").is_not_null()
    meeting = again.filter(depends).select(here.columns)
    if meeting.is_empty():
        return []
    about = _order_numbers(conn, meeting, here)
    numbers_ = about.select("number").unique()
    lists, touching = _touching(conn, numbers_["number"].to_list(), here)
    cases: dict[str, list[int]] = dict(
        touching.group_by("number").agg(pl.col("case").sort()).iter_rows()
    )
    cuts: list[int] = []
    start = -1
    for case, found in about.group_by("case", maintain_order=True).agg("number").iter_rows():
        for number in found:
            before = [other for other in cases.get(number, ()) if start <= other < case]
            if before and lists.get(number, case) < case:
                cuts.append(case)
                start = case
                break
    return cuts


_PAIRS = tuple(f"{pair}_{side}" for pair in ("key", "ref", "way") for side in "ab")
_ORDER, _PAYMENT, _WAYBILL = (KINDS[name].number for name in ("order", "payment", "waybill"))


def _waiting(conn: psycopg.Connection, kind: int, pair: str, keys: pl.DataFrame) -> pl.DataFrame:
    """Stored documents of a kind that may still be matched, by a pair (a, b) or its b alone."""
    wanted = keys.select(*keys.columns).drop_nulls().unique()
    schema = dict.fromkeys((*_PAIRS, "order_no"), pl.String)
    if wanted.is_empty():
        return pl.DataFrame(schema=schema)
    source, values = store.unnest("k", wanted)
    same = " AND ".join(f"d.{pair}_{side} = k.{side}" for side in wanted.columns)
    number = "d.key_b" if kind == _ORDER else "d.ref_b"
    sql = f"""SELECT {", ".join(f"d.{name}" for name in _PAIRS)}, {number} AS order_no
        FROM {source} JOIN document d ON {same}
        WHERE d.kind = {kind} AND d.current AND d.status = 2"""
    return store.fetch(conn, sql, values, schema)


def _order_numbers(
    conn: psycopg.Connection, meeting: pl.DataFrame, here: pl.DataFrame
) -> pl.DataFrame:
    """case, number: the orders whose lists may have used what each document meets."""

    def named(kind: int, by: int, pair: str) -> list[pl.DataFrame]:
        mine = meeting.filter(pl.col("kind") == kind).select("case", a="key_a", b="key_b")
        stored = _waiting(conn, by, pair, mine.select("a", "b"))
        naming = pl.concat(
            [
                frame.select(a=f"{pair}_a", b=f"{pair}_b", number="order_no")
                for frame in (here.filter(pl.col("kind") == by), stored)
            ]
        )
        return [mine.join(naming, on=["a", "b"]).select("case", "number")]

    own = meeting.select("case", number="order_no")
    paid = named(_PAYMENT, _ORDER, "ref") + named(_PAYMENT, _PAYMENT, "key")
    found = pl.concat([own, *named(_WAYBILL, INVENTORY, "way"), *paid])
    return found.drop_nulls().unique().sort("case", "number")


def _touching(
    conn: psycopg.Connection, order_numbers: list[str], here: pl.DataFrame
) -> tuple[dict[str, int], pl.DataFrame]:
    """The first list of each order (its case, −1: it waits already), and who may complete one.

    Second: case, number: documents of this batch by the order whose list they may complete.
    """
    asked = pl.DataFrame({"b": order_numbers}, schema={"b": pl.String})
    mine = here.filter(pl.col("order_no").is_in(order_numbers))
    arriving = mine.filter(pl.col("kind") == INVENTORY)
    waiting = _waiting(conn, INVENTORY, "ref", asked)
    lists = dict(arriving.group_by("order_no").agg(pl.col("case").min()).iter_rows())
    lists |= dict.fromkeys(waiting["order_no"], -1)
    orders = pl.concat(
        [
            frame.select(a="ref_a", b="ref_b", number="order_no")
            for frame in (
                mine.filter(pl.col("kind") == _ORDER),
                _waiting(conn, _ORDER, "key", asked),
            )
        ]
    )
    ways = pl.concat(
        frame.select(a="way_a", b="way_b", number="order_no") for frame in (arriving, waiting)
    )
    parts = [mine.select("case", number="order_no")]
    for kind, naming in ((_PAYMENT, orders), (_WAYBILL, ways)):
        keyed = here.filter(pl.col("kind") == kind).select("case", a="key_a", b="key_b")
        parts.append(keyed.join(naming, on=["a", "b"]).select("case", "number"))
    return lists, pl.concat(parts).unique()


def run(
    conn: psycopg.Connection,
    fresh: pl.DataFrame,
    met: pl.DataFrame,
    bodies: Mapping[str, Body],
    settings: Settings,
    batch_id: int,
) -> Round:
    """Take the documents of one round, and decide what they complete. met: as from ``rounds``."""
    taken = accept(fresh, met)
    fresh = fresh.join(taken.documents, on="doc", maintain_order="left")
    if int(fresh["kind"][0]) in FOLLOWING:
        return _follow_up(conn, fresh, met, taken, bodies, settings, batch_id)
    part = Round(fresh, findings=[taken.findings])
    refusals = texts.refusals(taken.findings)
    accepted = fresh.filter("accepted").with_columns(info=texts.acceptance())
    refused = fresh.filter(~pl.col("accepted")).join(refusals, left_on="doc", right_on="case")
    part.events += [
        steps.first(accepted, pl.lit(ACCEPTED, dtype=pl.Int64), settings.at_ms),
        steps.first(refused, pl.col("status"), settings.at_ms),
    ]
    current = accepted.filter("current")
    life = dossier.arriving(current, settings.at_ms)
    # Before anything is matched: a document that was just deleted belongs to no list.
    writing.write_superseded(conn, taken.superseded)
    lists = dossier.touched_lists(conn, life)
    decide_lists(conn, part, lists, life, bodies, settings, batch_id)
    at_once = life.filter(pl.col("kind").is_in(RECEIVED_AT_ONCE))
    part.events.append(steps.on(at_once, 1, ACCEPTED, RECEIVED, settings.at_ms))
    arrivals.apply(conn, part, lists, arrivals.words(at_once, bodies), settings)
    return part


def _follow_up(
    conn: psycopg.Connection,
    fresh: pl.DataFrame,
    met: pl.DataFrame,
    taken: Accepted,
    bodies: Mapping[str, Body],
    settings: Settings,
    batch_id: int,
) -> Round:
    """Take documents that are about lists; what the list forbids is told at once.

    A document without a list it may be about is not accepted (its status is the negative code, and
    it holds no key); one that a rule refuses goes 2 → 100, any other 2 → 120 → 399.
    """
    part = Round(fresh)
    asked = fresh.filter(pl.col("accepted") & pl.col("current"))
    findings = FOLLOWING[int(fresh["kind"][0])](conn, part, asked, bodies, settings, batch_id)
    of_form = pl.col("rule").str.starts_with("message.")
    # The first error gives a document that is not accepted its status.
    findings = findings.sort(~of_form, maintain_order=True)
    formal = f.faulty(findings.filter(of_form))
    bad = pl.col("doc").is_in(formal["case"].implode())
    fresh = fresh.with_columns(pl.col("accepted", "current") & ~bad)
    part.documents = fresh
    part.findings.append(f.together([taken.findings, findings]))
    kept = fresh.filter("accepted").join(met, on=KEY)["id"]
    writing.write_superseded(conn, [id_ for id_ in taken.superseded if id_ in kept])
    said = texts.refusals(part.findings[0]).select(doc="case", code="status", said="info")
    told = fresh.with_columns(info=texts.acceptance()).join(
        said, on="doc", how="left", maintain_order="left"
    )
    accepted = told.filter("accepted")
    first = steps.first(accepted, pl.lit(ACCEPTED, dtype=pl.Int64), settings.at_ms)
    turned = told.filter(~pl.col("accepted")).with_columns(info="said")
    life = steps.last(first).join(
        accepted.select("said", "current", id="doc"), on="id", maintain_order="left"
    )
    passed = life.filter(pl.col("said").is_null() & pl.col("current"))
    back = life.filter(pl.col("said").is_not_null())
    part.events += [
        first,
        steps.first(turned, pl.col("code"), settings.at_ms),
        steps.on(back, 1, ACCEPTED, REFUSED, settings.at_ms).with_columns(info=back["said"]),
        steps.on(passed, 1, ACCEPTED, RECEIVED, settings.at_ms),
        steps.on(passed, 2, RECEIVED, PASSED, settings.at_ms),
    ]
    return part


DIRECT = "9610"
"""tradeMode of a direct purchase: the goods arrive from abroad, parcel by parcel."""
WAYBILL_UNIQUE_FOR = timedelta(days=183)
"""A carrier may use a waybill number anew after six months (CEB specification, logisticsNo)."""


def reuse_ms(settings: Settings) -> int:
    """Waybill numbers from before this time (ms since 1970 UTC) may have been used anew."""
    return settings.at_ms - WAYBILL_UNIQUE_FOR // timedelta(milliseconds=1)


def _met(conn: psycopg.Connection, documents: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """The current documents that arriving ones meet: same kind, same key."""
    since = reuse_ms(settings)
    source, values = store.unnest("k", documents.select(*KEY).unique(maintain_order=True))
    sql = f"""SELECT d.* FROM {source} CROSS JOIN LATERAL (
            SELECT d.id, d.kind, d.key_a, d.key_b, d.status, d.app_time,
                d.kind IN ({KINDS["waybill"].number}, {KINDS["waybill-status"].number})
                    AND d.at < {since} AS released
            FROM document d WHERE d.kind = k.kind AND d.key_b = k.key_b AND d.key_a = k.key_a
                AND d.current OFFSET 0
        ) AS d"""
    return store.fetch(conn, sql, values, MET)


MET: dict[str, Any] = {
    **dict.fromkeys(("id", "kind"), pl.Int64),
    **dict.fromkeys(("key_a", "key_b"), pl.String),
    "status": pl.Int64,
    "app_time": pl.String,
    "released": pl.Boolean,
}
"""A current document that an arriving one meets."""


def decide_lists(
    conn: psycopg.Connection,
    part: Round,
    lists: pl.DataFrame,
    fresh: pl.DataFrame,
    bodies: Mapping[str, Body],
    settings: Settings,
    batch_id: int,
) -> None:
    """Decide those of the lists that are complete, and add what follows to the round.

    Each list is decided under the law of the day on which it was accepted, also if its last
    document came on a later one; the lists of one buyer all the same in the order in which they
    became complete.
    """
    complete = dossier.complete(conn, lists, fresh, bodies)
    if complete is None:
        return
    accepted = (
        complete.members.filter(pl.col("kind") == INVENTORY)
        .select("case", day=steps.local("at").dt.date())
        .join(complete.dossiers.heads.select("case", buyer=buyer_key()), on="case")
        .sort("case")
        .with_columns(turn=pl.col("day").rle_id().over("buyer"))
    )
    for turn, day in accepted.select("turn", "day").unique().sort("turn", "day").iter_rows():
        if turn:
            store.settle(conn)  # the buyers' years have moved on
        chosen = complete.only(accepted.filter(turn=turn, day=day))
        law = settings.policy.on(day)
        standing = _standing(conn, chosen.dossiers, law, settings)
        decisions = decide(chosen.dossiers, law, standing)
        writing.write_decisions(
            conn, chosen.members, decisions, standing, law, settings.at_ms, batch_id
        )
        _keep_decided(part, chosen, decisions, law)
        direct = chosen.dossiers.heads.filter(pl.col("inventory.tradeMode") == DIRECT)
        awaited = direct.select("case").filter(settings.arrivals == "required")
        _follow(conn, part, chosen.members, decisions, awaited, bodies, settings)


def _keep_decided(
    part: Round, chosen: dossier.Complete, decisions: Decisions, law: policy.Law
) -> None:
    """What the round decided, for bills and guarantees, which then need not read it."""
    inventories = chosen.members.filter(pl.col("kind") == INVENTORY)
    heads = decisions.heads.with_columns(pl.col("case").cast(pl.Int64), day=pl.lit(law.day))
    heads = heads.join(inventories.select("case", "message_id", document_id="id"), on="case")
    lines = decisions.lines.with_columns(pl.col("case", "gnum").cast(pl.Int64))
    goods = chosen.dossiers.inventory_lines.select(pl.col("case", "gnum").cast(pl.Int64), "gcode")
    lines = lines.drop("gcode", strict=False).join(goods, on=["case", "gnum"])
    lines = lines.join(heads.select("case", "document_id"), on="case")
    lines = lines.rename({"basis_fen": "tax_price_fen"})
    part.decided.append(heads.select(pl.col(n).cast(t) for n, t in DECIDED.items()))
    part.tax_lines.append(lines.select(pl.col(n).cast(t) for n, t in finance.bills.LINES.items()))


def _follow(
    conn: psycopg.Connection,
    part: Round,
    members: pl.DataFrame,
    decisions: Decisions,
    awaited: pl.DataFrame,
    bodies: Mapping[str, Body],
    settings: Settings,
) -> None:
    """What follows from decisions: findings, the steps of the documents, numbers of lists.

    awaited: the cases whose goods have yet to arrive.
    """
    is_list = pl.col("kind") == INVENTORY
    inventories = members.filter(is_list).select("case", doc="id")
    found = decisions.findings.join(inventories, on="case", maintain_order="left")
    findings = f.shaped(found.drop("case").rename({"doc": "case"}))
    part.findings.append(findings)
    members = members.join(decisions.heads.select("case", "refused"), on="case")
    turned = members.filter(is_list & pl.col("refused"))
    passed = members.filter(~pl.col("refused"))
    received = passed.filter(is_list)
    waiting = received.join(awaited, on="case", how="semi", maintain_order="left")
    released = received.join(awaited, on="case", how="anti", maintain_order="left")
    refusals = texts.refusals(findings).select(document_id="case", said="info")
    back = steps.on(turned, 1, ACCEPTED, REFUSED, settings.at_ms)
    part.events += [
        back.join(refusals, on="document_id", maintain_order="left")
        .with_columns(info="said")
        .select(*steps.EVENTS),
        steps.on(passed, 1, ACCEPTED, RECEIVED, settings.at_ms),
        steps.on(received, 2, RECEIVED, PASSED, settings.at_ms),
        steps.on(waiting, 3, PASSED, AWAITED, settings.at_ms),
        steps.on(released, 3, PASSED, RELEASED, settings.at_ms),
    ]
    part.invt.append(_invt_numbers(conn, received, bodies, settings))


def _standing(
    conn: psycopg.Connection, dossiers: Dossiers, law: policy.Law, settings: Settings
) -> Standing:
    """What the lists find: the buyers' year as read, the guarantees locked until the end."""
    opened = settings.registry == "open"
    states = finance.guarantees.states(conn, dossiers.heads["inventory.assureCode"])
    return Standing(_used(conn, dossiers, law), states, opened)


def _used(conn: psycopg.Connection, dossiers: Dossiers, law: policy.Law) -> pl.DataFrame:
    """What the buyers' calendar year holds: buyer, used_fen."""
    source, values = store.unnest("k", dossiers.heads.select(buyer=buyer_key()).unique())
    sql = f"""SELECT a.* FROM {source} CROSS JOIN LATERAL (
            SELECT a.buyer, a.used_fen FROM allowance a
            WHERE a.buyer = k.buyer AND a.year = {law.day.year} OFFSET 0
        ) AS a"""
    return store.fetch(conn, sql, values, {"buyer": pl.String, "used_fen": pl.Int64})


def _invt_numbers(
    conn: psycopg.Connection,
    lists: pl.DataFrame,
    bodies: Mapping[str, Body],
    settings: Settings,
) -> pl.DataFrame:
    """invtNo of lists received: customs office, year, I, nine digits (CEB specification)."""
    offices = dossier.body_heads(
        conn, "inventory", lists.select("case", "id"), ("customsCode",), bodies
    ).sort("case")
    serials = store.numbers(conn, "invt_serial", offices.height)
    year = settings.day.year
    tail = [f"{year}I{serial:09d}" for serial in serials]
    return offices.select("id", invt_no=pl.col("customsCode") + pl.Series(tail, dtype=pl.String))


def expired(conn: psycopg.Connection, settings: Settings) -> Round:
    """Refuse the lists whose match window has ended, naming the documents that never came."""
    waiting = dossier.waiting_since(conn, settings.at_ms - settings.match_window_ms)
    part = Round(pl.DataFrame())
    if waiting.is_empty():
        return part
    missing = dossier.missing(conn, waiting)
    findings = f.shaped(missing.rename({"id": "case"}), severity=f.ERROR)
    refusals = texts.refusals(findings).select(document_id="case", said="info")
    part.findings.append(findings)
    part.events.append(
        steps.on(waiting, 1, ACCEPTED, REFUSED, settings.at_ms)
        .join(refusals, on="document_id", maintain_order="left")
        .with_columns(info="said")
        .select(*steps.EVENTS)
    )
    return part
