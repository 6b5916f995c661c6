"""From records to what a person reads: the twin's run folder, limits, results, table."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live

from harness._options import Options
from harness.measure import (
    Limits,
    RunFolder,
    RunFolderError,
    RunUnusable,
    load_run,
    render_table,
    write_report,
)
from harness.plan import limits
from harness.virtual import MOST_ROWS, Progress, VisitTooLong, choose_engine, simulate
from scenarios import Scenario, load_scenario
from scenarios.documents import DocumentError

WORTH_A_POOL = 200_000  # jobs; below, starting processes costs more than it saves


def print_report(folder: Path, as_json: bool, scenario: Scenario | None = None) -> None:
    """Make the report of a run's folder and print the comparison.

    ``scenario`` is the one that was run, for the theoretical limit; without it the folder's own copy serves,
    whose trace files may be out of reach. Ends the process with status 1 when the run is incomplete or its
    figures cannot be trusted, and with 2 when the folder cannot be read.
    """
    try:
        results = write_report(folder, _limits(folder, scenario))
    except RunUnusable as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except RunFolderError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    if as_json:
        click.echo(json.dumps(results, indent=2))
    else:
        click.echo(render_table(results, colour=sys.stdout.isatty()))
        click.echo(f"report: {folder / 'report.html'}")
    if not results["complete"] or any(check["status"] == "invalid" for check in results["trust"]):
        sys.exit(1)


def _limits(folder: Path, scenario: Scenario | None) -> Limits | None:
    run = load_run(folder)
    if scenario is None or scenario.sha256 != run.info.scenario.sha256:
        try:
            scenario = load_scenario(folder / "scenario.yaml")
        except DocumentError as error:
            if not (folder / "limits.json").exists():
                click.echo(f"no theoretical limit in this report: {error}", err=True)
            return None
    return limits(scenario, run)


def simulate_to_folder(
    options: Options, jobs: int | None, settings: Sequence[str] | None, out: str | None
) -> Path:
    """Run the scenario in virtual time and write its records; returns the run's folder.

    Ends the process with status 1 when the folder cannot be written, and with 2 when the scenario is too
    large to keep or never ends.
    """
    scenario = options.scenario
    if sys.stderr.isatty():
        click.echo(f"engine: {choose_engine(scenario).reason}", err=True)
    try:
        _check_size(scenario, jobs, settings)
        folder = _run_folder(options, out)
        with _pool((jobs or 0) * len(settings or scenario.settings)) as executor, _progress() as tell:
            run = simulate(scenario, only=settings, jobs=jobs, executor=executor, on_progress=tell).run
        folder.write(run.info, run.visits, run.jobs, run.polls)
    except OSError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    except (ValueError, VisitTooLong) as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    return folder.path


def _check_size(scenario: Scenario, jobs: int | None, settings: Sequence[str] | None) -> None:
    visits = len(scenario.visits(settings))
    if (jobs or 0) * visits > MOST_ROWS:
        raise ValueError(
            f"--jobs {jobs}: at most {MOST_ROWS // visits} for {visits} visits, since every job's row "
            "is kept; choose fewer settings with -s"
        )


def _run_folder(options: Options, out: str | None) -> RunFolder:
    if out is None:
        return RunFolder.create(options.config.reports, options.scenario.name, datetime.now(UTC))
    path = Path(out)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"cannot write to {path}: {error.strerror}; name another folder with --out") from error
    if any(path.iterdir()):
        raise ValueError(f"{path} is not empty, and a run is never overwritten; name a new folder with --out")
    return RunFolder(path)


@contextmanager
def _pool(jobs: int) -> Iterator[Executor | None]:
    if jobs < WORTH_A_POOL or (os.cpu_count() or 1) < 2:
        yield None
    else:
        with ProcessPoolExecutor() as executor:
            yield executor


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None] | None]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    with Live(console=console, transient=True, refresh_per_second=4) as live:

        def tell(progress: Progress) -> None:
            live.update(
                f"({progress.visit}/{progress.visits}) {progress.setting}  "
                f"{progress.jobs:,} jobs  {progress.polls:,} polls"
            )

        yield tell
