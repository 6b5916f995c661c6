"""One line of progress on a terminal while a run is under way; silence in a pipe."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from harness.live._sweep import Sweep

_REDRAW_INTERVAL_S: Final = 0.25


class Progress:
    """Draw where a run is, an observer's way: drawing happens only when ``update`` is called."""

    def __init__(self, *, enabled: bool) -> None:
        self._live = (
            Live(console=Console(stderr=True), auto_refresh=False, transient=True) if enabled else None
        )
        self._started = False
        self._drawn_at = 0.0

    def update(self, sweep: Sweep, now: float) -> None:
        """Redraw, at most a few times a second, while a visit is under way."""
        if self._live is None or now - self._drawn_at < _REDRAW_INTERVAL_S:
            return
        at = sweep.look(now)
        if at.current is None or (visit := at.visit) is None:
            return
        if not self._started:
            self._live.start()
            self._started = True
        self._drawn_at = now
        self._live.update(
            Text(
                f"[{at.current + 1}/{len(at.visits)}] {visit.setting}  {visit.elapsed_s:.0f} s  "
                f"{visit.ended} jobs ended  {visit.polls} polls"
            ),
            refresh=True,
        )

    def close(self) -> None:
        """Give the terminal back."""
        if self._live is not None and self._started:
            self._live.stop()
            self._started = False
