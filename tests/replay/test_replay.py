"""What a draft would have done to a history: like the law, to the fen, parcel by parcel."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dossiers import Window

from tongguan import policy, replay
from tongguan.replay import local, tally
from tongguan.replay.files import read_part
from tongguan.replay.judge import COLUMNS, Brief

ALL = replay.View()
LIMIT = "parameters: {retail-import.limit-annual: {2022-01-01: 20000}}"


def draft(folder: Path, *lines: str) -> Path:
    file = folder / "draft.yaml"
    file.write_text("\n".join(("base: 2022-06-01", "name: 草案", *lines)), "utf-8")
    return file


def told(found: replay.History, file: Path | None, view: replay.View = ALL) -> dict[str, Any]:
    return replay.replay(found, file, view).facts


def refused(facts: Mapping[str, Any], direction: str = "newly_refused") -> list[str]:
    """The order numbers of examples of a direction."""
    return [each["order_no"] for each in facts["examples"] if each["direction"] == direction]


def test_the_law_in_force_reproduces_every_recorded_decision(recorded: replay.History) -> None:
    facts = told(recorded, None)
    assert (facts["reproduced"], facts["first_difference"]) == (True, None)
    assert (facts["parcels"], facts["changed"], facts["by_rule"]) == (12, 0, {})
    # Seven times 4,000 is beyond 26,000; Bo's wrong papers; the rest is let through.
    assert facts["refused"] == {"base": 2, "draft": 2}
    assert facts["tax"]["base"] == facts["tax"]["draft"]


def test_a_lower_annual_limit_refuses_in_order_and_returns_give_back(
    recorded: replay.History, tmp_path: Path
) -> None:
    facts = told(recorded, draft(tmp_path, LIMIT))
    # Anna under 20,000: five of 4,000; the sixth is refused. One comes back whole on 10 June, so
    # 16,000 are used: 4,500 (which is cancelled) and 4,900 do not fit, 100 does.
    assert refused(facts) == ["O0000006", "O0000022", "O0000023"]
    assert facts["by_rule"] == {"limit.annual": {"newly_refused": 3, "no_longer_refused": 0}}
    assert facts["changed"] == facts["outcome_changed"] == 3
    sixth, *_, last = facts["examples"]
    assert (sixth["expected"], sixth["actual"]) == ("20000.00", "24000.00")
    assert sixth["used"] == {"base": "20000.00", "draft": "20000.00"}
    assert last["used"] == {"base": "20000.00", "draft": "16000.00"}
    # 4,000 and 4,900 at 9.1 % are missing; the cancelled one never paid.
    base, now = (round(float(facts["tax"][side]) * 100) for side in ("base", "draft"))
    assert base - now == 364_00 + 445_90


def test_tax_by_kind_adds_up_to_what_was_recorded(recorded: replay.History, world: Window) -> None:
    facts = told(recorded, None)
    sql = """SELECT sum(t.duty_fen)::bigint, sum(t.consumption_fen)::bigint, sum(t.vat_fen)::bigint
        FROM decision t JOIN document d ON d.id = t.document_id WHERE d.status IN (800, 899)"""
    duty, consumption, vat = world.rows(sql)[0]
    kinds = facts["tax_by_kind"]
    assert [kinds[tax]["base"] for tax in ("duty", "consumption", "vat")] == [
        f"{fen // 100}.{fen % 100:02d}" for fen in (duty, consumption, vat)
    ]
    sums = world.rows("SELECT sum(vat_fen + consumption_fen + duty_fen)::bigint FROM return_amount")
    assert facts["returns"]["tax"]["base"] == f"{sums[0][0] / 100:.2f}"


def test_another_levy_changes_tax_and_no_outcome(recorded: replay.History, tmp_path: Path) -> None:
    file = draft(tmp_path, "parameters: {retail-import.levy-fraction: 1}")
    facts = told(recorded, file)
    assert facts["outcome_changed"] == 0
    # All that are let through, the cancelled one excepted, which owes nothing.
    assert facts["changed"] == facts["tax_changed"] == 9
    assert {each["direction"] for each in facts["examples"]} == {"otherwise"}
    # 70 % becomes 100 % of the same VAT, up to the rounding of each line.
    base, now = (float(facts["tax"][side]) for side in ("base", "draft"))
    assert abs(now * 0.7 - base) < 0.10
    assert facts["returns"]["affected"] == 2
    assert facts["returns"]["void"] == 0
    back = facts["returns"]["tax"]
    assert abs(float(back["draft"]) * 0.7 - float(back["base"])) < 0.02


def test_a_return_is_void_where_its_parcel_would_have_been_refused(
    recorded: replay.History, tmp_path: Path
) -> None:
    file = draft(tmp_path, "parameters: {retail-import.limit-single: {2022-01-01: 3950}}")
    facts = told(recorded, file)
    # Parcel 1 (4,000, one piece) is taxed in full, parcel 20 (3,900, two lines) still fits.
    assert facts["returns"] == {
        "all": 2,
        "affected": 1,
        "void": 0,
        "tax": facts["returns"]["tax"],
    }
    file = draft(tmp_path, "parameters: {retail-import.limit-single: {2022-01-01: 3000}}")
    facts = told(recorded, file)
    assert (facts["returns"]["affected"], facts["returns"]["void"]) == (2, 1)
    assert facts["by_rule"]["limit.single"] == {"newly_refused": 1, "no_longer_refused": 0}


def test_a_higher_limit_lets_through_what_was_refused(
    recorded: replay.History, tmp_path: Path
) -> None:
    file = draft(tmp_path, "parameters: {retail-import.limit-annual: {2022-01-01: 50000}}")
    facts = told(recorded, file)
    assert facts["by_rule"] == {"limit.annual": {"newly_refused": 0, "no_longer_refused": 1}}
    assert refused(facts, "no_longer_refused") == ["O0000007"]
    assert facts["buyers"] == {"all": 2, "newly_over": 0, "no_longer_over": 1}


def test_days_and_zone_choose_what_is_counted_not_what_is_decided(
    recorded: replay.History, tmp_path: Path
) -> None:
    file = draft(tmp_path, LIMIT)
    july = told(recorded, file, replay.View(since=date(2022, 7, 1)))
    assert (july["parcels"], july["changed"], refused(july)) == (2, 1, ["O0000023"])
    june = told(recorded, file, replay.View(until=date(2022, 6, 30)))
    assert (june["parcels"], june["changed"]) == (10, 2)
    assert told(recorded, file, replay.View(zone="001"))["changed"] == 3
    assert told(recorded, file, replay.View(zone="003"))["parcels"] == 0


def test_a_draft_for_another_zone_changes_nothing_here(
    recorded: replay.History, tmp_path: Path
) -> None:
    assert told(recorded, draft(tmp_path, LIMIT, "territory: [宁波]"))["changed"] == 0
    assert told(recorded, draft(tmp_path, LIMIT, "territory: [杭州]"))["changed"] == 3


def test_a_draft_that_says_nothing_changes_nothing(
    recorded: replay.History, tmp_path: Path
) -> None:
    facts = told(recorded, draft(tmp_path))
    assert (facts["changed"], facts["changes"], facts["reproduced"]) == (0, [], True)


def test_goods_taken_off_the_list_are_newly_refused(
    recorded: replay.History, tmp_path: Path
) -> None:
    file = draft(tmp_path, 'positive-list: {remove: ["19011010"]}')
    facts = told(recorded, file)
    assert facts["by_rule"]["goods.not-listed"]["newly_refused"] == 10
    [goods] = facts["goods"]
    # One of the parcels has two lines.
    assert (goods["gcode"], goods["newly_refused"]) == ("1901101090", 11)
    assert goods["name"]


# ── the record ───────────────────────────────────────────────────────────────────────────────


CHANGES: dict[str, tuple[str, pl.Expr, str]] = {
    "tax": ("parcels", pl.col("vat_fen") + 1, "vat_fen"),
    "year": ("parcels", pl.col("used_before_fen") + 1, "used_before_fen"),
    "line": ("lines", pl.col("basis_fen") - 1, "line: basis_fen"),
    "return": ("returns", pl.col("restored_fen") + 1, "returned: restored_fen"),
    "finding": ("findings", pl.col("actual") + pl.lit("9"), "finding limit.annual"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_record_that_is_not_reproduced_is_named(recorded: replay.History, name: str) -> None:
    dataset, expression, what = CHANGES[name]
    part = recorded.parts(dataset)[0]
    frame = read_part(dataset, part)
    column = expression.meta.root_names()[0]
    schema = {"tongguan.history.version": "1", "tongguan.history.dataset": dataset}
    frame.with_columns(expression.alias(column)).write_parquet(part, metadata=schema)
    facts = told(recorded, None)
    assert not facts["reproduced"]
    assert what in facts["first_difference"]
    assert "order O" in facts["first_difference"]


def test_the_first_difference_is_the_first_in_order_of_decision(recorded: replay.History) -> None:
    for part in recorded.parts("parcels"):
        frame = read_part("parcels", part).with_columns(pl.col("total_fen") + 1)
        about = {"tongguan.history.version": "1", "tongguan.history.dataset": "parcels"}
        frame.write_parquet(part, metadata=about)
    facts = told(recorded, None)
    assert facts["first_difference"].startswith("order O0000001 ")


# ── engine ───────────────────────────────────────────────────────────────────────────────────


def test_a_history_that_is_spilled_gives_the_same_answer(
    recorded: replay.History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = draft(tmp_path, LIMIT)
    whole = json.dumps(told(recorded, file))
    monkeypatch.setattr(local, "PARCELS_AT_ONCE", 1)
    seen: list[tuple[int, int]] = []
    parts = replay.replay(recorded, file, ALL, replay.local_engine(lambda *at: seen.append(at)))
    assert json.dumps(parts.facts) == whole
    assert seen[-1] == (12, 12)
    assert len(seen) == 12


def test_a_spilled_history_that_is_broken_is_told_and_leaves_nothing_behind(
    recorded: replay.History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "PARCELS_AT_ONCE", 6)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    part = recorded.parts("lines")[0]
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(replay.BadHistory, match=part.name):
        replay.replay(recorded, None, ALL)
    assert not list(tmp_path.glob("tongguan-replay-*"))


def test_sums_do_not_depend_on_how_they_are_added(recorded: replay.History, tmp_path: Path) -> None:
    file = draft(tmp_path, LIMIT)
    brief = Brief.of(recorded.editions(), file.read_text("utf-8"), ALL)
    frames = {
        name: pl.concat(
            [
                recorded.empty(name, list(COLUMNS[name])),
                *(recorded.read(name, p, list(COLUMNS[name])) for p in recorded.parts(name)),
            ]
        )
        for name in COLUMNS
    }
    buyers = frames["parcels"]["bucket"].unique()
    parts = [
        brief({name: frame.filter(pl.col("bucket") == each) for name, frame in frames.items()})
        for each in buyers
    ]
    assert len(parts) == 2
    sent = [tally.Tally.from_bytes(part.to_bytes()) for part in parts]
    one, other = tally.total(sent), tally.total(reversed(parts))
    for name in tally.KEYS:
        assert one.tables[name].equals(other.tables[name])
    assert one.examples.equals(other.examples)
    nobody = brief({name: frame.clear() for name, frame in frames.items()})
    many = tally.total([*parts, *[nobody] * 40])
    assert many.examples.equals(one.examples)


def test_an_unknown_day_is_an_error_not_a_guess(recorded: replay.History, tmp_path: Path) -> None:
    with pytest.raises(policy.DraftErrors):
        told(recorded, draft(tmp_path, "parameters: {no.such: 1}"))


# ── report ───────────────────────────────────────────────────────────────────────────────────


def test_the_report_is_one_file_without_script_or_anything_from_elsewhere(
    recorded: replay.History, tmp_path: Path
) -> None:
    answer = replay.replay(recorded, draft(tmp_path, LIMIT), ALL)
    page = replay.page(answer)
    for outside in ("<script", "http:", "https:", "src=", "@import", "url(", "javascript:"):
        assert outside not in page
    for word in ("草案", "20,000 元", "26,000 yuan", "limit.annual", "O0000006", "与记录逐分一致"):
        assert word in page
    assert page.count("<table") == page.count("</table>") >= 8
    assert page.count("<svg") == page.count("</svg>") == 2


def test_names_cannot_write_into_the_report(recorded: replay.History) -> None:
    part = recorded.parts("parcels")[0]
    hostile = "<script>alert(1)</script>"
    frame = read_part("parcels", part).with_columns(seller_name=pl.lit(hostile))
    about = {"tongguan.history.version": "1", "tongguan.history.dataset": "parcels"}
    frame.write_parquet(part, metadata=about)
    folder = recorded.folder.parent
    file = draft(folder, LIMIT)
    answer = replay.replay(recorded, file, ALL)
    assert hostile not in replay.page(answer)
    assert "&lt;script&gt;" in replay.page(answer)


def test_a_report_of_a_record_that_is_not_reproduced_says_so(recorded: replay.History) -> None:
    part = recorded.parts("parcels")[0]
    about = {"tongguan.history.version": "1", "tongguan.history.dataset": "parcels"}
    frame = read_part("parcels", part).with_columns(pl.col("vat_fen") + 1)
    frame.write_parquet(part, metadata=about)
    page = replay.page(replay.replay(recorded, None, ALL))
    assert "不可采信" in page
    assert "vat_fen" in page


def test_the_sheet_has_every_company_and_guards_against_formulas(
    recorded: replay.History, tmp_path: Path
) -> None:
    part = recorded.parts("parcels")[0]
    about = {"tongguan.history.version": "1", "tongguan.history.dataset": "parcels"}
    frame = read_part("parcels", part).with_columns(seller_name=pl.lit("=1+1"))
    frame.write_parquet(part, metadata=about)
    answer = replay.replay(recorded, draft(tmp_path, LIMIT), ALL)
    rows = pl.read_csv(replay.sheet(answer).encode(), infer_schema=False)
    total = rows.filter(pl.col("section") == "total").row(0, named=True)
    assert total["tax_draft_yuan"] == answer.facts["tax"]["draft"]
    company = rows.filter(pl.col("section") == "company")
    assert company["name"].to_list() == ["'=1+1"]
    assert company["lost_yuan"].to_list() == ["13400.00"]
    assert set(rows["section"]) == {"total", "rule", "tax", "month", "zone", "company", "goods"}


def test_a_history_can_be_moved_and_read_elsewhere(
    recorded: replay.History, tmp_path: Path
) -> None:
    moved = Path(shutil.move(recorded.folder, tmp_path / "elsewhere"))
    assert told(replay.History.open(moved), None)["reproduced"]
