"""The ledger: whose money is free, held, owed and paid, and every movement that made it so.

One row of ``transfer`` takes one amount from the account ``debit`` and gives it to the account
``credit``, so every posting balances. The database adds the sums of a statement to ``account``
itself and refuses a balance below the account's floor; nobody else changes an account, and a
transfer never changes. What is wrong is put right by a transfer the other way.

Accounts: ``guarantee/CODE`` (free), ``guarantee/CODE/pending`` (held for lists under way),
``guarantee/CODE/posted`` (tax of released lists not yet paid), ``outside`` (everybody's own money)
and ``customs`` (tax paid); the last two have no floor. At any time free + pending + posted = all
that was opened − all that was claimed.

Source: GACC notice 2018-194 (the collecting agent gives customs a guarantee and pays the tax 31 to
45 days after release). Times are milliseconds since 1970 UTC, money is fen.
"""

from typing import Any

import polars as pl
import psycopg

from tongguan import store

OUTSIDE, CUSTOMS = "outside", "customs"
FREE, PENDING, POSTED = "", "/pending", "/posted"
"""What follows ``guarantee/CODE`` in the names of the three accounts of a guarantee."""

WITHIN: dict[str, tuple[str, str]] = {
    "hold": (FREE, PENDING),
    "post": (PENDING, POSTED),
    "void": (PENDING, FREE),
    "expire": (PENDING, FREE),
    "pay": (POSTED, FREE),
    "reverse": (POSTED, FREE),
}
"""The movements inside one guarantee: from which of its accounts to which."""

TRANSFER: dict[str, Any] = {
    "batch_id": pl.Int64,
    "at": pl.Int64,
    "what": pl.String,
    "debit": pl.String,
    "credit": pl.String,
    "amount_fen": pl.Int64,
    "document_id": pl.Int64,
    "bill_id": pl.Int64,
    "reference": pl.String,
}
"""What ``move`` takes."""
OPTIONAL = ("document_id", "bill_id", "reference")

STEPS = [
    """
    CREATE SEQUENCE transfer_id;

    CREATE TABLE account (
        id text PRIMARY KEY,
        balance_fen bigint NOT NULL,
        floor_fen bigint,
        CONSTRAINT account_has_its_floor
            CHECK ((id IN ('outside', 'customs')) = (floor_fen IS NULL)),
        CONSTRAINT account_not_below_its_floor
            CHECK (floor_fen IS NULL OR balance_fen >= floor_fen)
    );

    CREATE TABLE transfer (
        id bigint PRIMARY KEY DEFAULT nextval('transfer_id'),
        batch_id bigint NOT NULL,
        at bigint NOT NULL,
        what text NOT NULL,
        debit text NOT NULL,
        credit text NOT NULL,
        amount_fen bigint NOT NULL CONSTRAINT transfer_moves_something CHECK (amount_fen > 0),
        document_id bigint,
        bill_id bigint,
        reference text,
        CONSTRAINT transfer_goes_its_way CHECK (CASE what
            WHEN 'open' THEN debit = 'outside' AND credit ~ '^guarantee/[^/]+$'
            WHEN 'hold' THEN debit ~ '^guarantee/[^/]+$' AND credit = debit || '/pending'
            WHEN 'post' THEN debit ~ '^guarantee/[^/]+/pending$'
                AND credit = replace(debit, '/pending', '/posted')
            WHEN 'void' THEN credit ~ '^guarantee/[^/]+$' AND debit = credit || '/pending'
            WHEN 'expire' THEN credit ~ '^guarantee/[^/]+$' AND debit = credit || '/pending'
            WHEN 'reverse' THEN credit ~ '^guarantee/[^/]+$' AND debit = credit || '/posted'
            WHEN 'pay' THEN (debit = 'outside' AND credit = 'customs')
                OR (credit ~ '^guarantee/[^/]+$' AND debit = credit || '/posted')
            WHEN 'claim' THEN debit ~ '^guarantee/[^/]+(/posted)?$' AND credit = 'customs'
            WHEN 'refund' THEN debit = 'customs' AND credit = 'outside'
            ELSE false END)
    );
    -- Documents are numbered as they come, so their transfers lie close together.
    CREATE INDEX transfer_document ON transfer USING brin (document_id);

    CREATE FUNCTION transfer_moves_money() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE ids text[]; sums bigint[];
    BEGIN
        SELECT array_agg(id ORDER BY id), array_agg(fen ORDER BY id) INTO ids, sums FROM (
            SELECT id, sum(fen)::bigint AS fen FROM (
                SELECT debit AS id, -amount_fen AS fen FROM fresh
                UNION ALL SELECT credit, amount_fen FROM fresh
            ) side GROUP BY id
        ) moved;
        IF ids IS NULL THEN RETURN NULL; END IF;
        INSERT INTO account (id, balance_fen, floor_fen)
            SELECT id, 0, CASE WHEN id IN ('outside', 'customs') THEN NULL ELSE 0 END
            FROM unnest(ids) AS named(id) ON CONFLICT (id) DO NOTHING;
        -- In one order everywhere, so that two transactions never wait for each other.
        PERFORM 1 FROM account WHERE id = ANY(ids) ORDER BY id FOR UPDATE;
        UPDATE account a SET balance_fen = a.balance_fen + m.fen
            FROM unnest(ids, sums) AS m(id, fen) WHERE a.id = m.id AND m.fen <> 0;
        RETURN NULL;
    END $$;
    CREATE TRIGGER transfer_moves_money AFTER INSERT ON transfer REFERENCING NEW TABLE AS fresh
        FOR EACH STATEMENT EXECUTE FUNCTION transfer_moves_money();

    CREATE FUNCTION ledger_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'table % only grows', TG_TABLE_NAME USING ERRCODE = 'check_violation';
    END $$;
    CREATE TRIGGER transfer_never_changes BEFORE UPDATE OR DELETE OR TRUNCATE ON transfer
        FOR EACH STATEMENT EXECUTE FUNCTION ledger_only_grows();
    CREATE TRIGGER account_never_vanishes BEFORE DELETE OR TRUNCATE ON account
        FOR EACH STATEMENT EXECUTE FUNCTION ledger_only_grows();

    CREATE FUNCTION account_follows_transfers() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        -- Depth 1 is this trigger itself: the statement came from outside.
        IF pg_trigger_depth() < 2 THEN
            RAISE EXCEPTION 'an account changes by transfers only'
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER account_follows_transfers BEFORE INSERT OR UPDATE ON account
        FOR EACH STATEMENT EXECUTE FUNCTION account_follows_transfers();
    """
]


def move(conn: psycopg.Connection, transfers: pl.DataFrame) -> None:
    """Write transfers (TRANSFER; the OPTIONAL columns may be absent), which moves the money.

    All of them as one statement: what they do to an account counts as a sum. Raises
    psycopg.errors.CheckViolation where an account would fall below its floor or a movement has
    the wrong accounts; nothing of the statement is done then.
    """
    if transfers.is_empty():
        return
    absent = [pl.lit(None).alias(name) for name in OPTIONAL if name not in transfers.columns]
    whole = transfers.with_columns(absent)
    store.copy(conn, "transfer", whole.select(pl.col(n).cast(t) for n, t in TRANSFER.items()))


def account(code: pl.Expr, part: str = FREE) -> pl.Expr:
    """The name of an account of the guarantees of these codes."""
    return pl.concat_str(pl.lit("guarantee/"), code, pl.lit(part))


def within(conn: psycopg.Connection, what: str, moved: pl.DataFrame, batch_id: int) -> None:
    """Move amounts inside guarantees: ``what`` of WITHIN.

    moved: code, amount_fen (0 moves nothing), at; document_id, bill_id, reference if there are.
    """
    before, after = WITHIN[what]
    moves = moved.filter(pl.col("amount_fen") > 0).with_columns(
        batch_id=pl.lit(batch_id),
        what=pl.lit(what),
        debit=account(pl.col("code"), before),
        credit=account(pl.col("code"), after),
    )
    move(conn, moves)


def balances(conn: psycopg.Connection, accounts: pl.Series) -> pl.DataFrame:
    """id, balance_fen of accounts; one that was never used is not there."""
    source, values = store.unnest("k", pl.DataFrame({"id": accounts}, {"id": pl.String}))
    sql = f"SELECT id, balance_fen FROM {source} JOIN account USING (id)"
    return store.fetch(conn, sql, values, {"id": pl.String, "balance_fen": pl.Int64})
