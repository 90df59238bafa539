"""The rules of rival_engines.py as a tax and benefit system of OpenFisca, fed in four ways.

Buyers are the entity; the parcel of a month is a set of variables of that month, and what the year
holds is a formula that looks at the month before. The law is parameters with their dates, a rate
of a code under `duty.c1901101090`.

`indexed`: parameters are asked with a vector of codes, as OpenFisca's documentation has it.
`taken`: beyond the documentation, the rates of a month are laid out once as an array that NumPy
indexes by the code's number. `situations`: as `indexed`, fed with a dict of situations, the form in
which its API takes cases. `ready`: nobody looks anything up; rates, faults, value and the months'
arrays of buyers are given.
"""

from collections.abc import Callable, Iterable

import numpy
from openfisca_core.entities import build_entity
from openfisca_core.indexed_enums import Enum
from openfisca_core.parameters import ParameterNode
from openfisca_core.periods import DateUnit
from openfisca_core.simulations import SimulationBuilder
from openfisca_core.taxbenefitsystems import TaxBenefitSystem
from openfisca_core.variables import Variable

from rival_engines import (
    ANNUAL,
    BONDED,
    DIRECT,
    GENERAL,
    LEVY,
    OVER_ANNUAL,
    OVER_SINGLE,
    REFUSED,
    RETAIL,
    SINGLE,
    UNKNOWN,
    UNLISTED,
    Decided,
    Law,
    Parcel,
    Rate,
)

RATES = ("duty", "ct", "vat", "listed", "bonded")
OUTPUTS = ("treatment", "duty_due", "consumption_due", "vat_due", "found")
REGIMES = (REFUSED, GENERAL, RETAIL)
NO_CODE = "none"
FIRST = "2019-01-01"


def _parameters(rates: list[Rate]) -> ParameterNode:
    node: dict = {
        name: {"values": {FIRST: {"value": float(value)}}}
        for name, value in (("single", SINGLE), ("annual", ANNUAL), ("levy", LEVY))
    }
    for at, name in enumerate(RATES, 2):
        codes: dict = {NO_CODE: {"values": {FIRST: {"value": 0.0}}}}
        for rate in rates:
            values = codes.setdefault(f"c{rate[0]}", {"values": {}})["values"]
            values[rate[1]] = {"value": float(rate[at])}
        node[name] = codes
    return ParameterNode("", data=node)


class System:
    """The tax and benefit system, with the codes of its tariff.

    taken: rates are arrays that NumPy indexes, and not parameters asked with a vector.
    ready: rates, faults and values are inputs.
    """

    def __init__(self, rates: list[Rate], taken: bool = False, ready: bool = False) -> None:
        codes = sorted({rate[0] for rate in rates})
        self.codes = numpy.array(codes)
        self.enum = Enum("Code", {name: name for name in (*(f"c{c}" for c in codes), NO_CODE)})
        self._buyer = build_entity("buyer", "buyers", "A buyer", is_person=True)
        self.system = TaxBenefitSystem([self._buyer])
        self.system.parameters = _parameters(rates)
        if ready:
            self._ready()
        else:
            self._goods(self._taken if taken else self._indexed)
        self._treatment()
        self._taxes()

    def variable(
        self, name: str, kind: type, formula: Callable | None = None, **more: object
    ) -> None:
        body = {
            "value_type": kind,
            "entity": self._buyer,
            "label": name,
            "definition_period": DateUnit.MONTH,
            **more,
        }
        if formula is not None:
            body["formula"] = formula
        self.system.add_variable(type(name, (Variable,), body))

    @staticmethod
    def _indexed(rate: str) -> Callable:
        def formula(buyers, period, parameters):
            return parameters(period)[rate][buyers("code", period)]

        return formula

    def _taken(self, rate: str) -> Callable:
        tables: dict[object, numpy.ndarray] = {}
        names = [item.name for item in self.enum]

        def formula(buyers, period, parameters):
            node = parameters(period)[rate]
            if node not in tables:
                tables[node] = numpy.array([node[name] for name in names], dtype=numpy.float32)
            return tables[node][buyers("code", period).view(numpy.ndarray)]

        return formula

    def _ready(self) -> None:
        for name in ("value", "duty", "ct", "vat"):
            self.variable(name, float)
        self.variable("one_item", bool)
        self.variable("faulty", bool)

        def found(buyers, period, parameters):
            return _limit_findings(buyers, period, parameters)

        self.variable("found", int, found)

    def _goods(self, looked_up: Callable[[str], Callable]) -> None:
        none = self.enum[NO_CODE]
        self.variable("code", Enum, possible_values=self.enum, default_value=none)
        for name in ("price", "freight", "qty"):
            self.variable(name, float)
        self.variable("direct", bool)
        for rate in ("duty", "ct", "vat"):
            self.variable(rate, float, looked_up(rate))
        for flag in ("listed", "bonded"):
            self.variable(flag, bool, looked_up(flag))

        def value(buyers, period):
            return buyers("price", period) + buyers("freight", period)

        def one_item(buyers, period):
            return buyers("qty", period) == 1

        def unknown(buyers, period):
            return buyers("code", period) == none

        def directly(buyers, period):
            return buyers("bonded", period) & buyers("direct", period)

        def faulty(buyers, period):
            return buyers("unknown", period) | buyers("directly", period)

        def found(buyers, period, parameters):
            return (
                _limit_findings(buyers, period, parameters)
                + UNKNOWN * buyers("unknown", period)
                + UNLISTED * ~buyers("listed", period)
                + BONDED * buyers("directly", period)
            )

        self.variable("value", float, value)
        for flag in (one_item, unknown, directly, faulty):
            self.variable(flag.__name__, bool, flag)
        self.variable("found", int, found)

    def _treatment(self) -> None:
        def used(buyers, period, parameters):
            if period.start.month == 1:
                return buyers.filled_array(0.0)
            before = period.last_month
            return buyers("used", before) + buyers("counted", before)

        def treatment(buyers, period, parameters):
            over = buyers("value", period) > parameters(period).single
            refused = buyers("faulty", period) | _over_annual(buyers, period, parameters)
            refused |= over & ~buyers("one_item", period)
            return numpy.where(refused, 0, numpy.where(over, 1, 2))

        def counted(buyers, period, parameters):
            return numpy.where(buyers("treatment", period) > 0, buyers("value", period), 0)

        self.variable("used", float, used)
        self.variable("treatment", int, treatment)
        self.variable("counted", float, counted)

    def _taxes(self) -> None:
        def cents(amount):
            return numpy.floor(amount * 100 + 0.5) / 100

        def due(buyers, period):
            full = buyers("treatment", period) == 1
            return numpy.where(full, buyers("value", period) * buyers("duty", period), 0)

        def levied(buyers, period, parameters):
            treatment = buyers("treatment", period)
            levy = parameters(period).levy
            return numpy.select([treatment == 2, treatment == 1], [levy, 1.0], 0.0)

        def gross(buyers, period):
            return (buyers("value", period) + due(buyers, period)) / (1 - buyers("ct", period))

        self.variable("levied", float, levied)
        self.variable("gross", float, gross)
        self.variable("duty_due", float, lambda buyers, period: cents(due(buyers, period)))
        for tax, rate in (("consumption_due", "ct"), ("vat_due", "vat")):

            def levy(buyers, period, parameters, rate=rate):
                base = buyers("gross", period) * buyers("levied", period)
                return cents(base * buyers(rate, period))

            self.variable(tax, float, levy)


def _over_annual(buyers, period, parameters):
    return buyers("used", period) + buyers("value", period) > parameters(period).annual


def _limit_findings(buyers, period, parameters):
    over = (buyers("value", period) > parameters(period).single) & ~buyers("one_item", period)
    return OVER_SINGLE * over + OVER_ANNUAL * _over_annual(buyers, period, parameters)


def _months(days: list[str]) -> list[str]:
    return sorted({day[:7] for day in days})


def _arrays(parcels: list[Parcel], rates: list[Rate], taken: bool) -> tuple[Callable, Callable]:
    """Fed with the columns of the parcels; each month's arrays of buyers are made of them."""
    system = System(rates, taken=taken)
    _, buyer, day, code, mode, qty, price, freight = (
        numpy.array(column) for column in zip(*parcels, strict=True)
    )
    day = day.astype("datetime64[D]")
    numbers = {
        name: column.astype(numpy.float32)
        for name, column in (("qty", qty), ("price", price), ("freight", freight))
    }
    given = [buyer, day, code, mode, *numbers.values()]

    def decide(buyer, day, code, mode, qty, price, freight) -> tuple[numpy.ndarray, ...]:
        place = numpy.minimum(numpy.searchsorted(system.codes, code), len(system.codes) - 1)
        known = system.codes[place] == code
        month = day.astype("datetime64[M]")
        columns = {
            "code": numpy.where(known, place, len(system.codes)),
            "direct": mode == DIRECT,
            "qty": qty,
            "price": price,
            "freight": freight,
        }
        count = int(buyer.max()) + 1
        simulation = SimulationBuilder().build_default_simulation(system.system, count)
        months = numpy.unique(month)
        rows = {each: numpy.flatnonzero(month == each) for each in months}
        for each, mine in rows.items():
            for name, column in columns.items():
                values = numpy.zeros(count, dtype=column.dtype)
                values[buyer[mine]] = column[mine]
                simulation.set_input(name, str(each), values)
        out = [numpy.zeros(len(buyer), dtype=numpy.float32) for _ in OUTPUTS]
        for each, mine in rows.items():
            for column, name in zip(out, OUTPUTS, strict=True):
                column[mine] = simulation.calculate(name, str(each))[buyer[mine]]
        return tuple(out)

    def bulk() -> Iterable[Decided]:
        return _told([parcel[0] for parcel in parcels], decide(*given))

    first = [column[:1] for column in given]
    first[0] = numpy.zeros(1, dtype=int)
    return bulk, lambda: decide(*first)


def _told(numbers: list[int], answer: tuple[numpy.ndarray, ...]) -> Iterable[Decided]:
    """Lazily, so that making Python values of arrays is not measured."""
    how, duty, consumption, vat, found = answer
    return (
        (n, REGIMES[int(how[i])], duty[i], consumption[i], vat[i], int(found[i]))
        for i, n in enumerate(numbers)
    )


def _ready(parcels: list[Parcel], rates: list[Rate]) -> tuple[Callable, Callable]:
    """Fed with the rates, the value and the faults of each parcel, as arrays of buyers a month."""
    system, law = System(rates, ready=True), Law(rates, float)
    months = _months([parcel[2] for parcel in parcels])
    count = 1 + max(parcel[1] for parcel in parcels)
    tables = {name: numpy.zeros((len(months), count), dtype=numpy.float32) for name in NUMBERS}
    tables |= {name: numpy.zeros((len(months), count), dtype=bool) for name in FLAGS}
    numbers = numpy.zeros((len(months), count), dtype=int)
    marks = numpy.zeros((len(months), count), dtype=int)
    for n, buyer, day, code, mode, qty, price, freight in parcels:
        at = months.index(day[:7]), buyer
        duty, ct, vat, listed, bonded = law.row(code, day) or (0.0, 0.0, 0.0, False, False)
        unknown, directly = law.row(code, day) is None, bonded and mode == DIRECT
        facts = (float(price) + float(freight), duty, ct, vat, float(qty) == 1, unknown or directly)
        for name, fact in zip((*NUMBERS, *FLAGS), facts, strict=True):
            tables[name][at] = fact
        numbers[at] = n
        marks[at] = UNKNOWN * unknown + UNLISTED * (not listed) + BONDED * directly

    def run(buyers: int, periods: list[str]) -> list[list[numpy.ndarray]]:
        simulation = SimulationBuilder().build_default_simulation(system.system, buyers)
        for at, month in enumerate(periods):
            for name, table in tables.items():
                simulation.set_input(name, month, table[at, :buyers])
        return [[simulation.calculate(name, month) for name in OUTPUTS] for month in periods]

    def bulk() -> Iterable[Decided]:
        return (
            told
            for at, (*answer, found) in enumerate(run(count, months))
            for told in _told(list(numbers[at]), (*answer, found + marks[at]))
        )

    return bulk, lambda: run(1, months[:1])


NUMBERS, FLAGS = ("value", "duty", "ct", "vat"), ("one_item", "faulty")


def _situations(parcels: list[Parcel], rates: list[Rate]) -> tuple[Callable, Callable]:
    """Fed with situations, made of the parcels; a code the tariff lacks is none."""
    system = System(rates)
    known = set(system.codes.tolist())

    def situation(some: list[Parcel]) -> dict[str, dict]:
        people: dict[str, dict] = {}
        for _, buyer, day, code, mode, qty, price, freight in some:
            person = people.setdefault(f"b{buyer}", {name: {} for name in FACTS})
            facts = (f"c{code}" if code in known else NO_CODE, mode == DIRECT)
            numbers = (float(qty), float(price), float(freight))
            for name, fact in zip(FACTS, (*facts, *numbers), strict=True):
                person[name][day[:7]] = fact
        return people

    def run(some: list[Parcel]) -> dict[str, list[numpy.ndarray]]:
        people = {"buyers": situation(some)}
        simulation = SimulationBuilder().build_from_entities(system.system, people)
        months = _months([parcel[2] for parcel in some])
        return {m: [simulation.calculate(name, m) for name in OUTPUTS] for m in months}

    places = {buyer: at for at, buyer in enumerate(dict.fromkeys(p[1] for p in parcels))}

    def bulk() -> Iterable[Decided]:
        answers = run(parcels)
        return (
            told
            for parcel in parcels
            for told in _told(
                [parcel[0]], tuple(x[places[parcel[1]]][None] for x in answers[parcel[2][:7]])
            )
        )

    return bulk, lambda: run(parcels[:1])


FACTS = ("code", "direct", "qty", "price", "freight")

WAYS: dict[str, Callable] = {
    "indexed": lambda parcels, rates: _arrays(parcels, rates, taken=False),
    "taken": lambda parcels, rates: _arrays(parcels, rates, taken=True),
    "situations": _situations,
    "ready": _ready,
}
