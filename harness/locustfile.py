"""Locust's door: ``locust -f harness``. Every setting of the scenario is a User class of the same name.

Nothing imports this file. Locust executes it as a top-level module on every node, so all nodes build the same
classes from the same scenario; the master compares fingerprints before it lets a worker take part.
"""

from typing import Any

from locust import LoadTestShape, User, events, task

from harness._hooks import conductor_of, generator_of, install
from harness._options import from_locust_command_line

_options = from_locust_command_line()


class Lane(User):
    """One client instance that submits jobs and polls them, as the conductor orders."""

    abstract = True

    @task
    def live(self) -> None:
        """Run one lane of the current visit."""
        generator_of(self.environment).man()


class Visits(LoadTestShape):
    """The settings one after another, with a full drain between them."""

    def tick(self) -> Any:
        """Ask the conductor what should run now."""
        return conductor_of(self.runner.environment).tick()


globals().update({name: type(name, (Lane,), {"__module__": __name__}) for name in _options.scenario.settings})
install(events, _options)
