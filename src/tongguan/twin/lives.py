"""What becomes of single lists, cancellations and returns: the twin's own judgement.

Sources: GACC notice 2018-194 (tax is secured before release; days), 2020-45 (returns: applied for
in 30 days, back in 45, whole or part, the year adjusted), 财关税〔2018〕49号 (the year's limit).
Lists are served in the order of arrival; one that does not fit leaves what is free to the next.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction

from tongguan import codes
from tongguan.twin import calendar
from tongguan.twin.expectation import Limits, half_up, line_tax, shares
from tongguan.twin.parcels import Parcel
from tongguan.twin.treasury import Bill, Treasury, days
from tongguan.twin.zone import Zone

DRAFT, ACCEPTED, REFUSED, PASSED, AWAITED, RELEASED, CLOSED = 1, 2, 100, 399, 400, 800, 899
Shares = tuple[int, int, int, int]
"""Price basis, duty, consumption tax, VAT of a line, or of a part of it; fen."""


@dataclass(slots=True)
class Listed:
    """A declared list. `lines`, `asked`, `back`: of each line its amounts, and the pieces that
    approved returns take of it and that have come back."""

    parcel: Parcel
    accepted: date
    lines: list[Shares]
    paid: bool
    status: int = ACCEPTED
    rules: list[str] = field(default_factory=list)
    held: int = 0
    counted: bool = False
    cancelled: bool = False
    released: date | None = None
    bill: Bill | None = None
    asked: list[int] = field(default_factory=list)
    back: list[int] = field(default_factory=list)

    @property
    def pieces(self) -> list[int]:
        return [line.qty for line in self.parcel.lines]

    @property
    def taxes(self) -> tuple[int, int, int]:
        duty, consumption, vat = (sum(line[at] for line in self.lines) for at in (1, 2, 3))
        return duty, consumption, vat


@dataclass(slots=True)
class Asked:
    """A cancellation or a return about a list."""

    kind: str
    about: Listed
    cop_no: str
    quantities: tuple[int, ...] = ()
    arrives: date | None = None
    status: int = PASSED
    rules: list[str] = field(default_factory=list)
    arrive_by: date | None = None


def amounts(parcel: Parcel, limits: Limits) -> list[Shares]:
    """The amounts of each line of a parcel that can be taxed."""
    goods = [line.total_fen for line in parcel.lines]
    charges = shares(parcel.value_fen - parcel.goods_fen, goods)
    levy = None if parcel.full_tax else limits.levy
    found = []
    for line, charge in zip(parcel.lines, charges, strict=True):
        basis = line.total_fen + charge
        measured = {kind: each * line.qty for kind, each in line.goods.measures}
        tax = line_tax(line.goods.rates, line.total_fen, basis, measured, levy)
        found.append((basis, tax.duty, tax.consumption, tax.vat))
    return found


def part(whole: Shares, before: int, now: int, pieces: int) -> Shares:
    """What goes with a line's pieces from `before` to `now` of `pieces`: the share of all that is
    back by then, rounded, less the share before."""

    def taken(amount: int, back: int) -> int:
        return half_up(Fraction(amount * back, pieces))

    basis, duty, consumption, vat = (taken(a, now) - taken(a, before) for a in whole)
    return basis, duty, consumption, vat


@dataclass(slots=True)
class Court:
    """Judges what arrives, and keeps years and books. `zone`: that of the day."""

    treasury: Treasury
    zone: Zone
    today: date
    used: dict[tuple[str, int], int] = field(default_factory=dict)
    lists: list[Listed] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    waiting: dict[str, Listed] = field(default_factory=dict)
    under_way: list[Asked] = field(default_factory=list)

    def declare(self, parcel: Parcel, *, paid: bool) -> Listed:
        """A list arrives after its order, its waybill and, if it is `paid`, its payment."""
        made = Listed(parcel, self.today, amounts(parcel, self.zone.limits), paid)
        made.asked = [0] * len(made.lines)
        made.back = [0] * len(made.lines)
        self.lists.append(made)
        if paid:
            self.decide(made)
        else:
            self.waiting[parcel.order_no] = made
        return made

    def decide(self, one: Listed) -> None:
        """A list is complete: the buyer's year, the guarantee, then release or waiting at 400."""
        parcel, year = one.parcel, (one.parcel.buyer.number, one.accepted.year)
        used = self.used.get(year, 0)
        if used + parcel.value_fen > self.zone.limits.annual_fen:
            one.status, one.rules = REFUSED, ["limit.annual"]
            return
        held = self.treasury.hold(parcel.assure.code, sum(one.taxes))
        if held is None:
            one.status, one.rules = REFUSED, ["guarantee.insufficient"]
            return
        one.held, one.counted = held, True
        self.used[year] = used + parcel.value_fen
        if parcel.site.trade_mode == "9610":
            one.status = AWAITED
        else:
            self.release(one)

    def release(self, one: Listed) -> None:
        """Bill and post the tax."""
        one.status, one.released = RELEASED, self.today
        if sum(one.taxes):
            parcel = one.parcel
            own = {firm.code for firm in (parcel.platform, parcel.carrier, parcel.agent)}
            code = parcel.assure.code
            collector = code if code in own else parcel.agent.code
            one.bill = self.treasury.bill(
                parcel.order_no,
                code,
                collector,
                one.held,
                one.taxes,
                self.today,
                self.zone.law,
            )

    def pay_late(self, one: Listed) -> None:
        """The payment that a list waited for; it may be too late for it."""
        if self.waiting.pop(one.parcel.order_no, None) is not None:
            self.decide(one)

    def come(self, one: Listed) -> None:
        """A direct purchase is on site."""
        if one.status == AWAITED:
            self.release(one)

    def sign(self, one: Listed) -> None:
        if one.status == RELEASED:
            one.status = CLOSED

    def cancel(self, it: Asked) -> None:
        """A cancellation arrives."""
        one = it.about
        self.asked.append(it)
        if one.released:
            it.status, it.rules = REFUSED, ["cancel.released"]
        elif one.status == REFUSED:
            rule = "message.duplicate" if one.cancelled else "message.state"
            it.status, it.rules = int(codes.rule(rule).code("cancellation")), [rule]
        else:
            self.waiting.pop(one.parcel.order_no, None)
            self.treasury.let_go(one.parcel.assure.code, one.held)
            self._restore(one, one.parcel.value_fen)
            one.status, one.cancelled = REFUSED, True

    def apply(self, it: Asked) -> None:
        """A return of a released list is applied for."""
        one, law = it.about, self.zone.law
        assert one.released is not None
        self.asked.append(it)
        if calendar.after(one.released, days(law, "returns.apply-days")) < self.today:
            it.rules.append("return.late")
        for wanted, asked, pieces in zip(it.quantities, one.asked, one.pieces, strict=True):
            if wanted > pieces - asked and "return.quantity" not in it.rules:
                it.rules.append("return.quantity")
        if it.rules:
            it.rules.sort()
            it.status = REFUSED
            return
        it.arrive_by = calendar.after(one.released, days(law, "returns.arrive-days"))
        one.asked = [a + b for a, b in zip(one.asked, it.quantities, strict=True)]
        self.under_way.append(it)

    def arrive(self, it: Asked) -> None:
        """Returned goods are on site, if anybody still waits for them."""
        if it not in self.under_way:
            return
        assert it.arrive_by is not None
        if it.arrive_by < self.today:
            self._turn_away(it, "return.arrived-late")
            return
        self.under_way.remove(it)
        it.status, one = CLOSED, it.about
        now = [a + b for a, b in zip(one.back, it.quantities, strict=True)]
        parts = [part(*line) for line in zip(one.lines, one.back, now, one.pieces, strict=True)]
        one.back = now
        basis, duty, consumption, vat = (sum(column) for column in zip(*parts, strict=True))
        self._restore(one, basis)
        if one.bill is not None:
            self.treasury.take_back(one.bill, (duty, consumption, vat))

    def sweep(self, hour: int) -> None:
        """What any clearing or settlement finds over: waiting lists and returns under way.

        Lists were accepted at 10 o'clock.
        """
        window = days(self.zone.law, "matching.window-days")
        for order_no, one in list(self.waiting.items()):
            last = calendar.after(one.accepted, window)
            if last < self.today or (last == self.today and hour > 10):
                one.status, one.rules = REFUSED, ["match.payment-missing"]
                del self.waiting[order_no]
        for it in list(self.under_way):
            if it.arrive_by is not None and it.arrive_by < self.today:
                self._turn_away(it, "return.not-arrived")

    def withheld(self) -> set[str]:
        return {it.about.parcel.order_no for it in self.under_way}

    def _turn_away(self, it: Asked, rule: str) -> None:
        it.status, it.rules = REFUSED, [rule]
        it.about.asked = [a - b for a, b in zip(it.about.asked, it.quantities, strict=True)]
        self.under_way.remove(it)

    def _restore(self, one: Listed, fen: int) -> None:
        if one.counted:
            self.used[one.parcel.buyer.number, one.accepted.year] -= fen
