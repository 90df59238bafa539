"""An archive of messages cleared anew in bulk is what ``clear`` decides, decision by decision."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dossiers import NOON, Window, rules

from tongguan import clearance, policy, replay, twin
from tongguan.replay import archive, bulk
from tongguan.replay.answer import yuan

DAY = datetime.fromisoformat(NOON)
LAW = policy.load().on(DAY.date())


def in_bulk(folder: Path) -> dict[str, pl.DataFrame]:
    files = [source.path for source in clearance.sources([folder])]
    papers = bulk.parse(enumerate(files), bytes(32))
    family = bulk.families(bulk.links(papers))
    return bulk.history(bulk.clear(papers, family, LAW), papers, LAW, 0)


def decisions(found: Mapping[str, pl.DataFrame]) -> Counter[Any]:
    """Every decision: its list, outcome, taxes, year, and the rules that refused it."""
    errors = found["findings"].filter(pl.col("severity") == "error")
    named = errors.group_by("list").agg(pl.col("rule").unique().sort())
    rows = found["parcels"].join(named, on="list", how="left")
    return Counter(
        (
            *(row["seller"], row["order_no"], row["refused"]),
            # What a refused parcel would have owed is recorded, but not reported.
            *(
                yuan(0 if row["refused"] else row[f"{tax}_fen"])
                for tax in ("duty", "consumption", "vat", "total")
            ),
            *(yuan(row["used_before_fen"]), yuan(row["used_after_fen"])),
            tuple(row["rule"] or ()),
        )
        for row in rows.iter_rows(named=True)
    )


def reported(lines: list[dict[str, Any]]) -> Counter[Any]:
    """The same of the report of ``clear``."""
    told: Counter[Any] = Counter()
    for line in lines:
        if line["document"] != "inventory" or not line.get("allowance"):
            continue
        tax = line["tax"] or dict.fromkeys(("duty", "consumption", "vat", "total"), "0.00")
        amounts = [tax[name] for name in ("duty", "consumption", "vat", "total")]
        year = line["allowance"]["before"], line["allowance"]["after"]
        key = line["key"]["ebcCode"], line["key"]["orderNo"], line["tax"] is None
        told[(*key, *amounts, *year, tuple(sorted(set(rules(line)))))] += 1
    return told


@pytest.mark.parametrize(("seed", "faults"), [(21, "0.4"), (22, "1")])
def test_a_twin_with_faults_is_decided_as_by_clear(
    window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, faults: str
) -> None:
    zone = tmp_path / "zone"
    twin.write(zone, seed=seed, parcels=250, faults=Fraction(faults))
    found = clearance.sources([zone / "messages"])
    run = clearance.clear(window.database, window.vault, found, window.settings(NOON))
    lines = window.lines(list({digest: (name, digest) for name, digest in run.digests}.values()))
    wanted, got = reported(lines), decisions(in_bulk(zone / "messages"))
    assert wanted - got == Counter()
    assert got - wanted == Counter()
    assert sum(got.values()) > 120
    # The same on files, family by family, and by the kernel once more.
    monkeypatch.setattr(archive, "FILES_AT_ONCE", 7)
    monkeypatch.setattr(archive, "DOCUMENTS_AT_ONCE", 300)
    archive.write(tmp_path / "h", [zone / "messages"], DAY)
    files = replay.History.open(tmp_path / "h")
    frames = {
        name: pl.concat([files.empty(name), *(files.read(name, p) for p in files.parts(name))])
        for name in ("parcels", "findings")
    }
    assert decisions(frames) == wanted
    answer = replay.replay(files, None, replay.View())
    assert (answer.reproduced, answer.facts["parcels"]) == (True, sum(wanted.values()))
