"""Spark gives the local engine's answer to the byte: two executors on this machine.

Runs where the extra ``spark`` and Java are; TONGGUAN_SPARK=required (.ci/run) lets nothing pass
without them.
"""

import json
import os
import shutil
from collections.abc import Iterator
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from test_replay import LIMIT, draft

from tongguan import replay, twin
from tongguan.replay import archive, spark_archive
from tongguan.replay import spark as engine

pytestmark = pytest.mark.filterwarnings("ignore")


def missing() -> str | None:
    """What keeps Spark from running here."""
    try:
        import pandas  # noqa: F401
        import pyspark  # noqa: F401
    except ImportError as problem:
        return f"{problem.name} is not installed (pip install 'tongguan[spark]')"
    return None if shutil.which("java") else "there is no Java"


QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Java that starts soon rather than runs fast."""
MASTER = "local-cluster[2,1,1024]"
"""A standalone master with two workers, each with an executor process of its own."""


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A session on a cluster of two executors; what they write goes to a folder of the test."""
    if reason := missing():
        if os.environ.get("TONGGUAN_SPARK") == "required":
            pytest.fail(f"Spark must be tested here: {reason}")
        pytest.skip(f"SPARK IS NOT TESTED HERE: {reason}")
    import pyspark

    home = tmp_path_factory.mktemp("spark")
    for entry in Path(pyspark.__file__).parent.iterdir():
        (home / entry.name).symlink_to(entry)
    given = {
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_DIRS": str(home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "JAVA_TOOL_OPTIONS": QUICK,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        with engine.session(MASTER) as begun:
            begun.sparkContext.setLogLevel("OFF")
            yield begun


def test_two_executors_give_the_local_answer_to_the_byte(
    spark: Any, archive: replay.History, tmp_path: Path
) -> None:
    file = draft(tmp_path, LIMIT, "positive-list: {remove: ['19011010']}")
    # Two executors: each keeps its Python workers under a process of its own.
    parents = spark.sparkContext.parallelize(range(40), 40).map(lambda _: os.getppid())
    for _ in range(20):
        if len(set(parents.collect())) == 2:
            break
    else:
        pytest.fail("there are not two executors")
    local = replay.replay(archive, file, replay.View())
    spread = replay.replay(archive, file, replay.View(), engine.engine(MASTER))
    assert local.facts["changed"] > 5
    assert json.dumps(spread.facts) == json.dumps(local.facts)
    assert replay.page(spread) == replay.page(local)
    assert replay.sheet(spread) == replay.sheet(local)


def test_an_archive_of_messages_is_cleared_by_executors_as_on_one_machine(
    spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin.write(tmp_path / "zone", seed=23, parcels=80, faults=Fraction(1, 2))
    monkeypatch.setattr(archive, "FILES_AT_ONCE", 5)
    at = datetime.fromisoformat("2022-06-01T12:00:00+08:00")
    messages = [tmp_path / "zone" / "messages"]
    archive.write(tmp_path / "here", messages, at)
    archive.write(tmp_path / "there", messages, at, spark_archive.engine(MASTER))
    one, other = (replay.History.open(tmp_path / name) for name in ("here", "there"))
    assert one.facts["rows"] == other.facts["rows"]
    assert one.parcels > 60
    for dataset in ("parcels", "lines", "findings", "events"):
        frames = [
            pl.concat([each.read(dataset, part) for part in each.parts(dataset)]).drop(
                "buyer", "bucket", strict=False
            )
            for each in (one, other)
        ]
        assert sorted(frames[0].rows(), key=repr) == sorted(frames[1].rows(), key=repr)


def test_what_fails_in_an_executor_fails_here(spark: Any, recorded: replay.History) -> None:
    recorded.parts("lines")[0].write_bytes(b"PAR1")
    with pytest.raises(Exception, match="cannot be read"):
        replay.replay(recorded, None, replay.View(), engine.engine(MASTER))


def test_an_empty_history_needs_no_cluster(archive: replay.History, tmp_path: Path) -> None:
    for dataset in ("parcels", "lines", "findings", "returns", "events"):
        (tmp_path / dataset).mkdir()
    facts = dict(archive.facts) | {"rows": dict.fromkeys(archive.facts["rows"], 0)}
    (tmp_path / "history.json").write_text(json.dumps(facts | {"policies": {}}))
    empty = replay.History.open(tmp_path)
    answer = replay.replay(empty, None, replay.View(), engine.engine("spark://127.0.0.1:1"))
    assert answer.facts["parcels"] == 0


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, archive: replay.History
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(engine.NoSpark, match=r"pip install 'tongguan\[spark\]'"):
        replay.replay(archive, None, replay.View(), engine.engine("local[1]"))
