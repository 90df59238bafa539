"""Guarantees: opened, raised, frozen, watched; what of each is free.

Forms: cash deposit, bank letter, electronic guarantee. A frozen one stops releases; one used to
the share of the parameter ``settlement.guarantee-warning`` warns once, until it has been relieved.
Source: GACC notice 2018-194 (guarantee by the collecting agent); the forms and their life as
observed at customs windows.
"""

from fractions import Fraction
from typing import Any

import polars as pl
import psycopg

from tongguan import policy, store
from tongguan.finance import ledger
from tongguan.finance.ledger import FREE, OUTSIDE, PENDING, POSTED

KINDS = ("deposit", "letter", "electronic")
WARNING = "settlement.guarantee-warning"
_MILLION = 1_000_000

STEPS = [
    """
    CREATE TABLE guarantee (
        code text PRIMARY KEY CONSTRAINT guarantee_code_is_one_word CHECK (code ~ '^[^/]+$'),
        kind text NOT NULL CHECK (kind IN ('deposit', 'letter', 'electronic')),
        opened_at bigint NOT NULL,
        frozen boolean NOT NULL DEFAULT false,
        warned boolean NOT NULL DEFAULT false
    );

    CREATE TABLE guarantee_event (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        code text NOT NULL,
        at bigint NOT NULL,
        batch_id bigint NOT NULL,
        what text NOT NULL CHECK (what IN
            ('opened', 'increased', 'frozen', 'unfrozen', 'warned', 'relieved')),
        amount_fen bigint,
        free_fen bigint
    );
    CREATE INDEX guarantee_event_code ON guarantee_event (code);
    CREATE TRIGGER guarantee_event_never_changes BEFORE UPDATE OR DELETE OR TRUNCATE
        ON guarantee_event FOR EACH STATEMENT EXECUTE FUNCTION ledger_only_grows();
    CREATE TRIGGER guarantee_never_vanishes BEFORE DELETE OR TRUNCATE ON guarantee
        FOR EACH STATEMENT EXECUTE FUNCTION ledger_only_grows();

    CREATE FUNCTION frozen_guarantee_holds_nothing() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE stopped text;
    BEGIN
        SELECT g.code INTO stopped FROM guarantee g
        JOIN (SELECT DISTINCT debit FROM fresh WHERE what = 'hold') f
            ON g.code = substr(f.debit, 11)
        WHERE g.frozen LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'the guarantee of % is frozen', stopped
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER frozen_guarantee_holds_nothing AFTER INSERT ON transfer
        REFERENCING NEW TABLE AS fresh
        FOR EACH STATEMENT EXECUTE FUNCTION frozen_guarantee_holds_nothing();
    """
]


class UnknownGuarantee(LookupError):  # noqa: N818 - a look-up that found nothing
    """No guarantee was opened under that code."""


STATES: dict[str, Any] = {
    "code": pl.String,
    "known": pl.Boolean,
    "frozen": pl.Boolean,
    "free_fen": pl.Int64,
    "amount_fen": pl.Int64,
}
"""What a decision must know of a guarantee; amount: free, pending and posted together."""


def open_guarantee(
    conn: psycopg.Connection, code: str, kind: str, amount_fen: int, at_ms: int, batch_id: int
) -> None:
    """Open the guarantee of a company, or raise it by an amount if it is open (kind stays).

    Raises ValueError for an amount that is not positive, an unknown kind, or a code with a slash.
    """
    if amount_fen <= 0:
        raise ValueError(f"a guarantee is opened with more than nothing, not {amount_fen} fen")
    if kind not in KINDS:
        raise ValueError(f"a guarantee is one of {', '.join(KINDS)}, not {kind!r}")
    if not code or "/" in code:
        raise ValueError(f"not a company's code: {code!r}")
    sql = """INSERT INTO guarantee (code, kind, opened_at) VALUES (%s, %s, %s)
        ON CONFLICT (code) DO NOTHING"""
    new = conn.execute(sql, (code, kind, at_ms)).rowcount == 1
    _lock(conn, [code])
    opened = pl.DataFrame({"what": ["open"], "debit": [OUTSIDE], "amount_fen": [amount_fen]})
    opened = opened.with_columns(
        batch_id=pl.lit(batch_id), at=pl.lit(at_ms), credit=ledger.account(pl.lit(code))
    )
    ledger.move(conn, opened)
    _tell(conn, [code], "opened" if new else "increased", at_ms, batch_id)


def freeze(conn: psycopg.Connection, code: str, at_ms: int, batch_id: int) -> bool:
    """Freeze a guarantee: nothing is held on it any more. False if it was. UnknownGuarantee."""
    return _set_frozen(conn, code, True, at_ms, batch_id)


def unfreeze(conn: psycopg.Connection, code: str, at_ms: int, batch_id: int) -> bool:
    """Let a guarantee serve again. False if it did. Raises UnknownGuarantee."""
    return _set_frozen(conn, code, False, at_ms, batch_id)


def _set_frozen(
    conn: psycopg.Connection, code: str, frozen: bool, at_ms: int, batch_id: int
) -> bool:
    if not _lock(conn, [code]):
        raise UnknownGuarantee(f"no guarantee was opened for {code}")
    sql = "UPDATE guarantee SET frozen = %(to)s WHERE code = %(code)s AND frozen <> %(to)s"
    changed = conn.execute(sql, {"to": frozen, "code": code}).rowcount == 1
    if changed:
        _tell(conn, [code], "frozen" if frozen else "unfrozen", at_ms, batch_id)
    return changed


def _lock(conn: psycopg.Connection, codes: list[str]) -> int:
    """Take guarantees until the transaction ends, in order of code; returns how many there are."""
    sql = "SELECT 1 FROM guarantee WHERE code = ANY(%s) ORDER BY code FOR UPDATE"
    return len(conn.execute(sql, (codes,)).fetchall())


def states(conn: psycopg.Connection, codes: pl.Series, lock: bool = True) -> pl.DataFrame:
    """The guarantees of these companies (STATES), one row for each code but null, sorted by it.

    A code without a guarantee is there with known false. With ``lock`` nobody else can hold on
    these guarantees until the transaction ends.
    """
    asked = codes.cast(pl.String).drop_nulls().unique().sort().alias("code").to_frame()
    if asked.is_empty():
        return pl.DataFrame(schema=STATES)
    if lock:
        # First the locks, then, in a statement that begins after them, the balances: one
        # statement would read the balances as they were before it had to wait.
        _lock(conn, asked["code"].to_list())
    found = _read(conn, asked).select(
        *("code", "frozen", "free_fen"),
        known=pl.lit(value=True),
        amount_fen=pl.col("free_fen") + pl.col("pending_fen") + pl.col("posted_fen"),
    )
    told = asked.join(found, on="code", how="left", maintain_order="left")
    return told.with_columns(
        pl.col("known", "frozen").fill_null(value=False),
        pl.col("free_fen", "amount_fen").fill_null(0),
    ).select(pl.col(name).cast(kind) for name, kind in STATES.items())


PARTS = {"free_fen": FREE, "pending_fen": PENDING, "posted_fen": POSTED}


def _read(conn: psycopg.Connection, codes: pl.DataFrame) -> pl.DataFrame:
    """code, kind, opened_at, frozen, warned and the three balances of guarantees."""
    balances = ", ".join(
        f"""coalesce((SELECT a.balance_fen FROM account a
            WHERE a.id = 'guarantee/' || g.code || '{part}'), 0) AS {name}"""
        for name, part in PARTS.items()
    )
    source, values = store.unnest("k", codes)
    sql = f"""SELECT g.code, g.kind, g.opened_at, g.frozen, g.warned, {balances}
        FROM {source} JOIN guarantee g USING (code)"""
    return store.fetch(conn, sql, values)


def show(conn: psycopg.Connection, code: str) -> dict[str, Any]:
    """The facts of one guarantee. Raises UnknownGuarantee.

    code, kind, opened_at, frozen, warned; amount_fen, pending_fen, posted_fen, free_fen; ``used``
    (Fraction of the amount that is not free); ``forecast_free_fen``: what is free once all bills
    made so far are paid and all lists under way are refused or paid.
    """
    found = _read(conn, pl.DataFrame({"code": [code]}))
    if found.is_empty():
        raise UnknownGuarantee(f"no guarantee was opened for {code}")
    facts = found.row(0, named=True)
    amount = sum(facts[name] for name in PARTS)
    bound = amount - facts["free_fen"]
    return facts | {
        "amount_fen": amount,
        "used": Fraction(bound, amount) if amount else Fraction(0),
        "forecast_free_fen": amount,
    }


def watch(
    conn: psycopg.Connection, codes: pl.Series, law: policy.Law, at_ms: int, batch_id: int
) -> pl.DataFrame:
    """Warn of guarantees that have come to the warning share, and say which were relieved.

    Returns code, what (warned | relieved), amount_fen, free_fen of those that changed; each is
    recorded once, however often this is called.
    """
    ppm = law.value(WARNING).ppm
    asked = codes.cast(pl.String).drop_nulls().unique().sort().alias("code").to_frame()
    if asked.is_empty():
        return pl.DataFrame(schema=_CHANGED)
    _lock(conn, asked["code"].to_list())
    bound = pl.col("pending_fen") + pl.col("posted_fen")
    amount = bound + pl.col("free_fen")
    reached = bound.cast(pl.Int128) * _MILLION >= amount.cast(pl.Int128) * ppm
    changed = _read(conn, asked).filter(reached != pl.col("warned")).sort("code")
    for what, warned in (("warned", True), ("relieved", False)):
        those = changed.filter(pl.col("warned") != warned)["code"].to_list()
        conn.execute("UPDATE guarantee SET warned = %s WHERE code = ANY(%s)", (warned, those))
        _tell(conn, those, what, at_ms, batch_id)
    became = pl.when("warned").then(pl.lit("relieved")).otherwise(pl.lit("warned"))
    return changed.select("code", "free_fen", what=became, amount_fen=amount).select(*_CHANGED)


_CHANGED: dict[str, Any] = {
    "code": pl.String,
    "what": pl.String,
    "amount_fen": pl.Int64,
    "free_fen": pl.Int64,
}


def _tell(conn: psycopg.Connection, codes: list[str], what: str, at_ms: int, batch_id: int) -> None:
    """Record that something happened to guarantees, with amount and free balance after it."""
    if not codes:
        return
    free = pl.col("free_fen")
    events = _read(conn, pl.DataFrame({"code": codes}, {"code": pl.String})).select(
        "code",
        "free_fen",
        at=pl.lit(at_ms),
        batch_id=pl.lit(batch_id),
        what=pl.lit(what),
        amount_fen=free + pl.col("pending_fen") + pl.col("posted_fen"),
    )
    store.copy(conn, "guarantee_event", events)
