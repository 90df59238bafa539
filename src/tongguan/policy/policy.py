"""The policy: parameters, tariff and positive lists, compiled once; and the law of one day.

``load()`` compiles, ``Policy.on(day)`` answers. Between two days on which something changes the
law is the same, so it is resolved once per such period, not once per day.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache, cached_property
from types import MappingProxyType
from typing import Any

import polars as pl

from tongguan.policy import positive_list, tariff
from tongguan.policy.parameter import DRAFT, HORIZON, Overlay, Parameter, Value, builtin, overlay
from tongguan.policy.positive_list import Amendment, PositiveListEdition
from tongguan.policy.tariff import CONSUMPTION_CLASSES, VAT_CLASSES, TariffEdition

REGIME = "import.regime"
TIERS = (1, 2, 3, 4)
TARIFF, POSITIVE_LIST = EDITIONS = ("tariff", "positive-list")
"""What tables in force are called among the parameters."""


class OutsideKnown(LookupError):  # noqa: N818 - the day lies outside, nothing went wrong
    """A day on which the policy knows nothing, or on which a parameter has no value.

    ``day`` was asked for; ``first`` and ``last`` bound what is known.
    """

    def __init__(self, what: str, day: date, first: date, last: date, remedy: str) -> None:
        super().__init__(f"{what} is not known on {day}: known from {first} to {last}. {remedy}")
        self.day, self.first, self.last = day, first, last


class UnknownParameter(KeyError):  # noqa: N818
    """There is no parameter of that id."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, slots=True)
class Difference:
    """A parameter whose value is not the same on two days; None: none on that day."""

    parameter: str
    before: Value | None
    after: Value | None


@dataclass(frozen=True)
class Law:
    """What holds on one day.

    ``tariff``, one row per ten-digit code, resolved for the day: ``code, name_zh, name_en, unit1,
    unit2`` (unit codes), ``mfn_ppm, interim_ppm, general_ppm`` (null: unknown, or no interim
    rate), ``vat_ppm, vat_parameter`` (null: the row's own rate), ``ct_ppm``,
    ``ct_specific_micro`` (millionths of a yuan per ``ct_unit``, 0 without), ``ct_unit,
    ct_parameter, ct_condition`` (``cosmetics`` or ``watches``: the tax applies from the
    thresholds of the parameters ``consumption-tax.<condition>-…`` only; null: always),
    ``parcel_ppm, parcel_parameter`` (parcel-tax days only; null: tier unknown), ``edition,
    confirmed, source``. Codes whose consumption tax the loader did not understand are not in it.

    ``positive_list``: ``code8, name, remark, bonded_only, version, confirmed``; empty and
    complete on days without a list (``positive_list_version`` None). ``withdrawn``: the codes of
    eight digits that an amendment took off the list, so that their lack is certain even where the
    list is not complete.
    ``regime``: ``parcel-tax`` or ``retail-import``. ``hash`` is the policy's.
    """

    day: date
    hash: str
    regime: str
    tariff: pl.DataFrame
    positive_list: pl.DataFrame
    positive_list_version: str | None
    positive_list_complete: bool
    tariff_edition: str
    notes: tuple[str, ...]
    values: Mapping[str, Value]
    parameters: Mapping[str, Parameter]
    withdrawn: frozenset[str] = frozenset()

    def value(self, parameter: str) -> Value:
        """The value of a parameter; raises UnknownParameter, or OutsideKnown if it has none."""
        found = self.values.get(parameter)
        if found is not None:
            return found
        known = self.parameters.get(parameter)
        if known is None:
            raise UnknownParameter(f"unknown parameter {parameter!r}")
        first, end = known.values[0].since, known.values[-1]
        ended = end.value is None and self.day >= end.since
        last = date.fromordinal(end.since.toordinal() - 1) if ended else _known_until(self.values)
        remedy = f"It ended on {end.since}." if ended else "Ask for a day on which it is in force."
        raise OutsideKnown(f"parameter {parameter}", self.day, first, last, remedy)


def _known_until(values: Mapping[str, Value]) -> date:
    last = values[HORIZON].value
    assert isinstance(last, date)
    return last


class Policy:
    """All law the process knows, immutable; ``hash`` is sha256 over its canonical content."""

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        tariffs: Sequence[TariffEdition],
        positive_lists: Sequence[PositiveListEdition],
        amendments: Sequence[Amendment] = (),
    ) -> None:
        self.parameters = MappingProxyType(dict(parameters))
        self.tariffs = tuple(tariffs)
        self.positive_lists = tuple(positive_lists)
        self.amendments = tuple(amendments)
        self._periods: dict[int, Law] = {}

    @cached_property
    def hash(self) -> str:
        """Changes with any value, paragraph, rate or list row; not with file names."""
        content = hashlib.sha256()
        for identity in sorted(self.parameters):
            for v in self.parameters[identity].values:
                fields = (identity, v.unit, str(v.since), str(v.value), v.law, str(v.confirmed))
                content.update("\x1f".join(fields).encode() + b"\n")
        hashes = [e.hash for e in self.tariffs] + [x.hash for x in self.positive_lists]
        for edition in sorted(hashes):
            content.update(edition.encode() + b"\n")
        for a in sorted(self.amendments, key=lambda a: (a.code8, a.since)):
            fields = (a.code8, str(a.since), str(a.listed), a.name, a.remark, a.law)
            content.update("\x1f".join(fields).encode() + b"\n")
        return content.hexdigest()

    @property
    def first(self) -> date:
        """The first day the policy answers for."""
        return self.parameters[HORIZON].values[0].since

    @property
    def last(self) -> date:
        """The last day the policy answers for."""
        return _known_until({HORIZON: self.parameters[HORIZON].values[-1]})

    @cached_property
    def turns(self) -> list[date]:
        """The days on which something changes, in order; the law between two of them is one."""
        days = {v.since for p in self.parameters.values() for v in p.values}
        days |= {a.since for a in self.amendments}
        for edition in self.tariffs:
            days |= {edition.effective, *edition.frame["as_of"].unique().to_list()}
        for listed in self.positive_lists:
            days.add(listed.effective)
            if listed.until is not None:
                days.add(date.fromordinal(listed.until.toordinal() + 1))
        return sorted(days)

    def on(self, day: date) -> Law:
        """The law of a day (a civil day in Shanghai); raises OutsideKnown outside the horizon."""
        if not self.first <= day <= self.last:
            remedy = (
                "Ask for a day inside, or bring the parameters up to date: "
                f"{HORIZON} says how far they were checked."
            )
            raise OutsideKnown("the law", day, self.first, self.last, remedy)
        period = bisect_right(self.turns, day)
        law = self._periods.get(period)
        if law is None:
            law = self._periods[period] = self._resolve(day)
        return law if law.day == day else replace(law, day=day)

    def _resolve(self, day: date) -> Law:
        values = {i: v for i, p in self.parameters.items() if (v := p.on(day)) is not None}
        edition = tariff.in_force(self.tariffs, day)
        listed = positive_list.in_force(self.positive_lists, day)
        name, rows, withdrawn = self.listed(day)
        frame = _rates(edition, values, day)
        return Law(
            day=day,
            hash=self.hash,
            regime=str(values[REGIME].value),
            tariff=frame,
            positive_list=rows,
            positive_list_version=name or None,
            positive_list_complete=all(x.complete for x in listed),
            withdrawn=withdrawn,
            tariff_edition=edition.name,
            notes=_notes(edition, frame, listed, day),
            values=MappingProxyType(values),
            parameters=self.parameters,
        )

    def listed(self, day: date) -> tuple[str, pl.DataFrame, frozenset[str]]:
        """Name, rows and withdrawn codes of the positive list of a day; name "" without a list."""
        editions = positive_list.in_force(self.positive_lists, day)
        name, rows = _list_name(editions), _one_list([x.frame for x in editions])
        changes = [a for a in self.amendments if a.since <= day]
        if not (name and changes):
            return name, rows, frozenset()
        name = f"{name} + {DRAFT}"
        return name, *positive_list.amended(rows, changes, name)

    def timeline(self) -> list[Value]:
        """Every value of every parameter in order of its day; lists and tariffs among them.

        A list or tariff stands once, on the day from which it holds (``positive-list``,
        ``tariff``); a line that an amendment changes is ``positive-list.<code8>``.
        """
        values = [v for p in self.parameters.values() for v in p.values]
        for name in EDITIONS:
            facts = [self.edition_fact(name, day) for day in self.turns if day >= self.first]
            values += {fact.text: fact for fact in reversed(facts) if fact}.values()
        values += [_amendment_fact(a) for a in self.amendments]
        return sorted(values, key=lambda v: (v.since, v.parameter))

    def diff(self, before: date, after: date) -> list[Difference]:
        """The parameters, list and tariff that are not the same on two days, by id."""
        old, new = self._facts(self.on(before)), self._facts(self.on(after))
        return [
            Difference(i, old.get(i), new.get(i))
            for i in sorted(old.keys() | new.keys())
            if (i in old and old[i].value) != (i in new and new[i].value)
        ]

    def _facts(self, law: Law) -> dict[str, Value]:
        facts = dict(law.values)
        for name in EDITIONS:
            fact = self.edition_fact(name, law.day)
            if fact is not None:
                facts[name] = fact
        return facts

    def edition_fact(self, name: str, day: date) -> Value | None:
        """The ``tariff`` or ``positive-list`` of a day as one dated fact; None without a list."""
        if name == TARIFF:
            return _tariff_fact(tariff.in_force(self.tariffs, day))
        listed = positive_list.in_force(self.positive_lists, day)
        return _list_fact(listed) if listed else None


def _one_list(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """The rows of lists that hold together, by code; a confirmed row goes before a guessed one."""
    rows = pl.concat([pl.DataFrame(schema=positive_list.SCHEMA), *frames])
    best = rows.sort("code8", ~pl.col("confirmed"), maintain_order=True)
    return best.unique("code8", keep="first", maintain_order=True)


def _tariff_fact(edition: TariffEdition) -> Value:
    source = "; ".join(edition.frame["source"].drop_nulls().unique().sort().head(3))
    fact = _fact(TARIFF, edition.name, edition.effective, "", not edition.starter)
    return replace(fact, law=f"tariff {edition.name}", source=source)


def _list_fact(listed: list[PositiveListEdition]) -> Value:
    """The list that these editions make together, as one dated fact; confirmed if it is whole."""
    ordered = sorted(listed, key=lambda x: x.name)
    laws = "; ".join(x.official.law for x in ordered if x.official)
    sources = "; ".join(dict.fromkeys(x.official.source for x in ordered if x.official))
    complete = all(x.complete for x in listed)
    since = max(x.effective for x in listed)
    return replace(_fact(POSITIVE_LIST, _list_name(listed), since, laws, complete), source=sources)


def _amendment_fact(a: Amendment) -> Value:
    text = (f"listed: {a.remark}" if a.remark else "listed") if a.listed else "withdrawn"
    fact = _fact(f"{POSITIVE_LIST}.{a.code8}", text, a.since, a.law, confirmed=False)
    return replace(fact, source=a.source)


def _list_name(listed: list[PositiveListEdition]) -> str:
    return " + ".join(sorted(x.name for x in listed))


def _fact(parameter: str, name: str, since: date, law: str, confirmed: bool) -> Value:
    return Value(parameter, name, "word", name, since, law, confirmed, "")


def _rates(edition: TariffEdition, values: Mapping[str, Value], day: date) -> pl.DataFrame:
    """An edition's rows with the rates of the day in the columns that ``Law.tariff`` names."""
    vat = {name: values[p] for name, p in VAT_CLASSES.items() if p in values}
    taxed = {name: values[p] for name, p in CONSUMPTION_CLASSES.items() if p in values}
    conditional = [
        name
        for name, p in CONSUMPTION_CLASSES.items()
        if (applies := values.get(f"{p}-applies")) is not None and applies.value == "conditional"
    ]
    tiers = {t: v for t in TIERS if (v := values.get(f"parcel-tax.rate-tier-{t}")) is not None}
    if values[REGIME].value != "parcel-tax":
        tiers = {}  # the tiers were cut anew on 2016-04-08; a row knows its tier of before only
    frame = edition.frame if edition.starter or not tiers else _with_tiers(edition.frame)
    follows = pl.col("ct_fixed_ppm").is_null()
    return frame.filter("ct_known").select(
        "code",
        "name_zh",
        "name_en",
        "unit1",
        "unit2",
        "mfn_ppm",
        "interim_ppm",
        "general_ppm",
        vat_ppm=pl.coalesce("vat_fixed_ppm", _pick("vat_class", _ppm(vat), pl.Int64)),
        vat_parameter=_pick("vat_class", VAT_CLASSES, pl.String),
        ct_ppm=pl.coalesce("ct_fixed_ppm", _pick("ct_class", _ppm(taxed), pl.Int64)),
        ct_specific_micro="ct_specific_micro",
        ct_unit="ct_unit",
        ct_parameter=pl.when(follows).then(_pick("ct_class", CONSUMPTION_CLASSES, pl.String)),
        ct_condition=pl.when(pl.col("ct_class").is_in(conditional)).then("ct_class"),
        parcel_ppm=_pick("parcel_tier", _ppm(tiers), pl.Int64),
        parcel_parameter=_pick(
            "parcel_tier", {t: v.parameter for t, v in tiers.items()}, pl.String
        ),
        edition=pl.lit(edition.name),
        confirmed=pl.col("confirmed") & (pl.col("as_of") <= day),
        source="source",
    )


def _with_tiers(frame: pl.DataFrame) -> pl.DataFrame:
    """A loaded table with the starter's parcel-tax tiers, which official tariffs do not name.

    The starter's tiers are not confirmed, so neither is a row that takes one.
    """
    known = tariff.starter().frame.select("code", tier="parcel_tier")
    joined = frame.join(known, on="code", how="left", maintain_order="left")
    return joined.with_columns(
        parcel_tier=pl.coalesce("parcel_tier", "tier"),
        confirmed=pl.col("confirmed") & pl.col("parcel_tier").is_not_null(),
    ).drop("tier")


def _ppm(values: Mapping[Any, Value]) -> dict[Any, int]:
    return {name: value.ppm for name, value in values.items()}


def _pick(
    column: str, choices: Mapping[Any, int] | Mapping[Any, str], kind: type[pl.DataType]
) -> pl.Expr:
    """The choice that the column names; null where it names none."""
    if not choices:
        return pl.lit(None, kind)
    return pl.col(column).replace_strict(choices, default=None, return_dtype=kind)


def _notes(
    edition: TariffEdition, frame: pl.DataFrame, listed: list[PositiveListEdition], day: date
) -> tuple[str, ...]:
    notes = []
    if edition.starter:
        notes.append(
            f"Rates come from the starter table of {edition.frame.height} codes; "
            "load the full tariff of the day for the others."
        )
    newest = edition.frame["as_of"].max()
    if isinstance(newest, date) and day < newest:
        notes.append(
            f"Duty rates are those of {newest}, applied to {day} as if unchanged: not confirmed."
        )
    unknown = edition.frame.height - frame.height
    if unknown:
        notes.append(f"{unknown} codes of the tariff have a consumption tax not understood.")
    if any(not x.complete for x in listed):
        notes.append(
            f"The positive list {_list_name(listed)} is incomplete: a code it lacks proves nothing."
        )
    return tuple(notes)


def load(
    tariffs: Sequence[TariffEdition] = (),
    positive_lists: Sequence[PositiveListEdition] = (),
    parameters: Overlay | None = None,
) -> Policy:
    """The policy of the package with loaded editions and a draft's values laid over it.

    A tariff of a day replaces an earlier one of that day in the sequence; a positive list
    replaces that of its name. ``parameters`` maps ids to ``{day: value}``: from that day the
    value is the draft's, until a later day of the built-in history. Raises ParameterErrors.
    """
    known = overlay(builtin(), parameters) if parameters else builtin()
    starter = tariff.starter()
    by_day = {edition.effective: edition for edition in tariffs}
    by_name = {x.name: x for x in (*_starter_lists(), *positive_lists)}
    return Policy(known, (starter, *by_day.values()), tuple(by_name.values()))


@cache
def _starter_lists() -> tuple[PositiveListEdition, ...]:
    return tuple(positive_list.starter(tariff.starter().frame))
