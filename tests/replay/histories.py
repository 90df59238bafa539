"""A window that was worked with for some weeks, and its history."""

from pathlib import Path

from dossiers import ANNA, BO, Item, Window, cancellation, parcel, payment, returned

from tongguan import replay

FOUR = [Item(price="4000")]
RATTLE = Item(price="1500", qty="2")


def lived(window: Window) -> None:
    """Anna buys too much, sends two parcels back, buys again; Bo's papers differ; one cancels."""
    first = [p for n in range(1, 8) for p in parcel(n, items=FOUR)]
    window.clear(*first, *parcel(20, buyer=BO, items=[RATTLE, Item(price="900")]))
    wrong = parcel(21, buyer=BO)
    wrong[1] = payment(21, buyer=BO, amountPaid="1")
    window.clear(*wrong, at="2022-06-02T09:00:00+08:00")
    window.clear(returned(1, items=FOUR), at="2022-06-03T12:00:00+08:00")
    half = returned(20, buyer=BO, items=[RATTLE, Item(price="900")], part=["1", ""])
    window.clear(half, at="2022-06-03T13:00:00+08:00")
    window.arrive("R0000001", "2022-06-10T12:00:00+08:00")
    window.arrive("R0000020", "2022-06-10T13:00:00+08:00")
    at = "2022-06-11T12:00:00+08:00"
    direct = parcel(22, items=[Item(price="4500")], mode="9610")
    window.clear(*direct, at=at, arrivals="required")
    window.clear(cancellation(22), at="2022-06-12T12:00:00+08:00")
    window.clear(*parcel(23, items=[Item(price="4900")]), at="2022-07-01T12:00:00+08:00")
    window.clear(*parcel(24, buyer=ANNA), at="2022-07-02T12:00:00+08:00")


def history(window: Window, folder: Path) -> replay.History:
    replay.export(window.database, folder)
    return replay.History.open(folder)
