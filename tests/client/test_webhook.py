"""A delivery to a webhook is believed only if the window signed it, lately."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongguan.client.webhook import Forged, delivered
from tongguan.window.delivery import signature

SECRET = "tgs_" + "ab" * 32
BODY = b'{"next":"7.1","receipts":[{"cursor":"7.1","message":"CEB312","key":{},"status":2}]}'
NOW = 1654056000
HEADER = signature(SECRET.encode(), NOW, BODY)


def test_what_the_window_signs_is_read() -> None:
    for clock in (NOW - 300, NOW, NOW + 300):
        page = delivered(SECRET, HEADER, BODY, clock)
        assert page.next == "7.1"
        assert page.receipts[0].status == 2


@pytest.mark.parametrize("clock", [NOW - 301, NOW + 301])
def test_an_old_delivery_sent_again_is_forged(clock: int) -> None:
    with pytest.raises(Forged, match="301 seconds"):
        delivered(SECRET, HEADER, BODY, clock)


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_one_byte_changed_is_forged(place: int, by: int) -> None:
    changed = bytes([*BODY[:place], BODY[place] ^ by, *BODY[place + 1 :]])
    with pytest.raises(Forged, match="signature"):
        delivered(SECRET, HEADER, changed, NOW)


@pytest.mark.parametrize(
    "header", ["", "t=1", HEADER.upper(), HEADER + " ", f"t={NOW + 1}" + HEADER[12:], "v1=,t="]
)
def test_another_header_is_forged(header: str) -> None:
    with pytest.raises(Forged):
        delivered(SECRET, header, BODY, NOW)


def test_signed_nonsense_is_forged_and_another_secret_too() -> None:
    with pytest.raises(Forged, match="not what a window says"):
        delivered(SECRET, signature(SECRET.encode(), NOW, b"[]"), b"[]", NOW)
    with pytest.raises(Forged, match="signature"):
        delivered(SECRET[:-1] + "c", HEADER, BODY, NOW)
