"""Which pilot zone a record belongs to.

No message names its zone. It is told from where the goods are declared, in this order: the
company that keeps the bonded goods (areaCode), the customs office whose name begins with the
zone's (``customs_district``), the declarant (agentCode). A company's code names its
administrative division: digits 1-4 of a customs registration code (10 digits), digits 3-8 of a
unified social credit code (18). Sources: GACC registration code rules; GB 32100-2015; GB/T 2260.
Which of the three goes first is this project's rule.
"""

from functools import cache

from tongguan.codes.tables import table

UNKNOWN = "unknown"


def zone_of(area_code: str | None, customs_code: str | None, agent_code: str | None) -> str:
    """The code of the zone (table ``zone``), or UNKNOWN.

    >>> zone_of(None, "2910", None), zone_of("3101960K01", "2910", None), zone_of(None, None, None)
    ('001', '003', 'unknown')
    """
    by_company = zone_of_company(area_code)
    return by_company or zone_of_customs(customs_code) or zone_of_company(agent_code) or UNKNOWN


@cache
def zone_of_company(code: str | None) -> str | None:
    """The zone of the division in which a company of that code is registered."""
    if code is None or len(code) not in (10, 18):
        return None
    region = code[:4] if len(code) == 10 else code[2:8]
    divisions = _divisions()
    prefixes = (region, region[:4], region[:2])
    return next((divisions[part] for part in prefixes if part in divisions), None)


@cache
def zone_of_customs(code: str | None) -> str | None:
    """The zone whose name begins the name of the customs office."""
    districts = table("customs_district")
    if code is None or code not in districts:
        return None
    name = districts.get(code).name_zh
    named = [zone for zone in table("zone") if name.startswith(zone.name_zh)]
    return max(named, key=lambda zone: len(zone.name_zh)).code if named else None


@cache
def _divisions() -> dict[str, str]:
    """Zones by the digits of GB/T 2260 that are their own: 2 of a municipality, 4 of a city, else
    6."""
    return {
        region.removesuffix("00").removesuffix("00"): zone.code
        for zone in table("zone")
        if (region := zone.more["region6"])
    }
