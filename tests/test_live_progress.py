"""What a run tells on standard error while it runs: a bar on a terminal, lines in a pipe."""

from __future__ import annotations

import io
import re

import pytest
from live_parts import job_row, rows
from virtual_scenarios import every, scenario

from harness.live._progress import Progress, left
from harness.live._sweep import Sweep
from harness.virtual import visit_costs


class Screen(io.StringIO):
    """A terminal that remembers what was drawn."""

    def isatty(self) -> bool:
        return True


def running(jobs: int = 1) -> Sweep:
    """A sweep of two settings in its second visit, of which so many jobs have ended."""
    play = scenario({"quick": every(1), "slow": every(5)}, jobs=3, arrivals={"type": "burst", "size": 3})
    sweep = Sweep(play, visit_costs(play))
    plans = play.visits()
    sweep.begin(0.0, plans)
    sweep.start(1.0, 2, plans[1])
    sweep.rows(rows(2, *(job_row(key, setting="slow") for key in range(jobs))))
    return sweep


def test_a_pipe_gets_a_plain_line_every_ten_seconds() -> None:
    """Which setting of how many, its jobs, and the time that is left; the first after ten seconds."""
    file, sweep = io.StringIO(), running()
    progress = Progress(file, enabled=True)
    for tenth in range(255):
        progress.update(sweep, 1.0 + tenth / 10)
    lines = file.getvalue().splitlines()
    assert len(lines) == 2
    for line in lines:
        assert re.fullmatch(r"slow \(2 of 2\): 1 of 3 jobs, 1 poll, \d+ s left", line)


def test_a_terminal_gets_a_bar_and_then_has_its_line_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """In 80 columns: setting, bar, share, time left, jobs; at the end the line is wiped."""
    monkeypatch.setenv("COLUMNS", "80")
    file = Screen()
    progress = Progress(file, enabled=True)
    for tenth in range(10):
        progress.update(running(jobs=7), 4.0 + tenth / 10)
    progress.close()
    drawn, wiped = file.getvalue().rsplit("\r", 1)
    assert re.search(r"slow \(2 of 2\) .*━.* \d+ % \d+ s left 7 of 3 jobs", drawn)
    assert "\x1b[2K" in wiped or wiped == ""


def test_nothing_is_drawn_where_nobody_wants_it() -> None:
    """Neither before a visit has begun."""
    file = Screen()
    Progress(file, enabled=False).update(running(), 99.0)
    play = scenario({"quick": every(1)})
    waiting = Progress(file, enabled=True)
    for now in (1.0, 50.0):
        waiting.update(Sweep(play), now)
    waiting.close()
    assert file.getvalue() == ""


def test_without_a_known_end_the_time_so_far_is_told() -> None:
    """And long times in minutes."""
    assert left(running().look(5.0)).endswith("s left")
    play = scenario({"quick": every(1)})
    sweep = Sweep(play)
    sweep.begin(0.0, play.visits())
    assert left(sweep.look(62.0)) == "62 s so far"


class Gone(Screen):
    """Where nobody reads any more: ``| head -1`` has ended, or the terminal's window was closed."""

    def __init__(self, *, terminal: bool, fault: Exception) -> None:
        super().__init__()
        self.terminal, self.fault, self.tries = terminal, fault, 0

    def isatty(self) -> bool:
        return self.terminal

    def write(self, _text: str) -> int:
        self.tries += 1
        raise self.fault


@pytest.mark.parametrize(
    ("terminal", "fault"),
    [
        (False, BrokenPipeError(32, "gone")),
        (False, ValueError("closed")),
        (True, OSError(5, "gone")),
        (True, ValueError("closed")),
    ],
)
def test_nobody_who_reads_it_is_no_reason_to_end_a_run(terminal: bool, fault: Exception) -> None:
    """Nothing comes out of the progress but that it is told no more."""
    file = Gone(terminal=terminal, fault=fault)
    progress = Progress(file, enabled=True)
    for second in range(20):
        progress.update(running(), 1.0 + second)
    tries = file.tries
    progress.update(running(), 99.0)
    progress.close()
    assert file.tries == tries > 0
