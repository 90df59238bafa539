"""Runs every benchmark of this folder: `python -m benchmarks [SCALE]`.

SCALE is the number of parcels. A benchmark is a module here with a function
`main(scale: int) -> None` that prints what it measured, with units.
"""

import importlib
import sys
from pathlib import Path

import tongguan.memory  # noqa: F401 - as the command line has it

DEFAULT_SCALE = 50_000


def main() -> None:
    """Run the benchmarks in the order of their names."""
    scale = int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_SCALE
    for name in names():
        print(f"== {name}, {scale:,} parcels", flush=True)
        importlib.import_module(f"benchmarks.{name}").main(scale)


def names() -> list[str]:
    """The modules of this folder that are benchmarks, by their text: others may need a rival's
    environment to be imported."""
    files = sorted(Path(__file__).parent.glob("[!_]*.py"))
    return [file.stem for file in files if "\ndef main(scale: int)" in file.read_text("utf-8")]


if __name__ == "__main__":
    main()
