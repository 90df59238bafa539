"""A draft: what it may say, every fault with its line, the law it makes, and which parcels."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tongguan import policy
from tongguan.policy import Draft, DraftErrors, Goods, Policy, quote
from tongguan.policy.draft_file import KEYS

DAY = date(2022, 6, 1)
BASE = policy.load()
HEAD = "base: 2022-06-01\nname: 试拟\n"
MILK, WINE, WINE8 = "1901101090", "2204210000", "22042100"


@pytest.fixture(scope="module")
def base() -> Policy:
    return BASE


def drafted(base: Policy, body: str, head: str = HEAD) -> Draft:
    return policy.draft(head + body, base)


def faults(base: Policy, text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(DraftErrors) as caught:
        policy.draft(text, base)
    for error in caught.value.errors:
        assert error.cure, error
        assert str(error) in str(caught.value)
    return [(e.line, e.field, e.actual) for e in caught.value.errors]


def changes(draft: Draft) -> list[tuple[str, str, str | None, str | None, str | None]]:
    return [
        (
            c.parameter,
            str(c.since),
            c.until and str(c.until),
            c.before and c.before.text,
            c.after and c.after.text,
        )
        for c in draft.diff()
    ]


# -- what a draft may say --------------------------------------------------------------------------


def test_a_lower_limit_is_decided_by_the_same_kernel(base: Policy) -> None:
    draft = drafted(base, "parameters: {retail-import.limit-annual: {2022-01-01: 20000}}\n")
    basket = [Goods(MILK, Decimal(1000))]
    known, changed = (quote(p, DAY, basket, used=19_500) for p in (base, draft.policy))
    assert (known.regime, changed.regime) == ("retail-import", "refused")
    [finding] = changed.findings
    assert (finding["rule"], finding["law"]) == ("limit.annual", "draft")
    assert quote(draft.policy, date(2021, 12, 31), basket, used=19_500).regime == "retail-import"
    assert changes(draft) == [
        ("retail-import.limit-annual", "2022-01-01", None, "26000", "20000"),
    ]


def test_one_value_holds_from_the_base_day(base: Policy) -> None:
    draft = drafted(base, "parameters: {vat.standard: 12.5, retail-import.levy-fraction: 2/3}\n")
    day_before = DAY - timedelta(days=1)
    assert draft.policy.on(day_before).hash != base.hash
    assert draft.policy.on(day_before).value("vat.standard").ppm == 130_000
    result = quote(draft.policy, DAY, [Goods(MILK, Decimal(1000))])
    assert result.vat_fen == 8333, "1000 × 12.5 % × 2/3 = 83.333…"


def test_a_draft_of_the_past_ends_where_later_law_begins(base: Policy) -> None:
    draft = drafted(base, "parameters: {retail-import.limit-single: {2017-01-01: 1000}}\n")
    assert changes(draft) == [
        ("retail-import.limit-single", "2017-01-01", "2018-12-31", "2000", "1000")
    ]


def test_a_removed_line_is_refused_even_where_the_list_is_not_complete(base: Policy) -> None:
    draft = drafted(base, f"positive-list: {{remove: [{{code8: {WINE8}, from: 2022-07-01}}]}}\n")
    assert not draft.policy.on(DAY).positive_list_complete
    basket = [Goods(WINE, Decimal(100))]
    before = quote(draft.policy, date(2022, 6, 30), basket)
    after = quote(draft.policy, date(2022, 7, 1), basket)
    assert (before.regime, after.regime) == ("retail-import", "refused")
    [finding] = after.findings
    assert (finding["rule"], finding["severity"]) == ("goods.not-listed", "error")
    assert finding["law"].endswith("draft")
    unknown = quote(draft.policy, date(2022, 7, 1), [Goods("0101210000", Decimal(1))])
    assert "goods.list-incomplete" in [f["rule"] for f in unknown.findings], "that one may be on it"


def test_an_added_line_is_listed_with_its_remark(tmp_path: Path) -> None:
    file = tmp_path / "tariff.csv"
    file.write_text(
        "code,name_zh,unit1,mfn_pct,vat_pct,consumption_tax\n0101210000,马,035,0,13,\n", "utf-8"
    )
    base = policy.load(tariffs=[policy.read_tariff(file, date(2020, 1, 1))])
    add = "positive-list: {add: [{code8: 01012100, name: 马, remark: 仅限网购保税商品}]}\n"
    draft = drafted(base, add)
    bonded, direct = (
        quote(draft.policy, DAY, [Goods("0101210000", Decimal(9))], trade_mode=mode)
        for mode in ("1210", "9610")
    )
    assert (bonded.regime, bonded.findings) == ("retail-import", ())
    assert [f["rule"] for f in direct.findings] == ["goods.bonded-only"]
    assert changes(draft) == [
        ("positive-list.01012100", "2022-06-01", None, None, "listed: 仅限网购保税商品"),
    ]


def test_a_line_may_be_removed_and_come_back(base: Policy) -> None:
    body = (
        f"positive-list:\n  remove: [{{code8: {WINE8}, from: 2022-07-01}}]\n"
        f"  add: [{{code8: {WINE8}, from: 2022-09-01, remark: 每人每年限一箱}}]\n"
    )
    draft = drafted(base, body)
    told = [(c[0], c[1], c[2], c[4]) for c in changes(draft)]
    assert told == [
        (f"positive-list.{WINE8}", "2022-07-01", "2022-08-31", None),
        (f"positive-list.{WINE8}", "2022-09-01", None, "listed: 每人每年限一箱"),
    ]
    assert quote(draft.policy, date(2022, 9, 1), [Goods(WINE, Decimal(9))]).findings == ()


def test_the_law_of_a_later_day_can_be_brought_forward(base: Policy) -> None:
    """What the change of 2016-04-08 would have done to the traffic of March."""
    draft = drafted(
        base, "bring-forward: {2016-03-01: 2016-04-08}\n", "base: 2016-03-01\nname: 三月\n"
    )
    basket = [Goods(MILK, Decimal(200), 2)]
    early = quote(draft.policy, date(2016, 3, 15), basket)
    then = quote(base, date(2016, 4, 8), basket)
    assert early.facts() == then.facts() | {
        "basis": [
            b | {"confirmed": False, "since": "2016-03-01"} if b["since"] == "2016-04-08" else b
            for b in then.facts()["basis"]
        ]
    }
    assert quote(draft.policy, date(2016, 2, 29), basket).regime == "parcel-tax"
    law, shifted = base.on(date(2016, 4, 8)), draft.policy.on(date(2016, 3, 15))
    assert shifted.positive_list_version == law.positive_list_version == "2016-1"
    assert shifted.positive_list.equals(law.positive_list)
    assert all(c.since == date(2016, 3, 1) for c in draft.diff())
    assert all(c.until == date(2016, 4, 7) for c in draft.diff()), "from then on it is the law"


def test_bringing_forward_skips_what_lay_between(base: Policy) -> None:
    draft = drafted(base, "bring-forward: {2018-03-01: 2022-03-01}\n")
    for day in ("2018-03-01", "2018-12-31", "2019-02-01", "2020-06-01", "2022-02-28"):
        law, of = draft.policy.on(date.fromisoformat(day)), base.on(date(2022, 3, 1))
        assert {i: v.value for i, v in law.values.items()} == {
            i: v.value for i, v in of.values.items()
        }
        assert law.positive_list_version == "2022"
    assert draft.policy.on(date(2018, 2, 28)).positive_list_version == "2016-1 + 2016-2"


def test_a_draft_that_says_what_is_law_already_changes_nothing(base: Policy) -> None:
    draft = drafted(base, "parameters: {retail-import.limit-annual: 26000.00}\n")
    assert draft.diff() == []


def test_the_hash_follows_content_and_scope(base: Policy) -> None:
    one = drafted(base, "parameters: {retail-import.limit-annual: 20000}\n")
    again = drafted(base, "parameters: {retail-import.limit-annual: {2022-06-01: 20000}}\n")
    scoped = drafted(base, "parameters: {retail-import.limit-annual: 20000}\nmodes: 1210\n")
    removed = drafted(base, f"positive-list: {{remove: [{WINE8}]}}\n")
    assert one.policy.hash == again.policy.hash == scoped.policy.hash
    assert one.hash == again.hash != scoped.hash
    assert len({base.hash, one.policy.hash, removed.policy.hash}) == 3
    assert policy.load().hash == base.hash, "the base stays as it is"


def test_a_file_and_its_text_are_the_same_draft(base: Policy, tmp_path: Path) -> None:
    text = HEAD + "parameters: {retail-import.limit-annual: 20000}\n"
    file = tmp_path / "draft.yaml"
    file.write_text(text, "utf-8")
    assert policy.draft(file, base).hash == policy.draft(text, base).hash
    file.write_bytes("name: 年度".encode("gb18030"))
    with pytest.raises(DraftErrors, match="UTF-8"):
        policy.draft(file, base)


EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "drafts"


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda f: f.stem)
def test_the_examples_are_drafts_that_change_something(base: Policy, file: Path) -> None:
    assert policy.draft(file, base).diff()


def test_the_page_tells_of_every_key_and_the_examples_use_them() -> None:
    page = (EXAMPLES.parents[1] / "docs" / "drafts.md").read_text("utf-8")
    used = {key for file in EXAMPLES.glob("*.yaml") for key in yaml.safe_load(file.read_text())}
    assert used == set(KEYS)
    assert [key for key in KEYS if f"| `{key}` |" not in page] == []


# -- which parcels it decides ----------------------------------------------------------------------

RETAIL_FRAME = {
    "accepted": pl.Date,
    "ordered": pl.Date,
    "entered": pl.Date,
    "tradeMode": pl.String,
    "zone": pl.String,
}


def governing(draft: Draft, *rows: tuple[object, ...]) -> list[tuple[bool, date]]:
    return draft.governing(pl.DataFrame(rows, schema=RETAIL_FRAME, orient="row")).rows()


def test_territory_and_modes_bound_the_draft(base: Policy) -> None:
    draft = drafted(base, "territory: [杭州, '002']\nmodes: [1210]\n")
    rows = [
        (DAY, None, None, mode, zone)
        for mode, zone in (
            ("1210", "001"),
            ("1210", "002"),
            ("9610", "001"),
            ("1210", "003"),
            ("1210", None),
            (None, "001"),
        )
    ]
    assert [d for d, _ in governing(draft, *rows)] == [True, True, False, False, False, False]


def test_a_transition_spares_what_was_ordered_or_entered_before(base: Policy) -> None:
    body = (
        "transitions:\n"
        "  - {until: 2022-08-31, ordered-before: 2022-06-01}\n"
        "  - {until: 2022-12-31, entered-before: 2022-06-01, modes: [1210, 1239]}\n"
    )
    draft = drafted(base, body)
    may, june, august, september = (date(2022, m, d) for m, d in ((5, 31), (6, 1), (8, 31), (9, 1)))
    table = {
        (august, may, None, "9610"): False,
        (august, june, None, "9610"): True,
        (september, may, None, "9610"): True,
        (september, may, may, "1210"): False,
        (september, may, june, "1210"): True,
        (september, may, may, "9610"): True,
        (date(2023, 1, 1), may, may, "1210"): True,
        (august, None, None, "1210"): True,
    }
    found = governing(draft, *((*key, "001") for key in table))
    assert [d for d, _ in found] == list(table.values())
    assert draft.law(august, ordered=may).hash == base.hash
    assert draft.law(august, ordered=june).hash == draft.policy.hash


def test_the_day_that_decides_is_that_of_acceptance_order_or_entry(base: Policy) -> None:
    order, entry = date(2022, 5, 20), date(2022, 4, 10)
    row = (DAY, order, entry, "1210", "001")
    assert governing(drafted(base, "decision-date: order\n"), row) == [(True, order)]
    assert governing(drafted(base, "decision-date: entry\n"), row) == [(True, entry)]
    assert governing(drafted(base, ""), row) == [(True, DAY)]
    missing = (DAY, None, None, "1210", "001")
    assert governing(drafted(base, "decision-date: order\n"), missing) == [(True, DAY)]
    dated = drafted(base, "decision-date: {2022-07-01: order}\n")
    july = (date(2022, 7, 1), order, entry, "1210", "001")
    assert governing(dated, row, july) == [(True, DAY), (True, order)]


def test_by_the_day_of_order_a_new_limit_does_not_meet_old_orders(base: Policy) -> None:
    draft = drafted(base, "parameters: {retail-import.limit-single: 1000}\ndecision-date: order\n")
    limit = "retail-import.limit-single"
    assert draft.law(date(2022, 6, 5), ordered=date(2022, 5, 31)).value(limit).value == 5000
    assert draft.law(date(2022, 6, 5), ordered=DAY).value(limit).value == 1000


def test_columns_that_are_absent_count_as_not_known(base: Policy) -> None:
    draft = drafted(base, "decision-date: order\nmodes: [1210]\n")
    frame = pl.DataFrame({"accepted": [DAY], "tradeMode": ["1210"]})
    assert draft.governing(frame).rows() == [(True, DAY)]


# -- faults ----------------------------------------------------------------------------------------


def test_every_fault_is_told_at_once_with_its_line(base: Policy) -> None:
    text = """\
base: 2032-06-01
nam: x
parameters:
  retail-import.limit-anual: 5
  retail-import.limit-annual:
    2022-01-01: 20000.001
    yesterday: 5
  vat.standard: dreizehn
  import.regime: {2016-05-01: retail-imports}
  policy.known-until: 2030-01-01
positive-list:
  add: [2204, {cod: 1}]
  remove: nothing
transitions:
  - {until: 2022-08-31}
  - {until: 2022-01-01, from: 2022-02-01, ordered-before: 2022-01-01}
  - {ordered-before: 2022-01-01}
territory: [Hangzhou]
modes: [1210, 9710]
decision-date: payment
bring-forward: {2020-01-01: 2019-01-01}
"""
    assert faults(base, text) == [
        (1, "name", "nothing"),
        (1, "base", "2032-06-01"),
        (2, "draft", "nam"),
        (4, "parameters.retail-import.limit-anual", "retail-import.limit-anual"),
        (6, "parameters.retail-import.limit-annual.2022-01-01", "20000.001"),
        (7, "parameters.retail-import.limit-annual.yesterday", "yesterday"),
        (8, "parameters.vat.standard", "dreizehn"),
        (9, "parameters.import.regime.2016-05-01", "retail-imports"),
        (10, "parameters.policy.known-until", "policy.known-until"),
        (12, "positive-list.add.code8", "2204"),
        (12, "positive-list.add", "cod"),
        (12, "positive-list.add", "nothing"),
        (13, "positive-list.remove", "nothing"),
        (15, "transitions", "neither"),
        (16, "transitions.until", "2022-01-01"),
        (17, "transitions", "nothing"),
        (18, "territory", "Hangzhou"),
        (19, "modes", "9710"),
        (20, "decision-date", "payment"),
        (21, "bring-forward.2020-01-01", "2019-01-01"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "actual"),
    [
        ("", 1, ""),
        ("- a\n- b\n", 1, "a list"),
        (HEAD + "parameters: [1]\n", 3, "a list"),
        (HEAD + "name: again\n", 3, "name"),
        (HEAD + "parameters: {vat.standard: {}}\n", 3, "none"),
        (HEAD + "parameters: {vat.standard: 101, consumption-tax.watches: 100}\n", 3, "100"),
        (HEAD + "parameters: {retail-import.levy-fraction: 1.2}\n", 3, "1.2"),
        (HEAD + "parameters: {vat.standard: .nan}\n", 3, ".nan"),
        (HEAD + "parameters: {vat.standard: 1e1}\n", 3, "1e1"),
        (HEAD + "parameters: {vat.standard: '١٣'}\n", 3, "١٣"),
        (HEAD + "parameters: {retail-import.limit-single: 1_000}\n", 3, "1_000"),
        (HEAD + "parameters: {vat.standard: -1}\n", 3, "-1"),
        (HEAD + "territory: &t [*t]\n", 3, "a list"),
        (HEAD + "parameters: {consumption-tax.watches-headings: '9101'}\n", 3, None),
        (HEAD + "modes: []\n", 3, "none"),
        (HEAD + "parameters: {import.decision-date: order}\ndecision-date: order\n", 4, "two"),
        (HEAD + "positive-list: {add: [22042100], remove: [22042100]}\n", 3, "22042100"),
        (HEAD + "bring-forward: {2016-03-01: 2016-04-08, 2016-04-01: 2017-01-01}\n", 3, None),
        (HEAD + "? [a, b]\n: c\n", 3, "a list"),
    ],
)
def test_a_fault_is_named(base: Policy, text: str, line: int, actual: str | None) -> None:
    found = faults(base, text)
    assert any(at == line and (actual is None or said == actual) for at, _, said in found), found


def test_what_is_not_yaml_is_told_with_its_line(base: Policy) -> None:
    [(line, field, _)] = faults(base, HEAD + "parameters: {a: [1\n")
    assert (line, field) == (4, "draft")


@pytest.mark.parametrize(
    "text", ["[" * 50_000, HEAD + "name: \0", HEAD + "name: '\ud800'", HEAD + "---\n" + HEAD]
)
def test_hostile_text_is_told_too(base: Policy, text: str) -> None:
    [(line, field, _)] = faults(base, text)
    assert line >= 1
    assert field == "draft"


def test_a_regime_without_its_parameters_is_told_at_load(base: Policy) -> None:
    text = "base: 2016-03-01\nname: x\nparameters: {import.regime: retail-import}\n"
    [(line, field, actual)] = faults(base, text)
    assert (line, field) == (3, "parameters")
    assert "retail-import.levy-fraction" in actual


def test_a_list_change_before_any_list_is_told(base: Policy) -> None:
    text = f"base: 2016-03-01\nname: x\npositive-list:\n  remove: [{WINE8}]\n"
    [(line, field, _)] = faults(base, text)
    assert (line, field) == (4, "positive-list")


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(
        st.one_of(
            st.text(max_size=8),
            st.sampled_from(["2022-01-01", "22042100", "~", "1210", "order", "杭州", "1e9", "0.7"]),
        ),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(
                    [
                        *("base", "name", "parameters", "positive-list", "add", "remove", "until"),
                        *("transitions", "modes", "territory", "code8", "from", "2022-01-01"),
                        *("retail-import.limit-annual", "ordered-before", "bring-forward"),
                    ]
                ),
                inner,
                max_size=4,
            ),
        ),
        max_leaves=12,
    )
)
def test_whatever_is_written_is_a_draft_or_faults(tree: object) -> None:
    outcome: Draft | list[policy.DraftError]
    try:
        outcome = policy.draft(yaml.safe_dump(tree, allow_unicode=True), BASE)
    except DraftErrors as problem:
        outcome = problem.errors
    if isinstance(outcome, Draft):
        assert outcome.policy.on(DAY).hash == outcome.policy.hash
    else:
        assert outcome
        assert all(e.line >= 1 and e.cure for e in outcome)


def test_a_draft_can_stand_on_a_draft(base: Policy) -> None:
    first = drafted(base, f"positive-list: {{remove: [{WINE8}]}}\n")
    second = drafted(first.policy, "parameters: {retail-import.limit-single: 1}\n")
    assert WINE8 in second.policy.on(DAY).withdrawn
    assert [c[0] for c in changes(second)] == ["retail-import.limit-single"]
    assert replace(second, base_policy=base).diff()[0].parameter == "retail-import.limit-single"
