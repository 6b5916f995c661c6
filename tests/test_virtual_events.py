"""The event engine: timelines worked out by hand."""

from __future__ import annotations

import math

import pytest
from virtual_scenarios import SEED, every, scenario

from client import Backoff, ErrorPolicy, HintPolicy, PollingPolicy
from harness.measure import OUTCOMES, PollRow
from harness.virtual import EventVisit, Overhead, Part
from scenarios import Scenario
from scenarios.draws import uniform

RETRY_IN_1 = ErrorPolicy(Backoff("constant", 1.0))


def play(made: Scenario, overhead: Overhead | None = None) -> tuple[Part, list[PollRow]]:
    """The visit's records and every poll."""
    polls: list[PollRow] = []
    return EventVisit(made, "only", 0, overhead or Overhead(), on_poll=polls.append).run(), polls


def sent(polls: list[PollRow], key: int = 0) -> list[float]:
    return [poll.sent_at_s for poll in polls if poll.key == key]


def outcome(part: Part, job: int = 0) -> str:
    return OUTCOMES[part.jobs.outcome[job]]


def test_a_constant_cadence_polls_at_each_interval_until_the_job_is_done() -> None:
    """A job of 4 s polled each 1.5 s is found at 4.5 s, half a second late, by the third poll."""
    part, polls = play(scenario(every(1.5)))
    assert sent(polls) == [1.5, 3.0, 4.5]
    assert (part.jobs.detected_at[0], part.jobs.lag[0]) == (4.5, 0.5)
    assert (part.jobs.polls[0], part.jobs.wasted[0], outcome(part)) == (3, 2, "completed")
    assert part.replies == {"200": 3}


def test_a_poll_in_the_very_moment_of_the_end_finds_the_job_done() -> None:
    """Done is done: with a finish at 4 s, the poll at 4 s is the last."""
    part, polls = play(scenario(every(1.0)))
    assert sent(polls) == [1.0, 2.0, 3.0, 4.0]
    assert part.jobs.lag[0] == 0.0


def test_waits_start_when_replies_arrive() -> None:
    """The service's delay of 250 ms sits between the polls, before the first wait, and in the status read."""
    part, polls = play(scenario(every(1.0), duration="2.4s", service={"delay": "250ms"}))
    assert sent(polls) == [1.25, 2.5]
    assert part.jobs.submitted_at[0] == 0.25
    assert part.jobs.detected_at[0] == 2.75
    assert part.jobs.lag[0] == pytest.approx(0.35, abs=1e-12)


def test_a_first_poll_may_come_immediately() -> None:
    """The first poll is sent when the submit reply arrives, and the waits follow it."""
    _, polls = play(scenario(every(3.0, first_poll="immediately")))
    assert sent(polls) == [0.0, 3.0, 6.0]


def test_jitter_draws_are_keyed_by_job_and_wait() -> None:
    """Wait n of a job is its keyed draw of the stream "jitter" under the ceiling."""
    policy = PollingPolicy(Backoff("exponential", 1.0, jitter="full"))
    _, polls = play(scenario(policy, duration="20s"))
    at, expected = 0.0, []
    for n in range(1, len(polls) + 1):
        at += 2.0 ** (n - 1) * uniform(SEED, "jitter", 0, n)
        expected.append(at)
    assert sent(polls) == pytest.approx(expected, abs=1e-12)


def test_draws_do_not_depend_on_how_many_are_made_ahead() -> None:
    """The seventeenth wait and all later ones are as keyed as the first."""
    policy = PollingPolicy(Backoff("constant", 1.0, jitter="full"))
    _, polls = play(scenario(policy, duration="20s"))
    assert len(polls) > 20
    waits = [b - a for a, b in zip([0.0, *sent(polls)], sent(polls), strict=False)]
    assert waits == pytest.approx([uniform(SEED, "jitter", 0, n) for n in range(1, len(polls) + 1)], abs=1e-9)


def test_the_last_poll_is_sent_at_the_deadline() -> None:
    """With 2.5 s to go and polls each second, the third one comes at the edge and ends it."""
    part, polls = play(scenario(every(1.0, deadline=2.5)))
    assert sent(polls) == [1.0, 2.0, 2.5]
    assert (outcome(part), part.jobs.ended_at[0]) == ("timeout", 2.5)
    assert math.isnan(part.jobs.detected_at[0])
    assert math.isnan(part.jobs.lag[0])


def test_a_job_that_ends_before_the_deadline_poll_is_completed() -> None:
    """The poll at the edge brings the end: that beats the timeout."""
    part, polls = play(scenario(every(3.0, deadline=5.0)))
    assert sent(polls) == [3.0, 5.0]
    assert outcome(part) == "completed"


def test_max_attempts_counts_pending_answers() -> None:
    """After two pending answers the client gives up."""
    part, polls = play(scenario(every(1.0, max_attempts=2)))
    assert sent(polls) == [1.0, 2.0]
    assert outcome(part) == "gave_up"


def test_polls_during_an_outage_fail_and_are_retried_by_the_error_policy() -> None:
    """From 1 to 3 s the service answers 503; the retries come each second, and the cadence takes up again."""
    policy = every(1.5, errors=RETRY_IN_1)
    outage = {"outages": [{"start": "1s", "length": "2s"}]}
    part, polls = play(scenario(policy, service=outage))
    assert sent(polls) == [1.5, 2.5, 3.5, 5.0]
    assert [poll.response for poll in polls] == ["503", "503", "200", "200"]
    assert part.replies == {"200": 2, "503": 2}
    assert (part.jobs.polls[0], part.jobs.wasted[0]) == (4, 1)


def test_more_failed_reads_in_a_row_than_allowed_give_up() -> None:
    """One retry is allowed; the second failure in a row ends it."""
    policy = every(1.0, errors=ErrorPolicy(Backoff("constant", 0.25), max_consecutive=1))
    part, polls = play(scenario(policy, service={"outages": [{"start": 0, "length": "9s"}]}))
    assert sent(polls) == [1.0, 1.25]
    assert outcome(part) == "gave_up"


def test_an_unmendable_failure_gives_up_at_once() -> None:
    """A 403 cannot be mended by asking again."""
    part, polls = play(scenario(every(1.0), service={"faults": [{"status": 403, "rate": 1.0}]}))
    assert sent(polls) == [1.0]
    assert outcome(part) == "gave_up"


def test_faults_are_keyed_by_job_and_poll() -> None:
    """Poll n of a job fails exactly when its draw of the stream "fault" is below the rate."""
    policy = every(1.0, errors=RETRY_IN_1)
    _, polls = play(scenario(policy, duration="30s", service={"faults": [{"status": 500, "rate": 0.4}]}))
    expected = ["500" if uniform(SEED, "fault", 0, n) < 0.4 else "200" for n in range(1, len(polls) + 1)]
    assert [poll.response for poll in polls] == expected
    assert {"200", "500"} == set(expected)


def test_a_reset_connection_is_a_transport_error() -> None:
    """The server counts a reset, the client a failed read without a code."""
    policy = every(1.0, errors=ErrorPolicy(Backoff("constant", 1.0), max_consecutive=1))
    made = scenario(policy, service={"faults": [{"fault": "CONNECTION_RESET_BY_PEER", "rate": 1.0}]})
    part, polls = play(made)
    assert [poll.response for poll in polls] == ["transport_error"] * 2
    assert part.replies == {"reset": 2}


def test_a_reply_after_the_request_timeout_is_a_transport_error_that_the_server_has_counted() -> None:
    """The client hears nothing after 0.5 s and retries a second later; the server has answered 200."""
    policy = every(1.0, request_timeout=0.5, errors=ErrorPolicy(Backoff("constant", 1.0), max_consecutive=2))
    part, polls = play(scenario(policy, service={"capacity": {"workers": 1, "service_time": "0.7s"}}))
    assert sent(polls) == [1.0, 2.5, 4.0]
    assert [poll.response for poll in polls] == ["transport_error"] * 3
    assert [poll.latency_s for poll in polls] == [0.5] * 3
    assert part.replies == {"200": 3}
    assert outcome(part) == "gave_up"


def test_a_submission_answered_too_late_leaves_no_row() -> None:
    """The client never learns the job's id, so nobody polls; the server has counted the submission."""
    part, polls = play(scenario(every(1.0, request_timeout=0.5), service={"delay": "1s"}))
    assert (part.jobs.size, polls, part.lost_submissions, part.submissions) == (0, [], 1, 1)
    assert part.ended_at == 0.5


def test_a_rate_limit_turns_polls_away_with_the_time_until_a_token() -> None:
    """Two jobs poll together each second, one token comes each 2 s: the loser waits for its hint."""
    policy = every(1.0, hints=HintPolicy(spread=0.0), errors=ErrorPolicy(Backoff("constant", 0.5)))
    made = scenario(
        policy,
        duration="1.5s",
        service={"rate_limit": {"rate": 0.5, "burst": 1}},
        arrivals={"type": "burst", "size": 2},
        jobs=2,
    )
    part, polls = play(made)
    # At 1 s job 0 takes the only token, job 1 is told 2 s. At 2 s job 0 is told 1 s. So both come back at
    # 3 s, when there is one token: job 1 gets it, for its poll was planned first.
    assert sent(polls, 1) == [1.0, 3.0]
    assert sent(polls, 0) == [1.0, 2.0, 3.0, 5.0]
    assert [poll.response for poll in polls if poll.key == 0] == ["200", "429", "429", "200"]
    assert part.jobs.polls.tolist() == [4, 2]


def test_jobs_wait_for_slots_first_come_first_served() -> None:
    """With one slot, three jobs of 2 s that arrive together finish at 2, 4 and 6 s."""
    made = scenario(every(0.5), duration="2s", slots=1, arrivals={"type": "burst", "size": 3}, jobs=3)
    part, _ = play(made)
    finished = (part.jobs.detected_at - part.jobs.lag).tolist()
    assert finished == [2.0, 4.0, 6.0]
    assert part.jobs.polls.tolist() == [4, 8, 12]
    assert part.jobs.duration.tolist() == [2.0, 2.0, 2.0]


def test_polls_wait_for_the_services_workers() -> None:
    """Three polls at 1 s meet one worker that takes 0.25 s each: their replies leave one after another."""
    made = scenario(
        every(1.0),
        duration="1.5s",
        service={"capacity": {"workers": 1, "service_time": "250ms"}},
        arrivals={"type": "burst", "size": 3},
        jobs=3,
    )
    part, polls = play(made)
    assert [poll.latency_s for poll in polls[:3]] == [0.25, 0.5, 0.75]
    # The second reply leaves in the very moment of its job's end, the first too early: it takes another poll.
    assert part.jobs.detected_at.tolist() == [2.5, 1.5, 1.75]
    assert part.jobs.polls.tolist() == [2, 1, 1]
    assert part.busy_seconds == 0.25 * 4


def test_an_eta_hint_lengthens_the_wait_to_the_end_of_the_job() -> None:
    """At 1 s the job has 3 s to go; told so, the client asks again at 4 s and not before."""
    _, polls = play(scenario(every(1.0, hints=HintPolicy(spread=0.0)), service={"retry_after": "eta"}))
    assert sent(polls) == [1.0, 4.0]


def test_a_closed_lane_submits_again_after_its_job_and_a_think_time() -> None:
    """A lane's next job is planned 1 s after the last was found done, under the lane's next key."""
    made = scenario(
        every(1.5),
        duration="2s",
        arrivals={"type": "closed", "think": "1s"},
        lanes=2,
        jobs=None,
        until=7.0,
    )
    part, _ = play(made)
    assert part.jobs.key.tolist() == [0, 1, 2, 3]
    assert part.jobs.lane.tolist() == [0, 1, 0, 1]
    assert part.jobs.planned_at.tolist() == [0.0, 0.0, 4.0, 4.0]
    assert part.ended_at == 7.0


def test_overhead_is_added_on_the_way_there_on_the_way_back_and_before_sending() -> None:
    """Every request is sent late, arrives later, and its reply is read later still."""
    part, polls = play(
        scenario(every(1.0), duration="1s"), Overhead(request_s=0.25, reply_s=0.5, wake_s=0.125)
    )
    assert (part.jobs.sent_at[0], part.jobs.submitted_at[0]) == (0.125, 0.875)
    assert [poll.planned_at_s for poll in polls] == [1.875]
    assert sent(polls) == [2.0]
    assert polls[0].latency_s == 0.75
    assert part.jobs.detected_at[0] == 2.75
    # The job began at 0.375, when its submission arrived; its status left at 2.25 and was read at 2.75.
    assert part.jobs.lag[0] == 2.75 - 1.375


@pytest.mark.parametrize("field", ["request_s", "reply_s", "wake_s"])
@pytest.mark.parametrize("value", [-1e-9, math.inf, math.nan])
def test_an_overhead_that_cannot_be_is_refused(field: str, value: float) -> None:
    """Time on the way is neither negative nor endless."""
    with pytest.raises(ValueError, match=field):
        Overhead(**{field: value})


def test_the_lag_of_a_job_that_shares_the_workers_lasts_until_its_reply_is_read() -> None:
    """Only replies know when such a job has finished; the lag agrees with them, and the way back is in it."""
    shared = {"capacity": {"workers": 2, "service_time": "250ms", "discipline": "ps", "shared": True}}
    made = scenario(every(2.0), duration="1s", service=shared)
    for reply_s in (0.0, 0.5):
        part, _ = play(made, Overhead(reply_s=reply_s))
        # Alone at first, it has finished after its 1 s of work; the poll after 2 s is served for 0.25 s.
        assert part.jobs.lag.tolist() == pytest.approx([reply_s + 2.0 + 0.25 + reply_s - 1.0])
