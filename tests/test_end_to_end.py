"""The main job with real parts: a simulator process, real HTTP, real Locust, a real report."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil
import pytest
import requests
from click.testing import CliRunner

from harness._cli import main
from harness.measure import load_run
from harness.virtual import Overhead, simulate
from scenarios import load_scenario
from scenarios.draws import uniforms

ROOT = Path(__file__).resolve().parent.parent
LOCUST = [sys.executable, "-m", "locust", "-f", "harness", "--headless", "--skip-log-setup"]

SCENARIO = """\
# Is the short interval worth its polls?
name: short
question: Is the short interval worth its polls?
seed: 7
job:
  duration: {type: uniform, lower: 300ms, upper: 900ms}
  error_rate: 0.1
service:
  delay: {type: fixed, value: 5ms}
  faults: [{status: 503, rate: 0.05}, {fault: CONNECTION_RESET_BY_PEER, rate: 0.02}]
workload:
  lanes: 4
  arrivals: {type: poisson, rate: 10}
  duration: 2s
settings:
  quick: {curve: constant, initial: 100ms, on_error: {curve: constant, initial: 100ms}}
  slow: {curve: constant, initial: 500ms, on_error: {curve: constant, initial: 100ms}}
objectives: {lag_mean: 2s}
baseline: quick
"""
LONG_JOBS = SCENARIO.replace("lower: 300ms, upper: 900ms", "lower: 60s, upper: 90s")

PARITY = """\
# Does the twin foresee each job of a live run?
name: parity
question: Does the twin foresee each job of a live run?
seed: 11
job:
  duration: {type: uniform, lower: 500ms, upper: 4s}
  error_rate: 0.1
service:
  delay: {type: uniform, lower: 5ms, upper: 15ms}
  faults: [{status: 503, rate: 0.05, retry_after: 1s}, {fault: CONNECTION_RESET_BY_PEER, rate: 0.02}]
workload:
  lanes: 6
  arrivals: {type: constant, rate: 40}
  duration: 3s
settings:
  quick: {curve: constant, initial: 800ms, deadline: 3s}
  jittered: {curve: exponential, initial: 1s, multiplier: 1.5, maximum: 3s, jitter: equal}
  beats: {curve: constant, initial: 800ms, jitter: equal, anchor: start}
objectives: {lag_mean: 2s}
baseline: quick
"""
KEY = ["setting", "repeat", "key"]


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "short.yaml"
    path.write_text(SCENARIO)
    return path


def arguments(scenario: Path) -> list[str]:
    reports = scenario.parent / "reports"
    return ["--scenario", str(scenario), "--reports", str(reports), "--simulator-port", "0"]


def two_processes() -> list[str]:
    """Lanes in two processes, on a port of their own: Locust's fixed one would mix up two runs at once."""
    port = str(free_port())
    return ["--processes", "2", "--master-bind-port", port, "--master-port", port]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(
    command: list[str], env: dict[str, str] | None = None, stderr: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True, check=False, timeout=120, env=env
    )


def only_run(scenario: Path) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """The results and the job rows of the one run that was reported."""
    (folder,) = (scenario.parent / "reports").iterdir()
    assert (folder / "report.html").stat().st_size > 10_000
    with (folder / "jobs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return json.loads((folder / "results.json").read_text()), rows


def assert_every_job_is_accounted_for(results: dict[str, Any], rows: list[dict[str, str]]) -> None:
    for name, setting in results["settings"].items():
        jobs = dict(setting["jobs"])
        submitted = jobs.pop("submitted")
        assert submitted == sum(jobs.values()) == sum(row["setting"] == name for row in rows)
        assert setting["status_requests"]["total"] == sum(
            int(row["polls"]) for row in rows if row["setting"] == name
        )
        assert setting["status_requests"]["total"] == sum(setting["responses"].values())
    assert rows


# Whether the machine was quick enough is for the run to judge; these tests hold on a loaded one as well.
TIMING_CHECKS = {
    "poll overhead", "twin residual", "steady conditions",
    "poll lateness", "arrival lateness", "generator CPU", "server CPU",
}  # fmt: skip


def assert_trustworthy_but_for_timing(results: dict[str, Any]) -> None:
    """Every check that does not depend on the machine's speed passes, the reconciliation among them."""
    status = {check["check"]: check["status"] for check in results["trust"]}
    assert status["polls counted alike"] == "pass", results["trust"]
    assert {check for check, result in status.items() if result != "pass"} <= TIMING_CHECKS, results["trust"]


def expected_status(results: dict[str, Any]) -> int:
    """What the command must have exited with: 1 exactly if a check is invalid."""
    return int(any(check["status"] == "invalid" for check in results["trust"]))


def planned_jobs(rows: list[dict[str, str]]) -> set[tuple[str, ...]]:
    """What decides a job before it is polled: the same under every setting, however it is run."""
    return {(row["setting"], row["key"], row["lane"], row["planned_at_s"], row["duration_s"]) for row in rows}


def slowly(case: tuple[Any, ...]) -> Any:
    """The case as one that only ``make test-all`` runs."""
    return pytest.param(*case, marks=pytest.mark.slow)


def left_behind(scenario: Path) -> list[str]:
    """The command lines of processes that still work on the scenario."""
    lines = []
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or ())
        if str(scenario) in command:
            lines.append(command)
    return lines


@contextlib.contextmanager
def started(command: list[str], env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A process that is certainly gone afterwards."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # The tests may run under `nohup`, whose children ignore that a terminal was closed.
        preexec_fn=partial(signal.signal, signal.SIGHUP, signal.SIG_DFL),
        env=env,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for(condition: Any, what: str, timeout: float = 60) -> Any:
    """Wait for an event of another process; the time limit only ends a broken test."""
    give_up = time.monotonic() + timeout
    while time.monotonic() < give_up:
        if found := condition():
            return found
        time.sleep(0.05)
    pytest.fail(f"waited {timeout} s for {what}")


def simulator_of(locust: subprocess.Popen[str]) -> psutil.Process | None:
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(locust.pid).children(recursive=True):
            if "server" in child.cmdline():
                return child
    return None


def has_jobs(simulator: psutil.Process) -> bool:
    """Whether lanes are connected to the simulator, beside the harness itself: jobs are under way."""
    with contextlib.suppress(psutil.Error):
        connections = [each.status for each in simulator.net_connections()]
        return connections.count(psutil.CONN_ESTABLISHED) >= 3
    return False


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """`harness run` from its start to its end, and the scenario that it ran."""
    path = tmp_path_factory.mktemp("whole") / "parity.yaml"
    path.write_text(PARITY)
    port = ["--port", "0", "--reports", str(path.parent / "reports")]
    return run([sys.executable, "-m", "harness", "run", str(path), *port]), path


def test_make_runs_path_standalone(whole: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    """`harness run` measures every setting, reconciles with the server and names a setting."""
    done, scenario = whole
    results, rows = only_run(scenario)
    assert done.returncode == expected_status(results), done.stdout + done.stderr
    assert results["engine"] == "live"
    assert list(results["settings"]) == ["quick", "jittered", "beats"]
    assert_every_job_is_accounted_for(results, rows)
    assert_trustworthy_but_for_timing(results)
    withheld = expected_status(results) == 1
    assert (results["recommendation"]["setting"] is None) == withheld, results["recommendation"]
    assert done.stdout.splitlines()[-1].startswith("report: ")
    (server_cpu,) = (each["detail"] for each in results["trust"] if each["check"] == "server CPU")
    assert server_cpu.endswith("at its peak")  # its processes were looked at every second
    quick, jittered = results["settings"]["quick"], results["settings"]["jittered"]
    assert quick["polls_per_job"]["mean"] > jittered["polls_per_job"]["mean"]
    assert quick["detection_lag_s"]["mean"] < jittered["detection_lag_s"]["mean"]
    assert left_behind(scenario) == []


def measured_overhead(folder: Path) -> Overhead:
    """What this machine added to each poll: medians over the run's replies, halved between the two ways."""
    polls = pl.read_csv(folder / "polls.csv").filter(pl.col("response").cast(pl.String) != "transport_error")
    scenario = load_scenario(folder / "scenario.yaml")
    draws = uniforms(scenario.seed, "delay", polls["key"].to_numpy(), polls["attempt"].to_numpy())
    assert scenario.service.delay is not None
    way = float(np.median(polls["latency_s"].to_numpy() - scenario.service.delay.ppf(draws))) / 2
    late = float(np.median(polls["sent_at_s"] - polls["planned_at_s"]))
    return Overhead(request_s=max(way, 0.0), reply_s=max(way, 0.0), wake_s=max(late, 0.0))


def test_the_twin_foresees_each_job_of_a_live_run(
    whole: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    """Same jobs, equal outcomes for all, equal polls for at least 97 %, lags within the machine's noise."""
    (live,) = (whole[1].parent / "reports").iterdir()
    overhead = measured_overhead(live)
    twin = simulate(load_scenario(live / "scenario.yaml"), overhead=overhead).run
    real = load_run(live).jobs
    both = real.join(twin.jobs, on=KEY, suffix="_twin")
    assert len(both) == len(real) == len(twin.jobs) == 360
    assert np.allclose(both["planned_at_s"], both["planned_at_s_twin"], atol=1e-6)
    assert np.allclose(both["duration_s"], both["duration_s_twin"], atol=1e-6)

    # A job may finish within a moment of a poll; then a hair decides which poll finds it, or whether any does
    # before the deadline. No other difference is allowed.
    same_polls = both["polls"] == both["polls_twin"]
    assert same_polls.mean() >= 0.97, both.filter(~same_polls)
    assert (both["outcome"] == both["outcome_twin"]).all(), both.filter(
        pl.col("outcome") != pl.col("outcome_twin")
    )

    alike = both.filter(same_polls & both["detection_lag_s"].is_not_null())
    difference = (alike["detection_lag_s"] - alike["detection_lag_s_twin"]).abs()
    polls = pl.read_csv(live / "polls.csv")
    noise = float((polls["sent_at_s"] - polls["planned_at_s"]).max()) + 0.005
    assert difference.median() < 0.01
    assert difference.max() < alike["polls"].max() * noise


@pytest.mark.slow
def test_two_processes_run_the_same_jobs_as_one(scenario: Path, tmp_path: Path) -> None:
    """`--processes 2` spreads the lanes, not the experiment: same keys, lanes, arrivals and durations.

    Of a trace, too, though what reads it starts threads, which do not survive Locust's fork.
    """
    lines = [f'{{"took_ms": {300 + 7 * number}}}\n' for number in range(80)]
    (tmp_path / "t.jsonl").write_text("".join(lines))
    text = SCENARIO.replace(
        "{type: uniform, lower: 300ms, upper: 900ms}", f"{{type: trace, file: {tmp_path}/t.jsonl}}"
    )
    scenario.write_text(text)
    done = run([*LOCUST, *arguments(scenario), *two_processes()])
    results, rows = only_run(scenario)
    assert done.returncode == expected_status(results), done.stdout + done.stderr
    assert_every_job_is_accounted_for(results, rows)
    assert_trustworthy_but_for_timing(results)
    alone = tmp_path / "alone" / "short.yaml"
    alone.parent.mkdir()
    alone.write_text(text)
    with_log = [each for each in LOCUST if each != "--skip-log-setup"]
    done = run([*with_log, *arguments(alone), "quick"], stderr=subprocess.STDOUT)
    results_alone, rows_alone = only_run(alone)
    assert done.returncode == expected_status(results_alone), done.stdout
    locusts, ours = done.stdout.rfind("Aggregated"), done.stdout.find("short, live: 1 setting, ")
    assert 0 < locusts < ours  # Locust's own tables first, and last where the report is
    assert done.stdout.splitlines()[-1].startswith("report: ")
    assert list(results_alone["settings"]) == ["quick"]
    assert planned_jobs([row for row in rows if row["setting"] == "quick"]) == planned_jobs(rows_alone)


def test_a_worker_with_another_scenario_is_refused(scenario: Path, tmp_path: Path) -> None:
    """Master and workers in processes of their own; only workers with the master's scenario take part.

    Between them these run the very jobs of the plan, which one process would run.
    """
    other = tmp_path / "other.yaml"
    other.write_text(SCENARIO.replace("seed: 7", "seed: 8"))
    port = free_port()
    worker = [*LOCUST, "--worker", "--master-port", str(port)]
    master = [
        *LOCUST,
        *arguments(scenario),
        "--master",
        "--master-bind-port",
        str(port),
        "--expect-workers",
        "2",
    ]
    mine = [*worker, "--scenario", str(scenario)]
    with started(master) as leader, started(mine) as friend:
        with started([*worker, "--scenario", str(other)]) as stranger:
            _, said = stranger.communicate(timeout=60)
            assert stranger.returncode == 2
            assert len([line for line in said.splitlines() if "refused by the master" in line]) == 1, said
        with started(mine) as another:  # the run has waited for it
            output, errors = leader.communicate(timeout=90)
            for each in (friend, another):
                each.communicate(timeout=30)
                assert each.returncode == 0
    results, rows = only_run(scenario)
    assert leader.returncode == expected_status(results), output + errors
    assert_every_job_is_accounted_for(results, rows)
    assert_trustworthy_but_for_timing(results)
    planned = [(str(each.key), str(each.lane)) for each in load_scenario(scenario).planned(0)]
    run_by_them = sorted((row["setting"], row["key"], row["lane"]) for row in rows)
    assert run_by_them == sorted((name, *each) for name in results["settings"] for each in planned)


@pytest.mark.slow
def test_a_worker_that_joins_in_the_middle_changes_nothing(scenario: Path) -> None:
    """Locust moves its users about when a worker joins; the jobs under way stay where they are."""
    scenario.write_text(SCENARIO.replace("lower: 300ms, upper: 900ms", "lower: 3s, upper: 4s"))
    port = str(free_port())
    worker = [*LOCUST, "--worker", "--master-port", port, "--scenario", str(scenario)]
    master = [*LOCUST, *arguments(scenario), "--master", "--master-bind-port", port, "--expect-workers", "1"]
    with started(master) as leader, started(worker) as first:
        simulator = wait_for(lambda: simulator_of(leader), "the simulator")
        wait_for(lambda: has_jobs(simulator), "the first jobs")
        with started(worker) as second:
            output, errors = leader.communicate(timeout=90)
            second.communicate(timeout=30)
        first.communicate(timeout=30)
    results, rows = only_run(scenario)
    assert leader.returncode == expected_status(results), output + errors
    assert_every_job_is_accounted_for(results, rows)
    assert_trustworthy_but_for_timing(results)


@pytest.mark.slow
def test_repeats_and_closed_loops_run_live(scenario: Path) -> None:
    """Each repeat has jobs of its own, the same under every setting; a closed lane has one at a time."""
    closed = SCENARIO.replace("{type: poisson, rate: 10}", "{type: closed, think: 200ms}")
    scenario.write_text(closed.replace("  duration: 2s", "  jobs: 12\n  repeats: 2"))
    done = run([*LOCUST, *arguments(scenario)])
    results, rows = only_run(scenario)
    assert done.returncode == expected_status(results), done.stdout + done.stderr
    assert_every_job_is_accounted_for(results, rows)
    assert_trustworthy_but_for_timing(results)
    expected = {str(repeat * 10**9 + index) for repeat in (0, 1) for index in range(12)}
    for setting in ("quick", "slow"):
        mine = [row for row in rows if row["setting"] == setting]
        assert {row["key"] for row in mine} == expected
        for one, other in itertools.combinations(mine, 2):
            if (one["lane"], one["repeat"]) == (other["lane"], other["repeat"]):
                first, second = sorted((one, other), key=lambda row: float(row["planned_at_s"]))
                assert float(first["detected_at_s"]) <= float(second["planned_at_s"])


@pytest.mark.slow
def test_a_simulator_that_already_runs_is_used_if_it_serves_the_same(scenario: Path) -> None:
    """`--host` attaches, with the token, to a simulator of the same scenario, and refuses any other."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = [sys.executable, "-m", "server", "--scenario", str(scenario), "--port", str(port)]
    token = {**os.environ, "BACKOFF_ADMIN_TOKEN": "secret"}
    command = [*LOCUST, *arguments(scenario), "--host", url]
    nobody = run(command)
    assert (nobody.returncode, nobody.stderr) == (1, f"no simulator answers at {url}\n")
    with started(server, env=token) as simulator:
        wait_for(lambda: psutil.Process(simulator.pid).net_connections(), "the simulator")
        stranger = run(command)
        assert stranger.returncode == 1
        assert "BACKOFF_ADMIN_TOKEN" in stranger.stderr
        attached = run([*command, "slow"], env=token)
        results, rows = only_run(scenario)
        assert attached.returncode == expected_status(results), attached.stdout + attached.stderr
        assert_trustworthy_but_for_timing(results)
        assert rows
        scenario.write_text(SCENARIO.replace("seed: 7", "seed: 8"))
        other = run(command, env=token)
        assert other.returncode == 1
        assert "serves another scenario" in other.stderr


@pytest.mark.parametrize(
    ("processes", "how"),
    [
        slowly((list, signal.SIGHUP)),
        (two_processes, signal.SIGINT),
        *(slowly((two_processes, how)) for how in (signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT)),
    ],
)
def test_interrupting_a_run_keeps_what_was_measured(
    scenario: Path, processes: Callable[[], list[str]], how: signal.Signals
) -> None:
    """Ctrl-C or a closed terminal: status 130, jobs under way censored, the report marked, no leftovers."""
    scenario.write_text(LONG_JOBS)
    with started([*LOCUST, *arguments(scenario), *processes()]) as locust:
        simulator = wait_for(lambda: simulator_of(locust), "the simulator")
        wait_for(lambda: has_jobs(simulator), "the first jobs")
        os.killpg(locust.pid, how)  # as a terminal does: to every process of the group
        output, errors = locust.communicate(timeout=60)
    assert locust.returncode == 130, output + errors
    assert "Traceback" not in errors, errors
    assert "KeyboardInterrupt" not in errors, errors
    results, rows = only_run(scenario)
    assert_every_job_is_accounted_for(results, rows)
    assert results["settings"]["quick"]["jobs"]["censored"] > 0
    assert results["complete"] is False
    assert results["recommendation"]["setting"] is None
    assert left_behind(scenario) == []


@pytest.mark.slow
def test_the_web_page_stops_a_run_and_starts_another(scenario: Path) -> None:
    """One report for each run: the first incomplete, with its jobs censored, the second whole."""
    port = free_port()
    reports = scenario.parent / "reports"
    command = [sys.executable, "-m", "locust", "-f", "harness", "--skip-log-setup", "--web-port", str(port)]

    def answers() -> bool:
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(f"http://127.0.0.1:{port}/", timeout=10).ok
        return False

    def press(button: str) -> None:
        form = {"user_count": 1, "spawn_rate": 1}
        requests.post(f"http://127.0.0.1:{port}/{button}", data=form, timeout=30).raise_for_status()

    def reported() -> list[dict[str, Any]]:
        folders = sorted(reports.glob("*/results.json"))
        return [json.loads(path.read_text()) for path in folders]

    with started([*command, *arguments(scenario)]) as locust:
        simulator = wait_for(lambda: simulator_of(locust), "the simulator")
        wait_for(answers, "the web page")
        press("swarm")
        wait_for(lambda: has_jobs(simulator), "the first jobs")
        press("stop")
        wait_for(lambda: len(reported()) == 1, "the first report")
        press("swarm")
        wait_for(lambda: len(reported()) == 2, "the second report")
        locust.send_signal(signal.SIGINT)
        _, errors = locust.communicate(timeout=60)
    assert "Traceback" not in errors, errors
    first, second = reported()
    assert (first["complete"], second["complete"]) == (False, True)
    assert first["settings"]["quick"]["jobs"]["censored"] > 0
    assert first["settings"]["slow"]["jobs"]["submitted"] == 0
    assert_trustworthy_but_for_timing(second)
    assert second["settings"]["slow"]["jobs"]["submitted"] > 0
    assert left_behind(scenario) == []


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_lost_worker_ends_the_run_without_a_verdict(scenario: Path, how: signal.Signals) -> None:
    """A worker that is killed or told to quit takes jobs with it: the others finish, and the run says so."""
    scenario.write_text(SCENARIO.replace("lower: 300ms, upper: 900ms", "lower: 5s, upper: 7s"))
    with started([*LOCUST, *arguments(scenario), *two_processes()]) as locust:
        simulator = wait_for(lambda: simulator_of(locust), "the simulator")
        wait_for(lambda: has_jobs(simulator), "the first jobs")
        workers = [each for each in psutil.Process(locust.pid).children() if "locust" in each.cmdline()]
        workers[0].send_signal(how)
        output, errors = locust.communicate(timeout=90)
    assert locust.returncode == 1, output + errors
    assert "1 of 2 workers lost during quick" in errors
    results, rows = only_run(scenario)
    assert results["settings"]["quick"]["jobs"]["submitted"] > 0
    assert results["settings"]["slow"]["jobs"]["submitted"] == 0
    assert {check["check"]: check["status"] for check in results["trust"]}["workers"] == "invalid"
    assert results["recommendation"]["setting"] is None
    assert rows
    assert left_behind(scenario) == []


@pytest.mark.slow
def test_a_simulator_that_dies_ends_the_run_with_one_clear_line(scenario: Path) -> None:
    """The run says that the simulator died, keeps its rows and exits with 1."""
    scenario.write_text(LONG_JOBS)
    with started([*LOCUST, *arguments(scenario)]) as locust:
        simulator = wait_for(lambda: simulator_of(locust), "the simulator")
        wait_for(lambda: has_jobs(simulator), "the first jobs")
        simulator.kill()
        output, errors = locust.communicate(timeout=60)
    assert locust.returncode == 1, output + errors
    assert "the simulator stopped" in errors
    assert "Traceback" not in errors, errors
    results, rows = only_run(scenario)
    assert_every_job_is_accounted_for(results, rows)
    assert results["complete"] is False


def test_a_port_in_use_is_one_clear_line(scenario: Path) -> None:
    """Somebody else's port: which one, what to do, status 1, nothing started."""
    with socket.socket() as occupied:
        occupied.bind(("127.0.0.1", 0))
        occupied.listen()
        port = occupied.getsockname()[1]
        done = run([sys.executable, "-m", "harness", "run", str(scenario), "--port", str(port)])
    assert done.returncode == 1
    assert str(port) in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_a_reports_folder_that_cannot_be_written_is_one_clear_line(scenario: Path) -> None:
    """The folder is tried before anything is measured."""
    blocked = scenario.parent / "file"
    blocked.write_text("not a folder")
    command = [sys.executable, "-m", "harness", "run", str(scenario), "--port", "0", "--reports"]
    done = run([*command, str(blocked / "reports")])
    assert done.returncode == 1
    assert "cannot write reports" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


def assert_all_faults_are_told(scenario: Path, status: int | None, said: str) -> None:
    """Each with file, line and remedy; status 2."""
    assert status == 2
    assert f"{scenario}:12: " in said
    assert f"{scenario}:17: " in said
    assert "did you mean 'initial'?" in said
    assert "Traceback" not in said


def test_a_wrong_scenario_starts_nothing(scenario: Path) -> None:
    """All faults at once, by either door; ours stops before there is a process."""
    scenario.write_text(SCENARIO.replace("initial: 500ms", "intial: 500ms").replace("lanes: 4", "lanes: 0"))
    ours = CliRunner().invoke(main, ["run", str(scenario)])
    assert_all_faults_are_told(scenario, ours.exit_code, ours.output)
    done = run([sys.executable, "-m", "locust", "-f", "harness", "--scenario", str(scenario)])
    assert_all_faults_are_told(scenario, done.returncode, done.stderr)


def test_locust_lists_the_settings(scenario: Path) -> None:
    """Settings are User classes: `--list` shows them, and an unknown name is refused."""
    listed = run([sys.executable, "-m", "locust", "-f", "harness", "--scenario", str(scenario), "--list"])
    assert listed.stdout.split()[-2:] == ["quick", "slow"]
    unknown = CliRunner().invoke(main, ["run", str(scenario), "-s", "quik"])
    assert unknown.exit_code == 2
    assert "did you mean 'quick'?" in unknown.output
