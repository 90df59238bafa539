"""Signed tree heads: what is signed, by which key, and where the key lies."""

import base64
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from tongguan import store
from tongguan.sharing import heads

SIGNER = heads.Signer(bytes(range(32)))
HEAD = heads.signed("tongguan/1", 7, bytes(32), 1_654_056_000_123, SIGNER)


def test_a_head_is_a_checkpoint_that_other_programs_read() -> None:
    text, _, lines = HEAD.note.partition("\n\n")
    origin, size, root, *extension = text.split("\n")
    assert (origin, size, base64.b64decode(root)) == ("tongguan/1", "7", bytes(32))
    assert extension == ["time 2022-06-01T04:00:00.123Z"]
    dash, name, signature = lines.rstrip("\n").split(" ")
    assert (dash, name) == ("—", origin)
    raw = base64.b64decode(signature)
    assert raw[:4].hex() == HEAD.facts()["key"]
    Ed25519PublicKey.from_public_bytes(SIGNER.public).verify(raw[4:], f"{text}\n".encode())


def test_a_changed_head_is_not_signed() -> None:
    assert HEAD.is_signed
    other = heads.Signer(bytes(32))
    for change in (
        {"size": 8},
        {"root": bytes(31) + b"\1"},
        {"at_ms": HEAD.at_ms + 1},
        {"origin": "tongguan/2"},
        {"public": other.public},
        {"public": b"no key"},
        {"signature": other.sign(HEAD.text.encode())},
    ):
        assert not replace(HEAD, **change).is_signed, change


@settings(deadline=None)
@given(st.integers(0, 4_000_000_000_000))
def test_a_time_has_one_text(at_ms: int) -> None:
    text = heads.time_text(at_ms)
    assert heads.time_ms(text) == at_ms
    with pytest.raises(ValueError, match="is not a time"):
        heads.time_ms(text.replace("Z", "+00:00").replace("T", " "))


def test_the_key_is_made_once_and_only_its_owner_may_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TONGGUAN_EVIDENCE_KEY", raising=False)
    first, second = heads.Signer.open(tmp_path), heads.Signer.open(tmp_path)
    assert first.public == second.public
    path = tmp_path / "evidence.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    with pytest.raises(store.Unavailable, match="chmod 600"):
        heads.Signer.open(tmp_path)


def test_the_key_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TONGGUAN_EVIDENCE_KEY", bytes(range(32)).hex())
    assert heads.Signer.open(tmp_path).public == SIGNER.public
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("TONGGUAN_EVIDENCE_KEY", "short")
    with pytest.raises(store.Unavailable, match="TONGGUAN_EVIDENCE_KEY is no evidence key"):
        heads.Signer.open(tmp_path)
