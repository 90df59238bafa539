"""What goods are on a day: for each goods and day exactly one status, with its paragraph."""

from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongguan import policy
from tongguan.policy import Declared, Draft, Goods, Policy, goods_status, quote
from tongguan.policy.goods_status import RELIEFS, STATUS_WORDS, STATUSES

BASE = policy.load()
MILK, CREAM, WINE, SHIRT = "1901101090", "3304990029", "2204210000", "6109100000"
NOTICE = "海关总署通知2016年5月（过渡期一年）"
FIRST = "商务部2016年11月15日公告（第一次延长）"
SECOND = "国务院常务会议2017年9月20日（第二次延长）"
LIST_1 = "财政部等11部门公告2016年第40号"
LIST_2018 = "财政部等13部门公告2018年第157号"
COMPLETE = """\
version,code8,name,remark,source
mine,19011010,奶粉,,x
mine,04109010,燕窝,仅限网购保税,x
"""


def day(text: str) -> date:
    return date.fromisoformat(text)


def status(known: Policy | Draft, code: str, on: str, **more: object) -> tuple[str, str]:
    days = {k: day(str(v)) if k in ("ordered", "entered") else v for k, v in more.items()}
    found = goods_status(known, code, Declared(day(on), **days))  # type: ignore[arg-type]
    return found.status, found.law


@pytest.mark.parametrize(
    ("code", "on", "more", "expected"),
    [
        # bonded goods in a pilot city: no clearance form, window after window
        (WINE, "2016-05-10", {"city": "杭州"}, ("listed", LIST_1)),
        (WINE, "2016-05-11", {"city": "杭州"}, ("in transition", NOTICE)),
        (WINE, "2017-05-11", {"city": "杭州"}, ("in transition", NOTICE)),
        (WINE, "2017-05-12", {"city": "杭州"}, ("in transition", FIRST)),
        (WINE, "2017-12-31", {"city": "杭州"}, ("in transition", FIRST)),
        (WINE, "2018-01-01", {"city": "杭州"}, ("in transition", SECOND)),
        (WINE, "2018-12-31", {"city": "杭州"}, ("in transition", SECOND)),
        (WINE, "2019-01-01", {"city": "杭州"}, ("listed", LIST_2018)),
        # five cities more from 2018 on
        (WINE, "2017-12-31", {"city": "合肥"}, ("listed", LIST_1)),
        (WINE, "2018-01-01", {"city": "合肥"}, ("in transition", SECOND)),
        (WINE, "2017-06-01", {"city": "北京"}, ("listed", LIST_1)),
        (WINE, "2017-06-01", {}, ("listed", LIST_1)),
        # the form was due at entry, so the day of entry counts
        (WINE, "2016-06-01", {"city": "杭州", "entered": "2016-05-10"}, ("listed", LIST_1)),
        (WINE, "2016-06-01", {"city": "杭州", "entered": "2016-05-11"}, ("in transition", NOTICE)),
        (
            WINE,
            "2019-03-01",
            {"city": "杭州", "entered": "2018-12-31"},
            ("in transition", SECOND),
        ),
        # direct purchase: the licence is deferred everywhere, the form never was asked for
        (CREAM, "2017-06-01", {"trade_mode": "9610"}, ("in transition", FIRST)),
        (WINE, "2017-06-01", {"trade_mode": "9610", "city": "杭州"}, ("listed", LIST_1)),
        (
            CREAM,
            "2019-01-01",
            {"trade_mode": "9610"},
            ("listed", LIST_2018),
        ),
        # 1239 is the mode of the other cities: no relief
        (WINE, "2017-06-01", {"trade_mode": "1239", "city": "杭州"}, ("listed", LIST_1)),
        # remarks, and before any list
        ("04109010", "2024-01-01", {}, ("listed with remark", "财政部等8部门公告2022年第7号")),
        ("04079090", "2016-05-01", {}, ("listed with remark", LIST_1)),
        (WINE, "2016-04-07", {"city": "杭州"}, ("not listed", "海关总署公告2010年第43号")),
        (WINE, "2016-04-08", {"city": "杭州"}, ("listed", LIST_1)),
        ("01012100", "2022-06-01", {}, ("not listed", "财政部等8部门公告2022年第7号")),
    ],
)
def test_the_status_of_a_day(code: str, on: str, more: dict, expected: tuple[str, str]) -> None:
    assert status(BASE, code, on, **more) == expected


def test_the_end_of_the_transition_is_the_one_known_on_that_day() -> None:
    ends = {
        on: goods_status(BASE, WINE, Declared(day(on), city="杭州")).until
        for on in ("2016-05-11", "2017-05-11", "2017-05-12", "2018-01-01")
    }
    assert [str(end) for end in ends.values()] == [
        *("2017-05-11", "2017-05-11", "2017-12-31", "2018-12-31"),
    ]


def test_reliefs_name_what_is_deferred() -> None:
    both = goods_status(BASE, MILK, Declared(day("2017-06-01"), city="杭州"))
    assert both.reliefs == ("clearance-form", "first-import-licence")
    form = goods_status(BASE, WINE, Declared(day("2017-06-01"), city="杭州"))
    assert form.reliefs == ("clearance-form",)
    direct = goods_status(BASE, MILK, Declared(day("2017-06-01"), trade_mode="9610"))
    assert direct.reliefs == ("first-import-licence",)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """The law with a list that is said to be complete from 2024-01-01 on, of two lines."""
    file: Path = tmp_path_factory.mktemp("list") / "list.csv"
    file.write_text(COMPLETE, "utf-8")
    return policy.load(positive_lists=[policy.read_positive_list(file, "mine", day("2024-01-01"))])


def test_off_a_complete_list_means_withdrawn_if_it_was_on_one(whole: Policy) -> None:
    assert status(whole, WINE, "2023-12-31")[0] == "listed"
    assert status(whole, WINE, "2024-01-01") == ("withdrawn", "positive list mine")
    assert status(whole, "01012100", "2024-01-01") == ("not listed", "positive list mine")
    assert status(whole, "04109010", "2024-01-01")[0] == "listed with remark"


def test_an_incomplete_list_proves_nothing() -> None:
    found = goods_status(BASE, "01012100", Declared(day("2022-06-01")))
    assert (found.status, found.certain, found.confirmed) == ("not listed", False, False)


def test_a_draft_withdraws_and_its_transition_spares() -> None:
    draft = policy.draft(
        "base: 2022-06-01\nname: 试拟\npositive-list: {remove: [22042100]}\n"
        "transitions: [{until: 2022-08-31, ordered-before: 2022-06-01}]\nterritory: [杭州]\n",
        BASE,
    )
    law = "财政部等8部门公告2022年第7号"
    for more, expected in (
        ({"ordered": "2022-05-31", "city": "杭州"}, ("in transition", "draft")),
        ({"ordered": "2022-06-01", "city": "杭州"}, ("withdrawn", "draft")),
        ({"city": "杭州"}, ("withdrawn", "draft")),
        ({"ordered": "2022-05-31", "city": "宁波"}, ("listed", law)),
    ):
        assert status(draft, WINE, "2022-07-01", **more) == expected
    assert status(draft, WINE, "2022-05-31", city="杭州") == ("listed", law)
    assert status(draft, WINE, "2022-09-01", city="杭州", ordered="2022-05-31")[0] == "withdrawn"


def test_by_the_day_of_the_order_its_list_is_asked() -> None:
    draft = policy.draft(
        "base: 2022-06-01\nname: 试拟\npositive-list: {remove: [22042100]}\ndecision-date: order\n",
        BASE,
    )
    assert status(draft, WINE, "2022-06-05", ordered="2022-05-31")[0] == "listed"
    assert status(draft, WINE, "2022-06-05", ordered="2022-06-01")[0] == "withdrawn"


def test_days_and_codes_that_cannot_be_are_refused() -> None:
    for declared in (
        Declared(day("2022-06-01"), ordered=day("2022-06-02")),
        Declared(day("2022-06-01"), entered=day("2022-06-02")),
    ):
        with pytest.raises(ValueError, match="after the acceptance"):
            goods_status(BASE, WINE, declared)
    for code in ("2204", "22O42100", "", "22042100001"):
        with pytest.raises(ValueError, match="eight or ten digits"):
            goods_status(BASE, code, Declared(day("2022-06-01")))
    with pytest.raises(policy.OutsideKnown):
        goods_status(BASE, WINE, Declared(day("2012-04-14")))


CODES = sorted(
    {code[:8] for code in BASE.on(day("2022-06-01")).tariff["code"]}
    | {code for x in BASE.positive_lists for code in x.frame["code8"]}
)
TURNS = [turn for turn in BASE.turns if BASE.first <= turn <= BASE.last]
DRAFT = policy.draft(
    "base: 2017-06-01\nname: 试拟\npositive-list: {remove: [22042100, 33049900], add: [01012100]}\n"
    "transitions:\n"
    "  - {until: 2017-08-31, ordered-before: 2017-06-01}\n"
    "  - {until: 2018-06-30, entered-before: 2017-06-01, modes: [1210]}\n",
    BASE,
)


@settings(max_examples=400, deadline=None)
@given(
    code=st.one_of(
        st.sampled_from(CODES),
        st.sampled_from(["22042100", "33049900", "01012100", "19011010"]),
        st.from_regex(r"[0-9]{8}", fullmatch=True),
    ),
    accepted=st.one_of(
        st.dates(BASE.first, BASE.last),
        st.sampled_from(TURNS).flatmap(
            lambda turn: st.sampled_from(
                [d for n in (-1, 0, 1) if BASE.first <= (d := turn + timedelta(n)) <= BASE.last]
            )
        ),
    ),
    before=st.tuples(*[st.one_of(st.none(), st.integers(0, 900))] * 2),
    mode=st.sampled_from(["1210", "1239", "9610"]),
    city=st.sampled_from([None, "杭州", "合肥", "北京"]),
    known=st.sampled_from([BASE, DRAFT]),
)
def test_each_goods_has_exactly_one_status_on_each_day_and_its_paragraph(
    code: str, accepted: date, before: tuple, mode: str, city: str | None, known: Policy | Draft
) -> None:
    ordered, entered = (
        max(BASE.first, accepted - timedelta(n)) if n is not None else None for n in before
    )
    declared = Declared(accepted, ordered, entered, mode, city)
    found = goods_status(known, code, declared)
    asked = known.law(accepted, ordered, entered, mode) if isinstance(known, Draft) else None
    law = asked or BASE.on(accepted)
    rows = law.positive_list.filter(law.positive_list["code8"] == code)
    told = {
        "not listed": rows.is_empty() and found.status == "not listed",
        "withdrawn": rows.is_empty() and code in law.withdrawn,
        "listed": not rows.is_empty() and not found.reliefs and not rows["remark"].item(),
        "listed with remark": not rows.is_empty() and not found.reliefs and rows["remark"].item(),
        "in transition": not rows.is_empty() and bool(found.reliefs),
    }
    assert [name for name in STATUSES if told[name]] == [found.status]
    assert found.law
    assert found.since <= accepted
    assert found.until is None or found.status == "in transition" or found.until >= found.day
    assert set(found.reliefs) <= RELIEFS.keys()
    if rows.is_empty() and found.status == "not listed":
        assert code not in law.withdrawn


@pytest.mark.parametrize("on", ["2016-04-07", "2016-04-08", "2017-06-01", "2022-06-01"])
def test_the_kernel_refuses_what_the_status_says_is_off(on: str) -> None:
    for code in (MILK, WINE, SHIRT):
        found = goods_status(DRAFT.policy, code, Declared(day(on)))
        rules = {f["rule"] for f in quote(DRAFT.policy, day(on), [Goods(code, 9)]).findings}
        assert ("goods.not-listed" in rules) == (found.status == "withdrawn"), (code, on)


def test_every_status_has_its_words() -> None:
    assert tuple(STATUS_WORDS) == STATUSES
    assert len(STATUSES) == 5
