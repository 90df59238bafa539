"""A zone over many days: parcels, and all that happens to them after release.

`write_life` writes what happens as folders of messages and a plan, and what must come out of it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

from tongguan.twin import calendar, ending
from tongguan.twin.lives import AWAITED, RELEASED, Asked, Court, Listed
from tongguan.twin.parcels import Maker, Parcel
from tongguan.twin.post import Act, Post, sender
from tongguan.twin.treasury import Payment, Treasury
from tongguan.twin.zone import Buyer, Zone

TAIL = 160
"""Days after the last parcels until every deadline is over."""

GUARANTORS = (
    # how much of a guarantor's tax its guarantee can carry at a time (percent; None: it has none),
    # and when it pays
    (200, "prompt"),
    (12, "prompt"),
    (None, "prompt"),
    (200, "never"),
    (15, "late"),
    (200, "late"),
    (None, "never"),
    (25, "grudging"),
)
RETURNS = (
    *("whole", "part", "parts", "late", "last-day", "too-many", "late-arrival", "never"),
    *("whole", "part", "parts"),
)
KINDS = ("deposit", "letter", "electronic")


@dataclass(frozen=True, slots=True)
class LifeSummary:
    """What was written. `lives`: lists, returns, cancellations and payments by how they ended."""

    parcels: int
    folders: int
    documents: int
    steps: int
    expected: int
    lives: Mapping[str, int]


@dataclass(slots=True)
class Day:
    """What is to happen on a day, in this order."""

    night: list[Asked] = field(default_factory=list)
    guarantees: list[dict[str, Any]] = field(default_factory=list)
    cancel: list[Listed] = field(default_factory=list)
    returns: list[Asked] = field(default_factory=list)
    deliver: list[Listed] = field(default_factory=list)
    sign: list[Listed] = field(default_factory=list)
    late: list[Listed] = field(default_factory=list)
    arrive: list[Asked | Listed] = field(default_factory=list)
    pay: list[Payment] = field(default_factory=list)

    @property
    def posts(self) -> bool:
        return bool(self.cancel or self.returns or self.deliver or self.sign or self.late)


def write_life(
    out: Path,
    *,
    seed: int,
    parcels: int,
    days: int = 120,
    start: date = date(2022, 1, 10),
    step: int = 1,
) -> LifeSummary:
    """Write the life of a zone to out/messages/NNNN, out/plan.jsonl and out/expected-life.jsonl.

    `parcels` are declared over `days` days from `start`, every `step` days; settlement goes on
    until every deadline is over. A line of the plan: at (ISO time), do (clear | settle | arrive |
    pay | guarantee | freeze | unfreeze) and what that needs; payments name guarantor, cycle and
    nth, since customs numbers them, and say how they are answered. Lists are cleared with
    arrivals required. expected-life.jsonl: see `ending.lines`. Amounts are fen.

    The same arguments give the same bytes. `out` must be absent or hold no messages. Raises
    ValueError for arguments out of range, FileExistsError, policy.OutsideKnown.
    """
    if parcels < 0 or days < 1 or step < 1:
        raise ValueError(f"{parcels} parcels on every {step}th of {days} days")
    folder = out / "messages"
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    folder.mkdir(parents=True, exist_ok=True)
    life = Life.begin(folder, seed, parcels, days, start, step)
    for number in range(days + TAIL + 1):
        life.day(number)
    with (out / "plan.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(line + "\n" for line in life.plan)
    told = list(ending.lines(life.court))
    with (out / "expected-life.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(line + "\n" for line in told)
    ends = Counter(life.happened) + ending.ends(life.court)
    return LifeSummary(
        parcels=len(life.court.lists),
        folders=life.post.folders,
        documents=life.post.documents,
        steps=len(life.plan),
        expected=len(told),
        lives=dict(sorted(ends.items())),
    )


@dataclass(slots=True)
class Life:
    """One zone; `day` plays its days one after the other."""

    seed: int
    start: date
    days: int
    step: int
    parcels: int
    rng: Random
    maker: Maker
    post: Post
    court: Court
    keen: list[Buyer]
    guarantors: list[str]
    agenda: dict[date, Day] = field(default_factory=dict)
    plan: list[str] = field(default_factory=list)
    happened: Counter[str] = field(default_factory=Counter)
    _returns: list[str] = field(default_factory=list)

    @classmethod
    def begin(
        cls, folder: Path, seed: int, parcels: int, days: int, start: date, step: int
    ) -> Life:
        rng = Random(f"life {seed}")  # noqa: S311 - reproducible, not secret
        zone = Zone(seed, start)
        life = cls(
            seed=seed,
            start=start,
            days=days,
            step=step,
            parcels=parcels,
            rng=rng,
            maker=Maker(zone, Random(f"life parcels {seed}")),  # noqa: S311
            post=Post(folder, Random(f"life post {seed}")),  # noqa: S311
            court=Court(Treasury(), zone, start),
            keen=[zone.buyer(rng) for _ in range(1 + parcels // 1000)],
            guarantors=[firm.code for firm in (*zone.platforms, *zone.agents)],
        )
        life._fund(zone)
        return life

    def _fund(self, zone: Zone) -> None:
        """Open guarantees: sized by the tax that some parcels nobody sends would have."""
        maker = Maker(zone, Random(f"life sample {self.seed}"))  # noqa: S311
        taxes = [parcel.tax.total for _ in range(100) if (parcel := maker.parcel()).tax]
        flow = sum(taxes) * self.parcels // len(taxes) // len(self.guarantors)
        zone.people = len(self.keen)
        for at, code in enumerate(self.guarantors):
            percent = GUARANTORS[at % len(GUARANTORS)][0]
            if percent is None:
                continue
            kind = KINDS[at % len(KINDS)]
            amount = max(flow * percent // 100, 1)
            self._guarantee(0, do="guarantee", code=code, kind=kind, amount_fen=amount)
            if percent < 100:
                more = max(amount // 10, 1)
                for day in (self.days // 2, self.days * 3 // 4):
                    self._guarantee(day, do="guarantee", code=code, kind=kind, amount_fen=more)
        self._guarantee(self.days // 3, do="freeze", code=self.guarantors[0])
        self._guarantee(self.days // 3 + 7, do="unfreeze", code=self.guarantors[0])
        # One that had none gets one later: what it owes by then stays unsecured.
        code = self.guarantors[2]
        self._guarantee(self.days // 4, do="guarantee", code=code, kind="letter", amount_fen=flow)

    def _guarantee(self, number: int, **what: Any) -> None:
        self._on(calendar.after(self.start, number)).guarantees.append(what)

    def _on(self, day: date) -> Day:
        return self.agenda.setdefault(day, Day())

    # -- a day ---------------------------------------------------------------------------------

    def day(self, number: int) -> None:
        """Play the day of that number, 0 being the first."""
        today = calendar.after(self.start, number)
        if number:
            self._dawn(today)
        agenda = self.agenda.pop(today, Day())
        for it in agenda.night:
            self._arrive(it, "00:30")
        if self._settles(number):
            self._settle(today)
        for what in agenda.guarantees:
            self._secure(what)
        if number < self.days and number % self.step == 0:
            self._declare(self._share(number))
        if agenda.posts:
            self._noon(agenda)
        for one in agenda.arrive:
            self._arrive(one, "14:00")
        for payment in agenda.pay:
            self._pay(payment)
        assert today not in self.agenda, "everything planned by today comes on a later day"

    def _dawn(self, today: date) -> None:
        """A new day: its law, and in a new year nobody has used anything."""
        people = self.court.zone.people
        zone = Zone(self.seed, today)
        zone.people = people
        new_year = today.year != self.court.today.year
        self.maker = Maker(
            zone,
            self.maker.rng,
            number=self.maker.number,
            people=[] if new_year else self.maker.people,
        )
        self.court.zone, self.court.today = zone, today

    def _settles(self, number: int) -> bool:
        """Not every day: a payment made late must be the same payment."""
        if number >= self.days:
            return number % 5 == 0 or number == self.days + TAIL
        return number % self.step == 0 and number % 7 != 6

    def _share(self, number: int) -> int:
        """How many parcels are declared on a day."""
        times = -(-self.days // self.step)
        at = number // self.step
        return self.parcels * (at + 1) // times - self.parcels * at // times

    def _note(self, time: str, do: str, **more: Any) -> None:
        at = f"{self.court.today.isoformat()}T{time}:00+08:00"
        self.plan.append(json.dumps({"at": at, "do": do, **more}, ensure_ascii=False))

    def _secure(self, what: dict[str, Any]) -> None:
        books = self.court.treasury
        self._note("09:00", **what)
        if what["do"] == "guarantee":
            books.raise_guarantee(what["code"], what["kind"], what["amount_fen"])
        else:
            books.guarantees[what["code"]].frozen = what["do"] == "freeze"

    # -- parcels -------------------------------------------------------------------------------

    def _declare(self, count: int) -> None:
        if not count:
            return
        made = [self._parcel() for _ in range(count)]
        unpaid = {parcel.order_no for parcel in made if self.rng.random() < 0.04}
        for parcel in made:
            if parcel.order_no in unpaid:
                # Somebody who buys once only: which of two waiting lists of one buyer comes first
                # would depend on more than the order of arrival.
                self._buyer(parcel, self.court.zone.buyer(self.rng))
        self._note("10:00", "clear", folder=self.post.open())
        today = self.court.today
        for kind in ("order", "waybill"):
            self.post.send(kind, sorted(made, key=sender(kind)), today)
        paid = [parcel for parcel in made if parcel.order_no not in unpaid]
        self.post.send("payment", sorted(paid, key=sender("payment")), today)
        declared = sorted(made, key=sender("inventory"))
        self.post.send("inventory", declared, today)
        for parcel in declared:
            one = self.court.declare(parcel, paid=parcel.order_no not in unpaid)
            self._follow(one)
        self.court.sweep(10)

    def _parcel(self) -> Parcel:
        rng = self.rng
        parcel = self.maker.parcel()
        if rng.random() < 0.05:
            self._buyer(parcel, self.keen[rng.randrange(len(self.keen))])
        parcel.assure = parcel.platform if rng.random() < 0.5 else parcel.agent
        return parcel

    def _buyer(self, parcel: Parcel, buyer: Buyer) -> None:
        parcel.buyer.used_fen -= parcel.value_fen
        self.maker.assign_buyer(parcel, buyer)

    def _follow(self, one: Listed) -> None:
        """Plan what becomes of a list that waits, is at 400 or was released."""
        rng = self.rng
        if not one.paid and one.status == 2:
            fate = rng.random()
            if fate < 0.25:
                self._soon(1, 25).cancel.append(one)
            if fate < 0.7:
                self._in(rng.choice((1, 2, 5, 9, 17, 29, 30, 31))).late.append(one)
        elif one.status == AWAITED:
            fate = rng.random()
            if fate < 0.05:
                self._soon(1, 6).cancel.append(one)
            if fate < 0.01:
                # Once more: it is cancelled already.
                self._soon(7, 9).cancel.append(one)
            if 0.03 < fate < 0.95:
                self._soon(1, 8).deliver.append(one)
            elif fate > 0.98:
                self._soon(1, 8).arrive.append(one)
        elif one.status == RELEASED:
            self._after_release(one)

    def _in(self, days: int) -> Day:
        return self._on(calendar.after(self.court.today, days))

    def _soon(self, first: int, last: int) -> Day:
        """A day drawn from some; where few days are played, the next on which more happens."""
        day = calendar.after(self.court.today, self.rng.randint(first, last))
        number = calendar.between(self.start, day)
        return self._on(calendar.after(day, (self.step // 2 - number) % self.step))

    def _after_release(self, one: Listed) -> None:
        fate = self.rng.random()
        if fate < 0.05:
            self._send_back(one)
        if 0.04 < fate < 0.15:
            self._soon(1, 6).sign.append(one)
        if 0.15 < fate < 0.16:
            self._soon(1, 9).cancel.append(one)

    def _send_back(self, one: Listed) -> None:
        """One of the ways in which goods go back, each as often as the others."""
        rng = self.rng
        if not self._returns:
            self._returns = list(RETURNS)
            rng.shuffle(self._returns)
        how = self._returns.pop()
        whole = tuple(one.pieces)
        some = tuple(rng.randint(0, pieces) for pieces in whole)
        if how in ("part", "parts") and (not any(some) or some == whole):
            how = "whole"
        applied = rng.randint(1, 30)
        arrives = rng.randint(applied, 45)
        if how == "late":
            self._return(one, whole, rng.choice((31, 31, 33)), 40)
        elif how == "last-day":
            self._return(one, whole, 30, 45)
        elif how == "late-arrival":
            self._return(one, whole, applied, 46)
        elif how == "never":
            self._return(one, whole, applied, None)
        elif how == "too-many":
            self._return(one, tuple(pieces + 1 for pieces in whole), applied, arrives)
        elif how == "parts":
            rest = tuple(a - b for a, b in zip(whole, some, strict=True))
            self._return(one, some, applied, arrives)
            second = rng.randint(applied, 30)
            self._return(one, rest, second, rng.randint(second, 45))
        else:
            self._return(one, some if how == "part" else whole, applied, arrives)

    def _return(
        self, one: Listed, quantities: tuple[int, ...], applied: int, arrives: int | None
    ) -> None:
        """applied, arrives: days after release, which is today."""
        self.happened["returns planned"] += 1
        cop_no = f"R{self.court.today:%y%m%d}{self.happened['returns planned']:08d}"
        it = Asked("return", one, cop_no, quantities)
        if arrives is not None:
            it.arrives = calendar.after(self.court.today, arrives)
        self._in(applied).returns.append(it)

    # -- the rest of the day -------------------------------------------------------------------

    def _noon(self, agenda: Day) -> None:
        """Cancellations, returns, arrivals, signatures and late payments, in this order."""
        court, post, today = self.court, self.post, self.court.today
        self._note("12:00", "clear", folder=post.open())
        off = [self._cancellation(one) for one in agenda.cancel]
        for kind, asked, judge in (
            ("cancellation", off, court.cancel),
            ("return", agenda.returns, court.apply),
        ):
            of = sender(kind)
            asked.sort(key=lambda it, of=of: of(it.about.parcel))  # type: ignore[misc]
            acts = [Act(kind, it.about.parcel, it.cop_no, it.quantities) for it in asked]
            post.tell(kind, acts, today)
            for it in asked:
                judge(it)
        for it in agenda.returns:
            if it.arrives is not None:
                self._expect(it)
        post.deliver([one.parcel for one in agenda.deliver], today)
        signed = sorted((one.parcel for one in agenda.sign), key=sender("waybill-status"))
        post.tell("waybill-status", [Act("waybill-status", p) for p in signed], today)
        # Lists that wait longest come first, and those of one day in the order of their numbers.
        late = sorted(agenda.late, key=lambda one: (sender("payment")(one.parcel), one.accepted))
        self._pay_lists(late)
        for one in agenda.deliver:
            before = one.status
            court.come(one)
            if before == AWAITED and one.status == RELEASED:
                self._after_release(one)
        for one in agenda.sign:
            court.sign(one)
        court.sweep(12)

    def _pay_lists(self, late: list[Listed]) -> None:
        self.post.send("payment", [one.parcel for one in late], self.court.today)
        for one in late:
            waited = one.status == 2
            self.court.pay_late(one)
            if waited and one.status != 2:
                self._follow(one)

    def _cancellation(self, one: Listed) -> Asked:
        self.happened["cancellations"] += 1
        cop_no = f"X{self.court.today:%y%m%d}{self.happened['cancellations']:08d}"
        return Asked("cancellation", one, cop_no)

    def _expect(self, it: Asked) -> None:
        """Goods of a return come, whether it was approved or not; too late ones before dawn."""
        if it.rules or it.arrives is None or it.arrive_by is None:
            return
        # The agenda of today is being worked through.
        day = self._on(max(it.arrives, calendar.after(self.court.today, 1)))
        (day.night if it.arrives > it.arrive_by else day.arrive).append(it)

    def _arrive(self, what: Asked | Listed, time: str) -> None:
        if isinstance(what, Asked):
            self._note(time, "arrive", key=what.cop_no)
            self.court.arrive(what)
            return
        known = what.status in (AWAITED, RELEASED, 899)
        if known:
            self._note(time, "arrive", key=what.parcel.order_no)
            self.court.come(what)

    def _settle(self, today: date) -> None:
        court = self.court
        self._note("08:00", "settle")
        court.sweep(8)
        made = court.treasury.settle(today, court.zone.law, court.withheld())
        for payment in made:
            at = self.guarantors.index(payment.guarantor) % len(GUARANTORS)
            habit = GUARANTORS[at][1]
            if habit == "never":
                continue
            # The first and the last day, and those on both sides of them, more often than others.
            wait = {
                "prompt": (0, 3, 7, 14, 14),
                "late": (14, 15, 16, 40),
                "grudging": (15, 104, 105, 110),
            }[habit]
            day = calendar.after(payment.due_from, self.rng.choice(wait))
            self._on(max(day, calendar.after(today, 1))).pay.append(payment)

    def _pay(self, payment: Payment) -> None:
        books, today, law = self.court.treasury, self.court.today, self.court.zone.law
        owed = books.owed(payment, today, law)
        number = len(self.plan)
        facts = {
            "guarantor": payment.guarantor,
            "cycle": payment.cycle,
            "nth": payment.nth,
            "reference": f"P{number:08d}",
        }
        if not owed:
            self._note("16:00", "pay", **facts, amount_fen=payment.total, answer="nothing-due")
            return
        if self.rng.random() < 0.1:
            wrong = owed + self.rng.choice((-1, 1, 10_000))
            note = facts | {"amount_fen": wrong, "answer": "differs", "owed_fen": owed}
            self._note("16:00", "pay", **note)
        books.pay(payment, today, law)
        note = facts | {"amount_fen": owed, "fee_fen": payment.fee}
        self._note("16:00", "pay", **note, answer="paid")
        if self.rng.random() < 0.1:
            self._note("16:00", "pay", **note, answer="repeated")
