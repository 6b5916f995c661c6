"""The command line: thin commands over the library."""

from __future__ import annotations

import difflib
import json
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import click

from harness._options import Options, resolve
from harness._plans import ask, print_plan, verify
from harness._reports import print_report, simulate_to_folder
from scenarios.documents import DocumentError

MOST_PROCESSES_PER_CORE = 4
HARNESS_FOLDER = Path(__file__).resolve().parent


EXIT_STATUS = """
Exit status: 0 done and trustworthy (compare: same or better); 1 the machine failed or the figures cannot be
trusted (compare: worse); 2 unusable input, nothing was started; 130 interrupted.
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_STATUS)
def main() -> None:
    """Measure which polling backoff a client of an asynchronous job API should ship."""


def options_or_exit(scenario: str | None, reports: str | None = None, port: int | None = None) -> Options:
    """The resolved experiment; bad input is printed, one fault a line, with exit status 2."""
    try:
        return resolve(scenario, reports=reports, port=port)
    except DocumentError as error:
        fail(str(error), 2)


def fail(message: str, status: int) -> NoReturn:
    """Print to stderr and end with ``status``."""
    click.echo(message, err=True)
    sys.exit(status)


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_names(wanted: Sequence[str], known: Sequence[str]) -> None:
    """End with status 2 unless every wanted setting exists."""
    for name in wanted:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known)}"
            fail(f"no setting {name!r} in this scenario; {hint}", 2)


@main.command()
@click.argument("scenario", required=False)
@click.option(
    "-s", "--setting", "settings", multiple=True, metavar="NAME", help="Run only this one (repeatable)."
)
@click.option("--reports", metavar="DIR", help="Where the report folder goes (default: config.yaml).")
@click.option("--port", type=click.IntRange(0, 65535), help="The simulator's port; 0 takes any free one.")
@click.option("--processes", type=click.IntRange(1), help="Spread the lanes over this many processes.")
@click.option("--json", "as_json", is_flag=True, help="Print results.json instead of a table.")
def run(
    scenario: str | None,
    settings: tuple[str, ...],
    reports: str | None,
    port: int | None,
    processes: int | None,
    as_json: bool,
) -> None:
    """Run SCENARIO live and report.

    A simulator process of its own is polled by Locust's lanes, setting after setting.

    SCENARIO is a YAML file or the name of one in scenarios/; without it BACKOFF_SCENARIO, then config.yaml
    decide.
    """
    options = options_or_exit(scenario, reports, port)
    check_names(settings, list(options.scenario.settings))
    lanes, most = options.scenario.workload.lanes, MOST_PROCESSES_PER_CORE * (os.cpu_count() or 1)
    if processes and processes > min(lanes, most):
        fail(f"--processes {processes}: at most {min(lanes, most)}, for {lanes} lanes on this machine", 2)
    command = [sys.executable, "-m", "locust", "-f", str(HARNESS_FOLDER), "--headless", "--skip-log-setup"]
    command += ["--scenario", str(options.scenario.path), "--reports", str(options.config.reports)]
    command += ["--simulator-port", str(options.config.simulator.port)]
    command += ["--report-format", "json" if as_json else "table"]
    if processes and processes > 1:
        # Locust's fixed port would let two runs at once take each other's workers.
        master = str(free_port())
        command += ["--processes", str(processes), "--master-bind-port", master, "--master-port", master]
    # Locust takes this process over: signals, terminal and exit status are then simply its own.
    os.execv(sys.executable, [*command, *settings])  # noqa: S606 - our own arguments, no shell


@main.command()
@click.argument("scenario", required=False)
@click.option("--jobs", type=click.IntRange(1), help="Jobs per visit, instead of the scenario's own number.")
@click.option(
    "-s", "--setting", "settings", multiple=True, metavar="NAME", help="Run only this one (repeatable)."
)
@click.option(
    "--out", metavar="DIR", help="The run's own folder (default: a new one in config.yaml's reports)."
)
@click.option("--json", "as_json", is_flag=True, help="Print results.json instead of a table.")
def simulate(
    scenario: str | None, jobs: int | None, settings: tuple[str, ...], out: str | None, as_json: bool
) -> None:
    """Run SCENARIO in virtual time.

    The same jobs, pollers and service as live, without waiting; the same records and report.
    """
    options = options_or_exit(scenario)
    check_names(settings, list(options.scenario.settings))
    folder = simulate_to_folder(options, jobs, settings or None, out)
    print_report(folder, as_json, options.scenario)


PLANNING = [
    click.argument("scenario", required=False),
    click.option(
        "--cost",
        type=click.FloatRange(0, min_open=True),
        metavar="SECONDS",
        help="The seconds of lag that one poll is worth (default: what the baseline implies).",
    ),
    click.option(
        "--jobs-per-day",
        type=click.FloatRange(0, min_open=True),
        default=1e6,
        show_default=True,
        help="How many jobs the server must be sized for.",
    ),
    click.option("--run", metavar="RUN", help="A live run whose server CPU time sizes the server."),
    click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON."),
]


def planning(command: Callable[..., None]) -> Callable[..., None]:
    """The arguments that ``plan`` and ``tune`` share."""
    for decorate in reversed(PLANNING):
        command = decorate(command)
    return command


@main.command()
@planning
def plan(
    scenario: str | None, cost: float | None, jobs_per_day: float, run: str | None, as_json: bool
) -> None:
    """Name the setting to ship for SCENARIO.

    With the theoretical limit, what happens if durations differ from what was assumed, and the server's size.
    """
    print_plan(ask(options_or_exit(scenario), cost, jobs_per_day, run), as_json)


@main.command()
@planning
@click.option("--verify", "verified", is_flag=True, help="Run the winner and the baseline live and compare.")
@click.option("--port", type=click.IntRange(0, 65535), help="The simulator's port; 0 takes any free one.")
def tune(
    scenario: str | None,
    cost: float | None,
    jobs_per_day: float,
    run: str | None,
    as_json: bool,
    verified: bool,
    port: int | None,
) -> None:
    """Plan for SCENARIO, and verify it live.

    --verify runs the winner and the baseline live and prints predicted beside measured.
    """
    options = options_or_exit(scenario)
    answer = ask(options, cost, jobs_per_day, run)
    print_plan(answer, as_json)
    if verified:
        verify(options, answer, port)


@main.command()
@click.argument("scenarios", nargs=-1, required=True, metavar="SCENARIO...")
def check(scenarios: tuple[str, ...]) -> None:
    """Validate; say what would run at what cost."""
    faults = []
    for name in scenarios:
        try:
            options = resolve(name)
        except DocumentError as error:
            faults.append(str(error))
        else:
            click.echo("\n".join(options.scenario.describe()))
    if faults:
        fail("\n".join(faults), 2)


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--scenario", metavar="FILE", help="The scenario that was run, where its trace files are.")
@click.option("--json", "as_json", is_flag=True, help="Print results.json instead of a table.")
def report(folder: Path, scenario: str | None, as_json: bool) -> None:
    """Make the report of a run's FOLDER anew.

    results.json and report.html are functions of the raw rows in the folder.
    """
    original = None
    if scenario:
        try:
            original = resolve(scenario).scenario
        except DocumentError as error:  # edited since the run, perhaps; the rows must not wait for that
            click.echo(f"{error}\nthe run's own copy of its scenario is used instead", err=True)
    print_report(folder, as_json, original)


@main.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN [RUN...]")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
def compare(runs: tuple[str, ...], as_json: bool) -> None:
    """Tell whether RUNs differ.

    On paired jobs where they are the same, with intervals. Of one RUN, its settings against its baseline.
    """
    from harness.measure import RunUnusable, compare_runs

    try:
        comparison = compare_runs(*runs)
    except RunUnusable as error:
        fail(str(error), 2)
    click.echo(json.dumps(comparison.to_json(), indent=2) if as_json else comparison.render())
    sys.exit(comparison.exit_code)
