"""The report: one HTML file a policy maker can read, print and pass on; Chinese first.

Nothing is loaded from elsewhere and no script is needed. Every chart stands beside its table and
the definition of what is counted.
"""

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from tongguan import codes
from tongguan.replay import charts
from tongguan.replay.service import Replayed

Facts = dict[str, Any]
Cell = str | int
TAX_NAMES = {
    "duty": ("关税", "customs duty"),
    "consumption": ("消费税", "consumption tax"),
    "vat": ("增值税", "VAT"),
    "parcel_tax": ("行邮税", "parcel tax"),
}
REGIMES = {
    "retail-import": ("跨境电商零售进口", "retail import"),
    "general-trade": ("按一般贸易全额征税", "taxed in full"),
    "parcel-tax": ("行邮税", "parcel tax"),
    "refused": ("退单", "refused"),
}


def page(replayed: Replayed) -> str:
    """The whole file."""
    facts = replayed.facts
    style = (files(__package__) / "report.css").read_text(encoding="utf-8")
    title = escape(facts["draft"] or "按现行法规重演 Replay under the law in force")
    body = "".join(
        (
            _head(facts),
            _headline(facts),
            _changes(facts),
            _rules(facts),
            _tax(facts),
            _months(facts),
            _places(facts, "zones", "zone", ("按试验区", "by pilot zone"), _zone_name),
            _places(
                facts, "companies", "seller", ("受影响最大的电商企业", "companies most affected")
            ),
            _places(facts, "goods", "gcode", ("受影响最大的商品", "goods most affected")),
            _people(facts),
            _examples(facts),
            _definitions(),
        )
    )
    return (
        '<!DOCTYPE html>\n<html lang="zh-CN"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{style}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


# ── pieces ───────────────────────────────────────────────────────────────────────────────────


def _both(zh: str, en: str) -> str:
    """Both languages; what is the same in both is said once."""
    return escape(zh) + (f' <span class="en">{escape(en)}</span>' if en != zh else "")


def _section(title: tuple[str, str], *parts: str) -> str:
    return f"<section><h2>{_both(*title)}</h2>{''.join(parts)}</section>"


def _note(zh: str, en: str) -> str:
    return f'<p class="note">{escape(zh)}<br><span class="en">{escape(en)}</span></p>'


def _lead(zh: str, en: str) -> str:
    return f'<p class="lead">{escape(zh)}<br><span class="en">{escape(en)}</span></p>'


def _table(heads: Sequence[tuple[str, str]], rows: Iterable[Sequence[Cell]], texts: int = 1) -> str:
    """A table whose first ``texts`` columns are words and whose others are figures.

    A cell that begins with "<" is markup made here; any other is escaped.
    """
    head = "".join(
        f'<th scope="col"{"" if n < texts else _FIGURE}>{escape(zh)}<br>'
        f'<span class="en">{escape(en)}</span></th>'
        for n, (zh, en) in enumerate(heads)
    )
    body = "".join(
        "<tr>" + "".join(_cell(cell, n < texts) for n, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    inner = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="wide"><table>{inner}</table></div>'


_FIGURE = ' class="figure"'


class Markup(str):
    """Text that is HTML already."""


def _cell(value: Cell, text: bool) -> str:
    shown = f"{value:,}" if isinstance(value, int) else value
    inner = shown if isinstance(shown, Markup) else escape(shown)
    return f"<td>{inner}</td>" if text else f"<td{_FIGURE}>{inner}</td>"


def _pair(zh: str, en: str) -> Markup:
    return Markup(_both(zh, en))


def money(yuan: str) -> str:
    """Yuan with commas between thousands.

    >>> money("1234567.80"), money("-0.50")
    ('1,234,567.80', '-0.50')
    """
    sign, rest = ("-", yuan[1:]) if yuan.startswith("-") else ("", yuan)
    whole, part = rest.split(".")
    return f"{sign}{int(whole):,}.{part}"


def _fen(yuan: str) -> int:
    return int(yuan.replace(".", ""))


def change(pair: dict[str, str]) -> str:
    """By how much the draft's amount differs, with its sign.

    >>> change({"base": "10.00", "draft": "8.50"}), change({"base": "1.00", "draft": "1.00"})
    ('−1.50', '0.00')
    """
    fen = _fen(pair["draft"]) - _fen(pair["base"])
    sign = "" if not fen else "+" if fen > 0 else "−"
    return f"{sign}{money(f'{abs(fen) // 100}.{abs(fen) % 100:02d}')}"


# ── sections ─────────────────────────────────────────────────────────────────────────────────


def _head(facts: Facts) -> str:
    asked = f"{facts['from'] or '…'} – {facts['to'] or '…'}"
    zone = _zone_name(facts["zone"]) if facts["zone"] else _both("全部试验区", "all zones")
    if facts["reproduced"]:
        sound = '<p class="sound">✓ ' + _both(
            "按当时法规重演，与记录逐分一致",
            "Replayed under the law in force: every recorded decision reproduced to the fen",
        )
    else:
        sound = (
            '<p class="unsound">✕ '
            + _both(
                "重演与记录不符，以下数字不可采信",
                "The record is not reproduced: do not rely on this",
            )
            + f"<br>{escape(facts['first_difference'])}"
        )
    title = facts["draft"] or "按现行法规重演"
    return (
        f'<header><p class="kind">'
        f"{_both('政策草案影响测算', 'What a draft policy would have done')}"
        f"</p><h1>{escape(title)}</h1><p>{_both('清单受理日期', 'accepted')} {asked} · {zone} · "
        f"{facts['parcels']:,} {_both('份清单', 'parcels')}</p>{sound}</p></header>"
    )


def _changes(facts: Facts) -> str:
    if not facts["changes"]:
        return ""
    rows = [
        (
            _pair(each["name"]["zh"], each["name"]["en"]),
            Markup(f'<span class="day">{each["from"]}</span>'),
            _pair(each["before"]["zh"], each["before"]["en"]),
            _pair(each["after"]["zh"], each["after"]["en"]),
        )
        for each in facts["changes"]
    ]
    heads = (("参数", "parameter"), ("自", "from"), ("现行", "law in force"), ("草案", "draft"))
    return _section(("草案改了什么", "what the draft changes"), _table(heads, rows, texts=4))


def _headline(facts: Facts) -> str:
    newly = facts["refused"]["draft"] - facts["refused"]["base"]
    cards = (
        (
            ("结果或税款改变的清单", "parcels whose decision changes"),
            f"{facts['changed']:,}",
            f"{_share(facts['changed'], facts['parcels'])}",
        ),
        (
            ("退单净增", "more refusals, net"),
            f"{newly:+,}".replace("-", "−"),
            f"{facts['refused']['base']:,} → {facts['refused']['draft']:,}",
        ),
        (
            ("税款变化（元）", "change of tax (yuan)"),
            change(facts["tax"]),
            f"{money(facts['tax']['base'])} → {money(facts['tax']['draft'])}",
        ),
        (
            ("新超限额的消费者", "buyers newly over a limit"),
            f"{facts['buyers']['newly_over']:,}",
            f"/ {facts['buyers']['all']:,}",
        ),
    )
    shown = "".join(
        f'<div class="card"><p>{_both(*name)}</p><p class="big">{escape(figure)}</p>'
        f'<p class="small">{escape(small)}</p></div>'
        for name, figure, small in cards
    )
    said = _lead(
        f"若实施此草案，{facts['parcels']:,} 份清单中 {facts['changed']:,} 份的结果或税款改变"
        f"（{_share(facts['changed'], facts['parcels'])}），税款变化 {change(facts['tax'])} 元。",
        f"Under the draft {facts['changed']:,} of {facts['parcels']:,} parcels would have been "
        f"decided otherwise, and tax would have changed by {change(facts['tax'])} yuan.",
    )
    return f'{said}<section class="cards">{shown}</section>'


def _share(part: int, whole: int) -> str:
    """A share as a percentage with two decimals, rounded half up, exactly."""
    hundredths = (part * 20_000 + whole) // (2 * whole) if whole else 0
    return f"{hundredths // 100}.{hundredths % 100:02d}%"


def _rules(facts: Facts) -> str:
    rows = []
    for rule, moved in facts["by_rule"].items():
        known = codes.rule(rule)
        name = Markup(f"{_both(known.zh, known.en)}<br><code>{escape(rule)}</code>")
        rows.append((name, moved["newly_refused"], moved["no_longer_refused"]))
    ways = [
        (
            _pair(*REGIMES.get(each["base"], (each["base"],) * 2)),
            _pair(*REGIMES.get(each["draft"], (each["draft"],) * 2)),
            each["parcels"],
        )
        for each in facts["by_regime"]
    ]
    newly, no_longer = ("新退单", "newly refused"), ("不再退单", "no longer refused")
    empty = _note("没有清单的审核结果改变。", "No parcel's outcome changes.")
    return _section(
        ("按规则", "by rule"),
        _table((("规则", "rule"), newly, no_longer), rows) if rows else empty,
        _table(
            (("现行结果", "outcome now"), ("草案下", "under the draft"), ("清单", "parcels")),
            ways,
            texts=2,
        )
        if ways
        else "",
        _note(
            "一份清单触发几条规则就计入几条；只计结果在两种法规下不同的清单。",
            "A parcel counts once for each rule that refuses it; only parcels refused under one "
            "law and not under the other are counted.",
        ),
    )


def _tax(facts: Facts) -> str:
    kinds = [
        (TAX_NAMES[tax], each)
        for tax, each in facts["tax_by_kind"].items()
        if _fen(each["base"]) or _fen(each["draft"])
    ]
    names = [zh for (zh, _), _ in kinds]
    values = [(_fen(each["base"]), _fen(each["draft"])) for _, each in kinds]
    shown = [money(each[side]) for _, each in kinds for side in ("base", "draft")]
    rows = [
        (_pair(*name), money(each["base"]), money(each["draft"]), change(each))
        for name, each in [*kinds, (("合计", "total"), facts["tax"])]
    ]
    chart = charts.bars(
        [(name, *pair) for name, pair in zip(names, values, strict=True)],
        "税款 tax",
        "元 yuan",
        shown,
    )
    heads = (("税种", "tax"), ("现行", "law in force"), ("草案", "draft"), ("变化", "change"))
    return _section(
        ("税款（元）", "tax (yuan)"),
        f"<figure>{_LEGEND}{chart}</figure>" if kinds else "",
        _table(heads, rows),
        _note(
            "放行清单的应征税款，未扣退货退回的部分；退单和已撤销的清单不计。",
            "Tax of parcels let through, before what returns take back; refused and cancelled "
            "parcels owe none.",
        ),
    )


_LEGEND = (
    f'<figcaption><span class="key" style="background:{charts.BASE}"></span>'
    f"{_both('现行', 'law in force')} "
    f'<span class="key" style="background:{charts.DRAFT}"></span>{_both("草案", "draft")}'
    "</figcaption>"
)
_COUNTED = (
    ("清单", "parcels"),
    ("改变", "changed"),
    ("新退单", "newly refused"),
    ("不再退单", "no longer refused"),
)
_TAXED = (("现行税款", "tax now"), ("草案税款", "tax under the draft"), ("变化", "change"))


def _counts(each: Facts) -> tuple[Cell, ...]:
    counted = each["parcels"] if "parcels" in each else each["lines"]
    return (counted, each["changed"], each["newly_refused"], each["no_longer_refused"])


def _taxes(each: Facts) -> tuple[Cell, ...]:
    return (money(each["tax"]["base"]), money(each["tax"]["draft"]), change(each["tax"]))


def _months(facts: Facts) -> str:
    months = facts["months"]
    if not months:
        return ""
    chart = charts.columns(
        [each["month"] for each in months],
        [each["newly_refused"] for each in months],
        "每月新退单 newly refused by month",
        "清单 parcels",
    )
    rows = [(each["month"], *_counts(each), *_taxes(each)) for each in months]
    any_refused = len(months) > 1 and any(each["newly_refused"] for each in months)
    return _section(
        ("按月", "by month"),
        f"<figure><figcaption>{_both('每月新退单', 'newly refused, by month of acceptance')}"
        f"</figcaption>{chart}</figure>"
        if any_refused
        else "",
        _table((("月份", "month"), *_COUNTED, *_TAXED), rows),
    )


def _zone_name(code: str) -> Markup:
    zones = codes.table("zone")
    if code not in zones:
        return _pair("试验区不详", "zone not known")
    entry = zones.get(code)
    return Markup(escape(f"{entry.name_zh} {entry.name_en}".strip()))


def _places(facts: Facts, key: str, column: str, title: tuple[str, str], name: Any = None) -> str:
    rows = []
    for each in facts[key]:
        code = each[column] or ""
        shown = name(code) if name else Markup(escape(each["name"] or ""))
        lost = (money(each["lost"]),) if "lost" in each else ()
        named = Markup(f"{shown}<br><code>{escape(code)}</code>")
        rows.append((named, *_counts(each), *lost, *_taxes(each)))
    if not rows:
        return ""
    extra = (("新退单货值", "value newly refused"),) if "lost" in facts[key][0] else ()
    counted = _COUNTED if "parcels" in facts[key][0] else (("商品项", "lines"), *_COUNTED[1:])
    return _section(title, _table((("名称", "name"), *counted, *extra, *_TAXED), rows))


def _people(facts: Facts) -> str:
    buyers, returns = facts["buyers"], facts["returns"]
    rows: list[tuple[Cell, Cell]] = [
        (_pair("消费者", "buyers"), buyers["all"]),
        (_pair("新超限额", "newly over a limit"), buyers["newly_over"]),
        (_pair("不再超限额", "no longer over a limit"), buyers["no_longer_over"]),
        (_pair("退货", "returns"), returns["all"]),
        (_pair("受影响的退货", "returns affected"), returns["affected"]),
        (_pair("其中原清单在草案下退单", "of these, the parcel would be refused"), returns["void"]),
        (
            _pair("退货退回税款，现行（元）", "tax returned now, yuan"),
            money(returns["tax"]["base"]),
        ),
        (
            _pair("退货退回税款，草案（元）", "tax returned under the draft, yuan"),
            money(returns["tax"]["draft"]),
        ),
    ]
    return _section(
        ("消费者与退货", "buyers and returns"),
        _table((("项目", "what"), ("数", "figure")), rows),
        _note(
            "超限额：有清单因年度限值退单，或超限后按一般贸易全额征税。",
            "Over a limit: a purchase was refused for the annual limit, or taxed in full.",
        ),
    )


def _examples(facts: Facts) -> str:
    directions = {
        "newly_refused": ("新退单", "newly refused"),
        "no_longer_refused": ("不再退单", "no longer refused"),
        "otherwise": ("税款改变", "taxed otherwise"),
    }
    rows = []
    for each in facts["examples"]:
        why = ""
        if each["expected"] is not None or each["actual"] is not None:
            why = f"{each['expected'] or '—'} / {each['actual'] or '—'}"
        rows.append(
            (
                Markup(f"<code>{escape(each['order_no'])}</code><br>{each['day']}"),
                Markup(
                    f"{escape(each['seller_name'] or '')}<br><code>{escape(each['rule'])}</code>"
                ),
                _pair(*directions[each["direction"]]),
                why,
                money(each["value"]),
                f"{money(each['used']['base'])} / {money(each['used']['draft'])}",
                money(each["tax"]["base"]),
                money(each["tax"]["draft"]),
            )
        )
    if not rows:
        return ""
    heads = (
        *(("订单", "order"), ("企业 · 规则", "company · rule"), ("变化", "change")),
        *(
            ("应为 / 实为", "expected / actual"),
            ("货值", "value"),
            ("年度已用 现行/草案", "year used"),
        ),
        *(("现行税款", "tax now"), ("草案税款", "tax then")),
    )
    return _section(("例", "examples"), _table(heads, rows, texts=4))


def _definitions() -> str:
    return _section(
        ("怎样算出", "how it was computed"),
        _note(
            "每份记录在案的清单按受理时的法规和草案各算一遍，用的是放行时的同一个计算内核；"
            "同一消费者同一年度内按决定先后逐份扣减限额，退货和撤销在其发生时返还。"
            "三单比对、身份、担保等法规以外的结果照记录不变。"
            "买家和卖家在新规下可能改变行为，本测算不作推测。",
            "Every recorded parcel was decided twice by the kernel that clears parcels: under the "
            "law of its day and under the draft. Within a buyer's year parcels are taken in the "
            "order in which they were decided, and returns and cancellations give back when they "
            "happened. Outcomes outside the law (matching, identity, guarantee) stay as recorded. "
            "Buyers and sellers may act otherwise under a new rule; this is not guessed.",
        ),
    )
