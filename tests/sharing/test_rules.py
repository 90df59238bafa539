"""What a company may be filed as: codes with their shape and check digit, roles, all at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.cn import uscc

from tongguan.sharing.rules import code_problem, filing_problems

ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
BODIES = st.from_regex(r"9[1-3][0-9]{6}[0-9A-HJ-NPQRTUWXY]{9}", fullmatch=True)


def credit_code(body: str) -> str:
    """With the check digit of GB 32100: weights 3^i mod 31, computed here a second time."""
    total = sum(ALPHABET.index(c) * pow(3, i, 31) for i, c in enumerate(body))
    return body + ALPHABET[(31 - total) % 31]


@given(BODIES)
def test_a_social_credit_code_stands_by_its_check_digit(body: str) -> None:
    good = credit_code(body)
    assert uscc.is_valid(good)
    assert code_problem("code", good) is None
    for digit in set(ALPHABET) - {good[-1]}:
        problem = code_problem("code", body + digit)
        assert problem is not None
        assert problem.expected == f"a code whose check digit is {good[-1]}"


@pytest.mark.parametrize("code", ["3302695961", "3301960P01", "440316K045"])
def test_a_customs_code_has_ten_places(code: str) -> None:
    assert code_problem("code", code) is None
    assert code_problem("credit-code", code, credit_only=True) is not None


@pytest.mark.parametrize(
    "code",
    [
        "",
        "330269596",
        "33026959610",
        "3302695961 ",
        "33O2695961",
        "３３０２６９５９６１",
        "3302-69596",
    ],
)
def test_whatever_is_no_code_is_told_by_field_expectation_value_and_cure(code: str) -> None:
    problem = code_problem("code", code)
    assert problem is not None
    text = str(problem)
    assert text.startswith("code: expected a customs code of ten characters or")
    assert f"({len(code)} characters)" in text
    assert "copy it from the registration" in text


def test_everything_wrong_with_a_filing_is_told_at_once() -> None:
    found = filing_problems("1", " ", ["platform", "prince"], "3302695961", "999")
    assert [problem.field for problem in found] == ["code", "credit-code", "name", "role", "zone"]
    assert "prince" in str(found[3])
    assert "platform, seller" in str(found[3])


def test_a_filing_names_a_role_and_no_code_twice() -> None:
    code = credit_code("91330100MA2CC0XY1")
    found = filing_problems(code, "甲公司", [], code)
    assert [problem.field for problem in found] == ["credit-code", "role"]
    assert filing_problems("3302695961", "甲公司", ["site"], code, "001") == []
