"""From an archive of messages to history files, on this machine; spark.py does it on many."""

import hashlib
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from tongguan import clearance, policy
from tongguan.clearance import ZONE
from tongguan.replay import bulk
from tongguan.replay.bulk import Numbered
from tongguan.replay.files import Writer, build
from tongguan.replay.local import Spill
from tongguan.replay.schema import BUCKETS

FILES_AT_ONCE = 100
DOCUMENTS_AT_ONCE = 400_000
"""Documents of one bucket of families: what is held in memory while it is cleared."""


@dataclass(frozen=True)
class Archive:
    """What one who clears a part of an archive must be told, in values that travel.

    at: the time everything is cleared at. tables: of the policy, beside the package's own. key:
    of the hashes of personal numbers; made for each archive, so its hashes meet no others.
    """

    at: datetime
    tables: tuple[tuple[str, bytes], ...]
    key: bytes

    @cached_property
    def known(self) -> policy.Policy:
        return build(dict(self.tables))

    @property
    def law(self) -> policy.Law:
        return self.known.on(self.at.astimezone(ZONE).date())

    @property
    def at_ms(self) -> int:
        return int(self.at.timestamp()) * 1000

    def clear(
        self, papers: Mapping[str, pl.DataFrame], family: pl.DataFrame
    ) -> dict[str, pl.DataFrame]:
        """The history of whole families. papers: as from ``bulk.frames``."""
        together = bulk.gathered(papers)
        cleared = bulk.clear(together, family, self.law)
        return bulk.history(cleared, together, self.law, self.at_ms)


Engine = Callable[[Archive, Sequence[Numbered]], Iterator[dict[str, pl.DataFrame]]]
"""Clears numbered files; gives the history datasets of bucket after bucket."""


def write(
    folder: Path, paths: Sequence[Path], at: datetime, engine: Engine | None = None
) -> dict[str, Any]:
    """Clear the messages of files or folders anew, all at one time, and write their history.

    As ``clear`` with an open registry and signatures ignored would on an empty database. Raises
    policy.OutsideKnown, FileExistsError, OSError. Returns the manifest.
    """
    archive = Archive(at, (), secrets.token_bytes(32))
    law = archive.law
    files = distinct([source.path for source in clearance.sources(paths)])
    with Writer(folder) as writer:
        for datasets in (engine or local)(archive, files):
            for dataset, rows in datasets.items():
                for (zone, month), part in rows.group_by("zone", "month", maintain_order=True):
                    writer.write(dataset, str(zone), str(month), part)
        writer.policies({law.hash: archive.known})
        return writer.finish(None, None)


def distinct(paths: Sequence[Path]) -> list[Numbered]:
    """The files in the order of their arrival; the same bytes a second time are left out."""
    seen: set[bytes] = set()
    found = []
    for rank, path in enumerate(paths):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
        if digest not in seen:
            seen.add(digest)
            found.append((rank, path.resolve()))
    return found


def chunks(files: Sequence[Numbered]) -> Iterator[Sequence[Numbered]]:
    for start in range(0, len(files), FILES_AT_ONCE):
        yield files[start : start + FILES_AT_ONCE]


def local(archive: Archive, files: Sequence[Numbered]) -> Iterator[dict[str, pl.DataFrame]]:
    """Clear on this machine. What was parsed waits on disk, bucket by bucket of families."""
    with tempfile.TemporaryDirectory(prefix="tongguan-archive-") as folder:
        parsed = Spill(Path(folder) / "parsed", 1)
        named = [bulk.links(bulk.gathered(_nothing()))]
        documents = 0
        for chunk in chunks(files):
            papers = bulk.parse(chunk, archive.key)
            named.append(bulk.links(papers))
            documents += papers.documents.height
            for name, frame in bulk.frames(papers).items():
                parsed.add(name, frame.with_columns(bucket=pl.lit(0, pl.Int64)))
        family = numbered(bulk.families(pl.concat(named)))
        count = max(1, -(-documents // DOCUMENTS_AT_ONCE))
        spread = Spill(Path(folder) / "spread", count)
        for name, frame in parsed.stream(0):
            spread.add(name, frame.drop("bucket").join(family.drop("family"), on="doc"))
        for number in range(count):
            found = {name: frame.drop("bucket") for name, frame in spread.read(number).items()}
            if found and found["documents"].height:
                mine = family.join(found["documents"].select("doc"), on="doc", how="semi")
                yield archive.clear(found, mine.drop("bucket"))


def _nothing() -> dict[str, pl.DataFrame]:
    return {"documents": bulk.no_documents()}


def numbered(family: pl.DataFrame) -> pl.DataFrame:
    """doc, family, bucket: where whole families go."""
    spread = pl.col("family").hash(0) % BUCKETS
    return family.with_columns(bucket=spread.cast(pl.Int64))
