"""The command line: thin commands over the library, which each imports in its body: help comes at once."""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from harness._child import COMMAND_VARIABLE, environment, python_module
from harness._refusal import DONE, FAILED, MISSED, UNUSABLE, Refusal

if TYPE_CHECKING:
    from harness.plan import Plan
    from scenarios import Options, Scenario

_MOST_PROCESSES_PER_CORE: Final = 4
_HARNESS_FOLDER: Final = Path(__file__).resolve().parent


_EXIT_STATUS: Final = """
Exit status: 0 done and trustworthy (compare: same or better); 1 the machine failed or the figures cannot be
trusted (compare: worse); 2 unusable input, nothing was started; 3 objectives are required and no setting is
known to meet them all; 130 interrupted.
"""


class _Commands(click.Group):
    """The one place where a refusal becomes an exit."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Refusal as refusal:
            if refusal.message:
                _say(refusal.message)
            ctx.exit(refusal.status)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EXIT_STATUS)
@click.version_option(package_name="backoff-harness")
def main() -> None:
    """Measure which polling backoff a client of an asynchronous job API should ship."""


def _end(status: int) -> None:
    click.get_current_context().exit(status)


def _colour() -> bool:
    """Return whether standard output takes colours (https://no-color.org, https://force-color.org)."""
    return not os.environ.get("NO_COLOR") and (sys.stdout.isatty() or bool(os.environ.get("FORCE_COLOR")))


def _say(message: str) -> None:
    """Print lines on standard error; a terminal obeys nothing of what a user typed or a file held."""
    from scenarios.documents import printable

    click.echo("\n".join(map(printable, message.split("\n"))), err=True)


def _options(
    scenario: str | None, reports: str | None = None, port: int | None = None, margin: float | None = None
) -> Options:
    """Return the resolved experiment; raises ``Refusal`` with one fault a line."""
    from scenarios import resolve
    from scenarios.documents import DocumentError

    try:
        return resolve(scenario, reports=reports, port=port, margin=margin)
    except DocumentError as error:
        raise Refusal(str(error), UNUSABLE) from error


def _simulated(options: Options) -> Options:
    """Return the options of a command that simulates; raises ``Refusal`` where there is no job to."""
    from scenarios import NothingToSimulate

    try:
        options.scenario.simulation  # noqa: B018 - asked for whether there is one
    except NothingToSimulate as error:
        raise Refusal(str(error), UNUSABLE) from error
    return options


_MARGIN: Final = click.option(
    "--margin",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="The smallest difference that matters, as a share of the reference (default: the scenario's, 0.02).",
)
_REQUIRED: Final = click.option(
    "--require-objectives",
    "required",
    is_flag=True,
    help="End with status 3 where no setting is known to meet every objective.",
)


def _check_required(required: bool, scenario: Scenario) -> None:
    """Raise ``Refusal`` where objectives are required of a scenario that has none."""
    if required and not scenario.objectives:
        raise Refusal(
            f"--require-objectives: {scenario.name} has no objectives; add some, such as "
            "objectives: {lag_p95: 2s}",
            UNUSABLE,
        )


_EXECUTOR: Final = click.option(
    "--executor",
    metavar="dask://HOST:PORT",
    help="Have a Dask cluster simulate, instead of this machine alone; what comes out is the same.",
)
_LEAVE: Final = (
    click.option(
        "--allow-host",
        "hosts",
        multiple=True,
        metavar="HOST",
        help="A machine that the scenario's target may be on, or its jobs be polled at (repeatable).",
    ),
    click.option("--yes", is_flag=True, help="Do not ask before requests are sent to another machine."),
)


def _leave(command: Callable[..., None]) -> Callable[..., None]:
    """Add the arguments by which a target on another machine may be polled."""
    for decorate in reversed(_LEAVE):
        command = decorate(command)
    return command


def _free_port() -> int:
    """Return a TCP port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _check_names(wanted: Sequence[str], scenario: Scenario) -> None:
    """Raise ``Refusal`` unless every wanted setting exists."""
    try:
        scenario.visits(wanted)
    except ValueError as error:
        raise Refusal(str(error), UNUSABLE) from error


@main.command(epilog="Example: python -m harness run outage -s constant-1s")
@click.argument("scenario", required=False)
@click.option(
    "-s", "--setting", "settings", multiple=True, metavar="NAME", help="Run only this one (repeatable)."
)
@click.option("--reports", metavar="DIR", help="Where the report folder goes (default: config.yaml).")
@click.option("--port", type=click.IntRange(0, 65535), help="The simulator's port; 0 takes any free one.")
@click.option("--processes", type=click.IntRange(1), help="Spread the lanes over this many processes.")
@_MARGIN
@_REQUIRED
@_leave
@click.option("--json", "as_json", is_flag=True, help="Print results.json instead of a table.")
@click.option("-q", "--quiet", is_flag=True, help="Do not tell on standard error how far the run is.")
def run(
    scenario: str | None,
    settings: tuple[str, ...],
    reports: str | None,
    port: int | None,
    processes: int | None,
    margin: float | None,
    required: bool,
    hosts: tuple[str, ...],
    yes: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run SCENARIO live and report.

    A simulator process of its own, or the scenario's target, is polled by Locust's lanes, setting after
    setting.

    SCENARIO is a YAML file or the name of one in scenarios/; without it BACKOFF_SCENARIO, then config.yaml
    decide.
    """
    options = _options(scenario, reports, port)
    _check_names(settings, options.scenario)
    _check_required(required, options.scenario)
    lanes, most = options.scenario.workload.lanes, _MOST_PROCESSES_PER_CORE * (os.cpu_count() or 1)
    if processes and processes > min(lanes, most):
        raise Refusal(
            f"--processes {processes}: at most {min(lanes, most)}, for {lanes} lanes on this machine",
            UNUSABLE,
        )
    command = python_module("locust", "-f", str(_HARNESS_FOLDER), "--headless", "--skip-log-setup")
    command += ["--scenario", str(options.scenario.path), "--reports", str(options.config.reports)]
    command += ["--simulator-port", str(options.config.simulator.port)]
    command += ["--report-format", "json" if as_json else "table"]
    if quiet or (as_json and not sys.stderr.isatty()):
        command += ["--no-progress"]
    command += [*(f"--allow-host={host}" for host in hosts), *(["--yes"] if yes else [])]
    command += [f"--margin={margin}"] if margin is not None else []
    command += ["--require-objectives"] if required else []
    if processes and processes > 1:
        # Locust's fixed port would let two runs at once take each other's workers.
        master = str(_free_port())
        command += ["--processes", str(processes), "--master-bind-port", master, "--master-port", master]
    # Locust takes this process over: signals, terminal and exit status are then simply its own.
    typed = f"{click.get_current_context().find_root().command_path} {shlex.join(sys.argv[1:])}"
    os.execve(sys.executable, [*command, *settings], environment(**{COMMAND_VARIABLE: typed}))  # noqa: S606 - our own arguments, no shell


@main.command(epilog="Example: python -m harness simulate long-tail --jobs 10000")
@click.argument("scenario", required=False)
@click.option(
    "--jobs", type=click.IntRange(1), help="Jobs per visit (or over repeats, where a visit cannot be longer)."
)
@click.option(
    "-s", "--setting", "settings", multiple=True, metavar="NAME", help="Run only this one (repeatable)."
)
@click.option(
    "--out", metavar="DIR", help="The run's own folder (default: a new one in config.yaml's reports)."
)
@_EXECUTOR
@_MARGIN
@_REQUIRED
@click.option("--json", "as_json", is_flag=True, help="Print results.json instead of a table.")
def simulate(
    scenario: str | None,
    jobs: int | None,
    settings: tuple[str, ...],
    out: str | None,
    executor: str | None,
    margin: float | None,
    required: bool,
    as_json: bool,
) -> None:
    """Run SCENARIO in virtual time.

    The same jobs, pollers and service as live, without waiting; the same records and report.
    """
    from harness._reports import simulate_to_folder
    from harness.virtual import choose_engine

    options = _simulated(_options(scenario, margin=margin))
    _check_names(settings, options.scenario)
    _check_required(required, options.scenario)
    if sys.stderr.isatty():
        _say(f"engine: {choose_engine(options.scenario).reason}")
    folder = simulate_to_folder(options, jobs, settings or None, out, executor, on_note=_say)
    _report(folder, as_json, options.scenario, required)


def _report(folder: Path, as_json: bool, scenario: Scenario | None, required: bool) -> None:
    """Make a run's report and print the comparison; end with status 1 when it cannot be trusted."""
    from harness._reports import make_report, meets_objectives
    from harness.measure import render_table

    results = make_report(folder, scenario, on_note=_say)
    if as_json:
        click.echo(json.dumps(results.to_json(), indent=2))
    else:
        click.echo(render_table(results, colour=_colour()))
        if results.recommendation.setting is not None:
            words = [str(folder / "scenario.yaml"), results.recommendation.setting]
            click.echo(
                f"as code: {shlex.join(['python', '-m', 'harness', 'export', *words, '--to', 'python'])}"
            )
        if results.target == "simulator" and not (results.plan and results.plan.words()):
            planned = folder / "scenario.yaml" if scenario is None else scenario.path
            words = ["python", "-m", "harness", "plan", str(planned)]
            click.echo(f"a better schedule, if there is one: {shlex.join(words)}")
        click.echo(f"report: {folder / 'report.html'}")
    if not results.is_trustworthy:
        _end(FAILED)
    _end(MISSED if required and not meets_objectives(results) else DONE)


class _Seconds(click.ParamType):  # type: ignore[type-arg]  # generic only from click 8.4 on
    """A duration as scenarios spell it: ``0.5``, ``250ms``, ``1m30s``; more than none."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from scenarios.documents import parse_seconds

        try:
            seconds = parse_seconds(_plain(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if seconds <= 0:
            self.fail(f"{value} is not more than 0", param, ctx)
        return seconds


class _RunFolder(click.ParamType):  # type: ignore[type-arg]  # generic only from click 8.4 on
    """A run's folder, or a file in it; ``latest`` and ``latest~1`` by the reports folder."""

    name = "run"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        del param, ctx
        if isinstance(value, Path) or not value.startswith("latest"):
            return Path(value)
        from harness._runs import run_called

        return run_called(value)


def _plain(text: Any) -> Any:
    """Return a plain number of seconds as a number: on a command line nothing else can tell it from text."""
    try:
        return float(text)
    except ValueError:
        return text


_PLANNING: Final = [
    click.argument("scenario", required=False),
    click.option(
        "--cost",
        type=_Seconds(),
        metavar="DURATION",
        help="The lag that one poll is worth, such as 0.5 or 250ms (default: what the baseline implies).",
    ),
    click.option(
        "--jobs-per-day",
        type=click.FloatRange(0, min_open=True),
        default=1e6,
        show_default=True,
        help="How many jobs the server must be sized for.",
    ),
    click.option(
        "--run", type=_RunFolder(), metavar="RUN", help="A live run whose server CPU time sizes the server."
    ),
    _EXECUTOR,
    click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON."),
]


def _planning(command: Callable[..., None]) -> Callable[..., None]:
    """Add the arguments that ``plan`` and ``tune`` share."""
    for decorate in reversed(_PLANNING):
        command = decorate(command)
    return command


@main.command(epilog="Example: python -m harness plan outage --cost 0.5")
@_planning
def plan(
    scenario: str | None,
    cost: float | None,
    jobs_per_day: float,
    run: Path | None,
    executor: str | None,
    as_json: bool,
) -> None:
    """Name the setting to ship for SCENARIO.

    With the theoretical limit, what happens if durations differ from what was assumed, and the server's size.
    """
    from harness._plans import ask

    _print_plan(ask(_simulated(_options(scenario)), cost, jobs_per_day, run, executor), as_json)


def _print_plan(answer: Plan, as_json: bool) -> None:
    from harness.plan import render_plan

    click.echo(json.dumps(answer.to_json(), indent=2) if as_json else render_plan(answer, colour=_colour()))


@main.command(epilog="Example: python -m harness tune video-translation --verify")
@_planning
@click.option("--verify", "verified", is_flag=True, help="Run the winner and the baseline live and compare.")
@click.option("--port", type=click.IntRange(0, 65535), help="The simulator's port; 0 takes any free one.")
@_leave
def tune(
    scenario: str | None,
    cost: float | None,
    jobs_per_day: float,
    run: Path | None,
    executor: str | None,
    as_json: bool,
    verified: bool,
    port: int | None,
    hosts: tuple[str, ...],
    yes: bool,
) -> None:
    """Plan for SCENARIO, and verify it live.

    --verify runs the winner and the baseline live, on the scenario's target if it has one, and prints
    predicted beside measured.
    """
    from harness._plans import ask, print_verification, verify

    options = _simulated(_options(scenario))
    answer = ask(options, cost, jobs_per_day, run, executor)
    _print_plan(answer, as_json)
    if verified:
        verification = verify(options, answer, port, hosts, agreed=yes)
        print_verification(verification)
        _end(verification.status)


@main.command(epilog="Example: python -m harness export video-translation exponential --to tenacity")
@click.argument("words", nargs=-1, metavar="[SCENARIO] SETTING")
@click.option("--to", "form", metavar="FORM", help="The form that is wanted; --list shows them all.")
@click.option("--nearest", is_flag=True, help="Take the nearest setting that the form can express.")
@click.option("--out", metavar="FILE", help="Write a new file instead of printing.")
@click.option("--list", "listed", is_flag=True, help="Show the forms, and what each can express.")
def export(words: tuple[str, ...], form: str | None, nearest: bool, out: str | None, listed: bool) -> None:
    """Print a setting as code, or as configuration of a library.

    SETTING is the name of one of SCENARIO's settings or of a preset, or YAML such as
    '{curve: constant, initial: 5s}', as plan prints it; - reads YAML from standard input.
    """
    from harness._exports import form_named, render_forms, save, wanted, written

    if listed:
        click.echo(render_forms(), nl=False)
        return
    exported = written(wanted(words, _options), form_named(form), nearest)
    for each in exported.differences:
        _say(f"differs: {each.key}: {each.why}; here {each.nearest}")
    for note in exported.untold:
        _say(f"note: {note}")
    if out is None:
        click.echo(exported.text, nl=False)
    else:
        save(exported.text, out)


@main.command(epilog="Example: python -m harness check scenarios/*.yaml")
@click.argument("scenarios", nargs=-1, metavar="SCENARIO...")
@click.option("--presets", is_flag=True, help="Show what every preset costs, instead or besides.")
def check(scenarios: tuple[str, ...], presets: bool) -> None:
    """Validate; say what would run at what cost.

    Of presets that are used, also the period between polls, polls and lag for jobs of 5, 60 and 600 s.
    """
    from harness._presets import preset_lines, presets_used, render_presets

    if presets:
        click.echo(render_presets(), nl=False)
    elif not scenarios:
        raise click.UsageError("Missing argument 'SCENARIO...'.")
    from harness.live import seconds_before_visit, too_much
    from harness.virtual import visit_costs
    from scenarios import describe, requests_asked_for, resolve
    from scenarios.documents import DocumentError

    faults = []
    for name in scenarios:
        try:
            options = resolve(name)
        except DocumentError as error:
            faults.append(str(error))
        else:
            scenario = options.scenario
            costs = visit_costs(scenario) if scenario.job else {}
            starting = seconds_before_visit(scenario.workload.lanes)
            asked = requests_asked_for(scenario, costs)
            over = too_much(asked, scenario.workload.transport, options.config.simulator.processes)
            click.echo("\n".join(describe(scenario, costs, starting, over)))
            for line in preset_lines(presets_used(scenario)):
                click.echo(f"  {line}")
    if faults:
        raise Refusal("\n".join(faults), UNUSABLE)


@main.command(epilog="Example: python -m harness report latest")
@click.argument("folder", type=_RunFolder(), metavar="RUN")
@click.option("--scenario", metavar="FILE", help="The scenario that was run, where its trace files are.")
@_REQUIRED
@click.option("--json", "as_json", is_flag=True, help="Print results.json instead of a table.")
def report(folder: Path, scenario: str | None, required: bool, as_json: bool) -> None:
    """Make the report of a RUN anew: of its folder, or of a file in it.

    results.json and report.html are functions of the raw rows in the folder.
    """
    from scenarios import resolve
    from scenarios.documents import DocumentError, is_there

    folder = folder.parent if is_there(folder) and folder.is_file() else folder
    original = None
    if scenario:
        try:
            original = resolve(scenario).scenario
        except DocumentError as error:  # edited since the run, perhaps; the rows must not wait for that
            _say(f"{error}\nthe run's own copy of its scenario is used instead")
    _report(folder, as_json, original, required)


_NEW: Final = """
Examples:

\b
  python -m harness new
  python -m harness new --preset google-api-core-lro
  python -m harness new --trace durations.csv --column seconds
  python -m harness new --curl "curl -X POST http://127.0.0.1:5000/jobs"
  python -m harness new --from reports/staging-20260101T000000Z --out model.yaml
"""


@main.command(epilog=_NEW)
@click.option(
    "--from", "run", type=_RunFolder(), metavar="RUN", help="Model the service that this run polled."
)
@click.option("--trace", metavar="FILE", help="Measured durations: CSV, TSV, JSON Lines or Parquet.")
@click.option(
    "--column", metavar="C", help="With --trace: the column of durations (default: found by its name)."
)
@click.option("--preset", metavar="NAME", help="What a well-known client ships, as the baseline.")
@click.option(
    "--curl",
    metavar="COMMAND",
    help="Poll your own API: the curl command that submits a job; - is standard input.",
)
@click.option(
    "--allow-host", "hosts", multiple=True, metavar="HOST", help="With --curl: a machine to send it to."
)
@click.option(
    "--yes", is_flag=True, help="With --curl: do not ask, neither before sending nor about the guess."
)
@click.option("--out", metavar="FILE", help="The scenario to write (default: its name, in this folder).")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def new(
    run: Path | None,
    trace: str | None,
    column: str | None,
    preset: str | None,
    curl: str | None,
    hosts: tuple[str, ...],
    yes: bool,
    out: str | None,
    force: bool,
) -> None:
    """Write a commented scenario.

    From a run's records (durations, status latency and failures as seen), from measured durations, from a
    preset, or from one submission to your own API, which is sent once: to this machine, or to a host that is
    allowed. Without a source, a few questions are asked.
    """
    from harness._sources import Wanted, draft_of
    from harness.new import write_draft

    wanted = Wanted(run=run, trace=trace, column=column, preset=preset, curl=curl, hosts=hosts, yes=yes)
    path = write_draft(draft_of(wanted, out, force, say=_say), out, force=force)
    click.echo(f"{path}: check it with {shlex.join(['python', '-m', 'harness', 'check', str(path)])}")


@main.command(epilog="Example: python -m harness compare latest~1 latest --format markdown")
@click.argument("runs", type=_RunFolder(), nargs=-1, required=True, metavar="RUN [RUN...]")
@_MARGIN
@click.option("--force", is_flag=True, help="Compare runs of different experiments all the same.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "markdown", "junit", "html"]),
    default="table",
    show_default=True,
    help="What to print: markdown for a pull request, junit for a build server, html as a page of its own.",
)
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
def compare(runs: tuple[Path, ...], margin: float | None, force: bool, form: str) -> None:
    """Tell whether RUNs differ.

    On paired jobs where they are the same, with intervals. Of one RUN, its settings against its baseline.
    Exit status 0: the same or better; 1: something is worse, or an objective that was met is missed; 2: the
    runs cannot be used, or are of different experiments.
    """
    from harness.measure import COMPARISON_FORMATS, RunUnusable, compare_runs

    try:
        comparison = compare_runs(*runs, force=force, margin=margin)
    except RunUnusable as error:
        raise Refusal(str(error), UNUSABLE) from error
    click.echo(COMPARISON_FORMATS[form](comparison), nl=False)
    _end(comparison.exit_code)


@main.command(epilog="Example: python -m harness runs --json")
@click.option("--reports", metavar="DIR", help="The folder of runs (default: config.yaml's).")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def runs(reports: str | None, as_json: bool) -> None:
    """List the runs, newest first, and write index.html beside them.

    The page has the trends of each scenario's settings over its runs. What stands before a run (latest,
    latest~1, ...) is its name wherever a RUN is asked for; outside config.yaml's folder runs have none.
    """
    from harness._runs import are_named, render_runs, runs_in
    from harness._runs_page import write_index
    from scenarios import reports_folder
    from scenarios.documents import DocumentError, printable

    try:
        folder = reports_folder(reports)
    except DocumentError as error:
        raise Refusal(str(error), UNUSABLE) from error
    found = runs_in(folder, named=are_named(folder))
    page = write_index(folder, found) if found else None
    if as_json:
        click.echo(json.dumps([each.to_json() for each in found], indent=2))
    elif page is None:
        click.echo(f"no runs in {printable(str(folder))} yet; make one: python -m harness run")
    else:
        click.echo(render_runs(found, colour=_colour()), nl=False)
        click.echo(f"page: {printable(str(page))}")
