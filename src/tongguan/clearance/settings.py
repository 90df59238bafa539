"""What a run decides under: the time, the law, and how strict the window is."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from tongguan.policy import Law, Policy

ZONE = ZoneInfo("Asia/Shanghai")

Signatures = Literal["required", "checked", "ignored"]
Registry = Literal["open", "closed"]
Arrivals = Literal["assumed", "required"]
"""required: a direct-purchase list waits at 400 until a site says that its parcel is there."""


@dataclass(frozen=True, slots=True)
class Settings:
    """at: aware. policy: the law through time. The rest: see the constants above."""

    at: datetime
    policy: Policy
    signatures: Signatures = "checked"
    registry: Registry = "open"
    arrivals: Arrivals = "assumed"

    @property
    def day(self) -> date:
        """The day of acceptance, in Asia/Shanghai."""
        return self.at.astimezone(ZONE).date()

    @property
    def law(self) -> Law:
        """The law of the day."""
        return self.policy.on(self.day)

    @property
    def at_ms(self) -> int:
        """Milliseconds since 1970 UTC, exactly."""
        return int(self.at.replace(microsecond=0).timestamp()) * 1000 + (
            self.at.microsecond // 1000
        )

    @property
    def match_window_ms(self) -> int:
        """How long a list waits for its documents."""
        return int(self.law.value("matching.window-days").number) * 86_400_000
