"""What a line of goods is on a day: on the positive list or not, with a remark, in transition.

The list is that of the day whose law decides (the day of acceptance, unless the law says
otherwise). The transition of 2016 deferred what was due when goods entered, so it looks at the
day of entry: of bonded goods the day they entered their zone, of direct purchases the day of
acceptance. Its three windows are the dated values of ``retail-import.transition-until``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from tongguan.codes import Text
from tongguan.policy import draft_file, positive_list
from tongguan.policy.draft import PARCELS, Draft, day_that_decides
from tongguan.policy.draft_file import Transition
from tongguan.policy.parameter import DRAFT
from tongguan.policy.policy import POSITIVE_LIST
from tongguan.policy.rates import BONDED_MODES

if TYPE_CHECKING:
    from tongguan.policy.parameter import Value
    from tongguan.policy.policy import Policy

NOT_LISTED, LISTED, REMARKED, TRANSITION, WITHDRAWN = STATUSES = (
    *("not listed", "listed", "listed with remark", "in transition", "withdrawn"),
)
STATUS_WORDS = {
    NOT_LISTED: Text("不在清单内", "not listed"),
    LISTED: Text("在清单内", "listed"),
    REMARKED: Text("在清单内，附备注", "listed with remark"),
    TRANSITION: Text("过渡期内", "in transition"),
    WITHDRAWN: Text("已移出清单", "withdrawn"),
}

CLEARANCE_FORM = "clearance-form"
FIRST_IMPORT = "first-import-licence"
SPARED = "draft"
RELIEFS = {
    CLEARANCE_FORM: Text("进区免验通关单", "no inspection clearance form at entry"),
    FIRST_IMPORT: Text(
        "暂不执行首次进口许可、注册或备案", "first-import licence, registration or filing deferred"
    ),
    SPARED: Text("过渡安排：仍适用原规定", "spared by the draft: the law known decides"),
}
"""What a transition takes off, in words."""


@dataclass(frozen=True, slots=True)
class GoodsStatus:
    """The one status of a line of goods.

    ``day``: whose list was asked; ``since``: the day from which what decides holds, ``until`` its
    last day as known on that day (None: open). ``law``: the paragraph. ``version``: the list, ""
    before there was one. ``reliefs``: what a transition takes off. ``certain`` is False where the
    list at hand lacks rows, so that a code it lacks may be on it. ``confirmed``: of the paragraph
    and the row.
    """

    code8: str
    day: date
    status: str
    law: str
    since: date
    until: date | None
    version: str
    remark: str
    bonded_only: bool
    reliefs: tuple[str, ...]
    certain: bool
    confirmed: bool

    def facts(self) -> dict[str, Any]:
        """The status as ``policy goods --json`` writes it."""
        return {
            "code8": self.code8,
            "day": self.day.isoformat(),
            "status": self.status,
            "law": self.law,
            "since": self.since.isoformat(),
            "until": self.until and self.until.isoformat(),
            "version": self.version,
            "remark": self.remark,
            "bonded_only": self.bonded_only,
            "reliefs": list(self.reliefs),
            "certain": self.certain,
            "confirmed": self.confirmed,
        }


@dataclass(frozen=True, slots=True)
class Declared:
    """The days, mode and place of a parcel; ``city`` names where bonded goods entered (杭州)."""

    accepted: date
    ordered: date | None = None
    entered: date | None = None
    trade_mode: str = "1210"
    city: str | None = None

    @property
    def entry(self) -> date:
        """The day on which what is due at entry was due."""
        return (self.entered or self.accepted) if self.trade_mode in BONDED_MODES else self.accepted


def goods_status(known: Policy | Draft, code: str, declared: Declared) -> GoodsStatus:
    """The status of goods by a tariff code of eight or ten digits.

    Raises ValueError for another code or an order or entry after the day of acceptance, and
    OutsideKnown for a day the policy does not know.
    """
    head = positive_list.code8(code.replace(".", "")[:8]) if _is_code(code) else None
    if head is None:
        raise ValueError(f"a tariff code of eight or ten digits, not {code!r}")
    for name, day in (("order", declared.ordered), ("entry", declared.entered)):
        if day is not None and day > declared.accepted:
            raise ValueError(f"the {name} of {day} is after the acceptance of {declared.accepted}")
    law, day, spared = _governing(known, declared)
    listed = _row(law, head, day)
    if listed is None:
        return _off_list(law, head, day)
    if spared is not None and isinstance(known, Draft) and not _row(known.policy, head, day):
        return replace(
            listed,
            status=TRANSITION,
            law=DRAFT,
            since=spared.since,
            until=spared.until,
            reliefs=(SPARED,),
            confirmed=False,
        )
    return _in_transition(law, listed, declared) or listed


def _is_code(code: str) -> bool:
    digits = code.replace(".", "")
    return digits.isascii() and digits.isdigit() and len(digits) in (8, 10)


def _governing(known: Policy | Draft, declared: Declared) -> tuple[Policy, date, Transition | None]:
    """The policy that decides, the day of its law, and the transition that spares the parcel."""
    zone = draft_file.zone(declared.city) if declared.city else None
    frame = pl.DataFrame(
        [(declared.accepted, declared.ordered, declared.entry, declared.trade_mode, zone)],
        schema=PARCELS,
        orient="row",
    )
    if not isinstance(known, Draft):
        return known, frame.select(day_that_decides(known)).item(), None
    drafted, day = known.governing(frame).row(0)
    spared = [t for t in known.content.transitions if frame.select(t.spares()).item()]
    if drafted or not frame.select(known.content.inside()).item():
        spared = []
    return known.policy if drafted else known.base_policy, day, spared[0] if spared else None


def _row(known: Policy, code8: str, day: date) -> GoodsStatus | None:
    """Listed, with or without a remark; None where the list of the day lacks the code."""
    law = known.on(day)
    rows = law.positive_list.filter(pl.col("code8") == code8).to_dicts()
    if not rows:
        return None
    [row] = rows
    since, paragraph = _origin(known, code8, day, row["version"])
    return GoodsStatus(
        code8=code8,
        day=day,
        status=REMARKED if row["remark"] else LISTED,
        law=paragraph,
        since=since,
        until=_until(known, day),
        version=law.positive_list_version or "",
        remark=row["remark"],
        bonded_only=row["bonded_only"],
        reliefs=(),
        certain=True,
        confirmed=row["confirmed"],
    )


def _origin(known: Policy, code8: str, day: date, version: str) -> tuple[date, str]:
    """Since when, and by which paragraph, a line is as it is: the list that has it, or a draft."""
    for a in sorted(known.amendments, key=lambda a: a.since, reverse=True):
        if a.code8 == code8 and a.since <= day:
            return a.since, a.law
    for edition in positive_list.in_force(known.positive_lists, day):
        if edition.name == version:
            law = edition.official.law if edition.official else f"positive list {edition.name}"
            return edition.effective, law
    raise AssertionError(f"{code8} of {version} is on no list of {day}")


def _until(known: Policy, day: date) -> date | None:
    ends = [x.until for x in positive_list.in_force(known.positive_lists, day)]
    return min((end for end in ends if end is not None), default=None)


def _off_list(known: Policy, code8: str, day: date) -> GoodsStatus:
    """Not listed, or withdrawn where it was listed before and is certain to be off."""
    law = known.on(day)
    fact = known.edition_fact(POSITIVE_LIST, day)
    if fact is None:
        rule = law.value("import.regime")
        since, until, paragraph = rule.since, _before_lists(known), rule.law
        certain, confirmed = True, rule.confirmed
    else:
        since, until, paragraph = fact.since, _until(known, day), fact.law
        certain = law.positive_list_complete or code8 in law.withdrawn
        confirmed = certain
    status = NOT_LISTED
    if fact is not None and certain and _was_listed(known, code8, day):
        status = WITHDRAWN
        dropped = [a for a in known.amendments if a.code8 == code8 and a.since <= day]
        if dropped:
            last = max(dropped, key=lambda a: a.since)
            since, paragraph, confirmed = last.since, last.law, False
    return GoodsStatus(
        code8=code8,
        day=day,
        status=status,
        law=paragraph or f"positive list {law.positive_list_version}",
        since=since,
        until=until,
        version=law.positive_list_version or "",
        remark="",
        bonded_only=False,
        reliefs=(),
        certain=certain,
        confirmed=confirmed,
    )


def _before_lists(known: Policy) -> date | None:
    first = min((x.effective for x in known.positive_lists), default=None)
    return first and first - timedelta(days=1)


def _was_listed(known: Policy, code8: str, day: date) -> bool:
    turns = (turn for turn in known.turns if known.first <= turn < day)
    return any((known.listed(turn)[1]["code8"] == code8).any() for turn in turns)


# -- transitions -----------------------------------------------------------------------------------


def _in_transition(known: Policy, listed: GoodsStatus, declared: Declared) -> GoodsStatus | None:
    """The status while what is due at entry is deferred; None where nothing is."""
    if not known.first <= declared.entry <= known.last:
        return None
    law = known.on(declared.entry)
    end = law.values.get("retail-import.transition-until")
    if end is None or not isinstance(end.value, date) or declared.entry > end.value:
        return None
    reliefs = tuple(_reliefs(law.values, listed.code8, declared))
    if not reliefs:
        return None
    return replace(
        listed,
        status=TRANSITION,
        law=end.law,
        since=end.since,
        until=end.value,
        reliefs=reliefs,
        confirmed=end.confirmed,
    )


def _reliefs(values: Mapping[str, Value], code8: str, declared: Declared) -> Iterator[str]:
    cities = values.get("retail-import.transition-cities")
    if declared.trade_mode == "1210" and cities is not None and declared.city in cities.codes:
        yield CLEARANCE_FORM
    goods = values.get("retail-import.transition-goods")
    licence = values.get("retail-import.first-import-licence")
    everywhere = declared.trade_mode not in BONDED_MODES
    if goods is None or licence is None or licence.value != "deferred":
        return
    in_city = cities is not None and declared.city in cities.codes
    if (everywhere or in_city) and code8.startswith(goods.codes):
        yield FIRST_IMPORT
