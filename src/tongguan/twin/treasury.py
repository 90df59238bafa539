"""The twin's own books: guarantees, tax bills and payments, one movement after the other.

The second opinion on the ledger, so it shares no code with it. Sources: GACC notice 2018-194
(guarantee by the collecting agent; tax paid on days 31 to 45 after release), 2020-45 (tax of
returned goods is not levied), 2022-61 (late fee); Customs Law art. 60 (guarantee claimed).
Amounts are fen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction

from tongguan.policy import Law
from tongguan.twin import calendar
from tongguan.twin.expectation import half_up

MADE, SUMMARISED, VOID = 1, 2, 3


@dataclass(slots=True)
class Guarantee:
    """What is free, held for lists under way, and held for released ones."""

    code: str
    kind: str
    free: int = 0
    pending: int = 0
    posted: int = 0
    frozen: bool = False


@dataclass(slots=True)
class Bill:
    """The tax of one released list; `taken`: duty, consumption tax, VAT that returns took back."""

    order_no: str
    guarantor: str
    collector: str
    secured: bool
    taxes: tuple[int, int, int]
    due_from: date
    due_to: date
    cycle: str
    taken: tuple[int, int, int] = (0, 0, 0)
    status: int = MADE
    payment: Payment | None = None

    @property
    def left(self) -> int:
        return sum(self.taxes) - sum(self.taken)


@dataclass(slots=True)
class Payment:
    """Bills of one guarantor and cycle, paid together; `nth`: of that guarantor and cycle."""

    guarantor: str
    cycle: str
    nth: int
    due_from: date
    due_to: date
    bills: list[Bill]
    total: int
    status: str = "due"
    returned: int = 0
    refunded: int = 0
    fee: int = 0
    fee_day: date | None = None
    claimed: int = 0
    paid: int | None = None

    @property
    def open(self) -> bool:
        return self.status in ("due", "overdue")

    @property
    def secured(self) -> int:
        return sum(bill.left for bill in self.bills if bill.secured)


@dataclass(slots=True)
class Treasury:
    """All guarantees, bills in the order of their making, and payments."""

    guarantees: dict[str, Guarantee] = field(default_factory=dict)
    bills: list[Bill] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)
    customs: int = 0
    outside: int = 0
    _unsummed: list[Bill] = field(default_factory=list)
    _count: dict[tuple[str, str], int] = field(default_factory=dict)

    def raise_guarantee(self, code: str, kind: str, amount: int) -> None:
        self.guarantees.setdefault(code, Guarantee(code, kind)).free += amount
        self.outside -= amount

    # -- lists ---------------------------------------------------------------------------------

    def hold(self, code: str, tax: int) -> int | None:
        """Hold the tax of a list: what is held, None where the guarantee cannot carry it.

        A firm without a guarantee carries tax all the same, and nothing is held.
        """
        found = self.guarantees.get(code)
        if found is None:
            return 0
        if found.frozen or tax > found.free:
            return None
        found.free -= tax
        found.pending += tax
        return tax

    def let_go(self, code: str, held: int) -> None:
        """A list with a hold is cancelled."""
        if held:
            self.guarantees[code].free += held
            self.guarantees[code].pending -= held

    def bill(
        self,
        order_no: str,
        guarantor: str,
        collector: str,
        held: int,
        taxes: tuple[int, int, int],
        released: date,
        law: Law,
    ) -> Bill:
        """A list is released: its tax is posted and billed."""
        if held:
            self.guarantees[guarantor].pending -= held
            self.guarantees[guarantor].posted += held
        made = Bill(
            order_no,
            guarantor,
            collector,
            held > 0,
            taxes,
            calendar.after(released, days(law, "settlement.due-from-day")),
            calendar.after(released, days(law, "settlement.due-to-day")),
            f"{released:%Y-%m-%d}",
        )
        self.bills.append(made)
        self._unsummed.append(made)
        return made

    def take_back(self, bill: Bill, taxes: tuple[int, int, int]) -> None:
        """Returned goods have arrived: so much of each tax is not owed."""
        amount = sum(taxes)
        duty, consumption, vat = (a + b for a, b in zip(bill.taken, taxes, strict=True))
        bill.taken = duty, consumption, vat
        payment = bill.payment
        status = payment.status if payment else "unsummed"
        settled = status == "paid" or (status == "claimed" and bill.secured)
        if settled:
            self.customs -= amount
            self.outside += amount
        elif bill.secured:
            self.guarantees[bill.guarantor].posted -= amount
            self.guarantees[bill.guarantor].free += amount
        if payment is not None and settled:
            payment.refunded += amount
        elif payment is not None:
            payment.returned += amount
            if payment.open and payment.returned == payment.total:
                payment.status, payment.fee = "void", 0
        if not bill.left:
            bill.status = VOID

    # -- the calendar --------------------------------------------------------------------------

    def settle(self, day: date, law: Law, withheld: set[str]) -> list[Payment]:
        """Sum what is due, count late fees, claim guarantees; the payments that are new.

        `withheld`: order numbers of lists of which a return is under way.
        """
        made: dict[tuple[str, str], Payment] = {}
        rest = []
        for bill in self._unsummed:
            if bill.status == VOID:
                continue
            if bill.due_from > day or bill.order_no in withheld:
                rest.append(bill)
                continue
            name = bill.guarantor, bill.cycle
            if name not in made:
                nth = self._count[name] = self._count.get(name, 0) + 1
                made[name] = Payment(*name, nth, bill.due_from, bill.due_to, [], 0)
            payment = made[name]
            bill.status, bill.payment = SUMMARISED, payment
            payment.bills.append(bill)
            payment.total += bill.left
        self._unsummed = rest
        self.payments += made.values()
        for payment in self.payments:
            if payment.open:
                self._late(payment, day, law)
        return list(made.values())

    def _late(self, payment: Payment, day: date, law: Law) -> None:
        if payment.due_to < day and (payment.fee_day is None or payment.fee_day < day):
            payment.status, payment.fee_day = "overdue", day
            payment.fee = late_fee(payment, day, law)
        if payment.due_to >= day:
            return
        patience = days(law, "settlement.enforce-after-days")
        if calendar.between(payment.due_to, day) <= patience or not payment.secured:
            return
        held, found = payment.secured, self.guarantees[payment.guarantor]
        of_fee = min(payment.fee, found.free)
        found.posted -= held
        found.free -= of_fee
        self.customs += held + of_fee
        payment.status, payment.claimed = "claimed", held + of_fee

    def owed(self, payment: Payment, day: date, law: Law) -> int:
        """What pays it on a day; 0 where there is nothing to pay."""
        if payment.status in ("paid", "void"):
            return 0
        fee = late_fee(payment, day, law) if payment.open else payment.fee
        return payment.total - payment.returned + fee - payment.claimed

    def pay(self, payment: Payment, day: date, law: Law) -> None:
        """Pay all that is owed; the guarantee is free of it."""
        amount = self.owed(payment, day, law)
        if payment.open:
            payment.fee = late_fee(payment, day, law)
            held = payment.secured
            if held:
                self.guarantees[payment.guarantor].posted -= held
                self.guarantees[payment.guarantor].free += held
        payment.paid, payment.status = amount, "paid"
        self.customs += amount
        self.outside -= amount


def days(law: Law, parameter: str) -> int:
    return int(law.value(parameter).number)


def late_fee(payment: Payment, day: date, law: Law) -> int:
    """So much of the tax for each day after the last one, half-up to fen once."""
    if day <= payment.due_to:
        return 0
    late = calendar.between(payment.due_to, day)
    rate = law.value("settlement.late-fee").number / 100  # it is given in percent
    return half_up(Fraction(payment.total - payment.returned) * late * rate)
