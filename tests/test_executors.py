"""A Dask cluster as executor: what comes out is the same, and what cannot be used is said in one line."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future, wait
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from distributed import LocalCluster

from harness import _executors
from harness._cli import main
from harness._executors import executor_at
from harness._refusal import FAILED, UNUSABLE, Refusal
from harness._reports import simulate_to_folder
from harness.measure import RunFolder
from harness.plan import Effort, make_plan
from harness.virtual import calibrate, simulate
from scenarios import Scenario, load_scenario, resolve

SCENARIO = """
name: shared
seed: 5
job: {duration: {type: lognormal, median: 2s, sigma: 0.5}, error_rate: 0.1}
service: {delay: {type: uniform, lower: 5ms, upper: 30ms}, faults: [{status: 503, rate: 0.05}]@MORE@}
workload: {lanes: 4, arrivals: {type: poisson, rate: 10}, jobs: 20, repeats: 2}
settings:
  steady: {curve: constant, initial: 500ms}
  growing: {curve: exponential, initial: 200ms, maximum: 4s, jitter: full}
baseline: steady
"""
ENGINES = {"vector": "", "event": ", capacity: {workers: 2, service_time: 10ms}"}
LOOPBACK: dict[str, Any] = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
LIGHT = Effort(points=2**9, coarse=2**8, kinds=frozenset({"constant"}), refined_families=1)


def harness(*arguments: object) -> Result:
    """A command of `python -m harness`, in this process."""
    return CliRunner().invoke(main, [str(each) for each in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A scheduler with one worker, a process of its own, on the loopback interface."""
    with LocalCluster(n_workers=1, threads_per_worker=1, **LOOPBACK) as made:
        yield made


@pytest.fixture
def address(cluster: LocalCluster) -> str:
    """The cluster as a user names it."""
    return str(cluster.scheduler_address.replace("tcp://", "dask://"))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_cluster_writes_the_very_bytes_that_one_process_writes(
    engine: str, address: str, tmp_path: Path
) -> None:
    """Every raw record and the calibration are the same, whichever engine simulates."""
    scenario = tmp_path / "shared.yaml"
    scenario.write_text(SCENARIO.replace("@MORE@", ENGINES[engine]))
    here, there = tmp_path / "here", tmp_path / "there"
    written(load_scenario(scenario), here, None)
    with executor_at(address, 0) as executor:
        written(load_scenario(scenario), there, executor)
    names = {path.name for path in here.iterdir()} - {"run.json"}  # which tells when the run began
    assert {"jobs.csv", "arrivals.csv", "polls.json", "calibration.json"} <= names
    for name in names:
        assert (here / name).read_bytes() == (there / name).read_bytes(), name


def written(scenario: Scenario, folder: Path, executor: Executor | None) -> None:
    """Write what a simulation writes."""
    folder.mkdir()
    run = simulate(scenario, executor=executor).run
    RunFolder(folder).write(run.info, run.visits, run.jobs, run.polls)
    calibrate(scenario, 100, executor=executor).write(folder)


@pytest.mark.slow
def test_a_plan_is_the_same_on_a_cluster(address: str, tmp_path: Path) -> None:
    """The search tries the same candidates and finds the same figures."""
    path = tmp_path / "shared.yaml"
    path.write_text(SCENARIO.replace("@MORE@", ""))
    scenario = load_scenario(path)
    with executor_at(address, 0) as executor:
        assert executor is not None
        there = make_plan(scenario, jobs=100, effort=LIGHT, executor=executor)
    assert there.to_json() == make_plan(scenario, jobs=100, effort=LIGHT).to_json()


def test_ctrl_c_leaves_neither_tasks_nor_an_empty_folder(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was interrupted is not computed any further, and nothing is left that looks like a run."""
    from harness import _reports

    asked: list[Future[None]] = []

    def interrupted(*_: Any, executor: Any, **__: Any) -> None:
        asked.extend(executor.submit(time.sleep, 0.1) for _ in range(100))
        raise KeyboardInterrupt

    monkeypatch.setattr(_reports, "simulate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        simulate_to_folder(resolve("video-translation"), None, None, str(tmp_path / "run"), address)
    assert not (tmp_path / "run").exists()
    wait(asked, timeout=5)
    assert sum(each.cancelled() for each in asked) > 90


def test_a_worker_of_other_sources_is_refused(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its figures would not be those of this process: which differs is said, and nothing is started."""
    monkeypatch.setattr(_executors, "_PACKAGES", ("client",))  # here alone: the worker looks at all
    _executors.stamp.cache_clear()
    done = harness("simulate", "video-translation", "--out", tmp_path / "run", "--executor", address)
    _executors.stamp.cache_clear()
    assert done.exit_code == UNUSABLE
    assert done.output.count("\n") == 1
    assert "sources of backoff-harness" in done.output
    assert not (tmp_path / "run").exists()


def test_a_worker_without_the_package_is_named() -> None:
    """What such a worker answers is the error of its import."""
    said = _executors._unlike({"numpy": "2.4.6"}, Exception("No module named 'harness'"))
    assert said == "cannot import backoff-harness (No module named 'harness')"
    assert _executors._unlike({"numpy": "2.4.6"}, {"numpy": "2.3"}) == "has numpy 2.3 (here 2.4.6)"
    assert _executors._unlike({"numpy": "2.4.6"}, {"numpy": "2.4.6"}) is None


@pytest.mark.parametrize(
    "address",
    [
        "",
        "127.0.0.1:8786",
        "tcp://127.0.0.1:8786",
        "dask://127.0.0.1",
        "dask://127.0.0.1:0",
        "dask://127.0.0.1:65536",
        "dask://user@127.0.0.1:8786",
        "dask://127.0.0.1:8786/x",
        "dask://\x1b[31m:8786",
    ],
)
@pytest.mark.parametrize("command", ["simulate", "plan"])
def test_what_is_no_address_is_refused(command: str, address: str, tmp_path: Path) -> None:
    """One line says what an address looks like, and no folder is made."""
    more = ["--out", tmp_path / "run"] if command == "simulate" else []
    done = harness(command, "video-translation", "--executor", address, *more)
    assert done.exit_code == UNUSABLE
    assert done.output.count("\n") == 1
    assert "dask://HOST:PORT" in done.output
    assert "\x1b" not in done.output
    assert not (tmp_path / "run").exists()


def test_an_address_where_nobody_answers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line names it and how a scheduler is started."""
    monkeypatch.setattr(_executors, "_PATIENCE_S", 0.3)
    done = harness("simulate", "video-translation", "--executor", "dask://127.0.0.1:1")
    assert done.exit_code == UNUSABLE
    assert done.output.count("\n") == 1
    assert "no Dask scheduler answers" in done.output


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is needed by those alone who have a cluster."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    done = harness("plan", "video-translation", "--executor", "dask://127.0.0.1:8786")
    assert done.exit_code == UNUSABLE
    assert done.output.count("\n") == 1
    assert "backoff-harness[dask]" in done.output


def test_a_scheduler_without_workers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run would wait for them for ever."""
    monkeypatch.setattr(_executors, "_PATIENCE_S", 1.0)
    with LocalCluster(n_workers=0, **LOOPBACK) as empty:
        address = empty.scheduler_address.replace("tcp://", "dask://")
        done = harness("simulate", "video-translation", "--executor", address)
    assert done.exit_code == UNUSABLE
    assert done.output.count("\n") == 1
    assert "has no worker" in done.output


def test_a_cluster_that_loses_its_workers_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask would wait for other workers: the run ends, and says why."""
    monkeypatch.setattr(_executors, "_LOOK_S", 0.05)
    with LocalCluster(
        n_workers=1, processes=False, threads_per_worker=1, protocol="tcp", **LOOPBACK
    ) as small:
        address = small.scheduler_address.replace("tcp://", "dask://")
        with pytest.raises(Refusal, match="lost") as refused:
            _wait_for_what_never_comes(small, address)
    assert refused.value.status == FAILED


def _wait_for_what_never_comes(cluster: LocalCluster, address: str) -> None:
    with executor_at(address, 0) as executor:
        assert executor is not None
        cluster.scale(0)
        executor.submit(sum, (1,)).result(timeout=30)
