"""``plan`` and ``tune``: ask for the answer, and hold it against a live run."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from harness._child import environment, python_module
from harness._executors import executor_at
from harness._refusal import FAILED, UNUSABLE, Refusal
from harness.measure import FIGURES, Results, RunUnusable, analyse, load_run
from harness.plan import RECOMMENDED, Plan, make_plan
from harness.virtual import simulate
from scenarios import Options, Scenario, load_scenario
from scenarios.documents import DocumentError


def ask(
    options: Options,
    cost: float | None,
    jobs_per_day: float,
    run: str | Path | None,
    cluster: str | None = None,
) -> Plan:
    """Return the plan for a scenario; raises ``Refusal`` for input that cannot be used.

    run: a live run whose server CPU time sizes the server; by default the scenario's newest in the reports
    folder, if there is one. cluster: the address of a Dask scheduler that has candidates simulated.
    """
    console = Console(stderr=True)
    try:
        with executor_at(cluster, 0) as executor, console.status("planning") as status:
            return make_plan(
                options.scenario,
                cost_per_poll_s=cost,
                jobs_per_day=jobs_per_day,
                cpu_per_poll_s=_cpu_per_poll(options, run),
                executor=executor,
                on_progress=status.update if console.is_terminal else None,
            )
    except (DocumentError, RunUnusable, ValueError) as error:
        raise Refusal(str(error), UNUSABLE) from error


@dataclass(frozen=True)
class Verification:
    """Results of the twin and of a live run; ``status`` is the exit status of the latter.

    target: the address of what was run on; None: our simulator, on the very jobs that the twin predicts for.
    """

    predicted: Results
    measured: Results
    status: int
    target: str | None


def verify(
    options: Options, plan: Plan, port: int | None, hosts: Sequence[str] = (), *, agreed: bool = False
) -> Verification:
    """Run the recommended setting and the baseline live: on the scenario's target, if it has one.

    hosts: the machines that the target may be on. agreed: whether nobody need be asked before it is polled.
    Raises ``Refusal`` when nothing is recommended, or when the live run leaves no results; what it printed to
    standard error has then been seen already, and the message is empty.
    """
    if plan.recommendation.setting is None:
        raise Refusal("there is nothing to verify: no setting is recommended", FAILED)
    baseline = options.scenario.baseline or next(iter(options.scenario.settings))
    with tempfile.TemporaryDirectory(prefix="backoff-verify-") as folder:
        path = Path(folder) / "verify.yaml"
        path.write_text(_verification(options.scenario, plan, baseline), encoding="utf-8")
        try:
            scenario = load_scenario(path)
        except DocumentError as error:
            raise Refusal(str(error), UNUSABLE) from error
        predicted = analyse(simulate(scenario).run)
        command = python_module("harness", "run", str(path), "--json")
        command += ["--reports", str(options.config.reports)]
        command += ["--port", str(options.config.simulator.port if port is None else port)]
        command += [*(f"--allow-host={host}" for host in hosts), *(["--yes"] if agreed else [])]
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, env=environment())  # noqa: S603
        if not done.stdout:
            raise Refusal("", done.returncode)
        measured = Results.model_validate_json(done.stdout)
        target = options.scenario.target
        return Verification(predicted, measured, done.returncode, target.base_url if target else None)


def _verification(scenario: Scenario, plan: Plan, baseline: str) -> str:
    """Return a scenario of the recommended setting and the baseline, the files it names by absolute paths."""
    recommended: Mapping[str, Any] = yaml.safe_load(plan.recommendation.yaml or "{}")
    settings = {RECOMMENDED: next(iter(recommended.values()))}
    written: dict[str, Any] = yaml.safe_load(scenario.text)
    if plan.recommendation.setting != baseline:
        settings[baseline] = written["settings"][baseline]
    target: dict[str, Any] = {}
    if scenario.target is not None:
        target = dict(written["target"])  # as written: secrets stay names
        for name in ("ca", "inputs"):
            if isinstance(target.get(name), str):
                target[name] = str(Path(scenario.path.parent, target[name]).absolute())

    def plain(part: BaseModel) -> dict[str, Any]:
        return part.model_dump(mode="json", exclude_none=True)

    document = {
        "name": f"{scenario.name}-verify",
        "question": f"Do the figures predicted for {scenario.name} hold in a live run?",
        "seed": scenario.seed,
        "job": plain(scenario.simulation.job),
        "service": plain(scenario.service),
        **({"target": target} if target else {}),
        "workload": plain(scenario.workload),
        "settings": settings,
        "objectives": dict(scenario.objectives),
        "baseline": baseline if baseline in settings else RECOMMENDED,
    }
    return f"# {document['question']}\n" + yaml.safe_dump(document, sort_keys=False)


def print_verification(verification: Verification) -> None:
    """Print predicted beside measured figures, and every check that found the latter invalid."""
    where = "the same jobs" if verification.target is None else f"jobs of {verification.target}"
    table = Table(title=f"predicted beside measured, on {where}", box=None, title_justify="left")
    for column in ("setting", "figure", "predicted", "measured", "difference"):
        table.add_column(column, justify="left" if column in ("setting", "figure") else "right")
    for name, figures in verification.measured.settings.items():
        for figure in FIGURES.values():
            if not figure.verified:
                continue
            before, after = figure.read(verification.predicted.settings[name]), figure.read(figures)
            if before is None or after is None:
                continue
            change = f"{(after - before) / before:+.1%}" if before else "-"
            table.add_row(name, figure.words, f"{before:.3g}", f"{after:.3g}", change)
    Console(width=None if sys.stdout.isatty() else 80).print(table)
    for check in verification.measured.trust:
        if check.status == "invalid":
            print(f"invalid: {check.check}: {check.detail}")


def _cpu_per_poll(options: Options, run: str | Path | None) -> float | None:
    """Seconds of server CPU that a status request cost in a live run; None where no run says so."""
    if run is not None:
        cost = _cost_in(Path(run))
        if cost is None:
            raise RunUnusable(f"{run}: the server's CPU time was not measured in it; name a live run")
        return cost
    for folder in sorted(options.config.reports.glob(f"{options.scenario.name}-*Z*"), reverse=True):
        try:
            cost = _cost_in(folder)
        except RunUnusable:
            continue
        if cost is not None:
            return cost
    return None


def _cost_in(folder: Path) -> float | None:
    counts = [visit.server for visit in load_run(folder).visits if visit.server]
    polls = sum(each.polls for each in counts)
    if not polls or any(each.cpu_seconds is None for each in counts):
        return None
    return sum(each.cpu_seconds or 0.0 for each in counts) / polls
