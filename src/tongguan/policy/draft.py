"""A draft policy: what changes on top of the law known, which parcels it would decide, the diff.

The draft makes a whole ``Policy`` of its own, so the kernel runs on it as on the law in force.
Which parcels it decides (pilot zones, trade modes, transitions) and by the law of which of their
days (acceptance, order, entry) is said once per parcel by ``Draft.governing``.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from tongguan.policy import positive_list, tariff
from tongguan.policy.draft_file import DECISION_DATE, Content, DraftError, DraftErrors, read
from tongguan.policy.parameter import DRAFT, HORIZON, Parameter, Value, laid
from tongguan.policy.policy import EDITIONS, POSITIVE_LIST, Difference, Law, OutsideKnown, Policy
from tongguan.policy.rates import rates_of

_DAY = timedelta(days=1)
PARCELS = {
    "accepted": pl.Date(),
    "ordered": pl.Date(),
    "entered": pl.Date(),
    "tradeMode": pl.String(),
    "zone": pl.String(),
}
"""What is asked of a parcel to tell which law decides it; see ``Draft.governing``."""

_DECIDES = {"acceptance": "accepted", "order": "ordered", "entry": "entered"}


@dataclass(frozen=True, slots=True)
class Change:
    """What the draft makes different from ``since`` to ``until`` (inclusive; None: for good).

    ``parameter``: a parameter's id, ``tariff``, ``positive-list`` (which list) or
    ``positive-list.<code8>`` (one line of it). ``before`` is the base's value, ``after`` the
    draft's; None where there is none.
    """

    parameter: str
    since: date
    until: date | None
    before: Value | None
    after: Value | None

    @property
    def difference(self) -> Difference:
        """The change without its days."""
        return Difference(self.parameter, self.before, self.after)


@dataclass(frozen=True)
class Draft:
    """A draft, checked and laid over its base.

    ``policy`` is the law as it would be, with a hash of its own; ``base_policy`` the law it was
    laid on. ``base``: the day from which changes hold that name none. ``content`` has scope and
    transitions.
    """

    policy: Policy
    base_policy: Policy
    content: Content

    @property
    def name(self) -> str:
        return self.content.name

    @property
    def base(self) -> date:
        return self.content.base

    @cached_property
    def hash(self) -> str:
        """sha256 over the base, the draft's law, and which parcels it decides."""
        c = self.content
        scope = (self.base_policy.hash, self.policy.hash, c.territory, c.modes, c.transitions)
        return hashlib.sha256(repr(scope).encode()).hexdigest()

    def facts(self) -> dict[str, Any]:
        """The draft and what it changes, as ``policy diff --policy FILE --json`` writes it."""
        c = self.content
        return {
            "name": c.name,
            "base": c.base.isoformat(),
            "hash": self.hash,
            "policy": self.policy.hash,
            "base_policy": self.base_policy.hash,
            "territory": list(c.territory),
            "modes": list(c.modes),
            "transitions": [
                {
                    "from": spared.since.isoformat(),
                    "until": spared.until.isoformat(),
                    f"{spared.column}-before": spared.before.isoformat(),
                    "modes": list(spared.modes),
                }
                for spared in c.transitions
            ],
            "changes": [
                {
                    "parameter": change.parameter,
                    "from": change.since.isoformat(),
                    "until": change.until and change.until.isoformat(),
                    "before": change.before and change.before.facts(),
                    "after": change.after and change.after.facts(),
                }
                for change in self.diff()
            ],
        }

    def diff(self) -> list[Change]:
        """Everything the draft makes different, by parameter and day; [] if nothing."""
        return [*self._parameters(), *self._editions(), *self._lines_of_list()]

    def governing(self, parcels: pl.DataFrame) -> pl.DataFrame:
        """Which law decides each parcel: ``drafted`` (Boolean) and ``day`` (Date), in their order.

        ``parcels``: ``accepted`` (Date, a civil day in Shanghai); ``ordered``, ``entered`` (Date;
        null or absent: not known), ``tradeMode`` (String), ``zone`` (String, code of the pilot
        zone; null or absent: in none). A parcel outside territory or modes, or spared by a
        transition, is decided by the base policy. Where the day that decides is not known, the
        day of acceptance does.
        """
        frame = parcels.with_columns(
            pl.lit(None, kind).alias(name)
            for name, kind in PARCELS.items()
            if name not in parcels.columns
        )
        drafted = self.content.inside()
        for transition in self.content.transitions:
            drafted &= ~transition.spares()
        return frame.with_columns(drafted=drafted).select(
            "drafted",
            day=pl.when("drafted")
            .then(day_that_decides(self.policy))
            .otherwise(day_that_decides(self.base_policy)),
        )

    def law(
        self,
        accepted: date,
        ordered: date | None = None,
        entered: date | None = None,
        trade_mode: str | None = None,
        zone: str | None = None,
    ) -> Law:
        """The law that decides one parcel; raises OutsideKnown."""
        row = pl.DataFrame(
            [(accepted, ordered, entered, trade_mode, zone)], schema=PARCELS, orient="row"
        )
        drafted, day = self.governing(row).row(0)
        return (self.policy if drafted else self.base_policy).on(day)

    # -- the diff ----------------------------------------------------------------------------------

    def _parameters(self) -> Iterator[Change]:
        old, new = self.base_policy.parameters, self.policy.parameters
        for identity in sorted(new):
            before, after = old[identity], new[identity]
            if before is after:
                continue
            days = {v.since for p in (before, after) for v in p.values}
            pairs = {day: (before.on(day), after.on(day)) for day in sorted(days)}
            yield from _changes(identity, pairs)

    def _editions(self) -> Iterator[Change]:
        """Where another list or tariff as a whole would hold."""
        turns = self._turns()
        for name in EDITIONS:
            pairs = {
                day: (
                    self.base_policy.edition_fact(name, day),
                    self.policy.edition_fact(name, day),
                )
                for day in turns
            }
            yield from _changes(name, pairs)

    def _lines_of_list(self) -> Iterator[Change]:
        turns = self._turns()
        for code in sorted({a.code8 for a in self.policy.amendments}):
            pairs = {
                day: (_line(self.base_policy, code, day), _line(self.policy, code, day))
                for day in turns
            }
            yield from _changes(f"{POSITIVE_LIST}.{code}", pairs)

    def _turns(self) -> list[date]:
        days = {self.base_policy.first, *self.base_policy.turns, *self.policy.turns}
        return sorted(d for d in days if self.base_policy.first <= d <= self.base_policy.last)


def draft(source: Path | str, base: Policy) -> Draft:
    """The draft of a YAML file (a ``Path``) or of its text (a ``str``), laid over ``base``.

    Raises DraftErrors with every fault at once, each with its line and the cure, and OSError for
    a file that cannot be read.
    """
    file = source.name if isinstance(source, Path) else DRAFT
    text = source
    if isinstance(source, Path):
        try:
            text = source.read_text("utf-8")
        except UnicodeDecodeError as error:
            fault = DraftError(file, 1, "file", "text in UTF-8", str(error), "save it as UTF-8")
            raise DraftErrors([fault]) from None
    content = read(str(text), file, base.parameters, base.first, base.last)
    made = Draft(_laid_over(base, content), base, content)
    faults = list(_cannot_hold(made, file))
    if faults:
        raise DraftErrors(faults)
    return made


# -- laying over -----------------------------------------------------------------------------------


def _laid_over(base: Policy, content: Content) -> Policy:
    parameters: dict[str, Parameter] = dict(base.parameters)
    tariffs, lists = list(base.tariffs), list(base.positive_lists)
    for since, of in content.forward:
        parameters = {i: _brought_forward(p, since, of) for i, p in parameters.items()}
        moved = tariff.in_force(tariffs, of)
        tariffs = [e for e in tariffs if e.starter or not since < e.effective <= of]
        if not moved.starter and moved.effective > since:
            tariffs.insert(0, replace(moved, effective=since))
        moving = [x for x in positive_list.in_force(lists, of) if x.effective > since]
        kept = [x for x in lists if not since < x.effective <= of]
        lists = [*(replace(x, effective=since) for x in moving), *kept]
    by_parameter: dict[str, list[Value]] = {}
    for value in content.values:
        by_parameter.setdefault(value.parameter, []).append(value)
    for identity, values in by_parameter.items():
        parameters[identity] = laid(parameters[identity], values)
    return Policy(parameters, tariffs, lists, (*base.amendments, *content.amendments))


def _brought_forward(old: Parameter, since: date, of: date) -> Parameter:
    """The parameter with what it says on day ``of`` holding from ``since`` on."""
    then = old.on(of)
    kept = [v for v in old.values if not since < v.since <= of]
    if old.id == HORIZON or (len(kept) == len(old.values) and then == old.on(since)):
        return old
    if then is None:
        moved = Value(old.id, None, old.unit, "", since, DRAFT, False, DRAFT)
    else:
        moved = replace(then, since=since, confirmed=False, source=DRAFT)
    return laid(replace(old, values=tuple(kept)), [moved])


def _cannot_hold(made: Draft, file: str) -> Iterator[DraftError]:
    """Days on which the draft as a whole says what the kernel cannot apply."""
    content, told = made.content, set()
    where = {a.since for a in content.amendments} | {v.since for v in content.values}
    where |= {since for since, _ in content.forward}
    line = content.lines.get("parameters", content.lines.get("bring-forward", 1))
    for day in (d for d in made.policy.turns if where and d >= min(where)):
        if not made.base_policy.first <= day <= made.base_policy.last:
            continue
        try:
            rates_of(made.policy.on(day))
        except (OutsideKnown, ValueError) as error:
            if str(error) not in told:
                told.add(str(error))
                yield DraftError(
                    file,
                    line,
                    "parameters",
                    f"a law that can be applied on {day}",
                    str(error),
                    "set what is missing from that day, or bring a later day's law forward",
                )
    at = content.lines.get("positive-list", 1)
    for a in content.amendments:
        if not made.policy.listed(a.since)[0]:
            yield DraftError(
                file,
                at,
                "positive-list",
                f"a day with a positive list for {a.code8}",
                str(a.since),
                "choose a day from the first list on, or bring a later day's law forward",
            )


def day_that_decides(policy: Policy) -> pl.Expr:
    """The day whose law decides, by the rule in force on the day of acceptance."""
    accepted = pl.col("accepted")
    day = accepted
    for value in policy.parameters[DECISION_DATE].values:
        column = _DECIDES[str(value.value)] if value.value is not None else "accepted"
        chosen = pl.coalesce(column, accepted)
        day = pl.when(accepted >= value.since).then(chosen).otherwise(day)
    return day


# -- periods of difference -------------------------------------------------------------------------

_Pair = tuple[Value | None, Value | None]


def _changes(parameter: str, pairs: Mapping[date, _Pair]) -> Iterator[Change]:
    """Runs of days on which the two sides differ in the same way."""
    begun: date | None = None
    last: _Pair = (None, None)
    for day, pair in pairs.items():
        if begun is not None and not _same(pair, last):
            yield Change(parameter, begun, day - _DAY, *last)
            begun = None
        if begun is None and _text(pair[0]) != _text(pair[1]):
            begun, last = day, pair
    if begun is not None:
        yield Change(parameter, begun, None, *last)


def _text(value: Value | None) -> object:
    return None if value is None else value.value


def _same(one: _Pair, other: _Pair) -> bool:
    return (_text(one[0]), _text(one[1])) == (_text(other[0]), _text(other[1]))


def _line(policy: Policy, code: str, day: date) -> Value | None:
    """One line of the list of a day as a fact: its remark, or ``listed``; None: not listed."""
    name, rows, _ = policy.listed(day)
    for row in rows.filter(pl.col("code8") == code).iter_rows(named=True):
        text = f"listed: {row['remark']}" if row["remark"] else "listed"
        law = DRAFT if row["source"] == DRAFT else name
        return Value(
            f"{POSITIVE_LIST}.{code}", text, "word", text, day, law, row["confirmed"], row["source"]
        )
    return None
