"""Starting Python processes of our own: whatever the working directory holds, they find our packages."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Final

COMMAND_VARIABLE: Final = "BACKOFF_COMMAND"
"""The environment variable by which ``harness run`` tells Locust's process what the user has typed."""

PARENT_VARIABLE: Final = "BACKOFF_PARENT"
"""The environment variable by which a process has one that it starts end with it: its own id."""

_LOOK_S: Final = 0.5
_ROOT: Final = Path(__file__).resolve().parent.parent


def python_module(module: str, *arguments: str) -> list[str]:
    """Return the command of ``python -m module`` that does not look for modules in the working directory."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment with ``variables``, for a command of ``python_module``.

    From a copy of the sources our packages are found by ``PYTHONPATH``: they may not be installed, and what
    finds an editable installation comes after any folder of the same name.
    """
    path = os.environ.get("PYTHONPATH")
    if (_ROOT / "pyproject.toml").is_file():
        path = os.pathsep.join([str(_ROOT), *([path] if path else [])])
    return {**os.environ, **({"PYTHONPATH": path} if path else {}), **variables}


def end_with_parent() -> None:
    """End this process when the one that started it is gone, if that has asked for it."""
    parent = os.environ.pop(PARENT_VARIABLE, None)  # not for what this one starts
    if parent is not None and parent.isdecimal():
        from threading import Thread

        Thread(target=_watch, args=(int(parent),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(1)


def end_with_pool() -> None:
    """End this process of a pool when the one that made the pool is gone: it would wait for work for ever."""
    from multiprocessing import parent_process
    from threading import Thread

    def watch() -> None:
        if (owner := parent_process()) is not None:
            owner.join()
            os._exit(1)

    Thread(target=watch, daemon=True).start()
