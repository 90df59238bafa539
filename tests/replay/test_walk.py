"""Each buyer's year in its order: the columns give what one parcel after the other gives."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongguan import policy
from tongguan.replay import walk as walking
from tongguan.replay.judge import View, came_back, in_order
from tongguan.replay.walk import walk

LOW = {"retail-import.limit-annual": {"2019-01-01": 9000, "2022-07-01": 12000}}
KNOWN = policy.load(parameters=LOW)
FIVE = pl.Decimal(19, 5)
START = date(2021, 12, 20)

entries = st.lists(
    st.fixed_dictionaries(
        {
            "buyer": st.integers(0, 2),
            "day": st.integers(0, 250),
            "yuan": st.sampled_from([800, 2500, 4000, 4999, 5001]),
            "lines": st.integers(1, 2),
            "eligible": st.sampled_from([True, True, True, False]),
            "comes_back": st.sampled_from([None, None, None, 1, 3, 8]),
            "cancelled": st.booleans(),
        }
    ),
    max_size=24,
)


def frames(drawn: list[dict[str, Any]]) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Parcels in order of decision, their lines, and what came back some parcels later."""
    parcels, lines, pieces = [], [], []
    for n, each in enumerate(drawn):
        parcels.append(
            {
                "list": n,
                "buyer": bytes([each["buyer"]] * 16),
                "batch": n // 3 * 10,
                "place": n,
                "day": START + timedelta(days=each["day"]),
                "policy": "p",
                "law_day": START + timedelta(days=each["day"]),
                "mode": "1210",
                "freight": Decimal(0),
                "insured": Decimal(0),
                "eligible": each["eligible"],
            }
        )
        price = Decimal(each["yuan"]) / each["lines"]
        line = {"list": n, "gcode": "1901101090", "totalPrice": price}
        lines += [{**line, "gnum": gnum} for gnum in range(1, each["lines"] + 1)]
        if each["comes_back"] is not None and each["eligible"]:
            pieces.append(
                {
                    "list": n,
                    "document": 1000 + n,
                    "kind": "cancellation" if each["cancelled"] else "return",
                    "batch": (n + each["comes_back"]) // 3 * 10 + 5,
                    "place": 1000 + n,
                    "basis_fen": each["yuan"] * 100,
                    "restored_fen": 0,
                }
            )
    heads = pl.DataFrame(
        parcels,
        schema={
            **dict.fromkeys(("list", "batch", "place"), pl.Int64),
            "buyer": pl.Binary,
            **dict.fromkeys(("day", "law_day"), pl.Date),
            **dict.fromkeys(("policy", "mode"), pl.String),
            **dict.fromkeys(("freight", "insured"), FIVE),
            "eligible": pl.Boolean,
        },
    )
    ordered = in_order(heads.with_columns(zone=pl.lit("001")), View())
    rows = ordered.select("list", "row", "year")
    items = pl.DataFrame(
        lines,
        schema={"list": pl.Int64, "gnum": pl.Int64, "gcode": pl.String, "totalPrice": FIVE},
    )
    items = (
        items.join(rows, on="list")
        .sort("row", "gnum")
        .with_columns(
            qty=pl.lit(1).cast(FIVE),
            qty1=pl.lit(1).cast(FIVE),
            unit1=pl.lit("035"),
            qty2=pl.lit(None, FIVE),
            unit2=pl.lit(None, pl.String),
            line=pl.int_range(pl.len(), dtype=pl.Int64),
        )
    )
    amounts = ("list", "document", "batch", "place", "basis_fen", "restored_fen")
    back = pl.DataFrame(pieces, schema={"kind": pl.String, **dict.fromkeys(amounts, pl.Int64)})
    return ordered, items, came_back(back.join(rows, on="list"), ordered)


def one_by_one(
    parcels: pl.DataFrame, lines: pl.DataFrame, back: pl.DataFrame
) -> tuple[dict[int, tuple[Any, ...]], dict[int, int]]:
    """The same as a clerk would: a running sum per buyer and calendar year."""
    used: dict[tuple[bytes, int], int] = {}
    counted: dict[int, int] = {}
    told: dict[int, tuple[Any, ...]] = {}
    restored: dict[int, int] = {}
    lists = {row["row"]: row for row in parcels.iter_rows(named=True)}
    steps = [(p["batch"], p["place"], p["list"], "list", p) for p in lists.values()]
    steps += [
        (b["batch"], b["place"], b["document"], "back", b) for b in back.iter_rows(named=True)
    ]
    for *_, what, row in sorted(steps, key=lambda step: step[:3]):
        parcel = lists[row["row"]]
        key = parcel["buyer"], parcel["day"].year
        if what == "back":
            took = counted.get(row["row"], 0)
            gives = 0 if not took else took if row["kind"] == "cancellation" else row["basis_fen"]
            restored[row["document"]] = gives
            used[key] = max(0, used.get(key, 0) - gives)
            continue
        law = KNOWN.on(parcel["law_day"])
        held = pl.DataFrame({"buyer": ["x"], "used_fen": [used.get(key, 0)]})
        head = pl.DataFrame(
            [
                {
                    "case": 0,
                    "buyer": "x",
                    "tradeMode": parcel["mode"],
                    "freight": parcel["freight"],
                    "insuredFee": parcel["insured"],
                    "eligible": parcel["eligible"],
                }
            ],
            schema_overrides={"freight": FIVE, "insuredFee": FIVE},
        )
        mine = lines.filter(pl.col("row") == row["row"]).with_columns(case=pl.lit(0, pl.UInt32))
        out = policy.assess(head, mine, law, held).heads.row(0, named=True)
        used[key] = out["used_after_fen"]
        counted[row["row"]] = out["counted_fen"]
        told[row["row"]] = (
            out["regime"],
            out["refused"] or not parcel["eligible"],
            out["total_fen"],
            out["counted_fen"],
            out["used_before_fen"],
            out["used_after_fen"],
        )
    return told, restored


@given(drawn=entries)
@settings(max_examples=25, deadline=None)
def test_columns_decide_as_one_parcel_after_the_other(drawn: list[dict[str, Any]]) -> None:
    parcels, lines, back = frames(drawn)
    decided = walk(parcels, lines, back, lambda _, day: KNOWN.on(day))
    told, restored = one_by_one(parcels, lines, back)
    names = ("regime", "refused", "total_fen", "counted_fen", "used_before_fen", "used_after_fen")
    assert decided.heads["row"].to_list() == sorted(told)
    assert {row[0]: row[1:] for row in decided.heads.select("row", *names).iter_rows()} == told
    assert dict(decided.restored.iter_rows()) == restored
    assert decided.lines["line"].to_list() == lines["line"].to_list()


def test_parts_do_not_cut_a_year(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = [
        {
            "buyer": n % 3,
            "day": n,
            "yuan": 2500,
            "lines": 1 + n % 2,
            "eligible": True,
            "comes_back": 1 if n % 7 == 0 else None,
            "cancelled": False,
        }
        for n in range(24)
    ]
    parcels, lines, back = frames(drawn)
    whole = walk(parcels, lines, back, lambda _, day: KNOWN.on(day))
    monkeypatch.setattr(walking, "CASES_AT_ONCE", 2)
    parts = walk(parcels, lines, back, lambda _, day: KNOWN.on(day))
    assert parts.heads.equals(whole.heads)
    assert parts.lines.equals(whole.lines)
    assert parts.findings.sort("row").equals(whole.findings.sort("row"))
    assert whole.heads["refused"].any()


def test_nothing_is_decided_of_nothing() -> None:
    parcels, lines, back = frames([])
    assert walk(parcels, lines, back, lambda _, day: KNOWN.on(day)).heads.is_empty()
