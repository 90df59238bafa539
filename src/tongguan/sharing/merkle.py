"""A Merkle tree over a list that only grows: roots, and proofs that a leaf is in it.

The hashes, the shape of the tree and both kinds of proof are those of RFC 6962 §2.1 (Certificate
Transparency), with SHA-256; the checking procedures are those of RFC 9162 §2.1.3.2 and §2.1.4.2.
Nothing here keeps anything: a tree of n leaves is known by its *peaks*, the roots of its perfect
subtrees from the largest to the smallest, one for each bit that is set in n.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()

Node = tuple[int, int]
"""A perfect subtree: its level (0: a leaf) and its place among those of its level, from 0. It is
over the leaves place·2^level up to (place + 1)·2^level, the last one not included."""

Lookup = Callable[[set[Node]], Mapping[Node, bytes]]
"""Finds the hashes of perfect subtrees."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf that holds ``data``."""
    return sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node above two hashes."""
    return sha256(b"\1" + left + right).digest()


# --- growing --------------------------------------------------------------------------------------


def grown(
    size: int, peaks: Sequence[bytes], leaves: Sequence[bytes]
) -> Iterator[tuple[int, int, list[bytes]]]:
    """The perfect subtrees that become whole when leaf hashes are added to a tree of ``size``.

    From level 0 upwards: level, place of the first new one, the hashes of all new ones.
    """
    at_level = dict(zip(_levels(size), peaks, strict=True))
    level, start, fresh = 0, size, list(leaves)
    while fresh:
        yield level, start, fresh
        row = [at_level[level], *fresh] if start % 2 else fresh
        start //= 2
        fresh = [
            sha256(b"\1" + left + right).digest()
            for left, right in zip(row[0::2], row[1::2], strict=False)
        ]
        level += 1


def peaks_after(
    size: int, peaks: Sequence[bytes], levels: Iterable[tuple[int, int, list[bytes]]]
) -> tuple[bytes, ...]:
    """The peaks of a tree after it has grown. levels: as from ``grown``."""
    known = dict(zip(peak_nodes(size), peaks, strict=True))
    for level, start, hashes in levels:
        if level == 0:
            size = start + len(hashes)
        # Of a level only the last can be a peak.
        known[level, start + len(hashes) - 1] = hashes[-1]
    return tuple(known[node] for node in peak_nodes(size))


def root_of(peaks: Sequence[bytes]) -> bytes:
    """The root of a tree from its peaks."""
    if not peaks:
        return EMPTY_ROOT
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root


def root(leaves: Sequence[bytes]) -> bytes:
    """The root of a tree of these leaf hashes."""
    return root_of(peaks_after(0, (), grown(0, (), leaves)))


def _levels(size: int) -> list[int]:
    return [level for level in range(size.bit_length() - 1, -1, -1) if size >> level & 1]


def peak_nodes(size: int) -> list[Node]:
    """The perfect subtrees of a tree, largest first."""
    return _covering(0, size)


def _covering(start: int, end: int) -> list[Node]:
    """The perfect subtrees, largest first, of leaves that make up one subtree of the tree."""
    found = []
    for level in _levels(end - start):
        found.append((level, start >> level))
        start += 1 << level
    return found


# --- proofs ---------------------------------------------------------------------------------------

Span = tuple[int, int]
"""The leaves of a subtree: the first, and the one behind the last."""


def inclusion_spans(index: int, size: int) -> list[Span]:
    """The subtrees whose roots prove that leaf ``index`` is in a tree, from the leaf upwards."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    start, end, spans = 0, size, []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((start, middle))
            start = middle
    return spans[::-1]


def inclusion_nodes(index: int, size: int) -> list[Node]:
    """The perfect subtrees beside the way of a leaf up to the peak it is below."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    # The leaf's place and the size differ first, from above, where the leaf's peak ends.
    peak = (index ^ size).bit_length() - 1
    return [(level, (index >> level) ^ 1) for level in range(peak)]


def inclusion_path(
    index: int, size: int, hashes: Mapping[Node, bytes], beyond: Mapping[int, list[bytes]]
) -> list[bytes]:
    """The same proof as by ``inclusion_spans``. beyond: as from ``beyond_peaks``."""
    peak = (index ^ size).bit_length() - 1
    return [hashes[node] for node in inclusion_nodes(index, size)] + beyond[peak]


def beyond_peaks(size: int, peaks: Sequence[bytes]) -> dict[int, list[bytes]]:
    """For each peak, by its level, the end of the proofs of the leaves below it."""
    levels = _levels(size)
    return {
        level: [
            *([root_of(peaks[place + 1 :])] if place + 1 < len(peaks) else []),
            *reversed(peaks[:place]),
        ]
        for place, level in enumerate(levels)
    }


def consistency_spans(old: int, new: int) -> list[Span]:
    """The subtrees whose roots prove that a tree of ``new`` leaves begins with ``old`` of them."""
    if not 0 < old <= new:
        raise ValueError(f"no proof leads from a tree of {old} leaves to one of {new}")
    start, end, whole, spans = 0, new, True, []
    while old < end:
        middle = start + _split(end - start)
        if old <= middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((start, middle))
            start, whole = middle, False
    if not whole:
        spans.append((start, end))
    return spans[::-1]


def _split(count: int) -> int:
    """The largest power of two below a count."""
    return 1 << (count - 1).bit_length() - 1


def nodes_of(spans: Iterable[Span]) -> set[Node]:
    """The perfect subtrees from which the roots of subtrees can be computed."""
    return {node for span in spans for node in _covering(*span)}


def path(spans: Iterable[Span], hashes: Mapping[Node, bytes]) -> list[bytes]:
    """The roots of subtrees: the hashes of a proof."""
    return [root_of([hashes[node] for node in _covering(*span)]) for span in spans]


# --- checking -------------------------------------------------------------------------------------


def root_from(index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes | None:
    """The root to which a proof leads from a leaf; None if it has too few or too many hashes."""
    if not 0 <= index < size:
        return None
    place, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return None
        if place % 2 or place == last:
            found = node_hash(sibling, found)
            while place % 2 == 0 and place:
                place >>= 1
                last >>= 1
        else:
            found = node_hash(found, sibling)
        place >>= 1
        last >>= 1
    return found if last == 0 else None


def is_included(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether a proof shows that a leaf hash is at ``index`` of the tree with that root."""
    return root_from(index, size, leaf, proof) == root


def is_consistent(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether a proof shows that the tree of ``new`` leaves begins with that of ``old``."""
    if not 0 < old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    hashes = list(proof)
    if old & (old - 1) == 0:
        hashes.insert(0, old_root)
    if not hashes:
        return False
    place, last = old - 1, new - 1
    while place % 2:
        place >>= 1
        last >>= 1
    first = second = hashes[0]
    for each in hashes[1:]:
        if last == 0:
            return False
        if place % 2 or place == last:
            first, second = node_hash(each, first), node_hash(each, second)
            while place % 2 == 0 and place:
                place >>= 1
                last >>= 1
        else:
            second = node_hash(second, each)
        place >>= 1
        last >>= 1
    return last == 0 and first == old_root and second == new_root
