"""The envelope in which a firm's client and the exchange platform hand messages over (DxpMsg)."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from tongguan.messages.catalogue import Field, Node, message_type
from tongguan.messages.render import attribute, escape


def envelope(
    data: bytes,
    message_id: str,
    sender: str,
    receivers: Sequence[str],
    created: str,
    message_type_name: str,
    additional: Mapping[str, Any] | None = None,
) -> bytes:
    """A DxpMsg around the bytes of a message.

    ``message_id`` is the sender's own id of the transport, ``sender`` and ``receivers`` (1 to 5)
    are addresses at the platform (DXPENT… , DXPEDCCEB0000002), ``created`` an ISO 8601 time,
    ``message_type_name`` the root of the message. ``additional`` becomes AddInfo: FileName,
    IcCard, BizKey ({"Key": [{"text": "1", "name": "DealFlag"}]}), IsText ({"Encode": "UTF-8"}).

    Raises ValueError where the catalogue refuses a value.
    """
    kind = message_type("DxpMsg")
    values: dict[str, Any] = {
        "TransInfo": {
            "CopMsgId": message_id,
            "SenderId": sender,
            "ReceiverIds": {"ReceiverId": list(receivers)},
            "CreatTime": created,
            "MsgType": message_type_name,
        },
        "Data": base64.b64encode(data).decode("ascii"),
    }
    if additional is not None:
        values["AddInfo"] = dict(additional)
    body = "".join(_written(child, values.get(child.name)) for child in kind.tree.children)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<dxp:DxpMsg ver="1.0" xmlns:dxp="{kind.namespace}">{body}</dxp:DxpMsg>'
    ).encode()


def _written(what: Node | Field, value: Any) -> str:
    least, most = (what.least, what.most) if isinstance(what, Node) else what.occurs
    values = [] if value is None else value if isinstance(value, list) else [value]
    if not least <= len(values) <= (len(values) if most is None else most):
        raise ValueError(f"{what.name}: {least} to {most} of it, not {len(values)}")
    return "".join(_one(what, value) for value in values)


def _one(what: Node | Field, value: Any) -> str:
    if isinstance(what, Node):
        unknown = set(value) - {child.name for child in what.children}
        if unknown:
            raise ValueError(f"{what.name} has no {', '.join(sorted(unknown))}")
        inner = "".join(_written(child, value.get(child.name)) for child in what.children)
        return f"<dxp:{what.name}>{inner}</dxp:{what.name}>"
    given = value if isinstance(value, Mapping) else {"text": value}
    text = given.get("text") or ""
    if not what.accepts(text):
        raise ValueError(f"{what.name}: {what.expectation}")
    attributes = ""
    for each in what.attributes:
        content = given.get(each.name)
        if content is None and not each.required:
            continue
        if content is None or not each.accepts(content):
            raise ValueError(f"{what.name}/@{each.name}: {each.expectation}")
        attributes += f' {each.name}="{attribute(content)}"'
    return f"<dxp:{what.name}{attributes}>{escape(text)}</dxp:{what.name}>"
