"""What a company may be filed as: its codes and roles. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from stdnum.cn import uscc
from stdnum.exceptions import InvalidChecksum, ValidationError

from tongguan import codes

CUSTOMS_CODE = re.compile(r"[0-9]{4}[0-9A-Z]{6}")
"""Customs registration code: the customs district in four digits, kind and number in six places
that newer registrations fill with capitals too. It has no check digit."""
SOCIAL_CREDIT_CODE = re.compile(r"[0-9A-HJ-NPQRTUWXY]{18}")
"""Unified social credit code (GB 32100): eighteen places, the last a check digit."""

ADDRESS = re.compile(r"[!-~]{1,30}")
"""An address at the exchange platform, as dxpId of BaseTransfer may be."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with what was said: the field, what is expected, what came, the cure."""

    field: str
    expected: str
    actual: str
    cure: str

    def __str__(self) -> str:
        return f"{self.field}: expected {self.expected}, found {self.actual}; {self.cure}"


class Refused(ValueError):  # noqa: N818 - several problems
    """Nothing of it was recorded; ``problems`` are all of them."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def filed_roles() -> tuple[str, ...]:
    """The roles in which a company can be filed (table ``role``)."""
    return tuple(entry.code for entry in codes.table("role") if entry.more["filed"] == "yes")


def code_problem(field: str, code: str, *, credit_only: bool = False) -> Problem | None:
    """What is wrong with a company's code; None: nothing.

    >>> code_problem("code", "3302695961") is None
    True
    >>> print(code_problem("code", "91330100MA2CC0XY1A"))  # doctest: +ELLIPSIS
    code: expected ... check digit ..., found 91330100MA2CC0XY1A; ...
    """
    shapes = "a unified social credit code of eighteen characters"
    if not credit_only:
        shapes = f"a customs code of ten characters or {shapes}"
        if CUSTOMS_CODE.fullmatch(code):
            return None
    shown = repr(code) if code != code.strip() or not code else code
    if not SOCIAL_CREDIT_CODE.fullmatch(code):
        return Problem(
            field,
            shapes,
            f"{shown} ({len(code)} characters)",
            "copy it from the registration: digits and capitals (never I, O, S, V, Z), no spaces",
        )
    try:
        uscc.validate(code)
    except InvalidChecksum:
        digit = uscc.calc_check_digit(code[:-1])
        cure = "one of its characters is mistyped: copy it from the business licence"
        return Problem(field, f"a code whose check digit is {digit}", shown, cure)
    except ValidationError:
        cure = "the first eight places are authority, kind and six digits of the region"
        return Problem(field, shapes, shown, cure)
    return None


def filing_problems(
    code: str,
    name: str,
    roles: Iterable[str],
    credit_code: str | None = None,
    zone: str | None = None,
    dxp_id: str | None = None,
) -> list[Problem]:
    """Everything that is wrong with a filing, all at once."""
    found = [code_problem("code", code)]
    if credit_code is not None:
        found.append(code_problem("credit-code", credit_code, credit_only=True))
        if credit_code == code:
            cure = "leave it out, or give the customs code first"
            found.append(Problem("credit-code", "another code than the first", code, cure))
    if not name.strip() or len(name) > 100:
        cure = "write the name as it is registered"
        found.append(Problem("name", "1 to 100 characters", f"{len(name.strip())}", cure))
    known = filed_roles()
    given = list(roles)
    for role in given if given else [""]:
        if role not in known:
            cure = "name one or several, with commas between them"
            found.append(Problem("role", f"one of {', '.join(known)}", role or "none", cure))
    if zone is not None and zone not in codes.table("zone"):
        cure = "look its number up in the list of approved pilot zones"
        found.append(Problem("zone", "a number from 001 to 181", zone, cure))
    if dxp_id is not None and not ADDRESS.fullmatch(dxp_id):
        cure = "write it as the exchange platform gave it, DXPENT and ten digits"
        found.append(Problem("dxp-id", "1 to 30 characters without spaces", repr(dxp_id), cure))
    return [problem for problem in found if problem is not None]
