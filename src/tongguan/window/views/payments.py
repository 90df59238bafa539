"""Original payment data: the end that platforms upload to, and what came of it."""

from tongguan.sharing.payment_data import asking
from tongguan.window import answers
from tongguan.window.trouble import not_found
from tongguan.window.views.request import Asked


def upload(asked: Asked) -> answers.Uploaded:
    """Take an upload; whatever is wrong with it is told by its code, as the interface has it."""
    with asked.conn.transaction():
        said = asking.receive_upload(
            asked.conn, asked.gateway.vault, asked.request.body, asked.at_ms
        )
    return answers.Uploaded(**said)


def shown(asked: Asked, number: str) -> answers.PaymentRequests:
    """What was asked under a session or order number. Raises Turned (404)."""
    try:
        found = asking.shown(asked.conn, number, asked.at_ms)
    except asking.UnknownRequest:
        raise not_found(f"request for payment data {number}") from None
    return answers.PaymentRequests(requests=found)
