"""Which pilot zone a record belongs to."""

import pytest

from tongguan import codes

HANGZHOU, SHANGHAI, NINGBO, SHENZHEN = (
    next(zone.code for zone in codes.table("zone") if zone.name_zh == name)
    for name in ("杭州", "上海", "宁波", "深圳")
)


@pytest.mark.parametrize(
    ("area", "customs", "agent", "zone"),
    [
        ("3301960K01", "3116", "4403960D01", HANGZHOU),  # the keeper of the goods goes first
        (None, "3116", "4403960D01", NINGBO),  # 宁波梅山保税港区…
        (None, "3103", "4403960D01", SHENZHEN),  # 甬开发区 does not begin with a zone's name
        ("91330106MA0000000X", None, None, HANGZHOU),  # a social credit code, digits 3-8
        ("3101960K01", None, None, SHANGHAI),  # a municipality is known by two digits
        (None, "0000", None, codes.UNKNOWN_ZONE),
        (None, None, "9999999999", codes.UNKNOWN_ZONE),
        ("33", "x", "", codes.UNKNOWN_ZONE),
    ],
)
def test_keeper_then_customs_office_then_declarant(
    area: str | None, customs: str | None, agent: str | None, zone: str
) -> None:
    assert codes.zone_of(area, customs, agent) == zone


def test_every_zone_with_a_division_is_found_by_a_company_registered_there() -> None:
    missing = [
        zone.name_zh
        for zone in codes.table("zone")
        if (region := zone.more["region6"])
        and codes.zone_of(f"91{region}MA0000000X", None, None) != zone.code
    ]
    assert missing == []
