"""Clearing an archive of messages anew, in memory: parse, check, match, decide.

Documents hang together by what they name: an order and its payment, a waybill, a list, and the
buyer whose year is taken. Documents that do not hang together cannot change each other's fate, so
an archive falls into *families* that are cleared apart, on any number of machines, each in the
order in which its documents came. What comes out is what ``clear`` decides with an open registry
and without looking at signatures, on an empty database, at one time.

A family in which each name is declared once is decided in one go: its lists in the order in which
they become complete. Where something is changed, deleted, repeated or shared, its documents are
taken one by one, side by side with those of other such families.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path

import polars as pl

from tongguan import codes, messages, policy
from tongguan.clearance import dossier, steps
from tongguan.clearance.accept import KEY, NEW, accept
from tongguan.clearance.decide import Decisions, Standing, decide
from tongguan.clearance.examine import IN_MEMORY
from tongguan.clearance.intake import DOCUMENTS, POSITIONS, Body, prepare
from tongguan.clearance.kinds import KINDS
from tongguan.clearance.rounds import MET
from tongguan.clearance.steps import ACCEPTED, PASSED, RECEIVED, REFUSED, RELEASED
from tongguan.replay.reproduce import LAW_RULES
from tongguan.replay.schema import bucket, datasets
from tongguan.replay.walk import LINE_AMOUNTS

ORDER, PAYMENT, WAYBILL, INVENTORY = (
    KINDS[name].number for name in ("order", "payment", "waybill", "inventory")
)
FOUR = ("order", "payment", "waybill", "inventory")
NAMES: Mapping[int, Mapping[str, str]] = {
    ORDER: {"key": "O", "ref": "P"},
    PAYMENT: {"key": "P", "ref": "O"},
    WAYBILL: {"key": "W"},
    INVENTORY: {"key": "L", "ref": "O", "way": "W"},
}
"""What each kind names: the pairs of its columns, and what they are the name of."""
Numbered = tuple[int, Path]
"""A message file and its place in the order of arrival."""


@dataclass(frozen=True, slots=True)
class Papers:
    """Documents that were parsed and checked: those of the four kinds that keep their form.

    documents: intake.DOCUMENTS with doc, the place in the order of arrival. bodies: by kind.
    """

    documents: pl.DataFrame
    bodies: Mapping[str, Body]


@dataclass(frozen=True, slots=True)
class Cleared:
    """What was decided: one entry of each for every time documents were decided.

    members: case, id, kind of the four documents of each case. waiting: lists that still wait.
    """

    decided: Sequence[tuple[pl.DataFrame, Decisions]]
    waiting: int


def parse(files: Iterable[Numbered], key: bytes) -> Papers:
    """Parse and check message files. key: of the hashes of personal numbers (32 bytes)."""
    numbered = list(files)
    desk = replace(IN_MEMORY, digest=partial(_hashed, key=key))
    limits = messages.Limits()
    named = ((str(path), _read(path, limits.bytes + 1)) for _, path in numbered)
    batch = prepare(named, desk, limits, "ignored")
    ranks = dict(zip((str(path) for _, path in numbered), numbered, strict=True))
    order = [ranks[message.name][0] for message in batch.incoming]
    rank = pl.Series(order, dtype=pl.Int64)
    four = [KINDS[name].number for name in FOUR]
    declared = pl.col("valid") & (pl.col("app_status") == steps.DECLARED)
    documents = batch.documents.with_columns(
        arrival=rank.gather(batch.documents["message"]) * POSITIONS + pl.col("position")
    ).filter(declared & pl.col("kind").is_in(four))
    new = documents.select("doc", "arrival")
    bodies = {name: _renumbered(batch.bodies[name], new) for name in FOUR if name in batch.bodies}
    arrived = documents.drop("doc").rename({"arrival": "doc"})
    return Papers(arrived.with_columns(case="doc"), bodies)


def _read(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        return file.read(most)


def frames(papers: Papers) -> dict[str, pl.DataFrame]:
    """The papers as frames by name, each with doc; ``gathered`` makes papers of them again."""
    found = {"documents": papers.documents}
    for kind, body in papers.bodies.items():
        found[f"{kind}.heads"] = body.heads
        if body.lines is not None:
            found[f"{kind}.lines"] = body.lines
    return found


def gathered(found: Mapping[str, pl.DataFrame]) -> Papers:
    """Papers of the frames that ``frames`` makes, or of some rows of them."""
    bodies = {
        kind: Body(KINDS[kind], found[f"{kind}.heads"], found.get(f"{kind}.lines"))
        for kind in FOUR
        if f"{kind}.heads" in found
    }
    return Papers(found["documents"], bodies)


def no_documents() -> pl.DataFrame:
    return pl.DataFrame(schema=DOCUMENTS | {"doc": pl.Int64})


def _hashed(column: pl.Series, key: bytes) -> pl.Series:
    known = {
        value: blake2b(value.encode(), key=key, digest_size=16).hexdigest()
        for value in column.drop_nulls().unique()
    }
    return column.replace_strict(known, default=None, return_dtype=pl.String)


def _renumbered(body: Body, new: pl.DataFrame) -> Body:
    def of(frame: pl.DataFrame) -> pl.DataFrame:
        joined = frame.join(new, on="doc", maintain_order="left")
        return joined.drop("doc").rename({"arrival": "doc"})

    return Body(body.kind, of(body.heads), None if body.lines is None else of(body.lines))


# ── what hangs together ──────────────────────────────────────────────────────────────────────


def links(papers: Papers) -> pl.DataFrame:
    """doc, name: everything each document names."""
    found = [pl.DataFrame(schema={"doc": pl.Int64, "name": pl.Int64})]
    for kind, pairs in NAMES.items():
        mine = papers.documents.filter(pl.col("kind") == kind)
        for pair, letter in pairs.items():
            both = pl.concat_str(pl.lit(letter), f"{pair}_a", f"{pair}_b", separator="\x1f")
            found.append(_named(mine, both))
    if "inventory" in papers.bodies:
        heads = papers.bodies["inventory"].heads
        buyer = pl.concat_str(pl.lit("B"), "buyerIdNumber_digest", separator="\x1f")
        found.append(_named(heads, buyer))
    return pl.concat(found)


def _named(frame: pl.DataFrame, name: pl.Expr) -> pl.DataFrame:
    """doc, name as a number. Two names of one number would join families, which changes nothing
    but their size."""
    named = frame.select("doc", name=name).drop_nulls()
    return named.with_columns(pl.col("name").hash(0).reinterpret(signed=True))


def families(named: pl.DataFrame) -> pl.DataFrame:
    """doc, family (the first document that hangs together with it). named: as from ``links``."""
    labels = named.select("doc").unique().with_columns(family="doc")
    while True:
        labelled = named.join(labels, on="doc")
        least = labelled.group_by("name").agg(pl.col("family").min())
        found = named.join(least, on="name").group_by("doc").agg(pl.col("family").min())
        if found.join(labels, on=["doc", "family"], how="anti").is_empty():
            return found.sort("doc")
        labels = found


# ── clearing ─────────────────────────────────────────────────────────────────────────────────


def clear(papers: Papers, family: pl.DataFrame, law: policy.Law) -> Cleared:
    """Clear whole families under the law of one day. family: doc, family of these documents."""
    documents = papers.documents.join(family, on="doc").sort("doc")
    knotty = documents.select("family", knotty=_knotty()).filter("knotty").select("family").unique()
    plain = documents.join(knotty, on="family", how="anti", maintain_order="left")
    rest = documents.join(knotty, on="family", how="semi", maintain_order="left")
    desk = _Table(papers.bodies, law)
    desk.take(plain)
    # One document of each family at a time: families do not see each other.
    turns = rest.with_columns(turn=pl.col("doc").cum_count().over("family"))
    for turn in turns.partition_by("turn", maintain_order=True):
        desk.take(turn.drop("turn"))
    return Cleared(desk.decided, desk.waiting)


def _knotty() -> pl.Expr:
    """Whether a document may change what becomes of another of its key, or meets two of a name."""
    again = [
        pl.struct("kind", f"{pair}_a", f"{pair}_b").is_duplicated()
        & pl.all_horizontal(pl.col(f"{pair}_a", f"{pair}_b").is_not_null())
        for pair in ("key", "ref", "way")
    ]
    return (pl.col("app_type") != NEW) | pl.any_horizontal(again)


class _Table:
    """Open documents and buyers' years while documents are taken in their order."""

    def __init__(self, bodies: Mapping[str, Body], law: policy.Law) -> None:
        self._bodies, self._law = bodies, law
        self.decided: list[tuple[pl.DataFrame, Decisions]] = []
        self._used = pl.DataFrame(schema={"buyer": pl.String, "used_fen": pl.Int64})
        self._open = pl.DataFrame(schema=dossier.LIFE)
        self._current = pl.DataFrame(schema=MET)

    @property
    def waiting(self) -> int:
        return self._open.filter(pl.col("kind") == INVENTORY).height

    def take(self, arriving: pl.DataFrame) -> None:
        """Take documents; decide what they complete. arriving: of each family in its order."""
        if arriving.is_empty():
            return
        met = self._current.join(arriving.select(KEY).unique(), on=KEY, how="semi")
        taken = accept(arriving, met)
        gone = pl.Series(taken.superseded, dtype=pl.Int64)
        self._drop(gone)
        fresh = arriving.join(taken.documents.filter("accepted", "current"), on="doc")
        if fresh.is_empty():
            return
        life = dossier.arriving(fresh.with_columns(message_id="message"), 0)
        self._open = pl.concat([self._open, life])
        now = fresh.select(
            *("kind", "key_a", "key_b", "app_time"),
            id="doc",
            status=pl.lit(ACCEPTED, pl.Int64),
            released=pl.lit(value=False),
        ).drop_nulls(["key_a", "key_b"])
        self._current = pl.concat([self._current, now.select(*MET)])
        self._decide()

    def _drop(self, ids: pl.Series) -> None:
        self._open = self._open.filter(~pl.col("id").is_in(ids.implode()))
        self._current = self._current.filter(~pl.col("id").is_in(ids.implode()))

    def _decide(self) -> None:
        lists = self._open.filter(pl.col("kind") == INVENTORY)
        complete = dossier.complete(None, lists, self._open, self._bodies)
        if complete is None:
            return
        decisions = decide(complete.dossiers, self._law, Standing(self._used))
        self.decided.append((complete.members, decisions))
        self._take_of_years(decisions)
        outcome = complete.members.join(decisions.heads.select("case", "refused"), on="case")
        is_list = pl.col("kind") == INVENTORY
        passed = outcome.filter(~pl.col("refused"))
        turned = outcome.filter(is_list & pl.col("refused"))
        closed = pl.concat([passed["id"], turned["id"]])
        self._open = self._open.filter(~pl.col("id").is_in(closed.implode()))
        moved = pl.concat(
            [
                passed.select(
                    "id", now=pl.when(is_list).then(RELEASED).otherwise(RECEIVED).cast(pl.Int64)
                ),
                turned.select("id", now=pl.lit(REFUSED, pl.Int64)),
            ]
        )
        self._current = (
            self._current.join(moved, on="id", how="left", maintain_order="left")
            .with_columns(status=pl.coalesce("now", "status"))
            .drop("now")
        )

    def _take_of_years(self, decisions: Decisions) -> None:
        held = decisions.heads.filter(pl.col("counted_fen") > 0)
        now = held.group_by("buyer").agg(used_fen=pl.col("used_after_fen").max())
        self._used = pl.concat([self._used.join(now, on="buyer", how="anti"), now])


# ── what was decided, as history ─────────────────────────────────────────────────────────────

_HEAD = {
    "order_no": "orderNo",
    "platform": "ebpCode",
    "seller": "ebcCode",
    "seller_name": "ebcName",
    "carrier": "logisticsCode",
    "agent": "agentCode",
    "guarantor": "assureCode",
    "customs": "customsCode",
    "port": "portCode",
    "mode": "tradeMode",
    "freight": "freight",
    "insured": "insuredFee",
    "entered": "ieDate",
    "area": "areaCode",
}
_AMOUNTS = (
    *("regime", "refused", "eligible", "value_fen", "duty_fen", "consumption_fen", "vat_fen"),
    *("total_fen", "counted_fen", "used_before_fen", "used_after_fen"),
)


def history(
    cleared: Cleared, papers: Papers, law: policy.Law, at_ms: int
) -> dict[str, pl.DataFrame]:
    """The datasets of a history, with zone and month, sorted as its files are."""
    decided = [_decided(*each, papers, law, at_ms) for each in cleared.decided]
    found = {}
    for dataset in datasets():
        empty = _none(dataset)
        frames = [empty, *(each[dataset].select(empty.columns) for each in decided)]
        together = pl.concat([frame.cast(empty.schema) for frame in frames])
        found[dataset] = together.sort("bucket", "list", maintain_order=True)
    return found


def _decided(
    members: pl.DataFrame, decisions: Decisions, papers: Papers, law: policy.Law, at_ms: int
) -> dict[str, pl.DataFrame]:
    is_list = pl.col("kind") == INVENTORY
    about = members.group_by("case").agg(
        list=pl.col("id").filter(is_list).first(),
        order=pl.col("id").filter(pl.col("kind") == ORDER).first(),
        place=pl.col("id").max(),
    )
    bodies = papers.bodies
    listed = bodies["inventory"].heads.select(list="doc", **_HEAD)
    ordered = bodies["order"].heads.select(order="doc", ordered="appTime")
    heads = decisions.heads.with_columns(pl.col("case").cast(pl.Int64))
    parcels = (
        heads.select("case", *_AMOUNTS, buyer=pl.col("buyer").str.decode("hex"))
        .join(about, on="case")
        .join(listed, on="list")
        .join(ordered, on="order")
        .with_columns(
            bucket=bucket(pl.col("buyer")),
            batch=pl.lit(0, pl.Int64),
            day=pl.lit(law.day),
            month=pl.lit(f"{law.day:%Y-%m}"),
            policy=pl.lit(law.hash),
            accepted_ms=pl.lit(at_ms),
            decided_ms=pl.lit(at_ms),
            released_ms=pl.when(~pl.col("refused")).then(at_ms),
            status=pl.when("refused").then(REFUSED).otherwise(RELEASED),
            cancelled=pl.lit(value=False),
            invt_no=pl.lit(None, pl.String),
        )
    )
    parcels = parcels.with_columns(_zones(parcels))
    placed = parcels.select("case", "list", "bucket", "zone", "month")
    items = bodies["inventory"].lines
    assert items is not None
    amounts = decisions.lines.select(pl.col("case").cast(pl.Int64), "gnum", *LINE_AMOUNTS)
    lines = amounts.join(placed, on="case").join(
        items.rename({"doc": "list"}).drop("case"), on=["list", "gnum"], maintain_order="left"
    )
    plain = decisions.findings.with_columns(
        pl.when(pl.col("rule").str.contains(LAW_RULES)).then(name).alias(name)
        for name in ("expected", "actual")
    )
    return {
        "parcels": parcels,
        "lines": lines,
        "findings": plain.join(placed, on="case", maintain_order="left"),
        "returns": _none("returns"),
        "events": _events(parcels, at_ms),
    }


def _none(dataset: str) -> pl.DataFrame:
    return pl.DataFrame(schema=datasets()[dataset].polars | {"zone": pl.String, "month": pl.String})


def _events(parcels: pl.DataFrame, at_ms: int) -> pl.DataFrame:
    """The steps of lists, as clearing takes them: a millisecond apart."""
    steps_ = pl.DataFrame(_STEPS, schema=["refused", "seq", "before", "after"], orient="row")
    told = parcels.select("list", "bucket", "zone", "month", "refused")
    return told.join(steps_, on="refused").with_columns(at_ms=at_ms + pl.col("seq") - 1)


_STEPS = [
    *((True, 1, 0, ACCEPTED), (True, 2, ACCEPTED, REFUSED)),
    *((False, 1, 0, ACCEPTED), (False, 2, ACCEPTED, RECEIVED)),
    *((False, 3, RECEIVED, PASSED), (False, 4, PASSED, RELEASED)),
]


def _zones(parcels: pl.DataFrame) -> pl.Series:
    places = parcels.select("area", "customs", "agent")
    known = {row: codes.zone_of(*row) for row in places.unique().iter_rows()}
    return pl.Series("zone", [known[row] for row in places.iter_rows()], dtype=pl.String)
