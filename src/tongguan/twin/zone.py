"""A made-up zone: firms, sites, goods and buyers, all from one seed."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from importlib.resources import files
from random import Random

from tongguan import policy
from tongguan.twin import identity
from tongguan.twin.expectation import Limits, Rates, limits, measures

# The regime whose limits the twin's parcels are made for (财关税〔2018〕49号).
FIRST_DAY = date(2019, 1, 1)


@dataclass(frozen=True, slots=True)
class Firm:
    """A company: `code` is a customs registration code (10) or a social credit code (18)."""

    code: str
    name: str
    dxp_id: str


@dataclass(frozen=True, slots=True)
class Site:
    """Where parcels are cleared. A bonded site has an account book and a keeper."""

    trade_mode: str
    customs_code: str
    port_code: str
    traf_mode: str
    keeper: Firm | None = None
    ems_no: str | None = None

    @property
    def area_code(self) -> str | None:
        return self.keeper.code if self.keeper else None

    @property
    def area_name(self) -> str | None:
        return self.keeper.name if self.keeper else None


@dataclass(frozen=True, slots=True)
class Goods:
    """One article a seller offers.

    Prices in fen; legal quantities and the weight (kg) of one piece in 1/100,000; `measures`: the
    legal quantities of one piece in base units, where a tax depends on them.
    """

    code: str
    name: str
    model: str
    item_no: str
    record_no: str
    bar_code: str
    unit: str
    unit1: str
    per1: int
    unit2: str | None
    per2: int
    weight: int
    price_low: int
    price_high: int
    origins: tuple[str, ...]
    rates: Rates
    measures: tuple[tuple[str, Fraction], ...]
    bonded_only: bool


@dataclass(slots=True)
class Buyer:
    """A person who orders; `used_fen` is the most this person's parcels may count in the year."""

    name: str
    number: str
    phone: str
    register_no: str
    address: str
    used_fen: int = 0


CITIES = (
    # name, division, registration prefix, bonded site, direct site
    ("杭州", "330106", "3301", "2992", "2910"),
    ("宁波", "330203", "3302", "3116", "3118"),
    ("郑州", "410105", "4101", "4612", "4613"),
    ("深圳", "440304", "4403", "5352", "5346"),
    ("上海", "310104", "3101", "2216", "2203"),
    ("重庆", "500103", "5001", "8012", "8003"),
)
WORDS = ("云栖", "远航", "丰禾", "海棠", "锦程", "星桥", "百川", "北辰", "汇泽", "青禾")
TRADES = {
    "platform": ("网络科技有限公司", "电子商务有限公司"),
    "seller": ("国际贸易有限公司", "进出口有限公司", "母婴用品有限公司", "美妆贸易有限公司"),
    "payment": ("支付服务有限公司", "电子支付有限公司"),
    "logistics": ("速递有限公司", "物流有限公司"),
    "declarant": ("报关有限公司", "供应链管理有限公司"),
    "keeper": ("保税仓储有限公司",),
}
BRANDS = ("云朵屋", "MORIGEN", "Velane", "北纬四十", "Ostara", "小麦芽", "谷雨记")


@dataclass(slots=True)
class Zone:
    """Companies, sites and goods of one seed on one day; hands out buyers without end.

    `day` must not lie before 2019-01-01 (ValueError) nor outside the known law
    (policy.OutsideKnown). `listed_only`: offer nothing that `unlisted` names.
    """

    seed: int
    day: date
    law: policy.Law = field(init=False)
    limits: Limits = field(init=False)
    platforms: tuple[Firm, ...] = field(init=False)
    sellers: tuple[Firm, ...] = field(init=False)
    payers: tuple[Firm, ...] = field(init=False)
    carriers: tuple[Firm, ...] = field(init=False)
    agents: tuple[Firm, ...] = field(init=False)
    bonded_sites: tuple[Site, ...] = field(init=False)
    direct_sites: tuple[Site, ...] = field(init=False)
    goods: tuple[Goods, ...] = field(init=False)
    people: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        if self.day < FIRST_DAY:
            raise ValueError(f"the twin lives under the rules since {FIRST_DAY}, not on {self.day}")
        self.law = policy.load().on(self.day)
        self.limits = limits(self.law)
        rng = Random(f"zone {self.seed}")  # noqa: S311 - reproducible, not secret
        taken: set[str] = set()

        def firms(role: str, count: int) -> tuple[Firm, ...]:
            return tuple(_firm(rng, role, taken) for _ in range(count))

        self.platforms = firms("platform", 4)
        self.sellers = firms("seller", 12)
        self.payers = firms("payment", 3)
        self.carriers = firms("logistics", 4)
        self.agents = firms("declarant", 4)
        self.bonded_sites = tuple(
            Site("1210", bonded, bonded, "Y", keeper, f"T{bonded}W{rng.randrange(10**6):06d}")
            for (_, _, _, bonded, _), keeper in zip(
                CITIES, firms("keeper", len(CITIES)), strict=True
            )
        )
        self.direct_sites = tuple(
            Site("9610", direct, direct, rng.choice("25")) for *_, direct in CITIES
        )
        self.goods = _goods(self.law, rng)
        if len(self.goods) < 10:
            raise ValueError(f"the tariff of {self.day} knows too few of the twin's goods")

    def buyer(self, rng: Random) -> Buyer:
        """A person nobody has met: valid number, never handed out twice."""
        number = identity.resident_number(self.next_person())
        phone = identity.mobile_number(rng)
        return Buyer(
            identity.person_name(rng), number, phone, f"U{phone[3:]}", identity.address(rng)
        )

    def next_person(self) -> int:
        self.people += 1
        # Another seed starts elsewhere, so that two twins on one database share few people.
        return self.people + self.seed % 300 * 1_000_003


def _firm(rng: Random, role: str, taken: set[str]) -> Firm:
    while True:
        city, division, prefix, *_ = rng.choice(CITIES)
        name = f"{city}{rng.choice(WORDS)}{rng.choice(WORDS)}{rng.choice(TRADES[role])}"
        if role in ("platform", "payment") and rng.random() < 0.5:
            code = identity.credit_code(rng, division)
        else:
            code = identity.customs_code(rng, prefix, rng.choice("269"), rng.choice("69"))
        if name not in taken and code not in taken:
            taken.update((name, code))
            return Firm(code, name, f"DXPENT{rng.randrange(10**10):010d}")


def _goods(law: policy.Law, rng: Random) -> tuple[Goods, ...]:
    tariff = {row["code"]: row for row in law.tariff.iter_rows(named=True)}
    bonded = set(law.positive_list.filter(law.positive_list["bonded_only"])["code8"])
    text = files("tongguan.twin").joinpath("data/goods.csv").read_text(encoding="utf-8")
    return tuple(
        _article(n, row, tariff[row["code"]], row["code"][:8] in bonded, law, rng)
        for n, row in enumerate(csv.DictReader(text.splitlines()), start=1)
        if row["code"] in tariff
    )


def _article(
    n: int,
    row: dict[str, str],
    rate: dict[str, object],
    bonded_only: bool,
    law: policy.Law,
    rng: Random,
) -> Goods:
    grams, volume = Fraction(row["grams"]), Fraction(row["millilitres"] or 0)
    unit1 = str(rate["unit1"])
    unit2 = row["unit2"] or (str(rate["unit2"]) if rate["unit2"] else None)
    brand = rng.choice(BRANDS)
    rates = Rates.of(rate, law)
    per1 = _per_piece(unit1, grams, volume)
    per2 = _per_piece(unit2, grams, volume) if unit2 else 0
    legal = [(Fraction(per1, 100_000), unit1)]
    if unit2:
        legal.append((Fraction(per2, 100_000), unit2))
    return Goods(
        code=row["code"],
        name=f"{brand}{row['name']}",
        model=f"{row['name']}|{row['spec']}|{brand}牌",
        item_no=f"SKU{n:04d}",
        record_no=f"{row['code'][:4]}{n:06d}",
        bar_code=_ean13(f"69{rng.randrange(10**10):010d}"),
        unit=row["unit"],
        unit1=unit1,
        per1=per1,
        unit2=unit2,
        per2=per2,
        weight=int(grams * 100),
        price_low=_fen(row["price_low"]),
        price_high=_fen(row["price_high"]),
        origins=tuple(row["origins"].split()),
        rates=rates,
        measures=tuple(measures(legal).items()) if rates.quantified else (),
        bonded_only=bonded_only,
    )


def _per_piece(unit: str, grams: Fraction, millilitres: Fraction) -> int:
    """How many of a legal unit one piece is, in 1/100,000 of the unit."""
    if unit == "035":
        return int(grams * 100)
    if unit == "095":
        return int(millilitres * 100)
    return 100_000


def _fen(yuan: str) -> int:
    return int(Fraction(yuan) * 100)


def _ean13(first12: str) -> str:
    total = sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(first12))
    return first12 + str(-total % 10)


def bonded_goods(goods: Sequence[Goods], *, allowed: bool) -> tuple[Goods, ...]:
    """Goods a site may take: those for bonded import only where `allowed`."""
    return tuple(g for g in goods if allowed or not g.bonded_only)
