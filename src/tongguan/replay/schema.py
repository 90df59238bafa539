"""The versioned schema of history files, read from ``schema.yaml``.

Folder: ``history.json`` (what the files hold), ``policy/`` (the tables the decisions were made
under), and per dataset ``<dataset>/zone=<code>/month=<YYYY-MM>/part-<n>.parquet``, each sorted by
``bucket`` and ``list``. Zone and month (of acceptance) stand in the path alone.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import polars as pl
import pyarrow as pa
import yaml

VERSION_KEY = "tongguan.history.version"
DATASET_KEY = "tongguan.history.dataset"
BUCKETS = 1 << 16
"""How many values ``bucket`` has: the first 16 bits of the buyer's keyed hash."""

_POLARS: dict[str, Any] = {
    "text": pl.String(),
    "int": pl.Int64(),
    "day": pl.Date(),
    "flag": pl.Boolean(),
    "decimal": pl.Decimal(19, 5),
    "hash": pl.Binary(),
}
_ARROW: dict[str, pa.DataType] = {
    "text": pa.string(),
    "int": pa.int64(),
    "day": pa.date32(),
    "flag": pa.bool_(),
    "decimal": pa.decimal128(19, 5),
    "hash": pa.binary(),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its kind of value, whether it may be empty, what it says."""

    name: str
    kind: str
    optional: bool
    en: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """One dataset: what one row of it is, and its columns in order."""

    name: str
    zh: str
    en: str
    columns: tuple[Column, ...]

    @property
    def polars(self) -> dict[str, Any]:
        """The types of its frames."""
        return {column.name: _POLARS[column.kind] for column in self.columns}

    @property
    def arrow(self) -> pa.Schema:
        """The schema of its files, with dataset and version in the metadata."""
        fields = [pa.field(c.name, _ARROW[c.kind], nullable=c.optional) for c in self.columns]
        return pa.schema(fields, {VERSION_KEY: str(version()), DATASET_KEY: self.name})


@cache
def _content() -> dict[str, Any]:
    text = (files(__package__) / "schema.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def version() -> int:
    """The version of the schema that this program writes, and the only one it reads."""
    return int(_content()["version"])


@cache
def datasets() -> dict[str, Dataset]:
    """All datasets by name, in the order of the file."""
    return {
        name: Dataset(
            name,
            about["zh"],
            about["en"],
            tuple(
                Column(column, facts["type"], facts.get("optional", False), facts["en"])
                for column, facts in about["columns"].items()
            ),
        )
        for name, about in _content()["datasets"].items()
    }


def conform(dataset: str, frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with the dataset's columns, types and order. Raises polars' errors if it cannot."""
    return frame.select(
        pl.col(name).cast(kind) for name, kind in datasets()[dataset].polars.items()
    )


def bucket(buyer: pl.Expr) -> pl.Expr:
    """The bucket of a buyer's hash (Binary): its first 16 bits."""
    return buyer.bin.encode("hex").str.head(4).str.to_integer(base=16, dtype=pl.Int64)
