"""The rules of clearance that compare documents: pure functions over columns.

A *form* rule looks at one document (its frame has ``case``, the document's elements); a *match*
rule looks at a dossier: ``Dossiers.heads`` has one row per case, the elements of its list, order,
payment and waybill under ``inventory.…``, ``order.…``, ``payment.…``, ``waybill.…``. Each returns
findings (see ``findings.SCHEMA``) and is named after its rule id, dots and hyphens as underscores.

Sources: CEB specification 202205 (311: acturalPaid = goodsValue + freight + taxTotal − discount,
equal to the amount paid; 621: lines correspond one to one with the order's), the observed logic
checks of the customs system (1320, 1322, 1327, 1332, 13127, 130126) and GACC notice 2018-194
(transaction, payment and logistics data must agree with the list).
"""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from tongguan.clearance import findings as f

Rule = Callable[["Dossiers"], pl.DataFrame]
LINE_TOLERANCE_YUAN = "0.01"


@dataclass(frozen=True, slots=True)
class Dossiers:
    """Complete dossiers, one row per case (``case`` ascending in order of completion).

    heads: case; inventory.<element>, order.<element>, payment.<element>, waybill.<element>;
    personal elements masked, with a ``…_digest`` beside them; inventory.identity_valid.
    inventory_lines, order_lines: case, gnum and the elements of the lines.
    """

    heads: pl.DataFrame
    inventory_lines: pl.DataFrame
    order_lines: pl.DataFrame


def _text(expression: pl.Expr) -> pl.Expr:
    return expression.cast(pl.String)


def _yuan(expression: pl.Expr) -> pl.Expr:
    """A decimal as people write money: at least two decimals, no superfluous zeros."""
    return _text(expression).str.replace(r"(\.\d{2}\d*?)0+$", "$1")


# ── form rules ──────────────────────────────────────────────────────────────────────────────


def order_total(heads: pl.DataFrame) -> pl.DataFrame:
    """order.total: acturalPaid = goodsValue + freight + taxTotal − discount (CEB311)."""
    # A sum of decimals keeps the scale of its terms; one more digit leaves room for the carry.
    wide = {
        name: pl.col(name).cast(pl.Decimal(38, 5))
        for name in ("goodsValue", "freight", "taxTotal", "discount", "acturalPaid")
    }
    total = wide["goodsValue"] + wide["freight"] + wide["taxTotal"] - wide["discount"]
    return f.shaped(
        heads.filter(total != wide["acturalPaid"]).select(
            "case", expected=_yuan(total), actual=_yuan(wide["acturalPaid"])
        ),
        rule="order.total",
        severity=f.ERROR,
        document="order",
        field="acturalPaid",
    )


def list_line_total(lines: pl.DataFrame) -> pl.DataFrame:
    """list.line-total: a line's totalPrice is qty × price within 0.01 yuan (CEB621)."""
    # qty and price carry five decimals each: as integers their product is exact at 10⁻¹⁰.
    scaled = {
        name: (pl.col(name).cast(pl.Decimal(38, 5)) * 100_000).cast(pl.Int128)
        for name in ("qty", "price", "totalPrice")
    }
    product = scaled["qty"] * scaled["price"]
    gap = (product - scaled["totalPrice"] * 100_000).abs()
    wrong = lines.filter(gap > 100_000_000).with_columns(
        product=(product + 50_000).floordiv(100_000)
    )
    whole, part = pl.col("product") // 100_000, pl.col("product") % 100_000
    return f.shaped(
        wrong.select(
            "case",
            "gnum",
            expected=_yuan(pl.format("{}.{}", whole, part.cast(pl.String).str.zfill(5))),
            actual=_yuan(pl.col("totalPrice")),
        ),
        rule="list.line-total",
        severity=f.ERROR,
        document="inventory",
        field="totalPrice",
    )


# ── match rules ─────────────────────────────────────────────────────────────────────────────


def _differs(
    dossiers: Dossiers, rule: str, expected: str, actual: str, *, personal: bool = False
) -> pl.DataFrame:
    """Cases in which two elements differ; personal ones are compared by digest, shown masked."""
    suffix = "_digest" if personal else ""
    document, field = actual.split(".", 1)
    shown = pl.col(actual)
    if personal:
        shown = (
            pl.when(pl.col(actual) == pl.col(expected))
            .then(pl.format("{} (differs in the masked part)", pl.col(actual)))
            .otherwise(pl.col(actual))
        )
    return f.shaped(
        dossiers.heads.filter(pl.col(expected + suffix).ne_missing(pl.col(actual + suffix))).select(
            "case", expected=_text(pl.col(expected)), actual=_text(shown)
        ),
        rule=rule,
        severity=f.ERROR,
        document=document,
        field=field,
    )


def match_item_count(dossiers: Dossiers) -> pl.DataFrame:
    """match.item-count (1320): list and order have the same number of lines."""

    def count(lines: pl.DataFrame, name: str) -> pl.DataFrame:
        return lines.group_by("case").agg(pl.len().alias(name))

    counts = count(dossiers.order_lines, "expected").join(
        count(dossiers.inventory_lines, "actual"), on="case"
    )
    return f.shaped(
        counts.filter(pl.col("expected") != pl.col("actual")).sort("case"),
        rule="match.item-count",
        severity=f.ERROR,
        document="inventory",
        field="InventoryList",
    )


def match_items(dossiers: Dossiers) -> pl.DataFrame:
    """match.items (1322): for each gnum, qty and totalPrice of list and order are equal."""
    pairs = dossiers.order_lines.select("case", "gnum", "qty", "totalPrice").join(
        dossiers.inventory_lines.select("case", "gnum", "qty", "totalPrice"),
        on=["case", "gnum"],
        suffix="_list",
    )
    return f.together(
        f.shaped(
            pairs.filter(pl.col(name) != pl.col(f"{name}_list"))
            .sort("case", "gnum")
            .select("case", "gnum", expected=_yuan(name_), actual=_yuan(pl.col(f"{name}_list"))),
            rule="match.items",
            severity=f.ERROR,
            document="inventory",
            field=name,
        )
        for name, name_ in (("qty", pl.col("qty")), ("totalPrice", pl.col("totalPrice")))
    )


def match_buyer_name(dossiers: Dossiers) -> pl.DataFrame:
    """match.buyer-name (13127): list and order name the same buyer."""
    return _differs(dossiers, "match.buyer-name", "order.buyerName", "inventory.buyerName")


def match_buyer_phone(dossiers: Dossiers) -> pl.DataFrame:
    """match.buyer-phone (130126): list and order give the buyer's same telephone."""
    return _differs(
        dossiers,
        "match.buyer-phone",
        "order.buyerTelephone",
        "inventory.buyerTelephone",
        personal=True,
    )


def match_buyer_id(dossiers: Dossiers) -> pl.DataFrame:
    """match.buyer-id: list and order name the buyer's same identity document, type and number."""
    return f.together(
        (
            _differs(dossiers, "match.buyer-id", "order.buyerIdType", "inventory.buyerIdType"),
            _differs(
                dossiers,
                "match.buyer-id",
                "order.buyerIdNumber",
                "inventory.buyerIdNumber",
                personal=True,
            ),
        )
    )


def match_payer(dossiers: Dossiers) -> pl.DataFrame:
    """match.payer (1327): the payer is the order's buyer, by name and identity number."""
    return f.together(
        (
            _differs(dossiers, "match.payer", "order.buyerName", "payment.payerName"),
            _differs(
                dossiers,
                "match.payer",
                "order.buyerIdNumber",
                "payment.payerIdNumber",
                personal=True,
            ),
        )
    )


def match_amount(dossiers: Dossiers) -> pl.DataFrame:
    """match.amount (1332): the amount paid is the order's acturalPaid."""
    differing = dossiers.heads.filter(
        pl.col("order.acturalPaid") != pl.col("payment.amountPaid")
    ).select(
        "case",
        expected=_yuan(pl.col("order.acturalPaid")),
        actual=_yuan(pl.col("payment.amountPaid")),
    )
    return f.shaped(
        differing,
        rule="match.amount",
        severity=f.ERROR,
        document="payment",
        field="amountPaid",
    )


def match_waybill_order(dossiers: Dossiers) -> pl.DataFrame:
    """match.waybill-order: the waybill the list names carries this order."""
    return _differs(dossiers, "match.waybill-order", "inventory.orderNo", "waybill.orderNo")


def buyer_identity(dossiers: Dossiers) -> pl.DataFrame:
    """buyer.identity: an identity number of type 1 passes its check digit and date (GB 11643)."""
    return f.shaped(
        dossiers.heads.filter(~pl.col("inventory.identity_valid")).select(
            "case", actual=pl.col("inventory.buyerIdNumber")
        ),
        rule="buyer.identity",
        severity=f.ERROR,
        document="inventory",
        field="buyerIdNumber",
        expected="18 characters with a real birth date and the check digit of GB 11643",
    )


MATCH_RULES: tuple[Rule, ...] = (
    match_item_count,
    match_items,
    match_buyer_name,
    match_buyer_phone,
    match_buyer_id,
    match_payer,
    match_amount,
    match_waybill_order,
    buyer_identity,
)
