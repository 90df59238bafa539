"""The window of a test: five companies are filed, the clock stands at noon."""

from collections.abc import Iterator

import pytest
from zones import ROLES, Zone

from tongguan import messages, store
from tongguan.sharing import companies
from tongguan.sharing.heads import Signer
from tongguan.window import running, site
from tongguan.window.gateway import gateway
from tongguan.window.limits import Limits
from tongguan.window.worker import Worker


@pytest.fixture
def limits() -> Limits:
    return Limits()


@pytest.fixture
def zone(database: store.Database, limits: Limits) -> Iterator[Zone]:
    """Five companies are filed; the clock stands at noon."""
    running.prepare(database)
    vault, signer = store.Vault(bytes(range(32))), Signer(bytes(range(32)))
    made = gateway(database, vault, limits, loopback=True)
    worker = Worker(database, vault, signer, messages.Limits())
    zone = Zone(database, vault, made, worker, site.configure(limits))
    for (code, name), roles in ROLES.items():
        store.transact(
            database,
            lambda conn, code=code, name=name, roles=roles: companies.file(
                conn, code, name, roles, "test", 1
            ),
        )
    zone.lay_down()
    try:
        yield zone
    finally:
        worker.close()
        made.close()
