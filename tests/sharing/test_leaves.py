"""What a leaf says: all of a message, and nothing of it to who sees another part."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongguan import messages
from tongguan.sharing import leaves

SECRET = b"a secret of this message"


@settings(deadline=None)
@given(st.binary(max_size=50), st.binary(max_size=50))
def test_a_frame_comes_apart_as_it_was_put_together(head: bytes, tail: bytes) -> None:
    assert leaves.unframed(leaves.framed(head, tail)) == (head, tail)


def test_a_frame_that_is_cut_off_is_none() -> None:
    with pytest.raises(ValueError, match="cut off"):
        leaves.unframed(leaves.framed(b"head", b"")[:-1])


@settings(deadline=None)
@given(st.lists(st.binary(max_size=20), min_size=1, max_size=9), st.data())
def test_a_leaf_changes_with_any_part_and_with_the_secret(
    parts: list[bytes], data: st.DataObject
) -> None:
    leaf = leaves.message_leaf(leaves.blinded(parts, SECRET))
    place = data.draw(st.integers(0, len(parts) - 1))
    changed = [*parts[:place], parts[place] + b"!", *parts[place + 1 :]]
    assert leaves.message_leaf(leaves.blinded(changed, SECRET)) != leaf
    assert leaves.message_leaf(leaves.blinded(parts, b"another")) != leaf
    assert leaves.message_leaf(leaves.blinded([*parts, b""], SECRET)) != leaf


def test_the_digest_of_a_part_tells_nothing_without_its_blind() -> None:
    part = b"110101199003071234"
    [digest, other] = leaves.blinded([part, part], SECRET)
    assert sha256(part).digest() not in (digest, other)
    assert digest != other
    blinds = leaves.blinds(SECRET, 2)
    assert digest == sha256(blinds[0] + part).digest()
    # Parts that come later do not change the blinds before them.
    assert leaves.blinds(SECRET, 5)[:2] == blinds


def test_a_message_that_cannot_be_read_is_one_part() -> None:
    data = b"no message at all"
    parts = leaves.message_parts(data, sha256(data).digest(), messages.parse(data))
    assert parts == [sha256(data).digest(), leaves.framed(b"", b""), b"", data]
