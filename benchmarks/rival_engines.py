"""The same rules in other engines; run by `benchmarks.rivals` with the rivals' own Python.

Nothing of the project is imported. `python rival_engines.py FOLDER ENGINE LIMIT` reads
FOLDER/parcels.csv in order of arrival (n, buyer, day, code, mode, qty, price, freight; yuan as
text) and FOLDER/rates.csv (code, since, duty, ct, vat, listed, bonded: what the law says of a code
from that day on), decides the parcels of the first buyers, LIMIT in all, writes FOLDER/ENGINE.csv
(n, regime, duty, consumption, vat in yuan, findings) and prints what it took as JSON. Each engine
is written as its own manual would have it; only what stands in `bulk` is measured. Zen and
OpenFisca take numbers as binary floats only: what that costs in wrong amounts is told.

The rules (law of 2019, of goods taxed by value): the rates of a code are those in force on the
parcel's day; a code the tariff does not know, and goods for bonded import that come directly, are
refused; a code that the list lacks is remarked. Within 5,000 yuan and 26,000 a year there is no
duty and 70 % of consumption tax and VAT; one item over 5,000 inside the year is taxed in full;
anything else is refused. What is not refused counts toward the buyer's year. Each tax is rounded
half up to fen. Findings are a sum: UNKNOWN, UNLISTED, BONDED, OVER_SINGLE, OVER_ANNUAL.
"""

import csv
import json
import sys
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable
from decimal import ROUND_HALF_UP, Decimal
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

SINGLE, ANNUAL, LEVY = "5000", "26000", "0.7"
RETAIL, GENERAL, REFUSED = "retail-import", "general-trade", "refused"
UNKNOWN, UNLISTED, BONDED, OVER_SINGLE, OVER_ANNUAL = 1, 2, 4, 8, 16
DIRECT = "9610"
RUNS = 5
"""Runs in bulk, of which the best counts."""
SINGLE_RUNS = 300
ENOUGH_S = 8
"""After so many seconds of either, no further run is begun."""

Parcel = tuple[int, int, str, str, str, str, str, str]
"""n, buyer, day, code, mode, qty, price, freight."""
Rate = tuple[str, str, str, str, str, int, int]
"""code, since, duty, ct, vat, listed, bonded."""
Decided = tuple[int, str, object, object, object, int]


def read(folder: Path, limit: int) -> tuple[list[Parcel], list[Rate]]:
    with (folder / "parcels.csv").open(newline="") as file:
        rows = [(int(n), int(buyer), *rest) for n, buyer, *rest in csv.reader(file)]
    with (folder / "rates.csv").open(newline="") as file:
        rates = [(*some, int(listed), int(b)) for *some, listed, b in csv.reader(file)]
    buyers = 1 + max(row[1] for row in rows)
    first = max(1, min(buyers, limit * buyers // len(rows)))
    return [row for row in rows if row[1] < first], rates


# -- plain Python, exact decimals ------------------------------------------------------------------

CENT = Decimal("0.01")


def plain_case(
    value: Decimal, one_item: int, duty: Decimal, ct: Decimal, vat: Decimal, used: Decimal
) -> tuple[str, Decimal, Decimal, Decimal]:
    """One parcel of known goods in decimal arithmetic: regime, duty, consumption tax, VAT."""
    over = value > Decimal(SINGLE)
    if used + value > Decimal(ANNUAL) or (over and not one_item):
        return REFUSED, Decimal(0), Decimal(0), Decimal(0)
    levy = Decimal(1) if over else Decimal(LEVY)
    due = value * duty if over else Decimal(0)
    gross = (value + due) / (1 - ct)
    return (
        GENERAL if over else RETAIL,
        due.quantize(CENT, ROUND_HALF_UP),
        (gross * ct * levy).quantize(CENT, ROUND_HALF_UP),
        (gross * vat * levy).quantize(CENT, ROUND_HALF_UP),
    )


class Law:
    """What a dict and a bisection find: the row of a code on a day."""

    def __init__(self, rates: list[Rate], number: Callable[[str], object]) -> None:
        self._rows: dict[str, tuple[list[str], list[tuple]]] = {}
        for code, since, duty, ct, vat, listed, bonded in sorted(rates):
            days, rows = self._rows.setdefault(code, ([], []))
            days.append(since)
            rows.append((number(duty), number(ct), number(vat), bool(listed), bool(bonded)))

    def row(self, code: str, day: str) -> tuple | None:
        """duty, ct, vat, listed, bonded; None where the tariff has no such code."""
        found = self._rows.get(code)
        return None if found is None else found[1][bisect_right(found[0], day) - 1]


def plain(parcels: list[Parcel], rates: list[Rate]) -> tuple[Callable, Callable]:
    law = Law(rates, Decimal)
    ready = [
        (n, buyer, day, code, mode, Decimal(qty), Decimal(price), Decimal(freight))
        for n, buyer, day, code, mode, qty, price, freight in parcels
    ]
    zero, single, annual = Decimal(0), Decimal(SINGLE), Decimal(ANNUAL)
    nothing = (REFUSED, zero, zero, zero)

    def case(
        day: str,
        code: str,
        mode: str,
        qty: Decimal,
        price: Decimal,
        freight: Decimal,
        used: Decimal,
    ) -> tuple[str, Decimal, Decimal, Decimal, int]:
        row, value, one = law.row(code, day), price + freight, qty == 1
        found = OVER_SINGLE if value > single and not one else 0
        if used + value > annual:
            found |= OVER_ANNUAL
        if row is None:
            return *nothing, found | UNKNOWN | UNLISTED
        duty, ct, vat, listed, bonded = row
        if not listed:
            found |= UNLISTED
        if bonded and mode == DIRECT:
            return *nothing, found | BONDED
        return *plain_case(value, one, duty, ct, vat, used), found

    def bulk() -> list[Decided]:
        year: dict[int, Decimal] = {}
        out: list[Decided] = []
        for n, buyer, day, code, mode, qty, price, freight in ready:
            used = year.get(buyer, zero)
            answer = case(day, code, mode, qty, price, freight, used)
            if answer[0] != REFUSED:
                year[buyer] = used + price + freight
            out.append((n, *answer))
        return out

    return bulk, lambda: case(*ready[0][2:], zero)


# -- GoRules zen: a decision graph of expressions and a decision table -----------------------------


def _zen_graph() -> str:
    def expressions(name: str, rows: dict[str, str]) -> dict:
        listed = [
            {"id": f"{name}-{key}", "key": key, "value": value} for key, value in rows.items()
        ]
        content = {"expressions": listed, "passThrough": True}
        return {"id": name, "name": name, "type": "expressionNode", "content": content}

    def rule(n: int, cells: tuple[str, str, str, str], regime: str, levy: str, full: str) -> dict:
        asked = dict(zip(("faulty", "fits", "over", "one"), cells, strict=True))
        return {"_id": f"r{n}", **asked, "regime": regime, "levy": levy, "full": full}

    def column(key: str) -> dict:
        return {"id": key, "name": key, "field": key}

    table = {
        "id": "table",
        "name": "treatment",
        "type": "decisionTableNode",
        "content": {
            "hitPolicy": "first",
            "passThrough": True,
            "inputs": [column("faulty"), column("fits"), column("over"), column("one")],
            "outputs": [column("regime"), column("levy"), column("full")],
            "rules": [
                rule(1, ("false", "true", "false", ""), f'"{RETAIL}"', LEVY, "0"),
                rule(2, ("false", "true", "true", "true"), f'"{GENERAL}"', "1", "1"),
                rule(3, ("", "", "", ""), f'"{REFUSED}"', "0", "0"),
            ],
        },
    }
    nodes = [
        {"id": "in", "name": "in", "type": "inputNode"},
        expressions("basis", {"value": "price + freight", "one": "qty == 1"}),
        expressions(
            "limits",
            {
                "fits": f"used + value <= {ANNUAL}",
                "over": f"value > {SINGLE}",
                "direct": f'bonded and mode == "{DIRECT}"',
            },
        ),
        expressions(
            "goods",
            {
                "faulty": "not known or direct",
                "found": f"(known ? 0 : {UNKNOWN}) + (listed ? 0 : {UNLISTED}) + "
                f"(direct ? {BONDED} : 0) + (over and not one ? {OVER_SINGLE} : 0) + "
                f"(fits ? 0 : {OVER_ANNUAL})",
            },
        ),
        table,
        expressions(
            "base",
            {"due": "value * duty * full", "gross": "(value + value * duty * full) / (1 - ct)"},
        ),
        expressions(
            "taxes",
            {
                "duty_due": "floor(due * 100 + 0.5) / 100",
                "consumption_due": "floor(gross * ct * levy * 100 + 0.5) / 100",
                "vat_due": "floor(gross * vat * levy * 100 + 0.5) / 100",
            },
        ),
        {"id": "out", "name": "out", "type": "outputNode"},
    ]
    order = [node["id"] for node in nodes]
    edges = [
        {"id": f"e{n}", "type": "edge", "sourceId": a, "targetId": b}
        for n, (a, b) in enumerate(pairwise(order))
    ]
    return json.dumps({"nodes": nodes, "edges": edges})


def zen(parcels: list[Parcel], rates: list[Rate]) -> tuple[Callable, Callable]:
    """The host finds the rates of the day (a dict; a decision table is searched row by row)."""
    import zen as engine

    decision = engine.ZenEngine().create_decision(_zen_graph())
    law = Law(rates, float)
    ready = [
        (n, buyer, day, code, mode, float(qty), float(price), float(freight))
        for n, buyer, day, code, mode, qty, price, freight in parcels
    ]
    none = (0.0, 0.0, 0.0, False, False)

    def case(
        day: str, code: str, mode: str, qty: float, price: float, freight: float, used: float
    ) -> dict:
        row = law.row(code, day)
        duty, ct, vat, listed, bonded = row or none
        given = {
            "mode": mode,
            "qty": qty,
            "price": price,
            "freight": freight,
            "used": used,
            "known": row is not None,
            "duty": duty,
            "ct": ct,
            "vat": vat,
            "listed": listed,
            "bonded": bonded,
        }
        return decision.evaluate(given)["result"]

    def bulk() -> list[Decided]:
        year: dict[int, float] = {}
        out: list[Decided] = []
        for n, buyer, *given in ready:
            used = year.get(buyer, 0.0)
            answer = case(*given, used)
            if answer["regime"] != REFUSED:
                year[buyer] = used + answer["value"]
            taxes = (answer["duty_due"], answer["consumption_due"], answer["vat_due"])
            out.append((n, answer["regime"], *taxes, int(answer["found"])))
        return out

    return bulk, lambda: case(*ready[0][2:], 0.0)


# -- SQL on DuckDB: one statement for the first parcels of all buyers, one for the second … --------

STEP = f"""
INSERT INTO decided
SELECT n, buyer, turn, regime,
       CASE regime WHEN '{GENERAL}' THEN round(value * duty, 2) ELSE 0 END,
       CASE regime WHEN '{REFUSED}' THEN 0 ELSE round(gross * ct * levy, 2) END,
       CASE regime WHEN '{REFUSED}' THEN 0 ELSE round(gross * vat * levy, 2) END,
       found, CASE regime WHEN '{REFUSED}' THEN used ELSE used + value END
FROM (
  SELECT *, CASE regime WHEN '{GENERAL}' THEN 1.0 ELSE {LEVY} END AS levy,
         (value + CASE regime WHEN '{GENERAL}' THEN value * duty ELSE 0 END) / (1 - ct) AS gross
  FROM (
    SELECT *, CASE
        WHEN unknown OR direct OR over_annual OR over_single THEN '{REFUSED}'
        WHEN value > {SINGLE} THEN '{GENERAL}' ELSE '{RETAIL}' END AS regime,
      unknown::INT * {UNKNOWN} + unlisted::INT * {UNLISTED} + direct::INT * {BONDED}
        + over_single::INT * {OVER_SINGLE} + over_annual::INT * {OVER_ANNUAL} AS found
    FROM (
      SELECT p.*, coalesce(y.used_after, 0) AS used,
             coalesce(y.used_after, 0) + value > {ANNUAL} AS over_annual
      FROM rated p LEFT JOIN decided y ON y.buyer = p.buyer AND y.turn = p.turn - 1
      WHERE p.turn = ?
    )
  )
)
"""
RATED = f"""
CREATE OR REPLACE TEMP TABLE rated AS
SELECT n, buyer, price + freight AS value, duty, ct, vat,
       r.code IS NULL AS unknown, NOT coalesce(listed, false) AS unlisted,
       coalesce(bonded AND mode = '{DIRECT}', false) AS direct,
       price + freight > {SINGLE} AND qty <> 1 AS over_single,
       row_number() OVER (PARTITION BY buyer ORDER BY n) AS turn
FROM parcels p ASOF LEFT JOIN rates r ON r.code = p.code AND p.day >= r.since
"""


def duckdb(parcels: list[Parcel], rates: list[Rate]) -> tuple[Callable, Callable]:
    import duckdb as engine

    money, rate = "DECIMAL(14,2)", "DECIMAL(9,6)"
    given = (
        f"n INT, buyer INT, day DATE, code VARCHAR, mode VARCHAR, qty {money}, price {money}, "
        f"freight {money}"
    )
    law = f"code VARCHAR, since DATE, duty {rate}, ct {rate}, vat {rate}, listed BOOL, bonded BOOL"
    out = (
        f"n INT, buyer INT, turn INT, regime VARCHAR, duty {money}, consumption {money}, "
        f"vat {money}, found INT, used_after {money}"
    )

    def fill(base, table: str, rows: list[tuple]) -> None:
        for start in range(0, len(rows), 5_000):
            values = ",".join(
                "(" + ",".join(f"'{value}'" for value in row) + ")"
                for row in rows[start : start + 5_000]
            )
            base.execute(f"INSERT INTO {table} VALUES {values}")

    def prepared(rows: list[Parcel]):
        base = engine.connect()
        for table, shape in (("parcels", given), ("rates", law), ("decided", out)):
            base.execute(f"CREATE TABLE {table} ({shape})")
        fill(base, "parcels", rows)
        fill(base, "rates", rates)
        return base

    def decide(base) -> list[Decided]:
        base.execute("DELETE FROM decided")
        base.execute(RATED)
        (turns,) = base.execute("SELECT max(turn) FROM rated").fetchone()
        for turn in range(1, turns + 1):
            base.execute(STEP, [turn])
        asked = "SELECT n, regime, duty, consumption, vat, found FROM decided"
        return base.execute(asked).fetchall()

    base, one = prepared(parcels), prepared(parcels[:1])
    return lambda: decide(base), lambda: decide(one)


def _openfisca(way: str) -> Callable:
    def make(parcels: list[Parcel], rates: list[Rate]) -> tuple[Callable, Callable]:
        from rival_openfisca import WAYS

        return WAYS[way](parcels, rates)

    return make


ENGINES: dict[str, tuple[Callable, str | None]] = {
    "plain": (plain, None),
    "openfisca": (_openfisca("indexed"), "openfisca-core"),
    "openfisca-taken": (_openfisca("taken"), "openfisca-core"),
    "openfisca-ready": (_openfisca("ready"), "openfisca-core"),
    "openfisca-situations": (_openfisca("situations"), "openfisca-core"),
    "zen": (zen, "zen-engine"),
    "duckdb": (duckdb, "duckdb"),
}


def latencies(single: Callable[[], object]) -> tuple[float, float]:
    """Median and 99th percentile of one parcel alone, in milliseconds."""
    took: list[float] = []
    while len(took) < SINGLE_RUNS and sum(took) < ENOUGH_S * 1e3:
        start = time.perf_counter()
        single()
        took.append((time.perf_counter() - start) * 1e3)
    took = took[5:]
    took.sort()
    return took[len(took) // 2], took[int(len(took) * 0.99)]


def run() -> None:
    folder, name, limit = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    make, package = ENGINES[name]
    parcels, rates = read(folder, limit)
    bulk, single = make(parcels, rates)
    took: list[float] = []
    decided: list[Decided] = []
    while len(took) < RUNS and sum(took) < ENOUGH_S:
        start = time.perf_counter()
        found: Iterable[Decided] = bulk()
        took.append(time.perf_counter() - start)
        decided = list(found)
    with (folder / f"{name}.csv").open("w", newline="") as file:
        csv.writer(file).writerows(decided)
    p50, p99 = latencies(single)
    facts = {"parcels": len(parcels), "seconds": min(took), "p50_ms": p50, "p99_ms": p99}
    facts["version"] = version(package) if package else sys.version.split()[0]
    print(json.dumps(facts))


if __name__ == "__main__":
    run()
