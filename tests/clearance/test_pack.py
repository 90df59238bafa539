"""The evidence pack of a parcel: it shows that parcel and no other, and whatever is changed in it
is found, also by a window that seals the change with its own key."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from dossiers import (
    ANNA,
    BO,
    CAI,
    PLATFORM,
    Paper,
    Window,
    cancellation,
    identity,
    message,
    parcel,
    returned,
    signed_for,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

from tongguan import clearance, messages, store
from tongguan.clearance.pack import canonical
from tongguan.sharing import evidence, heads

SIGNER = heads.Signer(bytes(range(32)))
LATER = "2022-06-02T12:00:00+08:00"
DUE = "2022-07-20T12:00:00+08:00"


def body(window: Window, key: str) -> dict[str, Any]:
    evidence.sequence(window.database, SIGNER, window.settings().at_ms)
    with window.database.connect() as conn:
        return clearance.pack(conn, window.vault, key)


def made(window: Window, key: str) -> bytes:
    return clearance.sealed(body(window, key), SIGNER)


def failures(data: bytes) -> list[str]:
    return [f"{check.what}: {check.detail}" for check in clearance.verify(data).failed]


def all_good(data: bytes) -> list[str]:
    """What was checked, after nothing of it failed and all of it could be."""
    with_key = clearance.verify(data, (origin(data), SIGNER.public))
    assert with_key.failed == []
    assert [check.what for check in with_key.made if check.ok is None] == []
    return [check.what for check in with_key.made]


def origin(data: bytes) -> str:
    return str(json.loads(data)["pack"]["head"]["origin"])


def shown(data: bytes) -> list[tuple[str, str]]:
    """Kind and text of the documents that a pack shows."""
    return [
        (document["kind"], document["text"])
        for each in json.loads(data)["pack"]["messages"]
        for document in each["documents"]
        if "text" in document
    ]


def together(window: Window, *parcels: list[Paper]) -> None:
    """Parcels whose documents of one kind share a message."""
    window.clear(*(paper for kind in zip(*parcels, strict=True) for paper in kind))


def test_a_released_parcel_is_proved_and_its_neighbours_stay_unseen(window: Window) -> None:
    together(window, parcel(1, buyer=BO), parcel(2), parcel(3, buyer=CAI))
    data = made(window, "O0000002")
    told = all_good(data)
    assert any("the inventory (2 → 120 → 399 → 800) is told in a receipt" in what for what in told)
    assert any("decided again from its documents" in what and "9.10" in what for what in told)
    assert any("the bill is over the tax that was decided (9.10)" in what for what in told)
    assert [kind for kind, _ in shown(data)] == ["order", "payment", "waybill", "inventory"]
    assert all("O0000002" in text for _, text in shown(data))
    text = data.decode()
    for stranger in (BO, CAI):
        for secret in (stranger.name, stranger.number, stranger.phone):
            assert secret not in text
    for number in ("O0000001", "C0000003", "T0000001", "L0000003"):
        assert number not in text
    assert ANNA.number in text


def test_the_same_pack_is_made_again(window: Window) -> None:
    window.clear(*parcel(1))
    assert made(window, "O0000001") == made(window, "O0000001")
    assert (
        json.loads(made(window, "O0000001"))["pack"]["parcels"]
        == (json.loads(made(window, "C0000001"))["pack"]["parcels"])
    )


def test_a_refused_parcel_is_proved_with_its_reasons(window: Window) -> None:
    order, payment, waybill, inventory = parcel(1)
    window.clear(order, payment.but(amountPaid="99"), waybill, inventory)
    data = made(window, "O0000001")
    assert any("say what was decided (refused)" in what for what in all_good(data))
    [one] = json.loads(data)["pack"]["parcels"]
    [found] = one["decision"]["findings"]
    assert (found["rule"], found["expected"], found["actual"]) == (
        "match.amount",
        "100.00",
        "99.00",
    )


def test_a_parcel_that_still_waits_is_proved_as_far_as_it_is(window: Window) -> None:
    order, payment, _, inventory = parcel(1)
    window.clear(order, payment, inventory)
    data = made(window, "O0000001")
    assert failures(data) == []
    assert [kind for kind, _ in shown(data)] == ["order", "payment", "inventory"]
    checks = clearance.verify(data, (origin(data), SIGNER.public)).made
    assert [c.what for c in checks if c.ok is None] == ["parcel 1: it has not been decided"]


def test_a_document_that_belongs_to_no_list_is_proved_alone(window: Window) -> None:
    window.clear(parcel(1)[1])
    data = made(window, "T0000001")
    assert [kind for kind, _ in shown(data)] == ["payment"]
    assert failures(data) == []


def test_what_follows_release_is_in_the_pack(window: Window) -> None:
    """Bill, payment summary, status of the waybill, return; each told in a receipt."""
    clearance.open_guarantee(window.database, window.settings(), PLATFORM[0], "deposit", 10**6)
    window.clear(*parcel(1), *parcel(2, buyer=BO))
    window.clear(signed_for(1), at=LATER)
    window.clear(returned(1), at=LATER)
    window.arrive("R0000001", LATER)
    clearance.settle(window.database, window.settings(DUE))
    data = made(window, "O0000001")
    told = all_good(data)
    for kind, way in (("return", "2 → 120 → 399 → 899"), ("waybill-status", "2")):
        assert any(f"the {kind} ({way}" in what for what in told), "\n".join(told)
    kinds = [kind for kind, _ in shown(data)]
    assert kinds == ["order", "payment", "waybill", "inventory", "waybill-status", "return"]
    types = {each["type"] for each in json.loads(data)["pack"]["receipts"]}
    assert {"CEB816", "CEB818", "CEB622", "CEB626", "CEB514"} <= types
    assert BO.number not in data.decode()


def test_changes_and_a_cancellation_are_in_the_pack(window: Window) -> None:
    order, payment, waybill, inventory = parcel(1, mode="9610")
    wrong = payment.but(amountPaid="99")
    window.clear(order, wrong, waybill, inventory, arrivals="required")
    window.clear(wrong.changed(amountPaid="100"), arrivals="required", at=LATER)
    window.clear(inventory.changed(), arrivals="required", at=LATER)
    window.clear(cancellation(1), arrivals="required", at=LATER)
    data = made(window, "O0000001")
    all_good(data)
    kinds = [kind for kind, _ in shown(data)]
    assert kinds.count("inventory") == 2
    assert "cancellation" in kinds
    assert len(json.loads(data)["pack"]["parcels"]) == 2


def test_a_payment_that_names_another_order_is_withheld(window: Window) -> None:
    """The order of Anna names the payment that Bo made for another one."""
    order, _, waybill, inventory = parcel(1)
    other = parcel(2, buyer=BO)[1]
    window.clear(order.but(payTransactionId="T0000002"), other, waybill, inventory)
    data = made(window, "O0000001")
    assert failures(data) == []
    assert BO.number not in data.decode()
    unknown = [check.what for check in clearance.verify(data).made if check.ok is None]
    assert any("the payment, is withheld: it names another order" in what for what in unknown)
    assert any("not decided again, the pack does not show payment" in what for what in unknown)


def test_a_message_that_hides_its_documents_shows_none(window: Window) -> None:
    """A tag in a comment: the bytes do not come apart where the documents do."""
    order, payment, waybill, inventory = parcel(1)
    both = message(order, parcel(2, buyer=BO)[0])
    tricked = both.replace(b"<ceb:Order>", b"<!--<ceb:Order>--><ceb:Order>", 1)
    window.clear(tricked, payment, waybill, inventory)
    data = made(window, "O0000001")
    assert failures(data) == []
    assert BO.number not in data.decode()
    assert [kind for kind, _ in shown(data)] == ["payment", "waybill", "inventory"]


@pytest.mark.parametrize("form", ["gb", "envelope", "lines"])
def test_whatever_form_a_message_came_in_it_is_proved(window: Window, form: str) -> None:
    order, payment, waybill, inventory = parcel(1)
    both = message(order, parcel(2, buyer=BO)[0])
    if form == "gb":
        both = both.decode().replace("UTF-8", "GBK").encode("gb18030")
    elif form == "lines":
        both = both.replace(b"><", b">\r\n\t<")
    else:
        both = messages.envelope(
            both,
            "1",
            "DXPENT0000000001",
            ["DXPEDCCEB0000002"],
            "2022-06-01T12:00:00",
            "CEB311Message",
        )
    window.clear(both, payment, waybill, inventory)
    data = made(window, "O0000001")
    all_good(data)
    [facts] = [m for m in json.loads(data)["pack"]["messages"] if m["type"] == "CEB311"]
    [document] = facts["documents"]
    assert (set(document["text"]) == {"hex"}) is (form == "gb")


def test_a_decision_under_another_law_is_told_not_decided_again(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    window.clear(*parcel(1))
    data = made(window, "O0000001")
    facts = json.loads(data)["pack"]
    facts["parcels"][0]["decision"]["policy"] = "0" * 64
    facts["parcels"][0]["explanation"]["policy"] = "0" * 64
    again = clearance.sealed(facts, SIGNER)
    assert failures(again) == []
    unknown = [check.what for check in clearance.verify(again).made if check.ok is None]
    assert any("this program has" in what for what in unknown)


def test_what_is_not_in_the_log_cannot_be_proved(window: Window) -> None:
    window.clear(*parcel(1))
    with window.database.connect() as conn:
        with pytest.raises(evidence.UnknownPosition, match="no leaves yet"):
            clearance.pack(conn, window.vault, "O0000001")
        conn.rollback()
        with pytest.raises(clearance.UnknownKey, match="no document has the number"):
            clearance.pack(conn, window.vault, "O0000009")
        conn.rollback()
        evidence.append(conn, 1, evidence.MESSAGE, [99], [bytes(32)])
        conn.commit()
    window.rows("SELECT 1")
    with window.database.connect() as conn:
        # As in a database that was there before the log.
        conn.execute("TRUNCATE evidence_run")
        evidence.append(conn, 1, evidence.MESSAGE, [99], [bytes(32)])
        conn.commit()
    with pytest.raises(evidence.UnknownPosition, match="recorded before the log began"):
        body(window, "O0000001")


# --- changes --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pack(server: store.Database, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A pack of one of two parcels."""
    with server.connect(autocommit=True) as conn:
        conn.execute("CREATE DATABASE packed")
    with store.open(make_conninfo(server.url, dbname="packed")) as database:
        clearance.prepare_database(database)
        window = Window(database, store.Vault(bytes(range(32))), tmp_path_factory.mktemp("pack"))
        together(window, parcel(1), parcel(2, buyer=BO))
        data = made(window, "O0000001")
    with server.connect(autocommit=True) as conn:
        conn.execute("DROP DATABASE packed WITH (FORCE)")
    all_good(data)
    return data


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_one_changed_byte_anywhere_fails(pack: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(pack) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != pack[place]))
    assert failures(pack[:place] + bytes([byte]) + pack[place + 1 :]), (place, byte)


def test_a_pack_that_is_cut_off_or_written_otherwise_fails(pack: bytes) -> None:
    assert failures(pack[:-1]) == ["the pack is written as packs are: in another form"]
    assert failures(json.dumps(json.loads(pack)).encode())
    assert failures(pack[: len(pack) // 2])


def _order(facts: dict[str, Any]) -> dict[str, Any]:
    [found] = [m for m in facts["messages"] if m["type"] == "CEB311"]
    return found


def _receipt(facts: dict[str, Any], type_: str = "CEB622") -> dict[str, Any]:
    return next(each for each in facts["receipts"] if each["type"] == type_)


def _text(facts: dict[str, Any], old: str, new: str) -> None:
    document = facts["documents"][0]
    assert old in document["text"]
    document["text"] = document["text"].replace(old, new)


def _frame(facts: dict[str, Any], part: str, old: str, new: str) -> None:
    assert old in facts["frame"][part]
    facts["frame"][part] = facts["frame"][part].replace(old, new)


RESEALED: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a buyer": (
        lambda f: _text(_order(f), ANNA.number, identity("19900307", 13)),
        "the order, is what was logged",
    ),
    "a blind": (
        lambda f: _order(f)["documents"][0].update(blind="00" * 16),
        "the order, is what was logged",
    ),
    "a place": (lambda f: _order(f)["documents"][0].update(place=2), "is what was logged"),
    "a place of none": (lambda f: _order(f)["documents"][0].update(place=9), "is what was logged"),
    "a sender": (
        lambda f: _order(f)["frame"].update(
            tail=_order(f)["frame"]["tail"].replace("明日", "昨日")
        ),
        "what stands around its documents",
    ),
    "a digest": (
        lambda f: _order(f)["digests"].__setitem__(4, "00" * 32),
        "message 1 (CEB311): it is leaf",
    ),
    "a position": (lambda f: _order(f).update(position=1), "message 1 (CEB311): it is leaf"),
    "a path": (lambda f: _order(f)["path"].pop(), "message 1 (CEB311): it is leaf"),
    "a receipt": (lambda f: _text(_receipt(f), ">2<", ">800<"), "document 1 is what was logged"),
    "a receipt's number": (lambda f: _receipt(f).update(receipt=99), "receipt 99 (CEB622): it is"),
    "a receipt's head": (
        lambda f: _receipt(f)["frame"].update(
            head=_receipt(f)["frame"]["head"].replace("1.0", "1.1")
        ),
        "what stands around its documents",
    ),
    "a receipt left out": (
        lambda f: f["receipts"].remove(_receipt(f)),
        "each step of the inventory",
    ),
    "a receipt's type": (lambda f: _receipt(f).update(type="CEB624"), "can be read"),
    "a bill left standing": (
        lambda f: f["parcels"][0]["decision"]["outcome"].update(vat_fen=1, total_fen=1),
        "the bill is over the tax that was decided",
    ),
    "a tax": (
        lambda f: f["parcels"][0]["decision"]["lines"][0].update(vat_fen=1),
        "decided again from its documents",
    ),
    "a year": (
        lambda f: f["parcels"][0]["decision"].update(used_before_fen=2_600_000),
        "decided again from its documents",
    ),
    "an outcome": (
        lambda f: f["parcels"][0]["decision"]["outcome"].update(refused=True),
        "say what was decided",
    ),
    "a day": (
        lambda f: f["parcels"][0]["decision"].update(day="2018-06-01"),
        "decided again from its documents",
    ),
    "a finding": (
        lambda f: f["parcels"][0]["decision"]["findings"].append(
            dict.fromkeys(("document", "field", "gnum", "expected", "actual")) | {"rule": "match.x"}
        ),
        "decided again from its documents",
    ),
    "a step of the derivation": (
        lambda f: f["parcels"][0]["explanation"]["derivation"][0].update(value="0.01"),
        "the explanation's derivation",
    ),
    "a comparison": (
        lambda f: f["parcels"][0]["explanation"]["compared"][0].update(equal=False),
        "the explanation's compared",
    ),
    "a history": (
        lambda f: f["parcels"][0]["explanation"]["documents"][0].update(history=[2, 100]),
        "is told in a receipt",
    ),
    "no decision that can be read": (
        lambda f: f["parcels"][0]["decision"].pop("outcome"),
        "its decision or explanation cannot be read",
    ),
    "a paper of another kind": (
        lambda f: f["parcels"][0]["papers"].update(order=f["parcels"][0]["papers"]["payment"]),
        "its documents cannot be read",
    ),
    "text as hex": (
        lambda f: _order(f)["documents"][0].update(
            text={"hex": _order(f)["documents"][0]["text"].encode().hex()}
        ),
        "not written as packs write it",
    ),
    "a step beside": (
        lambda f: f["others"].append({"document": "return", "key": {}, "history": [2]}),
        "its steps cannot be read",
    ),
    "a head": (lambda f: f["head"].update(size=f["head"]["size"] + 1), "does not verify"),
    "the form": (lambda f: f.update(form="another"), "another"),
    "more than is proved": (lambda f: f.update(comment="x"), "what nothing proves: comment"),
}


@pytest.mark.parametrize(("change", "said"), RESEALED.values(), ids=RESEALED)
def test_a_window_that_seals_a_change_is_found_out(
    pack: bytes, change: Callable[[dict[str, Any]], Any], said: str
) -> None:
    facts = json.loads(pack)["pack"]
    change(facts)
    found = failures(clearance.sealed(facts, SIGNER))
    assert any(said in each for each in found), found
    assert not any("the seal" in each for each in found)


def test_another_key_seals_nothing(pack: bytes) -> None:
    forged = clearance.sealed(json.loads(pack)["pack"], heads.Signer(bytes(32)))
    [said] = failures(forged)
    assert "the seal: its key is that of the log" in said


def test_all_changes_are_named(pack: bytes) -> None:
    facts = json.loads(pack)
    for name in ("a buyer", "a receipt", "a step of the derivation", "a history"):
        RESEALED[name][0](facts["pack"])
    found = "\n".join(failures(canonical(facts) + b"\n"))
    for name in ("a buyer", "a receipt", "a history"):
        assert RESEALED[name][1] in found
    assert "the seal: nothing in the pack was changed" in found
