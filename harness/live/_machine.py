"""What this machine can do: measured once for a second, kept in the user's cache, assumed where it cannot be.

The cache is a hint and no authority: what is not exactly ours, of this machine and recent, is measured anew.
"""

from __future__ import annotations

import contextlib
import os
import platform
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
import platformdirs

from harness._child import environment
from harness._version import DISTRIBUTION, own_version
from scenarios.documents import printable

Transport = Literal["lean", "requests"]

_NEAR: Final[Mapping[Transport, float]] = {"lean": 500.0, "requests": 80.0}
"""Requests/s below which any machine will do."""
_WARN: Final = 0.70  # of a core, from which on the trust checks warn
_CALIBRATE: Final = "import locust, sys; from harness.live import _calibrate; _calibrate.main(sys.argv[1])"
"""Locust first: it patches what the rest imports."""
_TIMEOUT_S: Final = 30.0
_MOST_BYTES: Final = 1 << 14
_FRESH_FOR: Final = timedelta(days=30)
_PerSecond = Annotated[float, msgspec.Meta(gt=1.0, lt=1e7)]


class Capacity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Requests/s that a whole core of this machine sends (``generator``) and answers (``simulator``)."""

    generator: _PerSecond
    simulator: _PerSecond


_ASSUMED: Final[Mapping[Transport, Capacity]] = {
    "lean": Capacity(4_000.0, 8_000.0),
    "requests": Capacity(700.0, 8_000.0),
}
"""What a core of a slow machine does."""


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the cache's file holds."""

    machine: dict[str, str]
    measured_at: datetime
    capacity: Capacity


class Machine(NamedTuple):
    """What this machine can do, and how that is known, in English."""

    capacity: Capacity
    known: str

    def most(self, simulators: int) -> float:
        """Return the requests/s of one generator and so many simulator processes, on the cores there are."""
        sent, answered = self.capacity.generator, self.capacity.simulator
        cores = _cores()
        together = cores / (1.0 / sent + 1.0 / answered)  # all that there is, for both
        return min(sent, simulators * answered, together)


def too_much(
    asked: Mapping[str, float],
    transport: Transport,
    simulators: int,
    look: Callable[[Transport], Machine] | None = None,
) -> Iterator[str]:
    """Yield for each setting that asks for more requests/s than this machine gives, or nearly, the figures.

    The machine is looked at only where that is anywhere near.
    """
    asking = {name: rate for name, rate in asked.items() if rate >= _NEAR[transport]}
    if not asking:
        return
    machine = (look or this_machine)(transport)
    most = machine.most(simulators)
    for name, rate in asking.items():
        if rate > _WARN * most:
            than = "more than" if rate > most else "near what"
            yield (
                f"{name} asks for about {_digits(rate)} requests/s, {than} this machine gives: about "
                f"{_digits(most)} (one process sends {_digits(machine.capacity.generator)}, one answers "
                f"{_digits(machine.capacity.simulator)}; {machine.known}). A run would be late and "
                "judged so: submit more slowly, spread it with --processes and simulator.processes, or "
                "simulate it"
            )


def _digits(per_second: float) -> str:
    """Return a figure of two digits: it is not known any better."""
    return f"{float(f'{per_second:.2g}'):,.0f}"


def this_machine(transport: Transport) -> Machine:
    """Return what this machine can do, from the cache or measured now; where neither can be, assumed."""
    path = _cache(transport)
    kept = _read(path)
    try:
        if kept is None:
            kept = _Kept(_identity(), datetime.now(UTC), measured(transport))
            _write(path, kept)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        why = printable(str(error))[:200]
        return Machine(_ASSUMED[transport], f"assumed, for it could not be measured: {why}")
    return Machine(kept.capacity, f"measured {kept.measured_at:%Y-%m-%d}; to measure anew, remove {path}")


def measured(transport: Transport) -> Capacity:
    """Measure for a second, in processes of their own, with a simulator on a free port.

    Raises OSError, ValueError or ``subprocess.SubprocessError`` where that does not work.
    """
    done = subprocess.run(  # noqa: S603 - our own module, no shell
        [sys.executable, "-P", "-c", _CALIBRATE, transport],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=_TIMEOUT_S,
        env=environment(),
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=Capacity)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _identity() -> dict[str, str]:
    """Return what makes figures those of another machine."""
    return {
        "host": platform.node(),
        "processor": _processor(),
        "cores": str(_cores()),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        DISTRIBUTION: own_version(),
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return f"{platform.machine()} {platform.processor()}"


def _cache(transport: Transport) -> Path:
    return platformdirs.user_cache_path(DISTRIBUTION) / f"machine-{transport}.json"


def _read(path: Path) -> _Kept | None:
    """Return what was kept; None unless the file is ours, whole, of this machine and recent."""
    try:
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.getuid() or about.st_size > _MOST_BYTES:
            return None
        kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
        age = datetime.now(UTC) - kept.measured_at
    except (OSError, ValueError, TypeError, RecursionError):  # TypeError: a time without its zone
        return None
    fresh = timedelta() <= age <= _FRESH_FOR
    return kept if fresh and kept.machine == _identity() else None


def _write(path: Path, kept: _Kept) -> None:
    """Keep it for the next time; where that cannot be done, the next time measures anew."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:  # gone in the end, whatever fails
            whole = Path(folder, path.name)
            whole.write_bytes(msgspec.json.encode(kept))
            whole.replace(path)
