"""``python -m server``: serve the simulated job service."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

_HOME: Final = Path(__file__).resolve().parent.parent

if __name__ == "__main__":
    # `python -m` puts the working directory first: a folder there called scenarios would hide ours.
    if not sys.flags.safe_path and Path(sys.path[0]).resolve() != _HOME:
        del sys.path[0]
    from server._command import main

    sys.exit(main())
