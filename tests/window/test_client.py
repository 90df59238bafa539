"""The client against the gateway's own application, without a network."""

import asyncio
import random
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
import pytest
from dossiers import AGENT, CARRIER, NOON, PAYMENT, PLATFORM, SELLER, message, order, packed, parcel
from zones import Zone

from tongguan import clearance
from tongguan.client import (
    Accepted,
    AsyncClient,
    Client,
    Parcels,
    Receipt,
    Refused,
    Retrying,
    TurnedAway,
)
from tongguan.window import site

URL = "http://window.test"
AT_ONCE = Retrying(first_seconds=0.001, patience_seconds=1)
SENDERS = (PLATFORM, PAYMENT, CARRIER, AGENT)


def transport(zone: Zone) -> httpx.WSGITransport:
    def application(environment: dict[str, Any], start: Callable[..., Any]) -> Any:
        # As the front of the gateway hands requests on.
        length = environment.get("CONTENT_LENGTH") or "0"
        more = {site.GATEWAY: zone.gateway, "CONTENT_LENGTH": length}
        return zone.application(environment | more, start)

    return httpx.WSGITransport(app=application)


def client(zone: Zone, company: str, *scopes: str) -> Client:
    return Client(URL, zone.key(company, *scopes), AT_ONCE, transport=transport(zone))


def guarantee(zone: Zone) -> None:
    """Of the platform, without which a closed registry releases nothing."""
    under = clearance.settings(zone.database, datetime.fromisoformat(NOON))
    clearance.open_guarantee(zone.database, under, PLATFORM[0], "deposit", 10**6)


def test_four_companies_clear_a_parcel_and_each_knows_its_own(zone: Zone) -> None:
    guarantee(zone)
    for firm, data in zip(SENDERS, packed(parcel()), strict=True):
        with client(zone, firm[0]) as mine:
            assert isinstance(mine.send(data), Accepted)
    zone.work()
    ends = {PLATFORM: 120, PAYMENT: 120, CARRIER: 120, AGENT: 800}
    for firm, status in ends.items():
        parcels = Parcels()
        with client(zone, firm[0]) as mine:
            parcels.add(mine.follow(wait=0, idle=1))
        own = [each for each in parcels if each.type != "CEB816"]
        assert [each.status for each in own] == [status]
        assert len(parcels) == (2 if firm == AGENT else 1)  # the tax bill of the list


def test_following_goes_on_behind_the_last_cursor_dealt_with(zone: Zone) -> None:
    with client(zone, PLATFORM[0]) as mine:
        mine.send(message(*(order(n) for n in range(1, 8))))
        zone.work()
        everything = list(mine.follow(wait=0, idle=1))
        assert len(everything) == 7
        for place, dealt_with in enumerate(everything, 1):
            rest = list(mine.follow(dealt_with.cursor, wait=0, idle=1))
            assert [r.cursor for r in rest] == [r.cursor for r in everything[place:]]
        mine.send(message(order(9)))
        zone.work()
        [new] = mine.follow(everything[-1].cursor, wait=0, idle=1)
        assert new.key["orderNo"] == order(9).head["orderNo"]


def test_real_receipts_in_any_order_and_number_lead_to_one_state(zone: Zone) -> None:
    papers = [*parcel(1), *parcel(2), *parcel(1)[:1]]
    companies = {"order": PLATFORM, "payment": PAYMENT, "waybill": CARRIER, "inventory": AGENT}
    for paper in papers:
        with client(zone, companies[paper.kind][0]) as mine:
            mine.send(message(paper))
            zone.work()
    told: list[Receipt] = []
    for firm in SENDERS:
        with client(zone, firm[0]) as mine:
            told += mine.follow(wait=0, idle=1)
    undisturbed = Parcels()
    undisturbed.add(told)
    for seed in range(5):
        chance = random.Random(seed)
        disturbed = told * 2
        chance.shuffle(disturbed)
        other = Parcels()
        for receipt in disturbed:
            other.add([receipt])
        assert other == undisturbed


def test_the_same_message_again_is_the_same(zone: Zone) -> None:
    data = message(order())
    with client(zone, PLATFORM[0]) as mine:
        first, again = mine.send(data), mine.send(data)
        assert first == again
        [together] = mine.send_many([data])
        assert together == first
        assert zone.work() == 1
        assert mine.look_up(first.id).state == "done"


def test_what_is_no_message_is_refused_with_findings_and_a_receipt(zone: Zone) -> None:
    with client(zone, PLATFORM[0]) as mine:
        answers = mine.send_many([b"<no/>", message(order())])
        assert [type(answer) for answer in answers] == [Refused, Accepted]
        assert isinstance(answers[0], Refused)
        assert answers[0].findings[0].rule == "message.format"
        zone.work()
        parcels = Parcels()
        parcels.add(mine.follow(wait=0, idle=1))
        assert {each.type for each in parcels} == {"CEB900", "CEB311"}


def test_what_the_key_is_not_for_is_told_and_not_tried_again(zone: Zone) -> None:
    with client(zone, PLATFORM[0], "receipts:read") as mine:
        with pytest.raises(TurnedAway, match="403") as caught:
            mine.send(message(order()))
        assert "messages:send" in caught.value.problem.detail
    with client(zone, SELLER[0]) as another, pytest.raises(TurnedAway, match="404"):
        another.look_up("nothing")


def test_a_parcel_is_explained(zone: Zone) -> None:
    guarantee(zone)
    for firm, data in zip(SENDERS, packed(parcel()), strict=True):
        with client(zone, firm[0]) as mine:
            mine.send(data)
    zone.work()
    with client(zone, AGENT[0]) as mine:
        [facts] = mine.explain("O0000001")
        assert facts["documents"][-1]["status"] == 800
        with pytest.raises(TurnedAway, match="404"):
            mine.explain("a/b?c")


def test_the_awaited_client_does_the_same(zone: Zone) -> None:
    """Its transport asks the same application, twice broken and once overloaded before."""
    asked = transport(zone)
    trouble = iter([httpx.ConnectError("refused"), httpx.ReadError("reset"), 429])

    class Troubled(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await request.aread()
            problem = next(trouble, None)
            if isinstance(problem, httpx.TransportError):
                raise problem
            if problem is not None:
                return httpx.Response(problem, headers={"Retry-After": "0"})
            answer = asked.handle_request(
                httpx.Request(
                    request.method, request.url, headers=request.headers, content=request.content
                )
            )
            return httpx.Response(
                answer.status_code, headers=answer.headers, content=b"".join(answer.stream)
            )

    async def walk() -> list[Receipt]:
        key = zone.key(PLATFORM[0])
        async with AsyncClient(URL, key, AT_ONCE, transport=Troubled()) as mine:
            taken = await mine.send(message(order()))
            assert isinstance(taken, Accepted)
            assert await mine.send_many([message(order(2))])
            await asyncio.to_thread(zone.work)
            assert (await mine.look_up(taken.id)).state == "done"
            page = await mine.read(limit=1)
            return [*page.receipts, *[r async for r in mine.follow(page.next, wait=0, idle=1)]]

    found = asyncio.run(walk())
    assert sorted(receipt.key["orderNo"] for receipt in found) == ["O0000001", "O0000002"]
