"""Replay of a synthetic history under a draft: wall, CPU, memory, and the ratio to a limit.

The limit is what nobody can leave out: reading the same columns of the same Parquet files, and
the bare arithmetic of tax (benchmarks/kernel.py) on their lines, once for each law; no order, no
limits, no lists, no comparison with the record. `python -m benchmarks.replay 10000000` measures
ten million parcels (some 2 GB of temporary files, four minutes to make them).

Memory is what the machine must have: the largest sum, over the processes of the replay, of what
they hold at the same moment, pages that several hold counted once (PSS, looked at from outside).
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks import history
from benchmarks.kernel import bare

from tongguan import replay
from tongguan.replay.judge import COLUMNS

EVERY_S = 0.1
PAGE = resource.getpagesize()
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


def family(pid: int) -> Iterator[int]:
    """A process and all that it started, and they started."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in task.read_text().split():
                yield from family(int(child))


def resident(pid: int) -> float:
    """Memory of a process in MiB, pages that others hold too included; cheap to ask."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 2**20
    return 0.0


def held(pid: int) -> float:
    """The same with only its share of pages that others hold too; the kernel walks all of them."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


@dataclass
class Cost:
    """What a process and those it started took: seconds, and the most they held at one time.

    most_each: the largest that each of them ever was, shared pages included (MiB).
    """

    wall: float = 0.0
    cpu: float = 0.0
    most: float = 0.0
    most_each: tuple[float, ...] = ()
    words: str = ""


def measured(folder: Path, what: str) -> Cost:
    """What a process of its own takes. Its memory is looked at from outside, ten times a second."""
    cost, largest = Cost(), dict[int, float]()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "benchmarks.replay", what, str(folder)]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            now = {pid: resident(pid) for pid in family(process.pid)}
            largest |= {pid: max(size, largest.get(pid, 0)) for pid, size in now.items()}
            if sum(now.values()) > cost.most:  # else the exact sum cannot be the largest either
                cost.most = max(cost.most, sum(held(pid) for pid in now))
            time.sleep(EVERY_S)
        cost.wall = time.perf_counter() - start
        assert process.stdout is not None
        cost.words = process.stdout.read().strip()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cost.cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    cost.most_each = tuple(largest.values())
    return cost


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
    print(f"replay: {took.words}")
    for name, cost in (("replay", took), ("limit", least)):
        each = " + ".join(f"{size:,.0f}" for size in cost.most_each if size >= 20)
        print(
            f"{name:7s} {cost.wall:7.1f} s wall {cost.cpu:7.1f} s CPU "
            f"{scale / cost.wall:>12,.0f} parcels/s, memory at most {cost.most:,.0f} MiB "
            f"at one time (largest of each process: {each})"
        )
    print(
        f"ratio to the limit: {took.wall / least.wall:.1f}x wall, {took.cpu / least.cpu:.1f}x CPU"
    )


if __name__ == "__main__":
    if len(sys.argv) == 3:
        {"limit": limit, "replay": asked}[sys.argv[1]](replay.History.open(Path(sys.argv[2])))
    else:
        main(int(sys.argv[1]))
