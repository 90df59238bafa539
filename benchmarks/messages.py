"""What reading, checking and writing messages costs, beside the bare XML tree.

On messages of the twin, for each type, µs of CPU a document: libxml2's tree alone, parse, collect,
check and render, and the ratio of parse to the tree.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.clearance import part
from lxml import etree

from tongguan import messages

ROUNDS = 5
MOST = 2000


def cpu_seconds(work: Callable[[], object]) -> float:
    """The least CPU time of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def main(scale: int) -> None:
    """Measure on the messages of up to MOST parcels and print a line for each type."""
    with tempfile.TemporaryDirectory(prefix="tg-bench-") as folder:
        measure([path.read_bytes() for path in part(Path(folder), 1, min(scale, MOST))])


def measure(made: list[bytes]) -> None:
    by_type: dict[str, list[bytes]] = {}
    for data in made:
        parsed = messages.parse(data)
        if not parsed.refused and parsed.type and parsed.envelope is None:
            by_type.setdefault(parsed.type, []).append(data)
    print("type     documents  bytes   tree  parse  ratio collect  check render")
    for name, found in sorted(by_type.items()):
        read = [messages.parse(data) for data in found]
        batch = messages.collect(read)[name]
        count = batch.heads.height
        tree, parse, collect, check, render = (
            cpu_seconds(work) / count * 1e6
            for work in (
                lambda found=found: [etree.fromstring(data) for data in found],
                lambda found=found: [messages.parse(data) for data in found],
                lambda read=read: messages.collect(read),
                lambda batch=batch: messages.check(batch),
                lambda batch=batch: messages.render(batch.type, batch.heads, batch.lines),
            )
        )
        size = sum(map(len, found)) // count
        print(
            f"{name:8} {count:9} {size:6} {tree:6.1f} {parse:6.1f} {parse / tree:6.2f} "
            f"{collect:7.1f} {check:6.1f} {render:6.1f}"
        )


if __name__ == "__main__":
    main(MOST)
