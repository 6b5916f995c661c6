"""The visits of a run, without input or output: events with a time stamp go in, commands come out.

Theory
------
A run visits its settings one after another. One visit is: no users -> the workers run our scenario -> users
of the setting, who mark its lanes -> the target starts afresh -> every process works on its share -> every
process is done -> the target's counts -> no users. Going through 0 users is not optional: Locust ignores a
change of user classes at an equal user count. Each state is named for what it waits for:

==========  =======================================  ==========================================
state       waits for                                leaves it
==========  =======================================  ==========================================
IDLE        a run                                    begin
CLEARING    the users of the visit before to be gone tick: gone, or 30 s; nothing left: ENDED
CHECKING    every worker's word on its scenario      tick: all agree; or 30 s: ENDED
SPAWNING    as many users as mark its lanes          tick: all there; or too late: ENDED
RESETTING   the target to start afresh               reset (it has)
RUNNING     every process of the visit               tick: all done or lost
CLOSING     the target's counts                      closed (they are here, or cannot be had)
ENDED       Locust to stop                           stop
COLLECTING  the last rows of a visit cut short       tick: all done or lost, or 5 s
STOPPED     the record to be taken                   take
==========  =======================================  ==========================================

``TRANSITIONS`` holds every (state, event) pair that is allowed, and for each the commands it can give with
the states they lead to. Any other pair raises IllegalEvent and changes nothing.

**Three callers.** ``tick`` is called in turn by whoever drives: Locust's shape, and, once Locust stops the
run, the greenlet that stops it. Messages come in between, in a third one. So every event leaves the machine
whole before its command is obeyed: obeying may call straight back (a standalone Locust hands its messages
over at once). Only ``tick`` moves a visit on; messages fill in what it looks at.

**Stopping and completions.** While the target is asked for something, an error or a stop may end the visit.
The answer that arrives then (``reset``, ``closed``) is no surprise: it is legal in the states where the
visit may have gone, and is ignored there.

**After a stop** the machine does not move by ``tick`` except to collect: Locust kills its shape by itself,
and a shape that returned meanwhile would stop the run a second time.

**Late messages.** A visit's number is never used again, in this run or the next. What comes in after its
visit was closed still joins the rows of its run; what comes in after its run was taken is dropped.

**Failure.** ``error`` ends the run now, and its visit is cut short. A lost worker lets the others finish:
the visit is closed, as incomplete, and the run ends, for the next one would have fewer lanes than the
workload says. The first reason is the run's.

**Time.** Seconds on one monotonic clock of the driver's choosing. The machine has no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from harness.live._commands import (
    Abort,
    CheckWorkers,
    CloseVisit,
    Command,
    Failed,
    Finished,
    Refuse,
    ResetTarget,
    StartShares,
    Users,
    Wait,
)
from harness.live._record import Record


class State(Enum):
    """Where a schedule stands; ``TRANSITIONS`` says what may happen there."""

    IDLE = "idle"
    CLEARING = "clearing"
    CHECKING = "checking"
    SPAWNING = "spawning"
    RESETTING = "resetting"
    RUNNING = "running"
    CLOSING = "closing"
    ENDED = "ended"
    COLLECTING = "collecting"
    STOPPED = "stopped"


class Event(Enum):
    """What a driver may tell a schedule; each is the method of the same name."""

    BEGIN = "begin"
    TICK = "tick"
    CHECKED = "checked"
    RESET = "reset"
    ROWS = "rows"
    DONE = "done"
    CLOSED = "closed"
    ERROR = "error"
    STOP = "stop"
    TAKE = "take"


Answer = Command | Record
"""What an event gives back; the record is what ``take`` hands out."""

_Moves = Mapping[Event, tuple[tuple[type[Answer], State], ...]]

# Messages only fill the books, wherever the run stands.
_MESSAGES: Final = (
    (Event.CHECKED, Wait),
    (Event.CHECKED, Refuse),
    (Event.ROWS, Wait),
    (Event.DONE, Wait),
)
_MOVES: Final = (
    (State.IDLE, Event.BEGIN, Wait, State.CLEARING),
    (State.IDLE, Event.STOP, Abort, State.IDLE),
    (State.IDLE, Event.ERROR, Failed, State.IDLE),
    (State.CLEARING, Event.TICK, Wait, State.CLEARING),
    (State.CLEARING, Event.TICK, Wait, State.CHECKING),
    (State.CLEARING, Event.TICK, Finished, State.ENDED),
    (State.CLEARING, Event.STOP, Abort, State.STOPPED),
    (State.CLEARING, Event.ERROR, Failed, State.ENDED),
    (State.CHECKING, Event.TICK, Wait, State.CHECKING),
    (State.CHECKING, Event.TICK, CheckWorkers, State.CHECKING),
    (State.CHECKING, Event.TICK, Users, State.SPAWNING),
    (State.CHECKING, Event.TICK, Failed, State.ENDED),
    (State.CHECKING, Event.STOP, Abort, State.STOPPED),
    (State.CHECKING, Event.ERROR, Failed, State.ENDED),
    (State.SPAWNING, Event.TICK, Wait, State.SPAWNING),
    (State.SPAWNING, Event.TICK, ResetTarget, State.RESETTING),
    (State.SPAWNING, Event.TICK, Failed, State.ENDED),
    (State.SPAWNING, Event.STOP, Abort, State.STOPPED),
    (State.SPAWNING, Event.ERROR, Failed, State.ENDED),
    (State.RESETTING, Event.RESET, StartShares, State.RUNNING),
    (State.RESETTING, Event.STOP, Abort, State.STOPPED),
    (State.RESETTING, Event.ERROR, Failed, State.ENDED),
    (State.RUNNING, Event.TICK, Wait, State.RUNNING),
    (State.RUNNING, Event.TICK, Failed, State.RUNNING),
    (State.RUNNING, Event.TICK, CloseVisit, State.CLOSING),
    (State.RUNNING, Event.STOP, Abort, State.COLLECTING),
    (State.RUNNING, Event.ERROR, Failed, State.ENDED),
    (State.CLOSING, Event.CLOSED, Users, State.CLEARING),
    (State.CLOSING, Event.STOP, Abort, State.COLLECTING),
    (State.CLOSING, Event.ERROR, Failed, State.ENDED),
    (State.ENDED, Event.TICK, Finished, State.ENDED),
    (State.ENDED, Event.RESET, Wait, State.ENDED),
    (State.ENDED, Event.CLOSED, Wait, State.ENDED),
    (State.ENDED, Event.STOP, Abort, State.STOPPED),
    (State.ENDED, Event.STOP, Abort, State.COLLECTING),
    (State.ENDED, Event.ERROR, Failed, State.ENDED),
    (State.ENDED, Event.TAKE, Record, State.IDLE),
    (State.COLLECTING, Event.TICK, Wait, State.COLLECTING),
    (State.COLLECTING, Event.TICK, Failed, State.COLLECTING),
    (State.COLLECTING, Event.TICK, Wait, State.STOPPED),
    (State.COLLECTING, Event.CLOSED, Wait, State.COLLECTING),
    (State.COLLECTING, Event.STOP, Abort, State.COLLECTING),
    (State.COLLECTING, Event.ERROR, Failed, State.COLLECTING),
    (State.STOPPED, Event.TICK, Wait, State.STOPPED),
    (State.STOPPED, Event.RESET, Wait, State.STOPPED),
    (State.STOPPED, Event.CLOSED, Wait, State.STOPPED),
    (State.STOPPED, Event.STOP, Abort, State.STOPPED),
    (State.STOPPED, Event.ERROR, Failed, State.STOPPED),
    (State.STOPPED, Event.TAKE, Record, State.IDLE),
)


def _table() -> Mapping[State, _Moves]:
    """Group the moves by state and event."""
    table: dict[State, dict[Event, tuple[tuple[type[Answer], State], ...]]] = {state: {} for state in State}
    everywhere = ((state, event, command, state) for state in State for event, command in _MESSAGES)
    for state, event, command, after in (*_MOVES, *everywhere):
        table[state][event] = (*table[state].get(event, ()), (command, after))
    return MappingProxyType({state: MappingProxyType(moves) for state, moves in table.items()})


TRANSITIONS: Final = _table()
