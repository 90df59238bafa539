"""The same rules in other engines; run by `benchmarks.rivals` with the rivals' own Python.

Nothing of the project is imported. `python rival_engines.py parcels.csv OUT ENGINE LIMIT` reads
parcels (buyer, slot, value, one_item, duty, ct, vat: yuan and fractions as text), decides the
first LIMIT of them in order of slots, writes OUT (buyer, slot, regime, duty, consumption, vat in
yuan) and prints what it took as JSON. Each engine is written as its own manual would have it.

The rules (law of 2022): within 5,000 yuan and 26,000 a year no duty and 70 % of consumption tax
and VAT; one item over 5,000 inside the year in full; anything else is refused. What is not
refused counts toward the buyer's year. Each tax is rounded half up to fen.
"""

import csv
import json
import sys
import time
from collections.abc import Callable, Iterable
from decimal import ROUND_HALF_UP, Decimal
from importlib.metadata import version
from itertools import pairwise

SINGLE, ANNUAL, LEVY = "5000", "26000", "0.7"
RETAIL, GENERAL, REFUSED = "retail-import", "general-trade", "refused"
SINGLE_RUNS = 300

Parcel = tuple[int, int, str, int, str, str, str]
Decided = tuple[int, int, str, object, object, object]


def read(path: str, limit: int) -> list[Parcel]:
    with open(path, newline="") as file:
        rows = [
            (int(b), int(slot), value, int(one), duty, ct, vat)
            for b, slot, value, one, duty, ct, vat in csv.reader(file)
        ]
    slots = 1 + max(row[1] for row in rows)
    buyers = max(1, limit // slots)
    return [row for row in rows if row[0] < buyers]


# -- plain Python, exact decimals ------------------------------------------------------------------

CENT = Decimal("0.01")


def plain_case(
    value: Decimal, one_item: int, duty: Decimal, ct: Decimal, vat: Decimal, used: Decimal
) -> tuple[str, Decimal, Decimal, Decimal]:
    """One parcel in decimal arithmetic: regime, duty, consumption tax, VAT."""
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


def plain(parcels: list[Parcel]) -> tuple[Callable[[], Iterable[Decided]], Callable[[], object]]:
    ready = [
        (b, slot, Decimal(value), one, Decimal(duty), Decimal(ct), Decimal(vat))
        for b, slot, value, one, duty, ct, vat in parcels
    ]

    def bulk() -> list[Decided]:
        year: dict[int, Decimal] = {}
        out: list[Decided] = []
        for b, slot, value, one, duty, ct, vat in ready:
            used = year.get(b, Decimal(0))
            regime, *taxes = plain_case(value, one, duty, ct, vat, used)
            if regime != REFUSED:
                year[b] = used + value
            out.append((b, slot, regime, *taxes))
        return out

    return bulk, lambda: plain_case(*ready[0][2:], Decimal(0))


# -- OpenFisca: arrays over buyers, one period per parcel of a buyer -------------------------------


def _openfisca_system():
    import numpy
    from openfisca_core.entities import build_entity
    from openfisca_core.parameters import ParameterNode
    from openfisca_core.periods import DateUnit
    from openfisca_core.taxbenefitsystems import TaxBenefitSystem
    from openfisca_core.variables import Variable

    buyer = build_entity("buyer", "buyers", "A buyer", is_person=True)
    system = TaxBenefitSystem([buyer])
    node = {
        name: {"values": {"2022-01-01": {"value": float(value)}}}
        for name, value in (("single", SINGLE), ("annual", ANNUAL), ("levy", LEVY))
    }
    system.parameters = ParameterNode("", data=node)

    def variable(name: str, kind: type, formula: Callable | None = None) -> None:
        body = {
            "value_type": kind,
            "entity": buyer,
            "definition_period": DateUnit.MONTH,
            "label": name,
        }
        if formula is not None:
            body["formula"] = formula
        system.add_variable(type(name, (Variable,), body))

    for name in ("value", "duty_rate", "ct_rate", "vat_rate"):
        variable(name, float)
    variable("one_item", bool)

    def used(buyers, period, parameters):
        if period.start.month == 1:
            return buyers.filled_array(0.0)
        before = period.last_month
        return buyers("used", before) + buyers("counted", before)

    def treatment(buyers, period, parameters):
        law, value = parameters(period), buyers("value", period)
        over = value > law.single
        refused = (buyers("used", period) + value > law.annual) | (
            over & ~buyers("one_item", period)
        )
        return numpy.where(refused, 0, numpy.where(over, 1, 2))

    def counted(buyers, period, parameters):
        return numpy.where(buyers("treatment", period) > 0, buyers("value", period), 0)

    def cents(amount):
        return numpy.floor(amount * 100 + 0.5) / 100

    def levied(buyers, period, parameters):
        return numpy.select(
            [buyers("treatment", period) == 2, buyers("treatment", period) == 1],
            [parameters(period).levy, 1.0],
            0.0,
        )

    def due(buyers, period):
        full = buyers("treatment", period) == 1
        return numpy.where(full, buyers("value", period) * buyers("duty_rate", period), 0)

    def gross(buyers, period, parameters):
        return (buyers("value", period) + due(buyers, period)) / (1 - buyers("ct_rate", period))

    variable("used", float, used)
    variable("treatment", int, treatment)
    variable("counted", float, counted)
    variable("levied", float, levied)
    variable("gross", float, gross)
    variable("duty", float, lambda buyers, period, parameters: cents(due(buyers, period)))
    for tax, rate in (("consumption", "ct_rate"), ("vat", "vat_rate")):

        def levy(buyers, period, parameters, rate=rate):
            base = buyers("gross", period) * buyers("levied", period)
            return cents(base * buyers(rate, period))

        variable(tax, float, levy)
    return system


OUTPUTS = ("treatment", "duty", "consumption", "vat")
INPUTS = ("value", "one_item", "duty_rate", "ct_rate", "vat_rate")


def openfisca(parcels: list[Parcel]) -> tuple[Callable, Callable]:
    import numpy
    from openfisca_core.simulations import SimulationBuilder

    system = _openfisca_system()
    slots = 1 + max(p[1] for p in parcels)
    buyers = 1 + max(p[0] for p in parcels)
    months = [f"2022-{slot + 1:02d}" for slot in range(slots)]
    columns = {}
    for at, name in zip((2, 3, 4, 5, 6), INPUTS, strict=True):
        kind = bool if name == "one_item" else float
        table = numpy.zeros((slots, buyers), dtype=kind)
        for parcel in parcels:
            table[parcel[1], parcel[0]] = kind(parcel[at])
        columns[name] = table

    def run(count: int, periods: list[str]) -> list[tuple]:
        simulation = SimulationBuilder().build_default_simulation(system, count)
        for slot, month in enumerate(periods):
            for name in INPUTS:
                simulation.set_input(name, month, columns[name][slot, :count])
        return [[simulation.calculate(name, month) for name in OUTPUTS] for month in periods]

    def bulk() -> Iterable[Decided]:
        return (
            (b, slot, (REFUSED, GENERAL, RETAIL)[int(how[b])], duty[b], consumption[b], vat[b])
            for slot, (how, duty, consumption, vat) in enumerate(run(buyers, months))
            for b in range(buyers)
        )

    return bulk, lambda: run(1, months[:1])


def openfisca_situations(parcels: list[Parcel]) -> tuple[Callable, Callable]:
    """The same system fed with situations, the form in which OpenFisca's API takes cases."""
    from openfisca_core.simulations import SimulationBuilder

    system = _openfisca_system()
    slots = 1 + max(p[1] for p in parcels)
    months = [f"2022-{slot + 1:02d}" for slot in range(slots)]
    kinds = (float, bool, float, float, float)
    situation: dict[str, dict] = {}
    for parcel in parcels:
        person = situation.setdefault(f"b{parcel[0]}", {name: {} for name in INPUTS})
        for name, kind, value in zip(INPUTS, kinds, parcel[2:], strict=True):
            person[name][months[parcel[1]]] = kind(value)
    first = {"b0": {name: {months[0]: situation["b0"][name][months[0]]} for name in INPUTS}}

    def run(people: dict, periods: list[str]) -> list[list]:
        simulation = SimulationBuilder().build_from_entities(system, {"buyers": people})
        return [[simulation.calculate(name, month) for name in OUTPUTS] for month in periods]

    def bulk() -> Iterable[Decided]:
        return (
            (b, slot, (REFUSED, GENERAL, RETAIL)[int(how[b])], duty[b], consumption[b], vat[b])
            for slot, (how, duty, consumption, vat) in enumerate(run(situation, months))
            for b in range(len(situation))
        )

    return bulk, lambda: run(first, months[:1])


# -- GoRules zen: a decision graph of expressions and a decision table -----------------------------


def _zen_graph() -> str:
    def expressions(name: str, rows: dict[str, str]) -> dict:
        listed = [
            {"id": f"{name}-{key}", "key": key, "value": value} for key, value in rows.items()
        ]
        content = {"expressions": listed, "passThrough": True}
        return {"id": name, "name": name, "type": "expressionNode", "content": content}

    def rule(n: int, fits: str, over: str, one: str, regime: str, levy: str, full: str) -> dict:
        cells = {"fits": fits, "over": over, "one": one}
        return {"_id": f"r{n}", **cells, "regime": regime, "levy": levy, "full": full}

    def column(key: str) -> dict:
        return {"id": key, "name": key, "field": key}

    table = {
        "id": "table",
        "name": "treatment",
        "type": "decisionTableNode",
        "content": {
            "hitPolicy": "first",
            "passThrough": True,
            "inputs": [column("fits"), column("over"), column("one")],
            "outputs": [column("regime"), column("levy"), column("full")],
            "rules": [
                rule(1, "true", "false", "", f'"{RETAIL}"', LEVY, "0"),
                rule(2, "true", "true", "true", f'"{GENERAL}"', "1", "1"),
                rule(3, "", "", "", f'"{REFUSED}"', "0", "0"),
            ],
        },
    }
    nodes = [
        {"id": "in", "name": "in", "type": "inputNode"},
        expressions("limits", {"fits": f"used + value <= {ANNUAL}", "over": f"value > {SINGLE}"}),
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
    order = ["in", "limits", "table", "base", "taxes", "out"]
    edges = [
        {"id": f"e{n}", "type": "edge", "sourceId": a, "targetId": b}
        for n, (a, b) in enumerate(pairwise(order))
    ]
    return json.dumps({"nodes": nodes, "edges": edges})


def zen(parcels: list[Parcel]) -> tuple[Callable, Callable]:
    import zen as engine

    decision = engine.ZenEngine().create_decision(_zen_graph())
    ready = [
        (b, slot, float(value), bool(one), float(duty), float(ct), float(vat))
        for b, slot, value, one, duty, ct, vat in parcels
    ]

    def case(value: float, one: bool, duty: float, ct: float, vat: float, used: float) -> dict:
        given = {"value": value, "one": one, "duty": duty, "ct": ct, "vat": vat, "used": used}
        return decision.evaluate(given)["result"]

    def bulk() -> list[Decided]:
        year: dict[int, float] = {}
        out: list[Decided] = []
        for b, slot, *given in ready:
            used = year.get(b, 0.0)
            found = case(*given, used)
            if found["regime"] != REFUSED:
                year[b] = used + given[0]
            taxes = (found["duty_due"], found["consumption_due"], found["vat_due"])
            out.append((b, slot, found["regime"], *taxes))
        return out

    return bulk, lambda: case(*ready[0][2:], 0.0)


# -- SQL on DuckDB ---------------------------------------------------------------------------------

STEP = f"""
INSERT INTO decided
SELECT buyer, slot, regime,
       CASE regime WHEN '{GENERAL}' THEN round(value * duty, 2) ELSE 0 END,
       CASE regime WHEN '{REFUSED}' THEN 0 ELSE round(gross * ct * levy, 2) END,
       CASE regime WHEN '{REFUSED}' THEN 0 ELSE round(gross * vat * levy, 2) END
FROM (
  SELECT *, CASE regime WHEN '{GENERAL}' THEN 1.0 ELSE {LEVY} END AS levy,
         (value + CASE regime WHEN '{GENERAL}' THEN value * duty ELSE 0 END) / (1 - ct) AS gross
  FROM (
    SELECT p.*, CASE
      WHEN coalesce(y.used, 0) + value > {ANNUAL} OR (value > {SINGLE} AND NOT one_item)
      THEN '{REFUSED}' WHEN value > {SINGLE} THEN '{GENERAL}' ELSE '{RETAIL}' END AS regime
    FROM parcels p LEFT JOIN (
      SELECT d.buyer, sum(value) AS used FROM decided d JOIN parcels USING (buyer, slot)
      WHERE regime <> '{REFUSED}' GROUP BY d.buyer
    ) y ON y.buyer = p.buyer
    WHERE p.slot = ?
  )
)
"""


def duckdb(parcels: list[Parcel]) -> tuple[Callable, Callable]:
    import duckdb as engine

    money, rate = "DECIMAL(14,2)", "DECIMAL(9,6)"
    shape = f"buyer INT, slot INT, value {money}, one_item BOOL, duty {rate}, ct {rate}, vat {rate}"
    out = f"buyer INT, slot INT, regime VARCHAR, duty {money}, consumption {money}, vat {money}"

    def prepared(rows: list[Parcel]):
        base = engine.connect()
        base.execute(f"CREATE TABLE parcels ({shape})")
        base.execute(f"CREATE TABLE decided ({out})")
        for start in range(0, len(rows), 5_000):
            values = ",".join(
                f"({b},{slot},{value},{bool(one)},{duty},{ct},{vat})"
                for b, slot, value, one, duty, ct, vat in rows[start : start + 5_000]
            )
            base.execute(f"INSERT INTO parcels VALUES {values}")
        return base

    base, one = prepared(parcels), prepared(parcels[:1])
    slots = 1 + max(p[1] for p in parcels)

    def bulk() -> Iterable[Decided]:
        base.execute("DELETE FROM decided")
        for slot in range(slots):
            base.execute(STEP, [slot])
        return base.execute("SELECT * FROM decided").fetchall()

    def single() -> object:
        one.execute("DELETE FROM decided")
        one.execute(STEP, [0])
        return one.execute("SELECT * FROM decided").fetchone()

    return bulk, single


ENGINES = {
    "plain": (plain, None),
    "openfisca": (openfisca, "openfisca-core"),
    "openfisca-situations": (openfisca_situations, "openfisca-core"),
    "zen": (zen, "zen-engine"),
    "duckdb": (duckdb, "duckdb"),
}


def latencies(single: Callable[[], object]) -> tuple[float, float]:
    """Median and 99th percentile of one parcel alone, in milliseconds."""
    for _ in range(10):
        single()
    took = []
    for _ in range(SINGLE_RUNS):
        start = time.perf_counter()
        single()
        took.append((time.perf_counter() - start) * 1e3)
    took.sort()
    return took[len(took) // 2], took[int(len(took) * 0.99)]


def run() -> None:
    source, target, name, limit = sys.argv[1:]
    make, package = ENGINES[name]
    parcels = read(source, int(limit))
    bulk, single = make(parcels)
    best, decided = float("inf"), []
    for _ in range(3):
        start = time.perf_counter()
        found = bulk()
        best = min(best, time.perf_counter() - start)
        decided = list(found)
    with open(target, "w", newline="") as file:
        csv.writer(file).writerows(decided)
    p50, p99 = latencies(single)
    facts = {"parcels": len(parcels), "seconds": best, "p50_ms": p50, "p99_ms": p99}
    facts["version"] = version(package) if package else sys.version.split()[0]
    print(json.dumps(facts))


if __name__ == "__main__":
    run()
