"""Jobs that are work for the workers that serve polls: the board's times, closed forms, refusals, words."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from test_sharing import LAWS, assert_mean, erlang_sojourn
from virtual_scenarios import every, scenario

import server._shared_jobs
from harness.measure import PollRow
from harness.virtual import choose_engine, simulate, visit_costs
from harness.virtual._events import EventVisit
from harness.virtual._overhead import Overhead
from scenarios import Simulation, describe, load_scenario
from scenarios.documents import DocumentError
from scenarios.draws import Floats
from server import Board, InService, NoReply, Reply
from server._tickets import seal, unseal
from server.app import create_app


def simulation(discipline: str, **parts: Any) -> Simulation:
    """One worker for jobs of 1 s and requests of a quarter of a second."""
    capacity = {"workers": 1, "service_time": 0.25, "discipline": discipline, "shared": True}
    service = {"capacity": capacity, **parts.pop("service", {})}
    return Simulation.model_validate({"job": {"duration": 1}, "service": service, **parts})


def answered(board: Board, request: Reply | NoReply | InService) -> Reply:
    """Let everybody leave; return the reply to this request."""
    board.departures(99.0)
    assert isinstance(request, InService)
    assert isinstance(request.reply, Reply)
    return request.reply


def test_in_line_a_job_occupies_a_worker_and_polls_wait_behind_it() -> None:
    """A poll at 0.5 waits for the job that ends at 1, the next job for that poll; tickets hold the ends."""
    board = Board(simulation("fifo"))
    first, _ = board.submit(0.0, 1)
    reply = board.poll(0.5, first, 1)
    second, _ = board.submit(0.75, 2)
    assert (first.started_at, first.finished_at) == (0.0, 1.0)
    assert isinstance(reply, Reply)
    assert reply.job is not None
    assert (reply.at, reply.job.status, reply.job.finished_ago) == (1.25, "completed", 0.25)
    assert (second.started_at, second.finished_at) == (1.25, 2.25)
    assert board.counters().busy_seconds == 2.25


def test_under_sharing_a_poll_slows_the_job_that_it_asks_for() -> None:
    """Alone from 0 to 0.5, then at half speed beside a poll until that leaves at 1: the job ends at 1.25.

    The reply says what was so when its request had been served: 3/4 of the work done in 1 s, so 1/3 s to go.
    """
    made = simulation("ps", service={"delay": 0.5, "retry_after": "eta", "retry_after_submit": "eta"})
    board = Board(made)
    ticket, accepted = board.submit(0.0, 7)
    assert accepted.retry_after == 1  # from 0.5 on, as long as nobody else comes
    assert (ticket.started_at, ticket.finished_at) == (0.0, math.inf)
    early = board.poll(0.5, ticket, 1)
    assert board.settled(1.0, ticket).finished_at == math.inf
    assert board.settled(1.25, ticket).finished_at == 1.25
    late = board.poll(1.25, ticket, 2)
    told = answered(board, early)
    assert (told.at, told.job, told.hint) == (1.5, ("pending", 0.75, None), 1)
    told = answered(board, late)
    assert (told.at, told.job) == (2.0, ("completed", 1.0, 0.75))
    assert board.counters().busy_seconds == 1.5


@pytest.mark.parametrize(("age", "job"), [(0.75, ("pending", 0.75, None)), (0.25, ("completed", 1.0, 0.5))])
def test_a_stale_read_of_a_job_that_shares_the_workers_is_as_old_as_it_says(age: float, job: Any) -> None:
    """The job ends at 1, nobody having slowed it; a poll is served at 1.5, and tells of 0.75 or of 1.25."""
    faults = [{"fault": "STALE_READ", "rate": 1, "age": age}]
    board = Board(simulation("ps", service={"faults": faults}))
    ticket, _ = board.submit(0.0, 7)
    reply = answered(board, board.poll(1.25, ticket, 1))
    assert (reply.at, reply.job) == (1.5, job)


def test_jobs_that_ended_long_ago_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded: of three jobs that have ended the latest two are known, the first is not found."""
    monkeypatch.setattr(server._shared_jobs, "REMEMBERED", 2)
    board = Board(simulation("ps"))
    tickets = [board.submit(float(5 * key), key)[0] for key in range(3)]
    forgotten = board.poll(20.0, tickets[0], 1)
    assert isinstance(forgotten, Reply)
    assert (forgotten.at, forgotten.status_code) == (20.0, 404)
    assert all(isinstance(board.poll(20.0, ticket, 1), InService) for ticket in tickets[1:])
    assert board.settled(20.0, tickets[0]).finished_at == math.inf


def test_a_reset_forgets_jobs_whose_ends_were_open() -> None:
    """The workers are free again, a request in service is let go, and the jobs of before are not found."""
    board = Board(simulation("ps"))
    ticket, _ = board.submit(0.0, 1)
    request = board.poll(0.5, ticket, 1)
    board.reset(0.5)
    assert board.next_departure == math.inf
    after = board.poll(0.5, ticket, 2)
    assert isinstance(after, Reply)
    assert after.status_code == 404
    assert answered(board, request).job == ("pending", 0.5, None)


def test_an_id_says_that_an_end_is_open() -> None:
    """A ticket without an end survives being sealed, so that the board knows it again."""
    ticket, _ = Board(simulation("ps")).submit(0.25, 7)
    assert unseal(seal(ticket, b"secret"), b"secret") == ticket


def test_the_truth_about_an_open_job_has_no_end() -> None:
    """Ground truth is null until the end is settled, and its moment from then on."""
    now = [0.0]
    app = create_app(simulation("ps"), clock=lambda: now[0], wall_clock=lambda: now[0])
    simulator = app.extensions["simulator"]
    job_id, _, _ = simulator.submit(7)
    headers = {"Authorization": f"Bearer {app.config['ADMIN_TOKEN']}"}

    def truth() -> tuple[float | None, float | None]:
        told = app.test_client().get(f"/admin/jobs/{job_id}", headers=headers).get_json()
        return told["finished_at"], told["duration"]

    assert truth() == (None, None)
    now[0] = 3.0
    assert truth() == (1.0, 1.0)


# --- closed forms ---------------------------------------------------------------------------------------


def play(made: Any) -> tuple[Any, list[PollRow]]:
    polls: list[PollRow] = []
    part = EventVisit(made, "only", 0, Overhead(), on_poll=polls.append).run()
    return part, polls


def batched(values: Floats) -> pl.Series:
    """Means of batches of 500."""
    return pl.Series(values[: values.size // 500 * 500].reshape(-1, 500).mean(axis=1))


EXPONENTIAL = {"type": "exponential"}
LATER = 100.0
"""So long after its submission every job is polled, once: by then nobody is left whom it met."""


def both_classes(
    discipline: str, job: Any, poll: Any, rate: float, workers: int = 1, jobs: int = 12_000
) -> tuple[pl.Series, pl.Series]:
    """Sojourns of jobs and of polls, while both come as Poisson processes of this rate."""
    made = scenario(
        every(LATER, request_timeout=1e6),
        duration=job,
        service={
            "capacity": {"workers": workers, "service_time": poll, "discipline": discipline, "shared": True}
        },
        arrivals={"type": "poisson", "rate": rate},
        jobs=jobs,
    )
    part, polls = play(made)
    assert (part.jobs.polls == 1).all()
    finished = part.jobs.detected_at - part.jobs.lag
    alone = int(rate * LATER) + 500  # jobs before the first poll, and polls after the last job
    spent = np.array([each.latency_s for each in polls])
    return batched((finished - part.jobs.submitted_at)[alone:]), batched(spent[500:-alone])


@pytest.mark.parametrize(
    ("law", "wait"), [("exponential", 0.5 * 0.1 / 0.5), ("fixed", 0.5 * 0.1 / (2 * 0.5))]
)
def test_jobs_that_cost_no_polls_wait_as_in_m_m_1_and_m_d_1(law: str, wait: float) -> None:
    """Polls that take no time leave the jobs a queue of their own: Pollaczek and Khinchine's wait."""
    jobs, polls = both_classes("fifo", LAWS[law], 0, 5.0)
    assert_mean(jobs, 0.1 + wait)
    assert_mean(polls, wait)  # a poll finds the same line


def test_jobs_on_several_workers_wait_as_in_m_m_c() -> None:
    """Erlang's wait, with nothing but jobs to do."""
    jobs, _ = both_classes("fifo", LAWS["exponential"], 0, 18.0, workers=3)
    assert_mean(jobs, erlang_sojourn(1.8, 0.1, 3))


def test_in_line_jobs_and_polls_wait_as_in_one_queue_of_two_classes() -> None:
    """Pollaczek and Khinchine for the mixture: both wait lambda E[S^2] / (2 (1 - rho)), whoever they are."""
    rate, job, poll = 2.0, 0.2, 0.05
    jobs, polls = both_classes("fifo", {**EXPONENTIAL, "mean": job}, poll, rate)
    wait = rate * (2 * job**2 + poll**2) / (2 * (1 - rate * (job + poll)))
    assert_mean(jobs, wait + job)
    assert_mean(polls, wait + poll)


def test_under_sharing_each_class_takes_its_own_work_over_what_is_left() -> None:
    """M/G/1-PS of two classes: E[S] / (1 - rho) for each, rho being the load of both."""
    rate, job, poll = 2.0, 0.2, 0.05
    jobs, polls = both_classes("ps", {**EXPONENTIAL, "mean": job}, poll, rate)
    assert_mean(jobs, job / (1 - rate * (job + poll)))
    assert_mean(polls, poll / (1 - rate * (job + poll)))


# --- around it ------------------------------------------------------------------------------------------

TEXT = """\
name: made-up
job: {duration: 2s}
service:
  capacity: {workers: 2, service_time: 20ms, discipline: ps, shared: true}
workload: {lanes: 2, arrivals: {type: constant, rate: 1}, jobs: 4}
settings:
  constant-1s: {curve: constant, initial: 1s}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "made-up.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_slots_beside_shared_workers_are_refused_with_the_reason(tmp_path: Path) -> None:
    """The workers are the limit already; both would leave it open which one a job waits for first."""
    with pytest.raises(DocumentError) as caught:
        load_scenario(written(tmp_path, TEXT.replace("duration: 2s", "duration: 2s, slots: 3")))
    assert [(each.line, each.path) for each in caught.value.diagnostics] == [(2, "job.slots")]
    assert "the workers that polls and jobs share are the limit" in str(caught.value)


def test_check_tells_who_shares_the_workers_and_how_busy_they_are(tmp_path: Path) -> None:
    """2 s of work each second are all that two workers can do, even before anybody polls."""
    made = load_scenario(written(tmp_path, TEXT))
    lines = describe(made, visit_costs(made))
    assert any(
        "2 workers divided among all in service, each request taking one for fixed, 20 ms; "
        "jobs are work for them too" in line
        for line in lines
    )
    # 8 s of jobs and 10 polls of 20 ms in 6.05 s of two workers
    assert any("about 2.5 polls per job, 1.65 polls/s over 6 s, workers 68% busy" in line for line in lines)
    assert any("the jobs alone are 100% of what the workers can do" in line for line in lines)


def test_the_twin_takes_such_a_scenario_event_by_event() -> None:
    """Arrays cannot know what jobs and polls do to each other."""
    capacity = {"workers": 1, "service_time": 0.01, "discipline": "fifo", "shared": True}
    choice = choose_engine(scenario(every(1.0), service={"capacity": capacity}))
    assert choice == ("event", "event by event, for polls wait for the service's workers")


def test_asking_more_often_finds_jobs_later_where_polls_are_work() -> None:
    """A queue of jobs at half load: polls each 50 ms see ends sooner and yet cost every job more time."""
    made = scenario(
        {"eager": every(0.05), "calm": every(1.0)},
        duration={"type": "exponential", "mean": 2.0},
        service={
            "capacity": {"workers": 4, "service_time": "20ms", "discipline": "ps", "shared": True},
        },
        arrivals={"type": "poisson", "rate": 1.2},
        jobs=200,
    )
    mean = (
        simulate(made)
        .run.jobs.group_by("setting")
        .agg(pl.col("completion_latency_s").mean(), pl.col("detection_lag_s").mean())
    )
    latency = dict(zip(mean["setting"].to_list(), mean["completion_latency_s"].to_list(), strict=True))
    lag = dict(zip(mean["setting"].to_list(), mean["detection_lag_s"].to_list(), strict=True))
    assert lag["eager"] < lag["calm"] / 5
    assert latency["eager"] > latency["calm"]
