"""What the harness adds to Locust's command line.

Locust imports the locustfile *before* it parses its command line, and the User classes must exist by then.
So the options are looked up here with a small parser of its own; the same ones are also declared to Locust,
which then shows them in ``--help`` and does not stumble over them.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from harness._child import COMMAND_VARIABLE
from harness._refusal import UNUSABLE
from harness.live._consent import Consent, host_of
from scenarios import Options, resolve
from scenarios.documents import DocumentError

_LOOPBACK: Final = "127.0.0.1"


def options_asked_for(argv: Sequence[str] | None = None) -> Options:
    """Return what ``locust -f harness [--scenario FILE] ...`` asks for.

    Bad input is printed, one fault a line, and ends the process with status 2: nothing has started yet.
    """
    known = _known(argv)
    try:
        # Apart, for Locust forks its workers from this process, which must have no threads by then.
        return resolve(
            known.scenario,
            reports=known.reports,
            port=known.simulator_port,
            margin=known.margin,
            apart=True,
        )
    except DocumentError as error:
        print(error, file=sys.stderr)
        sys.exit(UNUSABLE)


def consent_given(argv: Sequence[str] | None = None) -> Consent:
    """Return what ``locust -f harness [--allow-host HOST] [--yes] ...`` allows."""
    known = _known(argv)
    typed = os.environ.get(COMMAND_VARIABLE) or shlex.join(["locust", *sys.argv[1:]])
    return Consent(frozenset(known.allow_host), known.yes, tuple(shlex.split(typed)))


def _known(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--scenario")
    parser.add_argument("--reports")
    parser.add_argument("--simulator-port", type=_port_number)
    parser.add_argument("--margin", type=_share)
    parser.add_argument("--allow-host", action="append", default=[], type=_host)
    parser.add_argument("--yes", action="store_true")
    return parser.parse_known_args(sys.argv[1:] if argv is None else argv)[0]


def _host(text: str) -> str:
    try:
        return host_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _port_number(text: str) -> int:
    """Return a TCP port from the command line; 0 asks for any free one."""
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give a number from 0 to 65535")
    return port


def _share(text: str) -> float:
    """Return a share from the command line."""
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is no share; give a number from 0 to 1, such as 0.02")
    return share


def add_arguments(parser: argparse.ArgumentParser, **_: Any) -> None:
    """Declare the options to Locust, and keep its servers on this machine unless asked."""
    add: Callable[..., Any] = parser.add_argument  # Locust adds the keyword include_in_web_ui
    hidden = {"include_in_web_ui": False}
    add(
        "--scenario",
        metavar="<file or name>",
        help="The experiment to run: a YAML file, or the name of one in scenarios/. Defaults to the "
        "environment variable BACKOFF_SCENARIO, then to config.yaml",
        **hidden,
    )
    add("--reports", metavar="<folder>", help="Where report folders go. Defaults to config.yaml", **hidden)
    add(
        "--simulator-port",
        type=_port_number,
        metavar="<port>",
        help="Where the simulator listens; 0 takes any free port. Defaults to config.yaml. "
        "With --host no simulator is started",
        **hidden,
    )
    add(
        "--report-format",
        choices=["table", "json"],
        default="table",
        help="What to print when a headless run has ended: the comparison as a table, or results.json",
        **hidden,
    )
    add(
        "--no-progress",
        action="store_true",
        help="Do not tell on standard error how far a headless run is, where Locust's log is off",
        **hidden,
    )
    add(
        "--margin",
        type=_share,
        metavar="<share>",
        help="The smallest difference that matters, as a share of the reference, instead of the scenario's",
        **hidden,
    )
    add(
        "--require-objectives",
        action="store_true",
        help="End with status 3 where no setting is known to meet every objective",
        **hidden,
    )
    add(
        "--allow-host",
        action="append",
        type=_host,
        metavar="<host>",
        help="A machine that the scenario's target may be on, or its jobs be polled at (repeatable). "
        "Every node needs it",
        **hidden,
    )
    add(
        "--yes",
        action="store_true",
        help="Do not ask before requests are sent to a target on another machine",
        **hidden,
    )
    # Locust listens on every interface unless told otherwise; here nothing does unless asked.
    parser.set_defaults(web_host=_LOOPBACK, master_bind_host=_LOOPBACK)
