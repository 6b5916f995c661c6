"""The command ``python -m server``.

Exit status: 0 stopped, 1 cannot listen, 2 unusable input.
"""

from __future__ import annotations

import os
import sys
from ipaddress import ip_address

import gevent

from scenarios.documents import DocumentError, read_document
from server._options import overridden, parser
from server._scenario import choose_scenario, simulation_in
from server._serve import CannotListenError, open_listener, serve
from server.app import DEMO, create_app


def main(arguments: list[str] | None = None) -> int:
    """Serve until stopped; return the exit status."""
    options = parser().parse_args(arguments)
    try:
        file = choose_scenario(options.scenario, os.environ)
        simulation = overridden(simulation_in(read_document(file)) if file else DEMO, options)
    except DocumentError as error:
        _say(str(error))
        return 2
    try:
        listener = open_listener(options.host, options.port)
    except CannotListenError as error:
        _say(f"simulator: {error}")
        return 1
    app = create_app(simulation, sleep=gevent.sleep)
    host, port = listener.getsockname()[:2]
    if not ip_address(host).is_loopback:
        _say(f"simulator: warning: {host} is reachable from other machines")
    if not os.environ.get("BACKOFF_ADMIN_TOKEN"):
        _say(f"simulator: token for /admin/: {app.config['ADMIN_TOKEN']}")
    name = f"{file or 'the demo'} (jobs: {simulation.job.duration.describe()})"
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    serve(
        app,
        listener,
        ready=lambda: _say(f"simulator: serving {name} on {url} (Ctrl-C stops)"),
        exit_with_parent=options.exit_with_parent,
    )
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
