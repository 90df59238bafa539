"""How strict the window is: said by ``tongguan up``, the same for all its gateways and workers."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from tongguan import clearance
from tongguan.window import clock


@dataclass(frozen=True, slots=True)
class Rules:
    """stands_at: where the clock stands, if it does not run."""

    signatures: clearance.Signatures = "required"
    registry: clearance.Registry = "closed"
    arrivals: clearance.Arrivals = "assumed"
    stands_at: datetime | None = None


def lay_down(conn: psycopg.Connection, rules: Rules) -> None:
    """Make these the rules from now on."""
    stands = None if rules.stands_at is None else clock.milliseconds(rules.stands_at)
    conn.execute(
        """INSERT INTO window_rules (one, signatures, registry, arrivals, stands_at)
        VALUES (true, %s, %s, %s, %s) ON CONFLICT (one) DO UPDATE SET
            signatures = excluded.signatures, registry = excluded.registry,
            arrivals = excluded.arrivals, stands_at = excluded.stands_at""",
        (rules.signatures, rules.registry, rules.arrivals, stands),
    )


def in_force(conn: psycopg.Connection) -> tuple[Any, Any, Any]:
    """signatures, registry, arrivals."""
    row = conn.execute("SELECT signatures, registry, arrivals FROM window_rules").fetchone()
    rules = Rules()
    return row or (rules.signatures, rules.registry, rules.arrivals)
