"""Checking: every fault of every field, all at once, and no fault that is none."""

from collections.abc import Callable

import polars as pl
import pytest

from tongguan import codes, messages
from tongguan.messages.batch import FINDINGS

Documents = Callable[..., tuple[pl.DataFrame, pl.DataFrame]]
Written = Callable[..., bytes]
TYPES = [name for name in messages.types() if not name.startswith("Dxp")]


@pytest.fixture
def fault(documents: Documents) -> Callable[..., list[tuple[object, ...]]]:
    """Findings when one value of the document at position 1 is replaced."""

    def find(
        name: str, field: str, value: str | None, edition: str = "202205", part: str = "heads"
    ) -> list[tuple[object, ...]]:
        frames = dict(zip(("heads", "lines"), documents(name, 3, 2, edition), strict=True))
        frame = frames[part]
        spot = pl.col("position") == 1
        if part == "lines":
            spot &= pl.col("gnum") == "2"
        new = pl.when(spot).then(pl.lit(value, pl.String)).otherwise(pl.col(field))
        frames[part] = frame.with_columns(new.alias(field))
        found = _check(name, frames["heads"], frames["lines"], edition).findings
        return found.select("position", "gnum", "field", "severity").rows()

    return find


def _check(
    name: str, heads: pl.DataFrame, lines: pl.DataFrame, edition: str = "202205"
) -> messages.Checked:
    empty = pl.DataFrame(schema=FINDINGS)
    return messages.check(messages.Batch(name, edition, heads, lines, empty))


@pytest.mark.parametrize("edition", messages.EDITIONS)
@pytest.mark.parametrize("name", TYPES)
def test_good_documents_have_no_findings(name: str, edition: str, documents: Documents) -> None:
    heads, lines = documents(name, 5, 3, edition)
    checked = _check(name, heads, lines, edition)
    assert checked.findings.rows() == []
    assert checked.heads["valid"].all()
    assert checked.heads.height == 5


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("value", [None, ""])
def test_every_mandatory_element_is_missed(
    name: str, value: str | None, documents: Documents
) -> None:
    kind = messages.message_type(name)
    for part, fields in (("heads", kind.head_fields), ("lines", kind.line_fields)):
        for field in fields:
            frames = dict(zip(("heads", "lines"), documents(name, 3, 2), strict=True))
            rows = pl.int_range(pl.len()) == 2
            new = pl.when(rows).then(pl.lit(value, pl.String)).otherwise(pl.col(field.name))
            frames[part] = frames[part].with_columns(new.alias(field.name))
            found = _check(name, frames["heads"], frames["lines"]).findings
            mine = found.filter((pl.col("field") == field.name) & (pl.col("severity") == "error"))
            free = field.least == 0 and value == "" and field.kind == "text"
            wanted = field.required and not free
            bonded = {c for one in kind.conditions for c in (*one.require, *one.require_lines)}
            together = {c for one in kind.conditions for c in one.together}
            if field.name not in bonded | together:
                assert bool(mine.height) == wanted, (field.name, value)
            if wanted:
                assert mine["expected"][0].startswith("a value: "), field.name


LONG = "长" * 1200


@pytest.mark.parametrize(
    ("name", "part", "field", "value"),
    [
        ("CEB311", "heads", "guid", "short"),
        ("CEB311", "heads", "orderNo", "1" * 61),
        ("CEB311", "heads", "orderNo", " O1"),
        ("CEB311", "heads", "orderNo", "O1\n"),
        ("CEB311", "heads", "buyerName", "名" * 61),
        ("CEB311", "heads", "note", LONG),
        ("CEB311", "heads", "appType", "4"),
        ("CEB311", "heads", "appStatus", "02"),
        ("CEB311", "heads", "orderType", "E"),
        ("CEB311", "heads", "appTime", "20220230120000"),
        ("CEB311", "heads", "appTime", "20220601240000"),
        ("CEB311", "heads", "appTime", "2022060112000"),
        ("CEB311", "heads", "appTime", "20210229000000"),
        ("CEB311", "heads", "appTime", "19000229000000"),
        ("CEB311", "heads", "currency", "502"),
        ("CEB311", "heads", "currency", "CNY"),
        ("CEB311", "heads", "buyerIdType", "3"),
        ("CEB311", "heads", "consigneeDistrict", "12345x"),
        ("CEB311", "heads", "goodsValue", "-1"),
        ("CEB311", "heads", "goodsValue", "1e3"),
        ("CEB311", "heads", "goodsValue", "1,000"),
        ("CEB311", "heads", "goodsValue", "NaN"),
        ("CEB311", "heads", "goodsValue", "0x10"),
        ("CEB311", "heads", "goodsValue", " 5"),
        ("CEB311", "heads", "goodsValue", "5."),
        ("CEB311", "heads", "goodsValue", "٣"),
        ("CEB311", "heads", "goodsValue", "0.000001"),
        ("CEB311", "heads", "goodsValue", "123456789012345"),
        ("CEB311", "lines", "qty", "0"),
        ("CEB311", "lines", "qty", "0.00000"),
        ("CEB311", "lines", "price", "-0.01"),
        ("CEB311", "lines", "unit", "999"),
        ("CEB311", "lines", "country", "CHN"),
        ("CEB311", "lines", "gnum", "3"),
        ("CEB311", "lines", "gnum", "x"),
        ("CEB311", "lines", "gnum", "0"),
        ("CEB311", "lines", "gnum", "2.0"),
        ("CEB411", "heads", "payTime", "20220601"),
        ("CEB511", "heads", "packNo", "2"),
        ("CEB511", "heads", "weight", "heavy"),
        ("CEB513", "heads", "logisticsStatus", "R"),
        ("CEB621", "heads", "tradeMode", "0110"),
        ("CEB621", "heads", "ieFlag", "E"),
        ("CEB621", "heads", "declTime", "20220631"),
        ("CEB621", "heads", "ieDate", "00000000"),
        ("CEB621", "heads", "customsCode", "0001"),
        ("CEB621", "heads", "trafMode", "?"),
        ("CEB621", "heads", "wrapType", "Z"),
        ("CEB621", "heads", "emsNo", None),
        ("CEB621", "heads", "areaCode", ""),
        ("CEB621", "heads", "areaName", None),
        ("CEB621", "lines", "itemRecordNo", None),
        ("CEB621", "lines", "qty2", None),
        ("CEB621", "lines", "unit2", ""),
        ("CEB621", "lines", "itemNo", "1" * 21),
        ("CEB621", "lines", "gcode", "123456789"),
        ("CEB621", "lines", "gcode", "123456789X"),
        ("CEB622", "heads", "returnTime", "20220601093000"),
        ("CEB622", "heads", "returnStatus", "ok"),
        ("CEB623", "heads", "appType", "2"),
        ("CEB625", "heads", "invtNo", "1" * 19),
        ("CEB625", "lines", "gnum", "1"),
        ("CEB711", "lines", "gnum", "1"),
        ("CEB816", "heads", "status", "4"),
    ],
)
def test_a_fault_is_found_in_its_document(
    name: str, part: str, field: str, value: str | None, fault: Callable[..., list[tuple]]
) -> None:
    found = fault(name, field, value, part=part)
    errors = [row for row in found if row[3] == "error"]
    assert errors
    assert {row[0] for row in errors} == {1}
    assert {row[2] for row in errors} == {field}


@pytest.mark.parametrize(
    ("name", "part", "field", "value"),
    [
        ("CEB311", "heads", "goodsValue", "+5"),
        ("CEB311", "heads", "goodsValue", "0005.10000000"),
        ("CEB311", "heads", "goodsValue", "12345678901234.12345"),
        ("CEB311", "heads", "goodsValue", "0"),
        ("CEB311", "heads", "appTime", "20240229235959"),
        ("CEB311", "heads", "appTime", "20000229000000"),
        ("CEB311", "heads", "buyerName", "名" * 60),
        ("CEB311", "heads", "note", None),
        ("CEB311", "heads", "note", ""),
        ("CEB311", "lines", "qty", "0.00001"),
        ("CEB621", "lines", "tradeCountry", None),
        ("CEB625", "lines", "gnum", "37"),
        ("CEB622", "heads", "returnStatus", "-621004"),
    ],
)
def test_what_is_no_fault(
    name: str, part: str, field: str, value: str | None, fault: Callable[..., list[tuple]]
) -> None:
    assert fault(name, field, value, part=part) == []


def test_editions_differ(fault: Callable[..., list[tuple]]) -> None:
    assert fault("CEB621", "itemNo", "1" * 30, edition="2018", part="lines") == []
    assert fault("CEB621", "itemNo", "1" * 31, edition="2018", part="lines")
    assert fault("CEB621", "itemNo", "1" * 30, part="lines")


def test_direct_import_names_its_carrier(documents: Documents) -> None:
    heads, lines = documents("CEB621", 2, 1)
    gone = ["trafNo", "voyageNo", "billNo", "emsNo", "areaCode", "areaName"]
    nothing = [pl.lit(None, pl.String).alias(name) for name in gone]
    direct = heads.with_columns(*nothing, tradeMode=pl.Series(["9610", "1239"]))
    lines = lines.with_columns(itemRecordNo=pl.lit(None, pl.String))
    found = _check("CEB621", direct, lines).findings
    assert sorted(found.filter(pl.col("position") == 0)["field"]) == [
        "billNo",
        "trafNo",
        "voyageNo",
    ]
    bonded = found.filter(pl.col("position") == 1)
    assert sorted(bonded["field"]) == ["areaCode", "areaName", "emsNo", "itemRecordNo"]
    assert bonded.filter(pl.col("field") == "itemRecordNo")["gnum"].to_list() == [1]
    assert "tradeMode is 1210 or 1239" in bonded["expected"][0]


def test_bonded_goods_from_abroad_are_only_remarked_on(fault: Callable[..., list[tuple]]) -> None:
    assert fault("CEB621", "country", "116") == [(1, None, "country", "warning")]


def test_an_empty_element_the_schema_refuses_is_only_remarked_on(
    fault: Callable[..., list[tuple]], documents: Documents
) -> None:
    assert fault("CEB621", "ieDate", "") == [(1, None, "ieDate", "warning")]
    heads, lines = documents("CEB621", 2, 1)
    checked = _check("CEB621", heads.with_columns(ieDate=pl.lit("")), lines)
    assert checked.heads["valid"].all()
    assert checked.heads["ieDate"].to_list() == [None, None]


def test_all_faults_of_all_documents_come_at_once_in_order(documents: Documents) -> None:
    heads, lines = documents("CEB311", 3, 2)
    heads = heads.with_columns(
        appType=pl.Series(["9", "1", "9"]),
        goodsValue=pl.Series(["x", "1", "-1"]),
        buyerName=pl.Series([None, "a", ""], dtype=pl.String),
    )
    lines = lines.with_columns(price=pl.Series(["1", "x", "1", "1", "1", "y"]))
    checked = _check("CEB311", heads, lines)
    assert checked.findings.select("position", "gnum", "field").rows() == [
        (0, None, "appType"),
        (0, None, "goodsValue"),
        (0, None, "buyerName"),
        (0, 2, "price"),
        (2, None, "appType"),
        (2, None, "goodsValue"),
        (2, None, "buyerName"),
        (2, 2, "price"),
    ]
    assert checked.heads["valid"].to_list() == [False, True, False]
    assert set(checked.findings["code"]) == {"-301008"}
    assert set(checked.findings["rule"]) == {"message.field"}


def test_findings_say_what_was_expected_and_found(documents: Documents) -> None:
    heads, lines = documents("CEB311", 1, 2)
    heads = heads.with_columns(
        currency=pl.lit("502"),
        goodsValue=pl.lit(" 7 "),
        buyerIdNumber=pl.lit(" 110101199003071095 "),
        consigneeTelephone=pl.lit("1 "),
        note=pl.lit(LONG),
    )
    lines = lines.with_columns(unit=pl.lit("999"), gnum=pl.lit("1"))
    found = _check("CEB311", heads, lines).findings
    said = {row["field"]: row for row in found.iter_rows(named=True)}
    assert said["currency"]["expected"] == "one of codes of table currency (142)"
    assert said["currency"]["actual"] == "502"
    assert said["goodsValue"]["expected"].startswith("a decimal with at most 19 digits, 14 before")
    assert said["goodsValue"]["expected"].endswith("without the white space around it")
    assert said["unit"]["expected"].endswith("one of codes of table unit")
    assert said["buyerIdNumber"]["actual"] == " 11***5 "
    assert said["consigneeTelephone"]["actual"] == "***"
    assert len(said["note"]["actual"]) == 65
    assert said["gnum"]["expected"] == "each number once"


@pytest.mark.parametrize("name", TYPES)
def test_no_finding_shows_a_personal_number(name: str, documents: Documents) -> None:
    kind = messages.message_type(name)
    personal = [field.name for field in kind.head_fields if field.personal]
    heads, lines = documents(name, 1, 1)
    secret = " 110101199003071095"
    heads = heads.with_columns(**{field: pl.lit(secret) for field in personal})
    found = _check(name, heads, lines).findings
    assert sorted(found["field"]) == sorted(personal)
    assert not found["actual"].str.contains("19900307").any()


def test_types_of_columns(documents: Documents) -> None:
    heads, lines = documents("CEB621", 2, 2)
    heads = heads.with_columns(note=pl.lit(""), freight=pl.Series(["129.00", "bad"]))
    checked = _check("CEB621", heads, lines)
    for frame, fields in (
        (checked.heads, messages.message_type("CEB621").head_fields),
        (checked.lines, messages.message_type("CEB621").line_fields),
    ):
        for field in fields:
            wanted = {"decimal": pl.Decimal(19, 5), "integer": pl.Int64}
            assert frame[field.name].dtype == wanted.get(field.kind, pl.String), field.name
    assert checked.heads["note"].to_list() == [None, None]
    assert [str(value) for value in checked.heads["freight"]] == ["129.00000", "None"]
    assert checked.heads["packNo"].to_list() == [1, 1]


def test_several_messages_make_one_batch(documents: Documents, written: Written) -> None:
    good = messages.parse(written("CEB311", *documents("CEB311", 2, 2)))
    other = messages.parse(written("CEB411", *documents("CEB411", 3)))
    heads, lines = documents("CEB311", 3, 2)
    spoiled = written("CEB311", heads.with_columns(appType=pl.Series(["1", "9", "1"])), lines)
    doubled = written("CEB311", *documents("CEB311", 2, 1)).replace(
        b"<ceb:orderNo>O1</ceb:orderNo>", b"<ceb:orderNo>O1</ceb:orderNo>" * 2
    )
    parsed = [good, other, messages.parse(b"<x/>"), *map(messages.parse, (spoiled, doubled))]
    batches = messages.collect(parsed)
    assert set(batches) == {"CEB311", "CEB411"}
    checked = messages.check(batches["CEB311"])
    assert checked.heads.select("message", "position", "valid").rows() == [
        (0, 0, True),
        (0, 1, True),
        (3, 0, True),
        (3, 1, False),
        (3, 2, True),
        (4, 0, True),
        (4, 1, False),
    ]
    assert checked.lines.height == 2 * 2 + 3 * 2 + 2
    assert checked.findings.select("message", "position", "field").rows() == [
        (3, 1, "appType"),
        (4, 1, "orderNo"),
    ]


def test_editions_are_not_mixed(documents: Documents, written: Written) -> None:
    data = written("CEB311", *documents("CEB311"))
    both = [messages.parse(data, edition=edition) for edition in messages.EDITIONS]
    with pytest.raises(ValueError, match="several editions"):
        messages.collect(both)


def test_nothing_to_check(documents: Documents) -> None:
    heads, lines = documents("CEB311", 1, 1)
    checked = _check("CEB311", heads.head(0), lines.head(0))
    assert checked.heads.height == checked.lines.height == checked.findings.height == 0
    assert "valid" in checked.heads


@pytest.mark.parametrize("kind", codes.KINDS)
def test_findings_carry_the_code_of_their_kind(kind: str, documents: Documents) -> None:
    name = f"CEB{codes.KINDS[kind]}"
    heads, lines = documents(name, 1, 1)
    found = _check(name, heads.with_columns(guid=pl.lit("x")), lines).findings
    assert found["code"].to_list() == [codes.rule("message.field").code(kind)]
