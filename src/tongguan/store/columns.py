"""Columns in and out: Polars frames by COPY, in both directions.

In: Polars writes CSV at native speed and PostgreSQL reads it; nothing touches single values in
Python. Text is always quoted, so NULL (unquoted, empty) and the empty string stay apart, and a
value such as ``\\.`` or ``NULL`` has no meaning. Out: the statement is described by the server,
run inside COPY TO STDOUT, and read by Polars.
"""

import re
import struct
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

import polars as pl
import psycopg
from psycopg import pq, sql

from tongguan.store.connection import Connection, behind, turn

#: Rows written at a time: bounds the memory of a copy, large enough to cost nothing.
_ROWS = 65_536
_ANALYSE_FROM = 512

_SQL_TYPES: Mapping[pl.DataType | type[pl.DataType], str] = {
    pl.String: "text",
    pl.Boolean: "boolean",
    pl.Int8: "smallint",
    pl.Int16: "smallint",
    pl.Int32: "integer",
    pl.Int64: "bigint",
    pl.UInt8: "smallint",
    pl.UInt16: "integer",
    pl.UInt32: "bigint",
    pl.UInt64: "numeric(20)",
    pl.Int128: "numeric(39)",
    pl.Float32: "real",
    pl.Float64: "double precision",
    pl.Date: "date",
    pl.Binary: "bytea",
    pl.Categorical: "text",
    pl.Enum: "text",
}


@dataclass(frozen=True, slots=True)
class Rows:
    """A frame as COPY takes it: names of the columns, the text in parts, rows, the format."""

    columns: tuple[str, ...]
    parts: tuple[bytes, ...]
    height: int
    format: Literal["csv", "binary"] = "csv"


def encode(frame: pl.DataFrame) -> Rows:
    """``frame`` ready for :func:`copy`, so that another thread can do what costs time.

    Raises what ``copy`` raises for a frame that cannot be copied.
    """
    columns = [_to_text(name, dtype) for name, dtype in frame.schema.items()]
    starts = range(0, frame.height, _ROWS)
    parts = tuple(_csv(frame.slice(start, _ROWS), columns) for start in starts)
    return Rows(tuple(frame.columns), parts, frame.height)


def copy(connection: psycopg.Connection, table: str, frame: pl.DataFrame | Rows) -> int:
    """Appends ``frame`` to ``table`` (``name`` or ``schema.name``); returns the number of rows.

    Columns go to the columns of the same name. Null becomes NULL, "" stays "". Lists become arrays,
    Binary bytea, Decimal numeric; times with a zone become timestamptz, without one timestamp.
    Raises ValueError for text with a NUL, which PostgreSQL cannot hold, TypeError for a column
    type that has no counterpart, and what psycopg raises when the rows do not fit the table.
    """
    if not frame.columns:
        raise ValueError(f"nothing to copy into {table}: the frame has no columns")
    rows = frame if isinstance(frame, Rows) else encode(frame)
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT {})").format(
        _identifier(table),
        sql.SQL(", ").join(sql.Identifier(name) for name in rows.columns),
        sql.SQL(rows.format),
    )
    with turn(connection), connection.cursor() as cursor, cursor.copy(statement) as sink:
        for part in rows.parts:
            sink.write(part)
    return rows.height


def copy_behind(connection: psycopg.Connection, table: str, frame: pl.DataFrame | Rows) -> None:
    """``copy`` while the caller goes on; what it raises, the next use of the connection raises."""
    behind(connection, lambda conn: copy(conn, table, frame))


def _csv(part: pl.DataFrame, columns: Sequence[pl.Expr]) -> bytes:
    buffer = BytesIO()
    part.select(columns).write_csv(buffer, include_header=False, quote_style="non_numeric")
    data = buffer.getvalue()
    if b"\0" in data:
        raise ValueError(f"text with a NUL character in {_nul_columns(part)}")
    return data


_FIXED: Mapping[Any, tuple[int, Callable[..., bytes]]] = {
    pl.Int16: (2, struct.Struct("!ih").pack),
    pl.Int32: (4, struct.Struct("!ii").pack),
    pl.Int64: (8, struct.Struct("!iq").pack),
    pl.Boolean: (1, struct.Struct("!i?").pack),
}
"""Values of fixed length: how long, and how to write length and value."""


_BINARY_BYTES = 1 << 17


def encode_binary(schema: Mapping[str, Any], rows: Iterable[Sequence[Any]]) -> Rows:
    """Rows with large values ready for :func:`copy`, which takes them as they are.

    schema: whole numbers, Boolean, String and Binary, each as its column in the table has it; bytes
    may also stand for text in UTF-8. Raises TypeError for another type. In the binary format of
    COPY (PostgreSQL manual, COPY, File Formats).
    """
    fixed = []
    for name, dtype in schema.items():
        base = _instance(dtype).base_type()
        if base not in (*_FIXED, pl.String, pl.Binary):
            raise TypeError(f"column {name!r} of type {dtype} cannot be copied in binary")
        fixed.append(_FIXED.get(base))
    width, length = struct.pack("!h", len(fixed)), struct.Struct("!i").pack
    absent = length(-1)
    parts, part, size, height = [], [b"PGCOPY\n\xff\r\n\0", bytes(8)], 0, 0
    for row in rows:
        height += 1
        part.append(width)
        for value, known in zip(row, fixed, strict=True):
            if value is None:
                part.append(absent)
            elif known is not None:
                part.append(known[1](known[0], value))
            else:
                data = value.encode() if isinstance(value, str) else value
                part += (length(len(data)), data)
                size += len(data)
        if size > _BINARY_BYTES:
            parts.append(b"".join(part))
            part, size = [], 0
    parts.append(b"".join([*part, struct.pack("!h", -1)]))
    return Rows(tuple(schema), tuple(parts), height, "binary")


def _nul_columns(part: pl.DataFrame) -> str:
    texts = part.select(pl.col(pl.String)).columns
    holds = [name for name in texts if part[name].str.contains("\0", literal=True).any()]
    return ", ".join(holds) or "a list"


def _to_text(name: str, dtype: pl.DataType) -> pl.Expr:
    """The column as Polars writes it into CSV so that PostgreSQL reads the same value."""
    column = pl.col(name)
    if isinstance(dtype, pl.List):
        return _array(column, _instance(dtype.inner)).alias(name)
    if isinstance(dtype, pl.Datetime):
        return _datetime(column, dtype)
    if isinstance(dtype, pl.Binary):
        return (pl.lit("\\x") + column.bin.encode("hex")).alias(name)
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return column.cast(pl.String)
    if isinstance(dtype, pl.Decimal | pl.Null) or dtype.base_type() in _SQL_TYPES:
        return column
    raise TypeError(f"column {name!r} of type {dtype} cannot be copied into PostgreSQL")


def _datetime(column: pl.Expr, dtype: pl.Datetime) -> pl.Expr:
    if dtype.time_zone is None:
        return column.dt.to_string("%Y-%m-%d %H:%M:%S%.6f")
    return column.dt.convert_time_zone("UTC").dt.to_string("%Y-%m-%d %H:%M:%S%.6f+00")


def _array(column: pl.Expr, inner: pl.DataType) -> pl.Expr:
    """A list column as PostgreSQL array literals: {1,NULL,2} or {"a","b\\"c"}."""
    item = pl.element()
    if inner == pl.String:
        escaped = item.str.replace_all("\\", "\\\\", literal=True).str.replace_all(
            '"', '\\"', literal=True
        )
        item = pl.lit('"') + escaped + pl.lit('"')
    elif not (inner.is_integer() or inner.is_decimal()):
        raise TypeError(f"a list of {inner} cannot be copied into PostgreSQL")
    items = column.list.eval(item.cast(pl.String).fill_null("NULL"))
    return pl.lit("{") + items.list.join(",") + pl.lit("}")


def _identifier(table: str) -> sql.Identifier:
    return sql.Identifier(*table.split("."))


# --- keys to join with ----------------------------------------------------------------------------


def sql_type(dtype: pl.DataType) -> str:
    """The PostgreSQL type that holds a Polars type. Raises TypeError if there is none."""
    if isinstance(dtype, pl.List):
        return f"{sql_type(_instance(dtype.inner))}[]"
    if isinstance(dtype, pl.Decimal):
        return f"numeric({dtype.precision},{dtype.scale})"
    if isinstance(dtype, pl.Datetime):
        return "timestamptz" if dtype.time_zone else "timestamp"
    try:
        return _SQL_TYPES[dtype.base_type()]
    except KeyError:
        raise TypeError(f"PostgreSQL has no type for {dtype}") from None


def keys(connection: psycopg.Connection, name: str, frame: pl.DataFrame) -> None:
    """Makes the temporary table ``name`` with the rows of ``frame``; it goes with the transaction.

    For joins with many keys. A few hundred are cheaper through ``unnest``, which makes no table.
    """
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(sql_type(dtype)))
        for column, dtype in frame.schema.items()
    ]
    connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP").format(
            sql.Identifier(name), sql.SQL(", ").join(columns)
        )
    )
    copy(connection, name, frame)
    if frame.height >= _ANALYSE_FROM:
        # Without figures the planner takes the table for tiny and joins row by row.
        connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(name)))


def unnest(name: str, frame: pl.DataFrame) -> tuple[str, list[str]]:
    """``frame`` as a row source for one statement: a fragment for FROM, and its parameters.

    ``fragment, values = unnest("k", frame)``, then
    ``fetch(connection, f"SELECT … FROM {fragment} JOIN t USING (…)", values)``. Columns of text,
    integers and decimals; they keep name, order and nulls.
    """
    types = ", ".join(f"%s::{sql_type(dtype)}[]" for dtype in frame.schema.values())
    # The statement has parameters, in which a percent sign is written twice.
    columns = ", ".join(_quoted(column).replace("%", "%%") for column in frame.columns)
    rows = frame.select(pl.all().implode())
    arrays = rows.select(_array(pl.col(c), dtype).alias(c) for c, dtype in frame.schema.items())
    return f"unnest({types}) AS {_quoted(name)}({columns})", list(arrays.row(0))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


# --- out ------------------------------------------------------------------------------------------

_UTC_TIME = pl.Datetime("us", "UTC")
#: PostgreSQL type (OID of pg_type) -> Polars type
_POLARS_TYPES: Mapping[int, pl.DataType] = {
    16: pl.Boolean(),
    17: pl.Binary(),
    18: pl.String(),
    19: pl.String(),
    20: pl.Int64(),
    21: pl.Int16(),
    23: pl.Int32(),
    25: pl.String(),
    26: pl.Int64(),
    114: pl.String(),
    700: pl.Float32(),
    701: pl.Float64(),
    1042: pl.String(),
    1043: pl.String(),
    1082: pl.Date(),
    1114: pl.Datetime("us"),
    1184: _UTC_TIME,
    2950: pl.String(),
    3802: pl.String(),
    1005: pl.List(pl.Int16()),
    1007: pl.List(pl.Int32()),
    1009: pl.List(pl.String()),
    1015: pl.List(pl.String()),
    1016: pl.List(pl.Int64()),
}
_NUMERIC = 1700
#: numeric without precision and scale, such as a sum
_WIDE = pl.Decimal(38, 9)


def numbers(conn: psycopg.Connection, sequence: str, count: int) -> list[int]:
    """The next numbers of a sequence; transactions that fail leave gaps."""
    if not count:
        return []
    sql = "SELECT array_agg(nextval(%s::regclass)) FROM generate_series(1, %s)"
    row = conn.execute(sql, (sequence, count)).fetchone()
    assert row is not None
    return list(row[0])


def fetch(
    connection: psycopg.Connection,
    query: str,
    params: Sequence[Any] | Mapping[str, Any] | None = None,
    schema: Mapping[str, pl.DataType | type[pl.DataType]] | None = None,
) -> pl.DataFrame:
    """The rows of one statement (SELECT, VALUES, or one with RETURNING) as a frame.

    Types are those the server describes: numeric(p,s) is Decimal(p,s), a numeric without them
    Decimal(38,9), timestamptz Datetime in UTC, text[] List(String). ``schema`` names another type
    for some columns. With ``params`` a percent sign is written ``%%``, as everywhere in psycopg.
    Raises ValueError for a number that its Decimal cannot hold exactly and for two columns of one
    name, TypeError for a type without counterpart, and what psycopg raises.
    """
    [frame] = _frames(connection, query, params, schema, None)
    return frame


def stream(
    connection: psycopg.Connection,
    query: str,
    params: Sequence[Any] | Mapping[str, Any] | None = None,
    schema: Mapping[str, pl.DataType | type[pl.DataType]] | None = None,
    rows: int = _ROWS,
) -> Iterator[pl.DataFrame]:
    """As ``fetch``, in frames of at most so many rows, however many there are; at least one.

    The connection is taken until the last frame was asked for.
    """
    return _frames(connection, query, params, schema, rows)


def _frames(
    connection: psycopg.Connection,
    query: str,
    params: Sequence[Any] | Mapping[str, Any] | None,
    schema: Mapping[str, pl.DataType | type[pl.DataType]] | None,
    rows: int | None,
) -> Iterator[pl.DataFrame]:
    with psycopg.ClientCursor(connection) as cursor:
        # As one literal statement, because COPY takes no parameters.
        statement = cursor.mogrify(query, params) if params else query
        described = _described(connection, statement, query, params)
        types = {**described, **{n: _instance(t) for n, t in (schema or {}).items()}}
        if unknown := types.keys() - described.keys():
            raise ValueError(f"no such column in the result: {', '.join(sorted(unknown))}")
        source = _copied(connection, f"COPY ({statement}) TO STDOUT (FORMAT csv)".encode())
        with closing(source):
            # Twice as fast as joining the rows: they are freed as they come. Each is one row.
            buffer, told = BytesIO(), 0
            for told, row in enumerate(source, 1):
                buffer.write(row)
                if rows is not None and told % rows == 0:
                    yield _read(buffer.getvalue(), described, types)
                    buffer = BytesIO()
        if rows is None or not told or told % rows:
            yield _read(buffer.getvalue(), described, types)


def _copied(
    connection: psycopg.Connection, statement: bytes
) -> Generator[bytes | memoryview, None, None]:
    """The rows that a COPY TO STDOUT gives.

    Taken from libpq itself: psycopg's copy costs 8 µs for each row, which is most of a fetch.
    """
    connection.execute("")  # begins a transaction, unless there is one or none is wanted
    with turn(connection):
        yield from _rows_of(connection, statement)


def _rows_of(
    connection: psycopg.Connection, statement: bytes
) -> Generator[bytes | memoryview, None, None]:
    server = connection.pgconn
    answer = server.exec_(statement)
    if answer.status != pq.ExecStatus.COPY_OUT:
        raise _failure(server, answer)
    try:
        while True:
            length, row = server.get_copy_data(0)
            if length < 0:
                break
            yield row
    except GeneratorExit:
        connection.cancel()
        while server.get_copy_data(0)[0] >= 0:
            pass
        while server.get_result() is not None:
            pass
        raise
    failure = None
    while (ended := server.get_result()) is not None:
        if ended.status != pq.ExecStatus.COMMAND_OK:
            failure = failure or _failure(server, ended)
    if failure is not None:
        raise failure


def _failure(server: pq.abc.PGconn, answer: pq.abc.PGresult) -> psycopg.Error:
    if server.status != pq.ConnStatus.OK:
        # The answer is libpq's own then, without a SQLSTATE that would say so.
        return psycopg.OperationalError(server.get_error_message())
    return psycopg.errors.error_from_result(answer, encoding="utf-8")


def _instance(dtype: Any) -> pl.DataType:
    found: pl.DataType = dtype() if isinstance(dtype, type) else dtype
    return found


def _described(
    connection: psycopg.Connection,
    statement: str,
    query: str,
    params: Sequence[Any] | Mapping[str, Any] | None,
) -> dict[str, pl.DataType]:
    """The columns that a statement will have; a connection asks once for each query.

    As with a prepared statement, tables must keep their columns while the connection is open.
    """
    if not isinstance(connection, Connection):
        return _ask(connection, statement)
    values = params.values() if isinstance(params, Mapping) else params or ()
    asked = (query, *map(type, values))
    if asked not in connection.described:
        if len(connection.described) >= _DESCRIBED_MOST:
            connection.described.clear()  # some queries carry a number that is new each time
        connection.described[asked] = _ask(connection, statement)
    return connection.described[asked]


_DESCRIBED_MOST = 500


def _ask(connection: psycopg.Connection, statement: str) -> dict[str, pl.DataType]:
    """The columns that a statement will have, by asking the server without running it."""
    server = connection.pgconn
    with turn(connection):
        for answer in (server.prepare(b"", statement.encode()), server.describe_prepared(b"")):
            if answer.status != pq.ExecStatus.COMMAND_OK:
                raise _failure(server, answer)
    names = [(answer.fname(i) or b"").decode() for i in range(answer.nfields)]
    if len(set(names)) < len(names):
        raise ValueError(f"two columns of the result have one name: {', '.join(names)}")
    return {
        name: _polars_type(name, answer.ftype(i), answer.fmod(i)) for i, name in enumerate(names)
    }


def _polars_type(name: str, oid: int, modifier: int) -> pl.DataType:
    if oid == _NUMERIC:
        # The modifier packs precision and scale, plus four (numeric.c).
        packed = modifier - 4
        return pl.Decimal(packed >> 16 & 0xFFFF, packed & 0x7FF) if packed >= 0 else _WIDE
    try:
        return _POLARS_TYPES[oid]
    except KeyError:
        raise TypeError(f"column {name!r}: PostgreSQL type {oid} has no Polars type") from None


def _read(
    data: bytes, described: Mapping[str, pl.DataType], types: Mapping[str, pl.DataType]
) -> pl.DataFrame:
    if not data:
        return pl.DataFrame(schema=dict(types))
    plain = {name: described[name] == types[name] and _is_plain(types[name]) for name in types}
    raw = {name: types[name] if plain[name] else pl.String() for name in types}
    frame = pl.read_csv(data, has_header=False, schema=raw, raise_if_empty=False)
    return frame.with_columns(
        _from_text(frame[name], types[name]) for name in types if not plain[name]
    )


def _is_plain(dtype: pl.DataType) -> bool:
    """Whether Polars reads the type from CSV exactly as PostgreSQL writes it."""
    if isinstance(dtype, pl.Decimal):
        # A wider number would be cut off in silence.
        return dtype != _WIDE
    return dtype.is_numeric() or isinstance(dtype, pl.String)


def _from_text(text: pl.Series, dtype: pl.DataType) -> pl.Series:
    """PostgreSQL's text values as ``dtype``; raises ValueError where one does not fit."""
    if isinstance(dtype, pl.Decimal):
        return _decimals(text, dtype)
    if isinstance(dtype, pl.Boolean):
        return text == "t"
    if isinstance(dtype, pl.Binary):
        return text.str.slice(2).str.decode("hex")
    if isinstance(dtype, pl.Date):
        return text.str.to_date("%Y-%m-%d")
    if isinstance(dtype, pl.Datetime):
        return _times(text, dtype)
    if isinstance(dtype, pl.List):
        return _lists(text, dtype)
    return text.cast(dtype)


def _decimals(text: pl.Series, dtype: pl.Decimal) -> pl.Series:
    # Polars cuts further digits off in silence; money must not.
    lost = text.str.contains(rf"\.\d{{{dtype.scale}}}\d*[1-9]|NaN|Infinity")
    if lost.any():
        raise ValueError(f"column {text.name!r} holds {text.filter(lost)[0]}, not a {dtype}")
    return text.cast(dtype)


def _times(text: pl.Series, dtype: pl.Datetime) -> pl.Series:
    if dtype.time_zone is None:
        return text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit=dtype.time_unit)
    # The session's zone is UTC, so every value ends in +00.
    parsed = text.str.strip_suffix("+00").str.to_datetime(
        "%Y-%m-%d %H:%M:%S%.f", time_unit=dtype.time_unit
    )
    return parsed.dt.replace_time_zone("UTC").dt.convert_time_zone(dtype.time_zone)


def _lists(text: pl.Series, dtype: pl.List) -> pl.Series:
    inner = _instance(dtype.inner)
    if text.str.contains(r'["\\]').any():
        items = pl.Series(text.name, [_array_items(value) for value in text], pl.List(pl.String))
    else:
        bare = text.str.slice(1, text.str.len_chars() - 2)
        items = bare.str.split(",").list.eval(pl.element().replace("NULL", None))
        nothing = pl.Series([[]], dtype=pl.List(pl.String))
        items = pl.select(
            pl.when(bare != "").then(items).when(bare == "").then(nothing)
        ).to_series()
    return items.cast(pl.List(inner)).alias(text.name)


_ITEM = re.compile(r'"((?:[^"\\]|\\.)*)"|([^,{}"]+)', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def _array_items(literal: str | None) -> list[str | None] | None:
    """The items of a one-dimensional array literal of PostgreSQL."""
    if literal is None:
        return None
    items: list[str | None] = []
    for quoted, bare in _ITEM.findall(literal[1:-1]):
        item = bare or _ESCAPE.sub(r"\1", quoted)
        items.append(None if bare == "NULL" else item)
    return items
