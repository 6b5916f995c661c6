"""``python -m benchmarks [NAME...]``: run these benchmarks; without a name all but the one that takes long.

A benchmark is a module of this package without a leading underscore; its ``main()`` prints a table.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

NAMES = sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))
LONG = {"soak"}


def run(wanted: list[str]) -> int:
    """Run the benchmarks of these names; return the exit status."""
    for name in wanted:
        if name not in NAMES:
            print(f"no benchmark {name!r}; there are: {', '.join(NAMES)}", file=sys.stderr)
            return 2
    for name in wanted or [name for name in NAMES if name not in LONG]:
        import_module(f"benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
