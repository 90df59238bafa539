"""A page for each message type, written from the catalogue (``make docs`` puts them in docs/)."""

from collections.abc import Iterable

from tongguan.messages.catalogue import (
    FORMS,
    Condition,
    Field,
    MessageType,
    Node,
    message_type,
)

_HEAD = (
    "| element | 名称 | meaning | type | occurs | values | remarks |\n|---|---|---|---|---|---|---|"
)
_SIGNATURES = {
    "required": "The schema asks for a `ds:Signature`, last in the root.",
    "optional": "A `ds:Signature` may stand last in the root.",
    "none": "Not signed.",
}


def documentation(name: str) -> str:
    """The page of one message type, Markdown. Raises UnknownType."""
    kind = message_type(name)
    parts = [f"# {kind.type} {kind.zh} · {kind.en}", _facts(kind)]
    if kind.document:
        parts += _documents(kind)
    else:
        parts += ["## Structure", _table(_flatten(kind.tree, ""))]
    parts += ["## Root attributes", _table((one.name, one) for one in kind.attributes)]
    if kind.conditions:
        parts += ["## Demands that depend on other values", _conditions(kind.conditions)]
    for node in kind.blocks:
        fields = ((one.name, one) for one in kind.fields(node.name))
        title = f"## {node.name} {node.zh} · {node.en} ({_times(node.least, node.most)})"
        parts += [title, _table(fields)]
    source = f"src/tongguan/messages/catalogue/{kind.type}.yaml"
    return "\n\n".join([*parts, f"*Made from `{source}` by `make docs`.*"]) + "\n"


def _facts(kind: MessageType) -> str:
    rows = [("Root", f"`{kind.root}`, namespace `{kind.namespace}`"), ("Sent by", kind.sender)]
    if kind.receipt:
        rows.append(("Answered by", _link(kind.receipt)))
    if kind.answers:
        rows.append(("Answers", _link(kind.answers)))
    if kind.key:
        rows.append(("Business key", ", ".join(f"`{name}`" for name in kind.key)))
    rows += [("Signature", _SIGNATURES[kind.signature]), ("Source", kind.source)]
    return "\n".join(f"* {label}: {text}" for label, text in rows)


def _documents(kind: MessageType) -> list[str]:
    parts = [
        "## Documents",
        f"`{kind.document}`, {_times(1, kind.documents_most)} in a message.",
        f"## Head `{kind.head}`",
        _table((one.name, one) for one in kind.head_fields),
    ]
    if kind.line:
        numbering = {
            "consecutive": "numbered 1, 2, 3 … by `gnum`",
            "unique": "each with the `gnum` of the original list",
        }[kind.numbering or "unique"]
        parts += [
            f"## Line `{kind.line}`",
            f"{_times(1, kind.lines_most)} in a document, {numbering}.",
            _table((one.name, one) for one in kind.line_fields),
        ]
    return parts


def _flatten(node: Node, lead: str) -> Iterable[tuple[str, Node | Field]]:
    for child in node.children:
        yield lead + child.name, child
        if isinstance(child, Node):
            yield from _flatten(child, f"{lead}{child.name}/")
        else:
            for one in child.attributes:
                yield f"{lead}{child.name}/@{one.name}", one


def _table(rows: Iterable[tuple[str, Node | Field]]) -> str:
    return "\n".join([_HEAD, *(_row(path, what) for path, what in rows)])


def _row(path: str, what: Node | Field) -> str:
    if isinstance(what, Node):
        cells = [f"`{path}`", what.zh, what.en, "", _times(what.least, what.most), "", ""]
    else:
        cells = [
            f"`{path}`",
            what.zh,
            what.en,
            what.notation,
            _times(*what.occurs),
            _values(what),
            _remarks(what),
        ]
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _values(one: Field) -> str:
    said = []
    if one.fixed is not None:
        said.append(f"`{one.fixed}` only")
    elif one.values:
        said.append(", ".join(f"`{value}`" for value in one.values))
    elif one.table:
        said.append(f"table `{one.table}`")
    if one.minimum is not None:
        said.append(f"{'>' if one.open_minimum else '≥'} {one.minimum}")
    if one.form:
        said.append(FORMS[one.form][1])
    return "; ".join(said)


def _remarks(one: Field) -> str:
    said = [f"edition {edition}: {notation}" for edition, notation in one.differs]
    if one.personal:
        said.append("personal, shown masked")
    if one.note:
        said.append(one.note)
    return "; ".join(said)


def _conditions(conditions: Iterable[Condition]) -> str:
    return "\n".join(f"* {_condition(one)}" for one in conditions)


def _condition(one: Condition) -> str:
    case = " and ".join(f"`{name}` is {' or '.join(values)}" for name, values in one.when)
    demands = []
    if one.require:
        demands.append("head: " + ", ".join(f"`{name}`" for name in one.require))
    if one.require_lines:
        demands.append("every line: " + ", ".join(f"`{name}`" for name in one.require_lines))
    demands += [f"`{name}` is {value}" for name, value in one.equal]
    if one.together:
        demands.append("all or none of " + ", ".join(f"`{name}`" for name in one.together))
    start = f"When {case}: " if case else ""
    return f"{start}{'; '.join(demands)} ({one.severity}). {one.why[0].upper()}{one.why[1:]}."


def _times(least: int, most: int | None) -> str:
    if least == most:
        return str(least)
    return f"{least}..{'∞' if most is None else most}"


def _link(name: str) -> str:
    return f"[{name}]({name}.md)"
