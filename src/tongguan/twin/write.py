"""Make a synthetic zone's traffic: message files and the outcome each parcel must get."""

from __future__ import annotations

import csv
import gc
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from random import Random

from tongguan import messages
from tongguan.twin.faults import FAULTS, UNKNOWN_CODE8, VARIANTS, Fault, Outcome
from tongguan.twin.keyring import Keyring
from tongguan.twin.parcels import KINDS, Maker, Parcel
from tongguan.twin.stream import MOST, Stream, expected_file
from tongguan.twin.zone import Zone

CHUNK = 2000
LIST_VERSION = "twin"
BONDED_REMARK = "仅限网购保税商品"

# With an own positive list: heads left off it, and heads on it for bonded import only.
UNLISTED = frozenset({"34011100", "61091000"})
RESTRICTED = frozenset({"33051000", "96190011"})

# One faultless parcel in so many is unusual in some way; one faulty one in so many has two faults.
_UNUSUAL = Fraction(1, 12)
_SECOND_FAULT = Fraction(1, 6)


@dataclass(frozen=True, slots=True)
class Summary:
    """What was written: counts, bytes of all messages, and parcels by fault or variant."""

    parcels: int
    files: int
    documents: int
    bytes: int
    expected: int
    faults: Mapping[str, int]
    variants: Mapping[str, int]


def write(
    out: Path,
    *,
    seed: int,
    parcels: int,
    faults: Fraction | Decimal | str | int,
    day: date = date(2022, 6, 1),
    documents_per_message: int | None = None,
    shuffle: bool = True,
    positive_list: bool = False,
    only: Sequence[str] | None = None,
    sign: messages.KeyKind | None = None,
) -> Summary:
    """Write `parcels` parcels to out/messages and their outcomes to out/expected.jsonl.

    `faults`: the share of parcels with a fault (0 to 1), dealt evenly over all faults, or over
    `only` (names of FAULTS or VARIANTS, dealt in the order given). A share of 0, or `only`, makes
    no unusual parcels besides and re-sends no file.

    `shuffle`: documents and files arrive in any order, and no final outcome depends on that
    order, but for one thing: the list of a parcel whose documents are changed or deleted comes
    after them. Without it, orders come before payments, waybills and lists, re-declared documents
    last, and message.state can be shown.

    `documents_per_message`: 1 to 100; None draws it. `positive_list`: also write
    out/positive-list.csv (a complete list of version "twin", to be loaded before clearing) and
    use the faults that need one.

    `sign`: every message that can be read is signed by its sender; the keys and certificates lie
    in out/keys/CODE, and message.signature is among the faults. Keys are new ones unless they lie
    there already, and an SM2 signature is another one each time: then only what is signed is the
    same.

    The same arguments give the same bytes. `out` must be absent or hold no messages.
    Raises ValueError for arguments out of range, FileExistsError, policy.OutsideKnown.
    """
    share = Fraction(faults)
    if not 0 <= share <= 1:
        raise ValueError(f"the share of faults lies between 0 and 1, not {faults}")
    if parcels < 0:
        raise ValueError(f"{parcels} parcels")
    if documents_per_message is not None and not 1 <= documents_per_message <= MOST:
        raise ValueError(f"a message holds 1 to {MOST} documents, not {documents_per_message}")
    dealer = Dealer.of(
        seed, share, only, shuffle=shuffle, positive_list=positive_list, signed=sign is not None
    )
    zone = Zone(seed, day)
    rng = Random(f"parcels {seed}")  # noqa: S311 - reproducible, not secret
    maker = Maker(
        zone,
        rng,
        unlisted=UNLISTED if positive_list else frozenset(),
        restricted=RESTRICTED if positive_list else frozenset(),
    )
    folder = out / "messages"
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    folder.mkdir(parents=True, exist_ok=True)
    stream = Stream(
        out=folder,
        rng=Random(f"stream {seed}"),  # noqa: S311
        day=f"{day:%Y%m%d}",
        size=documents_per_message,
        shuffle=shuffle,
        lively=dealer.unusual > 0,
        keyring=None if sign is None else Keyring(out / "keys", sign),
    )
    with _without_collector():
        expected = expected_file(out, _traffic(stream, maker, dealer, parcels))
    if positive_list:
        _write_positive_list(out / "positive-list.csv", zone)
    return Summary(
        parcels=parcels,
        files=stream.files,
        documents=stream.documents,
        bytes=stream.bytes,
        expected=expected,
        faults=dict(sorted(dealer.faults.items())),
        variants=dict(sorted(dealer.variants.items())),
    )


@contextmanager
def _without_collector() -> Iterator[None]:
    """Small objects by the million, no cycles left behind: the collector would find nothing."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _traffic(stream: Stream, maker: Maker, dealer: Dealer, parcels: int) -> Iterator[str]:
    for start in range(0, parcels, CHUNK):
        chunk = [dealer.parcel(maker) for _ in range(min(CHUNK, parcels - start))]
        yield from stream.send(chunk)
        for parcel, _ in chunk:
            parcel.documents = []  # they point back: freed at once, without the collector
    yield from stream.close()


@dataclass(slots=True)
class Dealer:
    """Decides which parcel gets which fault; every fault comes up equally often."""

    rng: Random
    share: Fraction
    unusual: Fraction
    names: list[str]
    ordered: bool
    faults: Counter[str] = field(default_factory=Counter)
    variants: Counter[str] = field(default_factory=Counter)
    _deck: list[str] = field(default_factory=list)
    _variants: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        seed: int,
        share: Fraction,
        only: Sequence[str] | None,
        *,
        shuffle: bool,
        positive_list: bool,
        signed: bool = False,
    ) -> Dealer:
        """Raises ValueError for names that are unknown or impossible with these options."""
        possible = {
            name: fault
            for name, fault in {**FAULTS, **VARIANTS}.items()
            if (positive_list or not fault.needs_list)
            and not (shuffle and fault.in_order)
            and (signed or not fault.signed)
        }
        if only is not None:
            wrong = sorted(set(only) - possible.keys())
            if wrong or not only:
                known = ", ".join(possible)
                raise ValueError(f"no such fault here: {', '.join(wrong)}; there are {known}")
        names = list(only) if only is not None else [n for n in possible if n in FAULTS]
        lively = share > 0 and only is None
        return cls(
            rng=Random(f"faults {seed}"),  # noqa: S311
            share=share,
            unusual=_UNUSUAL if lively else Fraction(0),
            names=names,
            ordered=only is not None,
        )

    def parcel(self, maker: Maker) -> tuple[Parcel, Outcome]:
        """The next parcel with what it must become."""
        names: list[str] = []
        if self._chance(self.share):
            names.append(self._deal(self._deck, self.names, shuffled=not self.ordered))
            if not self.ordered and self._chance(_SECOND_FAULT):
                names += self._second(names[0])
        elif self._chance(self.unusual):
            names.append(self._deal(self._variants, list(VARIANTS), shuffled=True))
        changes = [{**FAULTS, **VARIANTS}[name] for name in names]
        parcel = maker.parcel(next((c.trade_mode for c in changes if c.trade_mode), None))
        parcel.documents = [[parcel.send(kind)] for kind in KINDS]
        outcome = Outcome()
        for change in changes:
            change.change(parcel, outcome, maker)
        parcel.faults = tuple(name for name in names if name in FAULTS)
        self.faults.update(parcel.faults)
        self.variants.update(name for name in names if name in VARIANTS)
        return parcel, outcome

    def _chance(self, share: Fraction) -> bool:
        return share > 0 and self.rng.randrange(share.denominator) < share.numerator

    def _deal(self, deck: list[str], names: list[str], *, shuffled: bool) -> str:
        if not deck:
            deck += reversed(names)
            if shuffled:
                self.rng.shuffle(deck)
        return deck.pop()

    def _second(self, first: str) -> list[str]:
        """Another fault that the first one leaves room for, if there is one."""
        taken = FAULTS[first].touches
        if "all" in taken:
            return []
        free = [n for n in self.names if _stands_beside(FAULTS[n], taken)]
        return [self.rng.choice(free)] if free else []


def _stands_beside(fault: Fault, taken: frozenset[str]) -> bool:
    alone = "all" in fault.touches or fault.needs_list
    return not alone and not fault.touches & taken


def _write_positive_list(path: Path, zone: Zone) -> None:
    """A complete list: every article of the twin but the unlisted, and the code nobody knows."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("version", "code8", "name", "remark", "source"))
        heads = {g.code[:8]: g.name for g in zone.goods} | {UNKNOWN_CODE8: "无此税目"}
        for code8, name in sorted(heads.items()):
            if code8 not in UNLISTED:
                remark = BONDED_REMARK if code8 in RESTRICTED else ""
                rows.writerow((LIST_VERSION, code8, name, remark, "twin"))
