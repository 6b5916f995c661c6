"""One line of progress on a terminal while a run is under way; silence in a pipe."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.text import Text

if TYPE_CHECKING:
    from harness.live._conductor import Conductor

REDRAW_INTERVAL_S = 0.25


class Progress:
    """Draws where the conductor is; drawing happens only when ``update`` is called."""

    def __init__(self, *, enabled: bool) -> None:
        self._live = (
            Live(console=Console(stderr=True), auto_refresh=False, transient=True) if enabled else None
        )
        self._started = False
        self._drawn_at = 0.0

    def update(self, conductor: Conductor) -> None:
        """Redraw, at most a few times a second."""
        now, current = time.monotonic(), conductor.current
        if self._live is None or current is None or now - self._drawn_at < REDRAW_INTERVAL_S:
            return
        if not self._started:
            self._live.start()
            self._started = True
        self._drawn_at = now
        self._live.update(
            Text(
                f"[{current.plan.index + 1}/{len(conductor.plans)}] {current.plan.setting}  "
                f"{max(0.0, now - current.started_at):.0f} s  "
                f"{current.finished} jobs ended  {current.polls} polls"
            ),
            refresh=True,
        )

    def close(self) -> None:
        """Give the terminal back."""
        if self._live is not None and self._started:
            self._live.stop()
            self._started = False
