"""The vector engine: visits whose jobs do not touch each other, computed for whole arrays of jobs.

A job that shares nothing with others (no slots, no rate limit, no capacity, nobody waiting for its end before
submitting the next) has a course that depends on its own keyed draws and on the time alone. Faults, delays,
outages, hints, deadlines and budgets are of that kind, so they are all done here, exactly: the polls are
those of the event engine, job by job.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from client import PollingPolicy
from harness.virtual._columns import JobColumns, Part, durations
from harness.virtual._counts import PollCounter
from harness.virtual._overhead import Overhead
from harness.virtual._polling import PollerArrays
from harness.virtual._replies import ReplyArrays
from scenarios import Block, Scenario, Simulation
from scenarios.draws import Floats, Stream, uniforms

CHUNK: Final = 2**15
"""Jobs that are polled together: their arrays, of 256 kB each, fit the processor's caches."""


def obstacle(scenario: Scenario) -> str | None:
    """Return why arrays cannot do this scenario, mostly since jobs touch each other; None if they can."""
    if not scenario.workload.arrivals.is_open:
        return "a closed loop submits a job when the one before has ended"
    if scenario.simulation.job.slots is not None:
        return "jobs wait for slots"
    if scenario.service.rate_limit is not None:
        return "polls share a rate limit"
    if scenario.service.capacity is not None:
        return "polls wait for the service's workers"
    if scenario.dialect.status.not_ready or scenario.dialect.status.retryable:
        return "the dialect gives status codes a meaning of its own"
    return None


def run_block(simulation: Simulation, policy: PollingPolicy, overhead: Overhead, block: Block) -> Part:
    """Simulate these jobs of a visit to their end. Raises VisitTooLong for a poll after a year."""
    replies = ReplyArrays(simulation)
    sent = block.times + overhead.wake_s
    accepted = sent + overhead.request_s
    started = accepted + replies.delays(replies.delay_subjects(block.keys), 0) + overhead.reply_s
    answered = started <= sent + policy.request_timeout
    work = durations(simulation, block.keys)
    jobs = _columns(block, sent, started, work)
    failing = uniforms(simulation.seed, Stream.OUTCOME, block.keys) < simulation.job.error_rate
    counter = PollCounter()
    poller = PollerArrays(policy, simulation, replies, overhead, jobs, failing, counter)
    finish = accepted + work
    for start in range(0, block.keys.size, CHUNK):
        index = start + np.flatnonzero(answered[start : start + CHUNK])
        poller.run(index, block.keys[index], started[index], accepted[index], finish[index])
    poller.close()
    lost_until = (sent + policy.request_timeout)[~answered]
    return Part(
        jobs=jobs if answered.all() else jobs.only(answered),
        polls=counter.take(),
        submissions=int(block.keys.size),
        replies=replies.count(poller.answered),
        busy_seconds=0.0,
        lost_submissions=int(lost_until.size),
        ended_at=float(max(jobs.ended_at.max(initial=0.0), lost_until.max(initial=0.0))),
    )


def _columns(block: Block, sent: Floats, started: Floats, work: Floats) -> JobColumns:
    """Return the columns of jobs that have been submitted, with what is still to come unknown."""
    size = block.keys.size
    return JobColumns(
        key=block.keys,
        lane=block.lanes,
        planned_at=block.times,
        sent_at=sent,
        submitted_at=started,
        duration=work,
        detected_at=np.full(size, np.nan),
        lag=np.full(size, np.nan),
        outcome=np.zeros(size, dtype=np.int64),
        polls=np.zeros(size, dtype=np.int64),
        wasted=np.zeros(size, dtype=np.int64),
        ended_at=np.zeros(size),
    )
