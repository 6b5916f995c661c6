"""What every step of a plan goes by."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from client import PollingPolicy
from harness.plan._effort import Effort
from harness.plan._predict import Prediction, Twin, sampling_for
from harness.virtual import choose_engine
from scenarios import Scenario


@dataclass(frozen=True)
class Task:
    """A scenario to plan for, with the setting that others are compared with.

    ``say`` is told in English what is being done; ``executor`` is a pool of processes.
    """

    twin: Twin
    baseline: str
    executor: Executor | None
    say: Callable[[str], None]

    @property
    def scenario(self) -> Scenario:
        """The scenario that is planned for."""
        return self.twin.scenario

    @property
    def effort(self) -> Effort:
        """What the plan may spend."""
        return self.twin.effort

    def predict(self, policy: PollingPolicy) -> Prediction:
        """Return what the twin says of a policy, sharp enough to be reported."""
        jobs = self.effort.sharpened * self.effort.jobs
        return self.twin.predict(policy, jobs, visits=self.effort.reported_visits)


def task_for(
    scenario: Scenario,
    effort: Effort,
    jobs: int | None,
    executor: Executor | None,
    say: Callable[[str], None],
) -> Task:
    """Return the task of a plan: how jobs are simulated, and the effort that this affords."""
    sampling = sampling_for(scenario, tuple(scenario.objectives))
    affordable = effort.affordable(
        jobs, in_visits=sampling == "visits", by_events=choose_engine(scenario).engine == "event"
    )
    baseline = scenario.baseline or next(iter(scenario.settings))
    return Task(Twin(scenario, sampling, affordable), baseline, executor, say)
