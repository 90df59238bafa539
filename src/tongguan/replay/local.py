"""The local engine: history files on this machine, whatever their size.

A first pass spreads the rows over as many spill files as there must be so that one holds the
whole history of some buyers and fits into memory; a second pass judges them. Both are the work of
one process for each core; the one that asks only adds up what they tell, so what a machine must
hold is a bucket a core. A history that fits is not spilled, and judged where it is.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import polars as pl

from tongguan.replay import tally
from tongguan.replay.files import History, placed, read_part
from tongguan.replay.judge import COLUMNS, Judge
from tongguan.replay.schema import BUCKETS, datasets
from tongguan.replay.tally import Tally

PARCELS_AT_ONCE = 200_000
"""Parcels of one bucket: some 0.8 GB of memory while they are judged."""
PROCESSES = min(8, os.cpu_count() or 2)

Progress = Callable[[int, int], None]
"""Called with parcels judged so far, and of how many."""
Frames = Mapping[str, pl.DataFrame]


def run(history: History, judge: Judge, progress: Progress = lambda done, of: None) -> Tally:
    """Judge a whole history. Raises files.BadHistory, OSError when the disk for spilling fails."""
    count = max(1, -(-history.parcels // PARCELS_AT_ONCE))
    if count == 1:
        frames = {name: pl.concat(_rows(history, name)) for name in COLUMNS}
        told = judge(frames)
        progress(history.parcels, history.parcels)
        return tally.total([told])
    return tally.total(_spilled(history, count, judge, progress))


def engine(progress: Progress) -> Callable[[History, Judge], Tally]:
    """The local engine, telling how far it is."""
    return partial(run, progress=progress)


def _spilled(history: History, count: int, judge: Judge, progress: Progress) -> Iterator[Tally]:
    """The tallies of ``count`` buckets, as they are done.

    In processes, each with one thread of Polars: many small steps on columns share a core better
    than they share a lock. The buckets are files of a temporary folder, which goes at the end.
    """
    folder = Path(tempfile.mkdtemp(prefix="tongguan-replay-"))
    spill = Spill(folder, count, {dataset: no_rows(dataset) for dataset in COLUMNS})
    processes = get_context("spawn")
    with (
        _removed(folder),
        _one_thread_each(),
        ProcessPoolExecutor(
            min(PROCESSES, count), processes, initializer=_begin, initargs=(judge, spill)
        ) as pool,
    ):
        try:
            parts = [(dataset, part) for dataset in COLUMNS for part in history.parts(dataset)]
            for spread in as_completed([pool.submit(_spread, *part) for part in parts]):
                spread.result()
            done = 0
            for future in as_completed([pool.submit(_work, number) for number in range(count)]):
                height, told = future.result()
                done += height
                progress(done, history.parcels)
                yield told
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _removed(folder: Path) -> Iterator[None]:
    """The folder goes when the block ends, however it ends."""
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started inside give Polars one thread, unless the user said how many."""
    if "POLARS_MAX_THREADS" in os.environ:
        yield
        return
    os.environ["POLARS_MAX_THREADS"] = "1"
    try:
        yield
    finally:
        del os.environ["POLARS_MAX_THREADS"]


_here: dict[str, Any] = {}
"""Of a process that spreads and judges: what it was begun with."""


def _begin(judge: Judge, spill: "Spill") -> None:
    _here.update(judge=judge, spill=spill)


def _spread(dataset: str, part: Path) -> None:
    _here["spill"].add(dataset, rows(dataset, part))


def _work(number: int) -> tuple[int, Tally]:
    frames = _here["spill"].read(number)
    return frames["parcels"].height, _here["judge"](frames)


def no_rows(dataset: str) -> pl.DataFrame:
    """A dataset without rows, in the columns that ``judge`` takes."""
    placed = {"zone": pl.String(), "month": pl.String()} if dataset == "parcels" else {}
    types = datasets()[dataset].polars
    return pl.DataFrame(schema={name: types[name] for name in COLUMNS[dataset]} | placed)


def rows(dataset: str, part: Path) -> pl.DataFrame:
    """The rows of one history file, in the columns that ``judge`` takes."""
    frame = read_part(dataset, part, list(COLUMNS[dataset]))
    if dataset != "parcels":
        return frame
    zone, month = placed(part)
    return frame.with_columns(zone=pl.lit(zone), month=pl.lit(month))


def _rows(history: History, dataset: str) -> Iterator[pl.DataFrame]:
    """The rows of a dataset, file by file; at least one frame."""
    none = no_rows(dataset)
    yield none
    for part in history.parts(dataset):
        yield rows(dataset, part).select(none.columns)


class Spill:
    """Rows on disk by bucket: a file for each bucket, dataset and process that adds rows, in each
    frames one after the other.

    ``empty``: by dataset no rows, but the columns, of what is added; a dataset that is not named
    is known once it was added to.
    """

    def __init__(
        self, folder: Path, count: int, empty: Mapping[str, pl.DataFrame] | None = None
    ) -> None:
        self._folder, self._count = folder, count
        folder.mkdir(exist_ok=True)
        self._empty = dict(empty or {})

    def add(self, dataset: str, frame: pl.DataFrame) -> None:
        """Append rows to the buckets they belong to."""
        empty = self._empty.setdefault(dataset, frame.clear())
        number = (pl.col("bucket") * self._count // BUCKETS).alias("_number")
        numbered = frame.select(*empty.columns, number)
        for part in numbered.partition_by("_number", maintain_order=True):
            out = BytesIO()
            part.drop("_number").write_ipc(out, compression="lz4")
            data = out.getbuffer()
            name = f"{dataset}-{int(part['_number'][0]):06d}-{os.getpid()}"
            with (self._folder / name).open("ab") as file:
                file.write(len(data).to_bytes(8, "big"))
                file.write(data)

    def stream(self, number: int) -> Iterator[tuple[str, pl.DataFrame]]:
        """The rows of one bucket as they were added: dataset, frame."""
        for dataset in self._empty:
            for frame in self._frames(dataset, number):
                yield dataset, frame

    def read(self, number: int) -> dict[str, pl.DataFrame]:
        """All rows of one bucket, by dataset."""
        return {
            dataset: pl.concat([empty, *self._frames(dataset, number)])
            for dataset, empty in self._empty.items()
        }

    def _frames(self, dataset: str, number: int) -> Iterator[pl.DataFrame]:
        for path in sorted(self._folder.glob(f"{dataset}-{number:06d}-*")):
            with path.open("rb") as file:
                while size := file.read(8):
                    yield pl.read_ipc(BytesIO(file.read(int.from_bytes(size, "big"))))
