"""History files: written whole or not at all, read part by part."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tongguan import policy
from tongguan.replay.schema import DATASET_KEY, VERSION_KEY, conform, datasets, version

MANIFEST = "history.json"
ROWS_OF_A_GROUP = 1 << 15
ROWS_OF_A_PART = 1 << 18
"""Rows of one file: what a reader must hold at a time."""
OPEN_FILES = 256


class BadHistory(ValueError):  # noqa: N818 - what it is
    """A folder without a history, or with one this version cannot read; says what to do."""


@dataclass(slots=True)
class _File:
    """The file of a place that is being written: rows that wait for a group, and room for more."""

    dataset: str
    waiting: list[pl.DataFrame] = field(default_factory=list)
    writer: pq.ParquetWriter | None = None
    room: int = 0


class Writer:
    """Writes a history into a new folder, which appears under its name only when all is written.

    Rows of a zone and month come sorted by bucket and list. Raises FileExistsError
    if the folder is there and not empty.
    """

    def __init__(self, folder: Path) -> None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise FileExistsError(f"{folder} is there already: name a new or an empty folder")
        self._folder = folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._under_way = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        self._open: dict[Path, _File] = {}
        self._parts: dict[Path, int] = {}
        self._policies: dict[str, dict[str, bytes]] = {}
        self.rows: dict[str, int] = dict.fromkeys(datasets(), 0)

    def write(self, dataset: str, zone: str, month: str, frame: pl.DataFrame) -> None:
        """Append rows to the files of a zone and a month."""
        place = self._under_way / dataset / f"zone={zone}" / f"month={month}"
        self.rows[dataset] += frame.height
        if place not in self._open and len(self._open) == OPEN_FILES:
            self._finish(next(iter(self._open)))
        file = self._open.setdefault(place, _File(dataset))
        file.waiting.append(frame)
        if sum(part.height for part in file.waiting) >= ROWS_OF_A_GROUP:
            self._flush(place, file)

    def _flush(self, place: Path, file: "_File") -> None:
        """Write what waits as row groups, in files of at most ROWS_OF_A_PART."""
        frame = conform(file.dataset, pl.concat(file.waiting))
        file.waiting = []
        schema = datasets()[file.dataset].arrow
        while frame.height:
            if file.writer is None or not file.room:
                if file.writer is not None:
                    file.writer.close()
                number = self._parts[place] = self._parts.get(place, 0) + 1
                place.mkdir(parents=True, exist_ok=True)
                name = place / f"part-{number:04d}.parquet"
                file.writer = pq.ParquetWriter(name, schema, compression="zstd")
                file.room = ROWS_OF_A_PART
            now, frame = frame.head(file.room), frame.slice(file.room)
            file.writer.write_table(now.to_arrow().cast(schema), row_group_size=ROWS_OF_A_GROUP)
            file.room -= now.height

    def _finish(self, place: Path) -> None:
        file = self._open.pop(place)
        if file.waiting:
            self._flush(place, file)
        if file.writer is not None:
            file.writer.close()

    def policies(self, known: Mapping[str, policy.Policy]) -> None:
        """Keep the tables that were loaded into each policy (by its hash)."""
        self._policies = {digest: _editions(each) for digest, each in known.items()}
        folder = self._under_way / "policy"
        folder.mkdir(exist_ok=True)
        for editions in self._policies.values():
            for name, content in editions.items():
                (folder / name).write_bytes(content)

    def finish(self, since: date | None, until: date | None) -> dict[str, Any]:
        """Close the files and give the folder its name; what the manifest says.

        since, until: days of acceptance it was limited to (None: not limited).
        """
        for place in list(self._open):
            self._finish(place)
        facts = {
            "history": "tongguan",
            "version": version(),
            "from": since.isoformat() if since else None,
            "to": until.isoformat() if until else None,
            "rows": self.rows,
            "policies": {digest: sorted(names) for digest, names in self._policies.items()},
        }
        text = json.dumps(facts, ensure_ascii=False, indent=1)
        (self._under_way / MANIFEST).write_text(text + "\n", encoding="utf-8")
        mask = os.umask(0)
        os.umask(mask)
        self._under_way.chmod(0o777 & ~mask)
        if self._folder.exists():
            self._folder.rmdir()
        self._under_way.rename(self._folder)
        return facts

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        for file in self._open.values():
            if file.writer is not None:
                file.writer.close()
        shutil.rmtree(self._under_way, ignore_errors=True)


def _editions(known: policy.Policy) -> dict[str, bytes]:
    """The tables of a policy that the package itself does not bring, as files by their names."""
    kinds: dict[str, Sequence[policy.TariffEdition | policy.PositiveListEdition]] = {
        "tariff": known.tariffs,
        "positive-list": known.positive_lists,
    }
    return {
        f"{kind}-{edition.hash[:16]}.parquet": edition.to_bytes()
        for kind, editions in kinds.items()
        for edition in editions
        if not edition.starter
    }


@dataclass(frozen=True, slots=True)
class History:
    """A folder of history files, checked to be one that this version reads."""

    folder: Path
    facts: Mapping[str, Any]

    @classmethod
    def open(cls, folder: Path) -> "History":
        """Raises BadHistory."""
        try:
            facts = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise BadHistory(
                f"{folder} holds no history ({MANIFEST} is missing or broken): "
                "tongguan export history writes one"
            ) from None
        if not isinstance(facts, dict) or facts.get("version") != version():
            found = facts.get("version") if isinstance(facts, dict) else None
            raise BadHistory(
                f"{folder} is a history of version {found}, this program reads version "
                f"{version()}: export it again with this program"
            )
        return cls(folder, facts)

    @property
    def parcels(self) -> int:
        """How many parcels the files hold."""
        return int(self.facts["rows"]["parcels"])

    def parts(self, dataset: str) -> list[Path]:
        """The files of a dataset, in the order of zone, month and number."""
        return sorted((self.folder / dataset).glob("zone=*/month=*/part-*.parquet"))

    def read(self, dataset: str, part: Path, columns: list[str] | None = None) -> pl.DataFrame:
        """One file with ``zone`` and ``month`` from its path. Raises BadHistory."""
        frame = read_part(dataset, part, columns)
        zone, month = placed(part)
        return frame.with_columns(zone=pl.lit(zone), month=pl.lit(month))

    def empty(self, dataset: str, columns: list[str] | None = None) -> pl.DataFrame:
        """No rows of a dataset, as ``read`` gives them."""
        frame = pl.DataFrame(schema=datasets()[dataset].polars)
        chosen = frame if columns is None else frame.select(columns)
        return chosen.with_columns(zone=pl.lit(""), month=pl.lit(""))

    def editions(self) -> dict[str, dict[str, bytes]]:
        """By recorded hash of a policy: the tables it was made of beside the package's own."""
        return {
            digest: {name: (self.folder / "policy" / name).read_bytes() for name in names}
            for digest, names in self.facts["policies"].items()
        }


def placed(part: Path) -> tuple[str, str]:
    """Zone and month of a file, from its path."""
    month, zone = part.parent.name, part.parent.parent.name
    return zone.removeprefix("zone="), month.removeprefix("month=")


def build(content: Mapping[str, bytes]) -> policy.Policy:
    """The built-in law with the tables of these files laid over it.

    Where this program's own parameters have changed since, it has another hash than recorded.
    """
    return policy.load(
        tariffs=[
            policy.TariffEdition.from_bytes(data)
            for name, data in sorted(content.items())
            if name.startswith("tariff-")
        ],
        positive_lists=[
            policy.PositiveListEdition.from_bytes(data)
            for name, data in sorted(content.items())
            if name.startswith("positive-list-")
        ],
    )


def read_part(dataset: str, part: Path, columns: list[str] | None = None) -> pl.DataFrame:
    """One file of a dataset. Raises BadHistory for one of another kind or version."""
    try:
        about = pl.read_parquet_metadata(part)
        if (about.get(DATASET_KEY), about.get(VERSION_KEY)) != (dataset, str(version())):
            raise BadHistory(
                f"{part} is no file of {dataset}, version {version()}: "
                f"it says {about.get(DATASET_KEY)}, version {about.get(VERSION_KEY)}"
            )
        return pl.read_parquet(part, columns=columns, hive_partitioning=False)
    except (pl.exceptions.PolarsError, OSError, pa.ArrowException) as problem:
        raise BadHistory(f"{part} cannot be read: {problem}") from problem
