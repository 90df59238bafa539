"""Why a signature fails."""

from typing import Any

from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http.multipartparser import MultiPartParserError

from tongguan import messages
from tongguan.sharing import certificates
from tongguan.window import answers
from tongguan.window.trouble import Turned, over
from tongguan.window.views.request import Asked

FORM = "multipart/form-data"


def diagnose(asked: Asked) -> answers.Diagnosis:
    """What differs, of a message that is handed in for this alone: nothing of it is kept."""
    data, theirs = _given(asked)
    most = asked.gateway.limits.message_bytes
    for each in (data, theirs or b""):
        if len(each) > most:
            raise over(413, "message_bytes", most, len(each), "bytes in a message")

    def known(serial: str) -> bytes | None:
        return certificates.named(asked.conn, asked.company, serial)

    found = messages.diagnose(data, theirs, known, asked.gateway.message_limits)
    return answers.Diagnosis(diagnosis=found.facts())


def _given(asked: Asked) -> tuple[bytes, bytes | None]:
    """The message, and the sender's own canonical form. Raises Turned (400, 415)."""
    kind = (asked.request.content_type or "").lower()
    if kind != FORM:
        if kind not in ("application/xml", "text/xml"):
            raise Turned(415, f"Content-Type application/xml or {FORM} is expected")
        return asked.request.body, None
    try:
        files: Any = asked.request.FILES
    except (MultiPartParserError, SuspiciousOperation, BadRequest) as problem:
        raise Turned(400, f"this is not a form of files: {problem}") from None
    if "message" not in files:
        raise Turned(400, "the form has no file named message")
    theirs = files.get("canonical")
    return files["message"].read(), None if theirs is None else theirs.read()
