"""The end of a run: raw rows to disk first, then the report, made by a process of its own.

Statistics and charts stay out of the Locust process: its event loop also serves the web page and the workers.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import gevent

from harness._child import PARENT_VARIABLE, python_module
from harness._child import environment as child_environment
from harness._refusal import DONE, FAILED, INTERRUPTED, MISSED, Refusal
from harness.live._journal import Journal
from harness.live._progress import Progress
from harness.live._record import Record
from harness.live._recovery import recover
from harness.live._spool import fallback
from harness.measure import Results, RunFolder, RunUnusable, load_results
from scenarios import Options

if TYPE_CHECKING:  # importing Locust patches the process
    from locust.env import Environment

    from harness.live._conductor import Conductor

logger = logging.getLogger("backoff")

_OF_REPORTS: Final = (DONE, FAILED, MISSED)  # what a report's process says itself
_LEAVE_S: Final = 1.0


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


def _said(folder: Path) -> Results | None:
    """Return what the report of a folder says, None where there is none."""
    try:
        return load_results(folder)
    except RunUnusable:  # why, its maker has said
        return None


class Finisher:
    """Turn the conductor's record into a run folder and a report, once per run."""

    def __init__(
        self,
        environment: Environment,
        options: Options,
        conductor: Conductor,
        progress: Progress,
        journal: Journal,
    ) -> None:
        self._environment = environment
        self._options = options
        self._conductor = conductor
        self._progress = progress
        self._journal = journal
        self._unreported: list[Path] = []  # folders, the earliest first
        self._child: subprocess.Popen[bytes] | None = None  # that makes a report
        self._making: Path | None = None  # the folder that it makes a report of
        self._reporting: Any = None  # the greenlet that makes a report in the background
        self._printed = b""  # by what made the report, to be seen when Locust has had its say
        self._words: str | None = None  # what is said last

    @property
    def _headless(self) -> bool:
        return bool(self._environment.parsed_options.headless)

    def stopped(self) -> None:
        """Write the rows of a run that has stopped; for the web page, make its report in the background."""
        self._progress.close()
        record = self._conductor.take_record()
        if record is None:
            return
        if record.is_empty:
            self._journal.discard()
            self._conductor.sweep.reported(None, None)
            return
        written = self._write(record)
        self._tell(written)
        if written is None:
            return
        self._unreported.append(written)
        if not self._headless and (self._reporting is None or self._reporting.ready()):
            self._reporting = gevent.spawn(self._report)

    def _tell(self, written: Path | None) -> None:
        """Have whoever looks know where the rows are, or that there will be no report."""
        if written is None:
            self._conductor.sweep.reported(None, None)
        else:
            self._conductor.sweep.reporting(str(written))

    def quitting(self) -> None:
        """Finish what runs, report what is unreported and let go of the target: Locust ends."""
        try:
            if self._environment.runner is not None:
                self._environment.runner.stop()
            if self._reporting is not None:
                self._reporting.join()
            self._report()
            leave_jobs_out_of_the_exit_status(self._environment)
        finally:
            if self._conductor.target is not None:
                self._conductor.target.close()

    def last_words(self) -> None:
        """Print what the report says, below Locust's own tables, and where a run is that went elsewhere."""
        sys.stdout.flush()
        # As it came: the name of a folder need not be text.
        sys.stdout.buffer.write(self._printed)
        sys.stdout.buffer.flush()
        if self._words is not None:
            print(self._words, file=sys.stderr, flush=True)

    def leave(self) -> None:
        """End what was begun for a run, for this process ends now; say where the rows are."""
        self._progress.close()
        if (child := self._child) is not None:
            with contextlib.suppress(OSError):
                child.kill()
        self._journal.flush(_LEAVE_S)
        written = [self._making] if self._making else []
        begun = [self._journal.folder] if self._journal.folder else []
        for folder in (*written, *self._unreported, *begun):
            print(where(folder), file=sys.stderr, flush=True)

    def _write(self, record: Record) -> Path | None:
        """Make the run whole of its journal, there or in a fallback folder; None where only that is left."""
        is_kept, begun = self._journal.end(), self._journal.folder
        if begun is None:
            self._failed("no folder could be made for it")
            return None
        if is_kept and (whole := self._made_whole(begun, record)) is not None:
            if whole.parent != Path(self._options.config.reports):
                self._say_last(f"the run is in {whole}")
            return whole
        if not is_kept:
            self._failed("no disk takes its last rows")
        self._journal.let_go()
        self._say_last(where(begun))
        return None

    def _made_whole(self, begun: Path, record: Record) -> Path | None:
        if self._is_made_whole(begun):
            self._journal.let_go()
            return begun
        try:
            other = fallback(self._options.scenario.name, record.started_at)
        except OSError as error:
            logger.error("no other folder can be made: %s", error)
            return None
        if self._is_made_whole(begun, other):
            self._journal.discard()
            return other.path
        shutil.rmtree(other.path.parent, ignore_errors=True)
        return None

    def _is_made_whole(self, begun: Path, into: RunFolder | None = None) -> bool:
        """Write the run that a journal has, into its folder or another; say why where that cannot be."""
        try:
            if recover(begun, self._options.scenario, into) is None:
                raise FileNotFoundError(f"{begun} has no journal any more")
        except Exception as error:  # of the disk, mostly; whatever it is, the rows must not be lost
            self._failed(str(error))
            return False
        return True

    def _failed(self, why: str) -> None:
        logger.error("the run could not be written: %s", why)
        self._environment.process_exit_code = FAILED

    def _say_last(self, words: str) -> None:
        """Have words said at the end, and at once where the end may be far; the run has failed."""
        self._environment.process_exit_code = FAILED
        if self._headless:
            self._words = words
        else:
            logger.error("%s", words)

    def _report(self) -> None:
        """Make the reports that are to be made, one after the other."""
        while self._unreported:
            self._report_on(self._unreported.pop(0))

    def _report_on(self, folder: Path) -> None:
        parsed = self._environment.parsed_options
        as_json, required = parsed.report_format == "json", getattr(parsed, "require_objectives", False)
        command = report_command(folder, self._options.scenario.path, as_json=as_json, required=required)
        tied = child_environment(**{PARENT_VARIABLE: str(os.getpid())}, **_seen_here())
        with contextlib.suppress(KeyboardInterrupt):
            to = subprocess.PIPE if self._headless else None
            child = subprocess.Popen(command, env=tied, stdout=to)  # noqa: S603 - our own module, no shell
            self._child, self._making = child, folder
            self._printed, status = child.communicate()[0] or b"", child.returncode
            self._child, self._making = None, None
            if status == INTERRUPTED:
                logger.error("%s", where(folder))
            elif status not in _OF_REPORTS:
                logger.error("%s", _no_report(folder, status))
                status = FAILED
            if self._environment.process_exit_code is None and status:
                self._environment.process_exit_code = status
        self._conductor.sweep.reported(str(folder), _said(folder))


def where(folder: Path) -> str:
    """Return where the rows of a run without a report are, and what makes one of them."""
    return f"rows are in {folder}; run {shlex.join(['python', '-m', 'harness', 'report', str(folder)])}"


def _no_report(folder: Path, status: int) -> str:
    """Return why there is no report, in one line: its process ended with ``status``."""
    if not folder.is_dir():
        return f"{folder} was removed before its report was made: its rows are gone with it"
    how = f"was killed by signal {-status}" if status < 0 else f"ended with exit status {status}"
    return f"the process that makes the report {how}: {where(folder)}"


def _seen_here() -> dict[str, str]:
    """Return what makes a child's text, which is printed here later, as wide and as coloured as ours."""
    if not sys.stdout.isatty():
        return {}
    return {"COLUMNS": str(shutil.get_terminal_size().columns), "FORCE_COLOR": "1"}
