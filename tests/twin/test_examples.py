"""The bundled messages of examples/ are what the twin makes.

After a change of the twin, the tariff or the renderer: `python tests/twin/test_examples.py` makes
them anew.
"""

import shutil
from datetime import date
from pathlib import Path

import clerk

from tongguan import messages, twin

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
FAULTS = (
    "match.amount",
    "match.payer",
    "match.buyer-name",
    "limit.single",
    "limit.annual",
    "goods.unknown-code",
    "buyer.identity",
    "order.total",
    "match.waybill-missing",
)


def make(out: Path) -> twin.Summary:
    return twin.write(out, seed=37, parcels=12, faults="0.7", day=date(2022, 6, 1), only=FAULTS)


def test_the_examples_are_what_the_twin_makes(tmp_path):
    make(tmp_path)
    made = {p.name: p.read_bytes() for p in (tmp_path / "messages").iterdir()}
    kept = {p.name: p.read_bytes() for p in (EXAMPLES / "messages").iterdir()}
    assert kept.keys() == made.keys()
    assert kept == made
    told = (tmp_path / "expected.jsonl").read_bytes()
    assert (EXAMPLES / "expected.jsonl").read_bytes() == told


def test_the_examples_show_each_refusal_and_several_releases():
    told = [f for f in clerk.expected(EXAMPLES) if f["document"] == "inventory"]
    assert len(told) == 12
    assert {name for f in told for name in f["faults"]} == set(FAULTS)
    assert sum(f["status"] == 800 for f in told) >= 3


def test_the_examples_are_small_and_readable():
    files = list((EXAMPLES / "messages").iterdir())
    assert sum(p.stat().st_size for p in files) < 80_000
    assert not any(messages.parse(p.read_bytes()).findings for p in files)


if __name__ == "__main__":
    shutil.rmtree(EXAMPLES / "messages", ignore_errors=True)
    print(make(EXAMPLES))
