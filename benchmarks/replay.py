"""Replay of a synthetic history under a draft: wall, CPU, memory, and the ratio to a limit.

The limit is what nobody can leave out: reading the same columns of the same Parquet files, and
the bare arithmetic of tax (benchmarks/kernel.py) on their lines, once for each law; no order, no
limits, no lists, no comparison with the record. `python -m benchmarks.replay 10000000` measures
ten million parcels (some 2 GB of temporary files, four minutes to make them).
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import history
from benchmarks.kernel import bare

from tongguan import replay
from tongguan.replay import local
from tongguan.replay.judge import COLUMNS

DRAFT = """base: 2022-06-01
name: annual limit 20,000
parameters: {retail-import.limit-annual: {2022-01-01: 20000}}
"""


def limit(found: replay.History) -> None:
    """Read every column that a replay reads, and compute bare taxes twice."""
    for dataset, columns in COLUMNS.items():
        for part in found.parts(dataset):
            frame = found.read(dataset, part, list(columns))
            if dataset == "lines":
                for _ in range(2):
                    bare(frame)()


def asked(found: replay.History) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(DRAFT)
        file.flush()
        answer = replay.replay(found, Path(file.name), replay.View())
    facts = {name: answer.facts[name] for name in ("parcels", "reproduced", "changed", "tax")}
    print(json.dumps(facts))


def measured(folder: Path, what: str) -> tuple[float, float, float, str]:
    """Seconds of wall and CPU, peak memory in MiB, and what a process of its own printed."""
    start = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "benchmarks.replay", what, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    *words, memory = done.stdout.strip().splitlines()
    return wall, cpu, float(memory), " ".join(words)


def main(scale: int) -> None:
    """Print what a replay of ``scale`` parcels costs beside its limit."""
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "history"
        start = time.perf_counter()
        history.make(files, scale)
        size = sum(part.stat().st_size for part in files.rglob("*.parquet"))
        lines = replay.History.open(files).facts["rows"]["lines"]
        print(
            f"history: {scale:,} parcels, {lines:,} lines, {size / 1e6:,.0f} MB, made in "
            f"{time.perf_counter() - start:.0f} s"
        )
        least = measured(files, "limit")
        took = measured(files, "replay")
    print(f"replay: {took[3]}")
    for name, (wall, cpu, memory, _) in (("replay", took), ("limit", least)):
        print(
            f"{name:7s} {wall:7.1f} s wall {cpu:7.1f} s CPU {scale / wall:>12,.0f} parcels/s, "
            f"peak memory {memory:,.0f} MiB"
        )
    print(f"ratio to the limit: {took[0] / least[0]:.1f}x wall, {took[1] / least[1]:.1f}x CPU")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        {"limit": limit, "replay": asked}[sys.argv[1]](replay.History.open(Path(sys.argv[2])))
        # Of two processes that judge the larger is known; both are taken to be as large.
        own, others = (
            resource.getrusage(who).ru_maxrss
            for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        print((own + local.PROCESSES * others) / 1024)
    else:
        main(int(sys.argv[1]))
