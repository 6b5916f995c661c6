"""What every step of a plan goes by."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from client import PollingPolicy
from harness.plan._effort import Effort
from harness.plan._predict import Prediction, Sampling, predict, sampling_for
from harness.virtual import choose_engine
from scenarios import Scenario


@dataclass(frozen=True)
class Task:
    """A scenario to plan for: how it is simulated, at what effort, and whom to tell.

    ``say`` is told in English what is being done; ``executor`` is a pool of processes.
    """

    scenario: Scenario
    baseline: str
    sampling: Sampling
    effort: Effort
    executor: Executor | None
    say: Callable[[str], None]

    def predict(self, policy: PollingPolicy) -> Prediction:
        """Return what the twin says of a policy, sharp enough to be reported."""
        jobs = self.effort.sharpened * self.effort.jobs
        return predict(self.scenario, policy, jobs, self.sampling, effort=self.effort)


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
    return Task(scenario, baseline, sampling, affordable, executor, say)
