"""Receipts, pages of them and heads, verified from the file alone: every changed byte is found."""

import json
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongguan import messages
from tongguan.clearance import verify
from tongguan.sharing import heads, leaves, merkle

SIGNER = heads.Signer(bytes(range(32)))
ORIGIN = "tongguan/test"
NUMBER, POSITION = 41, 5


def text(count: int = 2) -> bytes:
    """A receipt message as the window writes it."""
    kind = messages.message_type("CEB622")
    about = {
        "guid": "4cde1cfd-eded-46b1-a46c-b8022e42fc9{}",
        "customsCode": "2900",
        "ebpCode": "3301960A01",
        "ebcCode": "3301960A02",
        "agentCode": "3301960A03",
        "copNo": "Q{}",
        "preNo": "B20220601000000001",
        "returnStatus": "100",
        "returnTime": "20220601120000001",
        "returnInfo": "[Code:1332;Desc:金额不符(amountPaid,应为:129.00,实为:99.00)]",
    }
    rows = [
        {field.name: about.get(field.name, "").format(n) or None for field in kind.head_fields}
        for n in range(1, count + 1)
    ]
    frame = pl.DataFrame(rows, schema={field.name: pl.String for field in kind.head_fields})
    fragments = messages.render("CEB622", frame).to_list()
    return messages.message("CEB622", fragments, "4cde1cfd-eded-46b1-a46c-b8022e42fc94")


XML = text()
LEAF = leaves.receipt_leaf(NUMBER, leaves.receipt_digests(XML, "CEB622", 2))
TREE = [LEAF if n == POSITION else merkle.leaf_hash(str(n).encode()) for n in range(13)]


def head(size: int) -> heads.Head:
    return heads.signed(ORIGIN, size, merkle.root(TREE[:size]), 1_654_056_000_000 + size, SIGNER)


def nodes(size: int) -> dict[merkle.Node, bytes]:
    return {
        (level, start + n): each
        for level, start, found in merkle.grown(0, (), TREE[:size])
        for n, each in enumerate(found)
    }


def proof(size: int = 13) -> dict[str, Any]:
    path = merkle.path(merkle.inclusion_spans(POSITION, size), nodes(size))
    return {
        "position": POSITION,
        "size": size,
        "leaf": LEAF.hex(),
        "path": [each.hex() for each in path],
        "head": head(size).facts(),
    }


def entry(place: int = 1) -> dict[str, Any]:
    """A receipt as the gateway gives it."""
    return {
        "cursor": f"{POSITION}.{place}",
        "receipt": NUMBER,
        "message": "CEB622",
        "key": {"ebcCode": "3301960A02", "copNo": f"Q{place}"},
        "status": 100,
        "info": "[Code:1332;Desc:金额不符(amountPaid,应为:129.00,实为:99.00)]",
        "time": "2022-06-01T12:00:00.001+08:00",
        "xml": XML.decode(),
        "proof": proof(),
    }


def growth(old: int = 6, new: int = 13) -> dict[str, Any]:
    path = merkle.path(merkle.consistency_spans(old, new), nodes(new))
    return {
        "old": head(old).facts(),
        "new": head(new).facts(),
        "path": [each.hex() for each in path],
    }


def page() -> dict[str, Any]:
    second = {name: value for name, value in entry(2).items() if name not in ("xml", "proof")}
    return {"next": f"{POSITION}.2", "receipts": [entry(), second]}


def written(facts: Any) -> bytes:
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode()


def failures(data: bytes, key: tuple[str, bytes] | None = None) -> list[str]:
    return [f"{check.what}: {check.detail}" for check in verify(data, key).failed]


FILES = {"receipt": written(entry()), "page": written(page()), "heads": written(growth())}


@pytest.mark.parametrize("name", FILES)
def test_what_is_as_it_was_made_verifies(name: str) -> None:
    checks = verify(FILES[name], (ORIGIN, SIGNER.public))
    assert checks.failed == []
    assert all(check.ok for check in checks.made)
    assert any("signed by key" in check.what for check in checks.made)


def test_other_spaces_between_words_are_the_same_receipt() -> None:
    assert failures(json.dumps(entry(2), indent=2).encode()) == []


def test_without_a_key_one_is_told_that_nobody_vouches_for_it() -> None:
    [unknown] = [check for check in verify(FILES["receipt"]).made if check.ok is None]
    assert SIGNER.public.hex() in unknown.what


def test_another_key_is_not_the_one_that_was_given() -> None:
    forger = heads.Signer(bytes(32))
    [said] = failures(FILES["receipt"], (ORIGIN, forger.public))
    assert "the key that was given" in said
    [said] = failures(FILES["receipt"], ("tongguan/another", SIGNER.public))
    assert "the key that was given" in said


@pytest.mark.parametrize("name", FILES)
@given(st.data())
@settings(max_examples=150, deadline=None)
def test_one_changed_byte_anywhere_fails(name: str, data: st.DataObject) -> None:
    file = FILES[name]
    place = data.draw(st.integers(0, len(file) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != file[place]))
    changed = file[:place] + bytes([byte]) + file[place + 1 :]
    assert failures(changed), (place, file[place : place + 1], byte)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_cut_off_fails(name: str) -> None:
    for end in range(0, len(FILES[name]), 7):
        assert failures(FILES[name][:end])


SAID_OTHERWISE: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "cursor": (lambda f: f.update(cursor="5.3"), "cursor"),
    "another position": (lambda f: f.update(cursor="6.1"), "cursor"),
    "no cursor": (lambda f: f.update(cursor=None), "cursor"),
    "number": (lambda f: f.update(receipt=42), "text and number are those that were logged"),
    "message": (lambda f: f.update(message="CEB312"), "message"),
    "key": (lambda f: f["key"].update(copNo="Q2"), "key"),
    "a key of no element": (lambda f: f["key"].update(colour="red"), "key"),
    "status": (lambda f: f.update(status=800), "status"),
    "true is no 1": (lambda f: f.update(status=True), "status"),
    "info": (lambda f: f.update(info=None), "info"),
    "time": (lambda f: f.update(time="2022-06-01T12:00:00.002+08:00"), "time"),
    "text": (lambda f: f.update(xml=text(3).decode()), "text and number"),
    "no text": (lambda f: f.update(xml=None), "no text"),
    "surrogate": (lambda f: f.update(xml="\ud800"), "no text"),
    "no message": (lambda f: f.update(xml="<a/>"), "message of the standard"),
    "more than is proved": (lambda f: f.update(comment="x"), "what nothing proves: comment"),
    "less": (lambda f: f.pop("info"), "lacks info"),
    "leaf": (lambda f: f["proof"].update(leaf=TREE[0].hex()), "text and number"),
    "capitals": (lambda f: f["proof"].update(leaf=LEAF.hex().upper()), "leaf is not 32 bytes"),
    "position": (lambda f: f["proof"].update(position=4), "is leaf 4 of 13"),
    "negative": (lambda f: f["proof"].update(position=-1), "not a number from 0 up"),
    "size": (lambda f: f["proof"].update(size=12), "for its head"),
    "path": (lambda f: f["proof"]["path"].reverse(), "is leaf 5 of 13"),
    "short path": (lambda f: f["proof"]["path"].pop(), "is leaf 5 of 13"),
    "no path": (lambda f: f["proof"].update(path=None), "path is not a list"),
    "other tree": (lambda f: f["proof"].update(head=head(12).facts()), "for its head"),
    "head size": (lambda f: f["proof"]["head"].update(size=14), "does not verify"),
    "head time": (
        lambda f: f["proof"]["head"].update(time="2022-06-01T04:00:00.999Z"),
        "does not verify",
    ),
    "key id": (lambda f: f["proof"]["head"].update(key="00000000"), "the id of that key"),
    "head and more": (lambda f: f["proof"]["head"].update(more=1), "and nothing else"),
    "no proof": (lambda f: f.update(proof=[]), "proof is not an object"),
}


@pytest.mark.parametrize(("change", "said"), SAID_OTHERWISE.values(), ids=SAID_OTHERWISE)
def test_what_is_said_otherwise_is_named(
    change: Callable[[dict[str, Any]], Any], said: str
) -> None:
    facts = json.loads(written(entry()))
    change(facts)
    found = failures(json.dumps(facts).encode())
    assert any(said in each for each in found), found


def test_all_that_is_wrong_is_named_not_the_first_alone() -> None:
    facts = entry() | {"status": 800, "info": "released", "message": "CEB312"}
    facts["proof"]["size"] = 12
    found = "\n".join(failures(json.dumps(facts).encode()))
    assert all(word in found for word in ("status", "info", "message", "for its head"))


def test_a_forged_log_is_consistent_with_nothing_that_was_signed_before() -> None:
    facts = growth()
    other = heads.signed(ORIGIN, 6, merkle.root(TREE[1:7]), 0, SIGNER)
    facts["old"] = other.facts()
    [said] = failures(written(facts))
    assert "are the first of the 13" in said
    facts["old"] = heads.signed("tongguan/two", 6, merkle.root(TREE[:6]), 0, SIGNER).facts()
    assert any("two logs" in each for each in failures(written(facts)))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a JSON file"),
        (b"\xff{}", "not a JSON file"),
        (b"[" * 100_000, "not a JSON file"),
        (b"{}", "neither a receipt"),
        (b"[1]", "neither a receipt"),
        (b"3", "neither a receipt"),
        (b'{"xml":1.5,"proof":{}}', "1.5 is no whole number"),
        (b'{"xml":NaN,"proof":{}}', "NaN is no whole number"),
        (b'{"xml":"","xml":"","proof":{}}', "stands twice"),
        (b'{"receipts":{},"next":""}', "receipts is not a list"),
        (b'{"receipts":[1],"next":""}', "a receipt is not an object"),
        (b'{"pack":{},"seal":{}}\n', "the pack lacks"),
        (b'{"old":{},"new":{},"path":[]}', "a head has"),
    ],
)
def test_what_is_no_evidence_says_what_it_lacks(data: bytes, said: str) -> None:
    found = failures(data)
    assert len(found) == 1
    assert said in found[0]


def test_a_public_key_has_one_way_to_be_written() -> None:
    line = heads.public_text(ORIGIN, SIGNER.public)
    assert heads.public_from(f"{line}\n") == (ORIGIN, SIGNER.public)
    for wrong in ("", "word", line[:-2], line.replace("+", "-", 1), f"x{line}", line + "A="):
        with pytest.raises(heads.Malformed, match="not a public key"):
            heads.public_from(wrong)
