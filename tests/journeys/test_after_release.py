"""After release, told run by run: the walk of docs/after-release.md, command by command.

After a change of the bundled messages: `python tests/journeys/test_after_release.py` makes the
returns of examples/returns/ anew.
"""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from tongguan import cli, console, messages, store

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "after-release.md"
LISTS = ROOT / "examples" / "messages"
RETURNS = ROOT / "examples" / "returns"
DAYS = {"day-30": ("D22060103700000010", "20220701"), "day-31": ("D22060103700000001", "20220702")}
"""The returns of the walk: whose list, and when they are applied for."""
SHARED = (
    *("customsCode", "orderNo", "ebpCode", "ebpName", "ebcCode", "ebcName", "logisticsNo"),
    *("logisticsCode", "logisticsName", "agentCode", "agentName", "buyerIdType", "buyerIdNumber"),
    *("buyerName", "buyerTelephone"),
)
"""What a return repeats of its list."""


def bundled(order_no: str) -> tuple[dict[str, str | None], list[dict[str, str | None]]]:
    """Head and lines of a bundled declaration list."""
    for file in sorted(LISTS.glob("*CEB621*")):
        parsed = messages.parse(file.read_bytes())
        for n, number in enumerate(parsed.heads["orderNo"]):
            if number == order_no:
                head = {name: values[n] for name, values in parsed.heads.items()}
                rows = pl.DataFrame(parsed.lines, strict=False).filter(pl.col("#position") == n)
                return head, rows.drop("#position").to_dicts()
    raise LookupError(order_no)


def return_message(name: str) -> bytes:
    """The CEB625 that takes a whole list back; its guids come from its name."""
    order_no, day = DAYS[name]
    head, lines = bundled(order_no)
    serial = f"{int(name[-2:]):012d}"
    type_ = messages.message_type("CEB625")
    values = {one.name: None for one in type_.head_fields} | {
        **{shared: head[shared] for shared in SHARED},
        "guid": f"00000000-0000-4000-8000-{serial}",
        "appType": "1",
        "appTime": f"{day}093000",
        "appStatus": "2",
        "copNo": f"R{order_no[1:]}",
        "invtNo": "000000000000000000",
        "reason": "不要了",
    }
    kept = [
        {"document": 0} | {one.name: line.get(one.name) for one in type_.line_fields}
        for line in lines
    ]
    transfer = {
        "copCode": str(head["agentCode"]),
        "copName": str(head["agentName"]),
        "dxpMode": "DXP",
        "dxpId": f"DXPENT{head['agentCode']}",
    }
    text = {one.name: pl.String for one in type_.head_fields}
    columns = {"document": pl.Int64} | {one.name: pl.String for one in type_.line_fields}
    fragments = messages.render(
        "CEB625", pl.DataFrame([values], schema=text), pl.DataFrame(kept, schema=columns)
    )
    guid = f"00000000-0000-4000-9000-{serial}"
    return messages.message("CEB625", fragments.to_list(), guid, transfer=transfer)


def make() -> None:
    RETURNS.mkdir(exist_ok=True)
    for name in DAYS:
        (RETURNS / f"{name}.xml").write_bytes(return_message(name))


@pytest.mark.parametrize("name", DAYS)
def test_the_bundled_returns_are_those_of_the_bundled_lists(name: str) -> None:
    assert (RETURNS / f"{name}.xml").read_bytes() == return_message(name)


def walk() -> Iterator[tuple[list[str], list[str]]]:
    """The commands of the page's walk, each with the lines that its answer must have."""
    told = PAGE.read_text("utf-8").split("## A walk")[1]
    for block in re.findall(r"```console\n(.*?)```", told, re.DOTALL):
        for call in block.removeprefix("$ tongguan ").split("\n$ tongguan "):
            command, *lines = call.strip().splitlines()
            yield shlex.split(command), lines


def plain(text: str) -> str:
    """A table's words without its rules."""
    return " ".join(re.sub("[┃│━─┏┓┡┩┗┛└┘┳╇┻┴╈]", " ", text).split())


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database: store.Database
) -> Callable[[list[str]], Result]:
    """Runs a command in a folder of its own, beside the bundled examples."""
    monkeypatch.setenv("TONGGUAN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TONGGUAN_DATA_KEY", "ab" * 32)
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setattr(console, "out", Console(width=200, highlight=False))
    monkeypatch.setattr(console, "err", Console(stderr=True, width=200, highlight=False))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return lambda command: CliRunner().invoke(cli.app, command)


REFUSED = {("clear", "examples/messages"), ("clear", "examples/returns/day-31.xml")}
"""Commands that end with 1, as the page says; and the payment of another amount."""


def test_the_walk_of_the_page(
    call: Callable[[list[str]], Result], database: store.Database, tmp_path: Path
) -> None:
    names = set()
    for command, lines in walk():
        done = call(command)
        refused = tuple(command[:2]) in REFUSED or "64.00" in command
        assert done.exit_code == int(refused), (command, done.output)
        answer = plain(done.output)
        for line in lines:
            assert plain(line) in answer, (command, line, done.output)
        names.add(command[0])
    assert names == {"guarantee", "clear", "clock", "settle", "park", "pay", "allowance"}
    bills_are_told(tmp_path / "receipts")
    [owed, _] = [json.loads(line) for line in (tmp_path / "bills.jsonl").read_text().splitlines()]
    assert owed == {
        "document": "bill",
        "key": {"bill": "JK20220702000001", "guarantor": "3101293103"},
        "status": "due",
        "amount": "64.78",
        "fee": "0.00",
        "due_from": "2022-07-02",
        "due_to": "2022-07-16",
        "parcels": 1,
    }
    statement_is_the_ledger(json.loads((tmp_path / "year.json").read_text("utf-8")), database)


def told(folder: Path, type_: str) -> list[dict[str, str | None]]:
    """The heads of all receipts of a type, by number of their bill."""
    parsed = [messages.parse(file.read_bytes()) for file in sorted(folder.glob(f"*{type_}*"))]
    assert all(not one.findings for one in parsed)
    return [row for one in parsed for row in pl.DataFrame(one.heads).to_dicts()]


def bills_are_told(folder: Path) -> None:
    """816 for each released list; 818: summed for those due, void for the one that went back."""
    made = {row["taxNo"]: Decimal(str(row["valueAddedTax"])) for row in told(folder, "CEB816")}
    states = sorted((row["taxNo"], row["status"]) for row in told(folder, "CEB818"))
    assert len(made) == 3
    assert {number for number, _ in states} == made.keys()
    assert sorted(state for _, state in states) == ["2", "2", "3"]
    paid = {row["taxNo"]: row["entDutyNo"] for row in told(folder, "CEB818")}
    summed = {number for number, state in states if state == "2"}
    assert {paid[number] for number in summed} == {"JK20220702000001", "JK20220702000002"}


def worth(order_no: str) -> int:
    """What a bundled list takes of its buyer's year: goods, freight and insurance in fen."""
    head, lines = bundled(order_no)
    parts = [line["totalPrice"] for line in lines] + [head["freight"], head["insuredFee"]]
    return int(sum(Decimal(str(part)) for part in parts) * 100)


def statement_is_the_ledger(year: dict, database: store.Database) -> None:
    with database.connect() as conn:
        rows = conn.execute(
            """SELECT e.what, e.fen, d.key_b FROM allowance_entry e
            JOIN document d ON d.id = e.document_id
            WHERE d.key_b = 'D22060103700000010' ORDER BY e.at"""
        ).fetchall()
        used = conn.execute("SELECT sum(used_fen)::bigint FROM allowance").fetchone()
    entries = [
        (e["what"], abs(int(Decimal(e["amount"]) * 100)), e["orderNo"]) for e in year["entries"]
    ]
    assert entries == rows
    assert [what for what, *_ in rows] == ["use", "restore"]
    assert year["used"] == "0.00"
    assert used == (worth("D22060103700000001") + worth("D22060103700000011"),)


if __name__ == "__main__":
    make()
