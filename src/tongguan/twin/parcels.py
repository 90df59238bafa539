"""Faultless parcels: who buys what from whom, for how much, and what tax that makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random

from tongguan.twin.expectation import Tax, line_tax, shares
from tongguan.twin.identity import person_name
from tongguan.twin.zone import Buyer, Firm, Goods, Site, Zone, bonded_goods

KINDS = ("order", "payment", "waybill", "inventory")
_DAY_SECONDS = 20 * 3600


@dataclass(slots=True)
class Line:
    """One line of an order and of its list; `total_fen` in fen, quantities as text (N19,5)."""

    goods: Goods
    gcode: str
    qty: int
    price: str
    total_fen: int
    country: str
    qty1: str
    unit1: str
    qty2: str | None
    unit2: str | None

    def retotal(self, total_fen: int) -> Line:
        """The same line for another total, at a price of up to five decimals."""
        return replace(self, total_fen=total_fen, price=unit_price(total_fen, self.qty))


@dataclass(slots=True)
class Document:
    """One document to be sent. `patch` overrides elements; None takes an element's value away.

    `drop` names elements cut out of the finished text, although they are required.
    """

    kind: str
    parcel: Parcel
    app_type: str = "1"
    app_status: str = "2"
    second: int = 0
    patch: dict[str, str | None] | None = None
    drop: tuple[str, ...] = ()


@dataclass(slots=True)
class Parcel:
    """One parcel with the facts that its four documents share; money in fen."""

    number: int
    site: Site
    platform: Firm
    seller: Firm
    payer_firm: Firm
    carrier: Firm
    agent: Firm
    assure: Firm
    buyer: Buyer
    consignee: str
    order_no: str
    cop_no: str
    logistics_no: str
    transaction: str
    order_pay_firm: Firm | None
    lines: list[Line]
    freight_fen: int
    insured_fen: int
    discount_fen: int
    prepaid_tax: bool
    second: int
    bill: tuple[str, str, str] | None
    gross: str = ""
    net: str = ""
    goods_fen: int = 0
    tax_total_fen: int = 0
    tax: Tax | None = None
    full_tax: bool = False
    list_lines: list[Line] | None = None
    documents: list[list[Document]] = field(default_factory=list)
    faults: tuple[str, ...] = ()

    @property
    def value_fen(self) -> int:
        """The price basis P: goods, freight and insurance."""
        return self.goods_fen + self.freight_fen + self.insured_fen

    @property
    def order_freight_fen(self) -> int:
        """What the order charges for carriage: freight and insurance together."""
        return self.freight_fen + self.insured_fen

    @property
    def paid_fen(self) -> int:
        return self.goods_fen + self.order_freight_fen + self.tax_total_fen - self.discount_fen

    @property
    def sent_from(self) -> str:
        """Country of dispatch: bonded goods leave from inside the country."""
        return "142" if self.site.keeper else self.lines[0].country

    @property
    def traf_no(self) -> str | None:
        return self.bill[0] if self.bill else None

    @property
    def voyage_no(self) -> str | None:
        return self.bill[1] if self.bill else None

    @property
    def bill_no(self) -> str | None:
        return self.bill[2] if self.bill else None

    @property
    def order_pay_code(self) -> str | None:
        return self.order_pay_firm.code if self.order_pay_firm else None

    @property
    def order_pay_name(self) -> str | None:
        return self.order_pay_firm.name if self.order_pay_firm else None

    @property
    def order_transaction(self) -> str | None:
        return self.transaction if self.order_pay_firm else None

    @property
    def declared_lines(self) -> list[Line]:
        """The lines of the list; they are the order's unless a fault parted them."""
        return self.lines if self.list_lines is None else self.list_lines

    def send(self, kind: str) -> Document:
        """A new document of this parcel, not yet in `documents`."""
        return Document(kind, self, second=self.second + 60 * KINDS.index(kind))


def decimal_text(fifths: int) -> str:
    """A count of 1/100,000 as the shortest decimal text."""
    whole, rest = divmod(fifths, 100_000)
    return f"{whole}.{rest:05d}".rstrip("0") if rest else str(whole)


def fen_text(fen: int) -> str:
    """Fen as yuan with two decimals."""
    sign, fen = ("-", -fen) if fen < 0 else ("", fen)
    return f"{sign}{fen // 100}.{fen % 100:02d}"


def unit_price(total_fen: int, qty: int) -> str:
    """Price per piece with up to five decimals, so that qty × price is the total to the fen."""
    return decimal_text((total_fen * 2000 + qty) // (2 * qty))


@dataclass(slots=True)
class Maker:
    """Makes parcels of one zone in sequence; the same seed makes the same parcels."""

    zone: Zone
    rng: Random
    unlisted: frozenset[str] = frozenset()
    restricted: frozenset[str] = frozenset()
    number: int = 0
    people: list[Buyer] = field(default_factory=list)
    _stock: dict[str, tuple[Goods, ...]] = field(default_factory=dict)
    _day: str = ""

    def __post_init__(self) -> None:
        self._day = f"{self.zone.day:%Y%m%d}"
        listed = [g for g in self.zone.goods if g.code[:8] not in self.unlisted]
        direct = [g for g in listed if g.code[:8] not in self.restricted]
        self._stock = {
            "1210": tuple(listed),
            "9610": bonded_goods(direct, allowed=False),
        }

    def stock(self, trade_mode: str) -> tuple[Goods, ...]:
        """What may be bought through a site of this trade mode."""
        return self._stock[trade_mode]

    def parcel(self, trade_mode: str | None = None) -> Parcel:
        """The next faultless parcel; its buyer stays within the year."""
        rng, zone = self.rng, self.zone
        random = rng.random
        if trade_mode is None:
            trade_mode = "1210" if random() < 0.7 else "9610"
        sites = zone.bonded_sites if trade_mode == "1210" else zone.direct_sites
        site = sites[int(random() * len(sites))]
        stock = self._stock[trade_mode]
        count = _COUNTS[int(random() * len(_COUNTS))]
        lines = [self.line(stock[int(random() * len(stock))]) for _ in range(count)]
        parcel = self._frame(site, lines)
        self.price(parcel)
        while parcel.value_fen > zone.limits.single_fen:
            if len(lines) > 1:
                lines.pop()
            elif lines[0].qty > 1:
                lines[0] = _line(lines[0].goods, 1, lines[0].total_fen // lines[0].qty, rng)
            else:
                break
            self.price(parcel)
        self.assign_buyer(parcel)
        return parcel

    def line(self, goods: Goods) -> Line:
        rng = self.rng
        random = rng.random
        qty = _QUANTITIES[int(random() * len(_QUANTITIES))]
        each = goods.price_low + int(random() * (goods.price_high - goods.price_low + 1))
        made = _line(goods, qty, each, rng)
        # A promotion over all pieces: the price per piece then needs more than two decimals.
        if qty > 1 and random() < 0.25:
            made = made.retotal(made.total_fen - 1 - int(random() * 99))
        return made

    def _frame(self, site: Site, lines: list[Line]) -> Parcel:
        rng, zone = self.rng, self.zone
        random = rng.random

        def one(firms: Sequence[Firm]) -> Firm:
            return firms[int(random() * len(firms))]

        self.number += 1
        n = self.number
        tail = f"{zone.seed % 1000:03d}{n:08d}"
        day = self._day
        platform, seller, carrier, agent = (
            one(zone.platforms),
            one(zone.sellers),
            one(zone.carriers),
            one(zone.agents),
        )
        payer = one(zone.payers)
        bill = None
        if site.trade_mode == "9610":
            flight = int(random() * 900) + 100
            bill = (f"TG{flight}", f"TG{flight}", f"{flight}-{int(random() * 10**8):08d}")
        return Parcel(
            number=n,
            site=site,
            platform=platform,
            seller=seller,
            payer_firm=payer,
            carrier=carrier,
            agent=agent,
            assure=one((platform, seller, carrier, agent)),
            buyer=_NOBODY,
            consignee="",
            order_no=f"D{day[2:]}{tail}",
            cop_no=f"Q{day[2:]}{tail}",
            logistics_no=f"YT{tail}{int(random() * 1000):03d}",
            transaction=f"{day}{tail}{int(random() * 10**6):06d}",
            order_pay_firm=payer,
            lines=lines,
            freight_fen=_FREIGHTS[int(random() * len(_FREIGHTS))],
            insured_fen=_INSURANCES[int(random() * len(_INSURANCES))],
            discount_fen=0,
            prepaid_tax=random() < 0.8,
            second=int(random() * _DAY_SECONDS),
            bill=bill,
        )

    def price(self, parcel: Parcel) -> None:
        """Totals, tax and weight of the parcel as its lines now stand.

        Without tax (None) where the parcel is over the limits or cannot be taxed.
        """
        lines = parcel.lines
        parcel.goods_fen = sum([line.total_fen for line in lines])
        self._tax(parcel)
        tax = parcel.tax
        parcel.tax_total_fen = tax.total if tax and parcel.prepaid_tax else 0
        if self.number % 7 == 0:
            parcel.discount_fen = min(parcel.goods_fen // 20, 5000)
        net = sum([line.goods.weight * line.qty for line in lines])
        parcel.net = decimal_text(net)
        parcel.gross = decimal_text(net + 25_000 + 2_000 * len(lines))

    def _tax(self, parcel: Parcel) -> None:
        limits, lines = self.zone.limits, parcel.lines
        value = parcel.value_fen
        single_item = len(lines) == 1 and lines[0].qty == 1
        parcel.full_tax = value > limits.single_fen
        if (parcel.full_tax and not single_item) or value > limits.annual_fen:
            parcel.tax = None
            return
        levy = None if parcel.full_tax else limits.levy
        goods_fen = [line.total_fen for line in lines]
        charges = shares(value - parcel.goods_fen, goods_fen)
        duty = consumption = vat = 0
        for line, charge in zip(lines, charges, strict=True):
            tax = line_tax(
                line.goods.rates,
                line.total_fen,
                line.total_fen + charge,
                {kind: each * line.qty for kind, each in line.goods.measures},
                levy,
            )
            duty += tax.duty
            consumption += tax.consumption
            vat += tax.vat
        parcel.tax = Tax(duty, consumption, vat)

    def assign_buyer(self, parcel: Parcel, buyer: Buyer | None = None) -> None:
        """A buyer whose year still has room for this parcel: one met before, or a new one."""
        rng = self.rng
        people, value = self.people, parcel.value_fen
        if buyer is None and people and rng.random() < 0.3:
            met = people[int(rng.random() * len(people))]
            if met.used_fen + value <= self.zone.limits.annual_fen:
                buyer = met
        if buyer is None:
            buyer = self.zone.buyer(rng)
            if len(people) < _ACQUAINTANCES:
                people.append(buyer)
            else:
                people[int(rng.random() * _ACQUAINTANCES)] = buyer
        buyer.used_fen += value
        parcel.buyer = buyer
        if rng.random() < 0.85:
            parcel.consignee = buyer.name
        else:
            parcel.consignee = person_name(rng)


def _line(goods: Goods, qty: int, each_fen: int, rng: Random) -> Line:
    origins = goods.origins
    return Line(
        goods=goods,
        gcode=goods.code,
        qty=qty,
        price=fen_text(each_fen),
        total_fen=each_fen * qty,
        country=origins[int(rng.random() * len(origins))],
        qty1=decimal_text(goods.per1 * qty),
        unit1=goods.unit1,
        qty2=decimal_text(goods.per2 * qty) if goods.unit2 else None,
        unit2=goods.unit2,
    )


_NOBODY = Buyer("", "", "", "", "")
_ACQUAINTANCES = 20_000
_COUNTS = (1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5)
_QUANTITIES = (1, 1, 1, 1, 2, 2, 3, 4, 6)
_FREIGHTS = (0, 0, 600, 800, 1000, 1200, 1550, 1800, 2500)
_INSURANCES = (0, 0, 0, 0, 100, 250, 333)
