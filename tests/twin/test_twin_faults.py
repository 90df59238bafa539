"""Every fault does what it says, and no parcel has a fault that is not told."""

from collections import Counter
from datetime import date

import clerk
import pytest

from tongguan import codes, policy, twin

DAY = date(2022, 6, 1)
LAW = policy.load().on(DAY)
# What the twin cannot show in a stream of messages that anybody may shuffle or that has no
# registry, guarantee or risk service behind it.
ELSEWHERE = {
    "message.absent",
    "party.unknown",
    "party.mandate",
    "receipt.subscriber",
    "goods.list-incomplete",
    "guarantee.insufficient",
    "risk.selected",
    "risk.hold",
}
# What is about lists that came before: cancellations, returns and guarantees, in twin.write_life.
AFTERWARDS = {
    "cancel.released",
    "guarantee.unlimited",
    *("original.buyer", "original.differs", "original.number"),
    *("return.late", "return.line", "return.quantity", "return.arrived-late", "return.not-arrived"),
}


def test_every_rule_of_the_dictionary_has_its_fault():
    assert twin.FAULTS.keys() | ELSEWHERE | AFTERWARDS == codes.RULES.keys()
    assert not twin.FAULTS.keys() & (ELSEWHERE | AFTERWARDS)


def compare(out, listed=None):
    """The clerk's view of a folder against expected.jsonl; returns what was compared."""
    desk = clerk.clear_desk(out / "messages")
    told = clerk.expected(out)
    refused, superseded, seen = Counter(), Counter(), Counter()
    for fact in told:
        kind = fact["document"]
        if kind == "message":
            assert fact["key"]["file"] in desk.unreadable
            seen["message.format"] += 1
            continue
        key = (kind, *(fact["key"][name] for name in clerk.KEYS[kind]))
        if fact.get("superseded"):
            assert fact["status"] == 2
            superseded[key] += 1
            continue
        if ("faults" not in fact and kind == "inventory") or fact["status"] not in STATUSES:
            refused[key, *fact["rules"]] += 1
            continue
        document = desk.accepted.get(key)
        if fact["status"] == 1:
            assert key in desk.drafts
            continue
        assert (document is None) == (fact["status"] is None), fact
        if kind != "inventory" or document is None:
            continue
        beside = clerk.documents_of(document, desk)
        complete = all(beside.values())
        assert complete == (fact["status"] != 2), fact
        found = clerk.faults(document, beside, LAW, listed) if complete else set()
        assert sorted(found) == fact["rules"], fact
        assert fact["status"] == (100 if found else 800 if complete else 2), fact
        assert (fact["tax"] is not None) == (fact["status"] == 800)
        seen.update(found or (["waits"] if not complete else ["released"]))
    assert refused == Counter(desk.refused)
    assert superseded == Counter(desk.superseded)
    assert Counter(desk.unreadable).keys() == {
        f["key"]["file"] for f in told if f["document"] == "message"
    }
    seen.update(rule for _, rule in desk.refused)
    return seen


STATUSES = {None, 1, 2, 100, 120, 800}


def test_a_shuffled_stream_holds_the_faults_it_tells_and_no_others(tmp_path):
    summary = twin.write(tmp_path, seed=3, parcels=2500, faults="0.4", day=DAY)
    seen = compare(tmp_path)
    waiting = {f"match.{kind}-missing" for kind in ("order", "payment", "waybill")}
    assert seen.keys() >= summary.faults.keys() - waiting
    assert seen["waits"] >= sum(summary.faults[name] for name in waiting) > 0
    assert seen["released"] > 1000


def test_faults_come_in_pairs_too(tmp_path):
    twin.write(tmp_path, seed=4, parcels=1500, faults=1, day=DAY)
    pairs = [f for f in clerk.expected(tmp_path) if f["status"] == 100 and len(f["rules"]) > 1]
    assert len(pairs) > 50
    assert any({"limit.single", "limit.annual"} == set(f["rules"]) for f in pairs)


def test_an_own_positive_list_shows_goods_off_it_and_goods_for_bonded_import_only(tmp_path):
    twin.write(tmp_path, seed=5, parcels=300, faults="0.5", day=DAY, positive_list=True)
    edition = policy.read_positive_list(tmp_path / "positive-list.csv", "twin", DAY)
    assert edition.complete
    seen = compare(tmp_path, dict(edition.frame.select("code8", "remark").iter_rows()))
    assert {"goods.not-listed", "goods.bonded-only"} <= seen.keys()


@pytest.mark.parametrize("name", [*twin.FAULTS, *twin.VARIANTS])
def test_one_fault_alone(tmp_path, name):
    fault = {**twin.FAULTS, **twin.VARIANTS}[name]
    summary = twin.write(
        tmp_path,
        seed=6,
        parcels=6,
        faults=1,
        day=DAY,
        only=[name],
        positive_list=fault.needs_list,
        shuffle=not fault.in_order,
        sign="sm2" if fault.signed else None,
    )
    assert {**summary.faults, **summary.variants} == {name: 6}
    if name == "message.state":  # needs a list that is released: the clerk releases nothing
        last = [f for f in clerk.expected(tmp_path) if f["rules"] == [name]]
        assert [f["status"] for f in last] == [-301011] * 6
        return
    if name == "message.signature":  # the clerk reads what is written, signed or not
        told = [f for f in clerk.expected(tmp_path) if f["rules"] == [name]]
        assert len(told) == 6
        assert {f["status"] for f in told} <= {-301020, -401009, -504011, -621028, -621029}
        return
    listed = None
    if fault.needs_list:
        edition = policy.read_positive_list(tmp_path / "positive-list.csv", "twin", DAY)
        listed = dict(edition.frame.select("code8", "remark").iter_rows())
    seen = compare(tmp_path, listed)
    if name.endswith("-missing"):
        assert seen == {"waits": 6}
    elif name in twin.FAULTS:
        assert seen[name] == 6
    elif name not in ("draft", "deleted"):
        assert seen["released"] == 6


def test_both_sides_of_both_limits_are_shown_to_the_fen(tmp_path):
    names = ["limit.single", "limit.annual", "at-single-limit", "at-annual-limit"]
    twin.write(tmp_path, seed=8, parcels=200, faults=1, day=DAY, only=names)
    desk = clerk.clear_desk(tmp_path / "messages")
    worth = {
        (fact["status"], clerk.value(desk.accepted["inventory", *key]))
        for fact in clerk.expected(tmp_path)
        if fact["document"] == "inventory"
        and (key := (fact["key"]["ebcCode"], fact["key"]["orderNo"]))
    }
    edges = {(status, str(value.quantize(clerk.FEN))) for status, value in worth}
    assert {
        (800, "5000.00"),
        (100, "5000.01"),
        (800, "26000.00"),
        (100, "26000.01"),
    } <= edges


def test_no_buyer_of_released_parcels_comes_near_the_end_of_the_year(tmp_path):
    """Then the order of arrival cannot matter."""
    twin.write(tmp_path, seed=9, parcels=3000, faults="0.3", day=DAY)
    desk = clerk.clear_desk(tmp_path / "messages")
    year = Counter()
    for one in desk.accepted.values():
        if one.kind == "inventory" and clerk.value(one) <= 26000:
            year[one.head["buyerIdNumber"]] += clerk.value(one)
    assert max(year.values()) == 26000
    assert (
        sum(
            count > 1
            for count in Counter(
                d.head["buyerIdNumber"] for d in desk.accepted.values() if d.kind == "inventory"
            ).values()
        )
        > 100
    )
