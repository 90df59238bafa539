"""The command line: exit status, JSON, reports and receipts as they are promised.

0 done; 1 the input has errors, all reported; 2 usage; 3 the environment failed.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from dossiers import (
    ANNA,
    inventory,
    message,
    order,
    packed,
    parcel,
    payment,
    returned,
    waybill,
)
from lxml import etree
from rich.console import Console
from typer.testing import CliRunner, Result

from tongguan import cli, codes, console, store

NOON = "2022-06-01T12:00:00+08:00"
Call = Callable[..., Result]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Runs a command without any database but the one it is told."""
    monkeypatch.setenv("TONGGUAN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TONGGUAN_DATA_KEY", "ab" * 32)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setattr(console, "out", Console(width=200, highlight=False))
    monkeypatch.setattr(console, "err", Console(stderr=True, width=200, highlight=False))

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def inbox(tmp_path: Path) -> Callable[..., Path]:
    """Writes documents into a folder."""

    def write(*papers: object) -> Path:
        folder = tmp_path / "in"
        folder.mkdir()
        for n, data in enumerate(packed(papers), 1):  # type: ignore[arg-type]
            (folder / f"{n}.xml").write_bytes(data)
        return folder

    return write


GOOD = parcel(1)
BAD = [order(2), payment(2, amountPaid="1"), waybill(2), inventory(2)]


CURE = codes.rule("match.amount").fix.en


def words(shown: str) -> str:
    """What a table says, without its lines."""
    return " ".join(shown.replace("│", " ").split())


def test_clear_of_good_parcels_ends_with_0(
    call: Call, inbox: Callable[..., Path], database: store.Database, tmp_path: Path
) -> None:
    report, receipts = tmp_path / "r.jsonl", tmp_path / "out"
    done = call(
        *("clear", inbox(*GOOD), "--at", NOON, "--signatures", "ignored"),
        *("--database", database.url, "--report", report, "--receipts", receipts),
    )
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in report.read_text("utf-8").splitlines()]
    assert [line["status"] for line in lines] == [120, 120, 120, 800]
    assert len(list(receipts.iterdir())) == 11  # with the tax bill, CEB816
    assert "O0000001" in done.output
    assert "9.10" in done.output
    assert "4 messages, 4 documents, 11 receipts" in done.output


def test_clear_of_refused_parcels_ends_with_1_and_says_why(
    call: Call, inbox: Callable[..., Path], database: store.Database
) -> None:
    folder = inbox(*GOOD, *BAD, b"<no/>")
    arguments = ("clear", folder, "--at", NOON, "--database", database.url)
    done = call(*arguments)
    assert done.exit_code == 1, done.output
    assert "match.amount [1332]" in done.output
    assert "expected 100.00" in done.output
    assert "found 1.00" in done.output
    assert "message.format" in done.output
    assert CURE in words(done.output)
    again = call(*arguments)
    assert again.exit_code == 1
    assert "9 files had come before" in again.output


def test_explain_of_a_refused_and_of_a_released_parcel(
    call: Call, inbox: Callable[..., Path], database: store.Database, tmp_path: Path
) -> None:
    at = ("--database", database.url)
    call("clear", inbox(*GOOD, *BAD), "--at", NOON, *at)
    released = call("explain", "O0000001", *at)
    assert released.exit_code == 0, released.output
    assert "recomputed: same answer" in released.output
    assert "vat.standard" in released.output
    refused = call("explain", "C0000002", *at)
    assert refused.exit_code == 0, refused.output
    assert "NO" in refused.output
    assert "what to do:" in refused.output
    file = tmp_path / "e.json"
    assert call("explain", "O0000001", "--json", file, *at).exit_code == 0
    [facts] = json.loads(file.read_text("utf-8"))
    assert facts["documents"][-1]["status"] == 800
    assert facts["derivation"]
    assert call("explain", "nothing", *at).exit_code == 1
    with database.connect() as conn:
        conn.execute("UPDATE decision SET vat_fen = 1 WHERE NOT refused")
        conn.commit()
    tampered = call("explain", "O0000001", *at)
    assert tampered.exit_code == 1
    assert "vat_fen: recorded 1, recomputed 910" in tampered.stderr


def test_check_needs_no_database(call: Call, inbox: Callable[..., Path], tmp_path: Path) -> None:
    folder = inbox(*GOOD, *BAD)
    file = tmp_path / "c.json"
    done = call("check", folder, "--at", NOON, "--json", file)
    assert done.exit_code == 1, done.output
    facts = json.loads(file.read_text("utf-8"))
    assert [(f["rule"], f["code"]) for f in facts["findings"]] == [("match.amount", "1332")]
    shown = call("check", folder, "--at", NOON)
    assert "match.amount" in shown.output
    assert CURE in words(shown.output)
    for path in list(folder.iterdir()):
        if b"O0000002" in path.read_bytes():
            path.unlink()
    assert call("check", folder, "--at", NOON).exit_code == 0
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["clear", "/no/such/folder"],
        ["clear", ".", "--at", "2022-06-01T12:00:00"],
        ["clear", ".", "--at", "noon"],
        ["clear", ".", "--signatures", "sometimes"],
        ["clear", ".", "--registry", "ajar"],
        ["clear"],
        ["check", "/no/such/file"],
        ["quote", "--hs", "1901101090"],
        ["quote", "--hs", "1901101090", "--price", "many"],
        ["quote", "--hs", "1901101090", "--price", "1", "--price", "2"],
        ["policy", "diff", "2022-06-01", "yesterday"],
        ["messages", "xsd", "CEB999"],
        ["messages", "xsd", "CEB621", "--edition", "1999"],
        ["messages", "doc", "CEB999"],
        ["guarantee", "open", "G1", "--amount", "0", "--kind", "deposit"],
        ["guarantee", "open", "G1", "--amount", "1.001", "--kind", "deposit"],
        ["guarantee", "open", "G1", "--amount", "1"],
        ["pay", "JK1", "--amount", "none", "--reference", "R"],
        ["pay", "JK1", "--amount", "1"],
        ["settle", "--at", "2022-07-02"],
        ["clock", "tomorrow"],
        ["allowance", "110101"],
        ["twin", "--out", "nowhere", "--faults", "often"],
        ["bogus"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(call: Call, arguments: list[str]) -> None:
    done = call(*arguments)
    assert done.exit_code == 2, done.output
    assert done.stderr.strip()


def program(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The program itself, as a shell runs it."""
    command = [sys.executable, "-c", "from tongguan.cli import main; main()"]
    return subprocess.run(
        [*command, *map(str, arguments)],
        env={**os.environ, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_guarantee_from_opening_to_freezing(call: Call, database: store.Database) -> None:
    base = ("--database", database.url)
    given = ("--kind", "letter", "--at", NOON)
    wrong = call(
        "guarantee", "open", "G1", "--amount", "5", "--kind", "promise", "--at", NOON, *base
    )
    assert wrong.exit_code == 2
    assert "promise" in wrong.stderr
    for verb in ("show", "freeze"):
        absent = call("guarantee", verb, "G1", *base)
        assert absent.exit_code == 1
        assert "G1" in absent.stderr
    call("guarantee", "open", "G1", "--amount", "100", *given, *base)
    opened = call("guarantee", "open", "G1", "--amount", "0.50", *given, "--json", "-", *base)
    assert opened.exit_code == 0, opened.output
    facts = json.loads(opened.stdout)
    assert {name: facts[name] for name in ("guarantor", "kind", "amount", "free", "frozen")} == {
        "guarantor": "G1",
        "kind": "letter",
        "amount": "100.50",
        "free": "100.50",
        "frozen": False,
    }
    states = [
        json.loads(call("guarantee", *command, "--json", "-", *base).stdout)["frozen"]
        for command in (("freeze", "G1"), ("show", "G1"), ("freeze", "G1", "--thaw"))
    ]
    assert states == [True, True, False]


def test_the_clock_is_the_time_of_commands_without_one(
    call: Call, inbox: Callable[..., Path], database: store.Database, tmp_path: Path
) -> None:
    base = ("--database", database.url)
    assert "not set" in call("clock", *base).output
    assert call("clock", "2022-06-01T04:00:00+00:00", *base).output.strip() == NOON
    call("clear", inbox(*GOOD), *base)
    call("clock", "2022-07-02T00:00:00+08:00", *base)
    report = tmp_path / "bills.jsonl"
    assert call("settle", "--report", report, *base).exit_code == 0
    line = json.loads(report.read_text("utf-8"))
    assert (line["due_from"], line["due_to"]) == ("2022-07-02", "2022-07-16")
    early = call("settle", "--at", "2022-07-01T23:59:59+08:00", *base)
    assert "0 payments" in early.output  # --at goes before the clock


def test_settle_and_pay_say_what_was_done_and_what_is_wrong(
    call: Call, inbox: Callable[..., Path], database: store.Database, tmp_path: Path
) -> None:
    base = ("--database", database.url)
    call("clear", inbox(*GOOD), "--at", NOON, *base)
    day, report = ("--at", "2022-07-02T09:00:00+08:00"), tmp_path / "bills.jsonl"
    done = call("settle", *day, "--report", report, "--receipts", tmp_path / "out", *base)
    assert done.exit_code == 0, done.output
    assert "1 payments, 1 receipts" in done.output
    assert [file.name[-10:] for file in (tmp_path / "out").iterdir()] == ["CEB818.xml"]
    number = json.loads(report.read_text("utf-8"))["key"]["bill"]
    paying = ("--reference", "R1", *day, *base)
    less = call("pay", number, "--amount", "9.00", *paying)
    assert (less.exit_code, less.stdout) == (1, "")
    assert "9.10" in less.stderr
    assert "0.10 too little" in less.stderr
    unknown = call("pay", "JK0", "--amount", "9.10", *paying)
    assert unknown.exit_code == 1
    assert call("pay", number, "--amount", "9.10", *paying).exit_code == 0
    assert "was paid already" in call("pay", number, "--amount", "9.10", *paying).output
    other = call("pay", number, "--amount", "9.10", "--reference", "R2", *day, *base)
    assert other.exit_code == 1


def test_a_return_from_application_to_the_buyers_year(
    call: Call, inbox: Callable[..., Path], database: store.Database, tmp_path: Path
) -> None:
    base = ("--database", database.url)
    nothing = call("park", "arrive", "R0000001", "--at", NOON, *base)
    assert nothing.exit_code == 1
    assert "R0000001" in nothing.stderr
    call("clear", inbox(*GOOD, returned()), "--at", NOON, *base)
    arrived = call("park", "arrive", "R0000001", "--at", "2022-06-20T12:00:00+08:00", *base)
    assert arrived.exit_code == 0, arrived.output
    assert "Closed (899)" in arrived.output
    year = call("allowance", ANNA.number, "--year", "2022", "--json", "-", *base)
    assert year.exit_code == 0, year.output
    facts = json.loads(year.stdout)
    assert [(e["what"], e["amount"], e["used"]) for e in facts["entries"]] == [
        ("use", "100.00", "100.00"),
        ("restore", "-100.00", "0.00"),
    ]
    assert ANNA.number not in year.stdout
    other = json.loads(
        call("allowance", ANNA.number, "--year", "2021", "--json", "-", *base).stdout
    )
    assert (other["used"], other["entries"]) == ("0.00", [])


def test_a_late_return_is_told_in_the_table(
    call: Call, inbox: Callable[..., Path], database: store.Database, tmp_path: Path
) -> None:
    base = ("--database", database.url)
    call("clear", inbox(*GOOD), "--at", NOON, *base)
    late = tmp_path / "late.xml"
    late.write_bytes(message(returned()))
    done = call("clear", late, "--at", "2022-07-02T00:00:00+08:00", *base)
    assert done.exit_code == 1
    assert "return.late" in done.output
    assert "2022-07-01" in done.output


def test_a_database_that_does_not_answer_ends_with_3(
    inbox: Callable[..., Path], tmp_path: Path
) -> None:
    folder = inbox(order())
    home = {"TONGGUAN_HOME": str(tmp_path / "home")}
    for url in ("postgresql://127.0.0.1:1/none", "nonsense"):
        done = program("clear", folder, "--at", NOON, "--database", url, **home)
        assert done.returncode == 3, (done.stdout, done.stderr)
        assert done.stderr.strip()
        assert "Traceback" not in done.stderr


def test_a_day_outside_the_law_ends_with_2(inbox: Callable[..., Path], tmp_path: Path) -> None:
    done = program("check", inbox(order()), "--at", "2011-01-01T00:00:00+08:00")
    assert done.returncode == 2
    assert "2012-04-15" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("day", "total"), [("2016-04-07", "0.00"), ("2016-04-08", "47.60")], ids=["before", "after"]
)
def test_quote_of_two_tins_before_and_after_the_reform(
    call: Call, tmp_path: Path, day: str, total: str
) -> None:
    basket = ("--hs", "1901101090", "--price", "200", "--qty", "2")
    done = call("quote", "--date", day, *basket)
    assert done.exit_code == 0, done.output
    assert f"tax {total} yuan" in done.output
    facts = json.loads(call("quote", "--date", day, *basket, "--json", "-").stdout)
    assert facts["total"] == total
    assert facts["basis"]
    assert all(each["law"] and each["since"] for each in facts["basis"])
    assert not (tmp_path / "home").exists()


def test_quote_of_an_unknown_code_is_refused(call: Call) -> None:
    done = call("quote", "--date", "2022-06-01", "--hs", "9999999999", "--price", "1")
    assert "goods.unknown-code" in done.output


def test_quote_knows_the_year_and_the_mode(call: Call) -> None:
    arguments = ("--date", "2022-06-01", "--hs", "1901101090", "--price", "200", "--json", "-")
    inside = json.loads(call("quote", *arguments, "--used", "25800", "--mode", "9610").stdout)
    assert inside["regime"] == "retail-import"
    over = json.loads(call("quote", *arguments, "--used", "25800.01").stdout)
    assert over["regime"] == "refused"
    assert [found["rule"] for found in over["findings"]] == ["limit.annual"]


def test_quote_under_a_draft(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "draft.yaml"
    file.write_text(
        "base: 2022-06-01\nname: 试拟\nparameters: {retail-import.levy-fraction: 0.5}\n", "utf-8"
    )
    at = ("quote", "--date", "2022-06-01", "--hs", "1901101090", "--price", "200", "--json", "-")
    drafted = json.loads(call(*at, "--policy", file).stdout)
    assert (json.loads(call(*at).stdout)["total"], drafted["total"]) == ("18.20", "13.00")
    [used] = [b for b in drafted["basis"] if b["parameter"] == "retail-import.levy-fraction"]
    assert (used["law"], used["confirmed"]) == ("draft", False)
    file.write_text("base: 2022-06-01\n", "utf-8")
    assert call(*at, "--policy", file).exit_code == 1


def test_timeline_and_diff(call: Call) -> None:
    facts = json.loads(call("policy", "timeline", "--json", "-").stdout)
    limits = [f for f in facts if f["parameter"] == "retail-import.limit-single"]
    assert [limit["since"] for limit in limits] == ["2016-04-08", "2019-01-01"]
    assert "retail-import.limit-annual" in call("policy", "timeline").output
    arguments = ("policy", "diff", "2018-12-31", "2019-01-01")
    changed = {each["parameter"] for each in json.loads(call(*arguments, "--json", "-").stdout)}
    assert {"retail-import.limit-single", "retail-import.limit-annual"} <= changed
    assert "retail-import.limit-single" in call(*arguments).output
    same = call("policy", "diff", "2021-01-01", "2021-01-02", "--json", "-")
    assert json.loads(same.stdout) == []


def test_two_days_are_compared_in_words_and_in_tax(call: Call) -> None:
    shown = call("policy", "diff", "2016-04-07", "2016-04-08").output
    for said in ("行邮税", "parcel tax", "20,000 yuan", "1,142 lines", "70%", "47.60", "+47.60"):
        assert said in shown
    [regime] = [
        each
        for each in json.loads(
            call("policy", "diff", "2016-04-07", "2016-04-08", "--json", "-").stdout
        )
        if each["parameter"] == "import.regime"
    ]
    assert regime["zh"].startswith("零售进口征税制度：行邮税 → ")
    assert "are the same" in call("policy", "diff", "2021-01-01", "2021-01-02").output


def test_the_timeline_of_one_parameter(call: Call) -> None:
    facts = json.loads(call("policy", "timeline", "vat.standard", "--json", "-").stdout)
    assert [(f["since"], f["value"]) for f in facts] == [
        ("1994-01-01", "17"),
        ("2018-05-01", "16"),
        ("2019-04-01", "13"),
    ]
    lists = json.loads(call("policy", "timeline", "positive-list", "--json", "-").stdout)
    assert [f["value"] for f in lists] == ["2016-1", "2016-1 + 2016-2", "2018", "2019", "2022"]
    assert call("policy", "timeline", "vet").exit_code == 2


def test_goods_have_a_status_on_a_day(call: Call, tmp_path: Path) -> None:
    at = ("policy", "goods", "2204210000", "--date", "2017-06-01")
    shown = call(*at, "--city", "杭州").output
    for said in ("in transition", "2017-05-12 to 2017-12-31", "no inspection clearance form"):
        assert said in shown
    facts = json.loads(call(*at, "--mode", "9610", "--json", "-").stdout)
    assert (facts["status"], facts["law"]) == ("listed", "财政部等11部门公告2016年第40号")
    earlier = call(*at, "--city", "杭州", "--entered", "2016-05-10", "--json", "-")
    assert json.loads(earlier.stdout)["status"] == "listed"
    file = tmp_path / "draft.yaml"
    file.write_text(
        "base: 2017-01-01\nname: 试拟\npositive-list: {remove: [22042100]}\n"
        "transitions: [{until: 2017-06-30, ordered-before: 2017-01-01}]\n",
        "utf-8",
    )
    drafted = call(*at, "--policy", file, "--json", "-")
    assert json.loads(drafted.stdout)["status"] == "withdrawn"
    spared = call(*at, "--policy", file, "--ordered", "2016-12-31", "--json", "-")
    assert json.loads(spared.stdout)["status"] == "in transition"
    assert call("policy", "goods", "22").exit_code == 2
    assert call(*at, "--ordered", "2017-06-02").exit_code == 2


def test_a_draft_is_shown_as_a_diff(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "draft.yaml"
    file.write_text(
        "base: 2022-06-01\nname: 试拟\nmodes: [1210]\n"
        "parameters: {retail-import.limit-annual: {2022-01-01: 20000}}\n",
        "utf-8",
    )
    shown = call("policy", "diff", "--policy", file)
    assert "20,000" in shown.output
    assert "26,000" in shown.output
    assert "财关税〔2018〕49号 第一条" in shown.output
    assert "only for the trade modes 1210" in shown.output
    facts = json.loads(call("policy", "diff", "--policy", file, "--json", "-").stdout)
    [change] = facts["changes"]
    assert (change["parameter"], change["from"], change["until"]) == (
        "retail-import.limit-annual",
        "2022-01-01",
        None,
    )
    assert (change["before"]["value"], change["after"]["value"]) == ("26000", "20000")
    file.write_text("base: 2022-06-01\nparameters: {vat.standrad: 13}\n", "utf-8")
    bad = call("policy", "diff", "--policy", file)
    assert bad.exit_code == 1
    assert "draft.yaml:1: name:" in bad.stderr
    assert "draft.yaml:2: parameters.vat.standrad:" in bad.stderr
    assert call("policy", "diff", "2022-06-01").exit_code == 2
    assert call("policy", "diff", "2022-06-01", "2022-06-02", "--policy", file).exit_code == 2


def test_tables_are_loaded_whole_or_not_at_all(
    call: Call, database: store.Database, tmp_path: Path
) -> None:
    file = tmp_path / "tariff.csv"
    head = "code,name_zh,unit1,unit2,mfn_pct,general_pct,interim_pct,vat_pct,consumption_tax,as_of"
    good = "1901101090,配方奶粉,035,,15,40,5,13,0,2022-07-01"
    at = ("--effective", "2022-07-01", "--database", database.url)
    file.write_text(f"{head}\n{good}\n19,短码,035,,x,1,,13,0,2022-07-01\n", "utf-8")
    bad = call("policy", "load-tariff", file, *at)
    assert bad.exit_code == 1
    assert "3" in bad.stderr
    file.write_text(f"{head}\n{good}\n", "utf-8")
    assert call("policy", "load-tariff", file, *at).exit_code == 0
    again = call("policy", "load-tariff", file, *at)
    assert "the same was in force already" in again.output
    listed = tmp_path / "list.csv"
    listed.write_text("version,code8,name,remark,source\nzone,19011010,奶粉,,x\n", "utf-8")
    done = call("policy", "load-positive-list", listed, "--version", "zone", *at)
    assert done.exit_code == 0, done.output
    assert "1 rows" in done.output
    with database.connect() as conn:
        rows = conn.execute("SELECT table_kind, in_force FROM policy_edition ORDER BY id")
        assert rows.fetchall() == [("tariff", True), ("positive-list", True)]
    absent = call("policy", "load-tariff", tmp_path / "none.csv", *at)
    assert absent.exit_code == 2


def test_the_schema_and_the_page_of_a_message(call: Call) -> None:
    schema = etree.XMLSchema(etree.fromstring(call("messages", "xsd", "CEB311").stdout.encode()))
    assert schema.validate(etree.fromstring(message(order())))
    older = call("messages", "xsd", "CEB621", "--edition", "2018").stdout
    assert older != call("messages", "xsd", "CEB621").stdout
    assert "acturalPaid" in call("messages", "doc", "CEB311").stdout


def test_a_twin_is_made_and_cleared(call: Call, database: store.Database, tmp_path: Path) -> None:
    out = tmp_path / "twin"
    made = call("twin", "--seed", "7", "--parcels", "30", "--faults", "0.2", "--out", out)
    assert made.exit_code == 0, made.output
    assert "30 parcels" in made.output
    report = tmp_path / "r.jsonl"
    done = call(
        *("clear", out / "messages", "--at", NOON, "--database", database.url),
        *("--report", report),
    )
    assert done.exit_code == 1, done.output
    assert len(report.read_text("utf-8").splitlines()) >= 100
    twice = call("twin", "--seed", "7", "--parcels", "30", "--out", out)
    assert twice.exit_code == 2  # it would mix two zones in one folder


def test_the_embedded_database_is_made_where_it_is_told(
    inbox: Callable[..., Path], home: Path, tmp_path: Path
) -> None:
    folder, own = inbox(*GOOD), home / "cli"
    environment = {"TONGGUAN_HOME": str(own), "DATABASE_URL": ""}
    first = program("clear", folder, "--at", NOON, **environment)
    assert first.returncode == 0, first.stderr
    key = own / "data.key"
    assert key.stat().st_mode & 0o777 == 0o600
    explained = program("explain", "O0000001", "--json", "-", **environment)
    assert explained.returncode == 0, explained.stderr
    [facts] = json.loads(explained.stdout)
    assert facts["documents"][-1]["tax"]["vat"] == "9.10"
    key.unlink()
    lost = program("clear", folder, "--at", NOON, **environment)
    assert lost.returncode == 3  # another key opens nothing that is there
    assert "data key" in lost.stderr


def test_version(call: Call) -> None:
    done = call("--version")
    assert done.exit_code == 0
    assert done.output.startswith("tongguan ")


def test_help_names_every_command(call: Call) -> None:
    shown = call("--help").output
    for name in ("clear", "check", "explain", "quote", "policy", "messages", "twin"):
        assert name in shown
    for name in ("guarantee", "settle", "pay", "park", "allowance", "clock"):
        assert name in shown
