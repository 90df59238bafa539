"""Dated parameters: one YAML file each, every value with its day, its paragraph and its source.

A file holds ``id, zh, en, unit, values`` (and ``choices``, each in both languages, where the
unit is ``word`` and says more than a code); each value
``since, value, law, confirmed, source``. Values are read as the text that stands in the file, so
``0.70`` is exactly seven tenths; a value left empty says that from this day there is none.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

MILLION = 1_000_000

HORIZON = "policy.known-until"
"""The parameter that bounds the days the policy answers for."""

Exact = int | Fraction | str | date

_FIELDS = {"id", "zh", "en", "unit", "choices", "values"}
_CHOICE_FIELDS = {"zh", "en"}
_VALUE_FIELDS = {"since", "value", "law", "confirmed", "source"}


@dataclass(frozen=True, slots=True)
class ParameterError:
    """One fault of one parameter file (or of a draft, whose file is ``draft`` and line 0)."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class ParameterErrors(ValueError):  # noqa: N818 - it holds several
    """Every fault of all parameter files that were read, in ``errors``."""

    def __init__(self, errors: list[ParameterError]) -> None:
        super().__init__("\n".join(str(e) for e in errors))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Value:
    """What one parameter says from one day on.

    ``value`` is exact, in the parameter's own unit (``yuan`` 5000, ``percent`` 13, ``fraction``
    7/10, ``days`` 30, ``word``, ``codes``, ``date``), None where the parameter has ended;
    ``text`` is how the file writes it; ``law`` the paragraph.
    """

    parameter: str
    value: Exact | None
    unit: str
    text: str
    since: date
    law: str
    confirmed: bool
    source: str

    @property
    def number(self) -> Fraction:
        """The value as an exact number; raises TypeError for words, codes and dates."""
        if not isinstance(self.value, int | Fraction):
            raise TypeError(f"{self.parameter} is not a number: {self.text!r}")
        return Fraction(self.value)

    @property
    def ppm(self) -> int:
        """A percentage or a fraction as integer parts per million (13 % and 0.13 are 130000)."""
        return _whole(self.number * MILLION / (100 if self.unit == "percent" else 1), self)

    @property
    def fen(self) -> int:
        """An amount of yuan as integer fen."""
        return _whole(self.number * 100, self)

    def facts(self) -> dict[str, Any]:
        """The value as the commands write it in JSON."""
        return {
            "parameter": self.parameter,
            "value": self.text,
            "unit": self.unit,
            "since": self.since.isoformat(),
            "law": self.law,
            "confirmed": self.confirmed,
        }

    @property
    def codes(self) -> tuple[str, ...]:
        """The members of a value of unit ``codes``, which writes them with spaces between."""
        return tuple(self.text.split())


def _whole(number: Fraction, value: Value) -> int:
    if number.denominator != 1:
        raise ValueError(f"{value.parameter}: {value.text} is finer than its unit allows")
    return number.numerator


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: names in both languages, unit, and its values in order of their days.

    ``choices``: the words it may say, each in Chinese and English; empty where any may stand.
    """

    id: str
    zh: str
    en: str
    unit: str
    values: tuple[Value, ...]
    choices: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def on(self, day: date) -> Value | None:
        """The value in force on ``day``; None before the first one and after an ended one."""
        found = None
        for value in self.values:
            if value.since > day:
                break
            found = value
        return found if found is not None and found.value is not None else None


@dataclass(slots=True)
class _Reader:
    """Collects the faults of one file while its nodes become a parameter."""

    file: str
    errors: list[ParameterError] = field(default_factory=list)

    def fault(self, node: yaml.Node, message: str) -> None:
        self.errors.append(ParameterError(self.file, node.start_mark.line + 1, message))

    def fields(self, node: yaml.Node, known: set[str], optional: set[str]) -> dict[str, yaml.Node]:
        """The keys of a mapping; unknown, doubled and missing ones are faults."""
        if not isinstance(node, yaml.MappingNode):
            self.fault(node, "expected a mapping of " + ", ".join(sorted(known)))
            return {}
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if key.value not in known:
                self.fault(key, f"unknown key {key.value!r}; known: {', '.join(sorted(known))}")
            elif key.value in found:
                self.fault(key, f"key {key.value!r} stands twice")
            else:
                found[key.value] = value
        for missing in sorted(known - optional - found.keys()):
            self.fault(node, f"missing {missing!r}")
        return found

    def text(self, nodes: Mapping[str, yaml.Node], key: str, empty: bool = False) -> str:
        node = nodes.get(key)
        if node is None:
            return ""
        if not isinstance(node, yaml.ScalarNode):
            self.fault(node, f"{key!r} must be plain text")
            return ""
        if not node.value.strip() and not empty:
            self.fault(node, f"{key!r} is empty")
        return str(node.value).strip()


def exact(text: str, unit: str, choices: Collection[str] = ()) -> Exact:
    """A parameter's text as its exact value; ValueError says what its unit expects."""
    if unit in _NUMERIC:
        try:
            number = Fraction(text if _NUMBER.fullmatch(text) else "")
        except (ValueError, ZeroDivisionError):
            raise ValueError(f"expected a number of {unit}, found {text!r}") from None
        if unit in ("days", "seconds") and number.denominator != 1:
            raise ValueError(f"expected a number of {unit}, found {text!r}")
        return number.numerator if number.denominator == 1 else number
    if unit == "date":
        return _day(text)
    if choices and text not in choices:
        raise ValueError(f"expected one of {', '.join(choices)}, found {text!r}")
    return text


_NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18}|/[0-9]{1,18})?")
"""Decimals and fractions, as a person writes them; Fraction itself reads 1e9 and 1_000 as well."""

_NUMERIC = ("yuan", "percent", "fraction", "days", "seconds")
_UNITS = (*_NUMERIC, "word", "codes", "date")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"expected a day such as 2019-01-01, found {text!r}") from None


def parse(data: bytes, file: str) -> tuple[Parameter | None, list[ParameterError]]:
    """The parameter of one YAML file, or None and every fault of it with its line."""
    reader = _Reader(file)
    try:
        root = yaml.compose(data, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        return None, [ParameterError(file, line, f"not YAML: {getattr(error, 'problem', error)}")]
    if root is None:
        return None, [ParameterError(file, 1, "the file is empty")]
    nodes = reader.fields(root, _FIELDS, {"choices"})
    unit = reader.text(nodes, "unit")
    if unit and unit not in _UNITS:
        reader.fault(nodes["unit"], f"unknown unit {unit!r}; known: {', '.join(_UNITS)}")
    identity = reader.text(nodes, "id")
    if identity and identity != Path(file).stem:
        reader.fault(nodes["id"], f"id {identity!r} in a file named {Path(file).name}")
    choices = {
        word: (reader.text(names, "zh"), reader.text(names, "en"))
        for word, node in _words(nodes.get("choices"), reader).items()
        if (names := reader.fields(node, _CHOICE_FIELDS, set()))
    }
    values = tuple(
        value
        for node in _items(nodes.get("values"), reader)
        if (value := _value(node, reader, identity, unit, choices)) is not None
    )
    if reader.errors:
        return None, reader.errors
    zh, en = reader.text(nodes, "zh"), reader.text(nodes, "en")
    return Parameter(identity, zh, en, unit, values, choices), []


def _words(node: yaml.Node | None, reader: _Reader) -> dict[str, yaml.Node]:
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode) or not node.value:
        reader.fault(node, "expected a mapping of words, each {zh, en}")
        return {}
    return reader.fields(node, {key.value for key, _ in node.value}, set())


def _items(node: yaml.Node | None, reader: _Reader) -> Iterator[Any]:
    if node is None:
        return
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        reader.fault(node, "expected a list with at least one entry")
        return
    previous = ""
    for item in node.value:
        since = _since(item)
        if since and previous and since <= previous:
            reader.fault(item, f"{since} must come after {previous}: days in rising order, once")
        previous = since or previous
        yield item


def _since(item: yaml.Node) -> str:
    if isinstance(item, yaml.MappingNode):
        for key, value in item.value:
            if key.value == "since":
                return str(value.value)
    return ""


def _value(
    node: yaml.Node, reader: _Reader, parameter: str, unit: str, choices: Collection[str]
) -> Value | None:
    before = len(reader.errors)
    nodes = reader.fields(node, _VALUE_FIELDS, set())
    text = reader.text(nodes, "value", empty=True)
    since, value, confirmed = date.min, None, reader.text(nodes, "confirmed")
    if "since" in nodes:
        try:
            since = _day(reader.text(nodes, "since"))
        except ValueError as error:
            reader.fault(nodes["since"], str(error))
    if text and unit in _UNITS:
        try:
            value = exact(text, unit, choices)
        except ValueError as error:
            reader.fault(nodes["value"], str(error))
    if confirmed not in ("true", "false", ""):
        reader.fault(nodes["confirmed"], f"confirmed is true or false, found {confirmed!r}")
    law, source = reader.text(nodes, "law"), reader.text(nodes, "source")
    if len(reader.errors) > before:
        return None
    return Value(parameter, value, unit, text, since, law, confirmed == "true", source)


def read(folder: Path) -> dict[str, Parameter]:
    """Every ``*.yaml`` of a folder by id; raises ParameterErrors with all faults of all files."""
    parameters: dict[str, Parameter] = {}
    errors: list[ParameterError] = []
    for path in sorted(folder.glob("*.yaml")):
        parameter, faults = parse(path.read_bytes(), path.name)
        errors += faults
        if parameter is not None:
            parameters[parameter.id] = parameter
    if errors:
        raise ParameterErrors(errors)
    return parameters


@cache
def builtin() -> Mapping[str, Parameter]:
    """The parameters that come with the package."""
    return MappingProxyType(read(Path(__file__).parent / "parameters"))


Overlay = Mapping[str, Mapping[str | date, int | str | Fraction]]
"""Parameter ids -> {day: value}, as ``load`` takes them."""

DRAFT = "draft"
"""What stands in the place of the paragraph where a value is nobody's law yet."""


def laid(old: Parameter, values: Iterable[Value]) -> Parameter:
    """The parameter with these values set from their days on; values of later days stay."""
    by_day = {v.since: v for v in old.values} | {v.since: v for v in values}
    return replace(old, values=tuple(by_day[day] for day in sorted(by_day)))


def drafted(old: Parameter, since: date, text: str, source: str = DRAFT) -> Value:
    """A value that is not law: unconfirmed, its paragraph is ``draft``; empty text ends it.

    Raises ValueError, saying what the unit expects.
    """
    value = exact(text, old.unit, old.choices) if text else None
    return Value(old.id, value, old.unit, text, since, DRAFT, False, source)


def overlay(parameters: Mapping[str, Parameter], changes: Overlay) -> dict[str, Parameter]:
    """The parameters with a draft's values set from their days on; values of later days stay.

    A draft value counts as unconfirmed and its law is ``draft``. Raises ParameterErrors for
    unknown ids, bad days, values of the wrong kind, and binary floats, which cannot be exact.
    """
    result = dict(parameters)
    errors: list[ParameterError] = []
    for identity, given_by_day in changes.items():
        if identity not in parameters:
            errors.append(ParameterError(DRAFT, 0, f"unknown parameter {identity!r}"))
            continue
        old, values = parameters[identity], []
        for when, given in given_by_day.items():
            try:
                since = when if isinstance(when, date) else _day(when)
                if isinstance(given, float | bool):
                    raise ValueError(f"write {given!r} as text or as a whole number")
                values.append(drafted(old, since, str(given)))
            except ValueError as error:
                errors.append(ParameterError(DRAFT, 0, f"{identity}: {error}"))
        result[identity] = laid(old, values)
    if errors:
        raise ParameterErrors(errors)
    return result
