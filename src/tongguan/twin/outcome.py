"""The lines of expected.jsonl: what each document of a parcel must end at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from tongguan import codes
from tongguan.twin.faults import Outcome
from tongguan.twin.parcels import KINDS, Parcel, fen_text

DRAFT, ACCEPTED, REFUSED, MATCHED, RELEASED = 1, 2, 100, 120, 800


def lines(parcel: Parcel, outcome: Outcome) -> Iterator[str]:
    """One JSON line per document of the parcel, the list first, then documents refused besides.

    `status` null: no such document may be known (its message never arrived). Documents that were
    never sent have no line, except the list. `rules`: those of severity error, sorted. A document
    that a later one changed or deleted has a line of its own with `superseded`.
    """
    statuses = final(outcome)
    for kind in reversed(KINDS):
        if kind in outcome.absent and kind != "inventory":
            continue
        status = statuses[kind]
        more = ""
        if kind == "inventory":
            owed = tax(parcel) if status == RELEASED else "null"
            more = f',"tax":{owed},"faults":{_names(parcel.faults)}'
        yield _line(kind, key(kind, parcel), status, rules(kind, status, outcome), parcel, more)
    for kind in outcome.superseded:
        yield _line(kind, key(kind, parcel), ACCEPTED, [], parcel, ',"superseded":true')
    for kind, rule in outcome.again:
        yield _line(kind, key(kind, parcel), refusal(rule, kind), [rule], parcel)


def broken(kind: str, file: str, parcel: Parcel) -> str:
    """The line of a message that cannot be read: answered as a whole."""
    status = refusal("message.format", kind)
    return _line("message", f'{{"file":"{file}"}}', status, ["message.format"], parcel)


def _line(
    document: str,
    key: str,
    status: int | None,
    rules: Sequence[str],
    parcel: Parcel,
    more: str = "",
) -> str:
    # All values are ours and hold no character that JSON escapes; a million lines a minute are
    # wanted, so they are not encoded one by one.
    return (
        f'{{"document":"{document}","key":{key},"status":{"null" if status is None else status},'
        f'"rules":{_names(rules)}{more},"parcel":{parcel.number}}}'
    )


def _names(names: Sequence[str]) -> str:
    return '["' + '","'.join(names) + '"]' if names else "[]"


def final(outcome: Outcome) -> dict[str, int | None]:
    """Status of each kind when everything has arrived; None where no document is there."""
    complete = all(outcome.arrived(kind) for kind in KINDS)
    released = complete and not outcome.refusals
    statuses: dict[str, int | None] = {}
    for kind in KINDS:
        if kind in outcome.forms:
            statuses[kind] = refusal(outcome.forms[kind], kind, outcome.spoilt.get(kind))
        elif kind in outcome.absent:
            statuses[kind] = None
        elif kind in outcome.drafts:
            statuses[kind] = DRAFT
        elif kind == "inventory":
            # What is missing keeps the list waiting; nothing else of it is judged before.
            statuses[kind] = RELEASED if released else REFUSED if complete else ACCEPTED
        else:
            statuses[kind] = MATCHED if released else ACCEPTED
    return statuses


def rules(kind: str, status: int | None, outcome: Outcome) -> list[str]:
    """The rules of severity error that the document carries."""
    if kind in outcome.forms:
        return [outcome.forms[kind]]
    return sorted(outcome.refusals) if status == REFUSED else []


def refusal(rule: str, kind: str, field: str | None = None) -> int:
    """The official negative code as the status it becomes."""
    return int(codes.rule(rule).code(kind, field))


def tax(parcel: Parcel) -> str:
    """The tax of a released parcel; a single item over the limit pays as general trade."""
    owed = parcel.tax
    assert owed is not None
    basis = "general-trade" if parcel.full_tax else "retail-import"
    return (
        f'{{"duty":"{fen_text(owed.duty)}","consumption":"{fen_text(owed.consumption)}",'
        f'"vat":"{fen_text(owed.vat)}","total":"{fen_text(owed.total)}","basis":"{basis}"}}'
    )


def key(kind: str, parcel: Parcel) -> str:
    """The business key, as JSON under the standard's element names."""
    return _KEYS[kind](parcel)


_KEYS: Mapping[str, Callable[[Parcel], str]] = {
    "order": lambda p: f'{{"ebpCode":"{p.platform.code}","orderNo":"{p.order_no}"}}',
    "payment": lambda p: (
        f'{{"payCode":"{p.payer_firm.code}","payTransactionId":"{p.transaction}"}}'
    ),
    "waybill": lambda p: f'{{"logisticsCode":"{p.carrier.code}","logisticsNo":"{p.logistics_no}"}}',
    "inventory": lambda p: (
        f'{{"ebcCode":"{p.seller.code}","orderNo":"{p.order_no}","copNo":"{p.cop_no}"}}'
    ),
}
