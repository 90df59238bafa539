"""Personal data: sealed, found by digest, masked."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongguan import store

KEY = bytes(range(32))


@given(st.binary(max_size=300), st.binary(max_size=20))
def test_what_is_sealed_opens_again(data: bytes, about: bytes) -> None:
    sealed = store.Vault(KEY).seal(data, about)
    assert store.Vault(KEY).unseal(sealed, about) == data
    assert len(sealed) == len(data) + 45


@given(st.binary(min_size=1, max_size=60), st.data())
def test_a_changed_byte_breaks_the_seal(data: bytes, draw: st.DataObject) -> None:
    sealed = bytearray(store.Vault(KEY).seal(data))
    place = draw.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= draw.draw(st.integers(1, 255))
    with pytest.raises(store.SealBroken):
        store.Vault(KEY).unseal(bytes(sealed))


@pytest.mark.parametrize("cut", [0, 1, 16, 28, 29, 40])
def test_cut_data_are_refused(cut: int) -> None:
    with pytest.raises(store.SealBroken):
        store.Vault(KEY).unseal(store.Vault(KEY).seal(b"secret")[:cut])


def test_another_key_or_row_does_not_open() -> None:
    sealed = store.Vault(KEY).seal(b"secret", b"row 1")
    with pytest.raises(store.SealBroken):
        store.Vault(KEY).unseal(sealed, b"row 2")
    with pytest.raises(store.SealBroken):
        store.Vault(bytes(32)).unseal(sealed, b"row 1")


def test_the_same_data_never_look_the_same() -> None:
    vault = store.Vault(KEY)
    assert len({vault.seal(b"x") for _ in range(100)} | {store.Vault(KEY).seal(b"x")}) == 101


def test_digests_find_equals_and_tell_nothing_without_the_key() -> None:
    vault = store.Vault(KEY)
    one, none, two, again, empty = vault.digest(["a", None, "b", "a", ""])
    assert none is None
    assert one == again
    assert len({one, two, empty}) == 3
    assert all(d is not None and len(d) == 32 and int(d, 16) >= 0 for d in (one, two, empty))
    assert store.Vault(KEY).digest(["a"]) == [one]
    assert store.Vault(bytes(32)).digest(["a"]) != [one]
    # A changed derivation would lose every look-up in a database that exists.
    assert one == "c115f107b96d427efee727cedf4067c7"


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("identity", "330106199001011237", "330***********1237"),
        ("identity", "E12345678", "E********"),
        ("identity", "P1", "P*"),
        ("phone", "13800001234", "138****1234"),
        ("phone", "110", "1**"),
        ("name", "张三", "张*"),
        ("name", "欧阳小明", "欧***"),
        ("name", "王", "*"),
        ("name", "", ""),
        ("address", "浙江省杭州市西湖区某路1号", "浙江省杭州市*******"),
        ("phone", None, None),
    ],
)
def test_masks(kind: str, value: str | None, shown: str | None) -> None:
    assert store.Vault.mask(kind, value) == shown


@given(st.sampled_from(["identity", "phone", "name", "address"]), st.text("0123456789"))
def test_a_mask_hides_something_and_keeps_the_length(kind: str, value: str) -> None:
    masked = store.Vault.mask(kind, value)
    assert masked is not None
    assert len(masked) == len(value)
    assert "*" in masked or not value


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="identity"):
        store.Vault.mask("shoe size", "42")


def test_the_key_is_made_once_and_closed_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TONGGUAN_DATA_KEY", raising=False)
    home = tmp_path / "home"
    sealed = store.Vault.open(home).seal(b"secret")
    assert stat.S_IMODE((home / "data.key").stat().st_mode) == 0o600
    assert [path.name for path in home.iterdir()] == ["data.key"]
    assert store.Vault.open(home).unseal(sealed) == b"secret"
    (home / "data.key").chmod(0o640)
    with pytest.raises(store.Unavailable, match="chmod 600"):
        store.Vault.open(home)


def test_two_processes_that_make_the_key_at_once_have_one(tmp_path: Path) -> None:
    script = "import sys, pathlib; from tongguan.store import Vault; "
    script += "print(Vault.open(pathlib.Path(sys.argv[1])).digest(['a'])[0])"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "home")],
            stdout=subprocess.PIPE,
            text=True,
            env={k: v for k, v in os.environ.items() if k != "TONGGUAN_DATA_KEY"},
        )
        for _ in range(4)
    ]
    assert len({process.communicate(timeout=60)[0] for process in running}) == 1
    assert [process.returncode for process in running] == [0, 0, 0, 0]


def test_the_key_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TONGGUAN_DATA_KEY", KEY.hex())
    assert store.Vault.open(tmp_path).digest(["a"]) == store.Vault(KEY).digest(["a"])
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("TONGGUAN_DATA_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
    assert store.Vault.open(tmp_path).digest(["a"]) == store.Vault(KEY).digest(["a"])
    monkeypatch.setenv("TONGGUAN_DATA_KEY", "short")
    with pytest.raises(store.Unavailable, match="TONGGUAN_DATA_KEY is no data key"):
        store.Vault.open(tmp_path)


def test_a_key_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        store.Vault(b"short")
