"""What a draft policy would have done: history as files, deciding it anew, the report.

``export`` writes the history of a database; ``replay`` asks of it what a draft would have done;
``page`` and ``sheet`` tell the answer.
"""

from tongguan.replay.archive import write as clear_archive
from tongguan.replay.export import export
from tongguan.replay.files import BadHistory, History
from tongguan.replay.judge import Laws, View, judge
from tongguan.replay.local import Progress
from tongguan.replay.local import engine as local_engine
from tongguan.replay.report import page
from tongguan.replay.service import Replayed, from_database, replay
from tongguan.replay.sheet import sheet
from tongguan.replay.spark import NoSpark
from tongguan.replay.spark import engine as spark_engine
from tongguan.replay.spark_archive import engine as spark_archive_engine

__all__ = [
    "BadHistory",
    "History",
    "Laws",
    "NoSpark",
    "Progress",
    "Replayed",
    "View",
    "clear_archive",
    "export",
    "from_database",
    "judge",
    "local_engine",
    "page",
    "replay",
    "sheet",
    "spark_archive_engine",
    "spark_engine",
]
