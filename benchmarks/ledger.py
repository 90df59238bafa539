"""What the ledger costs: clearing with guarantees and tax bills against clearing without them.

Both sides clear the same messages, each into a database of its own, in turns in one run; the least
of ROUNDS counts. With: every guarantor has a guarantee that carries everything, so each list is
held, posted, billed and told. Without: nobody has one, and this benchmark takes out the bills and
the question what guarantees hold; the product has no such switch.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import polars as pl
from benchmarks.clearance import AT, Cost, measured, part, per_parcel, postmaster

from tongguan import clearance, finance, store
from tongguan.clearance import taxing

ROUNDS = 3
MOST = 10_000
GUARANTEE_FEN = 10**13
GOAL = 0.25


def main(scale: int) -> None:
    """Clear up to MOST parcels on both sides, print CPU and wall of both, and the ratio."""
    parcels = min(scale, MOST)
    with tempfile.TemporaryDirectory(prefix="tg-bench-") as name:
        home = Path(name)
        home.chmod(0o711)
        part(home, 1, parcels)
        costs: dict[bool, list[Cost]] = {True: [], False: []}
        for number in range(ROUNDS):
            for secured in (False, True):
                place = home / f"{number}{secured}"
                costs[secured].append(cleared(place, home / "messages", secured))
    without, with_it = (least(costs[secured]) for secured in (False, True))
    for label, cost in (("without the ledger", without), ("with the ledger", with_it)):
        print(
            f"{label:20} {per_parcel(cost.cpu, parcels)} CPU ({per_parcel(cost.own, parcels)} own, "
            f"{per_parcel(cost.server, parcels)} server), {per_parcel(cost.wall, parcels)} wall "
            "a parcel"
        )
    print(
        f"the ledger costs {with_it.cpu / without.cpu - 1:+.0%} CPU, "
        f"{with_it.wall / without.wall - 1:+.0%} wall (goal: at most {GOAL:+.0%})"
    )


def least(costs: list[Cost]) -> Cost:
    """The run with the least CPU: what disturbed the others is not the work's."""
    return min(costs, key=lambda cost: cost.cpu)


def cleared(home: Path, messages: Path, secured: bool) -> Cost:
    """Clear a folder into a new database."""
    with store.open(home=home) as database:
        clearance.prepare_database(database)
        vault = store.Vault.open(home)
        under = clearance.settings(database, datetime.fromisoformat(AT), "ignored")
        found = clearance.sources([messages])
        with without_ledger() if not secured else guaranteed(database, under, found):
            cost = measured(
                lambda: clearance.clear(database, vault, found, under, home / "receipts"),
                postmaster(database),
            )
        check(database, secured)
    return cost


@contextmanager
def without_ledger() -> Iterator[None]:
    def no_bills(*about: Any) -> list[finance.notices.Notice]:
        return []

    def nobody(conn: Any, codes: pl.Series, lock: bool = True) -> pl.DataFrame:
        absent = {"known": False, "frozen": False, "free_fen": 0, "amount_fen": 0}
        asked = codes.drop_nulls().unique().sort().alias("code").to_frame()
        return asked.with_columns(pl.lit(value).alias(name) for name, value in absent.items())

    with (
        patch.object(taxing, "follow", no_bills),
        patch.object(finance.guarantees, "states", nobody),
    ):
        yield


@contextmanager
def guaranteed(
    database: store.Database, under: clearance.Settings, found: list[clearance.Source]
) -> Iterator[None]:
    """Open a guarantee for every company that a list names as its guarantor."""
    tag = b"<ceb:assureCode>"
    codes = {
        rest.partition(b"<")[0].decode()
        for source in found
        for rest in source.path.read_bytes().split(tag)[1:]
    }
    assert codes
    for code in sorted(codes):
        clearance.open_guarantee(database, under, code, "letter", GUARANTEE_FEN)
    yield


def check(database: store.Database, secured: bool) -> None:
    """Both sides must have done what they are here for."""
    with database.borrow() as conn:
        sql = "SELECT (SELECT count(*) FROM bill), (SELECT count(*) FROM transfer)"
        bills, transfers = conn.execute(sql).fetchone() or (0, 0)
        [released] = conn.execute(
            "SELECT count(*) FROM document WHERE kind = 621 AND status = 800"
        ).fetchone() or (0,)
    assert released > 0
    assert (bills == released and transfers > 2 * bills) if secured else bills == transfers == 0


if __name__ == "__main__":
    main(MOST)
