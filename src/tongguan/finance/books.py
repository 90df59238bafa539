"""The tables of tax bills and of the payments they are summed into, and what guards them.

A bill never changes but for its state (1 made, 2 summed into a payment, 3 void) and the payment it
belongs to; what is taken back of it is a row of ``bill_correction``. So what is owed is always
bill − corrections. Money is fen; times are milliseconds since 1970 UTC, days those of
Asia/Shanghai.
"""

MADE, SUMMARISED, VOID = 1, 2, 3
"""status of a bill, as CEB816 and CEB818 write it."""

TAXES = ("duty_fen", "consumption_fen", "vat_fen")
LINE_AMOUNTS = ("tax_price_fen", *TAXES)

STEPS = [
    """
    CREATE SEQUENCE bill_id;
    CREATE SEQUENCE summary_id;

    CREATE TABLE bill (
        id bigint PRIMARY KEY,
        tax_no text NOT NULL UNIQUE,
        document_id bigint NOT NULL UNIQUE,
        invt_no text NOT NULL,
        guarantor text NOT NULL,
        collector text NOT NULL,
        buyer text NOT NULL,
        secured boolean NOT NULL,
        duty_fen bigint NOT NULL CHECK (duty_fen >= 0),
        consumption_fen bigint NOT NULL CHECK (consumption_fen >= 0),
        vat_fen bigint NOT NULL CHECK (vat_fen >= 0),
        total_fen bigint NOT NULL CHECK (total_fen > 0),
        status smallint NOT NULL CHECK (status IN (1, 2, 3)),
        released_at bigint NOT NULL,
        cycle text NOT NULL,
        due_from date NOT NULL,
        due_to date NOT NULL,
        summary_id bigint,
        batch_id bigint NOT NULL,
        CONSTRAINT bill_adds_up CHECK (total_fen = duty_fen + consumption_fen + vat_fen),
        CONSTRAINT bill_is_summarised_in_one
            CHECK (CASE status WHEN 1 THEN summary_id IS NULL WHEN 2 THEN summary_id IS NOT NULL
                ELSE true END)
    );
    CREATE INDEX bill_made ON bill (due_from) WHERE status = 1;
    CREATE INDEX bill_summary ON bill (summary_id) WHERE summary_id IS NOT NULL;

    CREATE TABLE bill_line (
        bill_id bigint NOT NULL,
        gnum integer NOT NULL,
        gcode text NOT NULL,
        tax_price_fen bigint NOT NULL CHECK (tax_price_fen >= 0),
        duty_fen bigint NOT NULL CHECK (duty_fen >= 0),
        consumption_fen bigint NOT NULL CHECK (consumption_fen >= 0),
        vat_fen bigint NOT NULL CHECK (vat_fen >= 0),
        PRIMARY KEY (bill_id, gnum)
    );

    CREATE TABLE bill_correction (
        bill_id bigint NOT NULL,
        gnum integer NOT NULL,
        document_id bigint NOT NULL,
        at bigint NOT NULL,
        batch_id bigint NOT NULL,
        tax_price_fen bigint NOT NULL CHECK (tax_price_fen >= 0),
        duty_fen bigint NOT NULL CHECK (duty_fen >= 0),
        consumption_fen bigint NOT NULL CHECK (consumption_fen >= 0),
        vat_fen bigint NOT NULL CHECK (vat_fen >= 0),
        PRIMARY KEY (bill_id, gnum, document_id)
    );

    CREATE TABLE summary (
        id bigint PRIMARY KEY,
        number text NOT NULL UNIQUE,
        guarantor text NOT NULL,
        cycle text NOT NULL,
        total_fen bigint NOT NULL CHECK (total_fen > 0),
        parcels integer NOT NULL CHECK (parcels > 0),
        due_from date NOT NULL,
        due_to date NOT NULL,
        status text NOT NULL CHECK (status IN ('due', 'overdue', 'paid', 'claimed', 'void')),
        batch_id bigint NOT NULL,
        returned_fen bigint NOT NULL DEFAULT 0 CHECK (returned_fen >= 0),
        fee_fen bigint NOT NULL DEFAULT 0 CHECK (fee_fen >= 0),
        fee_day date,
        claimed_fen bigint NOT NULL DEFAULT 0 CHECK (claimed_fen >= 0),
        refunded_fen bigint NOT NULL DEFAULT 0 CHECK (refunded_fen >= 0),
        paid_fen bigint,
        paid_at bigint,
        reference text,
        CONSTRAINT summary_not_returned_twice CHECK (returned_fen + refunded_fen <= total_fen),
        CONSTRAINT summary_not_overclaimed
            CHECK (claimed_fen <= total_fen - returned_fen + fee_fen),
        CONSTRAINT summary_is_paid_exactly CHECK (CASE status WHEN 'paid' THEN
            paid_fen + claimed_fen = total_fen - returned_fen + fee_fen
            AND paid_at IS NOT NULL AND reference IS NOT NULL ELSE paid_fen IS NULL END),
        CONSTRAINT summary_is_void_when_nothing_is_left
            CHECK (status <> 'void' OR returned_fen = total_fen)
    );
    CREATE INDEX summary_unpaid ON summary (due_to) WHERE status IN ('due', 'overdue');
    """,
    """
    CREATE FUNCTION bill_is_its_lines() RETURNS trigger LANGUAGE plpgsql
        SET enable_hashjoin = off SET enable_mergejoin = off AS $$
    DECLARE broken text;
    BEGIN
        SELECT f.tax_no INTO broken FROM fresh f LEFT JOIN LATERAL (
            SELECT sum(l.duty_fen) AS duty, sum(l.consumption_fen) AS consumption,
                sum(l.vat_fen) AS vat
            FROM bill_line l WHERE l.bill_id = f.id
        ) lines ON true
        WHERE (f.duty_fen, f.consumption_fen, f.vat_fen)
            IS DISTINCT FROM (lines.duty, lines.consumption, lines.vat)
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'bill % is not the sum of its lines', broken
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER bill_is_its_lines AFTER INSERT ON bill REFERENCING NEW TABLE AS fresh
        FOR EACH STATEMENT EXECUTE FUNCTION bill_is_its_lines();

    CREATE FUNCTION correction_within_its_line() RETURNS trigger LANGUAGE plpgsql
        SET enable_hashjoin = off SET enable_mergejoin = off AS $$
    DECLARE broken record;
    BEGIN
        SELECT f.bill_id, f.gnum INTO broken
        FROM (SELECT DISTINCT bill_id, gnum FROM fresh) f
        LEFT JOIN bill_line l ON l.bill_id = f.bill_id AND l.gnum = f.gnum
        CROSS JOIN LATERAL (
            SELECT sum(c.tax_price_fen) AS price, sum(c.duty_fen) AS duty,
                sum(c.consumption_fen) AS consumption, sum(c.vat_fen) AS vat
            FROM bill_correction c WHERE c.bill_id = f.bill_id AND c.gnum = f.gnum
        ) back
        WHERE (back.price <= l.tax_price_fen AND back.duty <= l.duty_fen
            AND back.consumption <= l.consumption_fen AND back.vat <= l.vat_fen) IS NOT TRUE
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'more is taken back of line % of bill % than it holds',
                broken.gnum, broken.bill_id USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER correction_within_its_line AFTER INSERT ON bill_correction
        REFERENCING NEW TABLE AS fresh
        FOR EACH STATEMENT EXECUTE FUNCTION correction_within_its_line();

    CREATE TRIGGER bill_line_never_changes BEFORE UPDATE OR DELETE OR TRUNCATE ON bill_line
        FOR EACH STATEMENT EXECUTE FUNCTION ledger_only_grows();
    CREATE TRIGGER correction_never_changes BEFORE UPDATE OR DELETE OR TRUNCATE ON bill_correction
        FOR EACH STATEMENT EXECUTE FUNCTION ledger_only_grows();
    CREATE TRIGGER bill_never_vanishes BEFORE DELETE OR TRUNCATE ON bill
        FOR EACH STATEMENT EXECUTE FUNCTION ledger_only_grows();
    CREATE TRIGGER bill_keeps_what_it_says BEFORE UPDATE OF id, tax_no, document_id, invt_no,
        guarantor, collector, buyer, secured, duty_fen, consumption_fen, vat_fen, total_fen,
        released_at, cycle, due_from, due_to, batch_id ON bill
        FOR EACH STATEMENT EXECUTE FUNCTION ledger_only_grows();
    CREATE TRIGGER summary_never_vanishes BEFORE DELETE OR TRUNCATE ON summary
        FOR EACH STATEMENT EXECUTE FUNCTION ledger_only_grows();
    CREATE TRIGGER summary_keeps_what_it_says BEFORE UPDATE OF id, number, guarantor, cycle,
        total_fen, parcels, due_from, due_to, batch_id ON summary
        FOR EACH STATEMENT EXECUTE FUNCTION ledger_only_grows();

    CREATE FUNCTION goes_no_such_way() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'a row of % does not go from % to %', TG_TABLE_NAME, OLD.status, NEW.status
            USING ERRCODE = 'check_violation';
    END $$;
    CREATE TRIGGER bill_goes_its_way BEFORE UPDATE ON bill FOR EACH ROW
        WHEN (NOT ((OLD.status, NEW.status) IN ((1, 2), (1, 3), (2, 3))
            AND (OLD.summary_id IS NULL OR NEW.summary_id = OLD.summary_id)))
        EXECUTE FUNCTION goes_no_such_way();
    CREATE TRIGGER summary_goes_its_way BEFORE UPDATE ON summary FOR EACH ROW
        WHEN (NOT (OLD.status = NEW.status OR (OLD.status, NEW.status) IN (('due', 'overdue'),
            ('due', 'paid'), ('due', 'claimed'), ('due', 'void'), ('overdue', 'paid'),
            ('overdue', 'claimed'), ('overdue', 'void'), ('claimed', 'paid'))))
        EXECUTE FUNCTION goes_no_such_way();

    CREATE FUNCTION void_bill_owes_nothing() RETURNS trigger LANGUAGE plpgsql
        SET enable_hashjoin = off SET enable_mergejoin = off AS $$
    DECLARE broken text;
    BEGIN
        SELECT f.tax_no INTO broken FROM fresh f
        WHERE f.status = 3 AND f.total_fen IS DISTINCT FROM (
            SELECT sum(c.duty_fen + c.consumption_fen + c.vat_fen)
            FROM bill_correction c WHERE c.bill_id = f.id)
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'bill % still owes something', broken
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER void_bill_owes_nothing AFTER UPDATE ON bill REFERENCING NEW TABLE AS fresh
        FOR EACH STATEMENT EXECUTE FUNCTION void_bill_owes_nothing();
    """,
]
