"""What a window posts to a webhook: proved to be its own, then read."""

import hashlib
import hmac
import re

import msgspec

from tongguan.client.answers import Page

HEADER = "Tongguan-Signature"
TOLERANCE_SECONDS = 300
_FORM = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})")


class Forged(ValueError):  # noqa: N818 - what the delivery is
    """A delivery that is not the window's, or an old one that somebody sends again."""


def delivered(
    secret: str,
    header: str,
    body: bytes,
    now_seconds: int,
    tolerance_seconds: int = TOLERANCE_SECONDS,
) -> Page:
    """The receipts of a delivery. Raises Forged; then answer 400 and do nothing.

    secret: as the webhook was made with; header: the value of HEADER; body: the bytes as they
    came; now_seconds: since 1970. An answer from 200 to 299 takes the delivery. It may come twice.
    """
    form = _FORM.fullmatch(header)
    if form is None:
        raise Forged(f"{HEADER} is not t=SECONDS,v1=HEX")
    proof = hmac.new(secret.encode(), form[1].encode() + b"." + body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(proof, form[2]):
        raise Forged("the signature is not that of the secret over these bytes")
    if abs(now_seconds - int(form[1])) > tolerance_seconds:
        raise Forged(f"it is {abs(now_seconds - int(form[1]))} seconds from the present")
    try:
        return msgspec.json.decode(body, type=Page)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise Forged(f"the body is not what a window says: {problem}") from None
