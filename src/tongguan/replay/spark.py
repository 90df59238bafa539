"""The Spark engine: the same buckets, judged by executors on any number of machines.

Executors read history files by their paths (a folder that all of them see), spread the rows over
buckets of whole buyers, and judge one bucket at a time with the very function that the local
engine calls. What comes back are tallies, whose sum does not depend on their order, so the answer
is that of the local engine to the byte. Needs the extra ``tongguan[spark]`` and Java 17.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from tongguan.replay import local, tally
from tongguan.replay.files import History
from tongguan.replay.judge import COLUMNS, Judge
from tongguan.replay.schema import BUCKETS
from tongguan.replay.tally import Tally

PIECES = "number long, dataset string, rows binary"
"""Rows of a dataset that belong to one bucket, as Arrow IPC."""
TALLIES = "tally binary"
BUCKETS_A_CORE = 3
PIECES_A_BATCH = 64
"""Rows that are blobs must not be sent to Python by the thousand."""


class NoSpark(RuntimeError):  # noqa: N818 - what is missing
    """pyspark, what it needs, or Java is not there; says what to install."""


def engine(master: str) -> "partial[Tally]":
    """The engine that runs on a Spark master: local[2], spark://host:7077, yarn …"""
    return partial(run, master=master)


@contextmanager
def session(master: str) -> Iterator[Any]:
    """A Spark session on a master, ended afterwards; or the one that is active, which is not.

    Raises NoSpark.
    """
    try:
        import pandas  # noqa: F401 - Spark's Arrow functions ask for it
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as missing:
        raise NoSpark(
            f"the Spark engine needs {missing.name}: pip install 'tongguan[spark]'"
        ) from None
    active = SparkSession.getActiveSession()
    if active is not None:
        yield active
        return
    builder = SparkSession.builder.master(master).appName("tongguan replay")
    for name, value in _settings().items():
        builder = builder.config(name, value)
    try:
        begun = builder.getOrCreate()
    except (PySparkException, OSError) as problem:
        advice = "is Java 17 there, and the master reachable?"
        raise NoSpark(f"Spark does not start on {master}: {problem}; {advice}") from problem
    try:
        yield begun
    finally:
        begun.stop()


def _settings() -> dict[str, str]:
    """What this engine asks of Spark. Executors on this machine find this very package."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    package = str(Path(__file__).resolve().parents[2])
    others = os.environ.get("PYTHONPATH")
    return {
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(PIECES_A_BATCH),
        "spark.executorEnv.PYTHONPATH": os.pathsep.join([package, *([others] if others else [])]),
        "spark.executorEnv.POLARS_MAX_THREADS": "1",
        "spark.ui.showConsoleProgress": "false",
    }


def run(history: History, judge: Judge, master: str) -> Tally:
    """Judge a whole history on a Spark cluster. Raises NoSpark, and what executors raise."""
    parts = [(name, str(p.resolve())) for name in COLUMNS for p in history.parts(name)]
    if not parts:
        return tally.total([judge(_frames({}))])
    with session(master) as spark:
        cores = max(1, spark.sparkContext.defaultParallelism)
        count = max(-(-history.parcels // local.PARCELS_AT_ONCE), cores * BUCKETS_A_CORE)
        spark.conf.set("spark.sql.shuffle.partitions", str(count))

        # Spark reads the annotations, which a partial does not have.
        def spread(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            return pieces(batches, count)

        def told(table: pa.Table) -> pa.Table:
            return judged(table, judge)

        files = spark.createDataFrame(parts, "dataset string, path string")
        files = files.repartition(min(len(parts), 4 * cores)).mapInArrow(spread, PIECES)
        tallies = files.groupBy("number").applyInArrow(told, TALLIES)
        return tally.total(Tally.from_bytes(bytes(row.tally)) for row in tallies.collect())


def pieces(batches: Iterator[pa.RecordBatch], count: int) -> Iterator[pa.RecordBatch]:
    """In an executor: the rows of history files, cut by bucket. batches: dataset, path."""
    for batch in batches:
        for named in batch.to_pylist():
            dataset, path = named["dataset"], Path(named["path"])
            rows = local.rows(dataset, path).select(local.no_rows(dataset).columns)
            number = (pl.col("bucket") * count // BUCKETS).alias("_number")
            for part in rows.with_columns(number).partition_by("_number", maintain_order=True):
                yield _piece(int(part["_number"][0]), dataset, part.drop("_number"))


def _piece(number: int, dataset: str, rows: pl.DataFrame) -> pa.RecordBatch:
    out = BytesIO()
    rows.write_ipc(out, compression="lz4")
    return pa.RecordBatch.from_pydict(
        {"number": [number], "dataset": [dataset], "rows": [out.getvalue()]},
        pa.schema([("number", pa.int64()), ("dataset", pa.string()), ("rows", pa.binary())]),
    )


def judged(table: pa.Table, judge: Judge) -> pa.Table:
    """In an executor: the tally of one bucket. table: its pieces."""
    found: dict[str, list[pl.DataFrame]] = {}
    for dataset, rows in zip(
        table.column("dataset").to_pylist(), table.column("rows").to_pylist(), strict=True
    ):
        found.setdefault(dataset, []).append(pl.read_ipc(BytesIO(rows)))
    told = judge(_frames(found))
    return pa.table({"tally": pa.array([told.to_bytes()], pa.binary())})


def _frames(found: dict[str, list[pl.DataFrame]]) -> dict[str, pl.DataFrame]:
    return {name: pl.concat([local.no_rows(name), *found.get(name, [])]) for name in COLUMNS}
