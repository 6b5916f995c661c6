"""Our client and a service that nobody here wrote: Flower's HTTP API over Celery and Redis."""

from __future__ import annotations

import base64
import csv
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import Any

import psutil
import pytest
import yaml
from flower_service import FOLDER, PATIENCE, SCRIPT, WITH_REDIS, Flower, flower, living

from client import Backoff, Dialect, PollingPolicy, SubmitFailed
from client.blocking import Attempt, Result, VideoTranslationClient

BRISK = PollingPolicy(Backoff("constant", 0.05), deadline=PATIENCE)
LECTURES = [0, 1, 2, 3, 8, 15]  # of the last two there is no translation


def dialect(lecture: int = 0) -> Dialect:
    """The example's, for one lecture."""
    data = yaml.safe_load((FOLDER / "dialect.yaml").read_text())
    data["submit"]["json"] = {"args": [f"lecture-{lecture}"]}
    return Dialect.of(data)


def test_the_examples_dialect_is_the_same_for_client_and_scenario() -> None:
    """What the scenario adds is what jobs are submitted with."""
    by_scenario = yaml.safe_load((FOLDER / "scenario.yaml").read_text())["target"]["dialect"]
    assert by_scenario["submit"].pop("json").keys() == {"args", "task_id"}
    assert by_scenario == yaml.safe_load((FOLDER / "dialect.yaml").read_text())


@pytest.fixture(scope="module")
def service() -> Iterator[Flower]:
    with flower(median_s=0.6) as running:
        yield running


@WITH_REDIS
def test_the_client_learns_what_flower_tells_of_its_tasks(service: Flower) -> None:
    """Outcomes are Celery's own; a task ends between the last poll that said pending and the reply."""
    epoch = time.time() - time.monotonic()

    def polled(lecture: int) -> tuple[Result, list[Attempt]]:
        attempts: list[Attempt] = []
        with VideoTranslationClient(service.url, BRISK, dialect=dialect(lecture)) as client:
            result = client.poll(client.submit(), on_attempt=attempts.append)
        return result, attempts

    with ThreadPoolExecutor(len(LECTURES)) as pool:
        ends = list(pool.map(polled, LECTURES))
    assert [result.outcome for result, _ in ends] == ["completed"] * 4 + ["error"] * 2
    for result, attempts in ends:
        assert [each.status for each in attempts[:-1]] == ["pending"] * result.wasted
        assert result.job_id
        task = service.task(result.job_id)
        assert task.state == {"completed": "SUCCESS", "error": "FAILURE"}[result.outcome]
        assert attempts[-2].sent_at + epoch < task.latest
        assert task.earliest < result.detected_at + epoch


@WITH_REDIS
def test_a_run_on_flower_is_right_by_flowers_own_records(service: Flower, tmp_path: Path) -> None:
    """Outcomes are Celery's, each task ended within its bounds, the estimated lag is near the true one.

    And a model of the run gives in virtual time what the run gave.
    """
    scenario = yaml.safe_load((FOLDER / "scenario.yaml").read_text())
    scenario["target"]["base_url"] = service.url
    scenario["workload"] |= {"jobs": 20, "repeats": 1, "arrivals": {"type": "constant", "rate": 8}}
    (tmp_path / "flower.yaml").write_text(yaml.safe_dump(scenario))
    results = harness("run", "flower.yaml", "--reports", "runs", "--json", folder=tmp_path)
    assert (results["engine"], results["target"]) == ("live", "own")
    (run,) = (tmp_path / "runs").iterdir()
    for setting, figures in results["settings"].items():
        judged(run, setting, figures, service)

    harness("new", "--from", str(run), "--out", "model.yaml", folder=tmp_path)
    modelled = harness("simulate", "model.yaml", "--jobs", "4000", "--json", folder=tmp_path)["settings"]
    for setting, figures in results["settings"].items():
        for figure in ("polls_per_job", "completion_latency_s"):
            low, high = figures[figure]["ci95"]
            assert low < modelled[setting][figure]["mean"] < high


def harness(*arguments: str, folder: Path) -> Any:
    """What a command of ours prints as JSON, if it prints any."""
    command = [sys.executable, "-m", "harness", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if "--json" in arguments else None


def judged(run: Path, setting: str, figures: dict[str, Any], service: Flower) -> None:
    """One visit of one setting, by what Flower knows of its tasks.

    The run's clock and the worker's differ by an offset that nobody told. What must have come first and what
    later bounds it from both sides, by all jobs of the visit together.
    """
    jobs, polls, sent = (
        [row for row in csv.DictReader((run / name).open(newline="")) if row["setting"] == setting]
        for name in ("jobs.csv", "polls.csv", "arrivals.csv")
    )
    tasks = {
        task_id.rpartition("-")[2]: service.task(task_id)
        for task_id in service.task_ids()
        if f"-{setting}-" in task_id
    }
    assert sorted(tasks) == sorted(job["key"] for job in jobs)
    states = Counter(task.state for task in tasks.values())
    assert states == {"SUCCESS": 17, "FAILURE": 3}
    assert figures["jobs"] == {
        "submitted": 20,
        "completed": 17,
        "error": 3,
        "timeout": 0,
        "gave_up": 0,
        "censored": 0,
    }
    assert figures["status_requests"]["total"] == len(polls)
    pending = [poll for poll in polls if poll["state"] == "pending"]
    assert len(polls) - len(pending) == 20

    at_least = [tasks[job["key"]].earliest - float(job["detected_at_s"]) for job in jobs]
    at_most = [
        *(tasks[poll["key"]].latest - float(poll["sent_at_s"]) for poll in pending),
        *(tasks[each["key"]].received - float(each["sent_at_s"]) for each in sent),
    ]
    assert max(at_least) < min(at_most)
    offset = min(at_most)  # the nearer side: a submission reaches the worker within milliseconds
    lags = [float(job["detected_at_s"]) + offset - tasks[job["key"]].latest for job in jobs]
    low, high = figures["detection_lag_s"]["bounds_mean"]
    assert low <= fmean(lags) <= high
    assert figures["detection_lag_s"]["mean"] == pytest.approx(fmean(lags), abs=0.1)


@WITH_REDIS
def test_a_task_that_does_not_exist_is_told_with_flowers_own_words(service: Flower) -> None:
    """A submission that is refused says why; nothing is polled."""
    unknown = Dialect.of({"submit": {"path": "/api/task/async-apply/videos.summarise"}})
    with (
        VideoTranslationClient(service.url, dialect=unknown) as client,
        pytest.raises(SubmitFailed, match=r"404.*Unknown task 'videos\.summarise'"),
    ):
        client.submit()


@WITH_REDIS
def test_a_secret_opens_a_flower_that_asks_for_one() -> None:
    """With the password the task completes, without it the submission is refused as 401."""
    token = base64.b64encode(b"me:hush").decode()
    with flower(FLOWER_BASIC_AUTH="me:hush") as guarded:
        headers = {"Authorization": f"Basic {token}"}
        with VideoTranslationClient(guarded.url, BRISK, dialect=dialect(), headers=headers) as client:
            assert client.wait_for_completion(client.submit()).outcome == "completed"
        with (
            VideoTranslationClient(guarded.url, BRISK, dialect=dialect()) as stranger,
            pytest.raises(SubmitFailed) as refused,
        ):
            stranger.submit()
    assert refused.value.status_code == 401


@WITH_REDIS
def test_nothing_outlives_a_script_that_is_killed() -> None:
    """Redis, the worker, Flower and their temporary folder go with it, however it went."""
    with subprocess.Popen([sys.executable, str(SCRIPT), "--port", "0"], stdout=subprocess.PIPE) as process:
        script = psutil.Process(process.pid)
        give_up = time.monotonic() + PATIENCE
        while len(started := script.children(recursive=True)) < 4 and time.monotonic() < give_up:
            time.sleep(0.01)
        folders = {Path(each.cwd()) for each in started if each.name() == "redis-server"}
        process.kill()
    assert len(folders) == 1
    assert living(started) == []
    assert not any(folder.exists() for folder in folders)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """Without redis-server the script says so, with the remedy, and starts nothing."""
    done: Any = subprocess.run(
        [sys.executable, str(SCRIPT)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": str(tmp_path)},
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "serve.py: there is no redis-server here; on Debian: apt-get install redis-server\n"
    )
