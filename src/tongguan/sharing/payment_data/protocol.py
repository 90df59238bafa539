"""What the two sides say: request, upload, what of it is signed, what may stand in it. Pure.

Customs asks (``platDataOpen``: form parameter ``openReq``), the platform uploads within a time
(``realTimeDataUpload``: form parameter ``payExInfoStr``). The signature is over a text of four
values; it is verified over the very bytes of head and lists that were sent, so what is read is
what was signed. Source: interface V1.0 to GACC notice 2018-179.
"""

import base64
import binascii
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlencode

import msgspec
import yaml

from tongguan import codes
from tongguan.sharing.rules import Problem

OPEN_PATH = "/platDataOpen"
UPLOAD_PATH = "/ceb2grab/grab/realTimeDataUpload"
OPEN_FIELD, UPLOAD_FIELD = "openReq", "payExInfoStr"
OPENED = "10000"
"""What a platform answers when it has taken the request, whether or not it knows the order."""
BODY_MOST = 1 << 20
"""Bytes of a form that are read."""
HASHES = ("sha1", "sha256")
"""What an RSA signature may be over; the interface says SHA-1. SM2 has its own."""


class Unreadable(ValueError):  # noqa: N818 - what came
    """The form or the JSON in it is not what the interface prescribes."""


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """What customs asks for. service_time: milliseconds since 1970."""

    order_no: str
    session_id: str
    service_time: int

    def form(self) -> bytes:
        """The body of the request."""
        facts = {"orderNo": self.order_no, "sessionID": self.session_id}
        return _form(OPEN_FIELD, json_text(facts | {"serviceTime": self.service_time}))


def read_open_request(body: bytes) -> OpenRequest:
    """Raises Unreadable."""
    facts = object_of(_field(body, OPEN_FIELD).encode(), OPEN_FIELD)
    order, session, at = (facts.get(name) for name in ("orderNo", "sessionID", "serviceTime"))
    if not (isinstance(order, str) and order and isinstance(session, str) and session):
        raise Unreadable(f"{OPEN_FIELD} needs orderNo and sessionID")
    return OpenRequest(order, session, int(str(at)) if str(at).isdecimal() else 0)


class _Upload(msgspec.Struct):
    sessionID: str
    payExchangeInfoHead: msgspec.Raw
    serviceTime: str | int
    certNo: str
    signValue: str
    payExchangeInfoLists: msgspec.Raw = msgspec.Raw()
    payExchangeInfoList: msgspec.Raw = msgspec.Raw()


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload as it came. head_text, lists_text: the JSON that was sent, byte for byte.

    head, orders: what it says, numbers as Decimal. signature: the bytes of signValue.
    """

    session_id: str
    head_text: str
    lists_text: str
    service_time: str
    certificate_no: str
    signature: bytes
    head: Mapping[str, Any]
    orders: Sequence[Mapping[str, Any]]


def read_upload(body: bytes) -> Upload:
    """Raises Unreadable: not a form, not JSON, a name twice, a value of another kind."""
    text = _field(body, UPLOAD_FIELD)
    try:
        raw = msgspec.json.decode(text, type=_Upload)
        signature = base64.b64decode(raw.signValue, validate=True)
    except (msgspec.DecodeError, binascii.Error, UnicodeError) as problem:
        raise Unreadable(f"{UPLOAD_FIELD}: {problem}") from None
    object_of(text.encode(), UPLOAD_FIELD)
    lists = raw.payExchangeInfoLists or raw.payExchangeInfoList
    if not lists:
        raise Unreadable(f"{UPLOAD_FIELD} has no payExchangeInfoLists")
    head_text, lists_text = _inner(raw.payExchangeInfoHead), _inner(lists)
    head = object_of(head_text.encode(), "payExchangeInfoHead")
    orders = _decoded(lists_text.encode(), "payExchangeInfoLists")
    if not isinstance(orders, list) or not all(isinstance(order, dict) for order in orders):
        raise Unreadable("payExchangeInfoLists is no list of objects")
    at = str(raw.serviceTime)
    return Upload(raw.sessionID, head_text, lists_text, at, raw.certNo, signature, head, orders)


def _inner(raw: msgspec.Raw) -> str:
    """A value as JSON text; some platforms send it as a string that holds the JSON."""
    text = bytes(raw).decode()
    if not text.startswith('"'):
        return text
    inner = json.loads(text)
    assert isinstance(inner, str)
    return inner


def _field(body: bytes, name: str) -> str:
    if len(body) > BODY_MOST:
        raise Unreadable(f"at most {BODY_MOST} bytes are read, {len(body)} came")
    try:
        found = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=16)
        values = found.get(name, [])
        for value in values:
            value.encode()
    except (ValueError, UnicodeError) as problem:
        raise Unreadable(f"not a form (x-www-form-urlencoded): {problem}") from None
    if len(values) != 1:
        raise Unreadable(f"the form needs {name} once, it is there {len(values)} times")
    return values[0]


def _form(name: str, text: str) -> bytes:
    return urlencode({name: text}).encode("ascii")


def object_of(data: bytes, name: str) -> dict[str, Any]:
    found = _decoded(data, name)
    if not isinstance(found, dict):
        raise Unreadable(f"{name} is no JSON object")
    return found


def _decoded(data: bytes, name: str) -> Any:
    """JSON with every name once, numbers exact. Raises Unreadable."""
    try:
        return json.loads(
            data, object_pairs_hook=_once, parse_float=Decimal, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as problem:
        raise Unreadable(f"{name}: {problem}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice} is there twice")
    return found


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no number")


def json_text(value: Any) -> str:
    """Compact JSON; a Decimal is written as a number without superfluous zeros.

    >>> json_text({"totalAmount": Decimal("100.10")})
    '{"totalAmount":100.1}'
    """
    if isinstance(value, Mapping):
        inside = ",".join(f"{json_text(k)}:{json_text(v)}" for k, v in value.items())
        return f"{{{inside}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(json_text(each) for each in value)}]"
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# ── what is signed ──────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Form:
    """One of the ways in which the signed text is written down.

    The notice's text and its sample differ: quotes around head and lists, the name of the lists,
    quotes around the time. Working platforms write the first of FORMS.
    """

    quoted: bool
    lists_name: str
    time_quoted: bool

    def text(self, session_id: str, head: str, lists: str, service_time: str) -> str:
        q, t = '"' if self.quoted else "", '"' if self.time_quoted else ""
        return (
            f'"sessionID":"{session_id}"||"payExchangeInfoHead":{q}{head}{q}'
            f'||"{self.lists_name}":{q}{lists}{q}||"serviceTime":{t}{service_time}{t}'
        )


FORMS: tuple[Form, ...] = tuple(
    Form(quoted, name, time_quoted)
    for quoted, name, time_quoted in itertools.product(
        (True, False), ("payExchangeInfoLists", "payExchangeInfoList"), (True, False)
    )
)


def verified_form(
    upload: Upload, verifies: Callable[[bytes, bytes, str], bool]
) -> tuple[Form, str] | None:
    """The form of text and the hash under which the signature verifies; None: under none.

    verifies: (signature, data, hash). Head and lists are taken as they were sent, else without
    the white space between their tokens, which changes no value.
    """
    texts = [(upload.head_text, upload.lists_text)]
    compact = tuple(_compact(text) for text in texts[0])
    if compact != texts[0]:
        texts.append((compact[0], compact[1]))
    for form, (head, lists), hash_name in itertools.product(FORMS, texts, HASHES):
        data = form.text(upload.session_id, head, lists, upload.service_time).encode()
        if verifies(upload.signature, data, hash_name):
            return form, hash_name
    return None


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s"]+', re.DOTALL)


def _compact(text: str) -> str:
    return "".join(_TOKEN.findall(text))


def write_upload(
    session_id: str,
    head: Mapping[str, Any],
    orders: Sequence[Mapping[str, Any]],
    service_time: int,
    certificate_no: str,
    sign: Callable[[bytes], bytes],
) -> bytes:
    """The body of an upload, signed as working platforms do: FORMS[0]."""
    head_text, lists_text, at = json_text(head), json_text(list(orders)), str(service_time)
    signed = FORMS[0].text(session_id, head_text, lists_text, at)
    signature = base64.b64encode(sign(signed.encode())).decode()
    body = (
        f'{{"sessionID":{json_text(session_id)},"payExchangeInfoHead":{head_text},'
        f'"payExchangeInfoLists":{lists_text},"serviceTime":{json_text(at)},'
        f'"certNo":{json_text(certificate_no)},"signValue":{json_text(signature)}}}'
    )
    return _form(UPLOAD_FIELD, body)


# ── what may stand in it ────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Field:
    """One element: its type in the notation of the message catalogue, and codes it may have."""

    name: str
    required: bool
    type: str
    codes: tuple[str, ...]
    form: str | None
    zh: str
    en: str


@cache
def fields() -> Mapping[str, tuple[Field, ...]]:
    """The elements of head, order and goods."""
    text = (files(__package__) / "fields.yaml").read_text("utf-8")
    return {
        part: tuple(
            Field(
                row["name"].removesuffix("?"),
                not row["name"].endswith("?"),
                row["type"],
                tuple(row.get("codes", ())),
                row.get("form"),
                row["zh"],
                row["en"],
            )
            for row in rows
        )
        for part, rows in yaml.safe_load(text).items()
    }


def problems(upload: Upload) -> list[Problem]:
    """Every element that is missing or not of its form."""
    found = list(_part("head", upload.head, "payExchangeInfoHead"))
    if not upload.orders:
        found.append(_problem("payExchangeInfoLists", "at least one order", "none"))
    for n, order in enumerate(upload.orders):
        place = f"payExchangeInfoLists[{n}]"
        found += _part("order", order, place)
        goods = order.get("goodsInfo")
        if isinstance(goods, list):
            if not goods:
                found.append(_problem(f"{place}.goodsInfo", "at least one of goods", "none"))
            for m, one in enumerate(goods):
                if isinstance(one, dict):
                    found += _part("goods", one, f"{place}.goodsInfo[{m}]")
                else:
                    found.append(_problem(f"{place}.goodsInfo[{m}]", "an object", "another value"))
    return found


def _part(part: str, values: Mapping[str, Any], place: str) -> Iterator[Problem]:
    for field in fields()[part]:
        value = values.get(field.name)
        if value is None or value == "":
            if field.required:
                yield _problem(f"{place}.{field.name}", f"{field.type}, {field.en}", "nothing")
        elif (expected := _misfit(field, value)) is not None:
            # What stands there may be a person's; its kind and size say enough.
            yield _problem(f"{place}.{field.name}", expected, _described(value))


def _misfit(field: Field, value: Any) -> str | None:
    """What was expected instead of a value; None: it fits."""
    if field.type == "list":
        return None if isinstance(value, list) else "a list"
    if field.type == "N19,5":
        return (
            None if _is_amount(value) else "a number above 0, 14 digits before the point, 5 after"
        )
    if not isinstance(value, str) or _CONTROL.search(value):
        return f"text, {field.type}, without control characters"
    exact, _, most = field.type.removeprefix("C").partition("..")
    fits = len(value) == int(exact) if exact else len(value) <= int(most)
    if not fits:
        return f"{field.type}, {field.en}"
    if field.codes and value not in field.codes:
        return f"one of {', '.join(field.codes)}"
    if field.form == "time" and not _is_time(value):
        return "a time as YYYYMMDDhhmmss"
    return None


_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""What no database and no XML holds: control characters, halves of characters."""


def _is_amount(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return False
    number = Decimal(value)
    return number > 0 and number < Decimal(10) ** 14 and number == round(number, 5)


def _is_time(text: str) -> bool:
    try:
        datetime.strptime(text, "%Y%m%d%H%M%S")  # noqa: DTZ007 - only whether it is one
    except ValueError:
        return False
    return text.isdecimal()


def _described(value: Any) -> str:
    return f"{len(value)} characters" if isinstance(value, str) else type(value).__name__


def _problem(field: str, expected: str, actual: str) -> Problem:
    return Problem(field, expected, actual, "docs/payment-data.md has the elements")


# ── what is answered ────────────────────────────────────────────────────────────────────────


def answer(reason: str, now_ms: int, detail: str | None = None) -> dict[str, Any]:
    """The answer to an upload. reason: of table ``payment_data_answer``; detail: what exactly."""
    entry = next(e for e in codes.table("payment_data_answer") if e.more["reason"] == reason)
    message = entry.name_zh if detail is None else f"{entry.name_zh}：{detail}"
    return {"code": entry.code, "message": message, "total": 0, "serviceTime": now_ms}


def opened_answer(now_ms: int, problem: str = "") -> dict[str, Any]:
    """What a platform answers a request; problem: why it could not be read."""
    return {"code": "20000" if problem else OPENED, "message": problem, "serviceTime": now_ms}
