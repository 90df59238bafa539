"""Attack on signed messages: whatever is changed is refused, or makes no difference to a value."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tongguan import messages

VECTORS = Path(__file__).parents[1] / "messages" / "signatures"
SIGNED = {
    scheme: (VECTORS / scheme / "signed.xml").read_bytes() for scheme in sorted(messages.SCHEMES)
}
RSA = "rsa-sha256"


def decided(data: bytes) -> dict[str, Any] | None:
    """All values that a decision is made from; None where the message, or its signature, fails."""
    parsed = messages.parse(data, signed_form=True)
    if parsed.refused or parsed.form is None:
        return None
    if not messages.verify(parsed.form, parsed.kind).verifies:
        return None
    names = ("type", "guid", "version", "documents", "heads", "lines", "transfer")
    found = {name: getattr(parsed, name) for name in (*names, "subscribes", "extend")}
    return found | {"findings": [(f.rule, f.position) for f in parsed.findings]}


WHOLE = {scheme: decided(data) for scheme, data in SIGNED.items()}


def harmless(scheme: str, data: bytes) -> bool:
    found = decided(data)
    return found is None or found == WHOLE[scheme]


def test_the_vectors_are_taken() -> None:
    assert None not in WHOLE.values()


@settings(max_examples=300)
@given(st.sampled_from(sorted(SIGNED)), st.floats(0, 1, exclude_max=True), st.integers(0, 255))
@example(RSA, 0.0, 0)
def test_one_changed_byte_is_refused_or_makes_no_difference(
    scheme: str, place: float, byte: int
) -> None:
    data = bytearray(SIGNED[scheme])
    data[int(place * len(data))] = byte
    assert harmless(scheme, bytes(data))


@settings(max_examples=200)
@given(
    st.sampled_from(sorted(SIGNED)),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 40),
    st.sampled_from(
        [
            b"",
            b" ",
            b"\n",
            b"0",
            b"<!-- x -->",
            b"<![CDATA[1]]>",
            b"&#49;",
            b"&amp;",
            b"<?x y?>",
            b"<ceb:note>x</ceb:note>",
            b"<a/>",
            b' xmlns:a="b"',
            b'<Signature xmlns="http://www.w3.org/2000/09/xmldsig#"/>',
        ]
    ),
)
def test_what_is_cut_and_pasted_is_refused_or_makes_no_difference(
    scheme: str, place: float, gone: int, instead: bytes
) -> None:
    data = SIGNED[scheme]
    at = int(place * len(data))
    assert harmless(scheme, data[:at] + instead + data[at + gone :])


@settings(max_examples=150)
@given(st.data())
def test_moved_elements_are_refused_or_make_no_difference(data: st.DataObject) -> None:
    """Any piece between two tags, moved or copied to another place between tags."""
    whole = SIGNED[RSA]
    edges = [at for at in range(len(whole)) if whole[at : at + 1] == b"<"]
    one, two = sorted(data.draw(st.lists(st.sampled_from(edges), min_size=2, max_size=2)))
    to = data.draw(st.sampled_from(edges))
    piece = whole[one:two]
    copied = whole[:to] + piece + whole[to:]
    assert harmless(RSA, copied)
    if not one <= to < two:
        moved = whole[:one] + whole[two:]
        to -= (two - one) if to >= two else 0
        assert harmless(RSA, moved[:to] + piece + moved[to:])


def every_byte(data: bytes) -> Iterator[bytes]:
    """Each byte changed in its last bit, made a blank, a "<", left out, or written twice."""
    for at in range(len(data)):
        before, byte, behind = data[:at], data[at], data[at + 1 :]
        for instead in (bytes([byte ^ 1]), b" ", b"<", b"", bytes([byte, byte])):
            yield before + instead + behind


@pytest.mark.faults_full
@pytest.mark.parametrize("scheme", sorted(SIGNED))
def test_every_byte_of_a_signed_message_counts(scheme: str) -> None:
    worse = [one for one in every_byte(SIGNED[scheme]) if not harmless(scheme, one)]
    assert worse == []
