"""Runs every benchmark of this folder: `python -m benchmarks [SCALE]`.

SCALE is the number of parcels. A benchmark is a module here with a function
`main(scale: int) -> None` that prints what it measured, with units.
"""

import importlib
import pkgutil
import sys
from pathlib import Path

import tongguan.memory  # noqa: F401 - as the command line has it

DEFAULT_SCALE = 50_000


def main() -> None:
    """Run the benchmarks in the order of their names."""
    scale = int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_SCALE
    names = {module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])}
    for name in sorted(names - {"__main__"}):
        module = importlib.import_module(f"benchmarks.{name}")
        if hasattr(module, "main"):
            print(f"== {name}, {scale:,} parcels", flush=True)
            module.main(scale)


if __name__ == "__main__":
    main()
