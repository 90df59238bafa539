"""Identity numbers and telephones stand nowhere in clear: not in a table, a log or an error."""

import logging

import psycopg
import pytest
from dossiers import BO, Buyer, Window, identity, inventory, message, order, parcel, payment

SECRET = [Buyer(f"某{n}", identity("19880808", 300 + n), f"1390666{n:04d}") for n in range(6)]


def columns(window: Window) -> list[tuple[str, str]]:
    return window.rows(
        """SELECT c.table_name, c.column_name FROM information_schema.columns c
        JOIN information_schema.tables t USING (table_schema, table_name)
        WHERE table_schema = 'public' AND t.table_type = 'BASE TABLE' ORDER BY 1, 2"""
    )


def everything(window: Window) -> dict[str, str]:
    """The whole content of every table as text, bytes in hexadecimal and as they are."""
    tables = sorted({table for table, _ in columns(window)})
    return {t: "\n".join(str(row) for row in window.rows(f'SELECT * FROM "{t}"')) for t in tables}


def test_no_personal_number_is_kept_in_clear(
    window: Window, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    one, two, three, four, five, six = SECRET
    window.clear(
        *parcel(1, buyer=one),
        *parcel(2, buyer=two)[:3],
        inventory(2, buyer=three),  # refused: another buyer
        payment(3, buyer=four, amountPaid="x"),  # refused for its form
        order(4, buyer=five, buyerIdNumber=five.number * 4, buyerTelephone=five.phone * 4),
        message(order(5, buyer=six)).replace(b"</ceb:OrderHead>", b"<x/></ceb:OrderHead>"),
        message(order(6, buyer=six))[:-20],  # refused whole, quoted in the CEB900
        message(order(7, buyer=six)).replace(
            b"<ceb:OrderHead>", f"<ceb:{'X'}>{six.number}</ceb:X><ceb:OrderHead>".encode()
        ),
    )
    window.explain("O0000001")
    window.explain("O0000002")
    secrets = [s for buyer in SECRET for s in (buyer.number, buyer.phone)]
    stored = everything(window)
    assert len(stored["inventory_head"]) > 1000
    for table, text in stored.items():
        for secret in secrets:
            assert secret not in text, (table, secret)
            assert secret.encode().hex() not in text, (table, secret)
    out, err = capfd.readouterr()
    for secret in secrets:
        assert secret not in caplog.text + out + err
    reports = "".join(file.read_text("utf-8") for file in window.folder.glob("report*.jsonl"))
    assert reports
    assert not [secret for secret in secrets if secret in reports]


def test_the_message_itself_is_sealed_and_can_be_opened(window: Window) -> None:
    data = message(order(buyer=BO))
    window.clear(data)
    [(sealed,)] = window.rows("SELECT sealed FROM message")
    assert BO.number.encode() not in bytes(sealed)
    assert b"<ceb:" not in bytes(sealed)
    assert len(window.vault.unseal(bytes(sealed))) > 100


def test_a_digest_tells_nothing_without_the_key(window: Window) -> None:
    window.clear(*parcel(buyer=BO))
    [(mask, digest)] = window.rows(
        'SELECT "buyerIdNumber", "buyerIdNumber_digest" FROM inventory_head'
    )
    assert mask == f"{BO.number[:3]}***{BO.number[-2:]}"
    assert digest == window.vault.digest([BO.number])[0]
    assert window.allowance().keys() == {digest}


def test_a_failing_statement_shows_no_personal_number(
    window: Window, caplog: pytest.LogCaptureFixture
) -> None:
    with window.database.connect(autocommit=True) as conn:
        conn.execute("ALTER TABLE inventory_head ADD CHECK (packNo IS NULL)".replace(
            "packNo", '"packNo"'))  # fmt: skip
    with pytest.raises(psycopg.Error) as failed:
        window.clear(*parcel(buyer=BO))
    assert BO.number not in str(failed.value)
    assert BO.phone not in str(failed.value)
    assert window.rows("SELECT count(*) FROM document") == [(0,)]  # nothing half done
