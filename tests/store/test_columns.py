"""Frames into PostgreSQL and out again: nothing changes on the way."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tongguan import store

_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
_TRICKY = st.sampled_from(
    [
        "",
        "\\.",
        "\\N",
        "NULL",
        "null",
        '"',
        '""',
        "\n",
        "\r",
        "\r\n",
        ",",
        "{}",
        "{a,b}",
        " x ",
        "\t",
    ]
)
_ANY_TEXT = st.none() | _TEXT | _TRICKY
#: Times without a zone, of four-digit years.
_NAIVE = datetime(1000, 1, 1), datetime(9999, 12, 30)  # noqa: DTZ001
_SLOW = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def connection(database: store.Database):
    with database.connect() as connection:
        yield connection


def _round_trip(
    connection: psycopg.Connection, frame: pl.DataFrame, rows: store.Rows | None = None
) -> pl.DataFrame:
    connection.execute("DROP TABLE IF EXISTS t")
    columns = ", ".join(f'"{n}" {store.columns.sql_type(t)}' for n, t in frame.schema.items())
    connection.execute(f"CREATE TEMP TABLE t (row serial, {columns})")
    assert store.copy(connection, "t", rows or frame) == frame.height
    return store.fetch(connection, "SELECT * FROM t ORDER BY row").drop("row")


@given(st.lists(st.tuples(_ANY_TEXT, _ANY_TEXT), min_size=1, max_size=30))
@_SLOW
def test_any_text_comes_back(connection: psycopg.Connection, rows: list) -> None:
    frame = pl.DataFrame(rows, schema={"a": pl.String, "b": pl.String}, orient="row")
    assert_frame_equal(_round_trip(connection, frame), frame)


@given(st.lists(_ANY_TEXT, min_size=1, max_size=30))
@_SLOW
def test_any_text_comes_back_from_a_table_of_one_column(
    connection: psycopg.Connection, values: list
) -> None:
    frame = pl.DataFrame({"a": values}, schema={"a": pl.String})
    connection.execute("DROP TABLE IF EXISTS t")
    connection.execute("CREATE TEMP TABLE t (a text)")
    store.copy(connection, "t", frame)
    assert_frame_equal(store.fetch(connection, "SELECT a FROM t"), frame)


@given(st.lists(st.none() | st.lists(_ANY_TEXT, max_size=5), min_size=1, max_size=20))
@_SLOW
def test_any_list_of_text_comes_back(connection: psycopg.Connection, values: list) -> None:
    frame = pl.DataFrame({"a": values}, schema={"a": pl.List(pl.String)})
    assert_frame_equal(_round_trip(connection, frame), frame)


@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.decimals(-(10**13), 10**13, places=5, allow_nan=False),
            st.none() | st.booleans(),
            st.none() | st.dates(date(1, 1, 1), date(9999, 12, 31)),
            st.none() | st.datetimes(*_NAIVE),
            st.none() | st.binary(max_size=20),
            st.none() | st.lists(st.none() | st.integers(-(2**15), 2**15 - 1), max_size=4),
        ),
        min_size=1,
        max_size=20,
    )
)
@_SLOW
def test_any_value_of_other_types_comes_back(connection: psycopg.Connection, rows: list) -> None:
    schema = {
        "int": pl.Int64,
        "money": pl.Decimal(19, 5),
        "yes": pl.Boolean,
        "day": pl.Date,
        "time": pl.Datetime("us"),
        "bytes": pl.Binary,
        "list": pl.List(pl.Int16),
    }
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    frame = frame.with_columns(zoned=pl.col("time").dt.replace_time_zone("UTC"))
    assert_frame_equal(_round_trip(connection, frame), frame)


@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-(2**15), 2**15 - 1),
            st.none() | st.integers(-(2**31), 2**31 - 1),
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.booleans(),
            st.none() | st.binary(max_size=200),
            _ANY_TEXT,
        ),
        max_size=20,
    )
)
@_SLOW
def test_any_value_comes_back_from_a_binary_copy(
    connection: psycopg.Connection, rows: list
) -> None:
    names = {"a": pl.Int16, "b": pl.Int32, "c": pl.Int64, "yes": pl.Boolean, "bytes": pl.Binary}
    frame = pl.DataFrame(rows, schema={**names, "text": pl.String}, orient="row")
    packed = store.encode_binary(frame.schema, rows)
    assert_frame_equal(_round_trip(connection, frame, packed), frame)


def test_large_values_come_back_from_a_binary_copy(connection: psycopg.Connection) -> None:
    rows = [(n, "通关" * n, bytes([n % 256]) * (200_000 if n % 3 else 0)) for n in range(20)]
    frame = pl.DataFrame(rows, {"n": pl.Int64, "a": pl.String, "b": pl.Binary}, orient="row")
    as_bytes = [(n, text.encode(), data) for n, text, data in rows]
    packed = store.encode_binary(frame.schema, as_bytes)
    assert len(packed.parts) > 1
    assert_frame_equal(_round_trip(connection, frame, packed), frame)


def test_a_binary_copy_says_what_it_cannot_take() -> None:
    with pytest.raises(TypeError, match="'day'"):
        store.encode_binary({"day": pl.Date}, [(date(2022, 6, 1),)])


def test_many_rows_with_line_breaks_come_back(connection: psycopg.Connection) -> None:
    # Long enough that Polars reads it in parallel pieces.
    values = [
        None if i % 7 == 0 else f'{i}\n"quoted", \r\n{"x" * (i % 50)}' for i in range(150_000)
    ]
    frame = pl.DataFrame({"n": range(len(values)), "a": values})
    assert_frame_equal(_round_trip(connection, frame), frame)


def test_times_are_the_same_instant_in_any_zone(connection: psycopg.Connection) -> None:
    instant = datetime(2022, 6, 1, 4, 0, 0, 1, tzinfo=UTC)
    frame = pl.DataFrame({"t": [instant]}).with_columns(
        pl.col("t").dt.convert_time_zone("Asia/Shanghai")
    )
    assert _round_trip(connection, frame)["t"].to_list() == [instant]
    shanghai = store.fetch(
        connection, "SELECT t FROM t", schema={"t": pl.Datetime("us", "Asia/Shanghai")}
    )
    assert shanghai["t"].to_list()[0].utcoffset() == timedelta(hours=8)


def test_names_of_tables_and_columns_are_quoted(connection: psycopg.Connection) -> None:
    connection.execute('CREATE SCHEMA odd; CREATE TABLE odd."t;able" ("order" text, "a""b" int)')
    frame = pl.DataFrame({'a"b': [1], "order": ["x"]})
    store.copy(connection, "odd.t;able", frame)
    assert store.fetch(connection, 'SELECT * FROM odd."t;able"').rows() == [("x", 1)]


def test_text_with_nul_is_refused_and_named(connection: psycopg.Connection) -> None:
    connection.execute("CREATE TABLE t (a text, b text)")
    connection.commit()
    with pytest.raises(ValueError, match="NUL character in b"):
        store.copy(connection, "t", pl.DataFrame({"a": ["x"], "b": ["y\0z"]}))
    connection.rollback()
    assert store.fetch(connection, "SELECT * FROM t").is_empty()


def test_a_type_without_counterpart_is_refused(connection: psycopg.Connection) -> None:
    connection.execute("CREATE TABLE t (a text)")
    with pytest.raises(TypeError, match="'a'"):
        store.copy(connection, "t", pl.DataFrame({"a": [{"x": 1}]}))


def test_an_empty_frame_copies_nothing(connection: psycopg.Connection) -> None:
    connection.execute("CREATE TABLE t (a text)")
    assert store.copy(connection, "t", pl.DataFrame(schema={"a": pl.String})) == 0
    empty = store.fetch(connection, "SELECT a, 1 AS n FROM t")
    assert empty.schema == {"a": pl.String, "n": pl.Int32}
    assert empty.is_empty()


@pytest.mark.parametrize("height", [0, 1, 3, 4, 6, 7])
def test_stream_gives_in_parts_what_fetch_gives(
    connection: psycopg.Connection, height: int
) -> None:
    sql = "SELECT n, 'a\nb' || n AS text FROM generate_series(1, %s) AS g(n) ORDER BY n"
    parts = list(store.stream(connection, sql, (height,), rows=3))
    assert [part.height for part in parts] == (
        [3] * (height // 3) + [height % 3] * (height % 3 > 0) or [0]
    )
    assert pl.concat(parts).equals(store.fetch(connection, sql, (height,)))


def test_fetch_takes_parameters_and_percent_signs(connection: psycopg.Connection) -> None:
    got = store.fetch(connection, "SELECT %s::text AS a, '100%%' AS b", ["it's \\ 5%"])
    assert got.rows() == [("it's \\ 5%", "100%")]
    assert store.fetch(connection, "SELECT '5%' AS b").rows() == [("5%",)]
    named = store.fetch(connection, "SELECT %(x)s::bigint AS x", {"x": 7})
    assert named.rows() == [(7,)]


def test_fetch_reads_what_a_change_returns(connection: psycopg.Connection) -> None:
    connection.execute("CREATE TABLE t (a int PRIMARY KEY)")
    got = store.fetch(connection, "INSERT INTO t SELECT generate_series(1, 3) RETURNING a")
    assert got["a"].to_list() == [1, 2, 3]


def test_money_is_never_cut_off(connection: psycopg.Connection) -> None:
    query = "SELECT sum(x) AS x FROM (VALUES (0.1::numeric(19,5)), (0.2)) v(x)"
    assert store.fetch(connection, query)["x"].to_list() == [Decimal("0.3")]
    narrow = {"x": pl.Decimal(12, 2)}
    assert store.fetch(connection, "SELECT 1.10000 AS x", schema=narrow)["x"][0] == Decimal("1.1")
    with pytest.raises(ValueError, match=r"1\.12001"):
        store.fetch(connection, "SELECT 1.12001 AS x", schema=narrow)
    with pytest.raises(ValueError, match="NaN"):
        store.fetch(connection, "SELECT 'NaN'::numeric AS x")
    declared = store.fetch(connection, "SELECT 1.5::numeric(12,2) AS x")
    assert declared.schema == {"x": pl.Decimal(12, 2)}


def test_fetch_names_faults_of_the_statement(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable, match="nowhere"):
        store.fetch(connection, "SELECT * FROM nowhere")
    connection.rollback()
    with pytest.raises(ValueError, match="one name"):
        store.fetch(connection, "SELECT 1 AS a, 2 AS a")
    connection.rollback()
    with pytest.raises(TypeError, match="'p'"):
        store.fetch(connection, "SELECT point(1, 2) AS p")
    connection.rollback()
    with pytest.raises(ValueError, match="zz"):
        store.fetch(connection, "SELECT 1 AS a", schema={"zz": pl.Int64})


def test_keys_make_a_table_that_ends_with_the_transaction(connection: psycopg.Connection) -> None:
    frame = pl.DataFrame({"code": ["a", None, ""], "n": [1, 2, 3]})
    store.keys(connection, "wanted", frame)
    assert_frame_equal(store.fetch(connection, "SELECT * FROM wanted ORDER BY n"), frame)
    connection.commit()
    with pytest.raises(psycopg.errors.UndefinedTable):
        connection.execute("SELECT * FROM wanted")


@given(st.lists(st.tuples(_ANY_TEXT, st.none() | st.integers(0, 9)), min_size=0, max_size=20))
@_SLOW
def test_unnest_is_the_frame(connection: psycopg.Connection, rows: list) -> None:
    frame = pl.DataFrame(rows, schema={'a,"%b': pl.String, "n": pl.Int64}, orient="row")
    fragment, values = store.unnest("k", frame)
    got = store.fetch(connection, f"SELECT * FROM {fragment}", values)
    assert_frame_equal(got, frame)
