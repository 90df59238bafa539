"""Made-up parcels as real message files, and a window that clears them.

A test says what is unusual; everything else is a good parcel: one buyer, one tin of milk powder,
four documents that agree. ``order(2, buyer=BO, discount="5")`` is the order of parcel 2, bought
by Bo, with one element of another value.
"""

import json
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import polars as pl
import psycopg

from tongguan import clearance, codes, messages, store
from tongguan.clearance import intake, report, service
from tongguan.clearance.kinds import KINDS
from tongguan.clearance.record import arrive, record, sweep
from tongguan.sharing import registry as companies

NOON = "2022-06-01T12:00:00+08:00"
TYPES = {name: kind.message for name, kind in KINDS.items()}


def identity(birth: str = "19900307", serial: int = 1, place: str = "110101") -> str:
    """A resident identity number that nobody need have, with its check digit (GB 11643)."""
    body = f"{place}{birth}{serial:03d}"
    weighed = sum(int(digit) * 2 ** (17 - i) for i, digit in enumerate(body))
    return body + "10X98765432"[weighed % 11]


@dataclass(frozen=True)
class Buyer:
    name: str
    number: str
    phone: str


ANNA = Buyer("安娜", identity("19900307", 12), "13900000001")
BO = Buyer("薄一", identity("19851130", 34), "13900000002")
CAI = Buyer("蔡二", identity("19770801", 56), "13900000003")

PLATFORM = ("3301960P01", "明日商城网络科技有限公司")
SELLER = ("3301960S01", "海棠国际贸易有限公司")
PAYMENT = ("3301960Y01", "青禾支付服务有限公司")
CARRIER = ("3301960L01", "北辰速递有限公司")
AGENT = ("3301960D01", "云栖报关有限公司")
KEEPER = ("3301960K01", "锦程保税仓储有限公司")
SITE = ("3301960Z01", "望湖监管场所有限公司")
FIRMS = {
    "platform": PLATFORM,
    "seller": SELLER,
    "payment": PAYMENT,
    "logistics": CARRIER,
    "declarant": AGENT,
    "keeper": KEEPER,
    "site": SITE,
    "guarantor": PLATFORM,
}
"""The companies of the parcels by their role."""


@dataclass(frozen=True)
class Item:
    """One line; price of one piece, per: first legal quantity of one piece."""

    price: str = "100"
    qty: str = "1"
    gcode: str = "1901101090"
    name: str = "婴儿配方奶粉"
    unit: str = "122"
    per: str = "0.9"
    unit1: str = "035"
    qty2: str | None = None
    unit2: str | None = None

    @property
    def total(self) -> Decimal:
        return Decimal(self.price) * Decimal(self.qty)


MILK = Item()


@dataclass(frozen=True)
class Paper:
    """One document: head elements and lines, as text; None leaves an element out or empty."""

    kind: str
    head: dict[str, str | None]
    lines: tuple[dict[str, str | None], ...] = ()
    sender: tuple[str, str] = PLATFORM

    def but(self, **elements: str | None) -> "Paper":
        """The same document with other values of head elements."""
        unknown = elements.keys() - {f.name for f in self.type.head_fields}
        assert not unknown, f"{self.kind} has no {unknown}"
        return replace(self, head=self.head | elements)

    def line(self, gnum: int, **elements: str | None) -> "Paper":
        """The same document with other values in one line."""
        lines = list(self.lines)
        lines[gnum - 1] = lines[gnum - 1] | elements
        return replace(self, lines=tuple(lines))

    def again(self, minutes: int = 10, **elements: str | None) -> "Paper":
        """The same document sent once more: a new guid, a later (or earlier) appTime."""
        hour, minute = divmod(9 * 60 + 30 + minutes, 60)
        return self.but(
            guid=str(uuid.uuid4()).upper(), appTime=f"20220601{hour:02d}{minute:02d}00", **elements
        )

    def changed(self, minutes: int = 10, **elements: str | None) -> "Paper":
        return self.again(minutes, appType="2", **elements)

    def deleted(self, minutes: int = 10) -> "Paper":
        return self.again(minutes, appType="3")

    def draft(self) -> "Paper":
        return self.but(appStatus="1")

    @property
    def type(self) -> messages.MessageType:
        return messages.message_type(TYPES[self.kind])

    @property
    def key(self) -> tuple[str | None, str | None]:
        a, b = KINDS[self.kind].key
        return self.head[a], self.head[b]


def _base(kind: str) -> dict[str, str | None]:
    return {
        "guid": str(uuid.uuid4()).upper(),
        "appType": "1",
        "appTime": "20220601093000",
        "appStatus": "2",
        "currency": "142",
    }


def _firm(name: str, firm: tuple[str, str]) -> dict[str, str | None]:
    return {f"{name}Code": firm[0], f"{name}Name": firm[1]}


def _buyer(buyer: Buyer) -> dict[str, str | None]:
    return {
        "buyerIdType": "1",
        "buyerName": buyer.name,
        "buyerIdNumber": buyer.number,
        "buyerTelephone": buyer.phone,
    }


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


def _line(number: int, item: Item) -> dict[str, str | None]:
    return {
        "gnum": str(number),
        "itemName": item.name,
        "gname": item.name,
        "gmodel": "云朵屋牌，900克",
        "itemRecordNo": f"R{number}",
        "gcode": item.gcode,
        "unit": item.unit,
        "qty": item.qty,
        "price": item.price,
        "totalPrice": _plain(item.total),
        "qty1": _plain(Decimal(item.per) * Decimal(item.qty)),
        "unit1": item.unit1,
        "qty2": item.qty2,
        "unit2": item.unit2,
        "currency": "142",
        "country": "601",
    }


def _paid(items: Sequence[Item], freight: str) -> Decimal:
    return sum((item.total for item in items), Decimal(freight))


def order_no(no: int) -> str:
    return f"O{no:07d}"


def order(
    no: int = 1,
    *,
    buyer: Buyer = ANNA,
    items: Sequence[Item] = (MILK,),
    freight: str = "0",
    **elements: str | None,
) -> Paper:
    """The platform's order of parcel ``no``."""
    head = (
        _base("order")
        | _buyer(buyer)
        | _firm("ebp", PLATFORM)
        | _firm("ebc", SELLER)
        | _firm("pay", PAYMENT)
        | {
            "orderType": "I",
            "orderNo": order_no(no),
            "goodsValue": _plain(_paid(items, "0")),
            "freight": freight,
            "discount": "0",
            "taxTotal": "0",
            "acturalPaid": _plain(_paid(items, freight)),
            "buyerRegNo": f"u{no}",
            "payTransactionId": f"T{no:07d}",
            "consignee": buyer.name,
            "consigneeTelephone": buyer.phone,
            "consigneeAddress": "浙江省杭州市西湖区桂花路1号",
        }
    )
    lines = tuple(_line(n, item) for n, item in enumerate(items, 1))
    return Paper("order", head, lines, PLATFORM).but(**elements)


def payment(
    no: int = 1,
    *,
    buyer: Buyer = ANNA,
    items: Sequence[Item] = (MILK,),
    freight: str = "0",
    **elements: str | None,
) -> Paper:
    """The payment of parcel ``no``, by the buyer, of what the order says."""
    head = (
        _base("payment")
        | _firm("pay", PAYMENT)
        | _firm("ebp", PLATFORM)
        | {
            "payTransactionId": f"T{no:07d}",
            "orderNo": order_no(no),
            "payerIdType": "1",
            "payerIdNumber": buyer.number,
            "payerName": buyer.name,
            "telephone": buyer.phone,
            "amountPaid": _plain(_paid(items, freight)),
            "payTime": "20220601092900",
        }
    )
    return Paper("payment", head, (), PAYMENT).but(**elements)


def waybill(no: int = 1, *, buyer: Buyer = ANNA, **elements: str | None) -> Paper:
    """The carrier's waybill of parcel ``no``."""
    head = (
        _base("waybill")
        | _firm("logistics", CARRIER)
        | {
            "logisticsNo": f"L{no:07d}",
            "orderNo": order_no(no),
            "freight": "0",
            "insuredFee": "0",
            "weight": "1.1",
            "packNo": "1",
            "goodsInfo": "奶粉",
            "consignee": buyer.name,
            "consigneeAddress": "浙江省杭州市西湖区桂花路1号",
            "consigneeTelephone": buyer.phone,
        }
    )
    return Paper("waybill", head, (), CARRIER).but(**elements)


def inventory(
    no: int = 1,
    *,
    buyer: Buyer = ANNA,
    items: Sequence[Item] = (MILK,),
    freight: str = "0",
    mode: str = "1210",
    **elements: str | None,
) -> Paper:
    """The declaration list of parcel ``no``: bonded, or direct with ``mode`` 9610."""
    bonded = {"emsNo": "T3301W000001", "country": "142", "trafMode": "Y"} | _firm("area", KEEPER)
    direct = {"trafNo": "CA1234", "voyageNo": "CA1234", "billNo": "99912345678", "country": "601"}
    head = (
        _base("inventory")
        | _buyer(buyer)
        | _firm("ebp", PLATFORM)
        | _firm("ebc", SELLER)
        | _firm("logistics", CARRIER)
        | _firm("agent", AGENT)
        | {
            "orderNo": order_no(no),
            "logisticsNo": f"L{no:07d}",
            "copNo": f"C{no:07d}",
            "assureCode": PLATFORM[0],
            "ieFlag": "I",
            "declTime": "20220601",
            "customsCode": "2992",
            "portCode": "2992",
            "consigneeAddress": "浙江省杭州市西湖区桂花路1号",
            "tradeMode": mode,
            "trafMode": "5",
            "freight": freight,
            "insuredFee": "0",
            "packNo": "1",
            "grossWeight": "1.1",
            "netWeight": "0.9",
        }
        | (direct if mode == "9610" else bonded)
    )
    lines = tuple(_line(n, item) for n, item in enumerate(items, 1))
    return Paper("inventory", head, lines, AGENT).but(**elements)


def signed_for(no: int = 1) -> Paper:
    """The carrier's message that the parcel was signed for."""
    head = {
        **_base("waybill-status"),
        **_firm("logistics", CARRIER),
        "logisticsNo": f"L{no:07d}",
        "logisticsStatus": "S",
        "logisticsTime": "20220602101500",
    }
    head.pop("currency")
    return Paper("waybill-status", head, (), CARRIER)


def _about(kind: str, no: int, letter: str, buyer: Buyer) -> Paper:
    """What a cancellation and a return say of the list of parcel ``no``; its number unknown."""
    head = (
        _base(kind)
        | _buyer(buyer)
        | _firm("ebp", PLATFORM)
        | _firm("ebc", SELLER)
        | _firm("logistics", CARRIER)
        | _firm("agent", AGENT)
        | {
            "customsCode": "2992",
            "orderNo": order_no(no),
            "logisticsNo": f"L{no:07d}",
            "copNo": f"{letter}{no:07d}",
            "invtNo": "000000000000000000",
            "reason": "不要了",
        }
    )
    head.pop("currency")
    return Paper(kind, head, (), AGENT)


def cancellation(no: int = 1, *, buyer: Buyer = ANNA, **elements: str | None) -> Paper:
    """The declarant's cancellation of the list of parcel ``no``."""
    return _about("cancellation", no, "X", buyer).but(**elements)


def returned(
    no: int = 1,
    *,
    buyer: Buyer = ANNA,
    items: Sequence[Item] = (MILK,),
    part: Sequence[str] = (),
    **elements: str | None,
) -> Paper:
    """The declarant's return of parcel ``no``: whole, or ``part``: a quantity a line, "" none."""
    quantities = part or [item.qty for item in items]
    lines = tuple(
        {"gnum": str(n), "gcode": item.gcode, "gname": item.name, "qty": qty, "unit": item.unit}
        for n, (item, qty) in enumerate(zip(items, quantities, strict=True), 1)
        if qty
    )
    return replace(_about("return", no, "R", buyer), lines=lines).but(**elements)


def arrival(no: int = 1) -> Paper:
    """The site operator's list of what arrived."""
    head = {
        **_base("delivery"),
        **_firm("operator", SITE),
        **_firm("logistics", CARRIER),
        "customsCode": "2992",
        "copNo": f"A{no:07d}",
        "ieFlag": "I",
        "trafMode": "5",
        "trafNo": "CA1234",
        "voyageNo": "CA1234",
        "billNo": "99912345678",
    }
    head.pop("currency")
    return Paper("delivery", head, ({"gnum": "1", "logisticsNo": f"L{no:07d}"},), SITE)


def parcel(no: int = 1, **about: Any) -> list[Paper]:
    """The four documents of one parcel. about: buyer, items, freight; mode of the list."""
    buyer = {"buyer": about["buyer"]} if "buyer" in about else {}
    bought = {name: value for name, value in about.items() if name != "mode"}
    return [
        order(no, **bought),
        payment(no, **bought),
        waybill(no, **buyer),
        inventory(no, **about),
    ]


def message(*papers: Paper, **attributes: Any) -> bytes:
    """One message file of documents of one kind."""
    [type_] = {paper.type.type for paper in papers}
    kind = messages.message_type(type_)
    heads = pl.DataFrame(
        [paper.head for paper in papers],
        schema={one.name: pl.String for one in kind.head_fields},
    )
    lines = None
    if kind.line is not None:
        rows = [{"document": n} | line for n, paper in enumerate(papers) for line in paper.lines]
        schema = {"document": pl.Int64} | {one.name: pl.String for one in kind.line_fields}
        lines = pl.DataFrame(rows, schema=schema)
    code, name = papers[0].sender
    transfer = {"copCode": code, "copName": name, "dxpMode": "DXP", "dxpId": f"DXPENT{code}"}
    fragments = messages.render(type_, heads, lines).to_list()
    guid = attributes.pop("guid", None) or str(uuid.uuid4()).upper()
    told = attributes.pop("subscribes", ())
    return messages.message(type_, fragments, guid, transfer=transfer | attributes, subscribes=told)


def packed(papers: Iterable[Paper | bytes]) -> list[bytes]:
    """Neighbours of one kind share a message, as far as it holds them."""
    files: list[bytes] = []
    for kind, group in groupby(papers, lambda p: None if isinstance(p, bytes) else p.kind):
        members = list(group)
        if kind is None:
            files += members
        else:
            files += [message(*members[at : at + 100]) for at in range(0, len(members), 100)]
    return files


@dataclass(frozen=True)
class Cleared:
    """What one run told: report lines, receipt messages in the order of their files."""

    run: clearance.Run
    lines: list[dict[str, Any]]
    receipts: list[tuple[str, bytes]]

    def all(self, kind: str, key: str | None = None) -> list[dict[str, Any]]:
        return [
            line
            for line in self.lines
            if line["document"] == kind and (key is None or key in line["key"].values())
        ]

    def one(self, kind: str, no: int | None = None) -> dict[str, Any]:
        """The one report line of a kind (of parcel ``no``)."""
        letter = {"order": "O", "payment": "T", "waybill": "L", "inventory": "O"}
        letter |= {"cancellation": "X", "return": "R"}
        [line] = self.all(kind, None if no is None else f"{letter.get(kind, 'C')}{no:07d}")
        return line

    @property
    def inventory(self) -> dict[str, Any]:
        return self.one("inventory")

    def returns(self, type_: str | None = None) -> list[dict[str, str | None]]:
        """All returns inside the receipts, in order, each with ``type``."""
        found = []
        for name, data in self.receipts:
            kind = name.split("-")[1].removesuffix(".xml")
            if type_ in (None, kind):
                parsed = messages.parse(data)
                assert not parsed.findings, parsed.findings
                rows = pl.DataFrame(parsed.heads).to_dicts()
                found += [{"type": kind} | row for row in rows]
        return found


@dataclass
class Window:
    """One database and its vault; each ``clear`` is a run of its own."""

    database: store.Database
    vault: store.Vault
    folder: Path
    runs: int = 0
    files: dict[str, bytes] = field(default_factory=dict)

    def settings(
        self,
        at: str = NOON,
        registry: str = "open",
        arrivals: str = "assumed",
        signatures: str = "ignored",
    ) -> clearance.Settings:
        moment = datetime.fromisoformat(at)
        return clearance.settings(self.database, moment, signatures, registry, arrivals)

    def file(self, *, without: str = "") -> None:
        """File every company of the parcels in its role, but for one role."""

        def work(conn: psycopg.Connection) -> None:
            for role, (code, name) in FIRMS.items():
                if role != without:
                    companies.file_company(conn, code, name, [role], 0)

        store.transact(self.database, work)

    def write(self, files: Sequence[bytes]) -> list[clearance.Source]:
        self.runs += 1
        inbox = self.folder / f"in{self.runs}"
        inbox.mkdir()
        for n, data in enumerate(files, 1):
            (inbox / f"{n:04d}.xml").write_bytes(data)
        return clearance.sources([inbox])

    def clear(
        self,
        *papers: Paper | bytes,
        at: str = NOON,
        registry: str = "open",
        arrivals: str = "assumed",
        cut: bool = False,
        receipts: Path | None = None,
        signatures: str = "ignored",
    ) -> Cleared:
        """Clear documents; neighbours of one kind share a message unless they are ``cut``."""
        files = [p if isinstance(p, bytes) else message(p) for p in papers]
        found = self.write(files if cut else packed(papers))
        out = receipts or self.folder / f"out{self.runs}"
        run = clearance.clear(
            self.database,
            self.vault,
            found,
            self.settings(at, registry, arrivals, signatures),
            receipts_folder=out,
        )
        lines = self.folder / f"report{self.runs}.jsonl"
        with self.database.borrow() as conn:
            clearance.finish(conn, run, lines, 30)
        told = [json.loads(line) for line in lines.read_text("utf-8").splitlines()]
        written = [(file.name, file.read_bytes()) for file in sorted(out.glob("*"))]
        return Cleared(run, told, written)

    def work(self, *papers: Paper, at: str = NOON) -> Callable[[psycopg.Connection], object]:
        """Recording of documents in a transaction, as ``store.transact`` runs it."""
        files = [(f"{n}.xml", data) for n, data in enumerate(packed(papers))]
        under = self.settings(at)
        with self.database.connect(autocommit=True) as conn:
            desk = service.desk(conn, self.vault, under)
            batch = intake.prepare(files, desk, messages.Limits())
        return partial(record, batch=batch, settings=under, seal=self.vault.seal)

    def arrive(self, key: str, at: str) -> list[dict[str, Any]]:
        """Report lines, with events, of what is on site now under a number."""
        work = partial(arrive, key=key, settings=self.settings(at))
        _, ids = store.transact(self.database, work)
        with self.database.borrow() as conn:
            return report.document_lines(conn, ids)

    def sweep(self, at: str) -> None:
        store.transact(self.database, partial(sweep, settings=self.settings(at)))

    def rows(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        with self.database.connect(autocommit=True) as conn:
            return conn.execute(sql, params or None).fetchall()

    def lines(self, digests: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """The report lines of messages (name, digest) as they stand now, in this order."""
        with self.database.borrow() as conn:
            return list(report.lines(conn, digests))

    def status(self, paper: Paper) -> list[tuple[int, bool]]:
        """(status, current) of every document of that key, oldest first."""
        sql = """SELECT status, current FROM document
            WHERE kind = %s AND key_a = %s AND key_b = %s ORDER BY id"""
        return self.rows(sql, codes.KINDS[paper.kind], *paper.key)

    def allowance(self, year: int = 2022) -> dict[str, int]:
        """Fen used by buyer."""
        return dict(self.rows("SELECT buyer, used_fen FROM allowance WHERE year = %s", year))

    def explain(self, key: str) -> list[clearance.Explanation]:
        with self.database.borrow() as conn:
            return clearance.explain(conn, key)


def rules(line: dict[str, Any], severity: str = "error") -> list[str]:
    """The rules of a report line's findings of a severity."""
    return [found["rule"] for found in line["findings"] if found["severity"] == severity]
