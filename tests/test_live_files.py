"""Open files and ports: raised before the start, or named with what the scenario needs and the remedy."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from harness._refusal import UNUSABLE, Refusal
from harness.live import _files
from harness.live._files import check_files, check_ports, most_connections, most_in_flight, ports_there_are
from scenarios import Scenario, load_scenario

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The soft and the hard limit of open files, which the code reads and sets, in this list."""
    held = [1024, 4096]

    def change(_which: int, wanted: tuple[int, int]) -> None:
        held[:] = wanted

    monkeypatch.setattr(_files.resource, "getrlimit", lambda _which: tuple(held))
    monkeypatch.setattr(_files.resource, "setrlimit", change)
    return held


def scenario(tmp_path: Path, workload: str, job: str = "duration: 12s") -> Scenario:
    path = tmp_path / "s.yaml"
    path.write_text(
        f"name: many\nseed: 3\njob: {{{job}}}\nworkload: {{lanes: 5, {workload}}}\n"
        "settings: {a: {curve: constant, initial: 1s}}\n"
    )
    return load_scenario(path)


def test_the_soft_limit_is_raised_to_the_hard_one(tmp_path: Path, limits: list[int]) -> None:
    """Whoever may raise it does, unasked, and nothing is said."""
    burst = scenario(tmp_path, "arrivals: {type: burst, size: 3000}, jobs: 3000")
    assert list(check_files(burst)) == []
    assert limits == [4096, 4096]
    assert most_connections() == 4096 - 200


def test_too_few_files_for_all_jobs_are_named_before_the_start(tmp_path: Path, limits: list[int]) -> None:
    """The line tells what there is, what the scenario may need and how it is raised."""
    limits[:] = [500, 500]
    (line,) = check_files(scenario(tmp_path, "arrivals: {type: burst, size: 400}, jobs: 400"))
    assert "500 files open" in line
    assert "300 requests" in line
    assert "up to 400 jobs in flight" in line
    assert "ulimit -n 600" in line
    limits[:] = [500, 500]
    assert not list(check_files(scenario(tmp_path, "arrivals: {type: burst, size: 400}, jobs: 400"), 2))


def test_a_machine_on_which_no_run_is_possible_is_refused(tmp_path: Path, limits: list[int]) -> None:
    """Before anything is started."""
    limits[:] = [100, 100]
    with pytest.raises(Refusal, match="ulimit -n 600") as refused:
        list(check_files(scenario(tmp_path, "arrivals: {type: burst, size: 400}, jobs: 400")))
    assert refused.value.status == UNUSABLE


@pytest.mark.parametrize(
    ("workload", "job", "most"),
    [
        ("arrivals: {type: constant, rate: 10}, jobs: 100", "duration: 2s", 21),  # ends meet beginnings
        ("arrivals: {type: constant, rate: 10}, jobs: 15", "duration: 2s", 15),
        ("arrivals: {type: burst, size: 30}, jobs: 30", "duration: 1s", 30),
        ("arrivals: {type: closed}, jobs: 60", "duration: 1s", 5),
        ("arrivals: {type: constant, rate: 10}, jobs: 100", "duration: 10ms, slots: 1", 100),
    ],
)
def test_jobs_in_flight_at_once_are_counted_by_the_plan(
    tmp_path: Path, workload: str, job: str, most: int
) -> None:
    """Those whose submissions have come and whose ends have not; a closed loop has its lanes."""
    assert most_in_flight(scenario(tmp_path, workload, job)) == pytest.approx(most, abs=1)


def test_a_count_by_hand_agrees(tmp_path: Path) -> None:
    """Random arrivals and durations: at each submission, those that have begun and not ended."""
    given = scenario(
        tmp_path, "arrivals: {type: poisson, rate: 20}, jobs: 300", "duration: {type: exponential, mean: 3s}"
    )
    jobs = [(each.at, each.at + given.duration(each.key)) for each in given.planned(0)]
    assert most_in_flight(given) == max(sum(begin <= now < end for begin, end in jobs) for now, _ in jobs)


def test_too_few_ports_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each connection takes one of the system's ephemeral ports."""
    ports = tmp_path / "ports"
    monkeypatch.setattr(_files, "_PORTS", ports)
    burst = scenario(tmp_path, "arrivals: {type: burst, size: 400}, jobs: 400")
    assert list(check_ports(burst)) == []  # nobody knows how many there are
    ports.write_text("40000\t40099\n")
    assert ports_there_are() == 100
    (line,) = check_ports(burst)
    assert "100 ports" in line
    assert "ip_local_port_range" in line
    ports.write_text("32768\t60999\n")
    assert list(check_ports(burst)) == []


def test_a_run_with_too_few_files_ends_at_once_and_says_why(tmp_path: Path) -> None:
    """`ulimit -n 100`: one line with the remedy, status 2, and no folder."""
    command = [sys.executable, "-m", "harness", "run", "thundering-herd", "--port", "0"]
    done = subprocess.run(
        [*command, "--reports", str(tmp_path / "reports")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)),
    )
    assert done.returncode == UNUSABLE, done.stderr
    assert "ulimit -n 500" in done.stderr
    assert not (tmp_path / "reports").exists()
