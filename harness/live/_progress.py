"""Where a run is, on standard error: a bar on a terminal, a plain line now and then in a pipe."""

from __future__ import annotations

from contextlib import suppress
from typing import Final, TextIO

from rich.console import Console
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bar

from harness.live._sweep import Sweep, SweepNow
from scenarios.documents import counted, spell_seconds

_REDRAW_INTERVAL_S: Final = 0.25
_TOLD: Final = ("description", "fields[left]", "fields[jobs]")
_GONE: Final = (OSError, ValueError)  # a pipe, a terminal or a file that was closed
_LINE_INTERVAL_S: Final = 10.0  # seldom enough for a log, often enough to see that something happens


class Progress:
    """Draw where a run is, an observer's way: drawing happens only when ``update`` is called.

    enabled: whether anything is drawn. file: where to.
    """

    def __init__(self, file: TextIO, *, enabled: bool) -> None:
        self._file = file
        self._enabled = enabled
        self._bar = _bar(file) if enabled and file.isatty() else None
        self._task: TaskID | None = None
        self._interval_s = _LINE_INTERVAL_S if self._bar is None else _REDRAW_INTERVAL_S
        self._due_at: float | None = None

    def update(self, sweep: Sweep, now: float) -> None:
        """Draw, at most a few times a second or, in a pipe, every ten seconds; between visits nothing new."""
        if not self._enabled:
            return
        if self._due_at is None:
            self._due_at = now + self._interval_s
        if now < self._due_at:
            return
        at = sweep.look(now)
        if at.visit is None:
            return
        self._due_at = now + self._interval_s
        try:
            if self._bar is None:
                print(f"{setting(at)}: {jobs(at)}, {polls(at)}, {left(at)}", file=self._file, flush=True)
            else:
                self._draw(self._bar, at)
        except _GONE:  # nobody reads it any more, which is no reason to end a run
            self.close()
            self._enabled = False

    def _draw(self, bar: Bar, at: SweepNow) -> None:
        if self._task is None:
            self._task = bar.add_task("", total=1.0, jobs="", left="")
        told = {"description": setting(at), "jobs": jobs(at), "left": left(at)}
        bar.update(self._task, completed=at.progress, **told)  # type: ignore[arg-type]
        bar.start()
        bar.refresh()

    def close(self) -> None:
        """Give the terminal back."""
        if self._bar is not None and self._task is not None:
            with suppress(*_GONE):
                self._bar.stop()
            self._task = None


def _bar(file: TextIO) -> Bar:
    """Return a bar that leaves room, in 80 columns, for a long name and all that is told."""
    text = [TextColumn(f"{{task.{name}}}", markup=False) for name in _TOLD]
    return Bar(
        text[0],
        BarColumn(12),
        TaskProgressColumn("{task.percentage:>3.0f} %"),
        *text[1:],
        console=Console(file=file),
        auto_refresh=False,
        transient=True,
    )


def setting(at: SweepNow) -> str:
    """Return which setting is under way, of how many visits: "constant-2s (3 of 5)"."""
    name = "" if at.visit is None else at.visit.setting
    return f"{name} ({(at.current or 0) + 1} of {len(at.visits)})"


def jobs(at: SweepNow) -> str:
    """Return what the visit has come to: "56 of 120 jobs"."""
    visit = at.visit
    if visit is None:
        return ""
    of = "" if visit.jobs is None else f"{visit.ended:,} of "
    return of + counted(visit.ended if visit.jobs is None else visit.jobs, "job")


def polls(at: SweepNow) -> str:
    """Return how many status requests the visit has sent: "211 polls"."""
    return counted(at.visit.polls if at.visit else 0, "poll")


def left(at: SweepNow) -> str:
    """Return how long the sweep goes on: "58 s left", or for how long it has where nobody knows."""
    if at.eta_s is None:
        return f"{spell_seconds(round(at.elapsed_s))} so far"
    return f"{_spelled(at.eta_s)} left"


def _spelled(seconds: float) -> str:
    """Return a time to come in whole seconds, or minutes where there are many."""
    return spell_seconds(round(seconds) if seconds < 120 else 60 * round(seconds / 60))
