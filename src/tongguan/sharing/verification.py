"""Checking evidence with nothing but the file and, at best, a key one already holds.

Every check says what it looked at; all of them are made, so that all failures are named. Files are
read strictly: what could be written in two ways (a name twice, a hash in capitals, a number with a
fraction) is refused, so that no byte of a file is without meaning.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from tongguan import messages
from tongguan.sharing import leaves, merkle
from tongguan.sharing.heads import Head, Malformed, head_from, time_text, unhex

RECEIPT_FIELDS = frozenset(
    {"cursor", "receipt", "message", "key", "status", "info", "time", "xml", "proof"}
)
"""What the gateway says of a document in a receipt."""
PROOF_FIELDS = frozenset({"position", "size", "leaf", "path", "head"})
CONSISTENCY_FIELDS = frozenset({"old", "new", "path"})
CHINA = timezone(timedelta(hours=8))
LIMITS = messages.Limits(bytes=1 << 28, tags=1 << 24, equals=1 << 22)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. ok: None where it could not be, or is only to be known."""

    ok: bool | None
    what: str
    detail: str = ""


@dataclass(slots=True)
class Checks:
    """What was checked of a file. key: (origin, public key) that the reader holds, if any."""

    key: tuple[str, bytes] | None = None
    made: list[Check] = field(default_factory=list)
    _signed: set[Head] = field(default_factory=set)

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.made if check.ok is False]

    def say(self, ok: bool | None, what: str, detail: str = "") -> bool:
        """Note a check and give whether it held; the detail of one that held is left out."""
        self.made.append(Check(ok, what, "" if ok else detail))
        return bool(ok)

    def signed(self, head: Head) -> None:
        """That a head is signed, by the key one holds."""
        if head in self._signed:
            return
        self._signed.add(head)
        name = f"the head of {head.size} leaves at {time_text(head.at_ms)}"
        said = f"signed by key {head.key_id} of {head.origin}"
        self.say(head.is_signed, f"{name}: {said}", "the signature does not verify")
        self.held(head.origin, head.public)

    @contextmanager
    def part(self, what: str) -> Iterator[None]:
        """A part of a file: if it is not written as it must be, that is a failure, and the other
        parts are checked all the same."""
        try:
            yield
        except Malformed as error:
            self.say(False, what, str(error))

    def held(self, origin: str, public: bytes) -> None:
        """That a key is the one the reader holds; without one, that he should compare it."""
        if self.key is None:
            what = f"nobody vouches for key {public.hex()} but this file: compare it, or give --key"
            if not any(check.what == what for check in self.made):
                self.say(None, what)
        else:
            self.say(self.key == (origin, public), "it is the key that was given", "another key")


def read(data: bytes) -> Any:
    """The JSON value of a file. Raises Malformed for what has no single meaning."""

    def once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise Malformed("a name stands twice in one object")
        return found

    def never(text: str) -> Any:
        raise Malformed(f"{text} is no whole number")

    try:
        return json.loads(
            data.decode("utf-8"), object_pairs_hook=once, parse_float=never, parse_constant=never
        )
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise Malformed(f"not a JSON file: {error}") from None


def fields(facts: Any, names: frozenset[str], where: str) -> Mapping[str, Any]:
    """An object of exactly these names. Raises Malformed, naming what is too much or lacking."""
    if not isinstance(facts, dict):
        raise Malformed(f"{where} is not an object")
    if extra := sorted(facts.keys() - names):
        raise Malformed(f"{where} says what nothing proves: {', '.join(extra)}")
    if lacking := sorted(names - facts.keys()):
        raise Malformed(f"{where} lacks {', '.join(lacking)}")
    return facts


def whole(value: Any, where: str) -> int:
    """A number that counts something. Raises Malformed."""
    if type(value) is not int or value < 0:
        raise Malformed(f"{where} is not a number from 0 up")
    return value


def hashes(value: Any, where: str) -> list[bytes]:
    """A list of hashes in hex. Raises Malformed."""
    if not isinstance(value, list):
        raise Malformed(f"{where} is not a list")
    return [unhex(each, merkle.HASH_BYTES, where) for each in value]


# --- proofs ---------------------------------------------------------------------------------------


def inclusion(
    checks: Checks, what: str, leaf: bytes, position: int, path: Sequence[bytes], head: Head
) -> None:
    """That a leaf stands at a position of the tree of a head."""
    checks.say(
        merkle.is_included(position, head.size, leaf, path, head.root),
        f"{what}: it is leaf {position} of {head.size}",
        "its hashes do not lead to the root of the head",
    )


def proof(checks: Checks, what: str, leaf: bytes | None, facts: Any) -> None:
    """A proof as the gateway gives it. leaf: that of what is proved, None if it is unreadable."""
    given = fields(facts, PROOF_FIELDS, "the proof")
    head = head_from(given["head"])
    position, size = whole(given["position"], "position"), whole(given["size"], "size")
    path = hashes(given["path"], "path")
    claimed = unhex(given["leaf"], merkle.HASH_BYTES, "leaf")
    if leaf is not None:
        checks.say(
            leaf == claimed,
            f"{what}: its text and number are those that were logged",
            f"they give leaf {leaf.hex()}, the proof is about {claimed.hex()}",
        )
    checks.say(size == head.size, f"{what}: the proof is for its head", f"{size}, {head.size}")
    inclusion(checks, what, claimed, position, path, head)
    checks.signed(head)


def consistency(checks: Checks, facts: Any) -> None:
    """That an older head's tree is the beginning of a newer one's."""
    given = fields(facts, CONSISTENCY_FIELDS, "consistency")
    old, new = head_from(given["old"]), head_from(given["new"])
    path = hashes(given["path"], "path")
    checks.signed(old)
    checks.signed(new)
    checks.say(old.origin == new.origin, "both heads are of one log", "they are of two logs")
    checks.say(
        merkle.is_consistent(old.size, new.size, old.root, new.root, path),
        f"the {old.size} leaves of the old head are the first of the {new.size} of the new one",
        "the hashes do not lead from one root to the other",
    )


# --- receipts -------------------------------------------------------------------------------------


def receipt(checks: Checks, facts: Any) -> None:
    """A receipt as the gateway gives it: one document of a receipt message, and its proof."""
    given = fields(facts, RECEIPT_FIELDS, "the receipt")
    number = whole(given["receipt"], "receipt")
    try:
        xml = given["xml"].encode()
    except (AttributeError, UnicodeEncodeError):
        raise Malformed("xml is no text") from None
    parsed = _proved(checks, number, xml, given["proof"])
    if parsed is not None:
        entry(checks, f"receipt {number}", given, parsed)


def file(checks: Checks, xml: bytes, facts: Any) -> None:
    """A receipt file of the standard, and what was written beside it as its proof."""
    given = fields(facts, frozenset({"receipt", "proof"}), "the proof file")
    _proved(checks, whole(given["receipt"], "receipt"), xml, given["proof"])


def _proved(checks: Checks, number: int, xml: bytes, facts: Any) -> messages.Parsed | None:
    """That a receipt with this number and text is in the log; the text read, if it can be."""
    what = f"receipt {number}"
    parsed = messages.parse(xml, LIMITS)
    said = "; ".join(f"{f.expected}, not {f.actual}" for f in parsed.findings if not f.position)
    readable = not parsed.refused and parsed.type is not None
    checks.say(readable, f"{what}: it is a message of the standard", said)
    leaf = _leaf(checks, what, number, xml, parsed) if readable else None
    with checks.part(f"{what}: proof"):
        proof(checks, what, leaf, facts)
    return parsed if readable else None


def _leaf(
    checks: Checks, what: str, number: int, xml: bytes, parsed: messages.Parsed
) -> bytes | None:
    try:
        digests = leaves.receipt_digests(xml, parsed.type or "", parsed.documents)
        return leaves.receipt_leaf(number, digests)
    except (ValueError, OverflowError) as error:
        checks.say(False, f"{what}: its text and number are those that were logged", str(error))
        return None


def entry(checks: Checks, what: str, given: Mapping[str, Any], parsed: messages.Parsed) -> None:
    """That what is said beside the text of a receipt is what stands in it."""
    digits = str(given["cursor"]).partition(".")[2]
    place = int(digits) if re.fullmatch("[0-9]{1,6}", digits) else 0
    proved = given["proof"].get("position") if isinstance(given["proof"], dict) else None
    there = 0 < place <= parsed.documents
    right = given["cursor"] == f"{proved}.{place}" and there
    checks.say(right, f"{what}: cursor", f"{given['cursor']!r} is not in leaf {proved}")
    checks.say(
        given["message"] == parsed.type, f"{what}: message", f"{given['message']!r}, {parsed.type}"
    )
    if not there:
        return
    values = {name: column[place - 1] for name, column in parsed.heads.items()}
    key = given["key"]
    wrong = {n: v for n, v in key.items() if values.get(n) != v} if isinstance(key, dict) else key
    checks.say(wrong == {}, f"{what}: key", f"the text says otherwise: {wrong}")
    said = values.get("returnStatus") or values.get("status")
    for name, found in (
        ("status", int(said) if said and re.fullmatch("-?[0-9]{1,9}", said) else said),
        ("info", values.get("returnInfo")),
        ("time", _time(values.get("returnTime"))),
    ):
        same = given[name] == found and type(given[name]) is type(found)
        checks.say(same, f"{what}: {name}", f"{given[name]!r}, the text says {found!r}")


def _time(text: str | None) -> str | None:
    """returnTime (YYYYMMDDhhmmssSSS in Asia/Shanghai) as the gateway writes it."""
    if not text:
        return None
    try:
        at = datetime.strptime(text.ljust(17, "0"), "%Y%m%d%H%M%S%f")  # noqa: DTZ007 - no zone
    except ValueError:
        return text
    return at.replace(tzinfo=CHINA).isoformat(timespec="milliseconds")


def answer(checks: Checks, facts: Any) -> None:
    """A page of receipts as the gateway answers it: the text stands with the first of a message."""
    given = fields(facts, frozenset({"next", "receipts"}), "the answer")
    if not isinstance(given["receipts"], list):
        raise Malformed("receipts is not a list")
    whole_ones: dict[int, Mapping[str, Any]] = {}
    last = None
    for each in given["receipts"]:
        if not isinstance(each, dict):
            raise Malformed("a receipt is not an object")
        number = whole(each.get("receipt"), "receipt")
        first = whole_ones.setdefault(number, each)
        text = {name: first.get(name) for name in ("xml", "proof")}
        with checks.part(f"receipt {number}"):
            receipt(checks, each if first is each else text | each)
        last = each.get("cursor")
    checks.say(
        last is None or given["next"] == last,
        "the answer: next",
        f"{given['next']!r}, not {last!r}",
    )
