import json

from tongguan import twin

KEY = {"ebcCode": "3301960001", "orderNo": "D1", "copNo": "Q1"}
TAX = {"duty": "0.00", "consumption": "0.00", "vat": "9.10", "total": "9.10", "basis": "x"}


def expected(**changes):
    fact = {"document": "inventory", "key": KEY, "status": 800, "rules": [], "tax": TAX}
    return {**fact, "faults": [], "parcel": 7, **changes}


def reported(*rules, **changes):
    findings = [{"rule": name, "severity": "error"} for name in rules]
    findings.append({"rule": "message.signature", "severity": "warning"})
    key = {**KEY, "preNo": "B1", "invtNo": "1"}
    fact = {"document": "inventory", "key": key, "status": 800, "history": [2, 800], "tax": TAX}
    return {**fact, "findings": findings, **changes}


def differences(tmp_path, told, said):
    for name, facts in (("expected", told), ("report", said)):
        lines = [json.dumps(fact) + "\n" for fact in facts]
        (tmp_path / name).write_text("".join(lines), encoding="utf-8")
    return twin.differences(tmp_path / "expected", tmp_path / "report")


def test_the_same_outcome_is_no_difference_whatever_numbers_customs_gave(tmp_path):
    assert differences(tmp_path, [expected()], [reported(), reported()]) == []


def test_another_status_tax_or_rule_is_told_from_both_sides(tmp_path):
    for other in (
        reported(status=100),
        reported(tax={**TAX, "vat": "9.11", "total": "9.11"}),
        reported("match.amount"),
        reported(key={**KEY, "copNo": "Q2"}),
    ):
        found = differences(tmp_path, [expected()], [other])
        assert [d.parcel for d in found] == [7, None]
        assert found[0].expected
        assert found[1].reported


def test_rules_count_as_a_set(tmp_path):
    told = expected(status=100, tax=None, rules=["match.amount", "match.payer"])
    said = reported("match.payer", "match.amount", "match.payer", status=100, tax=None)
    assert differences(tmp_path, [told], [said]) == []


def test_a_document_that_never_arrived_must_not_be_reported(tmp_path):
    absent = expected(status=None, tax=None)
    assert differences(tmp_path, [absent], []) == []
    assert len(differences(tmp_path, [absent], [reported()])) == 1
