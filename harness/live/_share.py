"""One process's part of one visit: its lanes' jobs in one fleet, and the rows that they leave.

The conductor decides *which* jobs each lane runs, so that a visit consists of the same jobs however many
processes share it. No input or output but what the client does; times are seconds on the driver's clock,
those of rows seconds of the visit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Final

from client import (
    Attempt,
    Conversation,
    Fleet,
    InvalidSetting,
    Order,
    PollingPolicy,
    Response,
    SubmitFailed,
)
from harness.live._allowance import Allowance, Unlimited
from harness.live._columns import Columns
from harness.live._jobs import JobTalk
from harness.live._messages import Rows, ShareDone, StartVisit
from harness.live._own import OwnApi
from harness.live._pump import Arrival
from harness.live._transport import CLIENTS, Client
from harness.measure import DETECTED, JobRow, PollRow, response_name
from scenarios import Scenario

_SUBMIT_PAUSE_S: Final = 1.0  # keeps a closed loop from hammering a server that accepts nothing
_CLIENT_HEADER: Final = "Backoff-Client"  # tells lanes apart where each has a rate limit of its own

RequestListener = Callable[..., None]


class JobNotCompleted(Exception):
    """What Locust is told of a job that failed, or whose end its client did not learn."""


class VisitShare:
    """The jobs of some lanes in one visit.

    origin: the visit's time zero. clock: the driver's. on_request: Locust's, told of every request and every
    job. halt: told why it is of no use to go on. connections: how many requests may be under way at once.
    allowed_hosts: where jobs may be polled besides the target's own origin.
    """

    def __init__(
        self,
        scenario: Scenario,
        start: StartVisit,
        on_request: RequestListener,
        *,
        origin: float,
        clock: Callable[[], float],
        halt: Callable[[str], None],
        connections: int,
        allowed_hosts: frozenset[str] = frozenset(),
    ) -> None:
        self.scenario = scenario
        self.start = start
        self.jobs, self.polls = Columns(JobRow), Columns(PollRow)
        self.submitted_jobs = 0
        self.failed_submissions: Counter[str] = Counter()
        self.ended_at = 0.0
        self._failure = ""  # the last submission that was not accepted
        self._policy: PollingPolicy = scenario.settings[start.setting]
        self._origin = origin
        self._clock = clock
        self._on_request = on_request
        self.halt = halt
        self._closed = False
        self._patience: float | None = None
        self.own: OwnApi | None = None
        target, limits, transport = scenario.target, start.limits, scenario.workload.transport
        if target is not None and limits is not None:
            self.own = OwnApi(
                target,
                limits,
                allowed_hosts,
                connections=connections,
                setting=start.setting,
                run=start.run,
                stop=halt,
            )
            self.allowance: Allowance = self.own.allowance
            self.client: Client = self.own.client(transport, self._policy)
            self._patience = target.limits.job_time
        else:
            self.allowance = Unlimited(connections)
            self.client = CLIENTS[transport](start.host, self._policy, dialect=scenario.dialect, ca=None)
        self.fleet = Fleet(self.allowance.budget)
        self.add: Callable[[JobTalk], None] = lambda job: self.fleet.add(clock(), job)
        """Has the fleet's driver carry another job."""

    # -- which jobs there are ------------------------------------------------------------------------

    def arrivals(self) -> Iterator[Arrival]:
        """Yield the jobs of these lanes in the order of their times; of a closed loop the first of each."""
        scenario, repeat, lanes = self.scenario, self.start.repeat, frozenset(self.start.lanes)
        if scenario.workload.arrivals.is_open:
            for key, lane, at in scenario.planned(repeat):
                if lane in lanes:
                    yield Arrival(self._origin + at, partial(self._join, key, lane, self._origin + at))
            return
        for lane in self.start.lanes:
            if not scenario.workload.is_over(0.0, lane):
                key = scenario.closed_key(repeat, lane, 0)
                yield Arrival(self._origin, partial(self._join, key, lane, self._origin))

    def _join(self, key: int, lane: int, planned_at: float) -> None:
        """Have a job join the fleet, once it is admitted."""
        due_at = max(planned_at, self._clock())

        def admitted() -> None:
            try:
                request = self.client.asked(key, None)
                if self.own is not None:
                    self.client.addressed(request)
            except InvalidSetting as refused:  # an input that cannot be part of a request
                self.halt(f"job {key} cannot be submitted: {refused}")
                return
            timeout, waited = self.client.policy.request_timeout, max(0.0, self._clock() - due_at)
            self.add(JobTalk(self, key, lane, planned_at, request, timeout, waited, self._patience))

        self.allowance.admit(admitted)

    def _follow(self, job: JobTalk, now: float, pause: float = 0.0) -> None:
        """Plan the next job of a closed loop's lane, which is free now."""
        workload, repeat = self.scenario.workload, self.start.repeat
        if self._closed or workload.arrivals.is_open or self.allowance.is_spent:
            return
        at = now + pause + self.scenario.think_time(job.key)
        iteration = (job.key - self.scenario.closed_key(repeat, 0, 0)) // workload.lanes + 1
        if not workload.is_over(at - self._origin, job.lane + iteration * workload.lanes):
            self._join(self.scenario.closed_key(repeat, job.lane, iteration), job.lane, at)

    def close(self) -> None:
        """Admit no more jobs."""
        self._closed = True
        self.allowance.close()

    def noted_end(self, now: float) -> None:
        """Note when all jobs had ended."""
        self.ended_at = now - self._origin

    # -- what the driver does ------------------------------------------------------------------------

    def send(self, order: Order) -> Response:
        """Carry one order to its reply. Raises OSError."""
        job, send = order.talk, order.send
        assert isinstance(job, JobTalk)  # noqa: S101 - this fleet has no other
        request = send.request
        if self.own is None:
            headers = request.headers  # made for this one request, as it is
            assert isinstance(headers, dict)  # noqa: S101 - copying both would cost more than the rest of this
            headers[_CLIENT_HEADER] = str(job.lane)
        elif send.attempt:
            self.allowance.sent(submission=False, held_s=order.held)
        else:
            self.allowance.sent(submission=True, held_s=order.held + job.waited)
        try:
            return self.client.exchange(request, send.timeout)
        except OSError as error:
            if not send.attempt:
                job.error = error
            raise

    # -- what jobs tell ------------------------------------------------------------------------------

    def submitted(self, job: JobTalk, now: float, response: Response) -> Conversation | None:
        """Take the reply to a submission; return how the job is polled, None if it is not."""
        try:
            submission = self.client.submission(response)
        except SubmitFailed as failed:
            self._not_accepted(job, now, failed)
            return None
        self.submitted_jobs += 1
        self._tell_locust("POST", now - job.sent_at)
        if self.own is not None and not self.own.submitted(submission):
            return None
        if submission.id and self.client.dialect.submit.location is None:
            submission = replace(submission, url="")  # it is polled by its id: one long text a job is enough
        return self.client.conversation(
            submission,
            policy=self._policy,
            uniform=self.scenario.jitters(job.key),
            started_at=now,
            epoch=self._origin,
        )

    def not_submitted(self, job: JobTalk, now: float) -> None:
        """Note that no whole reply to a submission came; why, is the job's ``error``."""
        assert job.error is not None  # noqa: S101 - ``send`` has set it
        failed = self.client.cause(job.error).submit_failed()
        failed.__cause__ = job.error
        self._not_accepted(job, now, failed)

    def _not_accepted(self, job: JobTalk, now: float, failed: SubmitFailed) -> None:
        self.failed_submissions[response_name(failed.status_code)] += 1
        self._failure = str(failed)
        if self.own is not None:
            self.own.not_submitted(failed)
        self._follow(job, now, _SUBMIT_PAUSE_S)

    def polled(self, job: JobTalk, attempt: Attempt) -> None:
        """Record one status request."""
        latency = attempt.replied_at - attempt.sent_at
        self.polls.append(
            PollRow(
                self.start.setting,
                self.start.repeat,
                job.key,
                attempt.number,
                attempt.planned_at - self._origin,
                attempt.sent_at - self._origin,
                latency,
                response_name(attempt.status_code),
                attempt.status or "failed",
            )
        )
        self._tell_locust("GET", latency)
        if self.own is not None:
            self.own.polled(attempt)

    def ended(self, job: JobTalk, talk: Conversation, now: float) -> None:
        """Record a job that is no longer polled, and let what waits for that begin."""
        row = self._job_row(job, talk)
        self.jobs.append(row)
        failed = None if row.outcome == "completed" else JobNotCompleted(row.outcome)
        self._tell_locust("JOB", now - job.planned_at, failed)
        if self.own is not None:
            self.own.ended(learnt=row.outcome in DETECTED)
        self._follow(job, now)

    def _tell_locust(self, method: str, seconds: float, failed: Exception | None = None) -> None:
        # Replies such as 429 or 503 are part of the experiment and handled by the client: they are no
        # failures of the load test. A job that is lost or fails is one, in a row of its own.
        self._on_request(
            request_type=method,
            name=self.start.setting,
            response_time=seconds * 1000,
            response_length=0,
            exception=failed,
            context={},
        )

    def _job_row(self, job: JobTalk, talk: Conversation) -> JobRow:
        """Return the row of a job whose polling has ended; an end that was not seen stays unknown.

        A poll that was in flight when the job was censored has no row of its own, and is not counted here.
        """
        result, origin = talk.result, self._origin
        if result is None:
            raise AssertionError("a job that has ended has a result")
        learnt = result.outcome in DETECTED
        lag = result.finished_ago if learnt else None
        detected_at = result.detected_at - origin if learnt else None
        planned_at = job.planned_at - origin
        return JobRow(
            setting=self.start.setting,
            repeat=self.start.repeat,
            key=job.key,
            lane=job.lane,
            planned_at_s=planned_at,
            submitted_at_s=job.submitted_at - origin,
            finished_at_s=None if detected_at is None or lag is None else detected_at - lag,
            detected_at_s=detected_at,
            duration_s=None if self.own else self.scenario.duration(job.key),
            outcome=result.outcome,
            polls=talk.answered,
            wasted_polls=talk.wasted,
            detection_lag_s=lag,
            completion_latency_s=None if detected_at is None else detected_at - planned_at,
            sent_at_s=job.sent_at - origin,
        )

    # -- what the conductor is told ------------------------------------------------------------------

    def take_rows(self) -> Rows | None:
        """Return what was measured since the last call, None if that is nothing."""
        if not (self.submitted_jobs or self.jobs or self.polls):
            return None
        rows = Rows(visit=self.start.visit, submitted=self.submitted_jobs, jobs=self.jobs, polls=self.polls)
        self.submitted_jobs, self.jobs, self.polls = 0, Columns(JobRow), Columns(PollRow)
        return rows

    def summary(self, cpu_mean: float, cpu_peak: float) -> ShareDone:
        """Return what the conductor must know beside the rows, once every job of this share has ended."""
        held_jobs, held_polls = self.allowance.held()
        return ShareDone(
            visit=self.start.visit,
            ended_at_s=self.ended_at,
            failed_submissions=dict(self.failed_submissions),
            failure=repr(self.own.hidden(self._failure) if self.own else self._failure),
            cpu_mean=cpu_mean,
            cpu_peak=cpu_peak,
            submissions=self.allowance.submissions,
            left=self.allowance.left,
            spent=self.allowance.is_spent,
            held_jobs=held_jobs,
            held_polls=held_polls,
        )
