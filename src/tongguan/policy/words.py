"""Values and changes of the law in words and numbers, Chinese and English, for a lawyer."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any

from tongguan.codes import Text
from tongguan.policy.parameter import Parameter, Value
from tongguan.policy.policy import POSITIVE_LIST, TARIFF, Difference, Policy
from tongguan.policy.positive_list import versions

NONE = Text("无", "none")

_TABLES = {
    TARIFF: Text("税则", "tariff"),
    POSITIVE_LIST: Text("跨境电商零售进口商品清单", "positive list of retail import"),
}
_UNITS = {
    "yuan": Text("元", "yuan"),
    "percent": Text("%", "%"),
    "days": Text("日", "days"),
    "seconds": Text("秒", "seconds"),
}


def name(parameter: str, known: Mapping[str, Parameter]) -> Text:
    """What a parameter, table or line of a list is called."""
    if parameter in known:
        return Text(known[parameter].zh, known[parameter].en)
    if parameter in _TABLES:
        return _TABLES[parameter]
    code = parameter.removeprefix(f"{POSITIVE_LIST}.")
    return Text(f"清单税目 {code}", f"line {code} of the positive list")


def said(value: Value | None, known: Mapping[str, Parameter]) -> Text:
    """A value in words: ``2,000 元``, ``13%``, ``按一般贸易全额征税``; for None, none."""
    if value is None or value.value is None:
        return NONE
    if value.parameter == POSITIVE_LIST:
        return _list(value.text)
    choices = known[value.parameter].choices if value.parameter in known else {}
    if value.text in choices:
        return Text(*choices[value.text])
    if value.unit == "fraction":
        share = value.number * 100
        text = f"{number(share)}%" if share.denominator == 1 else str(value.number)
        return Text(text, text)
    if value.unit in _UNITS:
        return _amount(value.number, value.unit)
    return Text(value.text, value.text)


def number(exact: Fraction) -> str:
    """An exact decimal with commas between thousands; a fraction where it has no decimals."""
    for places in range(7):
        scaled = exact * 10**places
        if scaled.denominator == 1:
            whole, rest = divmod(abs(scaled.numerator), 10**places)
            sign = "-" if exact < 0 else ""
            return f"{sign}{whole:,}" + (f".{rest:0{places}}" if places else "")
    return str(exact)


def _amount(amount: Fraction, unit: str) -> Text:
    figure, words = number(amount), _UNITS[unit]
    if unit == "percent":
        return Text(f"{figure}%", f"{figure}%")
    return Text(f"{figure} {words.zh}", f"{figure} {words.en}")


def _list(names: str) -> Text:
    parts = []
    for one in names.split(" + "):
        version = versions().get(one)
        if version is None:
            parts.append(Text(one, one))
        else:
            parts.append(
                Text(f"{one}（{version.items:,} 个税目）", f"{one} ({version.items:,} lines)")
            )
    return Text("、".join(p.zh for p in parts), " and ".join(p.en for p in parts))


def told(difference: Difference, known: Mapping[str, Parameter]) -> Text:
    """What a change does, as a clause: by how much, what is new, what ends."""
    old, new = difference.before, difference.after
    if old is None or old.value is None:
        return Text("新设", "new")
    if new is None or new.value is None:
        return Text("不再适用", "no longer applies")
    if old.value == new.value:
        return Text("不变", "the same")
    if isinstance(old.value, int | Fraction) and isinstance(new.value, int | Fraction):
        return _by(new.number - old.number, new.unit)
    if isinstance(old.value, date) and isinstance(new.value, date):
        days = (new.value - old.value).days
        if days > 0:
            return Text(f"延后 {days} 日", f"{days} days later")
        return Text(f"提前 {-days} 日", f"{-days} days earlier")
    if new.unit == "codes":
        return _members(old.codes, new.codes)
    return Text("改变", "changed")


def facts(difference: Difference, known: Mapping[str, Parameter]) -> dict[str, Any]:
    """A difference as ``policy diff --json`` writes it: both values, and the change in words."""
    of = name(difference.parameter, known)
    sides = [said(side, known) for side in (difference.before, difference.after)]
    change = told(difference, known)
    return {
        "parameter": difference.parameter,
        "before": difference.before and difference.before.facts(),
        "after": difference.after and difference.after.facts(),
        "zh": f"{of.zh}：{sides[0].zh} → {sides[1].zh}，{change.zh}",
        "en": f"{of.en}: {sides[0].en} → {sides[1].en}, {change.en}",
    }


def _by(delta: Fraction, unit: str) -> Text:
    size = number(abs(delta) * 100 if unit == "fraction" else abs(delta))
    zh, en = ("提高", "more") if delta > 0 else ("降低", "less")
    if unit in ("percent", "fraction"):
        return Text(f"{zh} {size} 个百分点", f"{size} points {en}")
    words = _UNITS[unit]
    return Text(f"{zh} {size} {words.zh}", f"{size} {words.en} {en}")


def _members(old: tuple[str, ...], new: tuple[str, ...]) -> Text:
    added = " ".join(x for x in new if x not in old)
    gone = " ".join(x for x in old if x not in new)
    parts = [
        *([Text(f"增加 {added}", f"added: {added}")] if added else []),
        *([Text(f"减少 {gone}", f"gone: {gone}")] if gone else []),
    ]
    return Text("；".join(p.zh for p in parts), "; ".join(p.en for p in parts))


@dataclass(frozen=True, slots=True)
class Turn:
    """One line of the timeline: what held before (None: nothing), and what holds from then on."""

    before: Value | None
    value: Value


def turns(timeline: Iterable[Value]) -> Iterator[Turn]:
    """The timeline with what each value took the place of."""
    last: dict[str, Value] = {}
    for value in timeline:
        yield Turn(last.get(value.parameter), value)
        last[value.parameter] = value


@dataclass(frozen=True, slots=True)
class LineChange:
    """One line of the positive list that is not the same on two days; None: not listed."""

    code8: str
    name: str
    before: str | None
    after: str | None


def list_changes(known: Policy, before: date, after: date) -> tuple[list[LineChange], bool]:
    """The lines that differ between the lists of two days, and whether both lists are complete."""
    sides = []
    for day in (before, after):
        law = known.on(day)
        rows = law.positive_list.select("code8", "name", "remark").iter_rows()
        sides.append(({code: (title, remark) for code, title, remark in rows}, law))
    (old, law_before), (new, law_after) = sides
    changes = [
        LineChange(
            code,
            (new.get(code) or old[code])[0],
            old[code][1] if code in old else None,
            new[code][1] if code in new else None,
        )
        for code in sorted(old.keys() | new.keys())
        if (code in old and old[code][1]) != (code in new and new[code][1])
        or (code in old) != (code in new)
    ]
    whole = law_before.positive_list_complete and law_after.positive_list_complete
    return changes, whole
