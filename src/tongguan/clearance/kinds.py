"""What the job must know of each kind of document: its message and the keys it is found by.

Source: business keys of the CEB specification (identifying fields of the receipts) and the join
keys of the design: order (ebpCode, orderNo); payment (payCode, payTransactionId) as the order
names it, else (ebpCode, orderNo); waybill (logisticsCode, logisticsNo); list (ebcCode, orderNo),
also by (agentCode, copNo) and invtNo.
"""

from dataclasses import dataclass

from tongguan import codes

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of document.

    key: the elements of the business key; at most one current document has a given value.
    order: elements that name an order, by (platform or "", number).
    payment: elements that name a payment. waybill: elements that name a waybill.
    cop: the sender's own number of the document.
    """

    name: str
    key: Pair
    order: Pair | None = None
    payment: Pair | None = None
    waybill: Pair | None = None
    cop: Pair | None = None

    @property
    def number(self) -> int:
        """The message number (621 …), which is also the kind's number in the database."""
        return codes.KINDS[self.name]

    @property
    def message(self) -> str:
        return f"CEB{self.number}"


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("order", ("ebpCode", "orderNo"), payment=("payCode", "payTransactionId")),
        Kind("payment", ("payCode", "payTransactionId"), order=("ebpCode", "orderNo")),
        Kind("waybill", ("logisticsCode", "logisticsNo")),
        Kind("waybill-status", ("logisticsCode", "logisticsNo")),
        Kind(
            "inventory",
            ("ebcCode", "orderNo"),
            order=("ebpCode", "orderNo"),
            waybill=("logisticsCode", "logisticsNo"),
            cop=("agentCode", "copNo"),
        ),
        Kind("cancellation", ("agentCode", "copNo"), order=("ebpCode", "orderNo")),
        Kind("return", ("agentCode", "copNo"), order=("ebpCode", "orderNo")),
        Kind("delivery", ("operatorCode", "copNo")),
    )
}
BY_NUMBER: dict[int, Kind] = {kind.number: kind for kind in KINDS.values()}
BY_MESSAGE: dict[str, Kind] = {kind.message: kind for kind in KINDS.values()}
