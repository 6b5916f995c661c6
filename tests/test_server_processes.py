"""Several processes of the simulator: they answer alike, count together, and lose no job with one."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from host_parts import HERE, PATIENCE, TOKEN, Service, hosted
from prometheus_client.parser import text_string_to_metric_families

from harness.live._process import SimulatorProcess
from scenarios import Simulation, load_config, load_scenario
from scenarios.documents import DocumentError
from server import _command as command
from server._serve import open_listeners
from server._tally import Served, Tally

pytestmark = pytest.mark.skipif(
    not hasattr(socket, "SO_REUSEPORT") or not hasattr(os, "fork"), reason="needs fork and SO_REUSEPORT"
)
AUTH = {"Authorization": f"Bearer {TOKEN}"}
SHIPPED = sorted(path.stem for path in (HERE.parent / "scenarios").glob("*.yaml"))


@pytest.fixture
def service() -> Iterator[Service]:
    with hosted("fast", "--processes", "2", "--duration", "1h") as service:
        yield service


class Line:
    """A kept connection, so that all its requests meet the same process."""

    def __init__(self, service: Service) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)
        self.pid = self._pid(service)

    def ask(self, method: str, path: str, document: Any = None, headers: dict[str, str] = AUTH) -> Any:
        body = None if document is None else json.dumps(document)
        self._connection.request(method, path, body, {**headers, "Content-Type": "application/json"})
        reply = self._connection.getresponse()
        text = reply.read()
        assert reply.status < 300, text
        return json.loads(text) if text else None

    def _pid(self, service: Service) -> int:
        """The process that has this connection."""
        self._connection.connect()
        mine = self._connection.sock.getsockname()
        while True:  # until it has been accepted
            for child in psutil.Process(service.pid).children():
                with suppress(psutil.NoSuchProcess):  # it has just been killed
                    if any(each.raddr == mine for each in child.net_connections("tcp")):
                        return int(child.pid)

    def close(self) -> None:
        self._connection.close()


def both(service: Service) -> list[Line]:
    """A connection to each of the two processes."""
    lines: dict[int, Line] = {}
    while len(lines) < 2:
        line = Line(service)
        if lines.setdefault(line.pid, line) is not line:
            line.close()
    return list(lines.values())


def test_what_one_is_told_all_do(service: Service) -> None:
    """Jobs, counts, resets, scenarios and languages: it does not matter which process is asked."""
    one, other = both(service)
    job = one.ask("POST", "/jobs", {"key": 7})["id"]
    assert other.ask("GET", f"/jobs/{job}")["status"] == "pending"
    assert one.ask("GET", "/status")["id"] == other.ask("GET", "/status")["id"]
    assert other.ask("GET", f"/admin/jobs/{job}")["key"] == 7
    for line in (one, other):
        counted = line.ask("GET", "/admin/counters")
        assert counted.pop("cpu_seconds") >= 0
        assert counted == {
            "submissions": 1,
            "polls": 3,
            "replies": {"200": 3},
            "busy_seconds": 0.0,
            "in_flight": 0,
            "processes": 2,
        }
    metrics = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)
    with closing(metrics):
        metrics.request("GET", "/metrics")
        text = metrics.getresponse().read().decode()
    samples = {
        each.name: each.value for family in text_string_to_metric_families(text) for each in family.samples
    }
    assert samples["simulator_status_requests_total"] == 3
    one.ask("POST", "/admin/reset", {})
    assert other.ask("GET", "/admin/counters")["polls"] == 0
    assert one.ask("GET", "/status")["id"] == other.ask("GET", "/status")["id"]
    other.ask("PUT", "/admin/scenario", {"job": {"duration": "1h"}, "service": {"dialect": "azure"}})
    assert one.ask("GET", f"/operations/{job}")["status"] == "Running"
    assert one.ask("GET", "/healthz")["simulation"] == other.ask("GET", "/healthz")["simulation"]
    assert other.ask("GET", "/admin/counters")["polls"] == 1


def test_jobs_without_a_key_are_all_different(service: Service) -> None:
    """Processes number what comes without a number each in its own way."""
    lines = both(service)
    jobs = [line.ask("POST", "/jobs")["id"] for line in lines * 3]
    keys = {lines[0].ask("GET", f"/admin/jobs/{job}")["key"] for job in jobs}
    assert keys == {1, 2, 3, 4, 5, 6}


def test_killing_one_loses_no_job(service: Service) -> None:
    """Kill -9: another takes its place and knows the job; the counts of the killed one stay."""
    one, other = both(service)
    job = one.ask("POST", "/jobs", {"key": 7})["id"]
    one.ask("GET", f"/jobs/{job}")
    os.kill(one.pid, signal.SIGKILL)
    assert other.ask("GET", f"/jobs/{job}")["status"] == "pending"
    one.close()
    again = both(service)
    assert one.pid not in {line.pid for line in again}
    for line in again:
        assert line.ask("GET", f"/jobs/{job}")["status"] == "pending"
    counted = other.ask("GET", "/admin/counters")
    assert (counted["submissions"], counted["polls"], counted["replies"]) == (1, 4, {"200": 4})


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "SIGKILL", "the end of standard input"])
def test_none_outlives_the_first_process(how: str) -> None:
    """However it ends, its processes end with it; where it can say so, with status 0."""
    with hosted("fast", "--processes", "2") as service:
        children = [psutil.Process(line.pid) for line in both(service)]
        if how.startswith("SIG"):
            os.kill(service.pid, getattr(signal, how))
        else:
            service.stdin.close()
        _, alive = psutil.wait_procs(children, timeout=PATIENCE)
        assert alive == []
        assert service.wait() == (-signal.SIGKILL if how == "SIGKILL" else 0)


LIVE = """\
name: two
question: Do the counts of two processes add up?
job: {duration: {type: uniform, lower: 500ms, upper: 2s}, error_rate: 0.1}
service:
  delay: {type: uniform, lower: 5ms, upper: 15ms}
  faults: [{status: 503, rate: 0.05, retry_after: 1s}, {fault: CONNECTION_RESET_BY_PEER, rate: 0.02}]
workload: {lanes: 6, arrivals: {type: constant, rate: 20}, duration: 3s}
settings: {constant: {curve: constant, initial: 300ms, deadline: 10s}}
"""
SHARED = """\
name: shared
job:
  duration: 1s
  slots: 3
service:
  rate_limit: {rate: 1, burst: 1}
  capacity: {workers: 1, service_time: 1ms}
"""


def test_shared_state_is_refused_with_the_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each key with its line, and exit status 2; a swapped scenario is refused alike."""
    file = tmp_path / "shared.yaml"
    file.write_text(SHARED)
    assert command.main(["--scenario", str(file), "--processes", "2", "--port", "0"]) == 2
    remedy = "leave it away, or serve it by one process (simulator.processes in config.yaml, --processes)"
    assert capsys.readouterr().err.splitlines() == [
        f"{file}:4: job.slots: all jobs wait in one line for their slots; {remedy}",
        f"{file}:6: service.rate_limit: the limit counts the requests to all processes; {remedy}",
        f"{file}:7: service.capacity: all requests wait for the same workers; {remedy}",
    ]


def test_the_harness_refuses_it_before_anything_starts(tmp_path: Path) -> None:
    """With the same words, and exit status 2."""
    (tmp_path / "config.yaml").write_text("scenario: rate-limited\nsimulator: {port: 0, processes: 2}\n")
    done = subprocess.run(
        [sys.executable, "-m", "harness", "run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )
    assert done.returncode == 2
    assert "service.rate_limit: the limit counts the requests to all processes" in done.stderr


def test_a_swapped_scenario_with_shared_state_is_refused(service: Service) -> None:
    """422 with the reason; the scenario of before goes on."""
    with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)) as connection:
        body = json.dumps({"job": {"duration": 1, "slots": 1}})
        connection.request("PUT", "/admin/scenario", body, {**AUTH, "Content-Type": "application/json"})
        reply = connection.getresponse()
        assert reply.status == 422
        assert json.loads(reply.read())["problems"][0].startswith("job.slots: all jobs wait in one line")


def test_swapped_recorded_times_are_refused(service: Service, tmp_path: Path) -> None:
    """Each process would have to read the file, which another may meanwhile have changed."""
    (tmp_path / "t.csv").write_text("s\n1\n2\n")
    with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)) as connection:
        body = json.dumps({"job": {"duration": {"type": "trace", "file": str(tmp_path / "t.csv")}}})
        connection.request("PUT", "/admin/scenario", body, {**AUTH, "Content-Type": "application/json"})
        reply = connection.getresponse()
        assert reply.status == 422
        assert json.loads(reply.read())["problems"][0].startswith("job.duration: its times are in a file")


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_announced_is_what_is_served(name: str) -> None:
    """Another simulation reaches the others whole, and the first one again as itself."""
    first = Simulation.model_validate({"job": {"duration": 1}})
    other = load_scenario(HERE.parent / "scenarios" / f"{name}.yaml").simulation
    tally = Tally(2, Served(first, 0.1, 0.2))
    assert tally.served()[1].simulation is first
    tally.announce(Served(other, 1 / 3, 2 / 3))
    assert tally.served() == (2, Served(other, 1 / 3, 2 / 3))
    tally.announce(Served(first, 1.0, 1.0))
    assert tally.served()[1].simulation is first


def test_what_shares_nothing_may_be_served_by_many() -> None:
    """Delays, faults, outages and dialects are functions of the request and the clock."""
    service = {
        "delay": 1,
        "faults": [{"status": 503, "rate": 0.1}],
        "outages": [{"start": 1, "length": 1}],
        "dialect": "azure",
        "visible_after": 1,
        "retry_after": "eta",
    }
    simulation = Simulation.model_validate({"job": {"duration": 1, "error_rate": 0.1}, "service": service})
    assert [*simulation.shared_state()] == []


def test_a_port_in_use_is_found_out_though_it_could_be_shared() -> None:
    """Two simulators that both share their port would otherwise take each other's requests."""
    first = open_listeners("127.0.0.1", 0, 2)
    port = first[0].getsockname()[1]
    assert {each.getsockname()[1] for each in first} == {port}
    for number in (1, 2):
        with pytest.raises(Exception, match=f"port {port} of 127.0.0.1 is in use"):
            open_listeners("127.0.0.1", port, number)
    for each in first:
        each.close()


def test_config_yaml_says_how_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """simulator.processes, from 1 to 64; the command line comes first."""
    file = tmp_path / "config.yaml"
    file.write_text("scenario: outage\nsimulator: {processes: 3}\n")
    assert load_config(file).simulator.processes == 3
    file.write_text("scenario: outage\nsimulator: {processes: 0}\n")
    with pytest.raises(DocumentError, match="processes"):
        load_config(file)
    assert command.main(["--processes", "0"]) == 2
    assert "not a whole number from 1 to 64" in capsys.readouterr().err


def test_the_harness_starts_as_many_as_it_is_told(tmp_path: Path) -> None:
    """Its simulator has so many processes, and says how many share the processor time that it counts."""
    file = tmp_path / "free.yaml"
    file.write_text("name: free\njob: {duration: 1s}\n")
    simulator = SimulatorProcess.start(file, "127.0.0.1", 0, processes=2)
    try:
        assert simulator.counters()["processes"] == 2
    finally:
        simulator.stop()


@pytest.mark.slow
def test_the_counts_of_all_processes_are_those_of_the_clients(tmp_path: Path) -> None:
    """A live run against two processes, with faults and resets: every poll was counted once."""
    (tmp_path / "config.yaml").write_text("scenario: two.yaml\nsimulator: {port: 0, processes: 2}\n")
    (tmp_path / "two.yaml").write_text(LIVE)
    done = subprocess.run(
        [sys.executable, "-m", "harness", "run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )
    assert done.returncode in (0, 1), done.stderr  # 1: the machine was too slow to trust the timing
    (results,) = (tmp_path / "reports").glob("*/results.json")
    trust = {each["check"]: each["status"] for each in json.loads(results.read_text())["trust"]}
    assert trust["polls counted alike"] == trust["jobs conserved"] == "pass"


def test_a_process_that_fails_ends_the_simulator() -> None:
    """A process that fails for a reason of its own would fail again: the simulator stops with status 1."""
    code = """
import sys
from server import _processes
from server._serve import open_listeners
from server._tally import Served, Tally
from server.app import create_app
def fail(*_, **__): sys.exit(3)
_processes.serve = fail
sys.exit(_processes.serve_by_processes(
    create_app(), open_listeners("127.0.0.1", 0, 2), ready=lambda: None, exit_with_parent=False))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=HERE.parent, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 1
    assert "ended with exit status 1" in done.stderr
