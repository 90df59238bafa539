"""The messages of a life: dated folders of documents, in the order in which they are to arrive."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from random import Random

import polars as pl

from tongguan import messages
from tongguan.twin import columns
from tongguan.twin.parcels import Document, Parcel
from tongguan.twin.stream import MOST
from tongguan.twin.zone import Firm

TYPES: Mapping[str, str] = {
    **columns.TYPES,
    "cancellation": "CEB623",
    "return": "CEB625",
    "delivery": "CEB711",
    "waybill-status": "CEB513",
}
SENDERS: Mapping[str, str] = {
    **columns.SENDERS,
    "cancellation": "agent",
    "return": "agent",
    "delivery": "carrier",
    "waybill-status": "carrier",
}
UNNUMBERED = "0" * 18
"""invtNo of a list whose number the sender does not know: it is found by its order."""

_REPEATED = (
    *("customsCode", "orderNo", "ebpCode", "ebpName", "ebcCode", "ebcName", "agentCode"),
    *("agentName", "logisticsCode", "logisticsName", "logisticsNo"),
    *("buyerIdType", "buyerIdNumber", "buyerName", "buyerTelephone"),
)
"""What a cancellation and a return say again of their list."""


@dataclass(frozen=True, slots=True)
class Act:
    """A document about a parcel: a cancellation, a return, a signature.

    `quantities`: pieces that come back of each line (0: none).
    """

    kind: str
    parcel: Parcel
    cop_no: str = ""
    quantities: tuple[int, ...] = ()


@dataclass(slots=True)
class Post:
    """Writes folders of messages below `out`; documents keep the order in which they are given."""

    out: Path
    rng: Random
    folders: int = 0
    files: int = 0
    documents: int = 0
    _name: str = ""

    def open(self) -> str:
        """Begin a new folder; its name."""
        self.folders += 1
        self.files = 0
        self._name = f"{self.folders:04d}"
        (self.out / self._name).mkdir()
        return self._name

    def send(self, kind: str, parcels: Sequence[Parcel], day: date) -> None:
        """Documents of one of the four kinds. Parcels must be `in_order` for that kind."""
        sent = [Document(kind, parcel, second=parcel.second) for parcel in parcels]
        if sent:
            heads = pl.DataFrame(columns.heads(kind, sent, self._guids(len(sent)), f"{day:%Y%m%d}"))
            self._messages(kind, parcels, heads, columns.lines(kind, sent))

    def tell(self, kind: str, acts: Sequence[Act], day: date) -> None:
        """Acts of one kind. Their parcels must be `in_order` for that kind."""
        if not acts:
            return
        parcels = [act.parcel for act in acts]
        like = columns.heads("inventory", [Document("inventory", p) for p in parcels], [""], "")
        if kind == "waybill-status":
            heads = {name: like[name] for name in ("logisticsCode", "logisticsName", "logisticsNo")}
            heads["logisticsStatus"] = _same("S", acts)
            heads["logisticsTime"] = _same(f"{day:%Y%m%d}101500", acts)
        else:
            heads = {name: like[name] for name in _REPEATED}
            heads["copNo"] = pl.Series([act.cop_no for act in acts], dtype=pl.String)
            heads["invtNo"] = _same(UNNUMBERED, acts)
            heads["reason"] = _same("不要了", acts)
        frame = pl.DataFrame(heads | self._base(acts, day))
        self._messages(kind, parcels, frame, _return_lines(acts) if kind == "return" else None)

    def deliver(self, parcels: Sequence[Parcel], day: date) -> None:
        """The arrival lists of direct purchases, one for each carrier and site."""

        def place(parcel: Parcel) -> tuple[str, str]:
            return parcel.carrier.code, parcel.site.customs_code

        for _, group in groupby(sorted(parcels, key=place), place):
            here = list(group)
            first = here[0]
            one = [Document("inventory", first)]
            like = columns.heads("inventory", one, [""], "")
            names = ("customsCode", "ieFlag", "trafMode", "trafNo", "voyageNo", "billNo")
            heads = {name: like[name] for name in (*names, "logisticsCode", "logisticsName")}
            heads["operatorCode"], heads["operatorName"] = like["agentCode"], like["agentName"]
            heads["copNo"] = pl.Series([f"A{day:%y%m%d}{first.number:08d}"], dtype=pl.String)
            lines = {
                "document": pl.Series([0] * len(here), dtype=pl.Int64),
                "gnum": [str(n) for n in range(1, len(here) + 1)],
                "logisticsNo": [parcel.logistics_no for parcel in here],
            }
            frame = pl.DataFrame(heads | self._base([first], day))
            self._messages("delivery", [first], frame, pl.DataFrame(lines))

    def _base(self, things: Sequence[object], day: date) -> dict[str, pl.Series]:
        return {
            "guid": pl.Series(self._guids(len(things)), dtype=pl.String),
            "appType": _same("1", things),
            "appTime": _same(f"{day:%Y%m%d}093000", things),
            "appStatus": _same("2", things),
        }

    def _messages(
        self, kind: str, parcels: Sequence[Parcel], heads: pl.DataFrame, lines: pl.DataFrame | None
    ) -> None:
        fragments = iter(messages.render(TYPES[kind], heads, lines).to_list())
        for _, group in groupby(parcels, sender(kind)):
            here = list(group)
            firm: Firm = getattr(here[0], SENDERS[kind])
            for start in range(0, len(here), MOST):
                inside = [next(fragments) for _ in here[start : start + MOST]]
                self._write(kind, firm, inside)

    def _write(self, kind: str, firm: Firm, fragments: list[str]) -> None:
        self.files += 1
        self.documents += len(fragments)
        transfer = {
            "copCode": firm.code,
            "copName": firm.name,
            "dxpMode": "DXP",
            "dxpId": firm.dxp_id,
        }
        [guid] = self._guids(1)
        data = messages.message(TYPES[kind], fragments, guid, transfer=transfer)
        (self.out / self._name / f"{self.files:06d}-{TYPES[kind]}.xml").write_bytes(data)

    def _guids(self, count: int) -> list[str]:
        raw = self.rng.randbytes(16 * count).hex().upper()
        return [
            f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"
            for h in (raw[i : i + 32] for i in range(0, len(raw), 32))
        ]


def sender(kind: str) -> Callable[[Parcel], str]:
    """Whose message a parcel's document of that kind travels in: the order that `Post` wants."""
    firm = SENDERS[kind]
    return lambda parcel: str(getattr(parcel, firm).code)


def _same(value: str, things: Sequence[object]) -> pl.Series:
    return pl.repeat(value, len(things), dtype=pl.String, eager=True)


def _return_lines(acts: Sequence[Act]) -> pl.DataFrame:
    rows = [
        (at, str(gnum), line.gcode, line.goods.name, str(quantity), line.goods.unit)
        for at, act in enumerate(acts)
        for gnum, (line, quantity) in enumerate(
            zip(act.parcel.declared_lines, act.quantities, strict=True), 1
        )
        if quantity
    ]
    names = ("gnum", "gcode", "gname", "qty", "unit")
    schema = {"document": pl.Int64, **dict.fromkeys(names, pl.String)}
    return pl.DataFrame(rows, schema=schema, orient="row")
