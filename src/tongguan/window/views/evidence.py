"""The evidence log: its signed head, and that an older one is the beginning of a newer one."""

from tongguan.sharing import evidence
from tongguan.window import answers
from tongguan.window.trouble import Turned
from tongguan.window.views.request import Asked

LARGEST = 10**15


def head(asked: Asked) -> answers.Head:
    """The signed tree head of a size, or the last one."""
    size = asked.number("size", 0, 1, LARGEST)
    found = evidence.head(asked.conn, size or None)
    if found is None:
        raise Turned(404, "there is no head of that size" if size else "the log is empty")
    return answers.Head(head=found.facts(), note=found.note)


def consistency(asked: Asked) -> answers.Consistency:
    """The hashes that prove a tree to be the beginning of a later one (RFC 6962 2.1.2)."""
    old, new = asked.number("old", 0, 1, LARGEST), asked.number("new", 0, 1, LARGEST)
    try:
        path = evidence.consistency(asked.conn, old, new)
    except evidence.UnknownPosition as problem:
        raise Turned(404, str(problem)) from None
    return answers.Consistency(old=old, new=new, path=[each.hex() for each in path])
