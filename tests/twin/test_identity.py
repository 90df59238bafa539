from datetime import date
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from stdnum import ean
from stdnum.cn import ric, uscc
from stdnum.exceptions import ValidationError

from tongguan.twin import Zone, identity


@given(st.integers(min_value=0, max_value=339_000_000))
def test_an_identity_number_has_a_real_birth_date_and_its_check_digit(n):
    number = identity.resident_number(n)
    assert 1955 <= ric.get_birth_date(number).year <= 2003
    assert number[17] == ric.calc_check_digit(number)


def test_no_identity_number_is_handed_out_twice():
    numbers = {identity.resident_number(n) for n in range(200_000)}
    assert len(numbers) == 200_000


@given(st.integers(min_value=0, max_value=339_000_000), st.integers())
def test_a_broken_number_fails_by_its_check_digit_or_its_date(n, seed):
    number = identity.broken_resident_number(n, Random(seed))
    assert len(number) == 18
    try:
        ric.get_birth_date(number)
    except ValidationError:
        assert ric.calc_check_digit(number) == number[17]  # one thing is wrong, not two
    else:
        assert ric.calc_check_digit(number) != number[17]


def test_the_check_digit_of_the_standards_own_example():
    assert identity.resident_check("11010519491231002") == "X"  # GB 11643-1999, annex


@given(st.integers())
def test_a_credit_code_passes_the_check_of_the_standard(seed):
    assert uscc.is_valid(identity.credit_code(Random(seed), "330106"))


def test_the_zone_gives_every_firm_its_own_code_and_every_article_a_bar_code():
    zone = Zone(5, date(2022, 6, 1))
    keepers = tuple(site.keeper for site in zone.bonded_sites)
    firms = zone.platforms + zone.sellers + zone.payers + zone.carriers + zone.agents + keepers
    assert len({f.code for f in firms}) == len({f.name for f in firms}) == len(firms)
    for firm in firms:
        assert len(firm.code) == 10 or uscc.is_valid(firm.code)
        assert len(firm.dxp_id) == 16
    assert all(ean.is_valid(g.bar_code) for g in zone.goods)
