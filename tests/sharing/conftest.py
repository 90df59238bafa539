"""A database with the tables of sharing."""

from collections.abc import Iterator

import psycopg
import pytest

from tongguan import store
from tongguan.sharing import certificates, keys, registry, subscriptions
from tongguan.sharing.payment_data import asking


@pytest.fixture
def conn(database: store.Database) -> Iterator[psycopg.Connection]:
    with database.connect() as connection:
        store.migrate(connection, "sharing", registry.STEPS)
        store.migrate(connection, "keys", keys.STEPS)
        store.migrate(connection, "subscriptions", subscriptions.STEPS)
        store.migrate(connection, certificates.ROOM, certificates.STEPS)
        store.migrate(connection, "payment-data", asking.STEPS)
        connection.commit()
        yield connection
