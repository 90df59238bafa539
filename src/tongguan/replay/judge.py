"""One bucket: the whole history of some buyers, decided under the law that was in force and under
a draft, compared with the record and with each other. Local threads and Spark executors run this
very function.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import polars as pl

from tongguan import policy
from tongguan.replay import reproduce, tally
from tongguan.replay.files import build
from tongguan.replay.tally import Tally
from tongguan.replay.walk import walk

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "parcels": (
        *("list", "bucket", "buyer", "batch", "place", "day", "policy", "order_no", "invt_no"),
        *(
            "ordered",
            "entered",
            "seller",
            "seller_name",
            "mode",
            "freight",
            "insured",
            "eligible",
            "refused",
            "regime",
        ),
        *("value_fen", "duty_fen", "consumption_fen", "vat_fen", "total_fen", "counted_fen"),
        *("used_before_fen", "used_after_fen", "cancelled"),
    ),
    "lines": (
        *("list", "bucket", "gnum", "gcode", "qty", "qty1", "unit1", "qty2", "unit2"),
        *("totalPrice", "goods_fen", "charges_fen", "basis_fen", "duty_fen", "consumption_fen"),
        *("vat_fen", "parcel_tax_fen"),
    ),
    "findings": ("list", "bucket", "rule", "field", "gnum", "expected", "actual"),
    "returns": (
        *("list", "bucket", "document", "kind", "batch", "place", "gnum", "qty", "before"),
        *("whole", "basis_fen", "restored_fen"),
    ),
}
"""What a replay reads of each dataset; of parcels also zone and month, from the path."""


@dataclass(frozen=True)
class Laws:
    """The policies of a replay, by the recorded hash.

    recorded: the policy it stands for. drafts: the draft laid over that; none: only whether the
    record is reproduced is asked.
    """

    recorded: Mapping[str, policy.Policy]
    drafts: Mapping[str, policy.Draft]

    def of(self, name: str, day: date) -> policy.Law:
        """The law of a day. name: a recorded hash; after DRAFT: with the draft."""
        if name.startswith(DRAFT):
            return self.drafts[name.removeprefix(DRAFT)].policy.on(day)
        return self.recorded[name].on(day)

    def in_force(self, parcels: pl.DataFrame) -> pl.DataFrame:
        """The parcels with the law that decided: policy as recorded, law_day."""
        return parcels.with_columns(law_day="day")

    def drafted(self, parcels: pl.DataFrame) -> pl.DataFrame:
        """The parcels with the law that the draft gives them: policy, law_day; in order."""
        facts = parcels.select(
            *("row", "policy", "zone"),
            accepted="day",
            ordered=pl.col("ordered").str.head(8).str.to_date("%Y%m%d", strict=False),
            entered=pl.col("entered").str.head(8).str.to_date("%Y%m%d", strict=False),
            tradeMode="mode",
        )
        governed = [
            mine.select("row", policy=pl.lit(str(digest))).hstack(
                self.drafts[str(digest)].governing(mine).select("drafted", law_day="day")
            )
            for (digest,), mine in facts.group_by("policy")
        ]
        empty = pl.DataFrame(schema={"row": pl.Int64, "policy": pl.String, "law_day": pl.Date})
        named = [
            each.select(
                "row",
                policy=pl.when("drafted")
                .then(pl.lit(DRAFT) + pl.col("policy"))
                .otherwise("policy"),
                law_day="law_day",
            )
            for each in governed
        ]
        chosen = pl.concat([empty, *named]).sort("row")
        return parcels.with_columns(chosen["policy"], chosen["law_day"])


DRAFT = "draft:"
"""Goes before a recorded hash to name the draft laid over that policy."""


@dataclass(frozen=True, slots=True)
class View:
    """Which parcels are counted: accepted on these days (both inclusive; None: no limit), in this
    zone (None: all). The others are decided too, because a buyer's year is one sequence."""

    since: date | None = None
    until: date | None = None
    zone: str | None = None

    def flag(self) -> pl.Expr:
        day = pl.col("day")
        flag = pl.lit(value=True)
        if self.since is not None:
            flag = flag & (day >= self.since)
        if self.until is not None:
            flag = flag & (day <= self.until)
        if self.zone is not None:
            flag = flag & (pl.col("zone") == self.zone)
        return flag.alias("viewed")


Judge = Callable[[Mapping[str, pl.DataFrame]], Tally]
"""What is done to one bucket."""

Editions = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class Brief:
    """All that one who judges must be told, in values that travel between machines.

    policies: by recorded hash the tables beside the package's own (name, content). draft: its
    YAML, if there is one. Called with the datasets of one bucket, it judges them.
    """

    policies: tuple[tuple[str, Editions], ...]
    draft: str | None
    view: View

    @classmethod
    def of(
        cls, editions: Mapping[str, Mapping[str, bytes]], draft: str | None, view: View
    ) -> "Brief":
        named = ((digest, tuple(sorted(tables.items()))) for digest, tables in editions.items())
        return cls(tuple(sorted(named)), draft, view)

    @property
    def laws(self) -> Laws:
        """Built once in each process. Raises policy.DraftErrors."""
        return _laws(self.policies, self.draft)

    def __call__(self, datasets: Mapping[str, pl.DataFrame]) -> Tally:
        return judge(datasets, self.laws, self.view)


@lru_cache(maxsize=4)
def _laws(policies: tuple[tuple[str, Editions], ...], draft: str | None) -> Laws:
    recorded = {digest: build(dict(tables)) for digest, tables in policies}
    if draft is None:
        return Laws(recorded, {})
    return Laws(recorded, {name: policy.draft(draft, base) for name, base in recorded.items()})


def judge(datasets: Mapping[str, pl.DataFrame], laws: Laws, view: View) -> Tally:
    """What a draft changes for the buyers of one bucket.

    datasets: COLUMNS of each, all rows of these buyers, in any order; parcels with zone and month.
    """
    parcels = in_order(datasets["parcels"], view)
    rows = parcels.select("list", "row", "year")
    lines = datasets["lines"].join(rows.drop("year"), on="list").sort("row", "gnum")
    lines = lines.with_columns(line=pl.int_range(pl.len(), dtype=pl.Int64))
    findings = datasets["findings"].join(rows, on="list")
    pieces = datasets["returns"].join(rows, on="list")
    back = came_back(pieces, parcels)
    base = walk(laws.in_force(parcels), lines, back, laws.of)
    draft = walk(laws.drafted(parcels), lines, back, laws.of) if laws.drafts else base
    difference = reproduce.first_difference(parcels, lines, findings, back, base)
    parts = pieces.filter(pl.col("kind") == "return").join(
        lines.select("row", "gnum", "line"), on=["row", "gnum"]
    )
    return tally.count(parcels, lines, back, parts, base, draft, difference)


def in_order(parcels: pl.DataFrame, view: View) -> pl.DataFrame:
    """The parcels that matter, each buyer's year in order of decision, as ``walk`` takes them."""
    calendar = pl.col("day").dt.year().alias("calendar")
    dated = parcels.with_columns(calendar, view.flag())
    if view.since is not None:
        dated = dated.filter(pl.col("calendar") >= view.since.year)
    if view.until is not None:
        dated = dated.filter(pl.col("calendar") <= view.until.year)
    years = (
        dated.select("buyer", "calendar")
        .unique()
        .with_columns(year=pl.int_range(pl.len(), dtype=pl.Int64))
    )
    return (
        dated.join(years, on=["buyer", "calendar"])
        .sort("year", "batch", "place", "list")
        .with_columns(row=pl.int_range(pl.len(), dtype=pl.Int64))
    )


def came_back(pieces: pl.DataFrame, parcels: pl.DataFrame) -> pl.DataFrame:
    """What came back, document by document, each with the parcel of its year that comes next."""
    back = (
        pieces.group_by("document")
        .agg(
            pl.col("row", "year", "kind", "batch", "place", "restored_fen").first(),
            pl.col("basis_fen").sum(),
        )
        .sort("document")
    )
    columns = ("year", "batch", "place")
    around = parcels.join(back, on="year", how="semi").select(*columns, id="list", next_row="row")
    entries = pl.concat([around, back.select(*columns, id="document")], how="diagonal")
    following = entries.sort(*columns, "id").select(
        document="id",
        returned=pl.col("next_row").is_null(),
        next_row=pl.col("next_row").backward_fill().over("year"),
    )
    found = following.filter("returned").drop("returned")
    return back.join(found, on="document", how="left", maintain_order="left")
