"""Reading receipts: complete, in order, from any cursor, each with its proof."""

from typing import Any

import pytest
from dossiers import AGENT, CARRIER, PAYMENT, PLATFORM, message, order, parcel
from lxml import etree
from zones import Zone

from tongguan import messages


def cleared(zone: Zone, *numbers: int) -> dict[str, str]:
    """Parcels handed in by their companies, and recorded; the key of each company."""
    zone.lay_down(registry="open")
    key_of = {code: zone.key(code) for code, _ in (PLATFORM, PAYMENT, CARRIER, AGENT)}
    for number in numbers:
        for paper in parcel(number):
            assert zone.post(key_of[paper.sender[0]], message(paper)).status == 202
    zone.work()
    return key_of


def test_each_company_is_told_of_its_own_documents(zone: Zone) -> None:
    key_of = cleared(zone, 1, 2)
    told = {
        code: [(e["message"], e["status"]) for e in zone.receipts(key)]
        for code, key in key_of.items()
    }
    assert told[PLATFORM[0]] == [("CEB312", 2)] * 2 + [("CEB312", 120)] * 2
    assert told[PAYMENT[0]] == [("CEB412", 2)] * 2 + [("CEB412", 120)] * 2
    lists = [status for kind, status in told[AGENT[0]] if kind == "CEB622"]
    assert lists == [2, 2, 120, 120, 399, 399, 800, 800]
    assert [kind for kind, _ in told[AGENT[0]]].count("CEB816") == 2


def test_an_entry_says_what_its_receipt_says(zone: Zone) -> None:
    entry = zone.receipts(cleared(zone, 1)[PLATFORM[0]])[0]
    head = etree.fromstring(entry["xml"].encode())[0]
    said = {etree.QName(leaf).localname: leaf.text for leaf in head}
    assert entry["key"] == {name: said[name] for name in ("ebpCode", "ebcCode", "orderNo")}
    assert (str(entry["status"]), entry["info"]) == (said["returnStatus"], said["returnInfo"])
    assert entry["time"] == "2022-06-01T12:00:00.000+08:00"
    assert entry["proof"]["position"] == int(entry["cursor"].split(".")[0])


@pytest.mark.parametrize("limit", [1, 2, 3, 500])
def test_pages_of_any_size_give_the_same(zone: Zone, limit: int) -> None:
    key = cleared(zone, 1, 2, 3)[AGENT[0]]
    whole = zone.receipts(key)
    assert [e["cursor"] for e in zone.receipts(key, limit=limit)] == [e["cursor"] for e in whole]
    assert len({e["cursor"] for e in whole}) == len(whole)


def test_going_on_behind_any_entry_gives_the_rest(zone: Zone) -> None:
    """Also in the middle of a receipt message that tells of several documents."""
    key = zone.key(PLATFORM[0])
    zone.lay_down(registry="open")
    zone.post(key, message(*(order(n) for n in range(1, 6))))
    zone.work()
    whole = zone.receipts(key)
    assert len(whole) == 5
    assert len({e["receipt"] for e in whole}) == 1
    for place, entry in enumerate(whole):
        page = zone.ask("GET", f"/api/receipts?after={entry['cursor']}", key).json
        assert [e["cursor"] for e in page["receipts"]] == [e["cursor"] for e in whole[place + 1 :]]
        if page["receipts"]:
            assert page["receipts"][0]["xml"] == whole[0]["xml"]
            assert all("xml" not in e for e in page["receipts"][1:])
        assert page["next"] == whole[-1]["cursor"]
    behind = whole[-1]["cursor"].split(".")[0]
    assert zone.ask("GET", f"/api/receipts?after={behind}", key).json["receipts"] == []


def test_the_messages_alone_as_xml(zone: Zone) -> None:
    key = cleared(zone, 1)[AGENT[0]]
    reply = zone.ask("GET", "/api/receipts", key, accept="application/xml")
    assert reply.headers["Content-Type"].startswith("application/xml")
    root = etree.fromstring(reply.body)
    told = [etree.QName(each).localname for each in root]
    assert told == ["CEB622Message"] * 4 + ["CEB816Message"]
    assert root.get("next") == zone.ask("GET", "/api/receipts", key).json["next"]
    for each in root:
        alone = messages.parse(etree.tostring(each))
        assert not alone.refused


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("after=x", 400),
        ("after=-1", 400),
        ("after=1.1.1", 400),
        ("after=9999999999999999999", 400),
        ("after=999999999999999999", 200),
        ("after=%00", 400),
        ("wait=x", 400),
        ("wait=-1", 400),
        ("limit=0", 400),
        ("limit=99999999", 200),
        ("company=%00", 400),
        ("company=nobody", 404),
        ("other=1", 200),
    ],
)
def test_a_query_is_checked(zone: Zone, query: str, status: int) -> None:
    assert zone.ask("GET", f"/api/receipts?{query}", zone.key(PLATFORM[0])).status == status


def test_a_receipt_of_two_batches_never_hides_behind_a_cursor(zone: Zone) -> None:
    """Whoever reads between two batches and goes on from there has read everything at the end."""
    key = zone.key(PLATFORM[0])
    zone.lay_down(registry="open")
    seen: list[dict[str, Any]] = []
    after = "0.0"
    for number in range(1, 6):
        zone.post(key, message(order(number)))
        zone.work()
        page = zone.ask("GET", f"/api/receipts?after={after}", key).json
        seen += page["receipts"]
        after = page["next"]
    assert [e["cursor"] for e in seen] == [e["cursor"] for e in zone.receipts(key)]
    assert len(seen) == 5


def test_the_head_of_the_log_and_its_consistency(zone: Zone) -> None:
    key = zone.key(PLATFORM[0])
    assert zone.ask("GET", "/api/evidence/head", key).status == 404
    cleared(zone, 1)
    first = zone.ask("GET", "/api/evidence/head", key).json["head"]["size"]
    zone.post(key, message(order(9)))
    zone.work()
    last = zone.ask("GET", "/api/evidence/head", key).json
    assert last["note"].startswith(last["head"]["origin"])
    assert last["head"]["size"] > first
    query = f"old={first}&new={last['head']['size']}"
    reply = zone.ask("GET", f"/api/evidence/consistency?{query}", key)
    assert reply.status == 200
    assert all(len(each) == 64 for each in reply.json["path"])
    assert zone.ask("GET", "/api/evidence/consistency?old=5&new=2", key).status == 404
    assert zone.ask("GET", f"/api/evidence/head?size={first}", key).json["head"]["size"] == first
