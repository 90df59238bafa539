"""Arrival lists (CEB711) and parcels signed for (CEB513): 400 → 800 → 899, in any order."""

import itertools

import pytest
from dossiers import (
    BO,
    Window,
    arrival,
    cancellation,
    inventory,
    order,
    parcel,
    payment,
    signed_for,
    waybill,
)
from psycopg.errors import UndefinedTable

from tongguan import store
from tongguan.clearance import models
from tongguan.clearance.record import UnknownArrival
from tongguan.sharing import registry

DIRECT = {"mode": "9610"}


def test_arrivals_are_assumed_unless_they_are_required(window: Window) -> None:
    done = window.clear(*parcel(1, **DIRECT))
    assert done.inventory["history"] == [2, 120, 399, 800]


def test_a_direct_purchase_waits_for_its_arrival(window: Window) -> None:
    done = window.clear(*parcel(1, **DIRECT), arrivals="required")
    assert done.inventory["history"] == [2, 120, 399, 400]
    assert window.status(waybill()) == [(120, True)]
    later = window.clear(arrival(), at="2022-06-03T08:00:00+08:00", arrivals="required")
    assert window.status(inventory()) == [(800, True)]
    [told] = later.returns("CEB622")
    assert (told["returnStatus"], (told["returnTime"] or "")[:8]) == ("800", "20220603")
    assert told["invtNo"]


def test_bonded_goods_are_here_already(window: Window) -> None:
    done = window.clear(*parcel(), arrivals="required")
    assert done.inventory["history"] == [2, 120, 399, 800]


def test_another_parcels_arrival_releases_nothing(window: Window) -> None:
    window.clear(*parcel(1, **DIRECT), arrival(2), arrivals="required")
    assert window.status(inventory()) == [(400, True)]


def test_one_list_names_many_parcels(window: Window) -> None:
    window.clear(*parcel(1, **DIRECT), *parcel(2, buyer=BO, **DIRECT), arrivals="required")
    both = arrival()
    both = type(both)(
        both.kind, both.head, (*both.lines, {"gnum": "2", "logisticsNo": "L0000002"}), both.sender
    )
    window.clear(both, arrivals="required")
    assert window.status(inventory(1)) == window.status(inventory(2)) == [(800, True)]


def test_signed_for_closes_the_list(window: Window) -> None:
    window.clear(*parcel(), *parcel(2, buyer=BO))
    done = window.clear(signed_for(), at="2022-06-04T10:00:00+08:00")
    assert window.status(inventory(1)) == [(899, True)]
    assert window.status(inventory(2)) == [(800, True)]
    assert [r["returnStatus"] for r in done.returns("CEB622")] == ["899"]
    assert [r["returnStatus"] for r in done.returns("CEB514")] == ["2", "120"]


@pytest.mark.parametrize("cut", ["batch", "runs"])
@pytest.mark.parametrize("turn", range(6))
def test_whatever_comes_first(window: Window, turn: int, cut: str) -> None:
    """The parcel's papers, its arrival and its signature in every order: the end is one."""
    groups = ([*parcel(1, **DIRECT)], [arrival()], [signed_for()])
    papers = [p for group in list(itertools.permutations(groups))[turn] for p in group]
    if cut == "batch":
        window.clear(*papers, arrivals="required")
    else:
        for paper in papers:
            window.clear(paper, arrivals="required")
    assert window.status(inventory()) == [(899, True)]
    history = window.rows("SELECT after FROM event WHERE kind = 621 ORDER BY seq")
    assert [after for (after,) in history] == [2, 120, 399, 400, 800, 899]
    assert window.rows("SELECT * FROM early") == []


def test_signed_for_alone_does_not_release(window: Window) -> None:
    window.clear(*parcel(1, **DIRECT), signed_for(), arrivals="required")
    assert window.status(inventory()) == [(400, True)]
    window.clear(arrival(), arrivals="required")
    assert window.status(inventory()) == [(899, True)]


def test_a_cancelled_parcel_stays_cancelled(window: Window) -> None:
    window.clear(*parcel(1, **DIRECT), arrivals="required")
    window.clear(cancellation(), arrival(), signed_for(), arrivals="required")
    assert window.status(inventory()) == [(100, True)]


def test_an_arrival_before_the_cancellation_counts(window: Window) -> None:
    window.clear(*parcel(1, **DIRECT), arrivals="required")
    window.clear(arrival(), cancellation(), arrivals="required")
    assert window.status(inventory()) == [(800, True)]
    assert window.status(cancellation()) == [(100, True)]


@pytest.mark.parametrize("key", ["O0000001", "C0000001", "L0000001", "invt_no"])
def test_the_park_says_that_a_parcel_is_there(window: Window, key: str) -> None:
    window.clear(*parcel(1, **DIRECT), signed_for(), arrivals="required")
    if key == "invt_no":
        [(key,)] = window.rows("SELECT invt_no FROM document WHERE invt_no IS NOT NULL")
    [line] = window.arrive(key, "2022-06-05T10:00:00+08:00")
    assert line["history"] == [2, 120, 399, 400, 800, 899]
    [again] = window.arrive(key, "2022-06-06T10:00:00+08:00")
    assert again["events"] == line["events"]


def test_the_park_names_what_nobody_awaits(window: Window) -> None:
    window.clear(inventory(mode="9610"), arrivals="required")
    with pytest.raises(UnknownArrival, match="O0000001"):
        window.arrive("O0000001", "2022-06-05T10:00:00+08:00")


def test_a_number_used_anew_closes_the_new_parcel(window: Window) -> None:
    window.clear(*parcel(), signed_for())
    again = [order(2), payment(2), waybill(logisticsNo="L0000001", orderNo="O0000002")]
    late = "2023-01-10T12:00:00+08:00"
    window.clear(*again, inventory(2, logisticsNo="L0000001"), at=late)
    assert window.status(inventory(2)) == [(800, True)]
    window.clear(signed_for().again(), at="2023-01-12T12:00:00+08:00")
    assert window.status(inventory(2)) == [(899, True)]
    assert len(window.rows("SELECT FROM event WHERE after = 899")) == 2


def test_what_was_told_of_a_number_long_ago_is_forgotten(window: Window) -> None:
    window.clear(signed_for())
    assert len(window.rows("SELECT FROM early")) == 1
    window.sweep("2022-11-30T12:00:00+08:00")
    assert len(window.rows("SELECT FROM early")) == 1
    window.sweep("2022-12-02T12:00:00+08:00")
    assert window.rows("SELECT FROM early") == []


def test_what_two_workers_missed_is_swept_up(window: Window) -> None:
    """A signature kept although its list was released meanwhile: the next sweep closes it."""
    window.clear(*parcel())
    with window.database.connect() as conn:
        conn.execute(
            "INSERT INTO early VALUES (513, '3301960L01', 'L0000001', %s)",
            (window.settings().at_ms,),
        )
    window.sweep("2022-06-02T12:00:00+08:00")
    assert window.status(inventory()) == [(899, True)]


def test_a_database_from_before_gets_the_new_tables(database: store.Database) -> None:
    """Step 5 on a database that stands at step 4: the year's entries are filled in."""

    with database.connect() as conn:
        store.migrate(conn, "sharing", registry.STEPS)
        store.migrate(conn, "clearance", models.steps()[:4])
        with pytest.raises(UndefinedTable), conn.transaction():
            conn.execute("SELECT FROM allowance_entry")
        conn.execute("INSERT INTO batch VALUES (7, 1234)")
        conn.execute(
            """INSERT INTO decision VALUES (5, 7, '2022-06-01', 'p', 1, 2, 3, 'b', 'retail-import',
            false, true, 100, 0, 0, 9, 9, 100, 0, 100)"""
        )
        store.migrate(conn, "clearance", models.steps())
        found = conn.execute("SELECT buyer, year, document_id, at, fen, what FROM allowance_entry")
        assert found.fetchall() == [("b", 2022, 5, 1234, 100, "use")]
