"""Which experiment to run and where: command line, then environment, then ``config.yaml``.

Locust imports the locustfile *before* it parses its command line, and the User classes must exist by then.
So ``--scenario`` is looked up here with a small parser of its own; the same option is also declared to
Locust (see ``_hooks``), which then shows it in ``--help`` and does not stumble over it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scenarios import Config, Scenario, choose_scenario, load_config, load_scenario
from scenarios.documents import DocumentError

CONFIG_FILE = "config.yaml"


@dataclass(frozen=True)
class Options:
    """One resolved experiment: the scenario and the deployment it runs in."""

    scenario: Scenario
    config: Config


def find_config(folder: Path | None = None) -> Path:
    """The ``config.yaml`` of the working directory, else the one that came with the project."""
    here = (folder or Path.cwd()) / CONFIG_FILE
    return here if here.is_file() else Path(__file__).resolve().parent.parent / CONFIG_FILE


def resolve(
    scenario: str | None = None,
    *,
    reports: str | None = None,
    port: int | None = None,
    environ: Mapping[str, str] | None = None,
) -> Options:
    """Load what the command line, ``BACKOFF_SCENARIO`` and ``config.yaml`` (in that order) ask for.

    Raises ``DocumentError`` with every fault of the file that is wrong.
    """
    config = load_config(find_config())
    if reports is not None:
        config = replace(config, reports=Path(reports))
    if port is not None:
        config = replace(config, simulator=replace(config.simulator, port=port))
    path = choose_scenario(scenario, os.environ if environ is None else environ, config)
    return Options(load_scenario(path), config)


def from_locust_command_line(argv: Sequence[str] | None = None) -> Options:
    """What ``locust -f harness [--scenario FILE] ...`` asks for.

    Bad input is printed, one fault a line, and ends the process with status 2: nothing has started yet.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--scenario")
    parser.add_argument("--reports")
    parser.add_argument("--simulator-port", type=port_number)
    known, _ = parser.parse_known_args(sys.argv[1:] if argv is None else argv)
    try:
        return resolve(known.scenario, reports=known.reports, port=known.simulator_port)
    except DocumentError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def port_number(text: str) -> int:
    """A TCP port from the command line; 0 asks for any free one."""
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give a number from 0 to 65535")
    return port
