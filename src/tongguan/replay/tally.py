"""What a draft would have changed, as sums: of some buyers, and of all by adding them up.

A tally is a set of small frames. Adding is commutative and exact (integers), so the answer does
not depend on how buyers are spread over buckets, cores or machines.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import polars as pl

from tongguan.clearance.returns import share
from tongguan.replay import reproduce
from tongguan.replay.walk import Decided

TAXES = ("duty_fen", "consumption_fen", "vat_fen", "parcel_tax_fen")
EXAMPLES = 5
"""Parcels shown for each rule and direction: the first in order of decision."""
NEWLY_REFUSED, NO_LONGER_REFUSED, OTHER = "newly_refused", "no_longer_refused", "otherwise"
"""Directions of a change; otherwise: taxed in another way or by another amount."""

_CHANGES = ("parcels", "changed", NEWLY_REFUSED, NO_LONGER_REFUSED)
_TAX = ("tax_base_fen", "tax_draft_fen")
KEYS: Mapping[str, tuple[str, ...]] = {
    "totals": (),
    "by_rule": ("rule", "direction"),
    "by_regime": ("base", "draft"),
    "by_tax": ("tax",),
    "by_month": ("month",),
    "by_zone": ("zone",),
    "companies": ("seller",),
    "names": ("seller", "seller_name"),
    "goods": ("gcode",),
}
SUMS: Mapping[str, tuple[str, ...]] = {
    "totals": (
        *(*_CHANGES, "outcome_changed", "tax_changed", "refused_base", "refused_draft"),
        *("buyers", "buyers_newly_over", "buyers_no_longer_over"),
        *("returns", "returns_affected", "returns_void", "returned_base_fen", "returned_draft_fen"),
    ),
    "by_rule": ("parcels",),
    "by_regime": ("parcels",),
    "by_tax": ("base_fen", "draft_fen"),
    "by_month": (*_CHANGES, *_TAX),
    "by_zone": (*_CHANGES, *_TAX),
    "companies": (*_CHANGES, "lost_fen", *_TAX),
    "names": ("parcels",),
    "goods": ("lines", *_CHANGES[1:], "lost_fen", *_TAX),
}
"""Every table's columns that are added; lost_fen: the value of what is newly refused. Of goods
lines are counted, of all others parcels."""
EXAMPLE: dict[str, Any] = {
    **dict.fromkeys(("rule", "direction"), pl.String),
    **dict.fromkeys(("batch", "place", "list"), pl.Int64),
    **dict.fromkeys(("order_no", "invt_no", "zone", "seller", "seller_name"), pl.String),
    "day": pl.Date,
    "value_fen": pl.Int64,
    **dict.fromkeys(("field", "expected", "actual", "regime_base", "regime_draft"), pl.String),
    "gnum": pl.Int64,
    **dict.fromkeys((*_TAX, "used_base_fen", "used_draft_fen"), pl.Int64),
}
_ORDER = ["batch", "place", "list", "gnum", "field"]


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums (tables of KEYS and SUMS), examples (EXAMPLE), and the first difference, if any."""

    tables: Mapping[str, pl.DataFrame]
    examples: pl.DataFrame
    difference: pl.DataFrame

    def to_bytes(self) -> bytes:
        """The tally as bytes for another process."""
        parts = []
        for frame in (*(self.tables[name] for name in KEYS), self.examples, self.difference):
            out = BytesIO()
            frame.write_ipc(out)
            parts.append(out.getvalue())
        return b"".join(len(part).to_bytes(8, "big") + part for part in parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Tally":
        """The tally that ``to_bytes`` wrote."""
        frames, at = [], 0
        while at < len(data):
            size = int.from_bytes(data[at : at + 8], "big")
            frames.append(pl.read_ipc(BytesIO(data[at + 8 : at + 8 + size])))
            at += 8 + size
        *tables, examples, difference = frames
        return cls(dict(zip(KEYS, tables, strict=True)), examples, difference)


def total(tallies: Iterable[Tally]) -> Tally:
    """All of them together; the same whatever their order. At least one is needed."""
    together: Tally | None = None
    few: list[Tally] = []
    for tally in tallies:
        few.append(tally)
        if len(few) == _ADD_AT_ONCE:
            together, few = _add([*([together] if together else []), *few]), []
    return _add([*([together] if together else []), *few])


_ADD_AT_ONCE = 16


def _add(tallies: list[Tally]) -> Tally:
    tables = {name: _summed(name, pl.concat(t.tables[name] for t in tallies)) for name in KEYS}
    examples = pl.concat(t.examples for t in tallies)
    difference = pl.concat(t.difference for t in tallies)
    return Tally(tables, _first(examples), difference.sort(reproduce.ORDER).head(1))


def _summed(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    """The rows of one key added up, in order of the keys."""
    keys, sums = KEYS[name], SUMS[name]
    typed = frame.select(*keys, pl.col(*sums).cast(pl.Int64))
    if not keys:
        return typed.sum()
    return typed.group_by(keys).sum().sort(keys, nulls_last=True)


def _first(examples: pl.DataFrame) -> pl.DataFrame:
    few = examples.sort("rule", "direction", *_ORDER, nulls_last=True)
    few = few.unique(["rule", "direction", "list"], keep="first", maintain_order=True)
    return few.group_by("rule", "direction", maintain_order=True).head(EXAMPLES).select(*EXAMPLE)


# ── counting ─────────────────────────────────────────────────────────────────────────────────


def count(
    parcels: pl.DataFrame,
    lines: pl.DataFrame,
    back: pl.DataFrame,
    pieces: pl.DataFrame,
    base: Decided,
    draft: Decided,
    difference: pl.DataFrame,
) -> Tally:
    """What changes of the parcels in view.

    parcels: as ``walk`` takes them, with zone, month, seller, seller_name, order_no, invt_no,
    cancelled and ``viewed`` (those to be counted). lines: row, gcode. back: document, row, kind.
    pieces: document, line and what came back of it (history returns).
    """
    heads = _compared(parcels, base, draft)
    found = [
        _errors(side, heads, direction)
        for side, direction in ((draft, NEWLY_REFUSED), (base, NO_LONGER_REFUSED))
    ]
    rules = pl.concat(found)
    items = _items(lines, heads, base, draft)
    tables = {
        "totals": _totals(heads).hstack(
            [*_buyers(heads, base, draft), *_returns(heads, back, pieces, base, draft)]
        ),
        "by_rule": rules.unique(["row", "rule", "direction"])
        .group_by("rule", "direction")
        .agg(parcels=pl.len()),
        "by_regime": heads.filter("outcome_changed")
        .group_by(base="fate_base", draft="fate_draft")
        .agg(parcels=pl.len()),
        "by_tax": _by_tax(heads),
        **{
            name: _grouped(heads, key) for name, key in (("by_month", "month"), ("by_zone", "zone"))
        },
        "companies": _grouped(heads, "seller"),
        "names": heads.group_by("seller", "seller_name").agg(parcels=pl.len()),
        "goods": _grouped(items, "gcode"),
    }
    summed = {name: _summed(name, frame) for name, frame in tables.items()}
    return Tally(summed, _examples(heads, rules), difference)


def _compared(parcels: pl.DataFrame, base: Decided, draft: Decided) -> pl.DataFrame:
    """The parcels in view with both outcomes and what of it changed."""
    sides = [
        decided.heads.select(**{f"{name}_{side}": name for name in decided.heads.columns})
        for side, decided in (("base", base), ("draft", draft))
    ]
    heads = pl.concat([parcels, *sides], how="horizontal").filter("viewed")
    let = {side: ~pl.col(f"refused_{side}") for side in ("base", "draft")}
    owed = {side: let[side] & ~pl.col("cancelled") for side in let}
    heads = heads.with_columns(
        *(
            pl.when(owed[side]).then(f"{tax}_{side}").otherwise(0).alias(f"{tax}_{side}")
            for side in owed
            for tax in TAXES
        ),
        *(
            pl.when(let[side])
            .then(f"regime_{side}")
            .otherwise(pl.lit("refused"))
            .alias(f"fate_{side}")
            for side in let
        ),
        **{
            f"tax_{side}_fen": pl.when(owed[side]).then(f"total_fen_{side}").otherwise(0)
            for side in owed
        },
        newly_refused=let["base"] & ~let["draft"],
        no_longer_refused=~let["base"] & let["draft"],
        value_fen="value_fen_base",
    )
    other = pl.any_horizontal(pl.col(f"{t}_base") != pl.col(f"{t}_draft") for t in TAXES)
    return heads.with_columns(
        outcome_changed=pl.col("fate_base") != pl.col("fate_draft"),
        tax_changed=other & let["base"] & let["draft"],
        lost_fen=pl.when(NEWLY_REFUSED).then("value_fen").otherwise(0),
    ).with_columns(changed=pl.col("outcome_changed") | pl.col("tax_changed"))


def _errors(decided: Decided, heads: pl.DataFrame, direction: str) -> pl.DataFrame:
    """The errors that refuse parcels on one side only: row, findings, direction."""
    moved = heads.filter(direction).select("row")
    errors = decided.findings.filter(pl.col("severity") == "error")
    return errors.join(moved, on="row", how="semi").with_columns(direction=pl.lit(direction))


def _totals(heads: pl.DataFrame) -> pl.DataFrame:
    return heads.select(
        parcels=pl.len(),
        **{name: pl.col(name).sum() for name in (*_CHANGES[1:], "outcome_changed", "tax_changed")},
        refused_base=pl.col("refused_base").sum(),
        refused_draft=pl.col("refused_draft").sum(),
    )


def _grouped(frame: pl.DataFrame, key: str) -> pl.DataFrame:
    lost = ["lost_fen"] if key in ("seller", "gcode") else []
    counted = pl.len().alias("lines" if key == "gcode" else "parcels")
    return frame.group_by(key).agg(pl.col(*_CHANGES[1:], *lost, *_TAX).sum(), counted)


def _items(lines: pl.DataFrame, heads: pl.DataFrame, base: Decided, draft: Decided) -> pl.DataFrame:
    """The lines of the parcels in view, with their own value and taxes, and what became of them."""
    flags = heads.select(
        *("row", "changed", NEWLY_REFUSED, NO_LONGER_REFUSED),
        owed_base=~pl.col("refused_base") & ~pl.col("cancelled"),
        owed_draft=~pl.col("refused_draft") & ~pl.col("cancelled"),
    )
    sides = {"base": base.lines, "draft": draft.lines}
    taxes = [
        frame.select(pl.sum_horizontal(TAXES).alias(f"tax_{side}")) for side, frame in sides.items()
    ]
    values = pl.concat(
        [lines.select("row", "gcode"), base.lines.select(lost_fen="basis_fen"), *taxes],
        how="horizontal",
    )
    return values.join(flags, on="row").with_columns(
        lost_fen=pl.when(NEWLY_REFUSED).then("lost_fen").otherwise(0),
        **{
            f"tax_{side}_fen": pl.when(f"owed_{side}").then(f"tax_{side}").otherwise(0)
            for side in sides
        },
    )


def _by_tax(heads: pl.DataFrame) -> pl.DataFrame:
    return pl.concat(
        heads.select(
            tax=pl.lit(tax.removesuffix("_fen")),
            base_fen=pl.col(f"{tax}_base").sum(),
            draft_fen=pl.col(f"{tax}_draft").sum(),
        )
        for tax in TAXES
    )


def _buyers(heads: pl.DataFrame, base: Decided, draft: Decided) -> list[pl.Series]:
    """Buyers who met a limit (refused for the year, or taxed in full) on one side only."""
    met = [
        heads.join(
            side.findings.filter(pl.col("rule") == "limit.annual").select("row").unique(),
            on="row",
            how="left",
            maintain_order="left",
            coalesce=False,
        ).select(
            pl.col("eligible")
            & (pl.col("row_right").is_not_null() | (pl.col(f"fate_{name}") == "general-trade"))
        )
        for name, side in (("base", base), ("draft", draft))
    ]
    each = pl.DataFrame(
        {"buyer": heads["buyer"], "base": met[0].to_series(), "draft": met[1].to_series()}
    )
    sides = each.group_by("buyer").agg(pl.col("base", "draft").any())
    return sides.select(
        buyers=pl.len(),
        buyers_newly_over=(pl.col("draft") & ~pl.col("base")).sum(),
        buyers_no_longer_over=(pl.col("base") & ~pl.col("draft")).sum(),
    ).get_columns()


def _returns(
    heads: pl.DataFrame, back: pl.DataFrame, pieces: pl.DataFrame, base: Decided, draft: Decided
) -> list[pl.Series]:
    """Returns of parcels in view, and the tax that comes back with them."""
    flags = heads.select("row", "refused_base", "refused_draft")
    seen = back.filter(pl.col("kind") == "return").join(flags, on="row")
    parts = pieces.join(seen.select("document", "refused_draft"), on="document")
    returned = {side: _returned(parts, each) for side, each in (("base", base), ("draft", draft))}
    amounts = parts.select("document").with_columns(
        base=returned["base"],
        draft=pl.select(
            pl.when(parts["refused_draft"]).then(0).otherwise(returned["draft"])
        ).to_series(),
    )
    sums = amounts.group_by("document").sum()
    told = seen.join(sums, on="document", how="left").with_columns(
        pl.col("base", "draft").fill_null(0)
    )
    void = pl.col("refused_draft")
    return told.select(
        returns=pl.len(),
        returns_affected=(void | (pl.col("base") != pl.col("draft"))).sum(),
        returns_void=void.sum(),
        returned_base_fen=pl.col("base").sum(),
        returned_draft_fen=pl.col("draft").sum(),
    ).get_columns()


def _returned(parts: pl.DataFrame, decided: Decided) -> pl.Series:
    """What each part of a line takes of the line's taxes, as a return of that day does."""
    due = decided.lines.select(TAXES)[parts["line"]]
    returned = due.select(pl.sum_horizontal(TAXES)).to_series()
    # What comes back whole takes all; only parts need be shared.
    some = parts.select(pl.col("qty") != pl.col("whole")).to_series().arg_true()
    quantities = parts.select("before", "qty", "whole")[some].rows()
    taken = [
        sum(share(amount, before, before + qty, whole) for amount in amounts)
        for amounts, (before, qty, whole) in zip(due[some].iter_rows(), quantities, strict=True)
    ]
    return returned.scatter(some, taken) if taken else returned


def _examples(heads: pl.DataFrame, rules: pl.DataFrame) -> pl.DataFrame:
    """The first parcels of each rule and direction, and of those that are taxed otherwise."""
    other = heads.filter(~pl.col(NEWLY_REFUSED) & ~pl.col(NO_LONGER_REFUSED) & pl.col("changed"))
    unruled = other.select("row", rule=pl.lit("tax"), direction=pl.lit(OTHER))
    every = pl.concat([rules, unruled], how="diagonal")
    named = every.join(
        heads.rename(
            {
                "used_before_fen_base": "used_base_fen",
                "used_before_fen_draft": "used_draft_fen",
            }
        ),
        on="row",
    )
    return _first(named.select(pl.col(name).cast(kind) for name, kind in EXAMPLE.items()))
