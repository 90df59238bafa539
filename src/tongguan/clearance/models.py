"""The tables of clearance, as numbered steps for ``store.migrate``.

Three layers. *Life*: ``message``, ``document``, ``event``, narrow rows that say what came, what
it is now, and every step it took; ``event`` only grows. *Body*: one table per node of each
message, its columns taken from the catalogue, written once and never changed. *Decision*: what
was decided about a list, from what, under which law.

A personal element (identity number, telephone) is kept three ways: masked in its own column, as
a keyed hash in ``<element>_digest`` for comparing, and in clear only inside ``message.sealed``.
Times of events are milliseconds since 1970 UTC; money is fen or ``numeric(19,5)`` yuan.
"""

from tongguan import messages
from tongguan.clearance.kinds import KINDS, Kind
from tongguan.clearance.transitions import transitions

LIFE = """
CREATE SEQUENCE batch_id;
CREATE SEQUENCE message_id;
CREATE SEQUENCE document_id;
CREATE SEQUENCE receipt_id;
CREATE SEQUENCE pre_serial MAXVALUE 999999999 CYCLE;
CREATE SEQUENCE invt_serial MAXVALUE 999999999 CYCLE;

CREATE TABLE batch (
    id bigint PRIMARY KEY,
    at bigint NOT NULL
);

CREATE TABLE message (
    id bigint PRIMARY KEY,
    batch_id bigint NOT NULL,
    digest text NOT NULL UNIQUE,
    name text NOT NULL,
    type text,
    edition text,
    guid text,
    sender text,
    receiver text,
    signed boolean NOT NULL,
    documents integer NOT NULL,
    refused boolean NOT NULL,
    sealed bytea NOT NULL
);

CREATE TABLE document (
    id bigint PRIMARY KEY,
    kind smallint NOT NULL,
    message_id bigint NOT NULL,
    position smallint NOT NULL,
    key_a text,
    key_b text,
    ref_a text,
    ref_b text,
    way_a text,
    way_b text,
    cop_a text,
    cop_b text,
    guid text,
    app_type smallint,
    app_time text,
    status integer NOT NULL,
    seq smallint NOT NULL,
    at bigint NOT NULL,
    current boolean NOT NULL,
    pre_no text,
    invt_no text
);
CREATE UNIQUE INDEX document_key ON document (kind, key_b, key_a) WHERE current;
-- Each names a condition of its own that queries by the other keys do not fulfil, so that the
-- planner cannot take the wrong one while both are small.
CREATE INDEX document_open_reference ON document (kind, ref_b, ref_a)
    WHERE current AND status = 2 AND ref_b IS NOT NULL;
CREATE INDEX document_open_waybill ON document (way_b, way_a)
    WHERE kind = 621 AND current AND status = 2 AND way_b IS NOT NULL;
CREATE INDEX document_past_key ON document (key_b) WHERE NOT current;
CREATE INDEX document_cop ON document (cop_b) WHERE kind = 621;
CREATE UNIQUE INDEX document_invt ON document (invt_no) WHERE invt_no IS NOT NULL;
CREATE INDEX document_message ON document (message_id);

CREATE TABLE event (
    document_id bigint NOT NULL,
    seq smallint NOT NULL,
    kind smallint NOT NULL,
    before integer NOT NULL,
    after integer NOT NULL,
    at bigint NOT NULL,
    info text,
    batch_id bigint NOT NULL,
    PRIMARY KEY (document_id, seq),
    CONSTRAINT event_is_a_legal_transition
        CHECK (kind::bigint * 1000000 + before * 1000 + greatest(after, -1) IN ({legal}))
);

CREATE TABLE finding (
    document_id bigint,
    message_id bigint NOT NULL,
    rule text NOT NULL,
    code text NOT NULL,
    severity text NOT NULL,
    document text NOT NULL,
    field text,
    gnum integer,
    expected text,
    actual text,
    law text
);
CREATE INDEX finding_document ON finding (document_id);
CREATE INDEX finding_message ON finding (message_id) WHERE document_id IS NULL;

CREATE TABLE receipt (
    id bigint PRIMARY KEY,
    batch_id bigint NOT NULL,
    receiver text,
    type text NOT NULL,
    documents integer NOT NULL,
    xml text,
    sealed bytea
);
CREATE INDEX receipt_batch ON receipt (batch_id);
-- Packing it costs the server more time than writing it.
ALTER TABLE receipt ALTER COLUMN xml SET STORAGE EXTERNAL;
"""

GUARDS = """
CREATE FUNCTION event_continues() RETURNS trigger LANGUAGE plpgsql
    SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE broken record;
BEGIN
    WITH step AS (
        SELECT document_id, seq, before, at,
            lag(seq) OVER w AS seq_before, lag(after) OVER w AS after_before,
            lag(at) OVER w AS at_before
        FROM fresh WINDOW w AS (PARTITION BY document_id ORDER BY seq)
    ), joined AS (
        SELECT document_id, seq, before, at, seq_before, after_before, at_before FROM step
        WHERE seq_before IS NOT NULL OR seq = 1
        UNION ALL
        SELECT s.document_id, s.seq, s.before, s.at, e.seq, e.after, e.at
        FROM step s LEFT JOIN event e ON e.document_id = s.document_id AND e.seq = s.seq - 1
        WHERE s.seq_before IS NULL AND s.seq > 1
    )
    SELECT * INTO broken FROM joined
    WHERE CASE WHEN seq = 1 THEN before <> 0
        ELSE seq_before IS NULL OR seq_before <> seq - 1
            OR before <> after_before OR at <= at_before
        END
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'event % of document % does not continue its history', broken.seq,
            broken.document_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER event_continues AFTER INSERT ON event
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION event_continues();

CREATE FUNCTION document_is_where_its_events_say() RETURNS trigger LANGUAGE plpgsql
    SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE broken record;
BEGIN
    SELECT f.id, f.status INTO broken
    FROM fresh f LEFT JOIN event e ON e.document_id = f.id AND e.seq = f.seq
    WHERE e.after IS DISTINCT FROM f.status OR e.at <> f.at OR e.kind <> f.kind
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'status % of document % is not what its last event says', broken.status,
            broken.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER document_inserted AFTER INSERT ON document REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION document_is_where_its_events_say();
CREATE TRIGGER document_updated AFTER UPDATE ON document REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION document_is_where_its_events_say();

CREATE FUNCTION never_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'table % only grows', TG_TABLE_NAME USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER event_never_changes BEFORE UPDATE OR DELETE ON event
    FOR EACH STATEMENT EXECUTE FUNCTION never_changes();
CREATE TRIGGER receipt_never_changes BEFORE UPDATE OR DELETE ON receipt
    FOR EACH STATEMENT EXECUTE FUNCTION never_changes();
CREATE TRIGGER document_never_vanishes BEFORE DELETE ON document
    FOR EACH STATEMENT EXECUTE FUNCTION never_changes();
"""

DECISION = """
CREATE TABLE allowance (
    buyer text NOT NULL,
    year smallint NOT NULL,
    used_fen bigint NOT NULL,
    limit_fen bigint NOT NULL,
    PRIMARY KEY (buyer, year),
    CONSTRAINT allowance_within_the_year CHECK (used_fen BETWEEN 0 AND limit_fen)
);

CREATE TABLE decision (
    document_id bigint PRIMARY KEY,
    batch_id bigint NOT NULL,
    day date NOT NULL,
    policy text NOT NULL,
    order_id bigint NOT NULL,
    payment_id bigint NOT NULL,
    waybill_id bigint NOT NULL,
    buyer text NOT NULL,
    regime text NOT NULL,
    refused boolean NOT NULL,
    eligible boolean NOT NULL,
    value_fen bigint NOT NULL,
    duty_fen bigint NOT NULL,
    consumption_fen bigint NOT NULL,
    vat_fen bigint NOT NULL,
    total_fen bigint NOT NULL,
    counted_fen bigint NOT NULL,
    used_before_fen bigint NOT NULL,
    used_after_fen bigint NOT NULL
);

CREATE TABLE tax_line (
    document_id bigint NOT NULL,
    gnum integer NOT NULL,
    goods_fen bigint NOT NULL,
    charges_fen bigint NOT NULL,
    basis_fen bigint NOT NULL,
    duty_fen bigint NOT NULL,
    consumption_fen bigint NOT NULL,
    vat_fen bigint NOT NULL,
    parcel_tax_fen bigint NOT NULL,
    PRIMARY KEY (document_id, gnum)
);

CREATE TABLE policy_edition (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    table_kind text NOT NULL CHECK (table_kind IN ('tariff', 'positive-list')),
    name text NOT NULL,
    effective date NOT NULL,
    digest text NOT NULL,
    content bytea NOT NULL,
    in_force boolean NOT NULL
);
CREATE UNIQUE INDEX policy_edition_in_force ON policy_edition (table_kind, name) WHERE in_force;

CREATE TABLE policy_version (
    digest text PRIMARY KEY,
    editions bigint[] NOT NULL
);
"""

AFTER_RELEASE = """
ALTER TABLE event DROP CONSTRAINT event_is_a_legal_transition;
ALTER TABLE event ADD CONSTRAINT event_is_a_legal_transition
    CHECK (kind::bigint * 1000000 + before * 1000 + greatest(after, -1) IN ({legal}));

-- Every debit and credit of a buyer's year with its list; by_id: the document that gave it back.
CREATE TABLE allowance_entry (
    buyer text NOT NULL,
    year smallint NOT NULL,
    document_id bigint NOT NULL,
    at bigint NOT NULL,
    fen bigint NOT NULL CHECK (fen > 0),
    what text NOT NULL CHECK (what IN ('use', 'restore')),
    by_id bigint CHECK ((by_id IS NULL) = (what = 'use')),
    batch_id bigint NOT NULL
);
INSERT INTO allowance_entry (buyer, year, document_id, at, fen, what, batch_id)
    SELECT t.buyer, extract(year FROM t.day), t.document_id, b.at, t.counted_fen, 'use', b.id
    FROM decision t JOIN batch b ON b.id = t.batch_id WHERE t.counted_fen > 0;
CREATE INDEX allowance_entry_buyer ON allowance_entry (buyer, year);
CREATE TRIGGER allowance_entry_never_changes BEFORE UPDATE OR DELETE ON allowance_entry
    FOR EACH STATEMENT EXECUTE FUNCTION never_changes();

CREATE INDEX decision_waybill ON decision (waybill_id);

CREATE TABLE cancelled (
    list_id bigint PRIMARY KEY,
    cancellation_id bigint NOT NULL,
    batch_id bigint NOT NULL
);

-- What an approved return may rely on: the days are those of the law at its application.
CREATE TABLE return_case (
    document_id bigint PRIMARY KEY,
    list_id bigint NOT NULL,
    released date NOT NULL,
    arrive_by date NOT NULL,
    batch_id bigint NOT NULL
);
CREATE INDEX return_case_list ON return_case (list_id);
CREATE INDEX document_return_waiting ON document (id) WHERE kind = 625 AND status = 399;

CREATE TABLE return_exchange (
    return_id bigint PRIMARY KEY,
    order_no text NOT NULL
);
CREATE INDEX return_exchange_order ON return_exchange (order_no);

-- A line of a list: declared, applied for (approved returns), back on site.
CREATE TABLE return_balance (
    list_id bigint NOT NULL,
    gnum integer NOT NULL,
    whole numeric(19,5) NOT NULL,
    asked numeric(19,5) NOT NULL,
    arrived numeric(19,5) NOT NULL,
    PRIMARY KEY (list_id, gnum),
    CONSTRAINT return_within_the_line CHECK (0 <= arrived AND arrived <= asked AND asked <= whole)
);

-- What came back with goods that arrived: their share of the line of the list.
CREATE TABLE return_amount (
    document_id bigint NOT NULL,
    list_id bigint NOT NULL,
    gnum integer NOT NULL,
    qty numeric(19,5) NOT NULL,
    basis_fen bigint NOT NULL,
    duty_fen bigint NOT NULL,
    consumption_fen bigint NOT NULL,
    vat_fen bigint NOT NULL,
    parcel_tax_fen bigint NOT NULL,
    batch_id bigint NOT NULL,
    PRIMARY KEY (document_id, gnum)
);
CREATE INDEX return_amount_list ON return_amount (list_id);
CREATE TRIGGER return_amount_never_changes BEFORE UPDATE OR DELETE ON return_amount
    FOR EACH STATEMENT EXECUTE FUNCTION never_changes();

-- What a list found of its guarantee when its turn came, and what it holds there.
ALTER TABLE decision ADD COLUMN guarantor text, ADD COLUMN hold_fen bigint NOT NULL DEFAULT 0,
    ADD COLUMN guarantee_free_fen bigint,
    ADD COLUMN guarantee_state text NOT NULL DEFAULT 'none';

CREATE TABLE clock (
    one boolean PRIMARY KEY CHECK (one),
    at bigint NOT NULL
);

-- Work not done yet: a parcel that arrived (711) or was signed for (513) before its list got there.
CREATE TABLE early (
    kind smallint NOT NULL,
    way_a text NOT NULL,
    way_b text NOT NULL,
    at bigint NOT NULL,
    PRIMARY KEY (way_b, way_a, kind)
);
"""
OWED = """
ALTER TABLE batch ADD COLUMN owed boolean NOT NULL DEFAULT false;
CREATE INDEX batch_owed ON batch (id) WHERE owed;
"""
"""Batches without a message of their own, whose receipts have not yet left for files."""

COMPANY = """
ALTER TABLE message ADD COLUMN company text;
ALTER TABLE receipt ADD COLUMN company text;
UPDATE message SET company = sender;
"""
"""Whose message it is, and whose receipt: the transmitting company (copCode), not its address.

An address (dxpId) is what a message says; who may read a receipt must not depend on it. Receipts
of before this step have no company: they left as files.
"""

HISTORY = """
CREATE OR REPLACE FUNCTION event_continues() RETURNS trigger LANGUAGE plpgsql
    SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE broken record;
BEGIN
    SELECT document_id, seq INTO broken FROM (
        SELECT document_id, seq, before, at, lag(document_id) OVER () AS document_before,
            lag(seq) OVER () AS seq_before, lag(after) OVER () AS after_before,
            lag(at) OVER () AS at_before
        FROM fresh
    ) step
    WHERE CASE WHEN seq = 1 THEN before <> 0
        WHEN document_before = document_id AND seq_before = seq - 1
            THEN before <> after_before OR at <= at_before
        ELSE NOT EXISTS (SELECT FROM event e WHERE e.document_id = step.document_id
            AND e.seq = step.seq - 1 AND e.after = step.before AND e.at < step.at)
        END
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'event % of document % does not continue its history', broken.seq,
            broken.document_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
"""
"""The same check without sorting: an event that does not stand behind its predecessor in the order
in which they came looks it up."""

COLUMN_TYPES = {"decimal": "numeric(19,5)", "integer": "bigint"}
"""Of the catalogue's kinds of value; all others are text."""


def legal_numbers(step: int) -> str:
    """The transition table as of a step: kind·10⁶ + before·10³ + after (−1: any below 0)."""
    packed = (
        KINDS[t.kind].number * 1_000_000 + t.before * 1000 + t.after
        for t in transitions()
        if t.since <= step
    )
    return ", ".join(str(number) for number in sorted(packed))


def head_table(kind: Kind) -> str:
    return f"{kind.name.replace('-', '_')}_head"


def line_table(kind: Kind) -> str:
    return f"{kind.name.replace('-', '_')}_line"


def _columns(fields: tuple[messages.Field, ...]) -> str:
    columns = []
    for field in fields:
        type_ = COLUMN_TYPES.get(field.kind, "text")
        columns.append(f'"{field.name}" {type_}')
        if field.personal:
            columns.append(f'"{field.name}_digest" text')
    return ",\n    ".join(columns)


def body_tables(kind: Kind) -> str:
    """The statements that make a kind's head and line tables from the catalogue."""
    message = messages.message_type(kind.message)
    extra = ",\n    identity_valid boolean" if kind.name == "inventory" else ""
    statements = (
        f"CREATE TABLE {head_table(kind)} (\n    document_id bigint PRIMARY KEY,\n    "
        f"{_columns(message.head_fields)}{extra}\n);\n"
    )
    if message.line_fields:
        statements += (
            f"CREATE TABLE {line_table(kind)} (\n    document_id bigint NOT NULL,\n    "
            f"{_columns(message.line_fields)},\n    PRIMARY KEY (document_id, gnum)\n);\n"
        )
    return statements


def steps() -> list[str]:
    """The numbered steps of this room; a step that has been released is never edited."""
    return [
        LIFE.format(legal=legal_numbers(1)),
        GUARDS,
        DECISION,
        "".join(body_tables(kind) for kind in KINDS.values()),
        OWED,
        AFTER_RELEASE.format(legal=legal_numbers(6)),
        COMPANY,
        HISTORY,
    ]
