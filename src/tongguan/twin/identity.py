"""Made-up people, firms and numbers that pass every check digit.

Sources of the number rules: resident identity number GB 11643-1999 (ISO 7064 MOD 11-2),
unified social credit code GB 32100-2015 (mod 31), customs registration code: four digits of
district, one of economic zone, one of firm type, four of serial.
"""

from __future__ import annotations

from datetime import date, timedelta
from random import Random

RESIDENT_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
RESIDENT_DIGITS = "10X98765432"
CREDIT_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
CREDIT_WEIGHTS = tuple(3**i % 31 for i in range(17))

# Administrative divisions (GB/T 2260) with the district's name, for birth places and addresses.
PLACES = (
    ("110105", "北京市朝阳区"),
    ("120102", "天津市河东区"),
    ("210102", "辽宁省沈阳市和平区"),
    ("310104", "上海市徐汇区"),
    ("320106", "江苏省南京市鼓楼区"),
    ("330106", "浙江省杭州市西湖区"),
    ("330203", "浙江省宁波市海曙区"),
    ("340104", "安徽省合肥市蜀山区"),
    ("350203", "福建省厦门市思明区"),
    ("370202", "山东省青岛市市南区"),
    ("410105", "河南省郑州市金水区"),
    ("420106", "湖北省武汉市武昌区"),
    ("430102", "湖南省长沙市芙蓉区"),
    ("440106", "广东省广州市天河区"),
    ("440304", "广东省深圳市福田区"),
    ("500103", "重庆市渝中区"),
    ("510105", "四川省成都市青羊区"),
    ("530102", "云南省昆明市五华区"),
    ("610103", "陕西省西安市碑林区"),
)
STREETS = ("桂花路", "长青街", "云杉巷", "望湖路", "梧桐里", "海棠大道", "学府路", "锦绣街")
SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许邓韩冯曹彭曾肖田董潘袁蔡蒋余"
GIVEN = "明华丽静伟芳娜敏强磊军洋勇艳杰娟涛超霞平刚桂英玉兰晨曦雨桐子涵欣怡浩然梓萱思远嘉宁"
MOBILE_PREFIXES = ("134", "137", "139", "150", "158", "177", "182", "186", "189", "199")

_FIRST_BIRTH = date(1955, 1, 1)
_BIRTH_DAYS = (date(2003, 12, 31) - _FIRST_BIRTH).days + 1
_SERIALS = 998
_PEOPLE = len(PLACES) * _BIRTH_DAYS * _SERIALS
# Coprime to _PEOPLE, so that n -> n * stride mod _PEOPLE meets every number once.
_STRIDE = 7_777_771
_BIRTHS = tuple((_FIRST_BIRTH + timedelta(days=i)).strftime("%Y%m%d") for i in range(_BIRTH_DAYS))


def resident_check(first17: str) -> str:
    """The eighteenth character of a resident identity number (GB 11643-1999)."""
    total = sum(int(d) * w for d, w in zip(first17, RESIDENT_WEIGHTS, strict=True))
    return RESIDENT_DIGITS[total % 11]


def resident_number(n: int) -> str:
    """The n-th made-up identity number; different n below 300 million give different numbers."""
    rest, serial = divmod(n * _STRIDE % _PEOPLE, _SERIALS)
    place, birth = divmod(rest, _BIRTH_DAYS)
    first17 = f"{PLACES[place][0]}{_BIRTHS[birth]}{serial + 1:03d}"
    return first17 + resident_check(first17)


def broken_resident_number(n: int, rng: Random) -> str:
    """An identity number that fails: its check digit, or its date of birth."""
    good = resident_number(n)
    if rng.random() < 0.5:
        wrong = [d for d in RESIDENT_DIGITS if d != good[17]]
        return good[:17] + rng.choice(wrong)
    first17 = good[:10] + "1332" + good[14:17]
    return first17 + resident_check(first17)


def credit_check(first17: str) -> str:
    """The eighteenth character of a unified social credit code (GB 32100-2015)."""
    total = sum(CREDIT_ALPHABET.index(c) * w for c, w in zip(first17, CREDIT_WEIGHTS, strict=True))
    return CREDIT_ALPHABET[-total % 31]


def credit_code(rng: Random, division: str) -> str:
    """A unified social credit code of an enterprise (91…) registered in `division` (6 digits)."""
    body = "".join(rng.choice(CREDIT_ALPHABET[:20]) for _ in range(8))
    # The nine-character organisation code carries its own check (GB 11714-1997, mod 11).
    weights = (3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(CREDIT_ALPHABET_36.index(c) * w for c, w in zip(body, weights, strict=True))
    first17 = f"91{division}{body}{'0123456789X0'[(11 - total % 11) % 11]}"
    return first17 + credit_check(first17)


CREDIT_ALPHABET_36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def customs_code(rng: Random, district: str, zone: str, kind: str) -> str:
    """A ten-digit customs code: district (4), economic zone (1), firm type (1), serial (4)."""
    return f"{district}{zone}{kind}{rng.randrange(10_000):04d}"


def person_name(rng: Random) -> str:
    random = rng.random
    name = SURNAMES[int(random() * len(SURNAMES))] + GIVEN[int(random() * len(GIVEN))]
    return name if random() < 0.25 else name + GIVEN[int(random() * len(GIVEN))]


def mobile_number(rng: Random) -> str:
    prefix = MOBILE_PREFIXES[int(rng.random() * len(MOBILE_PREFIXES))]
    return f"{prefix}{int(rng.random() * 100_000_000):08d}"


def address(rng: Random) -> str:
    """A full delivery address, as a waybill shows it."""
    random = rng.random
    place = PLACES[int(random() * len(PLACES))][1]
    street = STREETS[int(random() * len(STREETS))]
    return f"{place}{street}{int(random() * 400) + 1}号{int(random() * 30) + 1}室"
