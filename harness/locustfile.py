"""Locust's door: ``locust -f harness``. Every setting of the scenario is a User class of the same name.

Nothing imports this file. Locust executes it as a top-level module on every node, so all nodes build the same
classes from the same scenario; the master compares fingerprints before it lets a worker take part.
"""

import sys as _sys
from pathlib import Path as _Path
from typing import Any as _Any

from gevent.event import Event as _Event
from locust import LoadTestShape as _LoadTestShape
from locust import User as _User
from locust import events as _events
from locust import task as _task

# Locust puts the working directory first: a module there called harness or scenarios would hide ours.
_sys.path.insert(0, str(_Path(__file__).resolve().parent.parent))

from harness.live import _arguments, _hooks

# Every name here but the settings' own starts with an underscore: a setting may be called anything else.
_options = _arguments.options_asked_for()
_hooks.install(_events, _options)


class _Lane(_User):
    """One client instance that submits jobs and polls them, as the conductor orders."""

    abstract = True

    @_task
    def live(self) -> None:
        """Only mark where a lane lives; the load generator runs it, whatever Locust does to its users."""
        _Event().wait()


class _Visits(_LoadTestShape):
    """The settings one after another, with a full drain between them."""

    def tick(self) -> _Any:
        """Ask the conductor what should run now."""
        return _hooks.conductor_of(self.runner.environment).tick()


globals().update(
    {name: type(name, (_Lane,), {"__module__": __name__}) for name in _options.scenario.settings}
)
