"""The end of a run: raw rows to disk first, then the report, made by a process of its own.

Statistics and charts stay out of the Locust process: its event loop also serves the web page and the workers.
"""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import gevent

from harness._child import environment, python_module
from harness._refusal import FAILED, Refusal
from harness.live._progress import Progress
from harness.live._record import Record
from harness.measure import RunFolder, RunInfo, job_frame, poll_frame, run_info
from harness.virtual import with_way_back
from scenarios import Options, Scenario

if TYPE_CHECKING:  # importing Locust patches the process
    from locust.env import Environment

    from harness.live._conductor import Conductor

logger = logging.getLogger("backoff")

_REPORTED_PACKAGES: Final = ("flask", "gevent", "locust", "numpy", "requests", "scipy")


def check_reports_folder(folder: Path) -> None:
    """Make sure that a report can be written into ``folder``; raise ``Refusal`` saying what to change."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise Refusal(
            f"cannot write reports to {folder}: {error.strerror}; choose another folder with --reports or "
            "`reports` in config.yaml",
            FAILED,
        ) from error


def info_of(scenario: Scenario, record: Record) -> RunInfo:
    """Return what was run, when and where; of the scenario's settings those that the run planned to visit."""
    target = scenario.target
    return run_info(
        scenario,
        {plan.setting for plan in record.plans},
        engine="live",
        started_at=record.started_at,
        packages=_REPORTED_PACKAGES,
        incomplete=record.incomplete,
        target="simulator" if target is None else "own",
        finish_resolution_s=1.0 if target is not None and target.dialect.status.finished_at else 0.0,
    )


def report_command(folder: Path, scenario: Path, *, as_json: bool, required: bool = False) -> list[str]:
    """Return the command that makes the report of a run folder and prints it.

    required: it shall fail where no setting meets the objectives.
    """
    command = python_module("harness", "report", str(folder), "--scenario", str(scenario))
    command += ["--require-objectives"] if required else []
    return [*command, "--json"] if as_json else command


def leave_jobs_out_of_the_exit_status(environment: Environment) -> None:
    """Have Locust end with status 0 where its only failures are jobs: that some are lost is a finding.

    Locust has them as failures, in rows of their own, and would end with 1 because of them.
    """
    runner = environment.runner
    of_jobs = runner is not None and runner.errors and not runner.exceptions
    log = sys.modules.get("locust.log")  # importing it here would patch the process
    if environment.process_exit_code is None and of_jobs and not (log and log.unhandled_greenlet_exception):
        environment.process_exit_code = 0


class Finisher:
    """Turn the conductor's record into a run folder and a report, once per run."""

    def __init__(
        self, environment: Environment, options: Options, conductor: Conductor, progress: Progress
    ) -> None:
        self._environment = environment
        self._options = options
        self._conductor = conductor
        self._progress = progress
        self._unreported: Path | None = None
        self._reporting: Any = None  # the greenlet that makes a report in the background

    @property
    def _headless(self) -> bool:
        return bool(self._environment.parsed_options.headless)

    def stopped(self) -> None:
        """Write the rows of a run that has stopped; for the web page, make its report in the background."""
        self._progress.close()
        record = self._conductor.take_record()
        if record is None or not (record.visits or record.jobs):
            return
        self._unreported = self._write(record)
        if self._unreported is not None and not self._headless:
            self._reporting = gevent.spawn(self._report)

    def quitting(self) -> None:
        """Finish what runs, report what is unreported and let go of the target: Locust ends."""
        try:
            if self._environment.runner is not None:
                self._environment.runner.stop()
            self._report()
            if self._reporting is not None:
                self._reporting.join()
            leave_jobs_out_of_the_exit_status(self._environment)
        finally:
            if self._conductor.target is not None:
                self._conductor.target.close()

    def _write(self, record: Record) -> Path | None:
        scenario = self._options.scenario
        try:
            folder = RunFolder.create(self._options.config.reports, scenario.name, record.started_at)
            jobs, polls = job_frame(record.jobs.frame()), poll_frame(record.polls.frame())
            if scenario.target is None:
                jobs = with_way_back(scenario, jobs, polls)
            folder.write(info_of(scenario, record), record.visits, jobs, polls)
        except OSError as error:
            logger.error("the run could not be written: %s", error)
            self._environment.process_exit_code = FAILED
            return None
        return folder.path

    def _report(self) -> None:
        folder, self._unreported = self._unreported, None
        if folder is None:
            return
        parsed = self._environment.parsed_options
        as_json, required = parsed.report_format == "json", getattr(parsed, "require_objectives", False)
        command = report_command(folder, self._options.scenario.path, as_json=as_json, required=required)
        with contextlib.suppress(KeyboardInterrupt):
            status = subprocess.run(command, check=False, env=environment()).returncode  # noqa: S603 - our own module, no shell
            if self._environment.process_exit_code is None and status:
                self._environment.process_exit_code = status
