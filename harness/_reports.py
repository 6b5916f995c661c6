"""From records to results: the twin's run folder, the limits, the report."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.live import Live

import scenarios
from harness._executors import WORTH_A_POOL, executor_at
from harness._refusal import FAILED, UNUSABLE, Refusal
from harness.live import recover
from harness.measure import (
    Calibration,
    Offer,
    Results,
    Run,
    RunFolder,
    RunFolderError,
    RunUnusable,
    Twin,
    load_polls,
    load_run,
    write_report,
)
from harness.plan import limits, offer
from harness.virtual import (
    Progress,
    VisitTooLong,
    calibrate,
    choose_engine,
    resized,
    sample_polls,
    simulate,
    twin_of,
)
from scenarios import MOST_ROWS, Options, Scenario, load_scenario, portable
from scenarios.documents import DocumentError, counted


def make_report(
    folder: Path, scenario: Scenario | None = None, on_note: Callable[[str], object] = lambda _note: None
) -> Results:
    """Make the report of a run's folder anew and return its results.

    ``scenario`` is the one that was run, for the theoretical limit and the twin; without it the folder's own
    copy serves. Where its trace files are not there, ``on_note`` is told why there is no limit. Raises
    ``Refusal`` when the folder cannot be read or written.
    """
    try:
        if (recovered := recover(folder)) is not None:
            ended = "had ended, and was not written" if recovered.incomplete is None else "was cut short"
            kept = f"its journal kept {counted(recovered.jobs, 'job')} and {counted(recovered.polls, 'poll')}"
            on_note(f"{folder}: its run {ended}; {kept}")
        run = load_run(folder)
        scenario = _scenario_of(folder, run, scenario, on_note)
        found = None if scenario is None else limits(scenario, run)
        twin, calibration = _twin(folder, run, scenario), _calibration(folder, run, scenario)
        return write_report(folder, found, run, twin, calibration, _offer(folder, run, scenario))
    except RunUnusable as error:
        raise Refusal(str(error), UNUSABLE) from error
    except RunFolderError as error:
        # A folder where a file of the run belongs is damage, as any other; the rest is the disk's.
        damaged = isinstance(error.__cause__, IsADirectoryError)
        raise Refusal(str(error), UNUSABLE if damaged else FAILED) from error


def meets_objectives(results: Results) -> bool:
    """Say whether some setting is known to meet every objective."""
    return any(figures.meets_objectives for figures in results.settings.values())


def _scenario_of(
    folder: Path, run: Run, scenario: Scenario | None, on_note: Callable[[str], object]
) -> Scenario | None:
    """Return the scenario that was simulated; None where that cannot be read or nothing was."""
    if run.info.target == "own":  # whose jobs nobody knows the law of
        return None
    if scenario is None or portable(scenario).sha256 != run.info.scenario.sha256:
        try:
            scenario = load_scenario(folder / "scenario.yaml", secrets=False)
        except DocumentError as error:
            if not (folder / "limits.json").exists():
                on_note(f"no theoretical limit in this report: {error}")
            return None
        if others := sorted(run.info.settings.keys() - scenario.settings.keys()):
            on_note(f"neither limit nor twin in this report: {folder / 'scenario.yaml'} has no {others[0]!r}")
            return None
    return scenario


def _twin(folder: Path, run: Run, scenario: Scenario | None) -> Twin | None:
    """Return what a live run is held against; None where the folder's own record of it must do."""
    if scenario is None or run.info.engine != "live":
        return None
    return twin_of(scenario, run, load_polls(folder))


def _calibration(folder: Path, run: Run, scenario: Scenario | None) -> Calibration | None:
    """Return how visits of a live run scatter, unless the folder keeps it; ``simulate`` has its own."""
    live = run.info.engine == "live" and not run.info.incomplete
    if scenario is None or not live or (folder / "calibration.json").exists():
        return None
    return _calibrated(scenario, run)


def _calibrated(scenario: Scenario, run: Run, cluster: str | None = None) -> Calibration:
    polls = int(run.jobs["polls"].sum()) // max(1, len({visit.repeat for visit in run.visits}))
    # Starting processes takes as long as all of it where arrays do it.
    jobs = WORTH_A_POOL if choose_engine(scenario).engine == "event" else 0
    with executor_at(cluster, jobs) as executor:
        return calibrate(scenario, polls, list(run.info.settings), executor=executor)


def _offer(folder: Path, run: Run, scenario: Scenario | None) -> Offer | None:
    """Return what a short search finds for a live run; None where the folder's own record of it must do."""
    if scenario is None or run.info.engine != "live" or (folder / "plan.json").exists():
        return None
    shipped = scenario.path.resolve().parent == Path(scenarios.__file__).resolve().parent
    named = scenario.path.stem if shipped else str(scenario.path)
    return offer(scenario, shlex.join(["python", "-m", "harness", "plan", named]))


def simulate_to_folder(
    options: Options,
    jobs: int | None,
    settings: Sequence[str] | None,
    out: str | None,
    cluster: str | None = None,
    on_note: Callable[[str], object] = lambda _note: None,
) -> Path:
    """Run the scenario in virtual time and write its records; return the run's folder.

    ``cluster``: the address of a Dask scheduler, ``dask://HOST:PORT``, that has it computed.
    ``on_note`` is told where ``jobs`` is not what makes each visit longer.
    Raises ``Refusal`` when the folder cannot be written, when the scenario is too large to keep or never
    ends, and when the cluster cannot be used. No folder is left where nothing could be written into it.
    """
    scenario = options.scenario
    try:
        _check_size(scenario, jobs, settings)
        if jobs is not None:
            scenario, note = resized(scenario, jobs)
            if note is not None:
                on_note(f"--jobs {jobs}: {note}")
        rows = (jobs or 0) * len(settings or scenario.settings)
        with _run_folder(options, out) as folder:
            with executor_at(cluster, rows) as executor, _progress() as tell:
                run = simulate(scenario, only=settings, executor=executor, on_progress=tell).run
            folder.write(run.info, run.visits, run.jobs, run.polls)
            folder.keep_sample(sample_polls(scenario, run))
            _calibrated(scenario, run, cluster).write(folder.path)
    except OSError as error:
        raise Refusal(str(error), FAILED) from error
    except (ValueError, VisitTooLong) as error:
        raise Refusal(str(error), UNUSABLE) from error
    return folder.path


def _check_size(scenario: Scenario, jobs: int | None, settings: Sequence[str] | None) -> None:
    visits = len(scenario.visits(settings))
    if (jobs or 0) * visits > MOST_ROWS:
        raise ValueError(
            f"--jobs {jobs}: at most {MOST_ROWS // visits} for {visits} visits, since every job's row "
            "is kept; choose fewer settings with -s"
        )


@contextmanager
def _run_folder(options: Options, out: str | None) -> Iterator[RunFolder]:
    """Give the folder of a run; where nothing comes of it, it is taken away again, if it is empty."""
    folder = _new_folder(options, out)
    try:
        yield folder
    except BaseException:
        with suppress(OSError):  # something was written
            folder.path.rmdir()
        raise


def _new_folder(options: Options, out: str | None) -> RunFolder:
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
def _progress() -> Iterator[Callable[[Progress], None] | None]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    with Live(console=console, transient=True, refresh_per_second=4) as live:

        def tell(progress: Progress) -> None:
            live.update(
                f"({progress.visit}/{progress.visits}) {progress.setting}  "
                f"{counted(progress.jobs, 'job')}  {counted(progress.polls, 'poll')}"
            )

        yield tell
