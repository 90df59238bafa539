"""The log: one JSON object a line, without personal data, keys or bodies.

What is logged is named at each place: routes (never addresses, which hold numbers of parcels),
ids of keys (never keys), codes of companies, counts and times. Of an error the place in the code
stands there and its type; its text only where it is written by this project.
"""

import json
import logging
import os
import sys
import traceback
from datetime import UTC, datetime
from typing import Any


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        facts: dict[str, Any] = {
            "time": at,
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "pid": os.getpid(),
        }
        facts |= getattr(record, "facts", {})
        return json.dumps(facts, ensure_ascii=False, default=str)


class Journal:
    """Writes events with their facts."""

    def __init__(self) -> None:
        self._logger = logging.getLogger("tongguan.window")

    def info(self, event: str, **facts: Any) -> None:
        self._write(logging.INFO, event, facts)

    def warning(self, event: str, **facts: Any) -> None:
        self._write(logging.WARNING, event, facts)

    def error(self, event: str, **facts: Any) -> None:
        self._write(logging.ERROR, event, facts)

    def failure(self, event: str, failed: BaseException, **facts: Any) -> None:
        """An error nobody expected: its type and where it stood, not its text, which may quote."""
        places = [
            f"{frame.filename.rpartition('tongguan')[2] or frame.filename}:{frame.lineno}"
            for frame in traceback.extract_tb(failed.__traceback__)[-12:]
        ]
        self.error(event, type=type(failed).__name__, at=places, **facts)

    def _write(self, level: int, event: str, facts: dict[str, Any]) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, event, extra={"facts": facts})


def to_standard_error(part: str, level: int = logging.INFO) -> None:
    """Write the log to standard error; part: which process of the window this is."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line())
    logger = logging.getLogger("tongguan.window")
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False
    journal.info("starts", part=part)


journal = Journal()
