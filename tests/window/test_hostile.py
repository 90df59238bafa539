"""Hostile messages over HTTP: each is answered by what it is, and harms nobody.

The inputs are those of tests/faults: bombs, entities, truncations, false encodings and the like.
"""

import re
from collections import Counter

import hostile
import pytest
from dossiers import PLATFORM, message, order
from zones import Zone

from tongguan.window.limits import Limits

COUNT = 130
SENDER = re.compile(rb"<(\w+:)?copCode>[^<]*<")


@pytest.fixture
def limits() -> Limits:
    return Limits(message_bytes=2 << 20, rate=10**6, burst=10**6)


def test_hostile_messages_are_answered_and_the_good_ones_go_through(zone: Zone) -> None:
    zone.lay_down(registry="open")
    key = zone.key(PLATFORM[0])
    statuses: Counter[int] = Counter()
    for one in hostile.inputs(7, COUNT, "http://127.0.0.1:9/lure", "/etc/hostname"):
        # As far as they name a sender, it is the one whose key is used.
        data = SENDER.sub(rb"<\1copCode>" + PLATFORM[0].encode() + b"<", one.data)
        data += b"\0" * min(one.zeros, 3 << 20)
        reply = zone.post(key, data)
        statuses[reply.status] += 1
        assert reply.status in (202, 403, 413, 422), (one.family, reply.body)
        if reply.status == 422:
            assert reply.json["findings"], one.family
        if reply.status == 202:
            # A frame may have been wrong for the sender it named, which is another now.
            assert one.must != "refused" or one.family == "wrong_frame", one.family
    assert statuses[422] > COUNT // 3
    assert statuses[202] > COUNT // 10
    assert zone.post(key, message(order(1))).status == 202
    zone.work()
    states = dict(zone.rows("SELECT state, count(*) FROM submission GROUP BY state"))
    assert set(states) == {"done", "refused"}
    entries = zone.receipts(key)
    refusals = [entry for entry in entries if entry["message"] == "CEB900"]
    assert len(refusals) == states["refused"]
    assert any(entry["key"].get("orderNo") == "O0000001" for entry in entries)
