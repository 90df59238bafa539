"""API keys: shown once, scoped, ended, revoked; nothing else opens the door."""

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongguan import codes
from tongguan.sharing import companies, keys
from tongguan.sharing.rules import Refused, filed_roles

CODE = "3302695961"
NOW = 1654056000000
USUAL = ("messages:send", "receipts:read", "webhooks:manage")


@pytest.fixture
def company(conn: psycopg.Connection) -> str:
    return companies.file(conn, CODE, "甲公司", ["seller"], "wang", NOW)


def test_a_key_says_who_calls_and_what_for(conn: psycopg.Connection, company: str) -> None:
    key, caller = keys.issue(conn, company, ["receipts:read"], NOW)
    assert key.startswith(f"tgk_{caller.key_id}_")
    assert caller == keys.Caller(caller.key_id, CODE, frozenset({"receipts:read"}))
    assert keys.authenticate(conn, key, NOW) == caller
    assert keys.usual_scopes() == USUAL


def test_what_is_kept_does_not_give_the_key_again(conn: psycopg.Connection, company: str) -> None:
    key, _ = keys.issue(conn, company, USUAL, NOW)
    secret = key.rsplit("_", 1)[1]
    for table in ("api_key", "filing"):
        rows = conn.execute(f"SELECT k::text FROM {table} k").fetchall()
        assert rows
        assert all(secret not in row[0] for row in rows)
    assert secret not in str(keys.listed(conn))


def test_two_keys_are_two(conn: psycopg.Connection, company: str) -> None:
    first, one = keys.issue(conn, company, USUAL, NOW)
    second, two = keys.issue(conn, company, USUAL, NOW)
    mixed = f"tgk_{one.key_id}_{second.rsplit('_', 1)[1]}"
    assert keys.authenticate(conn, mixed, NOW) is None
    keys.revoke(conn, one.key_id, NOW)
    assert keys.authenticate(conn, first, NOW) is None
    assert keys.authenticate(conn, second, NOW) == two


def test_a_key_ends_when_it_was_said_to(conn: psycopg.Connection, company: str) -> None:
    key, _ = keys.issue(conn, company, USUAL, NOW, expires_ms=NOW + 10)
    assert keys.authenticate(conn, key, NOW + 9) is not None
    assert keys.authenticate(conn, key, NOW + 10) is None


def test_a_revoked_key_stays_void_whichever_way_the_clock_goes(
    conn: psycopg.Connection, company: str
) -> None:
    key, caller = keys.issue(conn, company, USUAL, NOW)
    keys.revoke(conn, caller.key_id, NOW + 5, by="li")
    keys.revoke(conn, caller.key_id, NOW + 9)
    assert keys.authenticate(conn, key, NOW) is None
    [row] = keys.listed(conn, CODE)
    assert row["revoked"] == companies.instant(NOW + 5)
    said = [(fact["what"], fact["by"]) for fact in companies.history(conn, CODE)[1:]]
    assert said == [("key issued", "operator"), ("key revoked", "li")]
    with pytest.raises(keys.UnknownKey):
        keys.revoke(conn, "0" * 12, NOW)


def test_nothing_but_a_key_opens(conn: psycopg.Connection, company: str) -> None:
    key, caller = keys.issue(conn, company, USUAL, NOW)

    @given(st.integers(0, len(key) - 1), st.characters(codec="utf-8"))
    def bent(place: int, other: str) -> None:
        changed = key[:place] + other + key[place + 1 :]
        assert (keys.authenticate(conn, changed, NOW) is None) == (changed != key)

    bent()
    for wrong in ("", key[:-1], key + "0", key.upper(), f" {key}", f"tgk_{caller.key_id}_", "é\0"):
        assert keys.authenticate(conn, wrong, NOW) is None


def test_what_may_not_be_issued_is_told_whole(conn: psycopg.Connection, company: str) -> None:
    with pytest.raises(Refused) as caught:
        keys.issue(conn, company, ["operate", "fly"], NOW, expires_ms=NOW)
    told = str(caught.value)
    assert [problem.field for problem in caught.value.problems] == ["scope", "scope", "expires"]
    assert "for operate a company filed as operator" in told
    assert all(scope in told for scope in codes.table("scope").codes)
    with pytest.raises(Refused, match="say what the key is for"):
        keys.issue(conn, company, [], NOW)
    with pytest.raises(companies.UnknownCompany):
        keys.issue(conn, "3302695969", USUAL, NOW)
    assert keys.listed(conn) == []


def test_the_operator_may_operate(conn: psycopg.Connection) -> None:
    companies.file(conn, CODE, "运营公司", ["operator"], "wang", NOW)
    _, caller = keys.issue(conn, CODE, ["operate", "payments:179"], NOW)
    assert caller.scopes == {"operate", "payments:179"}


def test_every_scope_names_roles_that_can_be_filed() -> None:
    for scope in codes.table("scope"):
        assert set(scope.more["roles"].split()) <= set(filed_roles())
        assert scope.more["usual"] in ("yes", "no")
