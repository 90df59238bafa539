"""Tables that are loaded change decisions from their day on, and no decision that was made."""

from datetime import date
from pathlib import Path

import pytest
from dossiers import BO, CAI, Item, Window, parcel, rules

from tongguan import clearance, policy, store
from tongguan.policy import TableErrors

HEAD = "code,name_zh,unit1,unit2,mfn_pct,general_pct,interim_pct,vat_pct,consumption_tax,as_of"
MILK = "1901101090,配方奶粉,035,,15,40,5,{vat},0,2022-06-01"
PUZZLE = "9503006000,智力玩具,035,,0,80,,13,0,2022-06-01"
JUNE, JULY = "2022-06-30T23:59:59+08:00", "2022-07-01T00:00:00+08:00"


def load_tariff(window: Window, *rows: str, day: date = date(2022, 7, 1)) -> bool:
    file = window.folder / "tariff.csv"
    file.write_text("\n".join((HEAD, *rows)) + "\n", "utf-8")
    edition = policy.read_tariff(file, day)
    return store.transact(window.database, lambda conn: clearance.add_edition(conn, edition))


def load_list(window: Window, *codes: str, name: str = "zone") -> bool:
    file = window.folder / "list.csv"
    text = "version,code8,name,remark,source\n" + "".join(f"{name},{c},x,,test\n" for c in codes)
    file.write_text(text, "utf-8")
    edition = policy.read_positive_list(file, name, date(2022, 7, 1))
    return store.transact(window.database, lambda conn: clearance.add_edition(conn, edition))


def test_a_tariff_changes_decisions_from_its_day(window: Window) -> None:
    assert load_tariff(window, MILK.format(vat="6"), PUZZLE)
    before = window.clear(*parcel(1), at=JUNE).inventory
    after = window.clear(*parcel(2), at=JULY).inventory
    assert (before["tax"]["vat"], after["tax"]["vat"]) == ("9.10", "4.20")


def test_a_code_that_the_loaded_tariff_lacks_is_unknown(window: Window) -> None:
    load_tariff(window, PUZZLE)
    assert window.clear(*parcel(1), at=JUNE).inventory["status"] == 800
    assert rules(window.clear(*parcel(2), at=JULY).inventory) == ["goods.unknown-code"]


def test_a_positive_list_changes_decisions_from_its_day(window: Window) -> None:
    load_list(window, "95030060")
    assert window.clear(*parcel(1), at=JUNE).inventory["status"] == 800
    assert rules(window.clear(*parcel(2), at=JULY).inventory) == ["goods.not-listed"]
    load_list(window, "95030060", "19011010")
    assert window.clear(*parcel(3), at=JULY).inventory["status"] == 800


def test_loading_again_replaces_the_edition_of_that_name(window: Window) -> None:
    assert load_tariff(window, MILK.format(vat="6"))
    assert not load_tariff(window, MILK.format(vat="6"))  # the same: nothing changes
    assert load_tariff(window, MILK.format(vat="3"))
    assert window.clear(*parcel(), at=JULY).inventory["tax"]["vat"] == "2.10"
    rows = window.rows("SELECT name, in_force FROM policy_edition ORDER BY id")
    assert rows == [("2022-07-01", False), ("2022-07-01", True)]
    # One row of the first edition does not live on in the second.
    load_tariff(window, PUZZLE)
    assert rules(window.clear(*parcel(2), at=JULY).inventory) == ["goods.unknown-code"]


def test_old_decisions_are_explained_under_the_old_edition(window: Window) -> None:
    load_tariff(window, MILK.format(vat="6"))
    window.clear(*parcel(1), at=JULY)
    load_tariff(window, MILK.format(vat="3"))
    window.clear(*parcel(2, buyer=BO), at=JULY)
    load_list(window, "95030060")
    window.clear(*parcel(3, buyer=CAI), at=JULY)
    explained = [window.explain(f"O000000{no}")[0] for no in (1, 2, 3)]
    taxes = [each.documents[-1]["tax"] for each in explained]
    assert [tax and tax["vat"] for tax in taxes] == ["4.20", "2.10", None]
    assert len({each.policy_hash for each in explained}) == 3


def test_a_run_keeps_the_law_it_began_under(window: Window) -> None:
    under = window.settings(JULY)
    load_tariff(window, MILK.format(vat="6"))
    assert under.policy.hash != window.settings(JULY).policy.hash
    with window.database.borrow() as conn:
        assert clearance.current_policy(conn).hash == window.settings(JULY).policy.hash


def test_a_bad_row_loads_nothing(window: Window) -> None:
    before = window.settings(JULY).policy.hash
    with pytest.raises(TableErrors) as refused:
        load_tariff(window, PUZZLE, MILK.format(vat="x"), "19,短码,035,,1,1,,13,0,2022-06-01")
    assert {error.line for error in refused.value.errors} == {3, 4}
    assert window.rows("SELECT * FROM policy_edition") == []
    assert window.settings(JULY).policy.hash == before


def test_a_list_accepted_under_the_old_law_is_decided_under_it(window: Window) -> None:
    load_tariff(window, MILK.format(vat="6"))
    papers = parcel(1)
    window.clear(*papers[1:], at=JUNE)  # the list is accepted in June, and waits
    window.clear(papers[0], at=JULY)
    [found] = window.explain("O0000001")
    assert found.documents[-1]["tax"]["vat"] == "9.10"
    assert found.day == date(2022, 6, 30)


def test_a_year_is_that_of_the_day_of_acceptance(window: Window) -> None:
    papers = parcel(1, items=(Item("15000"),))
    window.clear(*papers[1:], at="2021-12-31T20:00:00+08:00")
    window.clear(papers[0], *parcel(2, items=(Item("15000"),)), at="2022-01-01T08:00:00+08:00")
    assert list(window.allowance(2021).values()) == [15_000_00]
    assert list(window.allowance(2022).values()) == [15_000_00]


def test_a_day_outside_the_known_law_is_an_error(window: Window) -> None:
    with pytest.raises(policy.OutsideKnown):
        window.settings("2012-04-14T12:00:00+08:00")
    with pytest.raises(policy.OutsideKnown):
        window.settings("2027-01-01T00:00:00+08:00")


def test_the_folder_of_tables_is_needed_no_more(window: Window, tmp_path: Path) -> None:
    load_tariff(window, MILK.format(vat="6"))
    (window.folder / "tariff.csv").unlink()
    assert window.clear(*parcel(), at=JULY).inventory["tax"]["vat"] == "4.20"
