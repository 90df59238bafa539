"""A synthetic history of any size, in the schema of ``tongguan export history``.

Parcels are drawn column by column from a counter (SplitMix64), so the same seed gives the same
history. What is *recorded* of them cannot be drawn: it comes from the kernel, run over each
buyer's year in order (``replay.walk``). A replay of it therefore proves nothing about the kernel,
only that engine, files and order keep what they were given; that recorded decisions are those of
clearing is shown with a cleared twin in the tests.
"""

import sys
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa

from tongguan import codes, policy
from tongguan.clearance import ZONE
from tongguan.replay.files import Writer
from tongguan.replay.judge import View, came_back, in_order
from tongguan.replay.schema import BUCKETS
from tongguan.replay.walk import LINE_AMOUNTS, walk

GROUP = 100_000
"""Parcels made at a time, of buyers who stand next to each other in order of their hash."""
OFFICES = ("2910", "3116", "2216")
SELLERS = 2_000
HEAVY_SHARE, HEAVY_PARCELS, LIGHT_PARCELS = 30, 45, 3
"""Percent of parcels bought by heavy buyers; parcels a year of a heavy and of a light buyer."""
_GOLDEN = 0x9E3779B97F4A7C15


def noise(numbers: pl.Series, salt: int) -> pl.Series:
    """A random UInt64 for each number and salt (SplitMix64)."""
    z = numbers.cast(pl.UInt64) + pl.Series([(salt * _GOLDEN) & (2**64 - 1)], dtype=pl.UInt64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ (z // 2**shift)) * pl.Series([factor], dtype=pl.UInt64)
    return z ^ (z // 2**31)


def below(numbers: pl.Series, salt: int, most: int) -> pl.Series:
    """A random integer from 0 to ``most`` - 1 for each number."""
    return (noise(numbers, salt) // 2**11 % most).cast(pl.Int64)


def sixteen_bytes(bucket: pl.Series, number: pl.Series) -> pl.Series:
    """Keyed hashes as they might be: two bytes of bucket, fourteen more."""
    swapped = (bucket % 256) * 256 + bucket // 256
    first = noise(number, 901) // 2**16 * 2**16 + swapped.cast(pl.UInt64)
    both = pl.DataFrame({"a": first, "b": noise(number, 902)}).select(
        pl.concat_list("a", "b").explode()
    )
    buffer = both.to_series().rechunk().to_arrow().buffers()[1]
    array = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), bucket.len(), [None, buffer])
    return pl.Series(pl.from_arrow(array.cast(pa.binary())))


def heads(group: int, groups: int, count: int, seed: int, year: int) -> pl.DataFrame:
    """The parcels of one group of buyers, in order of list."""
    number = pl.Series(range(group * GROUP, group * GROUP + count), dtype=pl.Int64)
    salt = seed * 1_000
    heavy = below(number, salt + 1, 100) < HEAVY_SHARE
    crowd = {
        True: count * HEAVY_SHARE // 100 // HEAVY_PARCELS + 1,
        False: count // LIGHT_PARCELS + 1,
    }
    who = pl.select(
        pl.when(heavy)
        .then(below(number, salt + 2, crowd[True]))
        .otherwise(below(number, salt + 2, crowd[False]) + crowd[True])
    ).to_series()
    first, last = BUCKETS * group // groups, BUCKETS * (group + 1) // groups
    bucket = first + below(who + group * 2 * GROUP, salt + 3, last - first)
    start = int(datetime(year, 1, 1, tzinfo=ZONE).timestamp()) * 1000
    days = (date(year + 1, 1, 1) - date(year, 1, 1)).days
    minute = below(number, salt + 4, days * 1440)
    office = below(number, salt + 5, len(OFFICES))
    back = below(number, salt + 6, 100) < 2
    seller = below(number, salt + 7, SELLERS)
    freight = pl.select(
        pl.when(back).then(0).otherwise(below(number, salt + 8, 4) * 600)
    ).to_series()
    frame = pl.DataFrame(
        {
            "list": number + 1,
            "bucket": bucket,
            "buyer": sixteen_bytes(bucket, who + group * 2 * GROUP),
            "batch": minute,
            "place": number + 1,
            "accepted_ms": minute * 60_000 + start,
            "office": office,
            "seller_no": seller,
            "freight_fen": freight,
            "back": back,
            "eligible": below(number, salt + 9, 100) > 0,
            "direct": below(number, salt + 10, 100) < 30,
        }
    )
    return _named(frame, year)


def _named(frame: pl.DataFrame, year: int) -> pl.DataFrame:
    """With the columns that only name things."""
    local = pl.from_epoch(pl.col("accepted_ms") + 8 * 3_600_000, time_unit="ms")
    offices = dict(enumerate(OFFICES))
    zones = {n: codes.zone_of(None, office, None) for n, office in offices.items()}
    seller = pl.format("3301960{}", pl.col("seller_no").cast(pl.String).str.zfill(4))
    return frame.with_columns(
        day=local.dt.date(),
        month=local.dt.strftime("%Y-%m"),
        zone=pl.col("office").replace_strict(zones, return_dtype=pl.String),
        customs=pl.col("office").replace_strict(offices, return_dtype=pl.String),
        port=pl.col("office").replace_strict(offices, return_dtype=pl.String),
        decided_ms="accepted_ms",
        released_ms="accepted_ms",
        ordered=local.dt.strftime("%Y%m%d%H%M%S"),
        entered=local.dt.strftime("%Y%m%d"),
        order_no=pl.format("D{}{}", pl.lit(year), pl.col("list").cast(pl.String).str.zfill(11)),
        invt_no=pl.lit(None, pl.String),
        platform=pl.lit("3301960P01"),
        seller=seller,
        seller_name=pl.format("卖家{}有限公司", "seller_no"),
        carrier=pl.lit("3301960L01"),
        agent=pl.lit("3301960D01"),
        guarantor=pl.lit("3301960D01"),
        mode=pl.when("direct").then(pl.lit("9610")).otherwise(pl.lit("1210")),
        freight=money("freight_fen"),
        insured=pl.lit(0).cast(pl.Decimal(19, 5)),
        cancelled=pl.lit(value=False),
    )


def money(fen: str) -> pl.Expr:
    return (pl.col(fen).cast(pl.Decimal(19, 5)) / pl.lit(100).cast(pl.Decimal(19, 5))).cast(
        pl.Decimal(19, 5)
    )


def lines(parcels: pl.DataFrame, law: policy.Law, seed: int) -> pl.DataFrame:
    """One to three lines of each parcel, of codes the tariff of the day knows."""
    salt = seed * 1_000
    number = parcels["list"]
    count = (below(number, salt + 20, 6) // 2).clip(0, 2) + 1
    known = law.tariff.filter(pl.col("ct_condition").is_null() & (pl.col("ct_specific_micro") == 0))
    goods = known.select(gcode="code", unit1="unit1", unit2="unit2").with_row_index("goods")
    items = (
        parcels.select("row", "list", "bucket")
        .with_columns(gnum=pl.int_ranges(1, count + 1))
        .explode("gnum")
    )
    each = items["list"] * 4 + items["gnum"]
    qty = pl.Series("qty", (below(each, salt + 22, 5) - 1).clip(1, 4))
    items = items.with_columns(
        goods=below(each, salt + 21, goods.height).cast(goods["goods"].dtype),
        qty=qty.cast(pl.Decimal(19, 5)),
        total_fen=below(each, salt + 23, 50_000) + 1_000,
        unit=pl.lit("011"),
    )
    return items.join(goods, on="goods", how="left", maintain_order="left").with_columns(
        totalPrice=money("total_fen"),
        price=pl.lit(None, pl.Decimal(19, 5)),
        qty1="qty",
        qty2=pl.when(pl.col("unit2").is_not_null()).then("qty"),
        line=pl.int_range(pl.len(), dtype=pl.Int64),
    )


def returns(parcels: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Some parcels come back whole, ten to forty days later; freight is free for those."""
    some = parcels.filter("back").select(
        *("row", "year", "zone", "month"),
        document=pl.col("list") + 10**12,
        kind=pl.lit("return"),
        batch=pl.col("batch") + 14_400 + pl.col("list") % 43_200,
        place=pl.col("list") + 10**12,
    )
    nothing = pl.lit(0).cast(pl.Decimal(19, 5))
    pieces = items.select("row", "list", "bucket", "gnum", "qty", basis_fen="total_fen")
    return pieces.join(some, on="row").with_columns(
        at_ms=pl.col("batch") * 60_000, before=nothing, whole="qty", restored_fen=pl.lit(0)
    )


def group(
    number: int, groups: int, count: int, seed: int, known: policy.Policy, year: int
) -> Iterator[tuple[str, pl.DataFrame]]:
    """(dataset, its rows with zone and month) of one group of buyers."""
    drawn = heads(number, groups, count, seed, year)
    parcels = in_order(drawn, View()).with_columns(policy=pl.lit(known.hash), law_day="day")
    items = lines(parcels, known.on(date(year, 6, 1)), seed)
    pieces = returns(parcels, items)
    back = came_back(pieces, parcels)
    decided = walk(parcels, items, back, lambda _, day: known.on(day))
    whole = parcels.hstack(decided.heads.drop("row", "parcel_tax_fen")).with_columns(
        status=pl.when("refused").then(100).otherwise(800),
        released_ms=pl.when(~pl.col("refused")).then("released_ms"),
    )
    place = whole.select("row", "zone", "month", "refused", "list", "bucket")
    taxed = items.hstack(decided.lines.select(LINE_AMOUNTS).get_columns())
    told = decided.findings.with_columns(document=pl.lit("inventory"), law=pl.lit(None, pl.String))
    other = parcels.filter(~pl.col("eligible")).select(
        *("row", pl.lit("match.amount").alias("rule"), pl.lit("error").alias("severity")),
        *(pl.lit("payment").alias("document"), pl.lit("amountPaid").alias("field")),
    )
    tables = {
        "parcels": whole,
        "lines": taxed.join(place.select("row", "zone", "month"), on="row"),
        "findings": pl.concat([told, other], how="diagonal").join(place, on="row"),
        "returns": pieces.drop("basis_fen", "restored_fen")
        .join(taxed.select("row", "gnum", *LINE_AMOUNTS), on=["row", "gnum"])
        .join(place.filter(~pl.col("refused")).select("row"), on="row", how="semi")
        .join(decided.restored, on="document"),
        "events": whole.select(
            *("zone", "month", "list", "bucket", pl.lit(1).alias("seq"), pl.lit(0).alias("before")),
            after=pl.lit(2),
            at_ms="accepted_ms",
        ),
    }
    for dataset, rows in tables.items():
        numbered = [
            name
            for name in ("bucket", "list", "document", "gnum", "rule", "seq")
            if name in rows.columns
        ]
        yield dataset, rows.sort(numbered)


def make(folder: Path, parcels: int, seed: int = 1, year: int = 2022) -> None:
    """Write a history of so many parcels of one year into a new folder."""
    known = policy.load()
    groups = max(1, parcels // GROUP)
    with Writer(folder) as writer:
        left = parcels
        for number in range(groups):
            count = left if number == groups - 1 else GROUP
            left -= count
            for dataset, rows in group(number, groups, count, seed, known, year):
                for (zone, month), part in rows.group_by("zone", "month", maintain_order=True):
                    writer.write(dataset, str(zone), str(month), part)
        writer.policies({known.hash: known})
        writer.finish(None, None)


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]))
