"""The load-generating side: lanes that submit jobs and poll each by a conversation of the client's.

A lane is one Locust user. Locust decides *where* lanes live (this process, forked or remote workers); the
conductor decides *which* jobs each lane runs, so that a visit consists of the same jobs however many
processes share it. Everything is recorded as raw rows, which leave this process about once a second.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

import gevent
from gevent import Timeout
from gevent.pool import Group

from client import Attempt, Conversation, InvalidSetting, PollingPolicy, SubmitFailed
from client.blocking import VideoTranslationClient
from harness.live._allowance import Allowance, Unlimited
from harness.live._cpu import CpuMeter
from harness.live._messages import Halted, Message, Rows, ShareDone, StartVisit
from harness.live._own import OwnApi
from harness.measure import DETECTED, JobRow, PollRow, response_name
from scenarios import Scenario

_FLUSH_INTERVAL_S: Final = 0.5
_SUBMIT_PAUSE_S: Final = 1.0  # keeps a closed loop from hammering a server that accepts nothing
_CONNECTIONS_PER_LANE: Final = (
    1000  # a ceiling, not a reservation: no job of a lane ever waits for a connection
)

_CLIENT_HEADER: Final = "Backoff-Client"  # tells lanes apart where each has a rate limit of its own

Send = Callable[[Message], None]
RequestListener = Callable[..., None]


@dataclass
class VisitShare:
    """One process's part of one visit while it runs."""

    scenario: Scenario
    start: StartVisit
    on_request: RequestListener
    halt: Callable[[str], None] = lambda _reason: None
    """Told why it is of no use to go on."""
    allowed_hosts: frozenset[str] = frozenset()
    """Hosts that jobs may be polled at, besides the target's own origin."""
    jobs: list[JobRow] = field(default_factory=list)
    polls: list[PollRow] = field(default_factory=list)
    submitted: int = 0
    failed_submissions: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        target, limits = self.scenario.target, self.start.limits
        self.own: OwnApi | None = None
        if target is not None and limits is not None:
            self.own = OwnApi(
                target,
                limits,
                self.allowed_hosts,
                setting=self.start.setting,
                run=self.start.run,
                stop=self.halt,
            )
        self.allowance: Allowance = self.own.allowance if self.own else Unlimited()
        self._followed_s = target.limits.job_time if target else None
        self.policy: PollingPolicy = self.scenario.settings[self.start.setting]
        self.origin = time.monotonic() + self.start.starts_in
        self.ended_at = 0.0
        self.failure = ""  # the last submission that was not accepted
        self.lanes = Group()
        self.in_flight = Group()
        self.cpu = CpuMeter()

    def now(self) -> float:
        """Return the seconds since the visit began (negative before)."""
        return time.monotonic() - self.origin

    def run(self) -> None:
        """Submit every job of these lanes at its planned time and poll each to its end."""
        clients = {lane: self._client(lane) for lane in self.start.lanes}
        if self.scenario.workload.arrivals.is_open:
            self.lanes.spawn(self._open_loop, clients)
        else:
            for lane, client in clients.items():
                self.lanes.spawn(self._closed_loop, client, lane)
        self.lanes.join()
        self.in_flight.join()
        self.ended_at = self.now()
        for client in clients.values():
            client.close()

    def _client(self, lane: int) -> VideoTranslationClient:
        if self.own is not None:
            return self.own.client(self.policy, _CONNECTIONS_PER_LANE)
        # A connection that the simulator resets is part of the experiment, and must not be mended unseen.
        return VideoTranslationClient(
            self.start.host,
            self.policy,
            dialect=self.scenario.dialect,
            headers={_CLIENT_HEADER: str(lane)},
            connections=_CONNECTIONS_PER_LANE,
            resend=False,
        )

    def _open_loop(self, clients: Mapping[int, VideoTranslationClient]) -> None:
        for key, lane, at in self.scenario.planned(self.start.repeat):
            if client := clients.get(lane):
                self._sleep_until(at)
                self.in_flight.spawn(self._run_job, client, key, lane, at)

    def _closed_loop(self, client: VideoTranslationClient, lane: int) -> None:
        workload = self.scenario.workload
        at, iteration = 0.0, 0
        while not workload.is_over(at, lane + iteration * workload.lanes):
            key = self.scenario.closed_key(self.start.repeat, lane, iteration)
            self._sleep_until(at)
            self.in_flight.spawn(self._run_job, client, key, lane, at).join()
            if self.allowance.is_spent:
                return
            at = self.now() + self.scenario.think_time(key)
            iteration += 1

    def _sleep_until(self, at: float) -> None:
        gevent.sleep(max(0.0, at - self.now()))

    def _run_job(self, client: VideoTranslationClient, key: int, lane: int, planned_at: float) -> None:
        if not self.allowance.admit():
            return
        sent_at = self.now()
        try:
            submission = client.submit(key)
        except SubmitFailed as failed:
            self.failed_submissions[response_name(failed.status_code)] += 1
            self.failure = str(failed)
            if self.own is not None:
                self.own.not_submitted(failed)
            gevent.sleep(_SUBMIT_PAUSE_S)
            return
        except InvalidSetting as refused:  # an input that cannot be part of a request
            self.halt(f"job {key} cannot be submitted: {refused}")
            return
        self.submitted += 1
        job = SubmittedJob(key, lane, planned_at, sent_at, submission.replied_at - self.origin)
        self._tell_locust("POST", job.submitted_at - sent_at)
        if self.own is not None and not self.own.submitted(submission):
            return
        talk = client.conversation(
            submission,
            policy=self.policy,
            uniform=lambda n: self.scenario.jitter(key, n),
            epoch=self.origin,
            turn=self.allowance.turn(),
            on_attempt=lambda attempt: self._add_poll(key, attempt),
        )
        try:
            with suppress(_FollowedTooLong), Timeout(self._followed_s, _FollowedTooLong):
                client.pump(talk)
        finally:  # also when the run was stopped: the conversation was cancelled then, the job is censored
            row = self._job_row(job, talk)
            self.jobs.append(row)
            if self.own is not None:
                self.own.ended(learnt=row.outcome in DETECTED)

    def _tell_locust(self, method: str, seconds: float) -> None:
        # Replies such as 429 or 503 are part of the experiment and handled by the client: they are no
        # failures of the load test, and Locust's exit status must not say so.
        self.on_request(
            request_type=method,
            name=self.start.setting,
            response_time=seconds * 1000,
            response_length=0,
            exception=None,
            context={},
        )

    def _add_poll(self, key: int, attempt: Attempt) -> None:
        """Record one status request."""
        latency = attempt.replied_at - attempt.sent_at
        self.polls.append(
            PollRow(
                setting=self.start.setting,
                repeat=self.start.repeat,
                key=key,
                attempt=attempt.number,
                planned_at_s=attempt.planned_at - self.origin,
                sent_at_s=attempt.sent_at - self.origin,
                latency_s=latency,
                response=response_name(attempt.status_code),
                state=attempt.status or "failed",
            )
        )
        self._tell_locust("GET", latency)
        if self.own is not None:
            self.own.polled(attempt)

    def _job_row(self, job: SubmittedJob, talk: Conversation) -> JobRow:
        """Return the row of a job whose polling has ended; an end that was not seen stays unknown.

        A poll that was in flight when the job was censored has no row of its own, and is not counted here.
        """
        result = talk.result
        if result is None:
            raise AssertionError("a pump gives its conversation a result, however it stops")
        learnt = result.outcome in DETECTED
        lag = result.finished_ago if learnt else None
        detected_at = result.detected_at - self.origin if learnt else None
        return JobRow(
            setting=self.start.setting,
            repeat=self.start.repeat,
            key=job.key,
            lane=job.lane,
            planned_at_s=job.planned_at,
            submitted_at_s=job.submitted_at,
            finished_at_s=None if detected_at is None or lag is None else detected_at - lag,
            detected_at_s=detected_at,
            duration_s=None if self.own else self.scenario.duration(job.key),
            outcome=result.outcome,
            polls=talk.answered,
            wasted_polls=talk.wasted,
            detection_lag_s=lag,
            completion_latency_s=None if detected_at is None else detected_at - job.planned_at,
            sent_at_s=job.sent_at,
        )

    def take_rows(self) -> Rows | None:
        """Return what was measured since the last call, None if that is nothing."""
        if not (self.submitted or self.jobs or self.polls):
            return None
        rows = Rows(visit=self.start.visit, submitted=self.submitted, jobs=self.jobs, polls=self.polls)
        self.submitted, self.jobs, self.polls = 0, [], []
        return rows

    def summary(self) -> ShareDone:
        """Return what the conductor must know beside the rows, once every job of this share has ended."""
        held_jobs, held_polls = self.allowance.held()
        return ShareDone(
            visit=self.start.visit,
            ended_at_s=self.ended_at,
            failed_submissions=dict(self.failed_submissions),
            failure=repr(self.own.hidden(self.failure) if self.own else self.failure),
            cpu_mean=self.cpu.mean(),
            cpu_peak=self.cpu.peak,
            submissions=self.allowance.submissions,
            left=self.allowance.left,
            spent=self.allowance.is_spent,
            held_jobs=held_jobs,
            held_polls=held_polls,
        )


class _FollowedTooLong(Exception):
    """A job is left because it takes longer than its target's ``job_time``."""


class SubmittedJob(NamedTuple):
    """A job that the service has taken; times are seconds of the visit."""

    key: int
    lane: int
    planned_at: float
    sent_at: float
    submitted_at: float


class LoadGenerator:
    """Run this process's share of each visit; one per Locust process that has lanes."""

    def __init__(
        self,
        scenario: Scenario,
        send: Send,
        on_request: RequestListener,
        allowed_hosts: frozenset[str] = frozenset(),
    ) -> None:
        self._scenario = scenario
        self._send = send
        self._on_request = on_request
        self._allowed_hosts = allowed_hosts
        self._share: VisitShare | None = None
        self._halted = 0  # the last visit that was

    def start(self, start: StartVisit) -> None:
        """Begin a visit with these lanes."""
        halt = partial(self._halt, start.visit)
        self._share = VisitShare(self._scenario, start, self._on_request, halt, self._allowed_hosts)
        gevent.spawn(self._report, self._share, gevent.spawn(self._share.run))

    def _report(self, share: VisitShare, running: Any) -> None:
        while self._share is share and not running.ready():
            running.join(_FLUSH_INTERVAL_S)
            self._flush(share)
            share.cpu.sample()
        if self._share is share:
            self._finish(share)

    def _flush(self, share: VisitShare) -> None:
        if (rows := share.take_rows()) is not None:
            self._send(rows)

    def _finish(self, share: VisitShare) -> None:
        self._share = None
        self._flush(share)
        self._send(share.summary())

    def _halt(self, visit: int, reason: str) -> None:
        """End a visit of which nothing more can come, and say why, once."""
        if self._share is None or self._share.start.visit != visit or self._halted == visit:
            return
        self._halted = visit
        self._share.allowance.close()
        self._send(Halted(visit=visit, reason=reason))
        gevent.spawn(self.abort)  # not here: it is the visit's own greenlet that has found out

    def abort(self) -> None:
        """Stop every job under way, record each as censored, and send what is left."""
        if (share := self._share) is not None:
            share.lanes.kill()
            share.in_flight.kill()
            share.ended_at = share.now()
            self._finish(share)
