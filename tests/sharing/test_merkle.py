"""The Merkle tree: against the vectors of Certificate Transparency, and against the RFC's words.

Vectors: the inputs, roots and proofs published with the reference implementations of RFC 6962
(certificate-transparency, transparency-dev/merkle). The second way of computing is the recursive
definition of RFC 6962 §2.1, written down here as it stands there.
"""

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongguan.sharing import merkle

INPUTS = [
    bytes.fromhex(text)
    for text in (
        *("", "00", "10", "2021", "3031", "40414243", "5051525354555657"),
        "606162636465666768696a6b6c6d6e6f",
    )
]
LEAVES = [merkle.leaf_hash(data) for data in INPUTS]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
}
FIRST_OF_EIGHT = CONSISTENCY[1, 8]
"""The proof of leaf 0 in eight is the same three hashes."""


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_published(size: int) -> None:
    assert merkle.root(LEAVES[:size]).hex() == ROOTS[size]


def test_proofs_are_those_published() -> None:
    assert _shown(_inclusion(LEAVES, 0)) == FIRST_OF_EIGHT
    assert merkle.is_included(0, 8, LEAVES[0], _inclusion(LEAVES, 0), bytes.fromhex(ROOTS[8]))
    for (old, new), published in CONSISTENCY.items():
        assert _shown(_consistency(LEAVES, old, new)) == published


# --- the RFC's own words --------------------------------------------------------------------------


def mth(leaves: Sequence[bytes]) -> bytes:
    """Merkle Tree Hash, RFC 6962 §2.1."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256().digest()
    k = _k(len(leaves))
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def audit_path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH(m, D[n]), RFC 6962 §2.1.1."""
    if len(leaves) == 1:
        return []
    k = _k(len(leaves))
    if m < k:
        return [*audit_path(m, leaves[:k]), mth(leaves[k:])]
    return [*audit_path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: Sequence[bytes], whole: bool) -> list[bytes]:
    """SUBPROOF(m, D[n], b), RFC 6962 §2.1.2."""
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = _k(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


def _k(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k


# --- this implementation, from the perfect subtrees that growing gives ----------------------------


def _nodes(leaves: Sequence[bytes], cuts: Sequence[int] = ()) -> dict[merkle.Node, bytes]:
    """All perfect subtrees of a tree that grew in steps."""
    known: dict[merkle.Node, bytes] = {}
    size, peaks = 0, ()
    for end in [*cuts, len(leaves)]:
        levels = list(merkle.grown(size, peaks, leaves[size:end]))
        for level, start, hashes in levels:
            known |= {(level, start + n): each for n, each in enumerate(hashes)}
        peaks, size = merkle.peaks_after(size, peaks, levels), end
        assert merkle.root_of(peaks) == mth(leaves[:end])
    return known


def _inclusion(leaves: Sequence[bytes], index: int) -> list[bytes]:
    spans = merkle.inclusion_spans(index, len(leaves))
    nodes = {node: _nodes(leaves)[node] for node in merkle.nodes_of(spans)}
    return merkle.path(spans, nodes)


def _consistency(leaves: Sequence[bytes], old: int, new: int) -> list[bytes]:
    return merkle.path(merkle.consistency_spans(old, new), _nodes(leaves[:new]))


def _shown(hashes: Sequence[bytes]) -> list[str]:
    return [each.hex() for each in hashes]


def _made(count: int) -> list[bytes]:
    return [merkle.leaf_hash(str(n).encode()) for n in range(count)]


@settings(deadline=None)
@given(st.integers(0, 200), st.lists(st.integers(0, 200), max_size=6))
def test_a_tree_grows_in_any_steps_to_the_same_root(size: int, cuts: list[int]) -> None:
    leaves = _made(size)
    assert _nodes(leaves, sorted(min(cut, size) for cut in cuts)) == _nodes(leaves)


@settings(deadline=None)
@given(st.integers(1, 150), st.data())
def test_a_leaf_is_proved_and_no_other(size: int, data: st.DataObject) -> None:
    leaves = _made(size)
    index = data.draw(st.integers(0, size - 1))
    proof = _inclusion(leaves, index)
    assert proof == audit_path(index, leaves)
    nodes = _nodes(leaves)
    beyond = merkle.beyond_peaks(size, [nodes[peak] for peak in merkle.peak_nodes(size)])
    assert proof == merkle.inclusion_path(index, size, nodes, beyond)
    root = mth(leaves)
    assert merkle.is_included(index, size, leaves[index], proof, root)
    assert not merkle.is_included(index, size, merkle.leaf_hash(b"another"), proof, root)
    assert not merkle.is_included(index, size, leaves[index], proof, merkle.leaf_hash(b""))
    assert not merkle.is_included(index, size, leaves[index], [*proof, root], root)
    for wrong in {index - 1, index + 1, size} - {index}:
        assert not merkle.is_included(wrong, size, leaves[index], proof, root)
    for place in range(len(proof)):
        lacking = [*proof[:place], *proof[place + 1 :]]
        assert not merkle.is_included(index, size, leaves[index], lacking, root)
        changed = [*proof[:place], merkle.leaf_hash(proof[place]), *proof[place + 1 :]]
        assert not merkle.is_included(index, size, leaves[index], changed, root)


@settings(deadline=None)
@given(st.integers(1, 150), st.data())
def test_an_older_tree_is_the_beginning_of_a_newer_one(size: int, data: st.DataObject) -> None:
    leaves = _made(size)
    old = data.draw(st.integers(1, size))
    proof = _consistency(leaves, old, size)
    assert proof == subproof(old, leaves, True)
    before, now = mth(leaves[:old]), mth(leaves)
    assert merkle.is_consistent(old, size, before, now, proof)
    other = merkle.leaf_hash(b"another")
    assert not merkle.is_consistent(old, size, other, now, proof)
    assert not merkle.is_consistent(old, size, before, other, proof)
    assert not merkle.is_consistent(old, size, before, now, [*proof, other])
    for place in range(len(proof)):
        changed = [*proof[:place], other, *proof[place + 1 :]]
        assert not merkle.is_consistent(old, size, before, now, changed)
        lacking = [*proof[:place], *proof[place + 1 :]]
        assert not merkle.is_consistent(old, size, before, now, lacking)


@settings(deadline=None)
@given(st.integers(2, 60), st.data())
def test_a_rewritten_tree_is_consistent_with_no_old_one(size: int, data: st.DataObject) -> None:
    leaves = _made(size)
    old = data.draw(st.integers(1, size))
    place = data.draw(st.integers(0, old - 1))
    rewritten = [*leaves[:place], merkle.leaf_hash(b"forged"), *leaves[place + 1 :]]
    proof = _consistency(rewritten, old, size)
    assert not merkle.is_consistent(old, size, mth(leaves[:old]), mth(rewritten), proof)


def test_what_cannot_be_proved_is_refused() -> None:
    for index, size in ((0, 0), (-1, 3), (3, 3)):
        with pytest.raises(ValueError, match="no leaf"):
            merkle.inclusion_spans(index, size)
    for old, new in ((0, 3), (4, 3)):
        with pytest.raises(ValueError, match="no proof"):
            merkle.consistency_spans(old, new)
        assert not merkle.is_consistent(old, new, b"", b"", [])
    assert not merkle.is_included(0, 0, LEAVES[0], [], merkle.EMPTY_ROOT)
