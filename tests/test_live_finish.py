"""The end of a live run: what is written when, which report is asked for, and what is refused beforehand."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent.event import Event
from live_parts import STARTED_AT, job_row, poll_row, record_of
from virtual_scenarios import every, scenario

from harness._child import PARENT_VARIABLE
from harness._refusal import FAILED, Refusal
from harness.live import _finish, recover
from harness.live._finish import (
    Finisher,
    check_reports_folder,
    report_command,
    where,
)
from harness.live._journal import Journal
from harness.live._record import Record, info_of
from harness.live._spool import Parts
from harness.live._sweep import Sweep
from harness.measure import RunFolder, Visit, load_run
from scenarios import Scenario


def two_settings() -> Scenario:
    """Two settings that one job is polled by."""
    return scenario({"quick": every(1), "slow": every(5)})


def measured(experiment: Scenario) -> Record:
    """A record of one visit with one job."""
    record = record_of(experiment)
    record.visits.append(Visit("quick", 0, 0, duration_s=2.0, submit_window_s=1.0, lanes=3))
    record.jobs.append(job_row())
    record.polls.append(poll_row())
    return record


def test_run_info_tells_of_the_settings_that_were_planned() -> None:
    """Locust's command line may have chosen some of them only."""
    experiment = two_settings()
    record = Record(STARTED_AT, experiment.visits(["slow"]), incomplete="stopped before the end")
    info = info_of(experiment, record)
    assert list(info.settings) == ["slow"]
    assert (info.engine, info.seed, info.started_at) == ("live", 42, "2026-01-02T03:04:05+00:00")
    assert info.scenario.name == "made-up"
    assert info.incomplete == "stopped before the end"


def test_the_environment_names_what_figures_depend_on() -> None:
    """The interpreter, the cores, and the packages that serve, send and compute."""
    environment = info_of(two_settings(), measured(two_settings())).environment
    assert environment["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"gevent", "locust", "requests"} <= set(environment["packages"])
    assert environment["host_cores"] >= 1


def test_the_report_is_made_by_a_process_of_its_own() -> None:
    """With this interpreter, and as JSON only when that was asked for."""
    command = report_command(Path("reports/x"), Path("short.yaml"), as_json=False)
    assert command == [
        sys.executable, "-P", "-m", "harness", "report", "reports/x", "--scenario", "short.yaml"
    ]  # fmt: skip
    assert report_command(Path("reports/x"), Path("short.yaml"), as_json=True) == [*command, "--json"]


def test_a_reports_folder_is_made_and_tried(tmp_path: Path) -> None:
    """Nothing is left in it."""
    check_reports_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_reports_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    """Before anything is measured, with what to change."""
    (tmp_path / "file").touch()
    with pytest.raises(Refusal, match=r"cannot write reports to .*; choose another folder") as refused:
        check_reports_folder(tmp_path / "file" / "reports")
    assert refused.value.status == FAILED


class Stage:
    """A finisher among stand-ins, and what it does to them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, reports: Path, *, headless: bool = True) -> None:
        self.records: list[Record | None] = []
        self.commands: list[list[str]] = []
        self.status = 0
        self.done: list[str] = []
        self.meanwhile: Callable[[], object] = lambda: None  # while a report is made
        note = self.done.append
        self.environment = SimpleNamespace(
            parsed_options=SimpleNamespace(headless=headless, report_format="table"),
            process_exit_code=None,
            runner=SimpleNamespace(stop=lambda: note("runner stopped"), errors={}, exceptions={}),
        )
        options: Any = SimpleNamespace(scenario=two_settings(), config=SimpleNamespace(reports=reports))
        conductor: Any = SimpleNamespace(
            take_record=lambda: self.records.pop(0) if self.records else None,
            target=SimpleNamespace(close=lambda: note("target closed")),
            sweep=Sweep(two_settings()),
        )
        progress: Any = SimpleNamespace(close=lambda: None)
        monkeypatch.setattr(_finish, "subprocess", SimpleNamespace(Popen=self.start, PIPE=-1))
        environment: Any = self.environment
        self.said = b"report: here\n"
        self.journal = Journal(options.scenario, reports)
        self.finisher = Finisher(environment, options, conductor, progress, self.journal)

    def start(self, command: list[str], *, env: dict[str, str], stdout: int | None) -> Any:
        assert env["PATH"]
        assert env[PARENT_VARIABLE] == str(os.getpid())
        self.commands.append(command)
        child = SimpleNamespace(kill=lambda: self.done.append("report killed"), returncode=None)

        def communicate() -> tuple[bytes | None, None]:
            child.returncode = self.end()
            return None if stdout is None else self.said, None

        child.communicate = communicate
        return child

    def end(self) -> int:
        self.meanwhile()
        return self.status

    def has(self, record: Record) -> None:
        """Let a run end whose journal was begun in time."""
        self.records.append(record)
        self.journal.begin(record)


def test_a_headless_run_is_written_at_once_and_reported_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows first; the report's status is the run's, and the target is let go of last."""
    stage = Stage(monkeypatch, tmp_path)
    stage.has(measured(two_settings()))
    stage.finisher.stopped()
    (folder,) = tmp_path.iterdir()
    assert len(load_run(folder).jobs) == 1
    assert stage.commands == []
    stage.status = 1
    stage.finisher.quitting()
    assert stage.commands == [report_command(folder, Path("made-up.yaml"), as_json=False)]
    assert stage.environment.process_exit_code == 1
    assert stage.done == ["runner stopped", "target closed"]
    stage.finisher.stopped()
    stage.finisher.quitting()
    assert len(stage.commands) == 1


def test_what_the_report_says_is_printed_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """When Locust has printed its tables, after its quitting event; a folder need not be named by text."""
    stage = Stage(monkeypatch, tmp_path)
    stage.said = b"report: here \xff\n"
    stage.has(measured(two_settings()))
    stage.finisher.stopped()
    stage.finisher.quitting()
    assert capsysbinary.readouterr().out == b""
    stage.finisher.last_words()
    assert capsysbinary.readouterr().out == b"report: here \xff\n"


def test_a_run_that_failed_keeps_its_own_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report that can be trusted does not make an interrupted run a success, nor any other."""
    stage = Stage(monkeypatch, tmp_path)
    stage.has(measured(two_settings()))
    stage.environment.process_exit_code = 130
    stage.status = 1
    stage.finisher.stopped()
    stage.finisher.quitting()
    assert stage.environment.process_exit_code == 130


@pytest.mark.parametrize(
    ("errors", "exceptions", "status", "ends"),
    [({}, {}, 0, None), ({"job": 1}, {}, 0, 0), ({"job": 1}, {}, 1, 1), ({"job": 1}, {"bug": 1}, 0, None)],
)
def test_lost_jobs_alone_are_no_failure_of_the_test(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    errors: Any,
    exceptions: Any,
    status: int,
    ends: int | None,
) -> None:
    """Locust would make its exit status 1 of them; the report's status, or a fault of ours, still counts."""
    stage = Stage(monkeypatch, tmp_path)
    stage.has(measured(two_settings()))
    stage.environment.runner.errors, stage.environment.runner.exceptions = errors, exceptions
    stage.status = status
    stage.finisher.stopped()
    stage.finisher.quitting()
    assert stage.environment.process_exit_code == ends


def test_each_run_of_the_web_page_is_reported_in_the_background(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as it has stopped; Locust itself goes on."""
    stage = Stage(monkeypatch, tmp_path, headless=False)
    stage.has(measured(two_settings()))
    stage.finisher.stopped()
    stage.finisher._reporting.join()
    stage.has(replace(measured(two_settings()), started_at=STARTED_AT.replace(minute=5)))
    stage.finisher.stopped()
    stage.finisher._reporting.join()
    reported = [Path(command[5]) for command in stage.commands]
    assert reported == sorted(tmp_path.iterdir())
    assert len(reported) == 2
    assert stage.done == []


def test_runs_that_follow_quickly_are_reported_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report of the first takes longer than the second run; leaving meanwhile would name both."""
    stage = Stage(monkeypatch, tmp_path, headless=False)
    may_end, at_once = Event(), []

    def slowly() -> None:
        at_once.append(len(stage.commands))
        may_end.wait(9)
        at_once.append(-len(stage.commands))

    stage.meanwhile = slowly
    for minute in (4, 5, 6):
        stage.has(replace(measured(two_settings()), started_at=STARTED_AT.replace(minute=minute)))
        stage.finisher.stopped()
        gevent.sleep(0)
    folders = sorted(tmp_path.iterdir())
    stage.finisher.leave()
    assert capsys.readouterr().err.splitlines() == [where(folder) for folder in folders]
    may_end.set()
    stage.finisher.quitting()
    assert [Path(command[5]) for command in stage.commands] == folders
    assert at_once == [1, -1, 2, -2, 3, -3]


def test_nothing_measured_is_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ended before its first visit leaves no folder and no report."""
    stage = Stage(monkeypatch, tmp_path)
    stage.has(record_of(two_settings()))
    stage.finisher.stopped()
    stage.finisher.quitting()
    assert list(tmp_path.iterdir()) == []
    assert stage.commands == []


def test_a_reports_folder_that_is_gone_sends_the_run_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is written and reported in a fallback folder, whose path is the last line; status 1."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    reports = tmp_path / "reports"
    stage = Stage(monkeypatch, reports)
    stage.has(measured(two_settings()))
    stage.journal.flush(9)
    shutil.rmtree(reports)
    reports.touch()
    stage.finisher.stopped()
    stage.finisher.quitting()
    stage.finisher.last_words()
    (folder,) = tmp_path.glob("backoff-*/made-up-*")
    assert len(load_run(folder).jobs) == 1
    assert stage.commands == [report_command(folder, Path("made-up.yaml"), as_json=False)]
    assert stage.environment.process_exit_code == FAILED
    assert capsys.readouterr().err == f"the run is in {folder}\n"


def test_rows_that_cannot_be_written_anywhere_are_left_in_the_journal(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No file may be as large as the rows, say: status 1, no report of nothing, the last line says where."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    stage = Stage(monkeypatch, tmp_path / "reports")
    stage.has(measured(two_settings()))
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(RunFolder, "write", no_room)
        stage.finisher.stopped()
        stage.finisher.quitting()
        stage.finisher.last_words()
    (folder,) = (tmp_path / "reports").iterdir()
    assert stage.environment.process_exit_code == FAILED
    assert "the run could not be written: [Errno 28] no room" in caplog.text
    assert stage.commands == []
    assert capsys.readouterr().err == f"{where(folder)}\n"
    assert list(tmp_path.glob("backoff-*")) == []
    recovered = recover(folder)
    assert recovered == (1, 1, None)  # nothing is missing: the run itself had ended well
    assert len(load_run(folder).jobs) == 1


def no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, "no room")


def test_a_run_whose_folder_has_room_for_the_journal_alone_is_written_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing of it is left where it could not be written."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    reports, write = tmp_path / "reports", RunFolder.write

    def elsewhere(folder: RunFolder, *what: Any) -> None:
        if folder.path.parent == reports:
            no_room()
        write(folder, *what)

    monkeypatch.setattr(RunFolder, "write", elsewhere)
    stage = Stage(monkeypatch, reports)
    stage.has(measured(two_settings()))
    stage.finisher.stopped()
    stage.finisher.last_words()
    (folder,) = tmp_path.glob("backoff-*/made-up-*")
    assert len(load_run(folder).jobs) == 1
    assert list(reports.iterdir()) == []
    assert capsys.readouterr().err == f"the run is in {folder}\n"


def test_a_journal_that_goes_when_the_run_has_ended_is_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Between its last entry and its reading: no report of nothing is asked for."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    stage = Stage(monkeypatch, tmp_path / "reports")
    stage.has(measured(two_settings()))
    end = stage.journal.end

    def ends_and_goes() -> bool:
        is_kept = end()
        shutil.rmtree(tmp_path / "reports")
        return is_kept

    monkeypatch.setattr(stage.journal, "end", ends_and_goes)
    stage.finisher.stopped()
    stage.finisher.quitting()
    assert "has no journal any more" in caplog.text
    assert (stage.environment.process_exit_code, stage.commands) == (FAILED, [])


def test_rows_that_no_disk_takes_at_the_end_are_said_to_be_lost(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What was written before is not, and the last line says where that is."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    stage = Stage(monkeypatch, tmp_path / "reports")
    stage.has(measured(two_settings()))
    stage.journal.flush(9)
    monkeypatch.setattr(Parts, "write", no_room)
    stage.finisher.stopped()
    stage.finisher.quitting()
    stage.finisher.last_words()
    (folder,) = (tmp_path / "reports").iterdir()
    assert "the run could not be written: no disk takes its last rows" in caplog.text
    assert capsys.readouterr().err == f"{where(folder)}\n"
    assert (stage.environment.process_exit_code, stage.commands) == (FAILED, [])


@pytest.mark.parametrize(
    ("status", "removed", "said"),
    [
        (
            -9,
            False,
            "the process that makes the report was killed by signal 9: rows are in {}; run python -m",
        ),
        (2, False, "the process that makes the report ended with exit status 2: rows are in {}; run python"),
        (2, True, "{} was removed before its report was made: its rows are gone with it"),
    ],
)
def test_a_report_that_is_not_made_leaves_its_reason_and_where_the_rows_are(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    status: int,
    removed: bool,
    said: str,
) -> None:
    """The process that makes it was killed, or its folder was removed: status 1, and one line."""
    stage = Stage(monkeypatch, tmp_path)
    stage.has(measured(two_settings()))
    stage.finisher.stopped()
    (folder,) = tmp_path.iterdir()
    stage.status = status
    stage.meanwhile = lambda: shutil.rmtree(folder) if removed else None
    stage.finisher.quitting()
    assert stage.environment.process_exit_code == FAILED
    assert said.format(folder) in caplog.text


def test_leaving_at_once_ends_the_report_and_says_where_the_rows_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second Ctrl-C: during the run the rows are in its journal, later in its folder."""
    stage = Stage(monkeypatch, tmp_path)
    stage.has(measured(two_settings()))
    (folder,) = tmp_path.iterdir()
    stage.finisher.leave()
    assert capsys.readouterr().err == f"{where(folder)}\n"
    stage.finisher.stopped()
    stage.meanwhile = stage.finisher.leave
    stage.finisher.quitting()
    assert capsys.readouterr().err == f"{where(folder)}\n"
    assert "report killed" in stage.done
