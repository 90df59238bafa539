"""Verifying a file of evidence without a database: a receipt, a page of them, two heads, a pack.

Of a pack everything is computed again that can be: hashes, proofs and signatures, and each decision
from the documents shown, by the same functions that decided, where this program has the same law.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import polars as pl

from tongguan import messages, policy
from tongguan.clearance import dossier
from tongguan.clearance.decide import decide
from tongguan.clearance.examine import IN_MEMORY
from tongguan.clearance.explain import explained
from tongguan.clearance.intake import prepare
from tongguan.clearance.kinds import KINDS
from tongguan.clearance.pack import (
    BILLS,
    FORM,
    LIMITS,
    canonical,
    part_text,
    return_time,
    seal_text,
)
from tongguan.clearance.recorded import MEMBERS, OUTCOME, PAPERS, Record, differences
from tongguan.clearance.report import KEY_COLUMNS, money
from tongguan.clearance.rules import Dossiers
from tongguan.clearance.steps import PASSED
from tongguan.sharing import leaves, verification
from tongguan.sharing.heads import (
    KEY_BYTES,
    SIGNATURE_BYTES,
    Head,
    Malformed,
    head_from,
    is_signed,
    unhex,
)
from tongguan.sharing.verification import Check, Checks, fields, hashes, whole

PACK = frozenset({"form", "key", "head", "messages", "receipts", "parcels", "others"})
MESSAGE = frozenset({"type", "digests", "frame", "position", "path", "documents"})
RECEIPT = MESSAGE | {"receipt"}
PARCEL = frozenset({"list", "papers", "decision", "explanation"})
TAXES = {"customsTax": "duty_fen", "consumptionTax": "consumption_fen", "valueAddedTax": "vat_fen"}


def verify(data: bytes, key: tuple[str, bytes] | None = None, proof: bytes | None = None) -> Checks:
    """Every check of a file. key: origin and public key (heads.public_from) of the log, if held.

    proof: of a receipt in the form of the standard, the file that ``prove`` wrote beside it.
    """
    checks = Checks(key)
    with checks.part("the file"):
        if proof is not None:
            verification.file(checks, data, verification.read(proof))
            return checks
        facts = verification.read(data)
        names = facts.keys() if isinstance(facts, dict) else frozenset()
        if "pack" in names:
            _pack(checks, data, facts)
        elif "receipts" in names:
            verification.answer(checks, facts)
        elif names & {"xml", "proof"}:
            verification.receipt(checks, facts)
        elif names & {"old", "new"}:
            verification.consistency(checks, facts)
        else:
            raise Malformed("neither a receipt with its proof, nor a pack, nor two heads")
    return checks


def check_facts(check: Check) -> dict[str, Any]:
    """A check as JSON values. result: ok, failed, or unknown."""
    result = {True: "ok", False: "failed", None: "unknown"}[check.ok]
    return {"result": result, "what": check.what, "detail": check.detail}


@dataclass(frozen=True, slots=True)
class _Read:
    """What a pack shows. documents: by name, the kind and a message of the document alone; None
    where it is withheld. told: type and elements of each document of a receipt.
    """

    documents: dict[str, tuple[str, bytes | None]]
    told: list[tuple[str, dict[str, str | None]]]


def _pack(checks: Checks, data: bytes, facts: Any) -> None:
    given = fields(facts, frozenset({"pack", "seal"}), "the file")
    checks.say(
        canonical(facts) + b"\n" == data, "the pack is written as packs are", "in another form"
    )
    body = fields(given["pack"], PACK, "the pack")
    checks.say(body["form"] == FORM, f"the pack is a {FORM}", f"it is a {body['form']!r}")
    head = head_from(body["head"])
    checks.signed(head)
    with checks.part("the seal"):
        _seal(checks, given, head)
    read = _Read({}, [])
    for place, each in _listed(body["messages"], "messages"):
        with checks.part(f"message {place}"):
            _message(checks, place, each, head, read)
    for place, each in _listed(body["receipts"], "receipts"):
        with checks.part(f"receipt {place} of the pack"):
            _receipt(checks, each, head, read)
    for place, each in _listed(body["parcels"], "parcels"):
        with checks.part(f"parcel {place}"):
            _parcel(checks, place, each, read)
    for place, each in _listed(body["others"], "others"):
        with checks.part(f"document {place} of the others"), _legible("its steps"):
            _told(checks, "beside the decision", each, read)


@contextmanager
def _legible(what: str) -> Iterator[None]:
    """What is not of the expected shape is malformed."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Malformed(f"{what} cannot be read: {error!r}") from None


def _seal(checks: Checks, given: Mapping[str, Any], head: Head) -> None:
    seal = fields(given["seal"], frozenset({"public", "signature"}), "the seal")
    public = unhex(seal["public"], KEY_BYTES, "public")
    signature = unhex(seal["signature"], SIGNATURE_BYTES, "signature")
    what = "the seal: nothing in the pack was changed since it was made"
    signed = is_signed(seal_text(given["pack"]), signature, public)
    checks.say(signed, what, "the signature does not verify: some byte of the pack was changed")
    checks.say(public == head.public, "the seal: its key is that of the log", "another key")


def _listed(value: Any, where: str) -> Sequence[tuple[int, Any]]:
    if not isinstance(value, list):
        raise Malformed(f"{where} is not a list")
    return list(enumerate(value, 1))


def _bytes(value: Any, where: str) -> bytes:
    """Bytes as a pack writes them. Raises Malformed for what it would write otherwise."""
    try:
        found = value.encode() if isinstance(value, str) else bytes.fromhex(value["hex"])
    except (TypeError, KeyError, ValueError):
        raise Malformed(f"{where} is neither text nor hex") from None
    if part_text(found) != value:
        raise Malformed(f"{where} is not written as packs write it")
    return found


# --- messages and receipts ------------------------------------------------------------------------


def _message(checks: Checks, number: int, facts: Any, head: Head, read: _Read) -> None:
    given = fields(facts, MESSAGE, "it")
    what = f"message {number} ({given['type']})"
    digests = hashes(given["digests"], "digests")
    _logged(checks, what, given, leaves.message_leaf(digests), head)
    frame = fields(given["frame"], frozenset({"blind", "head", "tail"}), "the frame")
    start, end = _bytes(frame["head"], "head"), _bytes(frame["tail"], "tail")
    around = _blinded(frame["blind"], leaves.framed(start, end))
    checks.say(
        around == _at(digests, leaves.FRAME),
        f"{what}: what stands around its documents is what was logged",
        "its digest differs",
    )
    for _, each in _listed(given["documents"], "documents"):
        kind, place = str(each.get("kind")), whole(each.get("place"), "place")
        name = f"{what}: document {place}, the {kind}"
        if "withheld" in each:
            fields(each, frozenset({"kind", "place", "withheld"}), name)
            checks.say(None, f"{name}, is withheld: {each['withheld']}")
            read.documents[f"{number}.{place}"] = (kind, None)
            continue
        fields(each, frozenset({"kind", "place", "blind", "text"}), name)
        text = _bytes(each["text"], "text")
        expected = _at(digests, leaves.FIRST_DOCUMENT + place - 1)
        checks.say(
            place > 0 and _blinded(each["blind"], text) == expected,
            f"{name}, is what was logged",
            "its digest differs",
        )
        read.documents[f"{number}.{place}"] = (kind, leaves.alone(start, end, text))


def _blinded(blind: Any, part: bytes) -> bytes:
    return leaves.digest(unhex(blind, leaves.BLIND_BYTES, "blind"), part)


def _at(digests: Sequence[bytes], place: int) -> bytes | None:
    return digests[place] if 0 <= place < len(digests) else None


def _logged(checks: Checks, what: str, given: Mapping[str, Any], leaf: bytes, head: Head) -> None:
    path = hashes(given["path"], "path")
    verification.inclusion(checks, what, leaf, whole(given["position"], "position"), path, head)


def _receipt(checks: Checks, facts: Any, head: Head, read: _Read) -> None:
    given = fields(facts, RECEIPT, "it")
    number = whole(given["receipt"], "receipt")
    what = f"receipt {number} ({given['type']})"
    digests = hashes(given["digests"], "digests")
    _logged(checks, what, given, leaves.receipt_leaf(number, digests), head)
    frame = fields(given["frame"], frozenset({"head", "tail"}), "the frame")
    start, end = _bytes(frame["head"], "head"), _bytes(frame["tail"], "tail")
    checks.say(
        leaves.digest(b"", leaves.framed(start, end)) == _at(digests, 0),
        f"{what}: what stands around its documents is what was logged",
        "its digest differs",
    )
    for _, each in _listed(given["documents"], "documents"):
        fields(each, frozenset({"place", "text"}), what)
        place, text = whole(each["place"], "place"), _bytes(each["text"], "text")
        checks.say(
            place > 0 and leaves.digest(b"", text) == _at(digests, place),
            f"{what}: document {place} is what was logged",
            "its digest differs",
        )
        parsed = messages.parse(start + text + end, LIMITS)
        same = not parsed.refused and parsed.type == given["type"] and parsed.documents == 1
        checks.say(same, f"{what}: document {place} can be read", "it is no such receipt")
        if same:
            values = {name: column[0] for name, column in parsed.heads.items()}
            read.told.append((str(given["type"]), values))


# --- parcels --------------------------------------------------------------------------------------


def _parcel(checks: Checks, number: int, facts: Any, read: _Read) -> None:
    given = fields(facts, PARCEL, "it")
    what = f"parcel {number}"
    explanation = given["explanation"]
    with _legible("its decision or explanation"):
        lines = explanation["documents"]
        for line in lines:
            _told(checks, what, line, read)
        if given["decision"] is None:
            checks.say(None, f"{what}: it has not been decided")
            return
        record = Record.of(given["decision"])
        lists = [line for line in lines if line["document"] == "inventory"]
        statuses = [event["status"] for line in lists for event in line["events"]]
        _outcome(checks, what, record, statuses, read)
        papers = dict(given["papers"])
    names = [*(papers.get(kind) for kind in PAPERS), given["list"]]
    shown = [read.documents.get(str(name), ("", None)) for name in names]
    _again(checks, what, shown, record, explanation)


def _told(checks: Checks, what: str, line: Mapping[str, Any], read: _Read) -> None:
    """That every step of a document is told in a receipt of the pack."""
    kind = KINDS[line["document"]]
    type_ = messages.message_type(kind.message).receipt
    own = {name for name, _ in KEY_COLUMNS[kind.name]} - {"invtNo"}
    mine = [
        values
        for told, values in read.told
        if told == type_
        and all(values[n] == v for n, v in line["key"].items() if n in own and n in values)
    ]
    said = {(values["returnStatus"], values["returnTime"]) for values in mine}
    steps = {(str(event["status"]), return_time(event["at"])) for event in line["events"]}
    shown = " → ".join(str(event["status"]) for event in line["events"])
    checks.say(
        steps <= said and line["history"] == [event["status"] for event in line["events"]],
        f"{what}: each step of the {kind.name} ({shown}) is told in a receipt",
        f"{len(steps - said)} are not",
    )


def _outcome(
    checks: Checks, what: str, record: Record, statuses: Sequence[int], read: _Read
) -> None:
    """That receipts and the bill say what was decided."""
    outcome = dict(zip(OUTCOME, record.outcome, strict=True))
    refused = outcome["refused"]
    checks.say(
        refused is (PASSED not in statuses),
        f"{what}: the receipts of the list say what was decided "
        f"({'refused' if refused else 'not refused'})",
        f"the statuses are {statuses}",
    )
    bills = [values for type_, values in read.told if type_ == BILLS[0]]
    if bills and not refused:
        amounts = {name: money(outcome[column]) for name, column in TAXES.items()}
        first = {name: bills[0][name] for name in TAXES}
        checks.say(
            amounts == first,
            f"{what}: the bill is over the tax that was decided ({money(outcome['total_fen'])})",
            f"decided {amounts}, billed {first}",
        )


def _again(
    checks: Checks,
    what: str,
    papers: Sequence[tuple[str, bytes | None]],
    record: Record,
    explanation: Mapping[str, Any],
) -> None:
    """That the documents, decided again, give what is recorded."""
    kinds = (*PAPERS, "inventory")
    if lacking := [k for k, (_, data) in zip(kinds, papers, strict=True) if data is None]:
        checks.say(None, f"{what}: not decided again, the pack does not show {', '.join(lacking)}")
        return
    known = policy.load()
    if known.hash != record.policy:
        checks.say(
            None,
            f"{what}: not decided again: it was decided under policy {record.policy[:12]}, this "
            f"program has {known.hash[:12]}",
        )
        return
    dossiers = _dossiers(kinds, [data for _, data in papers if data is not None])
    if dossiers is None:
        checks.say(False, f"{what}: it is decided again", "its documents cannot be read")
        return
    law = known.on(record.day)
    buyer = dossiers.heads["inventory.buyerIdNumber_digest"][0]
    decisions = decide(dossiers, law, record.standing(buyer))
    wrong = differences(record, decisions)
    outcome = dict(zip(OUTCOME, record.outcome, strict=True))
    checks.say(
        not wrong,
        f"{what}: decided again from its documents by the law of {record.day}, it is as recorded "
        f"(tax {money(outcome['total_fen'])})",
        "; ".join(wrong),
    )
    if wrong:
        return
    again = explained([], dossiers, decisions, law, record).facts()
    for part in ("compared", "derivation", "day", "policy"):
        checks.say(
            canonical(again[part]) == canonical(explanation.get(part)),
            f"{what}: the explanation's {part} computed again",
            "it differs",
        )


def _dossiers(kinds: Sequence[str], files: Sequence[bytes]) -> Dossiers | None:
    """The four documents as the rules look at them."""
    named = [(kind, data) for kind, data in zip(kinds, files, strict=True)]
    batch = prepare(named, IN_MEMORY, LIMITS)
    wanted = [KINDS[kind].number for kind in kinds]
    documents = batch.documents.sort("message")
    if documents["kind"].to_list() != wanted or not documents["valid"].all():
        return None
    members = documents.select(case=pl.lit(0, dtype=pl.Int64), id="doc", kind="kind")
    return dossier.assemble(None, members.cast(pl.Schema(MEMBERS)), batch.bodies)
