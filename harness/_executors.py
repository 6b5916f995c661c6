"""Where simulations are computed: in this process, in a pool of processes, or on a Dask cluster.

Each is a ``concurrent.futures.Executor`` (None: this process), and the records do not depend on which.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import os
import platform
import re
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness._child import end_with_pool
from harness._refusal import FAILED, UNUSABLE, Refusal

if TYPE_CHECKING:
    from distributed import Client

WORTH_A_POOL: Final = 200_000
"""Jobs from which on a pool is used; below, starting processes costs more than it saves."""

_ADDRESS: Final = re.compile(r"dask://(?P<place>([\w.-]+|\[[0-9a-fA-F:.]+\]):(?P<port>[0-9]{1,5}))", re.ASCII)
_PATIENCE_S: Final = 5.0  # for a scheduler that does not answer, or has no worker yet
_LOOK_S: Final = 2.0  # between two looks at whether there still is a worker
_ROOT: Final = Path(__file__).resolve().parent.parent
_PACKAGES: Final = ("client", "harness", "scenarios", "server")
_COMPUTING: Final = ("numpy", "scipy")  # whose last digits differ from version to version


@contextmanager
def executor_at(address: str | None, jobs: int) -> Iterator[Executor | None]:
    """Give what computes so many jobs: the cluster at ``address``, else a pool where it is worth it.

    Raises ``Refusal`` when the cluster cannot be used, or is lost while it computes.
    """
    if address is not None:
        with _dask(address) as executor:
            yield executor
    elif jobs < WORTH_A_POOL or (os.cpu_count() or 1) < 2:
        yield None
    else:
        # Not forked from this process, which may have frames and so polars' threads by now.
        with ProcessPoolExecutor(mp_context=get_context("forkserver"), initializer=end_with_pool) as executor:
            yield executor


def _scheduler(address: str) -> str:
    """Return what Dask calls the scheduler at ``dask://HOST:PORT``."""
    found = _ADDRESS.fullmatch(address)
    if found is None or not 0 < int(found["port"]) < 2**16:
        raise _refusal(
            address, "not the address of a scheduler; give dask://HOST:PORT, such as dask://127.0.0.1:8786"
        )
    return f"tcp://{found['place']}"


def _refusal(address: str, why: str, status: int = UNUSABLE) -> Refusal:
    """Return the one line in which a cluster is turned down; what comes from outside is escaped."""
    from scenarios.documents import printable

    return Refusal(printable(f"--executor {address}: {why}"), status)


@contextmanager
def _dask(address: str) -> Iterator[Executor]:
    """Give a Dask cluster's own executor, over those of its workers that are there now."""
    scheduler = _scheduler(address)
    try:
        from distributed import Client
    except ImportError as error:
        why = f"Dask is not installed here ({error}); pip install 'backoff-harness[dask]'"
        raise _refusal(address, why) from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what fails is told here, in one line
    try:
        client = Client(scheduler, timeout=_PATIENCE_S, set_as_default=False)
    except (OSError, ValueError) as error:
        why = f"no Dask scheduler answers there ({error}); start one: dask scheduler"
        raise _refusal(address, why) from error
    with client:
        workers = _fit_workers(client, address)
        # To these alone: a worker that joins later has not been asked what it is.
        executor: Executor = client.get_executor(pure=False, workers=workers)
        with _not_alone(client, executor, workers) as lost:
            try:
                yield executor
            except Refusal:
                raise
            except Exception as error:
                if type(error).__name__ == "KilledWorker" or lost.is_set() or client.status != "running":
                    why = f"the cluster was lost: {str(error) or 'no worker is left'}"
                    raise _refusal(address, why, FAILED) from error
                raise
            finally:
                executor.shutdown(wait=False)  # after Ctrl-C as well, nothing goes on being computed


def _fit_workers(client: Client, address: str) -> list[str]:
    """Return the cluster's workers; raises ``Refusal`` unless each computes what this process would.

    The scheduler is asked too, for it looks into tasks before it hands them on.
    """
    try:
        client.wait_for_workers(1, timeout=_PATIENCE_S)
    except TimeoutError as error:
        start = f"dask worker {address.removeprefix('dask://')} --nthreads 1"
        raise _refusal(address, f"the scheduler has no worker; start some: {start}") from error
    here = stamp()
    try:
        seen: dict[str, Any] = {"scheduler": client.run_on_scheduler(stamp)}
    except Exception as error:
        seen = {"scheduler": error}
    else:
        seen |= client.run(stamp, on_error="return")
    for name, there in seen.items():
        if why := _unlike(here, there):
            whose = "its scheduler" if name == "scheduler" else f"its worker {name}"
            raise _refusal(address, f"{whose} {why}; install the same on each")
    return [name for name in seen if name != "scheduler"]


def _unlike(here: Mapping[str, str], there: object) -> str | None:
    """Return how a worker differs from this process, in English; None if it does not."""
    if not isinstance(there, Mapping):
        return f"cannot import backoff-harness ({there})"
    differing = [
        f"{name} {there.get(name)} (here {mine})" for name, mine in here.items() if there.get(name) != mine
    ]
    return f"has {', '.join(differing)}" if differing else None


@cache
def stamp() -> dict[str, str]:
    """Return what decides the digits of a simulation: our own sources, and the versions that compute them."""
    digest = sha256()
    for package in _PACKAGES:
        for path in sorted((_ROOT / package).rglob("*.py")):
            digest.update(path.relative_to(_ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    versions = {name: importlib.metadata.version(name) for name in _COMPUTING}
    python = ".".join(platform.python_version_tuple()[:2])
    return {"sources of backoff-harness": digest.hexdigest()[:12], "Python": python, **versions}


@contextmanager
def _not_alone(client: Client, executor: Executor, workers: list[str]) -> Iterator[threading.Event]:
    """Cancel what is asked for once none of these workers is left: Dask would wait for them for ever."""
    over, lost = threading.Event(), threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_S):
            with contextlib.suppress(Exception):  # the connection itself is lost, which cancels as well
                if not set(workers) & set(client.nthreads()):
                    lost.set()
                    executor.shutdown(wait=False)
                    return

    watcher = threading.Thread(target=look, name="backoff-dask", daemon=True)
    watcher.start()
    try:
        yield lost
    finally:
        over.set()
