"""A run's folder: raw records first, whole files or none, and readable again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import MappingProxyType

import polars as pl
import pytest
from measure_records import info_of, job, polls_of, visits_of

from harness.measure import JobRow, RunFolder, RunFolderError, RunUnusable, load_run, poll_aggregates

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
JOBS = [job("a", key) for key in range(3)] + [job("b", key, outcome="timeout") for key in range(3)]


def written(root: Path) -> Path:
    """A folder with a small run in it."""
    folder = RunFolder.create(root, "sample", NOW)
    folder.write(info_of(JOBS), visits_of(JOBS), JOBS, polls_of(JOBS))
    return folder.path


def test_folders_are_named_by_scenario_and_utc_time(tmp_path: Path) -> None:
    """The name is the scenario and the time in UTC, whatever zone the clock is in."""
    there = NOW.astimezone(timezone(timedelta(hours=9)))
    assert RunFolder.create(tmp_path / "new", "sample", there).path.name == "sample-20260102T030405Z"


def test_a_taken_name_gets_a_number(tmp_path: Path) -> None:
    """Two runs in one second get folders of their own."""
    names = [RunFolder.create(tmp_path, "sample", NOW).path.name for _ in range(3)]
    stem = "sample-20260102T030405Z"
    assert names == [stem, f"{stem}-2", f"{stem}-3"]


def test_a_time_without_zone_or_a_path_for_a_name_is_refused(tmp_path: Path) -> None:
    """Names that would leave the folder, and times that could be anywhere, are errors."""
    with pytest.raises(ValueError, match="time zone"):
        RunFolder.create(tmp_path, "sample", NOW.replace(tzinfo=None))
    with pytest.raises(ValueError, match="cannot name a folder"):
        RunFolder.create(tmp_path, "../sample", NOW)


def test_an_unwritable_place_is_one_clear_line(tmp_path: Path) -> None:
    """What cannot be written is an OSError that names the path, in one line."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="file is not a folder") as told:
        RunFolder.create(tmp_path / "file", "sample", NOW)
    assert isinstance(told.value, OSError)
    assert "\n" not in str(told.value)
    folder = RunFolder.create(tmp_path, "sample", NOW)
    folder.path.rmdir()
    with pytest.raises(RunFolderError, match=r"cannot write .*scenario.yaml: No such file"):
        folder.write(info_of(JOBS), visits_of(JOBS), JOBS, polls_of(JOBS))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """Info, visits, jobs and polls survive the disk."""
    run = load_run(written(tmp_path))
    assert run.info == info_of(JOBS)
    assert list(run.visits) == visits_of(JOBS)
    assert run.jobs["key"].to_list() == [0, 1, 2, 0, 1, 2]
    assert run.jobs["detection_lag_s"].is_null().to_list() == [False] * 3 + [True] * 3
    assert [each.per_second.tolist() for each in run.polls] == [
        each.per_second.tolist() for each in poll_aggregates(polls_of(JOBS))
    ]


def test_no_temporary_file_stays(tmp_path: Path) -> None:
    """Only the raw files are in the folder."""
    assert sorted(file.name for file in written(tmp_path).iterdir()) == [
        "arrivals.csv", "jobs.csv", "polls.csv", "run.json", "scenario.yaml",
    ]  # fmt: skip


def test_jobs_csv_is_plain(tmp_path: Path) -> None:
    """The table has the contract's header, and unknown fields are empty."""
    lines = (written(tmp_path) / "jobs.csv").read_text().splitlines()
    assert lines[0] == (
        "setting,repeat,key,lane,planned_at_s,submitted_at_s,finished_at_s,detected_at_s,duration_s,outcome,"
        "polls,wasted_polls,detection_lag_s,completion_latency_s"
    )
    assert lines[1] == "a,0,0,0,0.0,0.0,2.0,2.5,2.0,completed,3,2,0.5,2.5"
    assert lines[4] == "b,0,0,0,0.0,0.0,2.0,,2.0,timeout,3,3,,"


def test_arrivals_csv_says_when_each_job_was_sent(tmp_path: Path) -> None:
    """What is no part of a job's fate has a file of its own; the two are read back as one."""
    folder = written(tmp_path)
    lines = (folder / "arrivals.csv").read_text().splitlines()
    assert lines[:2] == ["setting,repeat,key,sent_at_s", "a,0,0,0.0"]
    assert list(load_run(folder).jobs["sent_at_s"]) == [0.0, 0.1, 0.2, 0.0, 0.1, 0.2]
    (folder / "arrivals.csv").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(RunUnusable, match=r"arrivals\.csv: its rows are not those of jobs\.csv"):
        load_run(folder)


@pytest.mark.parametrize("name", ["NA", "nan", "null", "None", "1", "007", "1e3"])
def test_a_setting_may_look_like_a_number_or_a_gap(tmp_path: Path, name: str) -> None:
    """Names are text, whatever a CSV reader would like to make of them."""
    jobs = [job(name)]
    folder = RunFolder.create(tmp_path, "sample", NOW)
    folder.write(info_of(jobs), visits_of(jobs), jobs, polls_of(jobs))
    run = load_run(folder.path)
    assert run.jobs["setting"].to_list() == [name]
    assert run.polls[0].setting == name


def test_frames_aggregates_and_frozen_mappings_can_be_written(tmp_path: Path) -> None:
    """A virtual run gives its jobs as a frame and its polls reduced."""
    folder = RunFolder.create(tmp_path, "sample", NOW)
    frame = pl.DataFrame(JOBS).select("key", *[name for name in JOBS[0]._fields if name != "key"])
    info = info_of(JOBS, objectives=MappingProxyType({"lag_p95": 2.0}), engine="virtual")
    folder.write(info, visits_of(JOBS), frame, poll_aggregates(polls_of(JOBS)))
    run = load_run(folder.path)
    assert list(run.jobs.columns) == list(JOBS[0]._fields)
    assert run.info.objectives == {"lag_p95": 2.0}
    expected = poll_aggregates(polls_of(JOBS))
    assert [each.lateness for each in run.polls] == [each.lateness for each in expected]
    assert [each.latency_s.tolist() for each in run.polls] == [each.latency_s.tolist() for each in expected]
    assert [each.per_second.tolist() for each in run.polls] == [each.per_second.tolist() for each in expected]


def test_a_file_of_the_run_leads_to_its_folder(tmp_path: Path) -> None:
    """The path of jobs.csv stands for the run it belongs to."""
    assert load_run(written(tmp_path) / "jobs.csv").info.seed == 42


JOBS_HEADER = ",".join(JobRow._fields[:14]) + "\n"


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("run.json", "{", "run.json: not JSON"),
        ("run.json", "{}", "run.json: not a run's record"),
        ("run.json", "[]", "run.json: not a run's record"),
        ("run.json", json.dumps({"format": 99}), "format 99 was written by another version"),
        ("jobs.csv", "", "jobs.csv: empty CSV"),
        ("jobs.csv", "setting,\rrepeat\n", "jobs.csv: no header of a CSV"),
        ("jobs.csv", "setting,repeat\na,0\n", "jobs.csv: missing columns key, lane"),
        ("jobs.csv", JOBS_HEADER + "a,x,0,0,0,,,,,completed,1,0,,\n", "jobs.csv: .*`x`"),
        (
            "jobs.csv",
            JOBS_HEADER + "a,0,0,0,0,,,,,completed,,0,,\n",
            "jobs.csv: column polls has an empty cell",
        ),
        ("jobs.csv", JOBS_HEADER + "a,0,0,0,0,,,,,completed,1,0,,,,7\n", "jobs.csv: found more fields"),
        ("run.json", json.dumps({"format": 1, "info": {}, "visits": []}), r"record \(info.engine: Field"),
        ("polls.csv", "setting\na\n", "polls.csv: missing columns"),
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, file: str, text: str, message: str) -> None:
    """What cannot be read is one line that names the file and the fault."""
    folder = written(tmp_path)
    (folder / file).write_text(text)
    with pytest.raises(RunUnusable, match=message) as told:
        load_run(folder)
    assert "\n" not in str(told.value)


def test_wrong_outcomes_and_doubled_jobs_are_refused(tmp_path: Path) -> None:
    """A row must have one of the five outcomes, and a job one row."""
    folder = written(tmp_path)
    text = (folder / "jobs.csv").read_text()
    (folder / "jobs.csv").write_text(text.replace("timeout", "vanished", 1))
    with pytest.raises(RunUnusable, match="unknown outcome 'vanished'"):
        load_run(folder)
    (folder / "jobs.csv").write_text(text + text.splitlines()[1] + "\n")
    with pytest.raises(RunUnusable, match="job 0 of setting 'a', repeat 0, is there twice"):
        load_run(folder)


@pytest.mark.parametrize("name", ["jobs.csv", "polls.csv", "scenario.yaml", "run.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    """A folder without one of its raw files is unusable, and says which."""
    folder = written(tmp_path)
    (folder / name).unlink()
    with pytest.raises(RunUnusable, match=name):
        load_run(folder)
    with pytest.raises(RunUnusable, match="no such run folder"):
        load_run(tmp_path / "nowhere")


def test_many_jobs_are_kept_as_parquet_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a number of jobs on there is a second table of the same values, and it is the one that is read."""
    monkeypatch.setattr("harness.measure._folder._PARQUET_FROM", len(JOBS) + 1)
    few = written(tmp_path / "few")
    assert not (few / "jobs.parquet").exists()
    monkeypatch.setattr("harness.measure._folder._PARQUET_FROM", len(JOBS))
    many = written(tmp_path / "many")
    assert (many / "jobs.csv").read_bytes() == (few / "jobs.csv").read_bytes()
    (many / "jobs.csv").unlink()
    assert load_run(many).jobs.equals(load_run(few).jobs)
    (many / "jobs.parquet").write_bytes(b"PAR1")
    with pytest.raises(RunUnusable, match=r"jobs\.parquet: parquet: ") as told:
        load_run(many)
    assert "\n" not in str(told.value)


def test_an_own_target_s_jobs_know_their_last_pending_poll(tmp_path: Path) -> None:
    """The lower bound of a job's end is read off polls.csv, whose state says what each reply meant."""
    jobs = [job("a", key, polls=3) for key in range(2)] + [job("b", 1, polls=1)]
    polls = [
        row._replace(state="completed" if row.attempt == 3 or row.setting == "b" else "pending")
        for row in polls_of(jobs)
    ]
    polls[0] = polls[0]._replace(state="failed", response="503")
    folder = RunFolder.create(tmp_path, "sample", NOW)
    folder.write(info_of(jobs, target="own"), visits_of(jobs), jobs, polls)
    run = load_run(folder.path)
    assert run.info.target == "own"
    assert run.jobs["pending_at_s"].to_list() == [1.0, 1.1, None]
    header = (folder.path / "polls.csv").read_text().splitlines()[0]
    assert header == "setting,repeat,key,attempt,planned_at_s,sent_at_s,latency_s,response,state"


def test_records_from_before_polls_had_a_state_are_read(tmp_path: Path) -> None:
    """On a simulator nothing needs to know what replies meant."""
    folder = written(tmp_path)
    polls = (folder / "polls.csv").read_text().splitlines()
    (folder / "polls.csv").write_text("\n".join(line.rpartition(",")[0] for line in polls) + "\n")
    assert load_run(folder).info.target == "simulator"
