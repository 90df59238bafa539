"""docs/gateway.md names every endpoint, limit and metric there is, and none that is not."""

import re
from dataclasses import fields
from pathlib import Path

from tongguan.window.limits import Limits, about
from tongguan.window.metrics import Metrics
from tongguan.window.routes import PUBLIC, ROUTES

PAGE = (Path(__file__).resolve().parents[2] / "docs/gateway.md").read_text("utf-8")
ROWS = [
    [cell.strip() for cell in row.strip("|").split("|")]
    for row in PAGE.splitlines()
    if row[:1] == "|"
]


def test_every_endpoint_stands_there_with_its_scope() -> None:
    told = {
        tuple(endpoint.split(" ", 1)): row[1].strip("`")
        for row in ROWS
        for endpoint in re.findall(r"`([A-Z]+ /[^`]*)`", row[0])
    }
    assert told == {(route.method, route.path): route.scope or "nobody" for route in ROUTES}
    assert PUBLIC == ""


def test_every_limit_stands_there_with_its_value() -> None:
    named = {each.name for each in fields(Limits)}
    told = {row[0].strip("`"): row[1:] for row in ROWS if row[0].strip("`") in named}
    limits = Limits()
    assert told == {
        each.name: [str(getattr(limits, each.name)), about(each)] for each in fields(Limits)
    }


def test_every_metric_stands_there() -> None:
    told = set(re.findall(r"`(tongguan_[a-z_]+?)(?:_total)?(?:\{[^}]*\})?`", PAGE))
    assert told == {family.name for family in Metrics().registry.collect()}
