"""The YAML of a draft policy, read with the line of everything in it; all faults at once.

The shape stands in docs/drafts.md. Scalars are read as the text that stands in the file, so no
amount passes through a binary float.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TypeVar

import polars as pl
import yaml

from tongguan import codes
from tongguan.policy.parameter import DRAFT, HORIZON, Parameter, Value, drafted
from tongguan.policy.positive_list import Amendment, code8
from tongguan.policy.rates import TRADE_MODES

KEYS = (
    *("base", "name", "bring-forward", "parameters", "positive-list"),
    *("transitions", "decision-date", "territory", "modes"),
)
DECISION_DATE = "import.decision-date"
SPARED = {"ordered-before": "ordered", "entered-before": "entered"}
"""What a transition spares, and the column of parcels that it looks at."""

_LARGEST_DENOMINATOR = 1_000_000
_READ_WITH_THE_TARIFF = ("consumption-tax.cosmetics-headings", "consumption-tax.watches-headings")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DraftError:
    """One fault of a draft: where it stands, what was expected and found, and what to do."""

    file: str
    line: int
    field: str
    expected: str
    actual: str
    cure: str

    def __str__(self) -> str:
        return (
            f"{self.file}:{self.line}: {self.field}: expected {self.expected}, "
            f"found {self.actual!r}; {self.cure}"
        )


class DraftErrors(ValueError):  # noqa: N818 - it holds several
    """Every fault of one draft, in ``errors``; nothing of it was taken."""

    def __init__(self, errors: list[DraftError]) -> None:
        super().__init__("\n".join(str(e) for e in errors))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Transition:
    """Parcels accepted from ``since`` to ``until`` are spared the draft if their day is earlier.

    ``column`` is the day looked at (``ordered`` or ``entered``), ``before`` the first day no
    longer spared; ``modes`` the trade modes it is for.
    """

    since: date
    until: date
    column: str
    before: date
    modes: tuple[str, ...]

    def spares(self) -> pl.Expr:
        """Whether a parcel (columns as of ``Draft.governing``) is spared; an unknown day is not."""
        accepted = pl.col("accepted").is_between(pl.lit(self.since), pl.lit(self.until))
        early = (pl.col(self.column) < self.before).fill_null(value=False)
        return accepted & early & _one_of("tradeMode", self.modes)


@dataclass(frozen=True, slots=True)
class Content:
    """What a draft says, checked: values and amendments are ready to be laid over the base.

    ``forward``: (X, Y): from X on the law of the later day Y holds. ``territory``: codes of
    pilot zones, ``modes``: trade modes; () for all.
    """

    name: str
    base: date
    forward: tuple[tuple[date, date], ...]
    values: tuple[Value, ...]
    amendments: tuple[Amendment, ...]
    transitions: tuple[Transition, ...]
    territory: tuple[str, ...]
    modes: tuple[str, ...]
    lines: Mapping[str, int]

    def inside(self) -> pl.Expr:
        """Whether a parcel is in the territory and of the modes that the draft is for."""
        return _one_of("zone", self.territory) & _one_of("tradeMode", self.modes)


def _one_of(column: str, wanted: tuple[str, ...]) -> pl.Expr:
    if not wanted:
        return pl.lit(value=True)
    return pl.col(column).is_in(list(wanted)).fill_null(value=False)


@dataclass(slots=True)
class Sheet:
    """Reads nodes into values and collects the faults, each with its line and the cure."""

    file: str
    first: date
    last: date
    errors: list[DraftError] = field(default_factory=list)

    def fault(self, at: yaml.Node | int, name: str, expected: str, actual: str, cure: str) -> None:
        line = at if isinstance(at, int) else at.start_mark.line + 1
        self.errors.append(DraftError(self.file, line, name, expected, actual, cure))

    def fields(
        self, node: yaml.Node, name: str, known: Iterable[str] | None = None
    ) -> dict[str, yaml.Node]:
        """The entries of a mapping by key; doubled and (if ``known``) unknown keys are faults."""
        if not isinstance(node, yaml.MappingNode):
            what = f"a mapping of {', '.join(known)}" if known else "a mapping"
            self.fault(node, name, what, _shown(node), "write it as key: value")
            return {}
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.fault(key, name, "plain keys", _shown(key), "write key: value")
            elif known is not None and key.value not in known:
                cure = near(key.value, known) or "take it out"
                self.fault(key, name or "draft", f"one of {', '.join(known)}", key.value, cure)
            elif key.value in found:
                self.fault(key, name or key.value, "each key once", key.value, "join the two")
            else:
                found[key.value] = value
        return found

    def text(self, node: yaml.Node, name: str) -> str:
        """A scalar as its text; "" (and a fault) for anything else. YAML's null is ""."""
        if not isinstance(node, yaml.ScalarNode):
            self.fault(node, name, "plain text", _shown(node), "write one value")
            return ""
        null = node.style is None and node.value.strip() in ("~", "null", "Null", "NULL")
        return "" if null else str(node.value).strip()

    def day(self, node: yaml.Node, name: str) -> date | None:
        """A day the policy knows."""
        text = self.text(node, name)
        try:
            found = date.fromisoformat(text)
        except ValueError:
            self.fault(node, name, "a day", text, "write it as 2022-01-01")
            return None
        if not self.first <= found <= self.last:
            known = f"a day from {self.first} to {self.last}"
            self.fault(node, name, known, text, "the policy knows nothing outside these days")
            return None
        return found

    def items(self, node: yaml.Node, name: str) -> list[yaml.Node]:
        """The entries of a list."""
        if not isinstance(node, yaml.SequenceNode):
            self.fault(node, name, "a list", _shown(node), "write one entry per line, after a dash")
            return []
        return list(node.value)

    def choices(
        self, node: yaml.Node | None, name: str, read: Callable[[str], T | None], expected: str
    ) -> tuple[T, ...]:
        """A list (or one value) of words, each of which ``read`` knows."""
        if node is None:
            return ()
        single = isinstance(node, yaml.ScalarNode)
        found: dict[T, None] = {}
        entries = [node] if single else self.items(node, name)
        for each in entries:
            text = self.text(each, name)
            value = read(text)
            if value is None:
                self.fault(each, name, expected, text, "take it out or correct it")
            else:
                found[value] = None
        if not entries:
            self.fault(node, name, "at least one entry", "none", "leave the key out for all")
        return tuple(found)


def near(word: str, known: Iterable[str]) -> str:
    """A cure that names the known words like this one, or ""."""
    alike = difflib.get_close_matches(word, list(known), n=3)
    return f"perhaps {' or '.join(alike)} is meant" if alike else ""


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    return "a list" if isinstance(node, yaml.SequenceNode) else str(node.value)


def read(
    text: str, file: str, parameters: Mapping[str, Parameter], first: date, last: date
) -> Content:
    """The content of a draft for a base that knows these parameters and days.

    Raises DraftErrors with every fault at once.
    """
    sheet = Sheet(file, first, last)
    try:
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = str(getattr(error, "problem", None) or error)
        line = mark.line + 1 if mark else 1
        sheet.fault(line, "draft", "YAML", problem, "mend the line; strings with : need quotes")
        raise DraftErrors(sheet.errors) from None
    if root is None:
        sheet.fault(1, "draft", "base, name and what changes", "", "write a draft")
        raise DraftErrors(sheet.errors)
    nodes = sheet.fields(root, "", KEYS)
    content = _content(sheet, root, nodes, parameters)
    if sheet.errors or content is None:
        raise DraftErrors(sorted(sheet.errors, key=lambda e: e.line))
    return content


def _content(
    sheet: Sheet, root: yaml.Node, nodes: dict[str, yaml.Node], parameters: Mapping[str, Parameter]
) -> Content | None:
    for needed in ("base", "name"):
        if needed not in nodes and isinstance(root, yaml.MappingNode):
            cure = "write base: 2022-06-01" if needed == "base" else "write name: what it is called"
            sheet.fault(root, needed, f"the key {needed}", "nothing", cure)
    name = sheet.text(nodes["name"], "name") if "name" in nodes else ""
    if "name" in nodes and not name:
        sheet.fault(nodes["name"], "name", "a name", "", "say what the draft is called")
    known = sheet.day(nodes["base"], "base") if "base" in nodes else None
    base = known or sheet.last
    values = list(_values(sheet, nodes.get("parameters"), base, parameters))
    twice = any(value.parameter == DECISION_DATE for value in values)
    values += _decision_date(sheet, nodes.get("decision-date"), base, parameters, twice)
    content = Content(
        name=name,
        base=base,
        forward=_forward(sheet, nodes.get("bring-forward")),
        values=tuple(values),
        amendments=tuple(_amendments(sheet, nodes.get("positive-list"), base)),
        transitions=tuple(_transitions(sheet, nodes.get("transitions"), base)),
        territory=sheet.choices(
            nodes.get("territory"), "territory", zone, "a pilot zone by name or code (杭州, 001)"
        ),
        modes=_modes(sheet, nodes.get("modes"), "modes"),
        lines={key: node.start_mark.line + 1 for key, node in nodes.items()},
    )
    return content if known else None


def zone(text: str) -> str | None:
    """The code of a pilot zone by its code or its Chinese name."""
    for entry in codes.table("zone").rows:
        if text in (entry.code, entry.name_zh):
            return entry.code
    return None


def _modes(sheet: Sheet, node: yaml.Node | None, name: str) -> tuple[str, ...]:
    def mode(text: str) -> str | None:
        return text if text in TRADE_MODES else None

    return sheet.choices(node, name, mode, f"one of {', '.join(TRADE_MODES)}")


def _forward(sheet: Sheet, node: yaml.Node | None) -> tuple[tuple[date, date], ...]:
    found: list[tuple[date, date]] = []
    for key, value in sheet.fields(node, "bring-forward").items() if node is not None else ():
        name = f"bring-forward.{key}"
        since, of = _key_day(sheet, value, name, key), sheet.day(value, name)
        if since is None or of is None:
            continue
        if of <= since:
            sheet.fault(value, name, f"a day after {since}", str(of), "write from-day: law-of-day")
        elif found and since <= found[-1][1]:
            after = f"a day after {found[-1][1]}"
            sheet.fault(value, name, after, str(since), "let the periods follow one another")
        else:
            found.append((since, of))
    return tuple(found)


def _key_day(sheet: Sheet, node: yaml.Node, name: str, key: str) -> date | None:
    scalar = yaml.ScalarNode("", key, node.start_mark, node.end_mark)
    return sheet.day(scalar, name)


# -- parameters ------------------------------------------------------------------------------------


def _values(
    sheet: Sheet, node: yaml.Node | None, base: date, parameters: Mapping[str, Parameter]
) -> Iterable[Value]:
    for identity, given in sheet.fields(node, "parameters").items() if node is not None else ():
        old = parameters.get(identity)
        if old is None:
            cure = near(identity, parameters) or "tongguan policy timeline names them all"
            sheet.fault(given, f"parameters.{identity}", "a known parameter", identity, cure)
        elif identity == HORIZON or identity in _READ_WITH_THE_TARIFF:
            why = "it says what is known, not what is law"
            if identity in _READ_WITH_THE_TARIFF:
                why = "tariff rows are classed when the tariff is read"
            expected = "a parameter a draft can change"
            sheet.fault(given, f"parameters.{identity}", expected, identity, why)
        else:
            yield from _history(sheet, given, old, base)


def _history(sheet: Sheet, node: yaml.Node, old: Parameter, base: date) -> Iterable[Value]:
    """Day by day, or one value that holds from the base day."""
    name = f"parameters.{old.id}"
    if not isinstance(node, yaml.MappingNode):
        yield from _value(sheet, node, name, old, base)
        return
    days: dict[date, None] = {}
    for key, given in sheet.fields(node, name).items():
        since = _key_day(sheet, given, f"{name}.{key}", key)
        if since is not None and since not in days:
            days[since] = None
            yield from _value(sheet, given, f"{name}.{key}", old, since)
    if not node.value:
        sheet.fault(node, name, "at least one day with a value", "none", "write 2022-01-01: value")


def _value(
    sheet: Sheet, node: yaml.Node, name: str, old: Parameter, since: date
) -> Iterable[Value]:
    if old.unit == "codes" and isinstance(node, yaml.SequenceNode):
        text = " ".join(sheet.text(each, name) for each in node.value)
    else:
        faults = len(sheet.errors)
        text = sheet.text(node, name)
        if len(sheet.errors) > faults:
            return
    try:
        value = drafted(old, since, text)
        _reckonable(value)
    except ValueError as error:
        words = str(error).removeprefix("expected ").split(", found")[0]
        cure = f"it is {_in_words(old, since)} in the base on that day"
        sheet.fault(node, name, words, text, cure)
        return
    yield value


def _in_words(old: Parameter, day: date) -> str:
    found = old.on(day)
    return f"{found.text} {found.unit}" if found else "not set"


def _reckonable(value: Value) -> None:
    """Raises ValueError for a number that the kernel could not reckon with exactly."""
    if value.value is None or value.unit not in ("yuan", "percent", "fraction"):
        return
    if value.unit == "yuan":
        if (value.number * 100).denominator != 1:
            raise ValueError("expected yuan with at most two decimals")
    elif value.unit == "percent":
        most = 100 if value.parameter.startswith("consumption-tax.") else 1001
        if (value.number * 10_000).denominator != 1 or value.number >= most:
            raise ValueError(f"expected a percentage below {most} with at most four decimals")
    elif value.number > 1 or value.number.denominator > _LARGEST_DENOMINATOR:
        raise ValueError("expected a fraction from 0 to 1, such as 0.70 or 2/3")


def _decision_date(
    sheet: Sheet,
    node: yaml.Node | None,
    base: date,
    parameters: Mapping[str, Parameter],
    twice: bool,
) -> Iterable[Value]:
    if node is None:
        return
    old = parameters[DECISION_DATE]
    if twice:
        cure = f"take one out: decision-date is short for parameters.{DECISION_DATE}"
        sheet.fault(node, "decision-date", "one place that says it", "two", cure)
    if isinstance(node, yaml.MappingNode):
        yield from _history(sheet, node, old, base)
    else:
        yield from _value(sheet, node, "decision-date", old, base)


# -- positive list ---------------------------------------------------------------------------------


def _amendments(sheet: Sheet, node: yaml.Node | None, base: date) -> Iterable[Amendment]:
    if node is None:
        return
    seen: dict[tuple[str, date], str] = {}
    for what, nodes in sheet.fields(node, "positive-list", ("add", "remove")).items():
        for each in sheet.items(nodes, f"positive-list.{what}"):
            found = _amendment(sheet, each, what, base)
            if found is None:
                continue
            key = (found.code8, found.since)
            if key in seen:
                expected = f"each code once on a day ({seen[key]} has it already)"
                where = f"positive-list.{what}"
                sheet.fault(each, where, expected, found.code8, "take one out")
                continue
            seen[key] = what
            yield found


def _amendment(sheet: Sheet, node: yaml.Node, what: str, base: date) -> Amendment | None:
    where = f"positive-list.{what}"
    since: date | None = base
    name = remark = ""
    code_node = node
    if isinstance(node, yaml.MappingNode):
        known = ("code8", "from", "name", "remark") if what == "add" else ("code8", "from")
        fields = sheet.fields(node, where, known)
        if "code8" not in fields:
            sheet.fault(node, where, "the key code8", "nothing", "write code8: 22042100")
            return None
        code_node = fields["code8"]
        since = sheet.day(fields["from"], f"{where}.from") if "from" in fields else base
        name = sheet.text(fields["name"], f"{where}.name") if "name" in fields else ""
        remark = sheet.text(fields["remark"], f"{where}.remark") if "remark" in fields else ""
    text = sheet.text(code_node, where)
    try:
        code = code8(text)
    except ValueError as error:
        cure = "name the tariff line by its eight digits"
        sheet.fault(code_node, f"{where}.code8", str(error), text, cure)
        return None
    if since is None:
        return None
    return Amendment(code, since, what == "add", name, remark, DRAFT, DRAFT)


# -- transitions -----------------------------------------------------------------------------------


def _transitions(sheet: Sheet, node: yaml.Node | None, base: date) -> Iterable[Transition]:
    for each in sheet.items(node, "transitions") if node is not None else ():
        found = _transition(sheet, each, base)
        if found is not None:
            yield found


def _transition(sheet: Sheet, node: yaml.Node, base: date) -> Transition | None:
    fields = sheet.fields(node, "transitions", ("from", "until", *SPARED, "modes"))
    if not fields:
        return None
    since = sheet.day(fields["from"], "transitions.from") if "from" in fields else base
    until = sheet.day(fields["until"], "transitions.until") if "until" in fields else None
    if "until" not in fields:
        cure = "write until: the last day of acceptance that is spared"
        sheet.fault(node, "transitions", "the key until", "nothing", cure)
    given = [key for key in SPARED if key in fields]
    if len(given) != 1:
        expected = f"one of {' or '.join(SPARED)}"
        cure = "say which parcels are spared; write a transition for each"
        sheet.fault(node, "transitions", expected, " and ".join(given) or "neither", cure)
        return None
    before = sheet.day(fields[given[0]], f"transitions.{given[0]}")
    modes = _modes(sheet, fields.get("modes"), "transitions.modes")
    if since is None or until is None or before is None:
        return None
    if until < since:
        expected = f"a day from {since} on"
        sheet.fault(fields["until"], "transitions.until", expected, str(until), "move it")
    return Transition(since, until, SPARED[given[0]], before, modes)
