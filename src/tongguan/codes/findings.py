"""Findings, and the dictionary of the rules that make them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal, cast

import yaml

Severity = Literal["error", "warning"]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: The kinds of document, one word each, with the number of their message type.
KINDS: Mapping[str, int] = MappingProxyType(
    {
        "order": 311,
        "payment": 411,
        "waybill": 511,
        "waybill-status": 513,
        "inventory": 621,
        "cancellation": 623,
        "return": 625,
        "delivery": 711,
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found in one document.

    ``document`` is a kind of KINDS; ``field`` the standard's element name; ``expected`` and
    ``actual`` the two compared values as text; ``gnum`` the line; ``code`` the receipt code;
    ``position`` the 0-based place of the document in its message (None: the whole message).
    """

    rule: str
    severity: Severity
    document: str
    field: str | None = None
    expected: str | None = None
    actual: str | None = None
    gnum: int | None = None
    law: str | None = None
    code: str | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """The same thing said in Chinese and in English."""

    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of the dictionary.

    ``zh`` and ``en`` are the text of the receipt; ``who`` are roles (table ``role``), the one who
    must act first comes first; ``nearest`` are the kinds whose own code family lacks this case, so
    that the nearest code stands in; ``source`` says where the codes are from (head of
    ``data/rules.yaml``).
    """

    id: str
    severity: Severity
    codes: Mapping[str, str]
    variants: Mapping[str, Mapping[str, str]]
    nearest: frozenset[str]
    zh: str
    en: str
    cause: Text
    who: tuple[str, ...]
    fix: Text
    law: str
    source: str

    def code(self, kind: str, variant: str | None = None) -> str:
        """The receipt code for a document of that kind; the rule's id where no code is known.

        ``variant``: the field of the finding, which picks a finer code where the standard has one
        (``message.signature``: ds:DigestValue).
        """
        finer = self.variants.get(variant, {}) if variant else {}
        return finer.get(kind) or self.codes.get(kind, self.id)


@dataclass(frozen=True, slots=True)
class Receipt:
    """The text that receipts of one status carry; ``code`` stands in ``[Code:…]``, if known."""

    status: int
    code: str | None
    zh: str
    en: str
    acts: Mapping[str, Text]
    source: str

    def info(self, key: str = "", app_type: str = "1") -> str:
        """The ``returnInfo`` (Chinese, as the real system writes it).

        ``key`` is what stands in brackets (the guid, or the business key of a list); ``app_type``
        the document's appType (1 new, 2 change, 3 deletion).
        """
        act = self.acts[app_type].zh if self.acts else ""
        text = self.zh.format(key=key, act=act)
        return f"[Code:{self.code};Desc:{text}]" if self.code else text


class UnknownRule(LookupError):  # noqa: N818 - a look-up that found nothing
    """The dictionary has no rule of that id."""


def _rule(name: str, entry: dict[str, Any]) -> Rule:
    default = dict.fromkeys(KINDS, entry["code"]) if "code" in entry else {}
    return Rule(
        id=name,
        severity=cast(Severity, entry["severity"]),
        codes=MappingProxyType({**default, **entry.get("codes", {})}),
        variants=MappingProxyType(entry.get("variants", {})),
        nearest=frozenset(entry.get("nearest", ())),
        zh=entry["zh"],
        en=entry["en"],
        cause=Text(**entry["cause"]),
        who=tuple(entry["who"]),
        fix=Text(**entry["fix"]),
        law=entry["law"],
        source=entry["source"],
    )


def _receipt(status: int, entry: dict[str, Any]) -> Receipt:
    acts = {app_type: Text(**words) for app_type, words in entry.get("act", {}).items()}
    return Receipt(
        status=status,
        code=entry.get("code"),
        zh=entry["zh"],
        en=entry["en"],
        acts=MappingProxyType(acts),
        source=entry["source"],
    )


def _dictionary() -> dict[str, Any]:
    text = (files(__package__) / "data" / "rules.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.load(text, Loader=_LOADER)  # noqa: S506 - safe, in C if built
    return loaded


@cache
def _read() -> tuple[Mapping[str, Rule], Mapping[int, Receipt]]:
    read = _dictionary()
    rules = {name: _rule(name, entry) for name, entry in read["rules"].items()}
    receipts = {int(status): _receipt(int(status), e) for status, e in read["receipts"].items()}
    return MappingProxyType(rules), MappingProxyType(receipts)


def rules() -> Mapping[str, Rule]:
    """All rules by id, in the order of the dictionary."""
    return _read()[0]


def rule(name: str) -> Rule:
    """The rule of that id. Raises UnknownRule."""
    try:
        return rules()[name]
    except KeyError:
        raise UnknownRule(f"no rule {name!r} in the dictionary") from None


def receipt(status: int) -> Receipt:
    """The receipt text of a status. Raises UnknownRule where no receipt is written for it."""
    try:
        return _read()[1][status]
    except KeyError:
        raise UnknownRule(f"no receipt text for status {status}") from None
