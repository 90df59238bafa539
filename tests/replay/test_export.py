"""History as files: what it holds, what it does not, and that it is whole or not there."""

import json
import re
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from dossiers import ANNA, BO, Window
from histories import history

from tongguan import replay, store
from tongguan.replay import files, schema


def every(found: replay.History, dataset: str) -> pl.DataFrame:
    return pl.concat(
        [found.empty(dataset), *(found.read(dataset, part) for part in found.parts(dataset))]
    )


def test_a_history_holds_what_was_decided_and_what_came_back(world: Window, tmp_path: Path) -> None:
    found = history(world, tmp_path / "h")
    parcels = every(found, "parcels")
    decided = world.rows("SELECT count(*), sum(total_fen)::bigint FROM decision")[0]
    assert (parcels.height, parcels["total_fen"].sum()) == decided
    assert found.parcels == parcels.height == 12
    assert sorted(parcels["month"].unique()) == ["2022-06", "2022-07"]
    assert parcels["zone"].unique().to_list() == ["001"]  # areaCode 3301…, 2992 is Hangzhou's
    assert not parcels.filter(pl.col("order_no") == "O0000021")["eligible"].item()
    assert parcels.filter("cancelled")["order_no"].to_list() == ["O0000022"]
    lines = every(found, "lines")
    assert lines["basis_fen"].sum() == parcels["value_fen"].sum()
    back = every(found, "returns")
    told = world.rows("""SELECT document_id, sum(fen)::bigint FROM (
        SELECT by_id AS document_id, fen FROM allowance_entry WHERE what = 'restore') e
        GROUP BY document_id""")
    assert dict(back.select("document", "restored_fen").unique().iter_rows()) == dict(told)
    assert sorted(back["kind"].unique()) == ["cancellation", "return"]
    half = back.filter(pl.col("whole") == 2)
    assert half.select("qty", "before", "basis_fen").row(0) == (1, 0, 150000)
    steps = every(found, "events").filter(pl.col("after") == 800)
    assert steps.height == parcels.filter(pl.col("status").is_in([800, 899])).height


def test_nothing_personal_is_in_the_files(world: Window, tmp_path: Path) -> None:
    history(world, tmp_path / "h")
    parts = list((tmp_path / "h").rglob("*.parquet"))
    frames = [pl.read_parquet(part, hive_partitioning=False) for part in parts]
    text = "\n".join(
        frame.with_columns(pl.col(pl.Binary).bin.encode("hex")).write_csv() for frame in frames
    )
    assert "O0000001" in text
    for buyer in (ANNA, BO):
        for secret in (buyer.name, buyer.number, buyer.number[:6] + "*", buyer.phone):
            assert secret not in text
    assert not re.search(r"\d{3}\*{4,}", text)


def test_every_file_names_its_schema_and_is_sorted_by_bucket(world: Window, tmp_path: Path) -> None:
    found = history(world, tmp_path / "h")
    for dataset, about in schema.datasets().items():
        parts = found.parts(dataset)
        assert parts, dataset
        for part in parts:
            metadata = pq.read_schema(part)
            assert metadata.metadata[b"tongguan.history.version"] == b"1"
            assert metadata.metadata[b"tongguan.history.dataset"] == dataset.encode()
            assert metadata.names == [column.name for column in about.columns]
            frame = files.read_part(dataset, part)
            assert frame["bucket"].is_sorted()
    parcels = every(found, "parcels")
    assert (parcels["bucket"] == parcels.select(schema.bucket(pl.col("buyer"))).to_series()).all()
    for dataset in ("lines", "findings", "returns", "events"):
        placed = every(found, dataset).join(parcels, on="list", how="left", suffix="_of_list")
        assert (placed["bucket"] == placed["bucket_of_list"]).all()
        assert (placed["zone"] == placed["zone_of_list"]).all()
        assert (placed["month"] == placed["month_of_list"]).all()


def test_a_folder_that_is_not_empty_is_left_alone(world: Window, tmp_path: Path) -> None:
    folder = tmp_path / "h"
    folder.mkdir()
    (folder / "mine").write_text("x")
    with pytest.raises(FileExistsError, match="new or an empty"):
        replay.export(world.database, folder)
    assert [path.name for path in tmp_path.glob("*h*")] == ["h"]


def test_an_export_that_fails_leaves_nothing(
    world: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def fail(*_: object) -> None:
        raise store.Unavailable("the disk is full")

    monkeypatch.setattr(files.Writer, "policies", fail)
    with pytest.raises(store.Unavailable):
        replay.export(world.database, tmp_path / "out" / "h")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_empty_window_has_an_empty_history(window: Window, tmp_path: Path) -> None:
    found = history(window, tmp_path / "h")
    assert found.parcels == 0
    answer = replay.replay(found, None, replay.View())
    assert (answer.facts["parcels"], answer.reproduced) == (0, True)


def test_from_begins_with_its_year_and_to_ends_with_its_day(world: Window, tmp_path: Path) -> None:
    replay.export(world.database, tmp_path / "a", date(2022, 6, 5), date(2022, 6, 10))
    few = replay.History.open(tmp_path / "a")
    assert few.parcels == 9
    assert every(few, "returns")["document"].n_unique() == 2
    assert replay.replay(few, None, replay.View()).reproduced
    replay.export(world.database, tmp_path / "b", date(2023, 1, 1))
    assert replay.History.open(tmp_path / "b").parcels == 0


def test_rows_that_wait_for_a_group_are_written_in_parts(
    world: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = history(world, tmp_path / "h")
    for name in ("ROWS_OF_A_GROUP", "ROWS_OF_A_PART"):
        monkeypatch.setattr(files, name, 2)
    monkeypatch.setattr(files, "OPEN_FILES", 1)
    parts = history(world, tmp_path / "p")
    assert len(parts.parts("lines")) > len(whole.parts("lines"))
    for dataset in schema.datasets():
        assert every(parts, dataset).equals(every(whole, dataset))


@pytest.mark.parametrize("text", ["", "[]", json.dumps({"history": "tongguan", "version": 99})])
def test_what_is_no_history_of_this_version_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "history.json").write_text(text)
    with pytest.raises(replay.BadHistory, match=r"history"):
        replay.History.open(tmp_path)


def test_a_file_that_is_broken_or_another_is_named(world: Window, tmp_path: Path) -> None:
    found = history(world, tmp_path / "h")
    lines, parcels = found.parts("lines")[0], found.parts("parcels")[0]
    lines.write_bytes(parcels.read_bytes())
    with pytest.raises(replay.BadHistory, match="no file of lines"):
        replay.replay(found, None, replay.View())
    lines.write_bytes(b"PAR1")
    with pytest.raises(replay.BadHistory, match="cannot be read"):
        replay.replay(found, None, replay.View())
