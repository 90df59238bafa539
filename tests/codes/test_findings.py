"""The rule dictionary: complete, in both languages, with codes that the standard knows."""

import csv
import re
from pathlib import Path

import pytest

from tongguan import codes

#: The ids of the house plan, and message.absent for a change of what is not there.
IDS = [
    "message.format",
    "message.field",
    "message.signature",
    "message.duplicate",
    "message.stale",
    "message.state",
    "message.absent",
    "party.unknown",
    "party.mandate",
    "receipt.subscriber",
    "order.total",
    "list.line-total",
    "match.order-missing",
    "match.payment-missing",
    "match.waybill-missing",
    "match.item-count",
    "match.items",
    "match.buyer-name",
    "match.buyer-phone",
    "match.buyer-id",
    "match.payer",
    "match.amount",
    "match.waybill-order",
    "limit.single",
    "limit.annual",
    "goods.not-listed",
    "goods.bonded-only",
    "goods.unknown-code",
    "goods.list-incomplete",
    "goods.tax-quantity",
    "buyer.identity",
    "original.buyer",
    "original.differs",
    "original.number",
    "cancel.released",
    "return.late",
    "return.line",
    "return.quantity",
    "return.arrived-late",
    "return.not-arrived",
    "guarantee.insufficient",
    "guarantee.unlimited",
    "risk.selected",
    "risk.hold",
]

#: Rules after which a document is not accepted: its status is the negative code itself.
FORM = ("message.", "party.")


def test_dictionary_has_every_rule_of_the_house() -> None:
    assert sorted(codes.RULES) == sorted(IDS)


@pytest.mark.parametrize("name", IDS)
def test_entry_says_everything_in_both_languages(name: str) -> None:
    rule = codes.rule(name)
    assert rule.id == name
    for zh, en in ((rule.zh, rule.en), (rule.cause.zh, rule.cause.en), (rule.fix.zh, rule.fix.en)):
        assert re.search(r"[\u4e00-\u9fff]", zh)
        assert en.isprintable()
        assert not re.search(r"[\u4e00-\u9fff]", en)
    assert rule.who
    assert set(rule.who) <= codes.table("role").codes
    assert set(rule.codes) <= set(codes.KINDS)
    assert rule.nearest <= set(rule.codes)
    assert rule.severity in ("error", "warning")
    assert rule.law


@pytest.mark.parametrize("kind", codes.KINDS)
@pytest.mark.parametrize("name", [n for n in IDS if n.startswith(FORM)])
def test_faults_of_form_have_a_negative_code_for_every_kind(name: str, kind: str) -> None:
    assert int(codes.rule(name).code(kind)) < 0


def test_codes_are_known_to_the_standard(shared: Path) -> None:
    with (shared / "ceb" / "statuses.csv").open(encoding="utf-8") as file:
        known = {row["code"] for row in csv.DictReader(file)}
    # Named by no table, only told by integrators: the signature of an order.
    known.add("-301020")
    for rule in codes.RULES.values():
        for code in rule.codes.values():
            assert code in known, (rule.id, code)
        for variant in rule.variants.values():
            assert set(variant.values()) <= known, rule.id


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("message.field", "order", "-301008"),
        ("message.field", "payment", "-401009"),
        ("message.field", "waybill", "-504011"),
        ("message.field", "inventory", "-621001"),
        ("message.duplicate", "waybill", "-504015"),
        ("message.stale", "order", "-301014"),
        ("message.state", "order", "-301011"),
        ("message.absent", "inventory", "-621011"),
        ("party.unknown", "order", "-10102"),
        ("party.mandate", "inventory", "-621016"),
        ("order.total", "order", "-301008"),
        ("match.amount", "payment", "1332"),
        ("match.amount", "inventory", "1332"),
        ("match.buyer-id", "inventory", "match.buyer-id"),
        ("limit.single", "inventory", "-621005"),
        ("limit.annual", "inventory", "1313"),
        ("guarantee.insufficient", "inventory", "1311"),
        ("order.total", "payment", "order.total"),
    ],
)
def test_code_of_a_rule(name: str, kind: str, code: str) -> None:
    assert codes.rule(name).code(kind) == code


def test_a_finer_code_is_taken_where_there_is_one() -> None:
    signature = codes.rule("message.signature")
    assert signature.code("inventory") == "-621029"
    assert signature.code("inventory", "ds:DigestValue") == "-621028"
    assert signature.code("return", "digest") == signature.code("return") == "-625208"


def test_unknown_rule_is_named() -> None:
    with pytest.raises(codes.UnknownRule, match=r"match\.moon"):
        codes.rule("match.moon")


def test_receipts_have_the_shape_of_the_real_system() -> None:
    assert codes.receipt(800).info() == "[Code:2600;Desc:放行]"
    assert codes.receipt(120).info() == "[Code:1800;Desc:逻辑校验通过]"
    assert codes.receipt(2).info("GUID") == "新增申报成功[GUID]"
    assert codes.receipt(2).info("GUID", app_type="2") == "变更申报成功[GUID]"
    with pytest.raises(codes.UnknownRule, match="777"):
        codes.receipt(777)
