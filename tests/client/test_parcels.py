"""The state of a client: the same, whatever order receipts come in and however often."""

from hypothesis import given
from hypothesis import strategies as st

from tongguan.client import Parcels, Receipt
from tongguan.client.parcels import key_of

STATUSES = st.sampled_from([2, 100, 120, 300, 399, 400, 500, 800, 899, -621001])
KEYS = {
    "CEB312": ("ebpCode", "ebcCode", "orderNo"),
    "CEB412": ("payCode", "payTransactionId"),
    "CEB622": ("ebcCode", "copNo"),
    "CEB818": ("taxNo",),
    "CEB900": ("oriCopMsgId",),
}


@st.composite
def streams(draw: st.DrawFn) -> list[Receipt]:
    """Receipts as a gateway has them: their cursors only rise."""
    position, place, found = draw(st.integers(0, 10**6)), 0, []
    for n in range(draw(st.integers(0, 25))):
        if draw(st.booleans()):
            position, place = position + draw(st.integers(1, 90)), 0
        place += 1
        type_ = draw(st.sampled_from(sorted(KEYS)))
        number = draw(st.sampled_from(["1", "2", "3"]))
        key = dict.fromkeys(KEYS[type_], number)
        if draw(st.booleans()):
            key |= {"invtNo": f"I{n}"}
        first = place == 1
        found.append(
            Receipt(
                cursor=f"{position}.{place}",
                message=type_,
                key=key,
                status=draw(STATUSES),
                info=f"text {n}",
                xml="<m/>" if first else None,
            )
        )
    return found


def model(receipts: list[Receipt]) -> dict[object, list[int | None]]:
    """The history of each document, read in order: nothing else is needed to know the state."""
    found: dict[object, list[int | None]] = {}
    for receipt in receipts:
        found.setdefault(key_of(receipt), []).append(receipt.status)
    return found


@given(streams(), st.data())
def test_any_order_and_any_repetition_leads_to_the_same_state(
    stream: list[Receipt], data: st.DataObject
) -> None:
    undisturbed = Parcels()
    undisturbed.add(stream)
    again = data.draw(st.lists(st.sampled_from(stream), max_size=40)) if stream else []
    without_xml = [
        Receipt(cursor=r.cursor, message=r.message, key=r.key, status=r.status, info=r.info)
        for r in again
    ]
    disturbed = data.draw(st.permutations([*stream, *again, *without_xml]))
    other = Parcels()
    cut = data.draw(st.integers(0, len(disturbed)))
    other.add(disturbed[:cut])
    other.add(disturbed[cut:])
    assert other == undisturbed
    assert other.facts() == undisturbed.facts()
    history = {(each.type, tuple(each.key.items())): each.history for each in other}
    assert history == model(stream)
    for document in other:
        assert document.status == document.history[-1]


def receipt(cursor: str, status: int, type_: str = "CEB622", **key: str) -> Receipt:
    named = {"ebcCode": "S", "copNo": "C1"} | key if type_ == "CEB622" else key
    return Receipt(cursor=cursor, message=type_, key=named, status=status)


def test_the_last_cursor_speaks_not_the_last_to_come() -> None:
    parcels = Parcels()
    parcels.add([receipt("10.1", 800, invtNo="I1"), receipt("9.2", 120), receipt("9.1", 2)])
    [document] = parcels
    assert document.history == [2, 120, 800]
    assert document.released
    assert not document.refused
    assert document.numbers == {"copNo": "C1", "invtNo": "I1"}


def test_a_bill_and_its_payment_are_one_and_refused_messages_each_their_own() -> None:
    parcels = Parcels()
    parcels.add([receipt("1.1", 1, "CEB816", taxNo="T"), receipt("2.1", 2, "CEB818", taxNo="T")])
    parcels.add([receipt("3.1", -999999, "CEB900"), receipt("4.1", -999999, "CEB900")])
    assert [(each.type, each.history) for each in parcels] == [
        ("CEB816", [1, 2]),
        ("CEB900", [-999999]),
        ("CEB900", [-999999]),
    ]


def test_documents_are_found_by_any_number_of_theirs_and_not_by_a_company() -> None:
    parcels = Parcels()
    parcels.add([receipt("1.1", 2), receipt("2.1", 120, invtNo="I1")])
    assert parcels.find("C1") == parcels.find("I1") != []
    assert parcels.find("S") == []
