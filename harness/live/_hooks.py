"""Where the harness meets Locust's events; each listener hands over to the part that does the work."""

from __future__ import annotations

import atexit
import logging
import sys
import time
from typing import Any

import gevent
from locust.env import Environment
from locust.event import Events
from locust.runners import LocalRunner, MasterRunner, WorkerRunner

from harness._refusal import FAILED, INTERRUPTED, UNUSABLE, Refusal
from harness.live._arguments import add_arguments, consent_given
from harness.live._conductor import Conductor
from harness.live._consent import announce, asker, check_host, check_target
from harness.live._files import check_files, check_ports
from harness.live._finish import Finisher, check_reports_folder, leave_jobs_out_of_the_exit_status
from harness.live._journal import Journal
from harness.live._lanes import LoadGenerator
from harness.live._lifeline import end_forks_with_this, end_with_master
from harness.live._messages import (
    AbortVisit,
    BadMessage,
    CheckScenario,
    Message,
    ScenarioChecked,
    StartVisit,
    receive,
    send,
)
from harness.live._page import guard
from harness.live._process import SimulatorError
from harness.live._processes import ThisProcess, Workers, forgive_forgotten
from harness.live._progress import Progress
from harness.live._ramp import seconds_before_visit
from harness.live._signals import stop_on_signals
from harness.live._so_far import overheads_of
from harness.live._sweep import Sweep
from harness.live._tab import Tab
from harness.live._target import OwnTarget, SimulatorTarget, Target
from harness.live._telemetry import send_by_opentelemetry
from harness.virtual import visit_costs
from scenarios import Options, Scenario, describe, one_process_only

logger = logging.getLogger("backoff")


def conductor_of(environment: Environment) -> Conductor:
    """Return the conductor of this process (standalone or master)."""
    conductor: Conductor = environment.backoff_conductor
    return conductor


def install(events: Events, options: Options) -> None:
    """Register the harness with Locust; called once, when the locustfile is imported."""

    def init(environment: Environment, runner: Any, **_: Any) -> None:
        try:
            _check_machine(runner, options.scenario, environment.parsed_options)
            _ask_leave(environment, runner, options.scenario)
        except Refusal as refusal:
            print(refusal, file=sys.stderr)
            sys.exit(refusal.status)
        if isinstance(runner, WorkerRunner):
            _set_up_generator(environment, runner, options)
            _answer_checks(environment, runner, options)
            environment.events.quitting.add_listener(
                lambda **_: leave_jobs_out_of_the_exit_status(environment)
            )
            stop_on_signals(environment)
            end_with_master(runner)
            return
        atexit.register(forgive_forgotten)  # before what Locust has registered
        if environment.web_ui is not None:
            guard(environment.web_ui.app, environment.parsed_options.web_host)
        conductor, finisher = _set_up_conductor(environment, runner, options)
        if isinstance(runner, LocalRunner):
            _set_up_generator(environment, runner, options)
        try:
            conductor.target = _find_target(environment, options)
        except Refusal as refusal:
            print(refusal, file=sys.stderr)
            sys.exit(refusal.status)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        environment.host = conductor.target.url
        _set_up_tab(environment, conductor, options.scenario)
        stop_on_signals(environment, finisher.leave)

    end_forks_with_this()  # for what Locust forks from here on
    events.init_command_line_parser.add_listener(add_arguments)
    events.init.add_listener(init)


def _check_machine(runner: Any, scenario: Scenario, parsed: Any) -> None:
    """Name what this machine has too little of for the scenario; raises ``Refusal`` where no run is possible.

    The process that conducts speaks for all: a worker says nothing, unless it must refuse.
    """
    processes = max(1, parsed.expect_workers or 1) if isinstance(runner, MasterRunner) else 1
    for line in (*check_files(scenario, processes), *check_ports(scenario)):
        if not isinstance(runner, WorkerRunner):
            print(f"note: {line}", file=sys.stderr)


def _ask_leave(environment: Environment, runner: Any, scenario: Scenario) -> None:
    """Raise ``Refusal`` where this process may not load the scenario's target, or is told not to.

    Each process that sends must be allowed to; one of them asks.
    """
    if scenario.target is None:
        return
    consent, parsed = consent_given(), environment.parsed_options
    if isinstance(runner, WorkerRunner):
        check_host(scenario, consent)
        return
    only = [each.__name__ for each in environment.user_classes] if parsed.headless else None
    processes = max(1, parsed.expect_workers or 1) if isinstance(runner, MasterRunner) else 1
    if environment.host:
        raise Refusal(
            f"--host {environment.host}: the scenario polls its target, {scenario.target.base_url}; "
            "leave --host away, or change target.base_url",
            UNUSABLE,
        )
    check_target(scenario, consent, only, processes)
    announce(scenario, consent, only, say=lambda line: print(line, file=sys.stderr), ask=asker())


def _set_up_conductor(environment: Environment, runner: Any, options: Options) -> tuple[Conductor, Finisher]:
    parsed = environment.parsed_options
    # With Locust's logging on, its lines and a progress line would overwrite each other.
    progress = Progress(
        sys.stderr, enabled=parsed.headless and parsed.skip_log_setup and not parsed.no_progress
    )
    processes = (
        Workers(runner, parsed.expect_workers) if isinstance(runner, MasterRunner) else ThisProcess(runner)
    )
    journal = Journal(options.scenario, options.config.reports)
    environment.backoff_costs = visit_costs(options.scenario) if options.scenario.job else {}
    sweep = Sweep(options.scenario, environment.backoff_costs, overheads_of(options.scenario))
    conductor = Conductor(environment, runner, options.scenario, processes, sweep, [progress.update], journal)
    environment.backoff_conductor = conductor
    finisher = Finisher(environment, options, conductor, progress, journal)
    events = environment.events
    events.test_stopping.add_listener(lambda **_: conductor.stopping())
    events.test_stop.add_listener(lambda **_: finisher.stopped())
    events.quitting.add_listener(lambda **_: finisher.quitting())
    events.quit.add_listener(lambda **_: finisher.last_words())
    return conductor, finisher


def _set_up_tab(environment: Environment, conductor: Conductor, scenario: Scenario) -> None:
    if environment.parsed_options.otel:
        send_by_opentelemetry(lambda: conductor.sweep.look(time.monotonic()))
    if environment.web_ui is None:
        return
    lanes = scenario.workload.lanes
    environment.backoff_tab = Tab(
        environment.web_ui,
        conductor.sweep,
        about=describe(scenario, environment.backoff_costs, seconds_before_visit(lanes)),
        lanes=lanes,
        target=environment.host,
        base_path=environment.parsed_options.web_base_path,
    )


def _set_up_generator(environment: Environment, runner: Any, options: Options) -> None:
    def tell(message: Message) -> None:
        send(runner, message)

    def bad(_node: str, error: BadMessage) -> None:
        _leave(environment, f"the master sent a message that cannot be used: {error}")

    generator = LoadGenerator(options.scenario, tell, environment.events.request.fire, consent_given().hosts)
    receive(runner, StartVisit, lambda _node, start: generator.start(start), bad)
    receive(runner, AbortVisit, lambda _node, _abort: generator.abort(), bad)
    # A worker that is stopped by itself (Ctrl-C reaches a whole process group) must still hand over its rows.
    environment.events.test_stopping.add_listener(lambda **_: generator.abort())
    environment.events.quitting.add_listener(lambda **_: generator.abort())


def _answer_checks(environment: Environment, runner: WorkerRunner, options: Options) -> None:
    mine = options.scenario

    def answer(_node: str, theirs: CheckScenario) -> None:
        accepted = mine.sha256 == theirs.sha256
        reason = (
            ""
            if accepted
            else f"its scenario {mine.name} ({mine.sha256[:12]}) is not the master's {theirs.scenario} "
            f"({theirs.sha256[:12]}); start it with the same --scenario file"
        )
        send(runner, ScenarioChecked(accepted=accepted, reason=reason))
        if not accepted:
            _leave(environment, f"refused by the master: {reason}")

    def bad(_node: str, error: BadMessage) -> None:
        _leave(environment, f"the master sent a message that cannot be used: {error}")

    receive(runner, CheckScenario, answer, bad, concurrent=True)


def _leave(environment: Environment, reason: str) -> None:
    """End this worker: it cannot take part."""
    logger.error("%s", reason)
    environment.process_exit_code = UNUSABLE
    gevent.spawn(environment.runner.quit)  # it kills the greenlet that hears messages, perhaps this one


def _find_target(environment: Environment, options: Options) -> Target:
    """Return what will be polled: the scenario's target, what runs at ``--host``, or a simulator.

    Raises ``Refusal`` when there is none, or when its figures would have nowhere to go.
    """
    check_reports_folder(options.config.reports)
    place = options.config.simulator
    if options.scenario.target is not None:
        return OwnTarget(options.scenario.target)
    try:
        if environment.host:
            return SimulatorTarget.attach(environment.host, options.scenario.simulation.fingerprint)
        if faults := one_process_only(options.scenario.simulation, options.config):
            raise Refusal("\n".join(map(str, faults)), UNUSABLE)
        return SimulatorTarget.start(options.scenario.path, place)
    except (SimulatorError, OSError) as error:
        raise Refusal(str(error), FAILED) from error
