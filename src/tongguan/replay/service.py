"""Asking what a draft would have done: of a history on files, or of a database."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tongguan import policy, store
from tongguan.policy import words
from tongguan.replay import answer, local
from tongguan.replay.answer import Question
from tongguan.replay.export import export
from tongguan.replay.files import History
from tongguan.replay.judge import Brief, Judge, Laws, View
from tongguan.replay.tally import Tally

Engine = Callable[[History, Judge], Tally]
"""Judges every bucket of a history and adds up."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """The answer: as facts (JSON values) and as the sums they were made from."""

    question: Question
    tally: Tally
    facts: dict[str, Any]

    @property
    def reproduced(self) -> bool:
        return self.tally.difference.is_empty()


def replay(
    history: History, draft: Path | None, view: View, engine: Engine = local.run
) -> Replayed:
    """What a draft (a YAML file) would have done to the parcels in view.

    Raises policy.DraftErrors, policy.OutsideKnown for a day the law is not known of, BadHistory.
    """
    # A history without decisions names no policy; the draft is told of all the same.
    editions = history.editions() or {policy.load().hash: {}}
    text = None
    if draft is not None:
        # Faults name the file; executors get its text.
        policy.draft(draft, policy.load())
        text = draft.read_text(encoding="utf-8")
    brief = Brief.of(editions, text, view)
    question = _question(brief.laws, view)
    tally = engine(history, brief)
    return Replayed(question, tally, answer.facts(question, tally))


@contextmanager
def from_database(database: store.Database, view: View) -> Iterator[History]:
    """The history of a database on temporary files, as far as a view needs it."""
    with tempfile.TemporaryDirectory(prefix="tongguan-history-") as folder:
        export(database, Path(folder) / "history", view.since)
        yield History.open(Path(folder) / "history")


def _question(laws: Laws, view: View) -> Question:
    """Names come from the newest law that decided something."""
    goods: dict[str, str] = {}
    for each in laws.recorded.values():
        for edition in sorted(each.tariffs, key=lambda edition: edition.effective):
            goods |= dict(edition.frame.select("code", "name_zh").drop_nulls().iter_rows())
    if not laws.drafts:
        return Question(None, view, goods=goods)
    draft = list(laws.drafts.values())[-1]
    return Question(draft.name, view, [_change(each, draft) for each in draft.diff()], goods)


def _change(change: policy.Change, draft: policy.Draft) -> dict[str, Any]:
    known = draft.policy.parameters
    values = {"before": change.before, "after": change.after}
    name = words.name(change.parameter, known)
    return {
        "parameter": change.parameter,
        "from": change.since.isoformat(),
        "until": change.until.isoformat() if change.until else None,
        "name": {"zh": name.zh, "en": name.en},
        **{
            side: {"zh": words.said(value, known).zh, "en": words.said(value, known).en}
            for side, value in values.items()
        },
    }
