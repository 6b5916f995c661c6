"""Workers that are divided or shared with jobs, on real sockets, on each host.

A busy machine makes everything later, so nothing here must be soon: each test holds a time from below that
only the discipline in question explains.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from host_parts import COMMANDS, PATIENCE, Service, hosted


@pytest.fixture(scope="module", params=COMMANDS)
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    with hosted(request.param) as service:
        yield service


def asked(service: Service, method: str, path: str) -> dict[str, Any]:
    """Make one request; return the JSON in the reply."""
    with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)) as connection:
        connection.request(method, path)
        told: dict[str, Any] = json.loads(connection.getresponse().read())
    return told


def capacity(service_time: str, discipline: str, *, shared: bool) -> dict[str, Any]:
    return {"workers": 1, "service_time": service_time, "discipline": discipline, "shared": shared}


def test_requests_that_divide_a_worker_are_all_slow(service: Service) -> None:
    """Three of 0.4 s that come together take 1.2 s each; in line the first would be served after 0.4 s."""
    service.serve(capacity=capacity("400ms", "ps", shared=False))
    begun, ended = time.monotonic(), list[float]()

    def ask() -> None:
        asked(service, "GET", "/status")
        ended.append(time.monotonic() - begun)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert max(ended) >= 1.2
    assert min(ended) > 0.6  # unless the second took 0.2 s to start
    assert service.counts() == {"200": 3}
    assert service.admin("GET", "/admin/counters")["busy_seconds"] == pytest.approx(1.2)


def test_in_line_a_poll_waits_for_the_job_before_it(service: Service) -> None:
    """A job of 0.5 s occupies the only worker: its first poll, sent at once, finds it done for 0.05 s."""
    service.serve(job={"duration": "500ms"}, capacity=capacity("50ms", "fifo", shared=True))
    begun = time.monotonic()
    job = asked(service, "POST", "/jobs")["id"]
    told = asked(service, "GET", f"/jobs/{job}")
    assert time.monotonic() - begun >= 0.55
    assert told["status"] == "completed"
    assert told["finished_ago"] >= 0.05
    assert service.admin("GET", "/admin/counters")["busy_seconds"] == pytest.approx(0.55)


def test_a_poll_slows_the_job_with_which_it_divides_a_worker(service: Service) -> None:
    """A job of 0.3 s and a poll of 0.3 s take 0.6 s together: alone the job would have ended after 0.3 s."""
    service.serve(job={"duration": "300ms"}, capacity=capacity("300ms", "ps", shared=True))
    begun = time.monotonic()
    job = asked(service, "POST", "/jobs")["id"]
    assert service.admin("GET", f"/admin/jobs/{job}")["finished_at"] is None
    told = asked(service, "GET", f"/jobs/{job}")
    assert time.monotonic() - begun >= 0.6
    assert told["status"] == "completed"
    truth = service.admin("GET", f"/admin/jobs/{job}")
    assert truth["duration"] > 0.35  # unless the poll came in the last moments of the job
    assert service.counts() == {"200": 1}
