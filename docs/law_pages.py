"""The pages of docs/law: paragraph -> parameter -> rule -> case, in Chinese and in English.

Made from the parameters, the dictionary of rules and the cases of tests/law together, so that a
lawyer can follow each number of the system to its paragraph and to cases worked out by hand.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tongguan import codes, policy
from tongguan.policy import words
from tongguan.policy.goods_status import RELIEFS, STATUS_WORDS

CASES = Path(__file__).resolve().parent.parent / "tests" / "law"

NOTICES = {
    "Customs notice 2018 No. 194": "海关总署公告2018年第194号",
    "Customs notice 2020 No. 45": "海关总署公告2020年第45号",
}
"""How the dictionary of rules names notices, and how the parameters do."""

STANDS_ON = {
    "limit.single": (
        "retail-import.limit-single",
        "retail-import.limit-boundary",
        "retail-import.over-single-one-item",
        "retail-import.over-single-many-items",
        "retail-import.single-item-unit",
    ),
    "limit.annual": (
        "retail-import.limit-annual",
        "retail-import.limit-boundary",
        "retail-import.over-annual",
    ),
    "goods.not-listed": ("positive-list",),
    "goods.bonded-only": ("positive-list",),
    "goods.list-incomplete": ("positive-list",),
    "goods.unknown-code": ("import.regime", "tariff"),
    "goods.tax-quantity": (
        "consumption-tax.cosmetics-price-per-gram",
        "consumption-tax.cosmetics-price-per-sheet",
        "consumption-tax.watches-price-each",
        "tariff",
    ),
    "match.order-missing": ("matching.window-days",),
    "match.payment-missing": ("matching.window-days",),
    "match.waybill-missing": ("matching.window-days",),
}
"""The parameters and tables that a rule applies, where its own line does not name one."""

STANDARD = "报文规范与国家标准"
ACTS = {
    "apply": codes.Text("申请退货", "applied for a return"),
    "arrive": codes.Text("退货运抵", "returned goods on site"),
    "due": codes.Text("税款到期", "tax due"),
    "fee": codes.Text("滞纳金", "late fee"),
    "claim": codes.Text("执行担保", "claim on the guarantee"),
}
TITLES = {
    "zh": ("条文、参数、规则与案例", "参数", "规则", "案例", "未核实", "起"),
    "en": (
        *("Paragraphs, parameters, rules and cases", "Parameters", "Rules", "Cases"),
        *("not confirmed", "from"),
    ),
}


@dataclass
class Paragraph:
    """What stands on one paragraph of one notice."""

    law: str
    values: list[policy.Value] = field(default_factory=list)
    rules: list[codes.Rule] = field(default_factory=list)
    cases: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)


def law_pages(known: policy.Policy) -> dict[str, str]:
    """The index and the page of each language: path below docs/ -> text."""
    found = paragraphs(known)
    return {
        "law/index.md": _index(found),
        **{f"law/{language}.md": _page(found, known, language) for language in ("zh", "en")},
    }


def cases() -> list[tuple[str, Mapping[str, Any]]]:
    """Every case of tests/law with the file it stands in, in order of files."""
    return [
        (path.relative_to(CASES).as_posix(), case)
        for path in sorted(CASES.rglob("*.yaml"))
        for case in yaml.safe_load(path.read_text("utf-8"))
    ]


def applied(rule: codes.Rule) -> tuple[str, ...]:
    """The parameters and tables that a rule applies."""
    named = re.fullmatch(r"parameter (\S+)", rule.law)
    return STANDS_ON.get(rule.id) or ((named[1],) if named else ())


def paragraphs(known: policy.Policy) -> list[Paragraph]:
    """Every paragraph with what stands on it, in order of the first day it says something."""
    found: dict[str, Paragraph] = {}

    def at(law: str) -> Paragraph:
        return found.setdefault(law, Paragraph(law))

    laws_of = defaultdict(dict)
    for value in known.timeline():
        for law in value.law.split("; "):
            at(law).values.append(value)
            laws_of[value.parameter][law] = None
    for rule in codes.RULES.values():
        laws = {law: None for parameter in applied(rule) for law in laws_of[parameter]}
        notice = next((zh for en, zh in NOTICES.items() if rule.law.startswith(en)), None)
        for law in laws or {notice or STANDARD: None}:
            at(law).rules.append(rule)
    for file, case in cases():
        law = case["law"]
        at(law if law in found else law.split(":")[0]).cases.append((file, case))
    return list(found.values())


def instrument(law: str) -> str:
    """A notice without the paragraph in it: 财关税〔2016〕18号 of 财关税〔2016〕18号 第三条."""
    return re.sub(r" ?第[一二三四五六七八九十百]+条$", "", law)


def _index(found: Iterable[Paragraph]) -> str:
    groups: dict[str, list[Paragraph]] = defaultdict(list)
    for paragraph in found:
        groups[instrument(paragraph.law)].append(paragraph)
    rows = [
        (
            name,
            min((v.since for p in group for v in p.values), default=""),
            len({(v.parameter, v.since) for p in group for v in p.values}),
            len({r.id for p in group for r in p.rules}),
            sum(len(p.cases) for p in group),
        )
        for name, group in groups.items()
    ]
    total = sum(row[-1] for row in rows)
    head = ("文件 notice", "首日 first day", "参数值 values", "规则 rules", "案例 cases")
    lines = ["| " + " | ".join(head) + " |", "|---|---|--:|--:|--:|"]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(
        [
            "# 法规依据 The law behind the numbers",
            "",
            "每个数字都能顺着 条文 → 参数 → 规则 → 案例 查到出处。[中文](zh.md)",
            "",
            "Every number can be followed from paragraph to parameter to rule to case."
            f" [English](en.md). {total} cases, worked out by hand; the tests run them all.",
            "",
            *lines,
            "",
            "*Made from the parameters, `src/tongguan/codes/data/rules.yaml` and `tests/law/`"
            " by `make docs`.*",
            "",
        ]
    )


def _page(found: Iterable[Paragraph], known: policy.Policy, language: str) -> str:
    title, parameters, rules, case_word, unconfirmed, since = TITLES[language]
    body = [f"# {title}", ""]
    for paragraph in found:
        body += [f"## {paragraph.law}", ""]
        if paragraph.values:
            body += [f"**{parameters}**", ""]
            body += [
                _value_line(value, known, language, unconfirmed, since)
                for value in paragraph.values
            ]
            body.append("")
        if paragraph.rules:
            body += [f"**{rules}**", ""]
            body += [_rule_line(rule, language) for rule in paragraph.rules]
            body.append("")
        if paragraph.cases:
            body += [f"**{case_word}**", ""]
            body += [_case_line(file, case, language) for file, case in paragraph.cases]
            body.append("")
    body += [
        "*Made from the parameters, `src/tongguan/codes/data/rules.yaml` and `tests/law/`"
        " by `make docs`.*",
        "",
    ]
    return "\n".join(body)


def _in(text: codes.Text, language: str) -> str:
    return text.zh if language == "zh" else text.en


def _value_line(
    value: policy.Value, known: policy.Policy, language: str, unconfirmed: str, since: str
) -> str:
    name = _in(words.name(value.parameter, known.parameters), language)
    said = _in(words.said(value, known.parameters), language)
    mark = "" if value.confirmed else f" ({unconfirmed})"
    if value.parameter in known.parameters:
        name = f"[{name}](../parameters.md#{value.parameter.replace('.', '')})"
    when = f"{value.since} {since}" if language == "zh" else f"{since} {value.since}"
    return f"- {name}, {when}: {said}{mark}"


def _rule_line(rule: codes.Rule, language: str) -> str:
    name = rule.zh if language == "zh" else rule.en
    stands = "、".join(f"`{parameter}`" for parameter in applied(rule))
    suffix = f" ← {stands}" if stands else f" ({rule.law})"
    return f"- [`{rule.id}`](../rules.md#{rule.id.replace('.', '')}) {name}{suffix}"


# -- cases -----------------------------------------------------------------------------------------


def _case_line(file: str, case: Mapping[str, Any], language: str) -> str:
    if "act" in case:
        facts = _deadline(case, language)
    elif "status" in case:
        facts = _status(case, language)
    else:
        facts = _basket(case, language)
    return f"- {case[language]}: {facts} (`{file}`)"


def _deadline(case: Mapping[str, Any], language: str) -> str:
    act = _in(ACTS[case["act"]], language)
    released = "放行" if language == "zh" else "released"
    return f"{released} {case['released']}, {act} {case['acted']} → **{case['expected']}**"


def _status(case: Mapping[str, Any], language: str) -> str:
    given = [str(case["day"]), case["code"], case.get("mode", "1210"), case.get("city", "")]
    if "entered" in case:
        given.append(f"{'进区' if language == 'zh' else 'entered'} {case['entered']}")
    status = _in(STATUS_WORDS[case["status"]], language)
    reliefs = "; ".join(_in(RELIEFS[relief], language) for relief in case.get("reliefs", []))
    return f"{', '.join(x for x in given if x)} → **{status}**" + (
        f", {reliefs}" if reliefs else ""
    )


REGIMES = {
    "retail-import": codes.Text("跨境电商零售进口", "retail import"),
    "general-trade": codes.Text("按一般贸易全额征税", "full taxes as general trade"),
    "parcel-tax": codes.Text("行邮税", "parcel tax"),
    "refused": codes.Text("不得以零售进口申报", "refused"),
}
AMOUNTS = {
    "duty": codes.Text("关税", "duty"),
    "consumption": codes.Text("消费税", "consumption tax"),
    "vat": codes.Text("增值税", "VAT"),
    "total": codes.Text("合计", "total"),
}
EXTRAS = {
    "freight": codes.Text("运费", "freight"),
    "insurance": codes.Text("保险费", "insurance"),
    "used": codes.Text("年度已用", "year used"),
    "mode": codes.Text("监管方式", "mode"),
}


def _basket(case: Mapping[str, Any], language: str) -> str:
    given = [str(case["day"]), *(_goods(goods) for goods in case["goods"])]
    given += [f"{_in(name, language)} {case[key]}" for key, name in EXTRAS.items() if key in case]
    return f"{', '.join(given)} → {', '.join(_outcome(case, language))}"


def _goods(goods: Mapping[str, Any]) -> str:
    quantities = " ".join(
        f"{goods[f'qty{n}']}" + (f" [{goods[f'unit{n}']}]" if f"unit{n}" in goods else "")
        for n in ("1", "2")
        if f"qty{n}" in goods
    )
    number = f" × {goods['qty']}" if "qty" in goods else ""
    return f"{goods['code']} {goods['price']}{number}" + (f" ({quantities})" if quantities else "")


def _outcome(case: Mapping[str, Any], language: str) -> Iterator[str]:
    expect = case["expect"]
    yield f"**{_in(REGIMES[expect['regime']], language)}**"
    for key, name in AMOUNTS.items():
        if key in expect:
            yield f"{_in(name, language)} {expect[key]}"
    for rule in expect.get("findings", []):
        yield f"[`{rule}`](../rules.md#{rule.replace('.', '')})"
    if "working" in case:
        yield f"*{case['working']}*"
