"""Days a lawyer can count: each case is a parcel released at one time and an act at another."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import yaml
from dossiers import PLATFORM, Item, Window, parcel, returned
from psycopg.conninfo import make_conninfo

from tongguan import clearance, store

KEYS = {"zh", "en", "act", "released", "acted", "expected", "law", "secured"}
GOODS = (Item("1000"),)
"""13 % × 70 % of 1,000 yuan: 91.00."""

CASES = [
    pytest.param(case, id=f"{path.stem}: {case['en']}")
    for path in sorted((Path(__file__).parent / "deadlines").glob("*.yaml"))
    for case in yaml.safe_load(path.read_text("utf-8"))
]


@pytest.fixture(scope="module")
def shelf(server: store.Database) -> store.Database:
    """The server, with a database that has all tables and nothing in them."""
    with server.connect(autocommit=True) as conn:
        conn.execute("CREATE DATABASE deadlines")
    with store.open(make_conninfo(server.url, dbname="deadlines")) as database:
        clearance.prepare_database(database)
    return server


@pytest.fixture
def window(shelf: store.Database, tmp_path: Path) -> Iterator[Window]:
    """A window of its own for each case: copying the tables is quicker than making them."""
    with shelf.connect(autocommit=True) as conn:
        conn.execute("CREATE DATABASE deadline TEMPLATE deadlines")
    with store.open(make_conninfo(shelf.url, dbname="deadline")) as database:
        yield Window(database, store.Vault(bytes(range(32))), tmp_path)
    with shelf.connect(autocommit=True) as conn:
        conn.execute("DROP DATABASE deadline WITH (FORCE)")


def applied(window: Window, case: dict) -> str:
    status = window.clear(returned(items=GOODS), at=case["acted"]).one("return")["status"]
    return {399: "accepted", 100: "refused"}[status]


def arrived(window: Window, case: dict) -> str:
    soon = datetime.fromisoformat(case["released"]) + timedelta(days=1)
    window.clear(returned(items=GOODS), at=soon.isoformat())
    [line] = window.arrive("R0000001", case["acted"])
    return {899: "in time", 100: "too late"}[line["status"]]


def settled(window: Window, case: dict) -> list[dict]:
    return clearance.settle(window.database, window.settings(case["acted"])).lines


def due(window: Window, case: dict) -> str:
    lines = settled(window, case)
    return " ".join(f"{line['due_from']} to {line['due_to']}" for line in lines) or "nothing"


def fee(window: Window, case: dict) -> str:
    [line] = settled(window, case)
    return line["fee"]


def claim(window: Window, case: dict) -> str:
    [line] = settled(window, case)
    return line["status"]


ACTS = {
    "apply": (applied, "returns.apply-days"),
    "arrive": (arrived, "returns.arrive-days"),
    "due": (due, "settlement.due-from-day"),
    "fee": (fee, "settlement.late-fee"),
    "claim": (claim, "settlement.enforce-after-days"),
}
"""How a case is acted out, and the parameter that decides it."""


@pytest.mark.parametrize("case", CASES)
def test_the_day_counts_as_the_case_says(case: dict, window: Window) -> None:
    act, parameter = ACTS[case["act"]]
    if case.get("secured", True):
        under = window.settings(case["released"])
        clearance.open_guarantee(window.database, under, PLATFORM[0], "deposit", 1_000_00)
    done = window.clear(*parcel(items=GOODS), at=case["released"])
    assert done.inventory["status"] == 800
    assert done.inventory["tax"]["total"] == "91.00"
    assert act(window, case) == case["expected"]
    assert window.settings(case["acted"]).law.value(parameter).law == case["law"]


def test_the_cases_are_well_formed_and_many() -> None:
    cases = [param.values[0] for param in CASES]
    assert len(cases) >= 35
    for case in cases:
        assert case.keys() <= KEYS, case
        assert case["zh"], case
        for moment in ("released", "acted"):
            assert datetime.fromisoformat(case[moment]).tzinfo, case
    assert {case["act"] for case in cases} == ACTS.keys()
    assert len({(case["act"], case["en"]) for case in cases}) == len(cases)
