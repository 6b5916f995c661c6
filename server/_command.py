"""The command ``python -m server``.

Exit status: 0 stopped, 1 cannot listen, 2 unusable input.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from server._options import at_least_one, descriptor, seconds, share, whole

if TYPE_CHECKING:
    from scenarios import OwnDialect

_CLIENTS_DEFAULT: Final = "http://127.0.0.1:5000"  # where `python -m client` looks unless told otherwise

_SECRETS: Final = ("BACKOFF_SECRET", "BACKOFF_ADMIN_TOKEN")
"""Environment variables, each of which gives ids of jobs a key that nobody else knows."""
_REMEDY: Final = (
    "which could make up ids of jobs, for their key is derived from the simulation; "
    f"set {_SECRETS[0]} to a secret of your own, or use --host 127.0.0.1"
)


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 stopped, 1 cannot listen, 2 unusable input. "
    "Example: python -m server --duration 4s --error-rate 0.1",
)
@click.option("--host", help="Address to listen on (default: config.yaml's, then 127.0.0.1).")
@click.option(
    "--port",
    type=whole(2**16 - 1),
    metavar="PORT",
    help="Default: config.yaml's, then 5000; 0: any free one.",
)
@click.option(
    "--processes",
    type=at_least_one(64),
    metavar="N",
    help="Serve by so many processes (default: config.yaml's, then 1); not for slots, capacity or limits.",
)
@click.option(
    "--scenario",
    metavar="FILE",
    help="A path, or a name in scenarios/ (default: $BACKOFF_SCENARIO, then config.yaml's, then a demo).",
)
@click.option(
    "--duration",
    type=seconds,
    metavar="SECONDS",
    help="Make every job take this long; 250ms and 2m work too.",
)
@click.option("--error-rate", type=share, metavar="P", help="Share of the jobs that fail, 0 to 1.")
@click.option("--seed", type=whole(2**64 - 1), metavar="N", help="Root of all randomness.")
@click.option(
    "--connections",
    type=at_least_one(65_536),
    metavar="N",
    help="Serve at most so many at once in each process (default: as many as the system lets us open).",
)
@click.option("--openapi", is_flag=True, help="Print the OpenAPI document of what would be served.")
@click.option("--exit-with-parent", is_flag=True, help="Stop when standard input ends.")
@click.option(
    "--ready-fd",
    type=descriptor,
    metavar="FD",
    help='Write {"url": ..., "pid": ...} to this file descriptor once it listens.',
)
@click.version_option(package_name="backoff-harness", prog_name="python -m server")
def command(
    host: str | None,
    port: int | None,
    processes: int | None,
    scenario: str | None,
    duration: float | None,
    error_rate: float | None,
    seed: int | None,
    connections: int | None,
    openapi: bool,
    exit_with_parent: bool,
    ready_fd: int | None,
) -> int:
    """Serve the simulated job service."""
    # Here, so that help and a mistake in the options are told at once.
    from scenarios import deployment, one_process_only
    from scenarios.documents import DocumentError, read_document
    from server._openapi import openapi as document_of
    from server._options import overridden
    from server._processes import can_be_several, serve_by_processes
    from server._scenario import simulation_in
    from server._serve import CannotListenError, open_listeners, serve
    from server.app import DEMO, create_app

    try:
        config = deployment(scenario, host=host, port=port, processes=processes)
        found = simulation_in(read_document(config.scenario)) if config.scenario else DEMO
    except DocumentError as error:
        _say(str(error))
        return 2
    simulation = overridden(found, duration=duration, error_rate=error_rate, seed=seed)
    number = config.simulator.processes
    if number > 1 and not can_be_several():
        _say("simulator: several processes need fork and SO_REUSEPORT, which this system has not; use one")
        return 2
    if faults := one_process_only(simulation, config):
        _say("\n".join(map(str, faults)))
        return 2
    if openapi:
        print(json.dumps(document_of(create_app(simulation)), indent=2))
        return 0
    try:
        listeners = open_listeners(config.simulator.host, config.simulator.port, number)
    except CannotListenError as error:
        _say(f"simulator: {error}")
        return 1
    address, bound = listeners[0].getsockname()[:2]
    url = f"http://[{address}]:{bound}" if ":" in address else f"http://{address}:{bound}"
    secret = None  # on this machine ids may be signed with a key derived from the simulation
    if not ip_address(address).is_loopback:
        secret = next(filter(None, map(os.environ.get, _SECRETS)), None)
        if secret is None:
            for listener in listeners:
                listener.close()
            _say(f"simulator: {address} is reachable from other machines, {_REMEDY}")
            return 2
        _say(f"simulator: warning: {address} is reachable from other machines")
    app = create_app(simulation, secret=secret)
    app.config["MOST_CONNECTIONS"] = connections
    if not os.environ.get("BACKOFF_ADMIN_TOKEN"):
        _say(f"simulator: token for /admin/: {app.config['ADMIN_TOKEN']}")
    if simulation.service.dialect != "native":
        _say(f"simulator: {_language(simulation.service.dialect, url)}")
    elif host is None and port is None and url != _CLIENTS_DEFAULT:
        _say(f"simulator: {config.file} says where; poll it with: python -m client --url {url}")
    name = f"{_shown(config.scenario)} (jobs: {simulation.job.duration.describe()})"

    def ready() -> None:
        _say(f"simulator: serving {name} on {url} (Ctrl-C stops)")
        if ready_fd is not None:
            with suppress(OSError):  # whoever wanted to know is gone
                os.write(ready_fd, json.dumps({"url": url, "pid": os.getpid()}).encode() + b"\n")
                if ready_fd > 2:  # the standard streams stay open: another file would get their number
                    os.close(ready_fd)

    if number > 1:
        return serve_by_processes(app, listeners, ready=ready, exit_with_parent=exit_with_parent)
    serve(app, listeners[0], ready=ready, ends_with=0 if exit_with_parent else None)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Serve until stopped; return the exit status."""
    try:
        status = command.main(arguments, prog_name="python -m server", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return 130
    return int(status or 0)


def _language(dialect: str | OwnDialect, url: str) -> str:
    """Return where jobs are submitted and read, and the client's command, where it knows the dialect."""
    from server._own_dialect import spoken

    row = spoken(dialect)
    routes = ", ".join(f"{route.method} {route.path('{id}')}" for route in (row.submit[0], row.status[0]))
    if not isinstance(dialect, str):
        return f"it speaks a dialect of its own: {routes}"
    client = f"python -m client --url {url} --dialect {dialect} --submit"
    return f"it speaks {dialect}: {routes}; poll a job with: {client}"


def _shown(scenario: Path | None) -> str:
    """Return a file as people look for it: from the working directory where it lies below."""
    if scenario is None:
        return "the demo"
    here = Path.cwd()
    return str(scenario.relative_to(here) if scenario.is_relative_to(here) else scenario)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
