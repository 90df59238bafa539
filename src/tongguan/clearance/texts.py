"""What receipts say: the returnInfo of each step, in the shape the real system writes.

Source: observed receipts of the customs system. A logic check reads ``[Code:1332;Desc:…]``, an
accepted document ``新增申报成功[GUID]``, an accepted list ``清单新增申报成功[LIST_KEY]``.
"""

import polars as pl

from tongguan import codes
from tongguan.clearance import findings as f
from tongguan.clearance.kinds import KINDS

LIST_KEY = "电商企业编码：{}订单编号：{}"
LIST_WORD = "清单"
CANCELLED = "清单已撤销[撤销申请单企业内部编号：{}]"
"""Of a list that its company withdrew. The standard has no status of its own for it."""
CAME_BACK = "退货已运抵[运抵日期：{};期限：{}]"
NO_OFFICIAL_CODE = -1
"""Stands for a refusal whose rule has no official number."""


def _accepted(status: int, key: pl.Expr) -> pl.Expr:
    receipt = codes.receipt(status)
    act = (
        pl.col("app_type")
        .cast(pl.String)
        .replace_strict(
            {number: text.zh for number, text in receipt.acts.items()},
            default="",
            return_dtype=pl.String,
        )
    )
    template, parts = receipt.zh, {"act": act, "key": key}
    names = sorted((name for name in parts if f"{{{name}}}" in template), key=template.index)
    for name in names:
        template = template.replace(f"{{{name}}}", "{}")
    return pl.format(template, *(parts[name] for name in names))


def acceptance(status: int = 2) -> pl.Expr:
    """The text of a document that is accepted (2) or kept as a draft (1).

    Over columns kind, app_type, guid, key_a, key_b.
    """
    is_list = pl.col("kind") == KINDS["inventory"].number
    key = pl.format(LIST_KEY, pl.col("key_a").fill_null(""), pl.col("key_b").fill_null(""))
    guid = pl.col("guid").fill_null("")
    return (
        pl.when(is_list)
        .then(pl.lit(LIST_WORD) + _accepted(status, key))
        .otherwise(_accepted(status, guid))
    )


def refusals(findings: pl.DataFrame) -> pl.DataFrame:
    """Per refused case: case, status (the first error's official number), info (all errors).

    A refusing text names rule code, what the rule says, the field and both values.
    """
    errors = f.with_codes(findings.filter(pl.col("severity") == f.ERROR))
    rules = errors["rule"].unique().to_list()
    says = pl.col("rule").replace_strict(
        {rule: codes.rule(rule).zh for rule in rules}, return_dtype=pl.String, default=""
    )
    place = (
        pl.when(pl.col("gnum").is_not_null())
        .then(pl.format("第{}项", pl.col("gnum")))
        .otherwise(pl.lit(""))
    )
    expected = pl.format("应为:{}", "expected")
    actual = pl.format("实为:{}", "actual")
    values = pl.concat_str(
        [place + pl.col("field"), expected, actual], separator=",", ignore_nulls=True
    )
    said = pl.format("[Code:{};Desc:{}({})]", "code", says, values)
    number = pl.col("code").cast(pl.Int64, strict=False)
    official = pl.when(number < 0).then(number).otherwise(NO_OFFICIAL_CODE)
    return (
        errors.select("case", status=official, info=said)
        .group_by("case", maintain_order=True)
        .agg(pl.col("status").first(), pl.col("info").str.join(""))
    )
