"""Uploads of payment data as a platform writes them, with something unusual if a test says so."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import psycopg

from tongguan import messages
from tongguan.sharing import certificates, companies
from tongguan.sharing.payment_data import asking, protocol

PLATFORM, PAYMENT = "3301960P01", "3301960Y01"
NOW = 1654056000000
MINUTES = 120_000
HEAD = {
    "guid": "4CDE1CFD-EDED-46B1-946C-B8022E42FC94",
    "initalRequest": "https://pay.example/?order=O1",
    "initalResponse": "ok",
    "ebpCode": PLATFORM,
    "payCode": PAYMENT,
    "payTransactionId": "T1",
    "totalAmount": Decimal("100.10"),
    "currency": "142",
    "verDept": "3",
    "payType": "1",
    "tradingTime": "20220601101500",
    "note": "备注",
}
ORDER = {
    "orderNo": "O1",
    "goodsInfo": [{"gname": "奶粉", "itemLink": "https://shop.example/O1"}],
    "recpAccount": "ACC-1",
    "recpCode": "",
    "recpName": "海棠国际贸易有限公司",
}


def signer(algorithm: messages.KeyKind = "rsa") -> messages.Signer:
    day = datetime(2022, 1, 1, tzinfo=UTC), datetime(2022, 12, 31, tzinfo=UTC)
    return messages.issue(PLATFORM, "明日商城", algorithm, *day)


def prepare(conn: psycopg.Connection, *signers: messages.Signer) -> None:
    """A filed platform with certificates, and where it is asked."""
    companies.file(conn, PLATFORM, "明日商城", ["platform"], "wang", 0)
    for each in signers:
        certificates.file(conn, PLATFORM, each.certificate, "wang", 0)
    asking.register(conn, PLATFORM, "http://127.0.0.1:9/platDataOpen", "wang", 0)


def body(
    session: str,
    key: messages.Signer,
    head: Mapping[str, Any] = HEAD,
    orders: list[Any] | None = None,
    at: int = NOW,
) -> bytes:
    """An upload, signed as working platforms do."""
    listed = [ORDER] if orders is None else orders
    serial = key.certificate.serial
    return protocol.write_upload(
        session, head, listed, at, serial, lambda text: key.sign(text, "sha1")
    )


def by_hand(
    session: str,
    key: messages.Signer,
    signed: str,
    sent_head: str,
    sent_lists: str,
    lists_name: str = "payExchangeInfoLists",
    hash_name: str = "sha1",
) -> bytes:
    """An upload put together by another hand: what is signed, and what is sent, as text."""
    value = base64.b64encode(key.sign(signed.encode(), hash_name)).decode()
    serial = json.dumps(key.certificate.serial)
    text = (
        f'{{"sessionID":"{session}","payExchangeInfoHead":{sent_head},"{lists_name}":{sent_lists},'
        f'"serviceTime":{NOW},"certNo":{serial},"signValue":"{value}"}}'
    )
    return urlencode({"payExInfoStr": text}).encode()
