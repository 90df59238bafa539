"""However a stream of documents is cut into messages, batches and runs, the outcome is one.

The property behind "documents in any order and any interleaving": documents that share a batch
must meet the fate they would have met one by one.
"""

import itertools
from dataclasses import dataclass, replace
from typing import Any

import pytest
from dossiers import (
    ANNA,
    Buyer,
    Item,
    Paper,
    Window,
    identity,
    inventory,
    message,
    order,
    payment,
    rules,
    waybill,
)
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from tongguan import clearance
from tongguan.clearance import intake

DEAR = (Item("15000"),)
"""One item over the single limit: two of them do not fit into one buyer's year."""
MAKERS = {"order": order, "payment": payment, "waybill": waybill, "inventory": inventory}
SAME, MESSAGE, RUN = "same message", "new message", "new run"
EXAMPLES = 5
"""Of each size of batch; 60 find nothing either."""
FAULTS: dict[str, dict[str, str]] = {
    "order": {"buyerName": "别人"},
    "payment": {"amountPaid": "1"},
    "waybill": {"orderNo": "O9999999"},
    "inventory": {"buyerName": "别人"},
}


@dataclass(frozen=True)
class Step:
    """One document of the stream: what is sent about which parcel, and where the stream is cut
    before it."""

    kind: str
    parcel: int
    act: str = "new"
    faulty: bool = False
    minutes: int = 0
    cut: str = SAME


steps = st.builds(
    Step,
    kind=st.sampled_from(list(MAKERS)),
    parcel=st.integers(0, 1),
    act=st.sampled_from(["new", "new", "change", "change", "delete", "draft"]),
    faulty=st.booleans(),
    minutes=st.integers(-1, 2),
    cut=st.sampled_from([SAME, MESSAGE, MESSAGE, RUN]),
)
BOTH = [Step(kind, parcel) for parcel in (0, 1) for kind in MAKERS]


@st.composite
def streams(draw: st.DrawFn) -> list[Step]:
    """The eight good documents of two parcels, and up to six others among them, in any order."""
    good = [
        replace(step, cut=draw(st.sampled_from([SAME, MESSAGE, MESSAGE, RUN])))
        for step in draw(st.permutations(BOTH))
    ]
    for other in draw(st.lists(steps, max_size=6)):
        good.insert(draw(st.integers(0, len(good))), other)
    return good


_numbers = itertools.count(1)


def papers(stream: list[Step]) -> list[Paper]:
    """The documents, of parcels and a buyer that nobody met before."""
    base = 10 * next(_numbers)
    buyer = Buyer(
        "常客", identity(serial=base % 1000, place=f"{110000 + base // 1000}"), ANNA.phone
    )
    made = []
    for step in stream:
        no = base + step.parcel
        about: dict[str, Any] = {} if step.kind == "waybill" else {"items": DEAR}
        paper = MAKERS[step.kind](no, buyer=buyer, **about)
        if step.faulty:
            paper = paper.but(**FAULTS[step.kind])
        kinds = {"new": "1", "change": "2", "delete": "3", "draft": "1"}
        paper = paper.again(step.minutes, appType=kinds[step.act])
        made.append(paper.draft() if step.act == "draft" else paper)
    return made


def runs(stream: list[Step], sent: list[Paper]) -> list[list[bytes]]:
    """The message files of each run."""
    grouped: list[list[list[Paper]]] = [[]]
    before = None
    for step, paper in zip(stream, sent, strict=True):
        if step.cut == RUN and grouped[-1]:
            grouped.append([])
        if step.cut == SAME and grouped[-1] and before == paper.kind:
            grouped[-1][-1].append(paper)
        else:
            grouped[-1].append([paper])
        before = paper.kind
    return [[message(*papers) for papers in files] for files in grouped]


def outcome(window: Window, files: list[list[bytes]], sent: list[Paper]) -> list[Any]:
    """What became of every document in the end, in order of arrival, and of the buyer's year."""
    digests: list[tuple[str, str]] = []
    under = window.settings()
    for run in files:
        found = window.write(run)
        digests += clearance.clear(window.database, window.vault, found, under).digests
    told = window.lines(digests)
    assert len(told) == len(sent)
    buyer = window.vault.digest([next(p for p in sent if p.kind == "order").head["buyerIdNumber"]])
    year = window.allowance().get(buyer[0], 0)
    return [year] + [
        (line["document"], line["history"], sorted(rules(line)), line.get("tax")) for line in told
    ]


@pytest.mark.parametrize("files_per_batch", [1, 3, 400])
def test_cutting_changes_nothing(
    window: Window, monkeypatch: pytest.MonkeyPatch, files_per_batch: int
) -> None:
    monkeypatch.setattr(intake, "BATCH_FILES", files_per_batch)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate),
    )
    # A change of the waybill to another order, behind the list that was released with it.
    @example(stream=[*BOTH[:3], Step("inventory", 0), Step("waybill", 0, "change", faulty=True)])
    # A waybill deleted in the batch in which its list arrives.
    @example(
        stream=[
            *BOTH[:3],
            Step("waybill", 0, "delete", cut=RUN),
            Step("inventory", 0),
            Step("waybill", 0),
        ]
    )
    # A list sent again behind the payment with which the waiting one was refused.
    @example(
        stream=[
            Step("order", 0),
            Step("waybill", 0),
            Step("inventory", 0),
            Step("payment", 0, faulty=True, cut=RUN),
            Step("inventory", 0, minutes=1),
        ]
    )
    @given(stream=streams())
    def same(stream: list[Step]) -> None:
        sent = papers(stream)
        cut = outcome(window, runs(stream, sent), sent)
        apart = papers(stream)
        one_by_one = outcome(window, [[message(paper)] for paper in apart], apart)
        assert cut == one_by_one

    same()
