"""Where receipts are pushed to."""

import secrets

from tongguan.window import addresses, answers, stream
from tongguan.window.clock import iso
from tongguan.window.trouble import Turned, not_found, over
from tongguan.window.views.request import Asked, cursor

_COLUMNS = "id, url, made_at, cursor, failures, trouble"


def make(asked: Asked) -> answers.MadeWebhook:
    """A new webhook; its secret is shown this once."""
    new = asked.json(answers.NewWebhook)
    try:
        addresses.check(new.url, loopback=asked.gateway.loopback)
    except addresses.Forbidden as problem:
        raise Turned(400, f"url: {problem}") from None
    behind = stream.end(asked.conn)
    if new.after is not None:
        cursor(new.after)
        behind = new.after
    most = asked.gateway.limits.webhooks
    secret = f"tgs_{secrets.token_hex(32)}"
    id_ = secrets.token_hex(8)
    made = asked.conn.execute(
        """INSERT INTO webhook (id, company, url, secret, cursor, made_at, due_at)
        SELECT %(id)s, %(company)s, %(url)s, %(secret)s, %(cursor)s, %(at)s, 0
        WHERE (SELECT count(*) FROM webhook WHERE company = %(company)s) < %(most)s""",
        {
            "id": id_,
            "company": asked.company,
            "url": new.url,
            "secret": asked.gateway.vault.seal(secret.encode(), id_.encode()),
            "cursor": behind,
            "at": asked.at_ms,
            "most": most,
        },
    )
    if not made.rowcount:
        raise over(409, "webhooks", most, None, "webhooks of one company")
    return answers.MadeWebhook(
        id=id_, url=new.url, made=iso(asked.at_ms), cursor=behind, secret=secret
    )


def listed(asked: Asked) -> answers.Webhooks:
    """The webhooks of the caller's company."""
    sql = f"SELECT {_COLUMNS} FROM webhook WHERE company = %s ORDER BY made_at, id"
    rows = asked.conn.execute(sql, (asked.company,)).fetchall()
    return answers.Webhooks(webhooks=[_webhook(row) for row in rows])


def remove(asked: Asked, id: str) -> answers.Nothing:
    """Forget a webhook of the caller's company."""
    sql = "DELETE FROM webhook WHERE id = %s AND company = %s"
    if not asked.conn.execute(sql, (id, asked.company)).rowcount:
        raise not_found(f"webhook {id}")
    return answers.Nothing()


def replay(asked: Asked, id: str) -> answers.Webhook:
    """Tell a webhook again what is behind a cursor, beginning at once."""
    wanted = asked.json(answers.Replay)
    cursor(wanted.after)
    sql = f"""UPDATE webhook SET cursor = %s, due_at = 0, failures = 0, trouble = NULL
        WHERE id = %s AND company = %s RETURNING {_COLUMNS}"""
    row = asked.conn.execute(sql, (wanted.after, id, asked.company)).fetchone()
    if row is None:
        raise not_found(f"webhook {id}")
    return _webhook(row)


def _webhook(row: tuple[str, str, int, str, int, str | None]) -> answers.Webhook:
    id_, url, made_at, behind, failures, trouble = row
    return answers.Webhook(
        id=id_, url=url, made=iso(made_at), cursor=behind, failures=failures, trouble=trouble
    )
