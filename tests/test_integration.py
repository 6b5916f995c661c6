"""The starting idea, kept: a client polls a live server until its job has ended."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from client import Backoff, DeadlineExceeded, GaveUp, JobFailed, PollingPolicy
from client.blocking import Attempt, VideoTranslationClient

EAGER = PollingPolicy(Backoff("exponential", 0.05, multiplier=1.5, maximum=0.2), deadline=20)


@contextmanager
def live_server(*arguments: str) -> Iterator[str]:
    """`python -m server` on a free port; yields its address."""
    command = [sys.executable, "-m", "server", "--port", "0", "--exit-with-parent", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    try:
        for line in process.stderr:
            if " on http://" in line:
                yield "http://" + line.split(" on http://")[1].split()[0]
                break
        else:
            pytest.fail("the server never said that it serves")
    finally:
        process.terminate()
        process.communicate(timeout=10)


def test_the_client_polls_the_live_server_until_completion() -> None:
    """Pending while the job runs, then completed; every attempt is shown; the lag is known."""
    attempts: list[Attempt] = []
    with live_server("--duration", "0.5") as url, VideoTranslationClient(url, EAGER) as client:
        submission = client.submit()
        result = client.wait_for_completion(
            submission.id, started_at=submission.replied_at, on_attempt=attempts.append
        )
    statuses = [attempt.status for attempt in attempts]
    assert statuses == ["pending"] * (len(statuses) - 1) + ["completed"]
    assert len(statuses) > 2
    assert result.outcome == "completed"
    assert result.finished_ago is not None
    assert 0 <= result.finished_ago <= 0.2 + 0.1  # at most one wait, and some room for a slow machine
    assert result.elapsed >= 0.5 - 0.05


def test_the_implicit_job_of_status_starts_with_the_server() -> None:
    """`GET /status` tells the status of one job that nobody submitted."""
    with live_server("--duration", "0.3") as url, VideoTranslationClient(url, EAGER) as client:
        assert client.wait_for_completion().outcome == "completed"


def test_a_job_that_ends_in_error_is_told_as_such() -> None:
    """The job's failure is the job's fault, and carries how it was found out."""
    with live_server("--duration", "0.2", "--error-rate", "1") as url:
        with VideoTranslationClient(url, EAGER) as client, pytest.raises(JobFailed) as failed:
            client.wait_for_completion(client.submit().id)
        assert failed.value.result.status == "error"


def test_the_client_stops_when_its_attempts_are_used_up_or_its_deadline_passes() -> None:
    """A job that takes too long ends the polling, not the other way round."""
    few = PollingPolicy(Backoff("constant", 0.02), max_attempts=3)
    brief = PollingPolicy(Backoff("constant", 0.05), deadline=0.12)
    with live_server("--duration", "60") as url, VideoTranslationClient(url) as client:
        job = client.submit().id
        with pytest.raises(GaveUp) as gave_up:
            client.wait_for_completion(job, policy=few)
        assert gave_up.value.result.attempts == 3
        with pytest.raises(DeadlineExceeded) as exceeded:
            client.wait_for_completion(job, policy=brief)
        assert exceeded.value.result.elapsed >= 0.12


def test_the_command_shows_each_attempt_and_exits_0_on_completion() -> None:
    """`python -m client` is the demo: attempts, the final status, exit status 0."""
    with live_server("--duration", "0.3") as url:
        command = [sys.executable, "-m", "client", "--url", url, "--curve", "constant", "--initial", "0.1"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    assert "pending" in done.stdout
    assert "completed" in done.stdout.splitlines()[-1]
