"""Clearing an archive of messages anew on Spark: parsed where the files are read, families found by
passing on the least document of each name, each bucket of families cleared by one executor.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from tongguan.replay import archive, bulk
from tongguan.replay.archive import Archive
from tongguan.replay.bulk import Numbered
from tongguan.replay.schema import BUCKETS
from tongguan.replay.spark import BUCKETS_A_CORE, session

PARSED = "chunk long, what string, rows binary"
LINKS = "chunk long, doc long, name long"
PIECES = "number long, what string, rows binary"
HISTORY = "dataset string, rows binary"
_NAMED = "links"


def engine(master: str) -> archive.Engine:
    """The engine that clears on a Spark master."""
    return partial(run, master=master)


def run(task: Archive, files: Sequence[Numbered], master: str) -> Iterator[dict[str, pl.DataFrame]]:
    """Clear numbered files on a cluster. Raises spark.NoSpark, and what executors raise."""
    chunks = [
        (number, [rank for rank, _ in chunk], [str(path) for _, path in chunk])
        for number, chunk in enumerate(archive.chunks(files))
    ]
    if not chunks:
        return
    with session(master) as spark:
        cores = max(1, spark.sparkContext.defaultParallelism)
        spark.conf.set("spark.sql.shuffle.partitions", str(cores * BUCKETS_A_CORE))
        documents = len(files) * 100  # at most; a message holds no more
        count = max(-(-documents // archive.DOCUMENTS_AT_ONCE), cores * BUCKETS_A_CORE)

        def parsed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            return parse(batches, task)

        def links(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            return unpacked(batches)

        def spread(left: pa.Table, right: pa.Table) -> pa.Table:
            return pieces(left, right, count)

        def cleared(table: pa.Table) -> pa.Table:
            return clear(table, task)

        chunked = spark.createDataFrame(
            chunks, "chunk long, ranks array<long>, paths array<string>"
        )
        papers = chunked.repartition(min(len(chunks), 4 * cores)).mapInArrow(parsed, PARSED)
        papers = papers.localCheckpoint()
        named = papers.where(f"what = '{_NAMED}'").mapInArrow(links, LINKS).localCheckpoint()
        placed = families(named)
        bundles = papers.where(f"what <> '{_NAMED}'")
        cut = bundles.groupBy("chunk").cogroup(placed.groupBy("chunk")).applyInArrow(spread, PIECES)
        told = cut.groupBy("number").applyInArrow(cleared, HISTORY)
        for row in told.toLocalIterator():
            yield {row.dataset: pl.read_ipc(BytesIO(bytes(row.rows)))}


def families(named: Any) -> Any:
    """chunk, doc, family of every document: the least document it hangs together with."""
    from pyspark.sql import functions

    least = functions.min("family").alias("family")
    labels = named.select("chunk", "doc").distinct().withColumn("family", functions.col("doc"))
    while True:
        by_name = named.join(labels.select("doc", "family"), "doc").groupBy("name").agg(least)
        found = named.join(by_name, "name").groupBy("chunk", "doc").agg(least).localCheckpoint()
        before = labels.select("doc", functions.col("family").alias("before"))
        if found.join(before, "doc").where("family <> before").isEmpty():
            return found
        labels = found


# ── in executors ─────────────────────────────────────────────────────────────────────────────


def parse(batches: Iterator[pa.RecordBatch], task: Archive) -> Iterator[pa.RecordBatch]:
    """Message files to papers and what they name. batches: chunk, ranks, paths."""
    for batch in batches:
        for row in batch.to_pylist():
            files = zip(row["ranks"], map(Path, row["paths"]), strict=True)
            papers = bulk.parse(files, task.key)
            found = {_NAMED: bulk.links(papers)} | bulk.frames(papers)
            yield _rows(
                [(row["chunk"], what, _packed(frame)) for what, frame in found.items()],
                ("chunk", pa.int64()),
                ("what", pa.string()),
            )


def unpacked(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """What documents name, as rows."""
    for batch in batches:
        for row in batch.to_pylist():
            frame = pl.read_ipc(BytesIO(row["rows"]))
            named = frame.select(pl.lit(row["chunk"]).cast(pl.Int64).alias("chunk"), "doc", "name")
            yield from named.to_arrow().to_batches()


def pieces(papers: pa.Table, placed: pa.Table, count: int) -> pa.Table:
    """The papers of one chunk, cut by bucket of families; with each, its documents' families."""
    family = archive.numbered(pl.DataFrame(pl.from_arrow(placed)).select("doc", "family"))
    number = (pl.col("bucket") * count // BUCKETS).alias("_number")
    places = family.select("doc", number)
    rows: list[tuple[int, str, bytes]] = []
    frames = [("family", family.drop("bucket"))]
    frames += [
        (what, pl.read_ipc(BytesIO(data)))
        for what, data in zip(papers["what"].to_pylist(), papers["rows"].to_pylist(), strict=True)
    ]
    for what, frame in frames:
        parts = frame.join(places, on="doc").partition_by("_number", maintain_order=True)
        rows += [(int(p["_number"][0]), what, _packed(p.drop("_number"))) for p in parts]
    return pa.Table.from_batches([_rows(rows, ("number", pa.int64()), ("what", pa.string()))])


def clear(table: pa.Table, task: Archive) -> pa.Table:
    """Clear one bucket of families; its history. table: its pieces."""
    found: dict[str, list[pl.DataFrame]] = {}
    for what, data in zip(table["what"].to_pylist(), table["rows"].to_pylist(), strict=True):
        found.setdefault(what, []).append(pl.read_ipc(BytesIO(data)))
    frames = {what: pl.concat(parts) for what, parts in found.items()}
    history = task.clear(frames, frames.pop("family"))
    rows = [(name, _packed(rows)) for name, rows in history.items() if rows.height]
    return pa.Table.from_batches([_rows(rows, ("dataset", pa.string()))])


def _packed(frame: pl.DataFrame) -> bytes:
    out = BytesIO()
    frame.write_ipc(out, compression="lz4")
    return out.getvalue()


def _rows(rows: Sequence[tuple[Any, ...]], *keys: tuple[str, pa.DataType]) -> pa.RecordBatch:
    """Tuples as a batch of these columns and, last, ``rows``: a blob."""
    schema = pa.schema([*keys, ("rows", pa.binary())])
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [pa.array(column, kind.type) for column, kind in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
